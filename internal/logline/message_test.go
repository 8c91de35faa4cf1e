package logline

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// framed returns messages, each behind its length.
func framed(messages ...string) string {
	var b strings.Builder
	for _, m := range messages {
		fmt.Fprintf(&b, "%d %s", len(m), m)
	}
	return b.String()
}

// cut returns the messages of a body, and how many pieces were left out.
func cut(body []byte) (messages []string, bad int) {
	for len(body) > 0 {
		message, rest, _, ok := Frame(body)
		if ok {
			messages = append(messages, string(message))
		} else {
			bad++
		}
		body = rest
	}
	return messages, bad
}

func TestFrameFindsItsWayBack(t *testing.T) {
	const head = "<190>1 2026-01-02T03:04:05Z host app web.1 - "
	a, b, c := head+"first\n", head+"the second\n", head+"third\n"
	count := len(b)
	for name, tt := range map[string]struct {
		body string
		want []string
		bad  int
	}{
		"all is well":                       {framed(a, b, c), []string{a, b, c}, 0},
		"no ends of lines":                  {framed("<1>a", "<2>b"), []string{"<1>a", "<2>b"}, 0},
		"a length too large by one":         {framed(a) + fmt.Sprintf("%d %s", count+1, b) + framed(c), []string{a, c}, 1},
		"a length that swallows a half":     {framed(a) + fmt.Sprintf("%d %s", count+20, b) + framed(c), []string{a, c}, 1},
		"a length too small by one":         {framed(a) + fmt.Sprintf("%d %s", count-1, b) + framed(c), []string{a, c}, 1},
		"a length far too small":            {framed(a) + fmt.Sprintf("%d %s", 3, b) + framed(c), []string{a, c}, 1},
		"a length beyond the end":           {framed(a) + fmt.Sprintf("%d %s", 999999, b) + framed(c), []string{a, c}, 1},
		"a length beyond all numbers":       {framed(a) + fmt.Sprintf("%s %s", strings.Repeat("9", 40), b) + framed(c), []string{a, c}, 1},
		"a length that is none":             {framed(a) + "many " + b + framed(c), []string{a, c}, 1},
		"no length":                         {framed(a) + b + framed(c), []string{a, c}, 1},
		"rubbish between":                   {framed(a) + "\x00\xff 12 <<< 3 \n" + framed(c), []string{a, c}, 1},
		"rubbish first":                     {"rubbish" + framed(a), []string{a}, 1},
		"an end that is missing":            {framed(a, b)[:len(framed(a, b))-4], []string{a}, 1},
		"rubbish alone":                     {strings.Repeat("<", 100), nil, 1},
		"a message that quotes a message":   {framed(head + "got 12 " + a), []string{head + "got 12 " + a}, 0},
		"messages without a header are cut": {framed("x\n", "y\n"), []string{"x\n", "y\n"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			if got, bad := cut([]byte(tt.body)); !slices.Equal(got, tt.want) || bad != tt.bad {
				t.Errorf("%q is cut to %q with %d pieces left out, want %q with %d", tt.body, got, bad, tt.want, tt.bad)
			}
		})
	}
}

// Nothing is read twice or forgotten, and a frame that is right is found in front of anything, and behind what does not reach into it.
func FuzzFrame(f *testing.F) {
	f.Add([]byte(vectors))
	f.Add([]byte("12 <190>1 x3 <1>2 <<<<999999 <1>"))
	f.Add([]byte("5 <1>1\n"))
	f.Fuzz(func(t *testing.T, body []byte) {
		total := 0
		for rest := body; len(rest) > 0; {
			message, behind, lost, ok := Frame(rest)
			size := lost
			if ok {
				size = len(fmt.Sprint(len(message))) + 1 + len(message)
			}
			if size <= 0 || len(rest)-len(behind) < size {
				t.Fatalf("Frame(%q) took %d bytes of it and leaves %q", rest, size, behind)
			}
			total += len(rest) - len(behind)
			rest = behind
		}
		if total != len(body) {
			t.Fatalf("%d bytes of %d were looked at", total, len(body))
		}
		good := "<190>1 2026-01-02T03:04:05Z host app web.1 - x\n"
		if got, _ := cut(append([]byte(framed(good)), body...)); len(got) == 0 || got[0] != good {
			t.Errorf("a good frame before %q is not found: %q", body, got)
		}
		if bytes.ContainsAny(body, "0123456789") { // may be a length that reaches into it
			return
		}
		if got, _ := cut(append(slices.Clone(body), framed(good)...)); len(got) != 1 || got[0] != good {
			t.Errorf("a good frame behind %q is not found: %q", body, got)
		}
	})
}

// FuzzLogplex holds Logplex against Syslog: what the first reads, the second reads too.
func FuzzLogplex(f *testing.F) {
	f.Add([]byte("<190>1 2026-01-02T03:04:05.678901+00:00 host app web.1 - sample#queue.size=3\n"))
	f.Add([]byte("<190>1 2026-01-02T03:04:05Z host app web.1 -"))
	f.Fuzz(func(t *testing.T, message []byte) {
		l, ok := Logplex(message)
		if !ok {
			return
		}
		if !bytes.HasSuffix(bytes.TrimRight(message, "\r\n"), l.Text) {
			t.Fatalf("%q became the text %q, which does not stand in it", message, l.Text)
		}
		if l.Host == "" || l.App == "" || l.Proc == "" || bytes.Contains(message, []byte("  ")) {
			return // an empty field is none in syslog
		}
		if s, _, ok := Syslog(message, noon, noon.Location()); !ok || s.App != l.App && s.App != "" {
			t.Errorf("%q is of %q for Logplex and of %q for syslog", message, l.App, s.App)
		}
	})
}

// BenchmarkFrameHostile cuts bodies that are made to cost time; ns/B must be the same for both sizes.
func BenchmarkFrameHostile(b *testing.B) {
	for name, unit := range map[string]string{"brackets": "<", "lengths": "2000000 <", "lengths and priorities": "1000000 <1>", "blanks": " ", "digits": "9", "short frames": "1 x1 <"} {
		for _, size := range []int{1 << 18, 1 << 22} {
			b.Run(fmt.Sprintf("%s/%dKiB", name, size>>10), func(b *testing.B) {
				body := bytes.Repeat([]byte(unit), size/len(unit))
				b.SetBytes(int64(len(body)))
				for b.Loop() {
					cut(body)
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(body)), "ns/B")
			})
		}
	}
}

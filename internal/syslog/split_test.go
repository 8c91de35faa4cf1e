package syslog

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// cutInto returns what a stream is cut into when it comes in pieces of a size, refused ones with their reason and length.
func cutInto(stream string, size int) (got []string) {
	var s splitter
	take := func(atEnd bool) {
		for {
			m, refused, ok := s.next(atEnd)
			switch {
			case !ok:
				return
			case refused != "":
				got = append(got, "! "+string(refused))
			default:
				got = append(got, string(m))
			}
		}
	}
	for len(stream) > 0 {
		n := copy(s.room(), stream[:min(size, len(stream))])
		s.filled(n)
		stream = stream[n:]
		take(false)
	}
	take(true)
	return got
}

func frame(m string) string { return fmt.Sprintf("%d %s", len(m), m) }

func TestAStreamIsCutIntoItsMessages(t *testing.T) {
	long := "<13>1 " + strings.Repeat("x", 70<<10)
	for name, tt := range map[string]struct {
		stream string
		want   []string
	}{
		"counted":                         {frame("<1>a") + frame("<2>b\n") + frame("<3>c\nd"), []string{"<1>a", "<2>b\n", "<3>c\nd"}},
		"counted, and ended as well":      {frame("<1>a") + "\n" + frame("<2>b") + "\r\n", []string{"<1>a", "<2>b"}},
		"ended":                           {"<1>a\n<2>b\r\n\n<3>c\x00<4>d", []string{"<1>a", "<2>b", "<3>c", "<4>d"}},
		"text that begins with a number":  {"12 monkeys\n<1>a\n", []string{"12 monkeys", "<1>a"}},
		"a year at the beginning":         {"2026-01-02T03:04:05Z web1 app: a\n", []string{"2026-01-02T03:04:05Z web1 app: a"}},
		"blank lines first":               {"\n\n" + frame("<1>a"), []string{"<1>a"}},
		"a counted one is cut off":        {frame("<1>a") + "9 <2>b", []string{"<1>a", "! bad frame"}},
		"a header is cut off":             {frame("<1>a") + "9", []string{"<1>a", "! bad frame"}},
		"a length that is too short":      {frame("<1>a") + "3 <2>bcd" + frame("<3>e"), []string{"<1>a", "<2>", "! bad frame", "<3>e"}},
		"a length that is too long":       {frame("<1>a") + "6 <2>bc" + frame("<3>e") + frame("<4>f"), []string{"<1>a", "<2>bc4", "! bad frame", "<4>f"}},
		"a length that cannot be":         {frame("<1>a") + "9999999 <2>bc" + frame("<3>e"), []string{"<1>a", "! bad frame", "<3>e"}},
		"more digits than a length has":   {frame("<1>a") + "123456789012 <2>bc" + frame("<3>e"), []string{"<1>a", "! bad frame", "<3>e"}},
		"rubbish between counted ones":    {frame("<1>a") + strings.Repeat("<<<12 x<", 5000) + frame("<3>e"), []string{"<1>a", "! bad frame", "<3>e"}},
		"a counted one over the limit":    {frame(long) + frame("<3>e"), []string{"! line too long", "<3>e"}},
		"an ended one over the limit":     {long + "\n<3>e\n", []string{"! line too long", "<3>e"}},
		"an ended one without an end":     {"<1>a\n" + strings.Repeat(long, 5), []string{"<1>a", "! line too long"}},
		"a counted one at the limit":      {frame(long[:64<<10]), []string{long[:64<<10]}},
		"an ended one at the limit":       {long[:64<<10] + "\n<3>e", []string{long[:64<<10], "<3>e"}},
		"nothing":                         {"", nil},
		"rubbish from the first byte":     {"\xff\xfe\x00\x01\n", []string{"\xff\xfe", "\x01"}},
		"a zero length":                   {frame("<1>a") + "0 <" + frame("<2>b"), []string{"<1>a", "! bad frame", "<2>b"}},
		"one that looks like a length":    {frame("<1>12 <"), []string{"<1>12 <"}},
		"a length with nothing behind it": {frame("<1>a") + "5 x<7>" + frame("<2>b"), []string{"<1>a", "! bad frame", "<2>b"}},
	} {
		t.Run(name, func(t *testing.T) {
			for _, size := range []int{1 << 20, 8192, 7, 1} {
				if size == 1 && len(tt.stream) > 100<<10 {
					continue
				}
				if got := cutInto(tt.stream, size); !slices.Equal(got, tt.want) {
					t.Errorf("in pieces of %d bytes: %.300q, want %.300q", size, got, tt.want)
				}
			}
		})
	}
}

// However a stream comes in pieces, its messages are the same, none is over the limit, and nothing is refused for more than it is.
func FuzzSplit(f *testing.F) {
	f.Add(frame("<1>a")+"3 <2>bcd"+frame("<3>e"), 3)
	f.Add("<1>a\n<2>b\r\n", 1)
	f.Add("12 <<<1 <12 <", 2)
	f.Add(frame("<13>1 "+strings.Repeat("x", 70<<10))+frame("<3>e"), 5000)
	f.Fuzz(func(t *testing.T, stream string, size int) {
		if size < 1 || size > 1<<20 {
			size = 1
		}
		whole := cutInto(stream, 1<<20)
		if got := cutInto(stream, size); !slices.Equal(got, whole) {
			t.Errorf("%q in pieces of %d bytes: %q, and at once: %q", stream, size, got, whole)
		}
		total := 0
		for _, m := range whole {
			if len(m) > 64<<10 {
				t.Errorf("a message of %d bytes", len(m))
			}
			if !strings.HasPrefix(m, "! ") {
				total += len(m)
			}
		}
		if total > len(stream) {
			t.Errorf("%d bytes became messages of %d", len(stream), total)
		}
		// Whatever came before, what follows a newline, or is counted, is found again.
		const after = "<13>1 - - - - - - the next"
		if next := cutInto("<1>a\n"+stream+"\n"+after+"\n", size); next[len(next)-1] != after {
			t.Errorf("behind %q a line was lost: %q", stream, next)
		}
	})
}

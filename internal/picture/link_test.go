package picture

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/chart"
)

func TestLinksThatAreNone(t *testing.T) {
	r := newRig(t)
	a := r.event(hostMonitor("loadavg5"))
	good := r.url(a)
	token := strings.TrimSuffix(strings.TrimPrefix(good, Prefix), ".png")
	plain, err := json.Marshal(subject{Host: r.host.ID, Metric: "loadavg5", At: noon, Until: noon + 1e6})
	if err != nil {
		t.Fatal(err)
	}
	other, err := newLinks(bytes.Repeat([]byte{8}, KeySize), r.org)
	if err != nil {
		t.Fatal(err)
	}
	elsewhere, err := newLinks(bytes.Repeat([]byte{7}, KeySize), "2other")
	if err != nil {
		t.Fatal(err)
	}
	foreign := other.path(subject{Host: r.host.ID, Metric: "loadavg5", At: noon, Until: noon + 1e6})
	bad := map[string]string{
		"nothing":                Prefix,
		"no token":               Prefix + ".png",
		"another ending":         Prefix + token + ".svg",
		"no ending":              Prefix + token,
		"a shorter one":          Prefix + token[:len(token)-4] + ".png",
		"a longer one":           Prefix + token + "AAAA.png",
		"padding":                Prefix + token + "=.png",
		"a line end in it":       Prefix + token[:8] + "\n" + token[8:] + ".png",
		"one of another key":     foreign,
		"one of another org":     elsewhere.path(subject{Host: r.host.ID, Metric: "loadavg5", At: noon, Until: noon + 1e6}),
		"a subject in the clear": Prefix + base64.RawURLEncoding.EncodeToString(plain) + ".png",
		"another folder":         Prefix + "x/" + token + ".png",
		"a step upwards":         Prefix + "../pictures/" + token + ".png",
		"no base64":              Prefix + strings.Repeat("*", 200) + ".png",
	}
	for i := range token { // each character, so also each bit of nonce, subject and seal
		change := byte('A')
		if token[i] == change {
			change = 'B'
		}
		bad["character "+string(rune('0'+i/100))+string(rune('0'+i/10%10))+string(rune('0'+i%10))] = Prefix + token[:i] + string(change) + token[i+1:] + ".png"
	}
	if r.get(good).StatusCode != 200 {
		t.Fatal("the good link is not found")
	}
	reads := r.reads.n
	for name, path := range bad {
		q := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		q.URL = &url.URL{Path: path}
		if resp := r.ask(q); resp.StatusCode != 404 || resp.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d, want 404", name, resp.StatusCode)
		}
	}
	if r.reads.n != reads {
		t.Error("samples were read for a link that is none")
	}
}

func TestALinkExpires(t *testing.T) {
	r := newRig(t)
	u := r.url(r.event(hostMonitor("loadavg5")))
	for after, want := range map[time.Duration]int{0: 200, 30 * 24 * time.Hour: 200, 30*24*time.Hour + time.Second: 404, 1000 * 24 * time.Hour: 404} {
		r.clock.Store(noon + int64(after/time.Second))
		if resp := r.get(u); resp.StatusCode != want {
			t.Errorf("after %v: %d, want %d", after, resp.StatusCode, want)
		}
	}
}

// A message that is sent again after a crash has the address that it had.
func TestTheSamePictureHasTheSameAddress(t *testing.T) {
	r := newRig(t)
	a, b := r.event(hostMonitor("loadavg5")), r.event(hostMonitor("loadavg15"))
	first := r.url(a)
	r.clock.Add(600)
	if again := r.url(a); again != first {
		t.Errorf("the address changed from %q to %q", first, again)
	}
	a.At += 60
	if r.url(a) == first || r.url(b) == first {
		t.Error("different pictures have one address")
	}
	again, err := New(r.Options) // as after a restart
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	again.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, first, nil))
	if w.Code != 200 {
		t.Errorf("after a restart with the same key: %d", w.Code)
	}
}

// The last character of a token has bits that say nothing: only one spelling of it is the address.
func TestALinkHasOneSpelling(t *testing.T) {
	r := newRig(t)
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	for _, title := range []string{"", "a", "ab"} { // for each length of the last piece
		good := r.links.path(subject{Title: title, Until: noon})
		opened := 0
		for _, c := range letters {
			if _, ok := r.links.open(good[:len(good)-len("x.png")]+string(c)+".png", time.Unix(noon, 0)); ok {
				opened++
			}
		}
		if opened != 1 {
			t.Errorf("%d spellings of the last character open, want 1", opened)
		}
	}
}

// Two subjects under one nonce would give the key away.
func TestEverySubjectHasItsNonce(t *testing.T) {
	r := newRig(t)
	seen := map[string]bool{}
	for i := range int64(1000) {
		u := r.links.path(subject{Host: "h", Metric: "loadavg5", At: noon + i, Until: noon})
		seen[u[len(Prefix):len(Prefix)+16]] = true // 12 bytes
	}
	if len(seen) != 1000 {
		t.Errorf("1000 subjects have %d nonces", len(seen))
	}
}

func TestALinkThatIsTooLong(t *testing.T) {
	r := newRig(t)
	if u := r.links.path(subject{Title: strings.Repeat("long ", 1000)}); u != "" {
		t.Errorf("path = %d characters; want none", len(u))
	}
	// The longest that a message meets is far below what Slack (3,000) and mail take.
	s := subject{Host: r.host.ID, Metric: strings.Repeat("m", saba.MaxMetricName), Title: strings.Repeat("m", saba.MaxMetricName) + " · " + strings.Repeat("h", 255), At: noon, Until: noon,
		Limits: []chart.Limit{{Value: 1.0 / 3, Bad: saba.CheckWarning}, {Value: 2.0 / 3, Bad: saba.CheckCritical}}}
	if u := r.links.path(s); u == "" || len(u) > 2000 {
		t.Errorf("path = %d characters", len(u))
	}
}

func TestAKeyIsOfItsSize(t *testing.T) {
	for _, n := range []int{0, 1, KeySize - 1, KeySize + 1} {
		if _, err := New(Options{Key: make([]byte, n)}); !errors.Is(err, saba.ErrInvalid) {
			t.Errorf("a key of %d bytes: %v, want ErrInvalid", n, err)
		}
	}
}

// Whatever an address is, it opens only if it was made here.
func FuzzOpen(f *testing.F) {
	l, err := newLinks(bytes.Repeat([]byte{7}, KeySize), "org")
	if err != nil {
		f.Fatal(err)
	}
	good := l.path(subject{Host: "h", Metric: "loadavg5", At: noon, Until: noon + 60})
	f.Add(good)
	f.Add("/pictures/.png")
	f.Add("/pictures/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA.png")
	f.Fuzz(func(t *testing.T, path string) {
		if s, ok := l.open(path, time.Unix(noon, 0)); ok {
			if l.path(s) != path {
				t.Errorf("%q opens, and was not made here", path)
			}
		}
	})
}

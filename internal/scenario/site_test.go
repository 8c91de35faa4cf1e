package scenario

import (
	"crypto/x509"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/dial"
	"github.com/saba-monitor/saba/plugin/target/targettest"
)

// The words of stories with endpoints. In a monitor, SITE is the address of a server on the loopback, and TLS is that of
// one whose certificate ends 31 days after it is named first.
//
//	answer PATH STATUS [TEXT…]     what both answer from now on; STATUS 0 closes the connection
//	last MONITOR TARGET MESSAGE    what the newest alert of a target says, open or closed
//	points SERVICE METRIC COUNT    how many samples of the last day there are

// A storySite is the server that the monitors of a story ask.
type storySite struct {
	plain, secure *httptest.Server
	roots         *x509.CertPool

	mu      sync.Mutex
	answers map[string][]string // by path: status and text
}

func (s *storySite) dialer(now func() time.Time) dial.Dialer {
	s.roots = x509.NewCertPool()
	return dial.Dialer{Allowed: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Roots: s.roots, Now: now}
}

// fill puts the addresses in the places of SITE and TLS.
func (s *storySite) fill(t *testing.T, text string, now time.Time) string {
	if strings.Contains(text, "SITE") && s.plain == nil {
		s.plain = httptest.NewServer(s)
		t.Cleanup(s.plain.Close)
	}
	if strings.Contains(text, "TLS") && s.secure == nil {
		ca := targettest.NewAuthority(t, now)
		ca.AddTo(s.roots)
		s.secure = ca.Serve(t, s, now.AddDate(0, -1, 0), now.AddDate(0, 0, 31), "127.0.0.1")
	}
	if s.plain != nil {
		text = strings.ReplaceAll(text, "SITE", s.plain.URL)
	}
	if s.secure != nil {
		text = strings.ReplaceAll(text, "TLS", s.secure.URL)
	}
	return text
}

func (s *storySite) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	answer := s.answers[r.URL.Path]
	s.mu.Unlock()
	if len(answer) == 0 {
		return
	}
	code, err := strconv.Atoi(answer[0])
	if err != nil || code == 0 {
		panic(http.ErrAbortHandler)
	}
	w.WriteHeader(code)
	fmt.Fprint(w, strings.Join(answer[1:], " "))
}

// alike says whether a message is what is wanted, in which an asterisk stands for anything.
func alike(got, want string) bool {
	parts := strings.Split(want, "*")
	last := len(parts) - 1
	if last == 0 {
		return got == want
	}
	got, begins := strings.CutPrefix(got, parts[0])
	for _, part := range parts[1:last] {
		_, rest, found := strings.Cut(got, part)
		begins, got = begins && found, rest
	}
	return begins && strings.HasSuffix(got, parts[last])
}

func (s *story) doSite(w []string, line string) error {
	switch w[0] {
	case "answer":
		s.site.mu.Lock()
		defer s.site.mu.Unlock()
		if s.site.answers == nil {
			s.site.answers = map[string][]string{}
		}
		s.site.answers[w[1]] = w[2:]
		return nil
	case "last":
		alerts, err := s.records.Alerts(s.Context(), s.org, saba.AlertPage{Limit: 100, Closed: true})
		if err != nil {
			return err
		}
		i := slices.IndexFunc(alerts, func(a saba.Alert) bool { return a.Monitor == w[1] && a.Host == hostOf(w[2]) })
		if i < 0 {
			return fmt.Errorf("there was none")
		}
		if want := rest(line, 3); !alike(alerts[i].Message, want) {
			return fmt.Errorf("it says %q", alerts[i].Message)
		}
		return nil
	case "points":
		got, err := s.samples.Range(s.Context(), []saba.Series{{Org: s.org, Service: w[1], Name: w[2]}}, s.now.Unix()-24*60*60, s.now.Unix())
		if err == nil && strconv.Itoa(len(got[0])) != w[3] {
			err = fmt.Errorf("there are %d", len(got[0]))
		}
		return err
	}
	return fmt.Errorf("there is no word %q", w[0])
}

package server

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/saba-monitor/saba"
)

// eventOf keeps a host, and a monitor of it, and returns an event of an alert.
func eventOf(t *testing.T, s *Server) *saba.Event {
	t.Helper()
	now := s.opts.Now()
	id := func() (string, error) { return saba.NewID(now, s.opts.Random) }
	var ids [3]string
	for i := range ids {
		var err error
		if ids[i], err = id(); err != nil {
			t.Fatal(err)
		}
	}
	h := saba.Host{ID: ids[0], Org: s.org.ID, Name: "web1", Status: saba.Working, CreatedAt: now.Unix()}
	if err := s.records.CreateHost(t.Context(), h, nil, id); err != nil {
		t.Fatal(err)
	}
	m := saba.Monitor{ID: ids[1], Type: saba.MonitorHost, Name: "load", Metric: "loadavg5", Operator: ">", Warning: new(1.0), Duration: 1, MaxCheckAttempts: 1}
	if err := s.records.CreateMonitor(t.Context(), s.org.ID, m); err != nil {
		t.Fatal(err)
	}
	a := saba.Alert{ID: ids[2], Status: saba.CheckWarning, Monitor: m.ID, Type: string(m.Type), Host: h.ID, OpenedAt: now.Unix()}
	return &saba.Event{Kind: saba.EventAlert, Subject: a.ID, At: a.OpenedAt, Alert: &a, Monitor: &m, Host: &h}
}

func fetch(t *testing.T, s *Server, path string) *http.Response {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
	r.RemoteAddr = "192.0.2.1:5000"
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	return w.Result()
}

// The servers of a chat have no session, and are in none of the networks from which people may use the console.
func TestAPictureIsThereForWhoeverHasItsAddress(t *testing.T) {
	o := options(t)
	s := open(t, o)
	for _, surface := range []saba.Surface{saba.SurfaceWeb, saba.SurfaceAPI} {
		if err := s.records.SetNetworks(t.Context(), s.org.ID, surface, []string{"198.51.100.0/24"}); err != nil {
			t.Fatal(err)
		}
	}
	e := eventOf(t, s)
	u, ok := strings.CutPrefix(s.pictures.URL(e), "http://"+s.Addr().String())
	if !ok {
		t.Fatalf("URL = %q, want one at %s", s.pictures.URL(e), s.Addr())
	}
	if resp := fetch(t, s, u); resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "image/png" || len(resp.Cookies()) > 0 {
		t.Errorf("GET = %d %v", resp.StatusCode, resp.Header)
	}
	for _, path := range []string{"/pictures/", "/pictures/" + e.Subject + ".png", strings.Replace(u, ".png", "", 1)} {
		if resp := fetch(t, s, path); resp.StatusCode != 404 {
			t.Errorf("GET %s = %d, want 404", path, resp.StatusCode)
		}
	}

	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(filepath.Join(o.Data, pictureKey)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key is %v, %v; want a file for its owner alone", info, err)
	}
	again := open(t, o)
	if resp := fetch(t, again, u); resp.StatusCode != 200 {
		t.Errorf("after a restart: %d, want the picture", resp.StatusCode)
	}
}

func TestADamagedPictureKeyVoidsLinksAndSaysSo(t *testing.T) {
	o := options(t)
	s := open(t, o)
	e := eventOf(t, s)
	u := strings.TrimPrefix(s.pictures.URL(e), "http://"+s.Addr().String())
	for name, text := range map[string]string{"empty": "", "too short": "abcd\n", "no key": strings.Repeat("rubbish ", 8)} {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(o.Data, pictureKey), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		o.Log = slog.New(slog.NewTextHandler(&log, nil))
		s = open(t, o)
		if resp := fetch(t, s, u); resp.StatusCode != 404 {
			t.Errorf("%s: the old link is answered with %d, want 404", name, resp.StatusCode)
		}
		if !strings.Contains(log.String(), pictureKey) {
			t.Errorf("%s: the log says nothing: %s", name, log.String())
		}
		if code := fetch(t, s, strings.TrimPrefix(s.pictures.URL(e), "http://"+s.Addr().String())).StatusCode; code != 200 {
			t.Errorf("%s: a new link is answered with %d", name, code)
		}
	}
}

// From the alert to the message: what a channel is told holds the address, and the picture is there.
func TestAMessageShowsThePicture(t *testing.T) {
	told := make(chan []byte, 1)
	chat := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		told <- body
	}))
	defer chat.Close()
	o := options(t)
	o.Allowed = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	s := open(t, o)
	e := eventOf(t, s)
	c := saba.Channel{ID: "2channel", Name: "chat", Type: saba.ChannelWebhook, URL: chat.URL, EnabledGraphImage: true, Events: []string{string(saba.EventAlert)}}
	if err := s.records.CreateChannel(t.Context(), s.org.ID, c, true); err != nil {
		t.Fatal(err)
	}
	if err := s.records.OpenAlert(t.Context(), s.org.ID, *e.Alert, nil); err != nil {
		t.Fatal(err)
	}
	if err := s.notifier.Round(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.notifier.Wait()
	var message struct {
		ImageURL string `json:"imageUrl"`
	}
	select {
	case body := <-told:
		if err := json.Unmarshal(body, &message); err != nil {
			t.Fatalf("%s: %v", body, err)
		}
	default:
		t.Fatal("the chat was told nothing")
	}
	path, ok := strings.CutPrefix(message.ImageURL, "http://"+s.Addr().String())
	if !ok {
		t.Fatalf("the picture of the message is at %q", message.ImageURL)
	}
	if resp := fetch(t, s, path); resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "image/png" {
		t.Errorf("GET = %d %v", resp.StatusCode, resp.Header)
	}
}

// What expressions, queries and anomalies compute is drawn in messages, of the real engines.
func TestWhatIsComputedHasAPicture(t *testing.T) {
	s := open(t, options(t))
	e := eventOf(t, s)
	at, role := saba.Minute(e.At), saba.RoleName{Service: "shop", Role: "web"}
	h := saba.Host{ID: "2oldHost", Org: s.org.ID, Name: "web2", Status: saba.Working, CreatedAt: at - 60*86400, Roles: []saba.RoleName{role}}
	host := h.ID
	if err := s.records.CreateHost(t.Context(), h, nil, nil); err != nil {
		t.Fatal(err)
	}
	keep := func(from, to int64, value func(minute int64) float64) {
		var points []saba.Point
		for m := from; m <= to; m += saba.Resolution {
			for name, v := range map[string]float64{"loadavg5": value(m) / 10, "memory.used": value(m), "memory.total": 100} {
				points = append(points, saba.Point{Series: saba.Series{Org: s.org.ID, Host: host, Name: name}, Sample: saba.Sample{Time: m, Value: v}})
			}
		}
		if _, err := s.samples.Append(t.Context(), time.Unix(to, 0), points); err != nil {
			t.Fatal(err)
		}
	}
	for week := int64(4); week > 0; week-- {
		then := time.Unix(at, 0).AddDate(0, 0, int(-7*week)).Unix() // by the clocks, which may have been changed since
		keep(then-4*3600, then+3*3600, func(m int64) float64 { return 30 + float64(m/60%3) })
	}
	keep(at-3*3600, at, func(m int64) float64 {
		if m > at-10*60 {
			return 88
		}
		return 30 + float64(m/60%3)
	})
	for name, tt := range map[string]struct {
		monitor saba.Monitor
		lines   []string // with their values at the alert
	}{
		"expression": {saba.Monitor{Type: saba.MonitorExpression, Name: "twice", Expression: "scale(avg(role(shop:web, memory.used)), 2)", Operator: ">", Warning: new(100.0), Critical: new(150.0)}, []string{"twice 176"}},
		"query":      {saba.Monitor{Type: saba.MonitorQuery, Name: "load", Query: "loadavg5", Legend: "load of {{role}}", Operator: ">", Warning: new(5.0)}, []string{"load of web 8.8"}},
		"anomaly":    {saba.Monitor{Type: saba.MonitorAnomaly, Name: "odd", WarningSensitivity: "normal", CriticalSensitivity: "sensitive", Scopes: []saba.Scope{saba.Scope(role)}}, []string{"memory% 88", "usual for shop:web 31", "odd above", "odd below"}},
	} {
		t.Run(name, func(t *testing.T) {
			m := tt.monitor
			var err error
			if m.ID, err = saba.NewID(s.opts.Now(), s.opts.Random); err != nil {
				t.Fatal(err)
			}
			m.Default()
			if err := s.records.CreateMonitor(t.Context(), s.org.ID, m); err != nil {
				t.Fatal(err)
			}
			a := *e.Alert
			a.Monitor, a.Type, a.Host = m.ID, string(m.Type), ""
			of := &saba.Event{Kind: saba.EventAlert, Subject: a.ID, At: a.OpenedAt, Alert: &a, Monitor: &m}
			if m.Type == saba.MonitorAnomaly {
				a.Host, of.Host = host, &h
			}
			lines, _, err := s.computed(t.Context(), s.org.ID, m, a.Host, a.Series, at-3600, at)
			if err != nil || len(lines) != len(tt.lines) {
				t.Fatalf("computed = %d lines, %v; want %v", len(lines), err, tt.lines)
			}
			for i, l := range lines {
				last := l.Samples[len(l.Samples)-1]
				if got := l.Label + " " + saba.FormatValue(last.Value); !strings.HasPrefix(got, tt.lines[i]) || last.Time != at {
					t.Errorf("line %d ends with %q at %d, want %q at %d", i, got, last.Time, tt.lines[i], at)
				}
			}
			b, err := s.pictures.PNG(t.Context(), of)
			if err != nil || !bytes.HasPrefix(b, []byte("\x89PNG")) || len(b) > 200<<10 {
				t.Errorf("PNG = %d bytes, %v", len(b), err)
			}
			u := strings.TrimPrefix(s.pictures.URL(of), "http://"+s.Addr().String())
			if resp := fetch(t, s, u); resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "image/png" {
				t.Errorf("GET = %d %v", resp.StatusCode, resp.Header)
			}
		})
	}
}

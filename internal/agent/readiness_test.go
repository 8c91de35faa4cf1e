package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/saba-monitor/saba"
)

// probeOf returns the gate that a readinessProbe makes.
func probeOf(t *testing.T, text string) Gate {
	t.Helper()
	c, err := LoadContainer(ContainerSource{Name: "agent.yaml", Text: []byte("apikey: k\nreadinessProbe:\n" + text), Setting: func(string) string { return "" }, Getenv: func(string) string { return "" }, Environ: os.Environ()})
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Readiness) != 1 {
		t.Fatalf("%d gates", len(c.Readiness))
	}
	return c.Readiness[0]
}

func TestReadinessProbes(t *testing.T) {
	var last atomic.Pointer[http.Request]
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		last.Store(r.Clone(context.Background()))
		switch r.URL.Path {
		case "/ok":
			w.WriteHeader(http.StatusNoContent)
		case "/moved":
			http.Redirect(w, r, "/missing", http.StatusFound)
		case "/moved-well":
			http.Redirect(w, r, "/ok", http.StatusFound)
		case "/304":
			w.WriteHeader(http.StatusNotModified)
		case "/slow":
			<-r.Context().Done()
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(site.Close)
	u, err := url.Parse(site.URL)
	if err != nil {
		t.Fatal(err)
	}
	port := u.Port()
	closed := func() string { // a port that nobody listens on
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		return fmt.Sprint(l.Addr().(*net.TCPAddr).Port)
	}()
	for _, tt := range []struct {
		probe string
		want  string // "" is ready
	}{
		{"  http: {path: /ok, port: " + port + ", host: 127.0.0.1}", ""},
		{"  http: {path: ok, port: '" + port + "', host: 127.0.0.1, method: head}", ""},
		{"  http: {path: /304, port: " + port + ", host: 127.0.0.1}", ""},
		{"  http: {path: /moved-well, port: " + port + ", host: 127.0.0.1}", ""},
		{"  http: {path: /moved, port: " + port + ", host: 127.0.0.1}", "it answers 404"},
		{"  http: {path: /missing, port: " + port + ", host: 127.0.0.1}", "it answers 404"},
		{"  http: {path: /ok, port: " + closed + ", host: 127.0.0.1}", "no answer: "},
		{"  http: {path: /ok, scheme: https, port: " + port + ", host: 127.0.0.1}", "no answer: "},
		{"  http: {path: /slow, port: " + port + ", host: 127.0.0.1}", "deadline exceeded"},
		{"  http: {path: /ok, host: shop.invalid, proxy: " + site.URL + "}", ""},
		{"  tcp: {port: " + port + ", host: 127.0.0.1}", ""},
		{"  tcp: {port: " + port + "}", ""},
		{"  tcp: {port: " + closed + "}", "no connection to :" + closed},
		{"  exec: {command: 'test \"$WHO\" = me', env: {WHO: me}}", ""},
		{"  exec: {command: ['false']}", "ended with exit code 1"},
		{"  exec: {command: [no-such-command]}", "the command "},
		{"  exec: {command: 'sleep 60'}", "deadline exceeded"},
	} {
		g := probeOf(t, tt.probe+"\n")
		if g.Every != 10*time.Second || g.Timeout != time.Second || g.Delay != 0 {
			t.Errorf("%s: every %v, time-out %v, delay %v; want 10 s, 1 s and none", tt.probe, g.Every, g.Timeout, g.Delay)
		}
		if strings.Contains(tt.want, "deadline") {
			g.Timeout = 50 * time.Millisecond
		}
		err := g.ask(t.Context())
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.probe, err, tt.want)
		}
	}

	g := probeOf(t, "  initialDelaySeconds: 5\n  periodSeconds: 3\n  timeoutSeconds: 2\n  http:\n    path: /ok\n    port: "+port+"\n    host: 127.0.0.1\n    headers: [{name: Host, value: shop.example}, {name: X-A, value: '1'}, {name: X-A, value: '2'}, {name: User-Agent, value: probe}]\n")
	if err := g.ask(t.Context()); err != nil || g.Delay != 5*time.Second || g.Every != 3*time.Second || g.Timeout != 2*time.Second {
		t.Errorf("%+v says %v", g, err)
	}
	if seen := last.Load(); seen.Host != "shop.example" || strings.Join(seen.Header["X-A"], " ") != "1 2" || seen.UserAgent() != "probe" {
		t.Errorf("the request has the host %q and the headers %v", seen.Host, seen.Header)
	}
	if err := probeOf(t, "  http: {path: /ok, port: "+port+", host: 127.0.0.1}\n").ask(t.Context()); err != nil || last.Load().UserAgent() != ContainerUserAgent() {
		t.Errorf("without a header the user agent is %q, error %v", last.Load().UserAgent(), err)
	}
}

func TestReadinessProbeMistakes(t *testing.T) {
	for probe, want := range map[string]string{
		"{}": "agent.yaml:1: readinessProbe has none of exec, http, tcp",
		"{http: {path: /, port: 1}, tcp: {port: 1}}":            "agent.yaml:1: readinessProbe has http and tcp: write one of them",
		"{http: {port: 80}}":                                    "readinessProbe.http has no path",
		"{http: {path: /, port: 0}}":                            "readinessProbe.http.port must be a port from 1 to 65535",
		"{http: {path: /, port: http}}":                         "readinessProbe.http.port must be a port from 1 to 65535",
		"{http: {path: /, scheme: ftp}}":                        `readinessProbe.http.scheme must be http or https, not "ftp"`,
		"{http: {path: /, method: 'GE T'}}":                     "readinessProbe.http.method must be a method",
		"{http: {path: /, headers: {a: b}}}":                    "readinessProbe.http.headers must be a list of headers",
		"{http: {path: /, headers: [{name: 'a b', value: c}]}}": "is no header",
		"{http: {path: /, headers: [{nmae: a, value: c}]}}":     `has "nmae" in its element 1`,
		"{http: {path: /, proxy: '::'}}":                        "readinessProbe.http.proxy ",
		"{http: {path: /, prot: 80}}":                           `unknown key "readinessProbe.http.prot": did you mean "port"?`,
		"{tcp: {host: a}}":                                      "readinessProbe.tcp has no port",
		"{exec: {}}":                                            "readinessProbe.exec has no command",
		"{exec: {command: ''}}":                                 "readinessProbe.exec.command is empty",
		"{exec: {command: x, timeoutSeconds: 3}}":               `unknown key "readinessProbe.exec.timeoutSeconds"`,
		"{exec: true}":                                          "readinessProbe.exec must be a table",
	} {
		_, err := loadContainer(t, "readinessProbe: "+probe+"\n", map[string]string{})
		if !errors.Is(err, saba.ErrInvalid) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want %q alone", probe, err, want)
		}
	}
}

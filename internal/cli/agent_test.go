package cli_test

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/saba-monitor/saba/internal/agent"
	"github.com/saba-monitor/saba/internal/cli"
)

// run runs a command line of saba-agent in this process.
func run(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs strings.Builder
	sys := cli.System{Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs, Getenv: func(string) string { return "" }, Environ: func() []string { return nil }}
	code = cli.Run(t.Context(), append([]string{"saba-agent"}, args...), sys, cli.AgentCommands())
	return code, out.String(), errs.String()
}

// A lockedBuffer takes what a command writes while somebody reads it.
type lockedBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// A whole agent under a service manager: it says when it is ready, can be asked how it is,
// reads its configuration anew, and keeps the old one when the new one is wrong.
func TestAgentAtWork(t *testing.T) {
	posted := make(chan string, 100)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch r.Method + " " + r.URL.Path {
		case "POST /api/v0/hosts":
			w.Write([]byte(`{"id":"host1"}`))
		case "GET /api/v0/hosts":
			w.Write([]byte(`{"hosts":[]}`))
		default:
			w.Write([]byte(`{"success":true,"id":"host1"}`))
		}
		if r.URL.Path == "/api/v0/tsdb" {
			body, _ := io.ReadAll(r.Body)
			posted <- string(body)
		}
	}))
	defer srv.Close()
	dir := t.TempDir()
	root := filepath.Join(dir, "root")
	conf := filepath.Join(dir, "agent.toml")
	write := func(more string) {
		t.Helper()
		text := "apikey = \"k\"\napibase = \"" + srv.URL + "\"\nroot = \"" + root + "\"\ncloud_platform = \"none\"\n" + more
		if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("[plugin.metrics.one]\ncommand = \"echo oops >&2; printf 'one\\t1\\t1\\n'; exit 3\"\n")
	socket := filepath.Join(dir, "notify")
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	told := func(want string) {
		t.Helper()
		b := make([]byte, 100)
		if err := manager.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
			t.Fatal(err)
		}
		for {
			n, err := manager.Read(b)
			if err != nil {
				t.Fatalf("the service manager waits for %s: %v", want, err)
			}
			if got := string(b[:n]); got == want {
				return
			} else if got != "WATCHDOG=1" {
				t.Fatalf("the service manager is told %s, want %s", got, want)
			}
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	hangup, log := make(chan os.Signal), &lockedBuffer{}
	sys := cli.System{Stdin: strings.NewReader(""), Stdout: io.Discard, Stderr: log, Environ: os.Environ,
		Getenv:  func(k string) string { return map[string]string{"NOTIFY_SOCKET": socket, "WATCHDOG_USEC": "1"}[k] },
		Hangups: func(context.Context) <-chan os.Signal { return hangup }}
	ended := make(chan int, 1)
	go func() {
		ended <- cli.Run(ctx, []string{"saba-agent", "--conf", conf, "--diagnostic"}, sys, cli.AgentCommands())
	}()
	told("READY=1")

	if first := <-posted; !strings.Contains(first, `"custom.one"`) || !strings.Contains(first, `"custom.saba.agent.queue.points"`) {
		t.Errorf("the first post has neither the plugin nor the agent itself: %s", first)
	}
	// The answer to that post is noted when the agent has read it.
	var s agent.Status
	for deadline := time.Now().Add(30 * time.Second); s.Sent == 0; time.Sleep(5 * time.Millisecond) {
		code, out, stderr := run(t, "status", "--conf", conf, "--json")
		if code != 0 && code != 1 || json.Unmarshal([]byte(out), &s) != nil || time.Now().After(deadline) {
			t.Fatalf("status = %d, %s%s; log:\n%s", code, out, stderr, log)
		}
	}
	i := slices.IndexFunc(s.Sources, func(x agent.SourceStatus) bool { return x.Kind == agent.KindMetrics && x.Name == "one" })
	if i < 0 {
		t.Fatalf("the plugin is not among %+v", s.Sources)
	}
	if x := s.Sources[i]; x.Runs != 1 || x.ExitCode == nil || *x.ExitCode != 3 || x.Stderr != "oops" || x.LastPoints != 1 || x.Sent != 1 {
		t.Errorf("the plugin = %+v", x)
	}
	if s.Host.ID != "host1" || s.Host.State != agent.Registered || s.Server.LastStatus != 200 || s.Server.ClockAhead == nil || s.Config.File != conf {
		t.Errorf("status = %+v", s)
	}
	code, out, _ := run(t, "status", "--conf", conf)
	if code != 0 || !strings.Contains(out, "All is well.") || !strings.Contains(out, "host1, registered") || !strings.Contains(out, "metrics one ") || !strings.Contains(out, "host loadavg ") {
		t.Errorf("status = %d\n%s", code, out)
	}
	// Whoever wants to retire the host is told that its agent runs.
	if code, _, stderr := run(t, "retire", "--conf", conf); code != 1 || !strings.Contains(stderr, "is running: stop it first") {
		t.Errorf("retire = %d, %s", code, stderr)
	}

	write("intervall = 1\n")
	hangup <- os.Interrupt
	told("RELOADING=1")
	told("READY=1")
	// A file that is wrong does not hide the agent either.
	code, out, _ = run(t, "status", "--conf", conf, "--root", root)
	if want := "PROBLEM  the configuration was not reloaded: " + conf + `:5: unknown key "intervall"`; code != 1 || !strings.Contains(out, want) || !strings.Contains(out, "metrics one ") {
		t.Errorf("status = %d, want 1 and %s\n%s", code, want, out)
	}
	if !strings.Contains(log.String(), "was not reloaded") {
		t.Errorf("the log says nothing: %s", log)
	}

	write("[plugin.metrics.two]\ncommand = \"true\"\n")
	hangup <- os.Interrupt
	told("RELOADING=1")
	told("READY=1")
	code, out, _ = run(t, "status", "--conf", conf)
	if strings.Contains(out, "PROBLEM  the configuration") {
		t.Errorf("status = %d\n%s", code, out)
	}

	stop()
	told("STOPPING=1")
	if code := <-ended; code != 0 {
		t.Errorf("exit code %d; log:\n%s", code, log)
	}
	if code, _, _ := run(t, "status", "--conf", conf); code != 3 {
		t.Errorf("after the stop: status = %d, want 3", code)
	}
}

// A host is retired on its server, with the agent's own key, and then forgotten here.
func TestRetireAsksTheServerAndForgetsTheHost(t *testing.T) {
	var calls []string
	answer := http.StatusForbidden
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls = append(calls, r.Method+" "+r.URL.Path+" "+r.Header.Get("X-Api-Key"))
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(answer)
		if answer == http.StatusOK {
			w.Write([]byte(`{"success":true}`))
		} else {
			w.Write([]byte(`{"error":{"message":"this key may only read"}}`))
		}
	}))
	defer srv.Close()
	root := t.TempDir()
	id := filepath.Join(root, "id")
	if err := os.WriteFile(id, []byte("host1"), 0o644); err != nil {
		t.Fatal(err)
	}
	conf := filepath.Join(root, "agent.toml")
	if err := os.WriteFile(conf, []byte("apikey = \"k\"\napibase = \""+srv.URL+"\"\nroot = \""+root+"\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, _, stderr := run(t, "retire", "--force", "--conf", conf)
	if code != 1 || stderr != "saba-agent agent retire: host host1 was not retired: POST /api/v0/hosts/host1/retire: 403 this key may only read\n" {
		t.Errorf("refused: exit code %d, stderr %q", code, stderr)
	}
	if _, err := os.Stat(id); err != nil {
		t.Error("the id of a host that lives is gone:", err)
	}
	answer = http.StatusOK
	if code, _, stderr = run(t, "retire", "--force", "--conf", conf); code != 0 || !strings.Contains(stderr, "host host1 is retired") {
		t.Errorf("exit code %d, stderr %q", code, stderr)
	}
	if _, err := os.Stat(id); err == nil {
		t.Error("the id of a retired host is kept")
	}
	if want := "POST /api/v0/hosts/host1/retire k"; len(calls) != 2 || calls[1] != want {
		t.Errorf("calls = %q, want two of %q", calls, want)
	}
}

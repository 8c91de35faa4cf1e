// Package e2e tests saba as its users meet it: the real binaries as processes on free
// ports, a real Chromium in front of them, and nothing in between. Each test has its own
// data folder and browser profile; a part that is missing fails the test.
package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// binaries is the folder that TestMain built saba and saba-agent into.
var binaries string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "saba-e2e-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		build := exec.Command("go", "build", "-trimpath", "-o", dir, "../cmd/saba", "../cmd/saba-agent")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		build.Stdout, build.Stderr = os.Stderr, os.Stderr
		if err := build.Run(); err != nil {
			fmt.Fprintln(os.Stderr, "build the binaries:", err)
			return 1
		}
		binaries = dir
		return m.Run()
	}())
}

// patience bounds every wait of these tests: long enough for a loaded machine.
const patience = 60 * time.Second

// A process is a running binary of ours. Its output is kept and shown when the test fails.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	mu     sync.Mutex
	out    bytes.Buffer
	grew   chan struct{} // closed and replaced when out grows
	exited chan struct{}
	err    error // of Wait; read after exited is closed
}

// start runs a binary with arguments and extra environment until the test ends.
func start(t *testing.T, env []string, binary string, args ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.Command(filepath.Join(binaries, binary), args...), grew: make(chan struct{}), exited: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Dir = t.TempDir()
	pipe, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.cmd.Stderr = p.cmd.Stdout
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.exited)
		lines := bufio.NewReader(pipe)
		for {
			line, err := lines.ReadString('\n')
			p.mu.Lock()
			p.out.WriteString(line)
			close(p.grew)
			p.grew = make(chan struct{})
			p.mu.Unlock()
			if err != nil {
				break
			}
		}
		p.err = p.cmd.Wait()
	}()
	t.Cleanup(func() {
		p.cmd.Process.Kill()
		<-p.exited
		if t.Failed() {
			t.Logf("output of %s %v:\n%s", binary, args, p.output())
		}
	})
	return p
}

func (p *process) output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.String()
}

// match waits until the output matches re and returns its groups.
func (p *process) match(re string) []string {
	p.t.Helper()
	r := regexp.MustCompile(re)
	deadline := time.After(patience)
	for {
		p.mu.Lock()
		m, grew := r.FindStringSubmatch(p.out.String()), p.grew
		p.mu.Unlock()
		if m != nil {
			return m
		}
		select {
		case <-grew:
		case <-p.exited:
			if m := r.FindStringSubmatch(p.output()); m != nil {
				return m
			}
			p.t.Fatalf("%v ended (%v) and never printed %q:\n%s", p.cmd.Args, p.err, re, p.output())
		case <-deadline:
			p.t.Fatalf("%v did not print %q in time:\n%s", p.cmd.Args, re, p.output())
		}
	}
}

// stop interrupts the process as Ctrl-C does and waits for a clean end.
func (p *process) stop() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
		p.t.Fatal(err)
	}
	if code := p.wait(); code != 0 {
		p.t.Fatalf("after an interrupt %v ended with exit code %d:\n%s", p.cmd.Args, code, p.output())
	}
}

// kill ends the process as kill -9 does.
func (p *process) kill() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGKILL); err != nil {
		p.t.Fatal(err)
	}
	p.wait()
}

func (p *process) wait() (code int) {
	p.t.Helper()
	select {
	case <-p.exited:
	case <-time.After(patience):
		p.t.Fatalf("%v did not end in time:\n%s", p.cmd.Args, p.output())
	}
	return p.cmd.ProcessState.ExitCode()
}

const key = "e2e-key-0123456789"

// consoleURL waits for the announcement and returns the address of the console.
func (p *process) consoleURL() string { p.t.Helper(); return p.match(`Console\s+(http://\S+)`)[1] }

// setupURL waits for the announcement and returns the set-up link.
func (p *process) setupURL() string { p.t.Helper(); return p.match(`Set up\s+(http://\S+)`)[1] }

// get asks the API and decodes a 200 answer into v; any other answer comes back as its status.
func get(t *testing.T, base, path string, v any) (status int) {
	t.Helper()
	return call(t, http.MethodGet, base, path, nil, v)
}

func call(t *testing.T, method, base, path string, body io.Reader, v any) (status int) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, base+path, body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Api-Key", key)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	if resp.StatusCode == http.StatusOK && v != nil {
		if err := json.Unmarshal(b, v); err != nil {
			t.Fatalf("%s %s answered %q: %v", method, path, b, err)
		}
	}
	return resp.StatusCode
}

type host struct{ ID, Name string }

type sample struct {
	Time  int64
	Value float64
}

// eventually asks until ok says yes, a few times a second: the other side is a process, there is
// nothing to wait on but its answers.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%s did not come about in time", what)
		}
	}
}

func hosts(t *testing.T, base string) []host {
	t.Helper()
	var r struct{ Hosts []host }
	if status := get(t, base, "/api/v0/hosts", &r); status != http.StatusOK {
		t.Fatalf("GET /api/v0/hosts answered %d", status)
	}
	return r.Hosts
}

// points returns the samples of one metric of a host over the last two hours.
func points(t *testing.T, base, hostID, name string) []sample {
	t.Helper()
	now := time.Now().Unix()
	q := url.Values{"name": {name}, "from": {fmt.Sprint(now - 7200)}, "to": {fmt.Sprint(now + 60)}}
	var r struct{ Metrics []sample }
	if status := get(t, base, "/api/v0/hosts/"+hostID+"/metrics?"+q.Encode(), &r); status != http.StatusOK && status != http.StatusNotFound {
		t.Fatalf("GET metrics of %s answered %d", name, status)
	}
	return r.Metrics
}

// firstHost waits until exactly one host is listed.
func firstHost(t *testing.T, base string) host {
	t.Helper()
	var list []host
	eventually(t, "the first host", func() bool { list = hosts(t, base); return len(list) == 1 })
	return list[0]
}

// write makes a file for a test, executable when it is a script.
func write(t *testing.T, path, content string) string {
	t.Helper()
	mode := os.FileMode(0o600)
	if strings.HasPrefix(content, "#!") {
		mode = 0o700
	}
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
	return path
}

// Package redistest starts real Redis servers for tests. It is for tests alone.
package redistest

import (
	"bufio"
	"flag"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/saba-monitor/saba/plugin/target"
)

// A Server is a real redis-server with a data folder of its own.
type Server struct {
	Port string

	t   testing.TB
	log *bufio.Scanner
}

// Start starts a server on a free port of 127.0.0.1 with more arguments, waits until it takes
// connections, and ends it with the test.
func Start(t testing.TB, args ...string) *Server {
	t.Helper()
	port := FreePort(t)
	s := start(t, port, append([]string{"--port", port, "--bind", "127.0.0.1", "--dir", t.TempDir(), "--save", "", "--repl-diskless-sync-delay", "0"}, args...)...)
	s.Says("Ready to accept connections")
	return s
}

// StartSentinel starts a Sentinel that watches the server at a port of 127.0.0.1 under a name,
// and waits until it does.
func StartSentinel(t testing.TB, name, port string, config ...string) *Server {
	t.Helper()
	own := FreePort(t)
	file := t.TempDir() + "/sentinel.conf"
	lines := append([]string{"port " + own, "bind 127.0.0.1", "sentinel monitor " + name + " 127.0.0.1 " + port + " 1"}, config...)
	if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := start(t, own, file, "--sentinel")
	s.Says("+monitor master")
	return s
}

func start(t testing.TB, port string, args ...string) *Server {
	t.Helper()
	path, err := exec.LookPath("redis-server")
	if err != nil {
		t.Fatalf("the test needs a real Redis (Debian's redis-server): %v", err)
	}
	s := &Server{Port: port, t: t}
	cmd := exec.Command(path, args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_, _ = io.Copy(io.Discard, out)
		_ = cmd.Wait()
	})
	s.log = bufio.NewScanner(out)
	return s
}

// FreePort returns a port that is free, and low enough for a cluster's second one above it.
func FreePort(t testing.TB) string {
	t.Helper()
	for {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		port := l.Addr().(*net.TCPAddr).Port
		_ = l.Close()
		if port < 55_000 {
			return strconv.Itoa(port)
		}
	}
}

// Says waits for a line of the server's log.
func (s *Server) Says(what string) {
	s.t.Helper()
	var seen []string
	for s.log.Scan() {
		seen = append(seen, s.log.Text())
		if strings.Contains(s.log.Text(), what) {
			return
		}
	}
	s.t.Fatalf("the server ended without saying %q:\n%s", what, strings.Join(seen, "\n"))
}

// Ask sends one command and returns the answer, which is no error.
func (s *Server) Ask(args ...string) any {
	s.t.Helper()
	var r target.Redis
	defer r.Close()
	fs := flag.NewFlagSet("", flag.ContinueOnError)
	r.AddFlags(fs, "")
	if err := fs.Parse([]string{"-host", "127.0.0.1", "-port", s.Port}); err != nil {
		s.t.Fatal(err)
	}
	answers, err := r.Ask(s.t.Context(), args)
	if err != nil {
		s.t.Fatalf("%q: %v", args, err)
	}
	if no, refused := answers[0].(target.RedisError); refused {
		s.t.Fatalf("%q: %v", args, no)
	}
	return answers[0]
}

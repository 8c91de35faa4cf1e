package e2e

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A testServer is as much of a server of the protocol as an agent needs, over real TCP, which
// misbehaves as its fault wants. It keeps what it took as a server does: of one metric and one
// second there is one value.
type testServer struct {
	t    *testing.T
	base string
	fd   int // bound; it refuses connections until listen

	mu      sync.Mutex
	fault   fault // nil behaves
	met     int   // how often fault dealt with a request
	hosts   map[string]map[string]any
	created int // registrations
	defs    []string
	stored  map[pointID]float64
	taken   map[pointID]int // how often each was stored
	changed []string        // sentences: values that came a second time as another one
	strange []string        // requests that no agent should make
	posts   []postSeen
	done    chan struct{} // closed when the test ends: lets go of what hangs
}

// A fault deals with a request, or returns false for the server to do so. It runs without the server's lock.
type fault func(x *exchange) bool

// An exchange is one request that a fault may deal with.
type exchange struct {
	s      *testServer
	w      http.ResponseWriter
	r      *http.Request
	n      int // of the posts of values, from 1; 0 for any other request
	packed bool
	body   []byte // raw; nil until read was called
}

type pointID struct {
	host, name string
	time       int64
}

type point struct {
	HostID string  `json:"hostId"`
	Name   string  `json:"name"`
	Time   int64   `json:"time"`
	Value  float64 `json:"value"`
}

type postSeen struct {
	at     time.Time // when it arrived
	points int
	packed bool
	faulty bool
}

// newTestServer reserves an address, on which nobody listens yet.
func newTestServer(t *testing.T) *testServer {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return &testServer{
		t: t, fd: fd, base: fmt.Sprintf("http://127.0.0.1:%d", name.(*syscall.SockaddrInet4).Port),
		hosts: map[string]map[string]any{}, stored: map[pointID]float64{}, taken: map[pointID]int{}, done: make(chan struct{}),
	}
}

// startTestServer returns a server that listens, and meets every request with f first.
func startTestServer(t *testing.T, f fault) *testServer {
	t.Helper()
	s := newTestServer(t)
	s.fault = f
	s.listen()
	return s
}

// listen serves until the test ends.
func (s *testServer) listen() {
	s.t.Helper()
	if err := syscall.Listen(s.fd, 128); err != nil {
		s.t.Fatal(err)
	}
	f := os.NewFile(uintptr(s.fd), "listener")
	l, err := net.FileListener(f)
	f.Close() // net has its own copy
	if err != nil {
		s.t.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(s.serve)}
	var work sync.WaitGroup
	work.Go(func() { srv.Serve(l) }) // it ends by Close
	s.t.Cleanup(func() {
		close(s.done)
		srv.Close()
		work.Wait()
	})
}

// misbehave replaces the fault; nil behaves from now on.
func (s *testServer) misbehave(f fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = f
}

func (s *testServer) serve(w http.ResponseWriter, r *http.Request) {
	x := &exchange{s: s, w: w, r: r, packed: r.Header.Get("Content-Encoding") == "gzip"}
	s.mu.Lock()
	if r.Method == http.MethodPost && r.URL.Path == "/api/v0/tsdb" {
		s.posts = append(s.posts, postSeen{at: time.Now(), packed: x.packed})
		x.n = len(s.posts)
	}
	f := s.fault
	s.mu.Unlock()
	if f != nil && f(x) {
		s.mu.Lock()
		s.met++
		if x.n > 0 {
			s.posts[x.n-1].faulty = true
		}
		s.mu.Unlock()
		return
	}
	if err := x.read(); err != nil {
		return // the agent was ended in the middle of it
	}
	status, answer := x.act()
	x.answer(status, answer)
}

// read reads the body of the request.
func (x *exchange) read() (err error) {
	if x.body == nil {
		x.body, err = io.ReadAll(x.r.Body)
	}
	return err
}

// points returns the values in the body.
func (x *exchange) points() []point {
	if x.read() != nil {
		return nil
	}
	body := x.body
	if x.packed {
		z, err := gzip.NewReader(bytes.NewReader(body))
		if err == nil {
			body, err = io.ReadAll(z)
		}
		if err != nil {
			x.s.oddity("a body that is not gzip: %v", err)
		}
	}
	var ps []point
	if err := json.Unmarshal(body, &ps); err != nil {
		x.s.oddity("a post of values that is no list: %v", err)
	}
	return ps
}

func (s *testServer) oddity(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.strange = append(s.strange, fmt.Sprintf(format, args...))
}

// act does what the request asks for, as a server that is well, and returns what to answer.
func (x *exchange) act() (status int, answer any) {
	s := x.s
	if x.n > 0 {
		ps := x.points()
		s.mu.Lock()
		defer s.mu.Unlock()
		s.posts[x.n-1].points = len(ps)
		for _, p := range ps {
			id := pointID{p.HostID, p.Name, p.Time}
			if s.hosts[p.HostID] == nil {
				s.strange = append(s.strange, "a value of the unknown host "+p.HostID)
			}
			if was, ok := s.stored[id]; ok && was != p.Value {
				s.changed = append(s.changed, fmt.Sprintf("%v was %v and came again as %v", id, was, p.Value))
			}
			s.stored[id] = p.Value
			s.taken[id]++
		}
		return 200, map[string]bool{"success": true}
	}
	if err := x.read(); err != nil {
		return 400, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	path := strings.TrimPrefix(x.r.URL.Path, "/api/v0")
	id, isHost := strings.CutPrefix(path, "/hosts/")
	id, _, _ = strings.Cut(id, "/")
	switch {
	case x.r.Method == http.MethodPost && path == "/hosts":
		h := map[string]any{}
		if err := json.Unmarshal(x.body, &h); err != nil {
			s.strange = append(s.strange, "a registration that is no object")
		}
		s.created++
		id := "host" + strconv.Itoa(s.created)
		h["id"], h["status"], h["createdAt"] = id, "working", time.Now().Unix()
		s.hosts[id] = h
		return 200, map[string]string{"id": id}
	case x.r.Method == http.MethodGet && path == "/hosts":
		found := []any{}
		for _, h := range s.hosts {
			custom, name := x.r.FormValue("customIdentifier"), x.r.FormValue("name")
			if (custom == "" || h["customIdentifier"] == custom) && (name == "" || h["name"] == name) {
				found = append(found, h)
			}
		}
		return 200, map[string]any{"hosts": found}
	case isHost && s.hosts[id] == nil:
		return 404, failure("no such host")
	case isHost && x.r.Method == http.MethodGet:
		return 200, map[string]any{"host": s.hosts[id]}
	case isHost:
		return 200, map[string]any{"id": id, "success": true}
	case path == "/graph-defs/create":
		s.defs = append(s.defs, string(x.body))
	}
	return 200, map[string]bool{"success": true}
}

func failure(message string) any {
	return map[string]any{"error": map[string]string{"message": message}}
}

// answer writes a status and v as JSON, or v as it is when it is a string.
func (x *exchange) answer(status int, v any) bool {
	text, plain := v.(string)
	b := []byte(text)
	if plain {
		x.w.Header().Set("Content-Type", "text/html")
	} else {
		b, _ = json.Marshal(v)
		x.w.Header().Set("Content-Type", "application/json")
	}
	x.w.WriteHeader(status)
	x.w.Write(b) // the agent may have gone
	return true
}

// wait waits as a slow server does; until the agent gives up, when d is 0.
func (x *exchange) wait(d time.Duration) {
	var timer <-chan time.Time
	if d > 0 {
		timer = time.After(d)
	}
	select {
	case <-timer:
	case <-x.r.Context().Done():
	case <-x.s.done:
	}
}

// cut writes raw bytes in place of an answer and ends the connection, with a reset if so told.
func (x *exchange) cut(raw string, reset bool) bool {
	c, _, err := x.w.(http.Hijacker).Hijack()
	if err != nil {
		x.s.oddity("hijack: %v", err)
		return true
	}
	io.WriteString(c, raw)
	if reset {
		c.(*net.TCPConn).SetLinger(0)
	}
	c.Close()
	return true
}

// check runs f with the server's lock held.
func (s *testServer) check(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

// A numbering is a plugin whose values say themselves what they are: of each of the minutes before a
// run, metrics values that only that metric and minute have.
type numbering struct {
	script string
	ledger string // a line for each minute that was printed whole
}

const numberedMetrics = 40

// newNumbering makes the plugin.
func newNumbering(t *testing.T, dir string) numbering {
	n := numbering{script: dir + "/numbered.sh", ledger: dir + "/ledger"}
	write(t, n.script, fmt.Sprintf(`#!/bin/sh
[ "$MACKEREL_AGENT_PLUGIN_META" = 1 ] && exit 0
now=$(($(date +%%s) / 60))
i=1
while [ $i -le 12 ]; do
	m=0
	while [ $m -lt %d ]; do
		printf 'numbered.m%%d\t%%d\t%%d\n' $m $(((now - i) * 100 + m)) $(((now - i) * 60))
		m=$((m + 1))
	done
	echo $((now - i)) >>%q
	i=$((i + 1))
done
`, numberedMetrics, n.ledger))
	return n
}

// missing says which of the numbered values that the plugin has printed are not on the server with the
// right value; "" when all are there, and "nothing was printed" before the first. skip is
// left out.
func (n numbering) missing(s *testServer, host string, skip pointID) string {
	b, err := os.ReadFile(n.ledger)
	if err != nil {
		return "nothing was printed"
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, line := range strings.Fields(string(b)) {
		minute, err := strconv.ParseInt(line, 10, 64)
		if err != nil {
			return err.Error()
		}
		for m := range int64(numberedMetrics) {
			id := pointID{host, fmt.Sprintf("custom.numbered.m%d", m), minute * 60}
			if id.name == skip.name && skip.time%60 == id.time%60 && (skip.time == 0 || skip.time == id.time) {
				continue
			}
			if v, ok := s.stored[id]; !ok || math.Abs(v-float64(minute*100+m)) > 0 {
				return fmt.Sprintf("%v is %v (there: %v)", id, v, ok)
			}
		}
	}
	return ""
}

// sound reports what no fault excuses: a second host, a value that changed, a request that makes no sense.
func (s *testServer) sound() {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.created != 1 {
		s.t.Errorf("%d hosts were registered, want 1", s.created)
	}
	for _, what := range s.changed {
		s.t.Error(what)
	}
	for _, what := range s.strange {
		s.t.Errorf("the server was sent %s", what)
	}
}

// A testAgent is saba-agent as a process, with a folder and a configuration of its own.
type testAgent struct {
	*process
	t        *testing.T
	dir      string
	conf     string
	numbered numbering
}

// newTestAgent makes an agent of server, which is not started. more is added to its configuration.
func newTestAgent(t *testing.T, server *testServer, more string) *testAgent {
	t.Helper()
	// Not t.TempDir: the name of a socket is short.
	dir, err := os.MkdirTemp("", "saba-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	a := &testAgent{t: t, dir: dir, conf: dir + "/agent.toml", numbered: newNumbering(t, dir)}
	a.configure(server, fmt.Sprintf("[plugin.metrics.numbered]\ncommand = [\"sh\", %q]\nuse_plugin_timestamp = true\n%s", a.numbered.script, more))
	return a
}

// configure writes the configuration.
func (a *testAgent) configure(server *testServer, more string) {
	a.t.Helper()
	write(a.t, a.conf, fmt.Sprintf("apikey = %q\napibase = %q\nroot = %q\ncloud_platform = \"none\"\n%s", key, server.base, a.dir+"/root", more))
}

// start starts the agent.
func (a *testAgent) start(env ...string) {
	a.t.Helper()
	a.process = start(a.t, env, "saba-agent", "agent", "--conf", a.conf)
}

// An agentStatus is what the tests read of what the agent says about itself.
type agentStatus struct {
	Config   struct{ File, Refused string }
	Host     struct{ ID, State string }
	Queue    struct{ Points, Bytes int }
	Sources  []agentSource
	Refused  int `json:"pointsRefused"`
	Problems []string
}

// An agentSource is a source of values in it.
type agentSource struct {
	Name string
	Runs int
}

// status asks the running agent; false when it does not answer.
func (a *testAgent) status() (s agentStatus, ok bool) {
	a.t.Helper()
	ctx, cancel := context.WithTimeout(a.t.Context(), patience)
	defer cancel()
	// The exit status says whether there are problems, and so does the answer.
	out, _ := command(ctx, "saba-agent", "agent", "status", "--json", "--root", a.dir+"/root").Output()
	return s, json.Unmarshal(out, &s) == nil
}

// queued waits until the agent's queue on disk holds something, or nothing.
func (a *testAgent) queued(something bool) {
	a.t.Helper()
	eventually(a.t, fmt.Sprintf("a queue with something in it: %v", something), func() bool {
		s, ok := a.status()
		return ok && s.Queue.Points > 0 == something
	})
}

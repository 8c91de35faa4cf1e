package agent

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/client"
	"github.com/saba-monitor/saba/internal/collect"
)

// A faultServer puts a fakeServer on the network, and misbehaves at random while it is wild.
type faultServer struct {
	t      *testing.T
	fake   *fakeServer
	addr   string
	random func(n int) int // in [0, n); safe for use by several goroutines

	mu      sync.Mutex
	wild    bool
	srv     *http.Server
	serving *sync.WaitGroup
	met     map[string]int // faults, by name
	changed []string       // values that came a second time as another one
	points  int            // that were taken, those that came again too
}

// open listens, again on the address of before.
func (s *faultServer) open() {
	s.t.Helper()
	var l net.Listener
	for patient := time.Now().Add(time.Minute); ; {
		var err error
		if l, err = net.Listen("tcp", s.addr); err == nil {
			break
		}
		if time.Now().After(patient) {
			s.t.Error(err)
			return
		}
		time.Sleep(time.Millisecond) // somebody else has the address
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.srv == nil {
		s.addr = l.Addr().String()
	}
	srv, serving := &http.Server{Handler: s}, &sync.WaitGroup{}
	s.srv, s.serving = srv, serving
	serving.Go(func() { srv.Serve(l) }) // it ends by Close
}

// shut ends every connection and refuses new ones.
func (s *faultServer) shut() {
	s.mu.Lock()
	srv, serving := s.srv, s.serving
	s.mu.Unlock()
	srv.Close()
	serving.Wait()
}

// ServeHTTP answers as a server does, or as the network between makes it look.
func (s *faultServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	wild := s.wild
	s.mu.Unlock()
	met := func(what string) {
		s.mu.Lock()
		s.met[what]++
		s.mu.Unlock()
	}
	cut := func() {
		if c, _, err := w.(http.Hijacker).Hijack(); err == nil {
			c.Close()
		}
	}
	write := func(status int, v any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		json.NewEncoder(w).Encode(v) // to an agent that may have been killed
	}
	creates := r.Method == http.MethodPost && r.URL.Path == "/api/v0/hosts"
	posts := r.URL.Path == "/api/v0/tsdb"
	lose := false
	if wild && (posts || creates) {
		switch s.random(9) {
		case 0, 1:
			lose = true
		case 2:
			met("cut in the request")
			r.Body.Read(make([]byte, 40))
			cut()
			return
		case 3:
			met("500")
			write(http.StatusInternalServerError, map[string]string{"error": "no"})
			return
		case 4:
			met("401")
			write(http.StatusUnauthorized, map[string]string{"error": "who?"})
			return
		case 5:
			met("a page")
			w.WriteHeader(http.StatusBadRequest)
			io.WriteString(w, "<html>no</html>")
			return
		case 6:
			if posts {
				met("hang")
				io.Copy(io.Discard, r.Body)
				<-r.Context().Done()
				return
			}
		}
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the agent was killed in the middle
	}
	status, answer := s.act(r, body)
	if lose {
		met("answer lost")
		if creates {
			met("registration lost")
		}
		cut()
		return
	}
	write(status, answer)
}

// act does what a request asks for.
func (s *faultServer) act(r *http.Request, body []byte) (status int, answer any) {
	wire := func(h saba.Host) map[string]any {
		return map[string]any{"id": h.ID, "name": h.Name, "status": h.Status, "createdAt": h.CreatedAt, "interfaces": h.Interfaces, "meta": map[string]any{}}
	}
	ctx, path := r.Context(), strings.TrimPrefix(r.URL.Path, "/api/v0")
	id, isHost := strings.CutPrefix(path, "/hosts/")
	ok := map[string]any{"success": true}
	switch {
	case path == "/tsdb":
		var in []struct {
			HostID, Name string
			Time         int64
			Value        float64
		}
		if err := json.Unmarshal(body, &in); err != nil {
			return http.StatusBadRequest, map[string]string{"error": err.Error()}
		}
		var points []saba.Point
		for _, p := range in {
			points = append(points, saba.Point{Series: saba.Series{Host: p.HostID, Name: p.Name}, Sample: saba.Sample{Time: p.Time, Value: p.Value}})
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.points += len(points)
		s.fake.set(func() {
			for _, p := range points {
				if was, there := s.fake.samples[p.Series][p.Time]; there && was != p.Value {
					s.changed = append(s.changed, fmt.Sprintf("%v of %d was %v and became %v", p.Series, p.Time, was, p.Value))
				}
			}
		})
		if err := s.fake.PostHostMetrics(ctx, points); err != nil {
			return http.StatusInternalServerError, map[string]string{"error": err.Error()}
		}
	case path == "/hosts" && r.Method == http.MethodPost:
		var p client.HostParam
		err := json.Unmarshal(body, &p)
		if err == nil {
			id, err = s.fake.CreateHost(ctx, p)
		}
		if err != nil {
			return http.StatusBadRequest, map[string]string{"error": err.Error()}
		}
		s.fake.set(func() {
			h := s.fake.hosts[id]
			h.CreatedAt, h.Interfaces = time.Now().Unix(), p.Interfaces
			s.fake.put(h)
		})
		return http.StatusOK, map[string]string{"id": id}
	case path == "/hosts":
		found, _ := s.fake.Hosts(ctx, saba.HostFilter{})
		hosts := []any{}
		for _, h := range found {
			hosts = append(hosts, wire(h))
		}
		return http.StatusOK, map[string]any{"hosts": hosts}
	case isHost && r.Method == http.MethodGet:
		h, err := s.fake.Host(ctx, id)
		if err != nil {
			return http.StatusNotFound, map[string]string{"error": "no such host"}
		}
		return http.StatusOK, map[string]any{"host": wire(h)}
	}
	return http.StatusOK, ok
}

// faultEnv names the folder of the child of TestNothingIsLostByKillsAndFaults.
const faultEnv = "SABA_TEST_AGENT"

// A minuteSource brings values that follow from the minute.
type minuteSource struct{ minute atomic.Int64 }

func (*minuteSource) Name() string { return "minutes" }

func (s *minuteSource) Collect(context.Context) ([]saba.Value, error) {
	return minuteValues(s.minute.Load()), nil
}

func minuteValues(minute int64) (values []saba.Value) {
	for i := range int64(3) {
		values = append(values, saba.Value{Name: fmt.Sprintf("custom.minutes.m%d", i), Value: float64(minute/60*10 + i)})
	}
	return values
}

// A toldQueue prints each minute before and after the queue has taken it.
type toldQueue struct {
	adder
	added chan struct{}
}

func (q toldQueue) add(b batch) {
	fmt.Println("begins", b.Minute)
	q.adder.add(b)
	fmt.Println("added", b.Minute)
	q.added <- struct{}{}
}

// runFastAgent is an agent whose minutes pass as fast as the queue takes them: all of it but the
// loop that waits for the clock. It collects most minutes from first on, sends all that waits, and returns.
func runFastAgent(root, base string, first int64, most int) error {
	call, err := client.New(client.Options{Base: base, Key: "k", HTTP: &http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{}}})
	if err != nil {
		return err
	}
	src := &minuteSource{}
	o := Options{
		Config: Config{Root: root}, API: call, Sources: []Source{src},
		Facts: func(context.Context) (collect.Facts, error) {
			return collect.Facts{Name: "vm", Interfaces: []saba.Interface{{Name: "eth0", MAC: "02:00:00:00:00:01"}}}, nil
		},
		Log: slog.New(slog.NewTextHandler(os.Stderr, nil)), Random: func() float64 { return 0 },
	}
	ids, _, err := openIDFolder(root)
	if err != nil {
		return err
	}
	q, err := openQueue(o, nil)
	if err != nil {
		return err
	}
	ctx, end := context.WithCancel(context.Background())
	defer end()
	hosts := newHostIDs()
	told := toldQueue{q, make(chan struct{}, 1)} // a turn may be over before it returns
	sched := newSchedule(o, nil, told)
	sched.counters = newCounters(root, o.Log)
	// The waits of an agent are meant for outages of minutes.
	send := newSender(o, q, hosts)
	send.retry.least = 10 * time.Millisecond
	send.refused = backoff{least: 10 * time.Millisecond, most: 100 * time.Millisecond}

	var parts sync.WaitGroup
	parts.Go(func() { (&registrar{o: o, ids: ids, hosts: hosts, asked: &asking{}}).run(ctx) })
	parts.Go(func() { send.run(ctx) })
	for n := range most {
		src.minute.Store(first + int64(n)*60)
		sched.turn(ctx, src.minute.Load())
		<-told.added
		sleep(ctx, 5*time.Millisecond) // else the disk has more than it can do
	}
	for tick := time.NewTicker(10 * time.Millisecond); q.waiting() > 0; <-tick.C {
	}
	end()
	parts.Wait()
	sched.wait()
	return q.close(context.Background())
}

// The agent is killed at random moments, while the server comes and goes and answers as it likes: in the end
// every minute that the agent had taken is on the server, right, of one host, and none was made up.
func TestNothingIsLostByKillsAndFaults(t *testing.T) {
	if root := os.Getenv(faultEnv); root != "" {
		first, err := strconv.ParseInt(os.Getenv(faultEnv+"_FIRST"), 10, 64)
		most := 0
		if err == nil {
			most, err = strconv.Atoi(os.Getenv(faultEnv + "_MOST"))
		}
		if err == nil {
			err = runFastAgent(root, os.Getenv(faultEnv+"_SERVER"), first, most)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	var dice sync.Mutex
	numbers := rand.New(rand.NewPCG(seed, 0))
	random := func(n int) int {
		dice.Lock()
		defer dice.Unlock()
		return numbers.IntN(n)
	}
	server := &faultServer{t: t, fake: &fakeServer{}, addr: "127.0.0.1:0", random: random, wild: true, met: map[string]int{}}
	server.open()
	defer server.shut()

	root := filepath.Join(t.TempDir(), "root")
	start := saba.Minute(time.Now().Add(-12 * time.Hour).Unix())
	added, begun := map[int64]bool{}, map[int64]bool{}
	next := start
	// child runs an agent that collects most minutes. It is killed after a random time, unless it may end by itself.
	child := func(most int, kill bool) {
		t.Helper()
		cmd := exec.Command(exe, "-test.run=^TestNothingIsLostByKillsAndFaults$")
		cmd.Env = append(os.Environ(), faultEnv+"="+root, faultEnv+"_SERVER=http://"+server.addr,
			fmt.Sprintf("%s_FIRST=%d", faultEnv, next), fmt.Sprintf("%s_MOST=%d", faultEnv, most))
		log := &logBuffer{}
		cmd.Stderr = log
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		after, end := time.Minute, syscall.SIGQUIT // it hangs, and shall say where
		if kill {
			after, end = time.Duration(50+random(900))*time.Millisecond, syscall.SIGKILL
		}
		killer := time.AfterFunc(after, func() { cmd.Process.Signal(end) })
		for scan := bufio.NewScanner(out); scan.Scan(); {
			var what string
			var minute int64
			if _, err := fmt.Sscan(scan.Text(), &what, &minute); err != nil {
				continue // the kill cut it
			}
			switch what {
			case "begins":
				begun[minute] = true
				next = max(next, minute+60)
			case "added":
				added[minute] = true
			}
		}
		err = cmd.Wait()
		killer.Stop()
		if exit, ok := errors.AsType[*exec.ExitError](err); err != nil && (!kill || !ok || exit.Exited()) {
			t.Fatalf("the agent ended by itself: %v\n%s", err, log)
		}
	}

	comings, stop := context.WithCancel(t.Context())
	var toggle sync.WaitGroup
	toggle.Go(func() {
		for sleep(comings, time.Duration(300+random(600))*time.Millisecond) {
			server.shut()
			sleep(comings, time.Duration(random(300))*time.Millisecond)
			server.open()
		}
	})
	for range 15 {
		child(1_000_000, true)
	}
	stop()
	toggle.Wait()
	server.mu.Lock()
	server.wild = false
	server.mu.Unlock()
	child(5, false)

	t.Logf("%d minutes taken in 15 lives, %d begun; faults: %v", len(added), len(begun), server.met)
	if len(added) < 100 || len(server.met) < 3 { // of six
		t.Error("next to nothing happened: the test shows nothing")
	}
	if n := len(server.fake.created); n != 1 {
		t.Errorf("%d hosts were registered, want 1", n)
	}
	for _, what := range server.changed {
		t.Error(what)
	}
	for minute := range added {
		for _, v := range minuteValues(minute) {
			if got, ok := server.fake.samples[saba.Series{Host: "host1", Name: v.Name}][minute]; !ok || got != v.Value {
				t.Errorf("%s of minute %d is %v (there: %v), want %v", v.Name, (minute-start)/60, got, ok, v.Value)
			}
		}
	}
	for series, samples := range server.fake.samples {
		for minute := range samples {
			if !begun[minute] || series.Host != "host1" {
				t.Errorf("%v has the minute %d, which the agent did not collect", series, minute)
			}
		}
	}

	// What the server has taken is not sent again after a clean end.
	before := server.points
	child(0, false)
	if again := server.points - before; again > 0 {
		t.Errorf("%d values were sent again after all were taken", again)
	}
}

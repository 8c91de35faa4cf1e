package sidekiq

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/saba-monitor/saba/plugin"
	"github.com/saba-monitor/saba/plugin/plugintest"
	"github.com/saba-monitor/saba/plugin/target/redistest"
)

// ruby prepares a command with the jobs of testdata, whose Redis is s.
func ruby(t *testing.T, s *redistest.Server, command string, args ...string) *exec.Cmd {
	t.Helper()
	path, err := exec.LookPath(command)
	if err != nil {
		t.Fatalf("the test needs a real Sidekiq (Debian's ruby-sidekiq): %v", err)
	}
	cmd := exec.Command(path, args...)
	cmd.Env = append(os.Environ(), "REDIS_URL=redis://127.0.0.1:"+s.Port, "LANG=C.UTF-8")
	cmd.Stderr = os.Stderr
	return cmd
}

// startSidekiq starts a process of three threads and returns it with a wait for a line of its log.
func startSidekiq(t *testing.T, s *redistest.Server) (cmd *exec.Cmd, says func(string)) {
	t.Helper()
	cmd = ruby(t, s, "sidekiq", "-r", "./testdata/worker.rb", "-c", "3", "-q", "default", "-q", "mailers")
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
		_ = cmd.Wait() // an error when the test has waited already
	})
	log := bufio.NewScanner(out)
	return cmd, func(what string) {
		t.Helper()
		var seen []string
		for log.Scan() {
			seen = append(seen, log.Text())
			if strings.Contains(log.Text(), what) {
				return
			}
		}
		t.Fatalf("Sidekiq ended without saying %q:\n%s", what, strings.Join(seen, "\n"))
	}
}

func TestARealSidekiq(t *testing.T) {
	s := redistest.Start(t)
	if out, err := ruby(t, s, "ruby", "testdata/worker.rb").Output(); err != nil {
		t.Fatalf("enqueue: %v\n%s", err, out)
	}
	args := []string{"-host", "127.0.0.1", "-port", s.Port}
	got := plugintest.Collect(t, Plugin, args, "Utilization.threads")
	for name, want := range map[string]float64{
		"QueueSize.default": 6, "QueueSize.mailers": 2, "QueueSize.low_prio": 2, "Stats.enqueued": 10, "Stats.schedule": 3,
		"Stats.busy": 0, "Processes.processes": 0, "ProcessedANDFailed.processed": 0,
	} {
		if got[name] != want {
			t.Errorf("before it starts: %s = %v, want %v", name, got[name], want)
		}
	}

	cmd, says := startSidekiq(t, s)
	for range 4 {
		s.Ask("BRPOP", "test:done", "0")
	}
	for range 2 {
		s.Ask("BRPOP", "test:failed", "0")
		s.Ask("BRPOP", "test:started", "0")
	}
	// A process takes a signal from Redis when it tells how it is. The second one comes in a
	// report that began after the first, and so after the jobs did.
	identity := s.Ask("SRANDMEMBER", "processes").(string)
	s.Ask("LPUSH", identity+"-signals", "TTIN")
	says("Thread TID")
	s.Ask("LPUSH", identity+"-signals", "TSTP")
	says("no longer accepting new work")
	got = plugintest.Collect(t, Plugin, args)
	for name, want := range map[string]float64{
		"Stats.busy": 2, "Processes.processes": 1, "Processes.threads": 3, "Processes.quiet": 0, "Utilization.threads": 200.0 / 3,
		"QueueSize.default": 0, "QueueLatency.default": 0, "QueueSize.mailers": 0, "Stats.enqueued": 2,
		"Stats.retry": 1, "Stats.dead": 1, "Stats.schedule": 3, "ProcessedANDFailed.processed": 6, "ProcessedANDFailed.failed": 2,
	} {
		if math.Abs(got[name]-want) > 1e-9 {
			t.Errorf("at work: %s = %v, want %v", name, got[name], want)
		}
	}
	if l := got["QueueLatency.low_prio"]; l <= 0 || l > 600 {
		t.Errorf("the oldest job of the queue that nobody works on waits for %v s, want a few", l)
	}

	s.Ask("LPUSH", "test:gate", "1", "2")
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("Sidekiq ended with %v", err)
	}
	got = plugintest.Collect(t, Plugin, args, "Utilization.threads")
	if got["ProcessedANDFailed.processed"] != 8 || got["Processes.processes"] != 0 || got["Stats.busy"] != 0 {
		t.Errorf("after it ended: %v, want 8 processed and no process", got)
	}
}

func embed(t *testing.T, args ...string) *plugin.Embedded {
	t.Helper()
	e, err := plugin.Embed(Plugin, args)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// What is not known has no value, and the rest has.
func TestWhatIsWrongInRedis(t *testing.T) {
	for name, tt := range map[string]struct {
		commands [][]string
		args     []string
		missing  []string // and those below it
		want     string   // a part of the error
	}{
		"nothing is there":              {nil, nil, nil, "no Sidekiq has ever worked in this database"},
		"another namespace":             {[][]string{{"SET", "stat:processed", "5"}}, []string{"-redis-namespace", "shop"}, nil, "-redis-namespace"},
		"a total that is a word":        {[][]string{{"SET", "stat:processed", "many"}}, nil, []string{"ProcessedANDFailed.processed"}, `processed: "many" is no count`},
		"a total that is a list":        {[][]string{{"LPUSH", "stat:failed", "1"}}, nil, []string{"ProcessedANDFailed.failed"}, "failed: WRONGTYPE"},
		"a queue that is no list":       {[][]string{{"SADD", "queues", "q", "r"}, {"SET", "queue:q", "1"}}, nil, []string{"Stats.enqueued", "QueueSize.q", "QueueLatency.q"}, `queue "q": WRONGTYPE`},
		"a job that is none":            {[][]string{{"SADD", "queues", "q"}, {"LPUSH", "queue:q", "topsecret"}}, nil, []string{"QueueLatency.q"}, `queue "q": its oldest job cannot be read`},
		"a job without a time":          {[][]string{{"SADD", "queues", "q"}, {"LPUSH", "queue:q", "{}"}}, nil, []string{"QueueLatency.q"}, `queue "q": its oldest job does not say since when it waits`},
		"queues that are no set":        {[][]string{{"SET", "queues", "q"}}, nil, []string{"Stats.enqueued"}, "queues: WRONGTYPE"},
		"a process without a count":     {[][]string{{"SADD", "processes", "p"}, {"HSET", "p", "busy", "x"}}, nil, []string{"Stats.busy", "Processes.processes"}, `process "p": busy: "x" is no count`},
		"a process that is no hash":     {[][]string{{"SADD", "processes", "p"}, {"SET", "p", "x"}}, nil, []string{"Stats.busy"}, `process "p": WRONGTYPE`},
		"retries that are not in order": {[][]string{{"SADD", "retry", "x"}}, nil, []string{"Stats.retry"}, "retry: WRONGTYPE"},
	} {
		t.Run(name, func(t *testing.T) {
			s := redistest.Start(t)
			for _, command := range tt.commands {
				s.Ask(command...)
			}
			values, err := embed(t, append(tt.args, "-host", "127.0.0.1", "-port", s.Port)...).Values(t.Context())
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "topsecret") {
				t.Errorf("error %v, want %q", err, tt.want)
			}
			if tt.missing == nil && len(values) > 0 || tt.missing != nil && len(values) < 3 {
				t.Errorf("values %v", values)
			}
			for _, v := range values {
				for _, m := range tt.missing {
					if v.Name == "sidekiq."+m {
						t.Errorf("%s = %v, which is not known", v.Name, v.Value)
					}
				}
			}
		})
	}
}

func TestNoRedisIsNoValue(t *testing.T) {
	at := net.JoinHostPort("127.0.0.1", redistest.FreePort(t))
	values, err := embed(t, "-url", "redis://:topsecret@"+at).Values(t.Context())
	if len(values) > 0 || err == nil || !strings.Contains(err.Error(), "ask Redis at "+at+": ") || strings.Contains(err.Error(), "secret") {
		t.Errorf("Values = %v, %v, want an error that names %s", values, err, at)
	}
}

// The documentation promises that these rights are enough.
func TestTheRightsThatAreNeeded(t *testing.T) {
	s := redistest.Start(t, "--user", "watcher", "on", ">topsecret", "~*", "+get", "+zcard", "+smembers", "+llen", "+lindex", "+hmget", "+select")
	url := "redis://watcher:topsecret@127.0.0.1:" + s.Port
	if _, err := embed(t, "-url", url+"/1").Values(t.Context()); err == nil || !strings.Contains(err.Error(), "no Sidekiq has ever worked in this database") {
		t.Errorf("another database: %v", err)
	}
	s.Ask("SADD", "queues", "a")
	s.Ask("LPUSH", "queue:a", `{"enqueued_at":1}`)
	s.Ask("SADD", "processes", "p")
	s.Ask("HSET", "p", "busy", "1")
	if values, err := embed(t, "-url", url).Values(t.Context()); err != nil || len(values) < 8 {
		t.Errorf("%d values, %v", len(values), err)
	}
}

// Queues and processes that come and go are seen at once, also by a collector that lives on.
func TestQueuesAndProcessesComeAndGo(t *testing.T) {
	s := redistest.Start(t)
	e := embed(t, "-host", "127.0.0.1", "-port", s.Port, "-redis-namespace", "shop")
	turn := func(want map[string]float64, commands ...[]string) {
		t.Helper()
		for _, command := range commands {
			s.Ask(command...)
		}
		values, err := e.Values(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]float64{}
		for _, v := range values {
			if name := strings.TrimPrefix(v.Name, "sidekiq."); !strings.HasPrefix(name, "ProcessedANDFailed") && !strings.HasPrefix(name, "QueueLatency") && v.Value != 0 {
				got[name] = v.Value
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("values %v, want %v", got, want)
		}
	}
	turn(map[string]float64{"QueueSize.a": 1, "Stats.enqueued": 1},
		[]string{"SADD", "shop:queues", "a"}, []string{"LPUSH", "shop:queue:a", `{"enqueued_at":1}`})
	turn(map[string]float64{"QueueSize.a": 1, "QueueSize.b_c": 3, "Stats.enqueued": 4, "Processes.processes": 1, "Processes.threads": 10, "Processes.quiet": 1, "Stats.busy": 4, "Utilization.threads": 40},
		[]string{"SADD", "shop:queues", "b.c", "b:c"}, []string{"RPUSH", "shop:queue:b.c", "{}", `{"enqueued_at":1}`}, []string{"LPUSH", "shop:queue:b:c", `{"enqueued_at":1}`},
		// One of version 8, and one that died.
		[]string{"SADD", "shop:processes", "h:1:x", "h:2:dead"}, []string{"HSET", "shop:h:1:x", "busy", "4", "concurrency", "10", "quiet", "true", "info", "{}"})
	turn(map[string]float64{"QueueSize.b_c": 1, "Stats.enqueued": 1, "Processes.processes": 1, "Stats.busy": 1},
		[]string{"SREM", "shop:queues", "a", "b.c"}, []string{"DEL", "shop:h:1:x"}, []string{"HSET", "shop:h:2:dead", "busy", "1"}) // says no threads
}

// In the steady state one round trip is enough, however many queues there are.
func TestOneRoundTrip(t *testing.T) {
	s := redistest.Start(t)
	s.Ask("SADD", "queues", "a", "b", "c")
	reads := 0
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { // a proxy that counts what the plugin sends at a time
		defer close(done)
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		up, err := net.Dial("tcp", "127.0.0.1:"+s.Port)
		if err != nil {
			return
		}
		copied := make(chan struct{})
		go func() { defer close(copied); _, _ = io.Copy(c, up) }()
		b := make([]byte, 64<<10)
		for {
			n, err := c.Read(b)
			if err != nil {
				break
			}
			reads++
			_, _ = up.Write(b[:n])
		}
		_ = up.Close()
		<-copied
	}()
	c := newFlags(t, "-url", "redis://"+l.Addr().String())
	for range 3 {
		if _, err := c.read(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	c.server.Close()
	_ = l.Close()
	<-done
	if reads != 4 { // the first turn does not know the queues yet
		t.Errorf("three turns took %d round trips, want 4", reads)
	}
}

// newFlags returns a collector with flags.
func newFlags(t *testing.T, args ...string) *collector {
	t.Helper()
	fs := flag.NewFlagSet("", flag.ContinueOnError)
	c := Plugin.New(fs).(*collector)
	if err := fs.Parse(args); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestLatency(t *testing.T) {
	now := time.UnixMilli(1_800_000_060_500)
	for name, tt := range map[string]struct {
		job  string
		want float64
		ok   bool
	}{
		"seconds, as until version 7":      {`{"args":[1],"created_at":1800000000.25,"enqueued_at":1800000050.25}`, 10.25, true},
		"milliseconds, as since version 8": {`{"created_at":1800000000250,"enqueued_at":1800000050250}`, 10.25, true},
		"created but not enqueued":         {`{"created_at":1800000000500}`, 60, true},
		"null is no time":                  {`{"enqueued_at":null,"created_at":1800000000500}`, 60, true},
		"a clock that is ahead":            {`{"enqueued_at":1800000099000}`, 0, true},
		"times in arguments are not its":   {`{"args":[{"enqueued_at":1}],"enqueued_at":1800000060}`, 0.5, true},
		"no time":                          {`{"class":"A"}`, 0, false},
		"a time that is a word":            {`{"enqueued_at":"1800000060"}`, 0, false},
		"no JSON":                          {`--- !ruby`, 0, false},
		"cut off":                          {`{"enqueued_at":1800000060`, 0, false},
		"no object":                        {`[1]`, 0, false},
		"nothing":                          {``, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := latency(tt.job, now)
			if (err == nil) != tt.ok || math.Abs(got-tt.want) > 1e-6 {
				t.Errorf("latency(%s) = %v, %v, want %v", tt.job, got, err, tt.want)
			}
		})
	}
}

// Whatever is in a queue, its latency is a number that is not negative, or not known.
func FuzzLatency(f *testing.F) {
	f.Add(`{"created_at":1800000000.25,"enqueued_at":1800000050250}`)
	f.Add(`{"enqueued_at":-1e308}`)
	f.Add(`{"busy":1}`)
	f.Fuzz(func(t *testing.T, job string) {
		got, err := latency(job, time.Unix(1_800_000_000, 0))
		if err == nil && (got < 0 || math.IsNaN(got) || !json.Valid([]byte(job))) {
			t.Errorf("latency(%q) = %v", job, got)
		}
	})
}

func TestL2met(t *testing.T) {
	s := redistest.Start(t)
	s.Ask("SADD", "queues", "mailers", "default", "ops.night:é")
	s.Ask("LPUSH", "queue:mailers", `{"enqueued_at":4102444800000}`) // ahead
	c := newFlags(t, "-host", "127.0.0.1", "-port", s.Port, "-format", "l2met", "-type", "measure")
	got, err := c.Print(t.Context())
	want := "measure#sidekiq.default.size=0 measure#sidekiq.mailers.size=1 measure#sidekiq.ops.night:_.size=0\n" +
		"measure#sidekiq.default.latency=0 measure#sidekiq.mailers.latency=0 measure#sidekiq.ops.night:_.latency=0\n"
	if err != nil || got != want {
		t.Errorf("Print = %v:\n%swant:\n%s", err, got, want)
	}
}

// A drain cuts lines that are too long, and its parser knows no exponents.
func TestL2metLines(t *testing.T) {
	l := l2met{kind: "sample"}
	r := &reading{queues: map[string]queue{"a": {size: 1e9, latency: 1e-7}, "b": {noTime: true}, "c": {noLength: true, noTime: true}}}
	if got, want := l.lines(r), "sample#sidekiq.a.size=1000000000 sample#sidekiq.b.size=0\nsample#sidekiq.a.latency=0.0000001\n"; got != want {
		t.Errorf("lines = %q, want %q", got, want)
	}
	if got := l.lines(&reading{}); got != "" {
		t.Errorf("lines without a queue = %q", got)
	}
	for i := range 1000 {
		r.queues[fmt.Sprintf("queue_%d", i)] = queue{}
	}
	n := 0
	for line := range strings.Lines(l.lines(r)) {
		if n += strings.Count(line, "sample#"); len(line) > maxL2met+1 {
			t.Errorf("a line has %d bytes", len(line))
		}
	}
	if n != 2003 {
		t.Errorf("%d tokens, want 2003", n)
	}
}

// Each interval prints, an outage says so and ends nothing, and the end is no error.
func TestL2metAtAnInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out, errs bytes.Buffer
		ctx, cancel := context.WithTimeout(t.Context(), 95*time.Second)
		defer cancel()
		sys := plugin.System{Program: "sidekiq", Stdout: &out, Stderr: &errs, Getenv: func(string) string { return "" }}
		if code := plugin.Run(ctx, Plugin, []string{"-socket", "/no/such/socket", "-format", "l2met", "-interval", "30s"}, sys); code != 0 {
			t.Errorf("Run = %d", code)
		}
		if n := strings.Count(errs.String(), "sidekiq: ask Redis at /no/such/socket: "); n != 4 || out.Len() > 0 {
			t.Errorf("%d turns in 95 s, want 4:\n%s%s", n, errs.String(), out.String())
		}
	})
}

func TestFlags(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want string
	}{
		{nil, ""},
		{[]string{"-format", "l2met"}, "for the plugin as a command"},
		{[]string{"-format", "xml"}, `-format "xml"`},
		{[]string{"-format", "l2met", "-type", "gauge"}, `-type "gauge"`},
		{[]string{"-interval", "30s"}, "-interval is for -format l2met"},
		{[]string{"-format", "l2met", "-interval", "1ms"}, "-interval 1ms"},
		{[]string{"-url", "redis://a", "-host", "b"}, "-host or -port and -url"},
	} {
		_, err := plugin.Embed(Plugin, tt.args)
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%q: %v, want %q", tt.args, err, tt.want)
		}
	}
}

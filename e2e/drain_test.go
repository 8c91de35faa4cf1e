package e2e

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	mrand "math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/saba-monitor/saba/plugin/target/redistest"
)

// A logplex sends lines as Heroku's log router does: octet-counted, a request at a time, again under the same frame id after a 5xx or without an
// answer. Unlike that one it never gives up, so that nothing is lost on its side.
type logplex struct {
	t       *testing.T
	address func() string // of the drain; a server that was started anew has another one
}

// send sends messages of the application's process, stamped at a time, and returns when they were taken. It says how often it tried.
func (l *logplex) send(at time.Time, proc string, lines ...string) (tries int) {
	var body bytes.Buffer
	for _, line := range lines {
		message := fmt.Sprintf("<190>1 %s host app %s - %s\n", at.UTC().Format("2006-01-02T15:04:05.000000+00:00"), proc, line)
		fmt.Fprintf(&body, "%d %s", len(message), message)
	}
	var id [16]byte
	if _, err := rand.Read(id[:]); err != nil {
		l.t.Error(err)
	}
	for end := time.Now().Add(patience); ; tries++ {
		req, err := http.NewRequestWithContext(l.t.Context(), http.MethodPost, l.address(), bytes.NewReader(body.Bytes()))
		if err != nil {
			l.t.Error(err)
			return tries
		}
		req.Header.Set("Content-Type", "application/logplex-1")
		req.Header.Set("Logplex-Frame-Id", hex.EncodeToString(id[:]))
		req.Header.Set("Logplex-Msg-Count", fmt.Sprint(len(lines)))
		resp, err := http.DefaultClient.Do(req)
		if err == nil {
			_ = resp.Body.Close()
			switch {
			case resp.StatusCode == http.StatusNoContent:
				return tries + 1
			case resp.StatusCode < 500:
				l.t.Errorf("the drain answered %d: Logplex would throw the lines away", resp.StatusCode)
				return tries
			}
		}
		if time.Now().After(end) {
			l.t.Errorf("lines were not taken in time: %v", err)
			return tries
		}
		wait(20 * time.Millisecond)
	}
}

// serviceMetric returns the samples of a service's metric from one time to another.
func serviceMetric(t *testing.T, base, service, name string, from, to int64) []sample {
	t.Helper()
	q := url.Values{"name": {name}, "from": {fmt.Sprint(from)}, "to": {fmt.Sprint(to)}}
	var r struct{ Metrics []sample }
	if status := get(t, base, "/api/v0/services/"+service+"/metrics?"+q.Encode(), &r); status != http.StatusOK && status != http.StatusNotFound {
		t.Fatalf("GET metrics of %s answered %d", name, status)
	}
	return r.Metrics
}

// makeDrain makes a service with a drain and returns the path to post its lines to.
func makeDrain(t *testing.T, base, service string) (path string) {
	t.Helper()
	if !request(t, http.MethodPost, base+"/api/v0/services", map[string]any{"name": service, "memo": ""}, nil) {
		t.Fatal("the service was not made")
	}
	var d struct{ Path string }
	if !request(t, http.MethodPost, base+"/api/v0/drains", map[string]any{"name": service, "service": service}, &d) || d.Path == "" {
		t.Fatal("the drain was not made")
	}
	return d.Path
}

// drainKills is how often TestKillLosesNoLine kills the server; SABA_CRASH_ROUNDS has another number.
const drainKills = 4

// However often the server is killed, each line that was answered counts, and counts once.
func TestKillLosesNoLine(t *testing.T) {
	t.Parallel()
	kills := crashRoundsOr(t, drainKills)
	seed := mrand.Uint64()
	t.Logf("seed %d", seed)
	random := mrand.New(mrand.NewPCG(seed, 0))
	args := []string{"server", "--listen", "127.0.0.1:0", "--data", t.TempDir()}
	env := []string{"SABA_API_KEY=" + key}
	server := start(t, env, "saba", args...)
	var mu sync.Mutex
	base := server.consoleURL()
	path := makeDrain(t, base, "shop")
	address := func() string {
		mu.Lock()
		defer mu.Unlock()
		return base + path
	}

	// The minutes are over and spread over half an hour: some are at hand, of some only the points are left.
	first := time.Now().Unix()/60*60 - 40*60
	const minutes, senders = 30, 3
	var sent [minutes]float64 // jobs by minute
	var lines, again int
	stop := make(chan struct{})
	var work sync.WaitGroup
	for i := range senders {
		l := &logplex{t, address}
		r := mrand.New(mrand.NewPCG(seed, uint64(i+1)))
		work.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				minute, n := r.IntN(minutes), 1+r.IntN(20)
				tries := l.send(time.Unix(first+int64(minute)*60+int64(r.IntN(60)), 0), "worker.1", fmt.Sprintf("done count#jobs=%d measure#time=%dms", n, n))
				mu.Lock()
				sent[minute] += float64(n)
				lines++
				again += tries - 1
				mu.Unlock()
				wait(5 * time.Millisecond)
			}
		})
	}
	for range kills {
		wait(time.Duration(1000+random.IntN(6000)) * time.Millisecond) // a round of writing is every five seconds
		server.kill()
		server = start(t, env, "saba", args...)
		url := server.consoleURL()
		mu.Lock()
		base = url
		mu.Unlock()
	}
	close(stop)
	work.Wait()
	t.Logf("%d lines, sent %d times more than once, over %d kills", lines, again, kills)
	eventually(t, "every line's jobs in its minute", func() bool {
		got := map[int64]float64{}
		for _, s := range serviceMetric(t, base, "shop", "jobs", first, first+minutes*60) {
			got[s.Time] = s.Value
		}
		sums := map[int64]float64{}
		for _, s := range serviceMetric(t, base, "shop", "time.sum", first, first+minutes*60) {
			sums[s.Time] = s.Value
		}
		for m, want := range sent {
			at := first + int64(m)*60
			if got[at] > want || sums[at] > want {
				t.Fatalf("minute %d has %v jobs and %v ms, more than the %v that were sent", m, got[at], sums[at], want)
			}
			if got[at] != want || sums[at] != want {
				return false
			}
		}
		return true
	})
	server.stop()
}

// A Rails application on Heroku whose queue is stuck, with nothing but the buildpack and a drain: real Sidekiq on a real Redis, the dyno's own start of the
// collector, the drain, the graph, and the message at Slack.
func TestAStuckQueueOnHeroku(t *testing.T) {
	t.Parallel()
	server := start(t, []string{"SABA_API_KEY=" + key, "SABA_ALLOW_PRIVATE_ADDRESSES=1"}, "saba", "server", "--listen", "127.0.0.1:0", "--data", t.TempDir())
	base := server.consoleURL()
	address, messages := slackReceiver(t)
	path := regexp.MustCompile(`"path":"(/drains/[^"]+)"`).FindStringSubmatch(walkThrough(t, "../docs/heroku-sidekiq.md", strings.NewReplacer(
		"http://127.0.0.1:3838", base, "KEY=…", "KEY="+key, "https://hooks.slack.com/services/…", address)))[1]

	// A Sidekiq of one thread, whose first job waits for a gate that nobody opens: the second one waits for the thread.
	redis := redistest.Start(t)
	ruby(t, redis, "ruby", "testdata/stuck.rb")
	sidekiq := rubyCommand(t, redis, "sidekiq", "-r", "./testdata/stuck.rb", "-c", "1", "-q", "product_report")
	if err := sidekiq.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = sidekiq.Process.Kill()
		_ = sidekiq.Wait()
	})
	redis.Ask("BRPOP", "test:started", "0")

	// The slug and the dyno of the buildpack.
	slug, pack := t.TempDir(), t.TempDir()
	for _, command := range [][]string{
		{"../packaging/heroku/build.sh", pack, runtime.GOARCH}, {pack + "/bin/compile", slug, t.TempDir(), t.TempDir()},
	} {
		if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", command, err, out)
		}
	}
	dyno := exec.Command("bash", "-c", `cd "$HOME"; for f in .profile.d/*.sh; do . "$f"; done; exec cat`)
	dyno.Env = []string{"HOME=" + slug, "PATH=" + os.Getenv("PATH"), "TMPDIR=" + t.TempDir(), "DYNO=web.1", "SIDEKIQ_METRICS_INTERVAL=2", "REDIS_URL=redis://127.0.0.1:" + redis.Port}
	dyno.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stdin, err := dyno.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := dyno.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := dyno.Start(); err != nil {
		t.Fatal(err)
	}
	var sending sync.WaitGroup
	sending.Go(func() {
		l := &logplex{t, func() string { return base + path }}
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			l.send(time.Now(), "web.1", lines.Text())
		}
	})
	t.Cleanup(func() {
		_ = stdin.Close()
		_ = syscall.Kill(-dyno.Process.Pid, syscall.SIGKILL)
		sending.Wait()
		_ = dyno.Wait()
	})

	var m slackMessage
	select {
	case m = <-messages:
	case <-time.After(3 * time.Minute): // half a minute of waiting, up to two until that minute is over, and the rounds
		t.Fatal("no message arrived")
	}
	if !strings.Contains(m.Text, "CRITICAL: product_report waits") || !strings.Contains(m.Attachments[0].Text, "sidekiq.product_report.latency") {
		t.Errorf("the message says %+v", m)
	}
	resp, err := http.Get(m.Attachments[0].Image)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if b, err := io.ReadAll(resp.Body); err != nil || !strings.HasPrefix(string(b), "\x89PNG") {
		t.Errorf("the graph is %s of %d bytes: %v", resp.Header.Get("Content-Type"), len(b), err)
	}
	now := time.Now().Unix()
	sizes, waits := serviceMetric(t, base, "shop", "sidekiq.product_report.size", now-600, now), serviceMetric(t, base, "shop", "sidekiq.product_report.latency", now-600, now)
	if len(sizes) == 0 || sizes[len(sizes)-1].Value != 1 || len(waits) == 0 || waits[len(waits)-1].Value <= 30 {
		t.Errorf("the sizes are %v, want the one job that waits; the latencies %v, want more than 30", sizes, waits)
	}
}

// rubyCommand prepares a command of Ruby whose Redis is s.
func rubyCommand(t *testing.T, s *redistest.Server, command string, args ...string) *exec.Cmd {
	t.Helper()
	path, err := exec.LookPath(command)
	if err != nil {
		t.Fatalf("the test needs a real Sidekiq (Debian's ruby-sidekiq): %v", err)
	}
	cmd := exec.Command(path, args...)
	cmd.Env = append(os.Environ(), "REDIS_URL=redis://127.0.0.1:"+s.Port, "LANG=C.UTF-8")
	cmd.Stderr = t.Output()
	return cmd
}

func ruby(t *testing.T, s *redistest.Server, command string, args ...string) {
	t.Helper()
	if out, err := rubyCommand(t, s, command, args...).Output(); err != nil {
		t.Fatalf("%s %v: %v\n%s", command, args, err, out)
	}
}

// walkThrough runs the commands of a page, as somebody who reads it does, and returns what they print. Commands that start saba, and those
// that need an account elsewhere and say so, are left out.
func walkThrough(t *testing.T, page string, values *strings.Replacer) string {
	t.Helper()
	b, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	var script strings.Builder
	for i, block := range strings.Split(string(b), "```") {
		commands, shell := strings.CutPrefix(block, "sh\n")
		if i%2 == 0 || !shell {
			continue
		}
		for line := range strings.Lines(commands) {
			if !strings.HasPrefix(line, "saba ") && !strings.Contains(line, "# (Heroku)") {
				script.WriteString(values.Replace(line))
			}
		}
	}
	cmd := exec.Command("bash", "-euo", "pipefail", "-c", script.String())
	cmd.Stderr = t.Output()
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("the commands of %s: %v\n%s", page, err, out)
	}
	return string(out)
}

// A tail that is killed again and again, of a log that is rotated all the time, on a server that is killed too: each line counts once.
func TestKillOfATailLosesNoLine(t *testing.T) {
	t.Parallel()
	seed := mrand.Uint64()
	t.Logf("seed %d", seed)
	random := mrand.New(mrand.NewPCG(seed, 0))
	args := []string{"server", "--listen", "127.0.0.1:" + redistest.FreePort(t), "--data", t.TempDir()}
	server := start(t, []string{"SABA_API_KEY=" + key}, "saba", args...)
	base := server.consoleURL()
	path := makeDrain(t, base, "shop")
	dir := t.TempDir()
	log := filepath.Join(dir, "app.log")
	write(t, log, "")
	tailArgs := []string{"tail", "--state", filepath.Join(dir, "state"), "--from-start", log}
	env := []string{"SABA_DRAIN_URL=" + base + path}
	tail := start(t, env, "saba-agent", tailArgs...)

	// The lines are of a minute that is over.
	at := time.Now().Unix()/60*60 - 300
	jobs, stop := 0, make(chan struct{})
	var writing sync.WaitGroup
	writing.Go(func() {
		f, err := os.OpenFile(log, os.O_APPEND|os.O_WRONLY, 0o600)
		for i := 1; err == nil; i++ {
			select {
			case <-stop:
				if err := f.Close(); err != nil {
					t.Error(err)
				}
				return
			default:
			}
			jobs++
			_, err = fmt.Fprintf(f, "%s worker count#jobs\n", time.Unix(at, 0).UTC().Format(time.RFC3339))
			if i%1000 == 0 && err == nil { // as logrotate does, with a program that is told at once
				err = errors.Join(f.Close(), os.Rename(log, fmt.Sprintf("%s.%d", log, i/1000)))
				if err == nil {
					f, err = os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
				}
			}
			wait(time.Millisecond)
		}
		t.Error(err)
	})
	for range drainKills {
		wait(time.Duration(1000+random.IntN(4000)) * time.Millisecond)
		tail.kill()
		if random.IntN(2) == 0 {
			server.kill()
			server = start(t, []string{"SABA_API_KEY=" + key}, "saba", args...)
			server.consoleURL()
		}
		tail = start(t, env, "saba-agent", tailArgs...)
	}
	close(stop)
	writing.Wait()
	t.Logf("%d lines", jobs)
	eventually(t, "every line", func() bool {
		s := serviceMetric(t, base, "shop", "jobs", at, at)
		if len(s) > 0 && s[0].Value > float64(jobs) {
			t.Fatalf("%v lines count, of %d", s[0].Value, jobs)
		}
		return len(s) > 0 && s[0].Value == float64(jobs)
	})
	tail.stop()
	server.stop()
}

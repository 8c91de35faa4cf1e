package drain

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/ingest"
	"github.com/saba-monitor/saba/internal/logline"
	"github.com/saba-monitor/saba/internal/sqldb"
	"github.com/saba-monitor/saba/internal/tsdb"
)

// begin is the time at which every rig starts.
var begin = time.Date(2026, 1, 2, 3, 4, 10, 0, time.UTC)

// A rig is a drain of the service shop on real engines, with a clock of its own.
type rig struct {
	testing.TB
	records *sqldb.DB
	samples *tsdb.DB
	drains  *Drains
	at      atomic.Int64 // Unix nanoseconds; the engine looks at the clock on its own
	token   string
}

func newRig(t testing.TB) *rig {
	t.Helper()
	r := &rig{TB: t, token: "saba_drain"}
	r.at.Store(begin.UnixNano())
	dir := t.TempDir()
	var err error
	if r.records, err = sqldb.Open(t.Context(), filepath.Join(dir, "saba.db")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.check(r.records.Close()) })
	if r.samples, err = tsdb.Open(t.Context(), tsdb.Options{Dir: filepath.Join(dir, "samples"), Log: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(), Now: r.clock}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.check(r.samples.Close()) })
	_, err = r.records.EnsureOrg(t.Context(), saba.Org{ID: "org1", Name: "first"})
	r.check(err)
	r.check(r.records.CreateService(t.Context(), "org1", saba.Service{Name: "shop"}))
	r.check(r.records.CreateDrain(t.Context(), "org1", saba.Drain{ID: "d1", Name: "app", Service: "shop"}, saba.HashSecret(r.token)))
	r.restart()
	return r
}

func (r *rig) clock() time.Time { return time.Unix(0, r.at.Load()).UTC() }

func (r *rig) check(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

// restart is a kill and a start: nothing is told that it ends.
func (r *rig) restart() {
	log := slog.New(slog.NewTextHandler(r.Output(), nil))
	points := ingest.New(ingest.Options{Hosts: r.records, Samples: r.samples, Log: log, Registerer: prometheus.NewRegistry(), Now: r.clock})
	r.drains = New(Options{Org: "org1", Store: r.records, Points: points, Samples: r.samples, Now: r.clock, Log: log})
	r.drains.loadAll(r.Context())
}

// framed returns a body of messages.
func framed(messages ...string) string {
	var body strings.Builder
	for _, m := range messages {
		fmt.Fprintf(&body, "%d %s", len(m), m)
	}
	return body.String()
}

// post posts frames and returns the status of the answer.
func (r *rig) post(frame string, messages ...string) int {
	r.Helper()
	return r.postBody(frame, framed(messages...))
}

func (r *rig) postBody(frame, body string) int {
	r.Helper()
	return r.postAs("application/logplex-1", frame, body)
}

func (r *rig) postAs(media, frame, body string) int {
	r.Helper()
	req := httptest.NewRequestWithContext(r.Context(), http.MethodPost, Prefix+r.token, strings.NewReader(body))
	req.Header.Set("Content-Type", media)
	req.Header.Set("Logplex-Frame-Id", frame)
	w := httptest.NewRecorder()
	r.drains.ServeHTTP(w, req)
	return w.Code
}

// line returns a message of the application at a time.
func line(at time.Time, text string) string {
	return "<190>1 " + at.Format(time.RFC3339Nano) + " host app web.1 - " + text + "\n"
}

// wait lets time pass, in rounds.
func (r *rig) wait(d time.Duration) {
	for end := r.clock().Add(d); r.clock().Before(end); {
		r.at.Add(int64(round))
		r.drains.Round(r.Context())
	}
}

// want checks the sample of a metric in the minute of a time.
func (r *rig) want(name string, at time.Time, want ...float64) {
	r.Helper()
	minute := saba.Minute(at.Unix())
	got, err := r.samples.Range(r.Context(), []saba.Series{{Org: "org1", Service: "shop", Name: name}}, minute, minute)
	r.check(err)
	var values []float64
	for _, s := range got[0] {
		values = append(values, s.Value)
	}
	if fmt.Sprint(values) != fmt.Sprint(want) {
		r.Errorf("%s at %s is %v, want %v", name, at.Format("15:04"), values, want)
	}
}

func (r *rig) wantStatus(got, want int) {
	r.Helper()
	if got != want {
		r.Fatalf("the answer is %d, want %d", got, want)
	}
}

func TestLinesBecomePointsWhenTheirMinuteIsOver(t *testing.T) {
	r := newRig(t)
	r.wantStatus(r.post("f1", line(begin, "sample#queue.size=3 count#jobs source=worker.1"), line(begin.Add(5*time.Second), "sample#queue.size=5 count#jobs=2 source=worker.1")), 204)
	r.wantStatus(r.post("f2", line(begin, "measure#time=10ms"), line(begin, "measure#time=30ms")), 204)
	r.wait(50 * time.Second) // until the minute's end
	r.want("queue.size.worker.1", begin)
	r.wait(grace)
	r.want("queue.size.worker.1", begin, 5)
	r.want("jobs.worker.1", begin, 3)
	r.want("time.median", begin, 20)
	r.want("time.count", begin, 2)
	r.want("time.p99", begin, 30)
}

func TestARequestSentAgainCountsOnce(t *testing.T) {
	r := newRig(t)
	for range 3 {
		r.wantStatus(r.post("same", line(begin, "count#jobs")), 204)
	}
	r.restart()
	r.wantStatus(r.post("same", line(begin, "count#jobs")), 204)
	r.wantStatus(r.post("other", line(begin, "count#jobs")), 204)
	r.wait(2 * time.Minute)
	r.want("jobs", begin, 2)
}

func TestWhatWasAnsweredOutlivesAKill(t *testing.T) {
	r := newRig(t)
	for i := range 40 {
		r.wantStatus(r.post(fmt.Sprint(i), line(r.clock(), "count#jobs measure#time=5ms")), 204)
		r.restart()
		r.at.Add(int64(time.Second))
	}
	r.wait(20 * time.Minute) // the cells are let go of, the batches folded
	r.want("jobs", begin, 40)
	r.want("time.count", begin, 40)
	if batches, err := r.records.DrainBatches(t.Context(), "d1"); err != nil || len(batches) > 0 {
		t.Errorf("%d batches are kept, error %v; want none, since all is stored", len(batches), err)
	}
}

func TestLateLinesAreAddedToTheirMinute(t *testing.T) {
	r := newRig(t)
	r.wantStatus(r.post("1", line(begin, "count#jobs=4 measure#time=10ms sample#size=1")), 204)
	r.wait(2 * time.Minute)
	r.want("jobs", begin, 4)
	r.wantStatus(r.post("2", line(begin, "count#jobs=3")), 204) // its cell is at hand
	r.wait(time.Minute)
	r.want("jobs", begin, 7)
	r.wait(time.Hour) // only its point is left
	r.restart()
	r.wantStatus(r.post("3", line(begin, "count#jobs=2 measure#time=30ms"), line(begin, "measure#time=50ms sample#size=2")), 204)
	r.restart()
	r.wait(time.Minute)
	r.want("jobs", begin, 9)
	r.want("size", begin, 2)
	r.want("time.count", begin, 3)
	r.want("time.min", begin, 10)
	r.want("time.max", begin, 50)
	r.want("time.mean", begin, 30)
}

func TestATokenThatOpensNothing(t *testing.T) {
	r := newRig(t)
	r.token = "saba_other"
	r.wantStatus(r.post("1", line(begin, "count#jobs")), 401)
	r.token = "saba_drain"
	r.check(r.records.SetDrainToken(context.Background(), "org1", "d1", saba.HashSecret("saba_new")))
	r.wantStatus(r.post("1", line(begin, "count#jobs")), 401)
	r.token = "saba_new"
	r.wantStatus(r.post("1", line(begin, "count#jobs")), 204)
}

func TestRulesOfADrain(t *testing.T) {
	r := newRig(t)
	rules := func(rules ...saba.LineRule) {
		_, err := r.records.UpdateDrain(t.Context(), "org1", "d1", func(d saba.Drain) (saba.Drain, error) {
			d.Rules = rules
			return d, d.Check()
		})
		r.check(err)
	}
	rules(saba.LineRule{Name: "jobs", Type: saba.RuleCounter, Match: `^done (?P<job>\w+)`, Metric: "done.${job}"})
	r.wantStatus(r.post("1", line(begin, "done mail in 3 ms"), line(begin, "done mail in 5 ms")), 204)
	rules(saba.LineRule{Name: "times", Type: saba.RuleTiming, Match: `^done \w+ in (?P<ms>\d+)`, Metric: "time", Value: "ms"})
	r.wantStatus(r.post("2", line(begin, "done mail in 7 ms")), 204)
	rules()
	r.wantStatus(r.post("3", line(begin, "done mail in 9 ms")), 204)
	r.wait(2 * time.Minute)
	r.want("done.mail", begin, 2)
	r.want("time.count", begin, 1)
	r.want("time.max", begin, 7)
}

// A flood costs itself: it is counted, and what others said is there.
func TestAFloodOfNames(t *testing.T) {
	r := newRig(t)
	var text bytes.Buffer
	for i := range 30 {
		text.Reset()
		for j := range 999 {
			fmt.Fprintf(&text, "count#n%d.%d ", i, j)
		}
		r.wantStatus(r.post(fmt.Sprint(i), line(begin, text.String())), 204)
		if i == 0 {
			r.wantStatus(r.post("good", line(begin, "count#jobs=4")), 204)
		}
	}
	r.wantStatus(r.post("late", line(begin, "count#jobs=3 count#another")), 204)
	status := r.drains.Status("d1")
	if n := status.Refused[logline.TooMany]; n != 30*999+2-logline.MaxSeries || len(status.Refusals) > recentRefusals {
		t.Errorf("%d metrics are refused, %d of them with their names", n, len(status.Refusals))
	}
	r.wait(2 * time.Minute)
	r.want("jobs", begin, 7)
	r.want("another", begin)
	// Names that are gone make room a day later.
	r.at.Add(int64(24 * time.Hour))
	r.wait(round)
	r.wantStatus(r.post("next", line(r.clock(), "count#another count#jobs")), 204)
	if n := r.drains.Status("d1").Refused[logline.TooMany] - status.Refused[logline.TooMany]; n != 0 {
		t.Errorf("%d metrics are refused a day later", n)
	}
}

// Rubbish costs itself: each of these goes out with a good line, which counts.
func TestRubbishCostsItself(t *testing.T) {
	r := newRig(t)
	good := line(begin, "count#jobs")
	n := 0
	for reason, body := range map[logline.Reason]string{
		logline.BadFrame:  "9999999 " + good + fmt.Sprintf("%d %s", len(good), good),
		logline.BadHeader: fmt.Sprintf("6 hello\n%d %s", len(good), good),
		logline.TooLong:   framed(line(begin, "count#x "+strings.Repeat("a", logline.MaxLine)), good),
		logline.NotFinite: framed(line(begin, "sample#x=1e999"), good),
		logline.NotText:   framed(line(begin, "sample#x=\x00\xff\xfe"), good),
		logline.BadValue:  framed(line(begin, "sample#x=some"), good),
		logline.BadName:   framed(line(begin, "sample#...=1"), good),
		logline.TooOld:    framed(line(begin.Add(-48*time.Hour), "sample#x=1"), good),
		logline.TooNew:    framed(line(begin.Add(time.Hour), "sample#x=1"), good),
		logline.TooMany:   framed(line(begin, strings.Repeat("sample#x=1 ", 1001)), good),
	} {
		before := r.drains.Status("d1").Refused[reason]
		r.wantStatus(r.postBody(fmt.Sprint(reason), body), 204)
		n++
		if got := r.drains.Status("d1").Refused[reason]; got != before+1 {
			t.Errorf("%d are refused as %q, want one; %+v", got-before, reason, r.drains.Status("d1").Refusals[:1])
		}
	}
	r.wait(2 * time.Minute)
	r.want("jobs", begin, float64(n))
}

func TestMoreLinesThanARequestMayHold(t *testing.T) {
	r := newRig(t)
	r.wantStatus(r.postAs("text/plain", "1", strings.Repeat("a\n", maxLines+1)), 413)
	r.wantStatus(r.postAs("text/plain", "2", strings.Repeat("a\n", maxLines)), 204)
}

func TestPrefixesInTheAddress(t *testing.T) {
	r := newRig(t)
	r.wantStatus(r.post("1", line(begin, "count#jobs source=a")), 204)
	token := r.token
	r.token = token + "?prefix=shop&source-prefix=e%20u&resolution=60"
	r.wantStatus(r.post("2", line(begin, "count#jobs=2 source=a")), 204)
	r.token = token
	r.wait(2 * time.Minute)
	r.want("jobs.a", begin, 1)
	r.want("shop.jobs.e_u.a", begin, 2)
}

// routerLine returns a message of the router at a time.
func routerLine(at time.Time, status, service int) string {
	return strings.Replace(line(at, fmt.Sprintf("at=info dyno=web.1 connect=1ms service=%dms status=%d bytes=10", service, status)), " app web.1 ", " heroku router ", 1)
}

// What is derived of requests is right also when some of them come late, whether their minute is at hand or only stored.
func TestRequestsUnderTheNamesOfElsewhere(t *testing.T) {
	r := newRig(t)
	var all []string
	for i := range 90 {
		all = append(all, routerLine(begin, 200, i+1))
	}
	for i := range 10 {
		all = append(all, routerLine(begin, 500+i%2*-100, i+91))
	}
	r.wantStatus(r.post("1", all...), 204)
	r.wait(2 * time.Minute)
	r.want("access_num.2xx_count", begin, 90)
	r.want("access_num.3xx_count", begin, 0)
	r.want("error_access_rate.5xx_percentage", begin, 5)
	r.want("error_access_rate.4xx_percentage", begin, 5)
	r.want("access_latency.avg", begin, 50.5)
	r.want("access_latency.percentile_90", begin, 90)
	r.want("access_latency.percentile_99", begin, 99)
	r.wait(20 * time.Minute)
	r.restart()
	late := make([]string, 25)
	for i := range late {
		late[i] = routerLine(begin, 500, 250)
	}
	r.wantStatus(r.post("2", late...), 204)
	r.wait(time.Minute)
	r.want("router.requests.web.1", begin, 125)
	r.want("error_access_rate.5xx_percentage", begin, 24)
	r.want("access_latency.avg", begin, 90.4)
	r.want("access_latency.percentile_99", begin, 99) // which requests there were is not known any more
}

// Every metric stands on one graph, with the unit of its values.
func TestGraphsOfADrain(t *testing.T) {
	r := newRig(t)
	r.wantStatus(r.post("1", routerLine(begin, 200, 5), line(begin, "sample#queue.memory=5MB sample#queue.size=3 sample#queue.wait=3s measure#job=1ms sample#cpu=3% source="),
		line(begin, "sample#heap=1MB source=web.1"), strings.Replace(line(begin, "source=REDIS sample#memory-redis=5bytes sample#hit-rate=0.5"), " web.1 ", " heroku-redis ", 1)), 204)
	r.wait(2 * time.Minute)
	r.wantStatus(r.post("2", line(r.clock(), "sample#queue.buffers=1MB")), 204)
	r.wait(2 * time.Minute)
	defs, err := r.records.ServiceGraphDefs(t.Context(), "org1", "shop")
	r.check(err)
	names, _, err := r.samples.NamesOf(t.Context(), "org1", "", r.series())
	r.check(err)
	got := map[string]string{}
	for _, g := range saba.ServiceGraphs(names, defs) {
		for _, s := range g.Series {
			got[s.Metric] = g.Title + " / " + s.Label + " / " + string(g.Unit)
		}
	}
	for metric, want := range map[string]string{
		"access_num.2xx_count":             "Requests by status / 2xx / integer",
		"error_access_rate.5xx_percentage": "Share of errors / 5xx / percentage",
		"access_latency.percentile_99":     "Response time / 99 % / milliseconds",
		"router.requests":                  "Requests by dyno / all / integer",
		"router.requests.web.1":            "Requests by dyno / web.1 / integer",
		"router.service.p95":               "Service time / 95 % / milliseconds",
		"router.service.count":             "router.service: how often / count / integer",
		"router.bytes.sum":                 "router.bytes: sum / sum / bytes",
		"router.errors.all":                "Errors of the router / all / integer",
		"queue.memory":                     "queue / memory / bytes",
		"queue.buffers":                    "queue / buffers / bytes",
		"queue.wait":                       "queue / wait / milliseconds",
		"cpu":                              "cpu / cpu / percentage",
		"job.median":                       "job / median / milliseconds",
		"heap.web.1":                       "heap / web 1 / bytes",
		"memory-redis.REDIS":               "REDIS: memory / Redis / bytes",
		"hit-rate.REDIS":                   "REDIS: cache hit rates / all / float",
	} {
		if got[metric] != want {
			t.Errorf("%s is drawn as %q, want %q", metric, got[metric], want)
		}
	}
}

// series returns what stands for the service in the engine.
func (r *rig) series() string {
	r.Helper()
	services, err := r.records.Services(r.Context(), "org1")
	r.check(err)
	return services[0].Series
}

// Whoever begins a body and does not go on is told to send it again, and keeps no place from others.
func TestASenderThatIsSlow(t *testing.T) {
	r := newRig(t)
	site := httptest.NewServer(r.drains)
	t.Cleanup(site.Close)
	conn, err := net.Dial("tcp", site.Listener.Addr().String())
	r.check(err)
	defer conn.Close()
	_, err = fmt.Fprintf(conn, "POST %s%s HTTP/1.1\r\nHost: x\r\nContent-Type: application/logplex-1\r\nContent-Length: 100\r\n\r\n12 ", Prefix, r.token)
	r.check(err)
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	r.check(err)
	defer answer.Body.Close()
	r.wantStatus(answer.StatusCode, http.StatusServiceUnavailable)
	if n := len(r.drains.places); n != maxBodies {
		t.Errorf("%d places are free, want all %d", n, maxBodies)
	}
}

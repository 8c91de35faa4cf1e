package monitor

import (
	"bytes"
	"context"
	"fmt"
	"hash/fnv"
	"math"
	"net/http"
	"reflect"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/dial"
)

// external judges what came of one request. times are the last response times in milliseconds, oldest first, this one
// included; bad is how many judgements before were bad, in a row. A judgement is firm when there are m.MaxCheckAttempts
// of them with this one.
func external(m *saba.Monitor, p probed, times []float64, bad int64) Judgement {
	j := Judgement{Status: saba.CheckOK, Message: strconv.Itoa(p.Status)}
	find := func(status saba.CheckStatus, message string) {
		// A second finding stands behind the first; the worse one is the status.
		if j.Status == saba.CheckOK {
			j.Message = message
		} else {
			j.Message += "; " + message
		}
		j.Status = worse(j, Judgement{Status: status}).Status
	}
	n := int64(1)
	if m.ResponseTimeDuration != nil {
		n = *m.ResponseTimeDuration
	}
	timed := m.ResponseTimeWarning != nil || m.ResponseTimeCritical != nil
	if timed && p.Failure == "" && int64(len(times)) >= n {
		sum := 0.0
		for _, ms := range times[int64(len(times))-n:] {
			sum += ms
		}
		j.Value = new(sum / float64(n))
	}
	switch {
	case p.Failure != "":
		find(saba.CheckCritical, p.Failure)
	case m.ExpectedStatusCode != nil && int64(p.Status) != *m.ExpectedStatusCode:
		find(saba.CheckCritical, fmt.Sprintf("%d instead of %d", p.Status, *m.ExpectedStatusCode))
	case m.ExpectedStatusCode == nil && p.Status >= http.StatusBadRequest:
		find(saba.CheckCritical, strconv.Itoa(p.Status)) // the code alone, which clients look for
	case !bytes.Contains(p.Body, []byte(m.ContainsString)):
		where := "the answer"
		if p.More {
			where = fmt.Sprintf("the first %d KiB of the answer", probeBody>>10)
		}
		find(saba.CheckCritical, fmt.Sprintf("%q is not in %s (status %d)", m.ContainsString, where, p.Status))
	default:
		if j.Value != nil {
			slow := saba.Monitor{Operator: ">", Warning: m.ResponseTimeWarning, Critical: m.ResponseTimeCritical}
			if status, than := compare(&slow, *j.Value); status != saba.CheckOK {
				find(status, fmt.Sprintf("response time %s ms > %s ms (status %d)", saba.FormatValue(*j.Value), saba.FormatValue(than), p.Status))
			}
		}
		if status, message := certificate(m, p); status != saba.CheckOK {
			find(status, message)
		}
	}
	j.Firm = j.Status != saba.CheckOK && bad+1 >= m.MaxCheckAttempts
	return j
}

// certificate judges how many whole days are left of a certificate. One that has ended is beyond every limit.
func certificate(m *saba.Monitor, p probed) (saba.CheckStatus, string) {
	if p.Expires.IsZero() {
		return saba.CheckOK, ""
	}
	left := int64(math.Floor(p.Expires.Sub(time.Unix(p.At, 0)).Hours() / 24))
	status := saba.CheckOK
	switch below := func(days *int64) bool { return days != nil && left < *days }; {
	case below(m.CertificationExpirationCritical):
		status = saba.CheckCritical
	case below(m.CertificationExpirationWarning):
		status = saba.CheckWarning
	}
	when := fmt.Sprintf("expires in %d days, on", left)
	switch {
	case left == 1:
		when = "expires in 1 day, on"
	case left < 0:
		when = "expired on"
	}
	return status, fmt.Sprintf("the certificate of %s %s %s (status %d)", p.Host, when, day(p.Expires), p.Status)
}

const (
	// externalPeriod is how often an endpoint is asked, in seconds.
	externalPeriod = 60
	// externalsAtOnce is how many are asked at once. Even when each takes its 15 s, that is 800 a minute.
	externalsAtOnce = 200
)

// externals asks the endpoints of external monitors: each once a minute, at a second of the minute that its id says, so
// that they do not all leave at once. A round begins what is due until the next one, and takes what has come; it waits for
// nothing. The methods are for one goroutine.
type externals struct {
	// ask asks one endpoint. It ends when ctx does.
	ask    func(ctx context.Context, m *saba.Monitor) probed
	turns  chan struct{} // has one element for each endpoint that is being asked
	asking sync.WaitGroup
	known  map[string]*endpoint // by monitor; nil before the first round
	behind bool                 // some were not asked in time, at the last look

	mu   sync.Mutex
	done []answer // that no round has taken
}

func newExternals(d dial.Dialer) *externals {
	return &externals{
		ask:   func(ctx context.Context, m *saba.Monitor) probed { return probe(ctx, d, m, probeTimeout) },
		turns: make(chan struct{}, externalsAtOnce),
	}
}

// An endpoint is what is known of that of a monitor.
type endpoint struct {
	monitor saba.Monitor // a changed one is another endpoint
	turn    int64        // the minute of its own that it was asked in last
	busy    atomic.Bool  // it is being asked, or waits for it
	bad     int64        // judgements in a row that were
}

// An answer is what came of asking an endpoint. It is void when it was stopped before anything did.
type answer struct {
	endpoint *endpoint
	probed   probed
	void     bool
}

// turnOf returns which minute of its own a monitor is in at a second, and when that began.
func turnOf(id string, at int64) (turn, began int64) {
	h := fnv.New32a()
	_, _ = h.Write([]byte(id))
	second := int64(h.Sum32() % externalPeriod)
	turn = (at - second) / externalPeriod
	return turn, turn*externalPeriod + second
}

// begin begins to ask those whose turn comes within ahead. New ones and changed ones are asked at once, but for those that
// are there at the beginning: another process may have asked them within the minute. It returns how many were due
// and are still being asked since their last turn.
func (x *externals) begin(ctx context.Context, monitors []saba.Monitor, now func() time.Time, ahead time.Duration) (late int) {
	at := now()
	known := make(map[string]*endpoint, len(x.known))
	for i := range monitors {
		m := &monitors[i]
		if m.Type != saba.MonitorExternal {
			continue
		}
		e := x.known[m.ID]
		if e == nil || !reflect.DeepEqual(e.monitor, *m) {
			e = &endpoint{monitor: *m}
			if e.turn, _ = turnOf(m.ID, at.Unix()); x.known != nil {
				e.turn--
			}
		}
		known[m.ID] = e
		turn, began := turnOf(m.ID, at.Add(ahead).Unix())
		if turn == e.turn || turn == e.turn-1 { // a clock that is set back by a little asks nobody twice
			continue
		}
		e.turn = turn
		if e.busy.Swap(true) {
			late++
			continue
		}
		x.asking.Go(func() { x.wait(ctx, e, now, time.Unix(began, 0).Sub(at)) })
	}
	x.known = known
	return late
}

// wait asks an endpoint after a time, when it is its turn among all.
func (x *externals) wait(ctx context.Context, e *endpoint, now func() time.Time, after time.Duration) {
	a := answer{endpoint: e, void: true}
	defer func() {
		x.mu.Lock()
		defer x.mu.Unlock()
		x.done = append(x.done, a)
		e.busy.Store(false)
	}()
	t := time.NewTimer(after)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return
	case <-t.C:
	}
	select {
	case <-ctx.Done():
		return
	case x.turns <- struct{}{}:
	}
	defer func() { <-x.turns }()
	at := now().Unix()
	a.probed = x.ask(ctx, &e.monitor)
	a.probed.At = at
	a.void = ctx.Err() != nil // what failed then failed by us
}

// take returns what has come since the last time, of endpoints that are still known.
func (x *externals) take() (got []answer) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, a := range x.done {
		if !a.void && x.known[a.endpoint.monitor.ID] == a.endpoint {
			got = append(got, a)
		}
	}
	x.done = nil
	return got
}

// external begins to ask the endpoints that are due, and judges the answers that have come. With patience it asks at once,
// and waits for all.
func (r *round) external(ctx context.Context, monitors []saba.Monitor, services []saba.Service, patience bool) {
	x := r.externals
	ahead := interval
	if patience {
		ahead = 0
	}
	late := x.begin(ctx, monitors, r.Now, ahead)
	if late > 0 && !x.behind {
		r.Log.Warn("more endpoints are slow than can be asked at once: external monitors are judged late", "late", late, "at once", externalsAtOnce)
	}
	x.behind = late > 0
	if patience {
		x.asking.Wait()
	}
	answers := x.take()
	times := r.responseTimes(ctx, answers, services)
	for _, a := range answers {
		m := &a.endpoint.monitor
		j := external(m, a.probed, times[m.ID], a.endpoint.bad)
		if a.endpoint.bad++; j.Status == saba.CheckOK {
			a.endpoint.bad = 0
		}
		r.settle(ctx, m, target{monitor: m.ID}, nil, m.Service, j)
	}
}

// responseTimes keeps the response times of answers as metrics of the monitors' services, and returns for each monitor
// that has thresholds of them those of the last day, with the newest.
func (r *round) responseTimes(ctx context.Context, answers []answer, services []saba.Service) map[string][]float64 {
	names := make(map[string]string, len(services))
	for _, s := range services {
		names[s.Name] = s.Series
	}
	var points []saba.Point
	var series []saba.Series
	var ids []string
	for _, a := range answers {
		m, p := &a.endpoint.monitor, a.probed
		if m.Service == "" || names[m.Service] == "" || p.Failure != "" {
			continue
		}
		s := saba.Series{Org: r.Org, Service: names[m.Service], Name: saba.ResponseTimeMetric + m.ID}
		points = append(points, saba.Point{Series: s, Sample: saba.Sample{Time: p.At, Value: float64(p.Took.Microseconds()) / 1000}})
		if m.ResponseTimeWarning != nil || m.ResponseTimeCritical != nil {
			series, ids = append(series, s), append(ids, m.ID)
		}
	}
	if len(points) == 0 {
		return nil
	}
	if _, err := r.Samples.Append(ctx, r.Now(), points); err != nil {
		r.errs = append(r.errs, fmt.Errorf("keep the response times of external monitors: %w", err))
		return nil
	}
	if len(series) == 0 {
		return nil
	}
	got, err := r.Samples.Range(ctx, series, r.now-history, r.Now().Unix())
	if err != nil {
		r.errs = append(r.errs, fmt.Errorf("read the response times of external monitors: %w", err))
		return nil
	}
	times := make(map[string][]float64, len(ids))
	for i, samples := range got {
		for _, s := range samples {
			times[ids[i]] = append(times[ids[i]], s.Value)
		}
	}
	return times
}

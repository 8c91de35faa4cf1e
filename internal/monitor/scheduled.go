package monitor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/saba-monitor/saba"
)

// Monitors of types expression and query are judged when their time has come, whatever has arrived.
const (
	expressionEvery  = 5 * 60  // seconds
	expressionWindow = 5 * 60  // seconds of which the newest value is an expression's
	queryEvery       = 60      // seconds
	queryWindow      = 20 * 60 // seconds of which the newest value is that of a series
	maxQuerySeries   = 1000    // of the result of a query

	// evaluationLimit is how long one expression or query may take, and turn after how long the rest waits for the
	// next round: hosts are judged there.
	evaluationLimit = 10 * time.Second
	turn            = 20 * time.Second
)

// scheduled judges the monitors of types expression and query that are due, those first that have waited longest.
func (r *round) scheduled(ctx context.Context, monitors []saba.Monitor) {
	var due []*saba.Monitor
	for i := range monitors {
		m := &monitors[i]
		every := map[saba.MonitorType]int64{saba.MonitorExpression: expressionEvery, saba.MonitorQuery: queryEvery}[m.Type]
		if every > 0 && r.judged[target{monitor: m.ID}] < r.now-r.now%every {
			due = append(due, m)
		}
	}
	waits := func(m *saba.Monitor) int64 { return r.judged[target{monitor: m.ID}] }
	slices.SortStableFunc(due, func(a, b *saba.Monitor) int { return cmp.Compare(waits(a), waits(b)) })
	s := &source{org: r.Org, store: r.Store, samples: r.Samples}
	begin := r.Now()
	for _, m := range due {
		if ctx.Err() != nil || r.Now().Sub(begin) > turn {
			return
		}
		if m.Type == saba.MonitorExpression {
			r.expression(ctx, s, m)
		} else {
			r.query(ctx, m)
		}
	}
}

// failed says why a monitor cannot be judged if that is a matter of what it asks for; else it notes the error, and the
// monitor is tried again in the next round.
func (r *round) failed(ctx, limited context.Context, m *saba.Monitor, err error) (reason string, ok bool) {
	switch {
	case errors.Is(err, saba.ErrInvalid):
		return err.Error(), true
	case ctx.Err() == nil && limited.Err() != nil:
		return fmt.Sprintf("it takes longer than %v", evaluationLimit), true
	}
	r.errs = append(r.errs, fmt.Errorf("evaluate monitor %q: %w", m.Name, err))
	return "", false
}

func unknown(m *saba.Monitor, reason string) Judgement {
	return Judgement{Status: saba.CheckUnknown, Message: m.Name + " cannot be evaluated: " + reason, Firm: true}
}

// level judges a value by itself.
func level(m *saba.Monitor, label string, value float64) Judgement {
	status, limit := compare(m, value)
	return verdict{status, value, limit, true}.say(m, label)
}

// expression judges what an expression is m.EvaluateBackwardMinutes ago: its newest value in the five minutes up to then.
func (r *round) expression(ctx context.Context, s *source, m *saba.Monitor) {
	limited, cancel := context.WithTimeout(ctx, evaluationLimit)
	defer cancel()
	at := saba.Minute(r.now) - *m.EvaluateBackwardMinutes*60
	from := at - expressionWindow + saba.Resolution
	value, reason := math.NaN(), ""
	e, err := saba.ParseExpression(m.Expression)
	if err == nil {
		var got evaluation
		if got, err = s.evaluate(limited, e, from, at); err == nil {
			value, reason = newest(got)
		}
	}
	if err != nil {
		var ok bool
		if reason, ok = r.failed(ctx, limited, m, err); !ok {
			return
		}
	} else if reason != "" && from < r.started {
		return // it may have arrived nowhere because this server was away
	}
	j := level(m, m.Name, value)
	if reason != "" {
		j = unknown(m, reason)
	}
	t := target{monitor: m.ID}
	r.judged[t] = r.now - r.now%expressionEvery
	r.settle(ctx, m, t, nil, "", j)
}

// newest returns the last value of the one line of an evaluation, or why there is none.
func newest(of evaluation) (value float64, reason string) {
	if len(of.lines) == 1 {
		for _, v := range slices.Backward(of.lines[0].values) {
			if !math.IsNaN(v) {
				return v, ""
			}
		}
	}
	const most = 3
	switch n := len(of.missing); {
	case n > most:
		return math.NaN(), fmt.Sprintf("there is no value of %s and %d more", strings.Join(of.missing[:most], ", "), n-most)
	case n > 0:
		return math.NaN(), "there is no value of " + strings.Join(of.missing, ", ")
	case len(of.lines) > 1:
		return math.NaN(), fmt.Sprintf("it makes %d series, not one", len(of.lines))
	}
	return math.NaN(), "there is no minute in which all of its metrics have a value, or it divides by zero"
}

// query judges each series of a query's result.
func (r *round) query(ctx context.Context, m *saba.Monitor) {
	limited, cancel := context.WithTimeout(ctx, evaluationLimit)
	defer cancel()
	at := saba.Minute(r.now) - *m.EvaluateBackwardMinutes*60
	result, err := r.Queries.Range(limited, r.Org, m.Query, at-queryWindow, at)
	if err == nil && len(result) > maxQuerySeries {
		err = saba.Errorf(saba.ErrInvalid, "it finds %d series: at most %d are allowed", len(result), maxQuerySeries)
	}
	whole := target{monitor: m.ID}
	if err != nil {
		if reason, ok := r.failed(ctx, limited, m, err); ok {
			r.judged[whole] = saba.Minute(r.now)
			r.settle(ctx, m, whole, nil, "", unknown(m, reason))
		}
		return
	}
	r.judged[whole] = saba.Minute(r.now)
	before, now := r.series[m.ID], make(map[target]int64, len(result))
	r.series[m.ID] = now
	flows := false // there is something of this very minute
	for _, s := range result {
		if len(s.Samples) == 0 {
			continue
		}
		t, last := target{monitor: m.ID, series: s.String()}, s.Samples[len(s.Samples)-1]
		now[t] = last.Time
		flows = flows || last.Time == at
		if last.Time > before[t] {
			j := level(m, seriesLabel(m, s.AlertSeries), last.Value)
			j.Series = s.AlertSeries
			r.settle(ctx, m, t, nil, "", j)
		}
	}
	// While other series are there, one that is not has come to its end. Without any, nothing is known: silence closes no alert.
	ends := flows && r.started <= at-queryWindow
	for t, a := range r.open {
		switch {
		case t.monitor != m.ID || now[t] != 0:
		case t == whole && a.Status == saba.CheckUnknown:
			r.settle(ctx, m, t, nil, "", Judgement{Status: saba.CheckOK, Message: m.Name + " can be evaluated again"})
		case ends:
			r.settle(ctx, m, t, nil, "", Judgement{Status: saba.CheckOK, Message: seriesLabel(m, a.Series) + " is no longer in the result of the query"})
		}
	}
}

// seriesLabel returns what people call a series of a query monitor.
func seriesLabel(m *saba.Monitor, s saba.AlertSeries) string {
	return cmp.Or(strings.TrimSpace(s.Fill(m.Legend)), s.String(), s.Fill(m.Name))
}

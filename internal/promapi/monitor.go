package promapi

import (
	"context"
	"errors"
	"math"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"

	"github.com/saba-monitor/saba"
)

// Queries evaluates PromQL for other parts of the server: the same language, labels and limits as for a client of the API.
type Queries struct{ s *server }

// NewQueries returns an evaluator that reads from store and samples.
func NewQueries(store Store, samples Samples) *Queries {
	l := limits{}.orDefault()
	return &Queries{&server{Options: Options{Store: store, Samples: samples, limits: l}, engine: newEngine(l)}}
}

// Range returns what a query is at each minute from from to to, Unix seconds of whole minutes, in no order. What is not finite is left
// out. An error that matches saba.ErrInvalid is about the query: that it is wrong, or asks for too much.
func (q *Queries) Range(ctx context.Context, org, text string, from, to int64) ([]saba.QuerySeries, error) {
	question := question{text: dotted(text), timeout: q.s.limits.timeout, opts: promql.NewPrometheusQueryOpts(false, lookback)}
	query, err := q.s.engine.NewRangeQuery(ctx, q.s.queryable(ctx, org), question.opts, question.text, time.Unix(from, 0), time.Unix(to, 0), saba.Resolution*time.Second)
	if err != nil {
		return nil, saba.Errorf(saba.ErrInvalid, "%v", err)
	}
	defer query.Close()
	res := query.Exec(ctx)
	if res.Err != nil {
		err := q.s.explain(ctx, question, res.Err)
		if errors.Is(err, errExecution) {
			err = saba.Errorf(saba.ErrInvalid, "%v", err)
		}
		return nil, err
	}
	matrix, err := res.Matrix()
	if err != nil {
		return nil, err
	}
	series := make([]saba.QuerySeries, 0, len(matrix))
	for _, of := range matrix {
		s := saba.QuerySeries{AlertSeries: saba.AlertSeries{Labels: map[string]string{}}}
		of.Metric.Range(func(l labels.Label) {
			if l.Name == nameLabel {
				s.Name = strings.Clone(l.Value)
				return
			}
			s.Labels[strings.Clone(l.Name)] = strings.Clone(l.Value) // they are parts of the engine's memory
		})
		for _, p := range of.Floats {
			if !math.IsNaN(p.F) && !math.IsInf(p.F, 0) {
				s.Samples = append(s.Samples, saba.Sample{Time: p.T / 1000, Value: p.F})
			}
		}
		if len(s.Samples) > 0 {
			series = append(series, s)
		}
	}
	return series, nil
}

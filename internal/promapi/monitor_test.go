package promapi

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/saba-monitor/saba"
)

func TestQueriesOfMonitors(t *testing.T) {
	r := newRig(t, limits{}, manySeries)
	r.clock.Store(start + 600)
	r.put(saba.Series{Org: "org1", Host: "web1", Name: "custom.a.b"}, start, 1, 2, 3)
	r.put(saba.Series{Org: "org1", Service: "shop", Name: `errors{http.route="/a"}`}, start, 4, 0, 4)
	r.put(saba.Series{Org: "org2", Host: "web1x", Name: "custom.a.b"}, start, 9, 9, 9)
	queries := NewQueries(r.store, r.samples)
	ask := func(query string, from, to int64) string {
		t.Helper()
		result, err := queries.Range(t.Context(), "org1", query, start+from, start+to)
		if err != nil {
			return err.Error()
		}
		var lines []string
		for _, s := range result {
			line := s.String()
			for _, sample := range s.Samples {
				line += fmt.Sprintf(" %d:%v", sample.Time-start, sample.Value)
			}
			lines = append(lines, line)
		}
		slices.Sort(lines)
		return strings.Join(lines, "\n")
	}
	for query, want := range map[string]string{
		`custom.a.b`:                         `custom.a.b{host="web1",host_name="web1.example",role="web",service="shop"} 0:1 60:2 120:3 180:3`,
		`custom.a.b{role="db"}`:              ``,
		`sum by (http.route) (errors)`:       `{http.route="/a"} 0:4 60:0 120:4 180:4`,
		`8 / errors`:                         `{http.route="/a",service="shop"} 0:2 120:2 180:2`,
		`sum(errors) + vector(1)`:            ` 0:5 60:1 120:5 180:5`,
		`3`:                                  ` 0:3 60:3 120:3 180:3`,
		`increase(custom.a.b[2m])`:           `{host="web1",host_name="web1.example",role="web",service="shop"} 60:2 120:2`,
		`none / 0`:                           ``,
		`sum(`:                               `1:5: parse error: unclosed left parenthesis`,
		`"x"`:                                `invalid expression type "string" for range query, must be Scalar or instant Vector`,
		`errors + on (service) group_left x`: ``,
	} {
		if got := ask(query, 0, 180); got != want {
			t.Errorf("%s: %s\nwant %s", query, got, want)
		}
	}
	for _, query := range []string{`sum(`, `"x"`, `label_replace(errors, "a", "b", "service", "(")`} {
		if _, err := queries.Range(t.Context(), "org1", query, start, start); !errors.Is(err, saba.ErrInvalid) {
			t.Errorf("%s: %v does not match ErrInvalid", query, err)
		}
	}
	ctx, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	if _, err := queries.Range(ctx, "org1", `errors`, start, start); err == nil || errors.Is(err, saba.ErrInvalid) {
		t.Errorf("a query that is given up: %v, want an error that does not blame the query", err)
	}
	r.check(r.samples.Close())
	if _, err := queries.Range(t.Context(), "org1", `errors`, start, start); err == nil || errors.Is(err, saba.ErrInvalid) {
		t.Errorf("samples that cannot be read: %v, want an error that does not blame the query", err)
	}
}

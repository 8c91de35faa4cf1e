package ingest

import (
	"bytes"
	"errors"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/saba-monitor/saba"
)

// knownSeries are the series that had a sample of late.
type knownSeries []saba.Series

func (k knownSeries) Latest(s saba.Series) (saba.Sample, bool) {
	return saba.Sample{}, slices.Contains(k, s)
}

func (k knownSeries) Active(org string) int {
	n := 0
	for _, s := range k {
		if s.Org == org {
			n++
		}
	}
	return n
}

func TestLabelledPoints(t *testing.T) {
	const name = `http{code="200"}`
	known := knownSeries{{Org: "org1", Host: "live", Name: name}, {Org: "org2", Host: "live", Name: "a"}, {Org: "org2", Host: "live", Name: "b"}}
	of := func(p saba.Point, service string) saba.Point { p.Service = service; return p }
	f := fakes{drops: saba.Drops{saba.DropEngine: 1}}
	var log bytes.Buffer
	l := NewLabelled(newWriter(&f, &log, prometheus.NewRegistry()), known, 3)
	drops, err := l.Points(t.Context(), "org1", []saba.Point{
		point("live", name, now, 1), point("live", "new{a=\"1\"}", now, 2), point("live", "new{a=\"1\"}", now-60, 3),
		of(point("", "new{a=\"2\"}", now, 4), "shop"), point("live", "new{a=\"3\"}", now, 5), point("live", name, now-60, 6), point("live", "new{a=\"3\"}", now, 7),
		point("gone", name, now, 8), point("stranger", name, now, 9), point("live", name, now, math.NaN()), point("live", name, now-90_000, 10), point("live", name, now+3600, 11),
	})
	want := saba.Drops{DropSeriesLimit: 2, saba.DropRetiredHost: 1, saba.DropUnknownHost: 1, saba.DropNotFinite: 1, saba.DropTooOld: 1, saba.DropTooNew: 1, saba.DropEngine: 1}
	if err != nil || !maps.Equal(drops, want) {
		t.Errorf("dropped %v, %v; want %v", drops, err, want)
	}
	var kept []float64
	for _, p := range f.kept {
		if kept = append(kept, p.Value); p.Org != "org1" {
			t.Errorf("%+v belongs to nobody", p)
		}
	}
	if want := []float64{1, 2, 3, 4, 6}; !slices.Equal(kept, want) {
		t.Errorf("kept %v, want %v", kept, want)
	}
	if strings.Contains(log.String(), "series_limit") {
		t.Errorf("what the sender is told is in the log:\n%s", &log)
	}
}

func TestLabelledPointsFailWithTheEngines(t *testing.T) {
	broken := errors.New("disk on fire")
	for _, f := range []*fakes{{hostErr: broken}, {storeErr: broken}} {
		l := NewLabelled(newWriter(f, &bytes.Buffer{}, nil), knownSeries{}, 10)
		if _, err := l.Points(t.Context(), "org1", []saba.Point{point("live", "m", now, 1)}); !errors.Is(err, broken) {
			t.Errorf("%v, want %v", err, broken)
		}
	}
}

func TestLabelledCounts(t *testing.T) {
	registry := prometheus.NewRegistry()
	l := NewLabelled(newWriter(&fakes{}, &bytes.Buffer{}, registry), knownSeries{}, 1)
	l.Count(DropNoOwner, 3)
	l.Count(DropUnsupported, 0)
	if _, err := l.Points(t.Context(), "org1", []saba.Point{point("live", "a", now, 1), point("live", "b", now, 1), point("live", "b", now, 2)}); err != nil {
		t.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.Metric {
			if v := m.GetCounter().GetValue(); v > 0 {
				name := f.GetName()
				for _, l := range m.Label {
					name += "/" + l.GetValue()
				}
				got[name] = v
			}
		}
	}
	want := map[string]float64{"saba_points_received_total": 6, "saba_points_dropped_total/no_owner": 3, "saba_points_dropped_total/series_limit": 2}
	if !maps.Equal(got, want) {
		t.Errorf("counted %v, want %v", got, want)
	}
}

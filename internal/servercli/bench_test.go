package servercli

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/client"
)

// The load is real: what it says that it sent is what the server has.
func TestBenchAgents(t *testing.T) {
	s, _ := opened(t)
	ctx, stop := context.WithCancel(t.Context())
	var work sync.WaitGroup
	work.Go(func() {
		if err := s.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	defer work.Wait()
	defer stop()
	base := localURL(s.Addr())
	code, stdout, stderr := run(t, "bench", "agents", "--server", base, "--hosts", "3", "--metrics", "7", "--backlog", "5m", "--interval", "1h", "--for", "1ms", "--keep")
	if code != 0 {
		t.Fatalf("saba bench agents = %d with %q", code, stderr)
	}
	for _, want := range []string{"making 3 hosts with 7 metrics each", "126 points,", "errors     0", "p99", "a million points", "resident"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("saba bench agents says %q, want %q in it", stdout, want)
		}
	}
	api, err := client.New(client.Options{Base: base, Key: key, HTTP: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}})
	if err != nil {
		t.Fatal(err)
	}
	hosts, err := api.Hosts(t.Context(), saba.HostFilter{})
	if err != nil || len(hosts) != 3 {
		t.Fatalf("%d hosts (%v), want 3", len(hosts), err)
	}
	now := time.Now().Unix()
	got, err := api.HostMetrics(t.Context(), hosts[0].ID, "custom.bench0.metric6.value", now-3600, now)
	if err != nil || len(got) < 5 {
		t.Errorf("%d points of a metric (%v), want those of 5 minutes", len(got), err)
	}
	// The next run uses the same hosts, and without --keep retires them.
	if code, _, stderr := run(t, "bench", "agents", "--server", base, "--hosts", "3", "--metrics", "1", "--for", "0s"); code != 0 {
		t.Errorf("saba bench agents = %d with %q", code, stderr)
	}
	if hosts, err := api.Hosts(t.Context(), saba.HostFilter{}); err != nil || len(hosts) > 0 {
		t.Errorf("%d hosts (%v) are left, want none", len(hosts), err)
	}
}

func TestBenchRefusesWhatCannotBe(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{}, "agents is missing"},
		{[]string{"cows"}, `no load "cows"`},
		{[]string{"agents", "--hosts", "0"}, "--hosts takes"},
		{[]string{"agents", "--metrics", "-1"}, "--metrics takes"},
		{[]string{"agents", "--interval", "0s"}, "--interval take"},
		{[]string{"agents", "--backlog", "48h"}, "--backlog takes"},
	} {
		code, _, stderr := run(t, append([]string{"bench"}, tt.args...)...)
		if code != 2 || !strings.Contains(stderr, tt.want) {
			t.Errorf("saba bench %v = %d with %q, want 2 with %q", tt.args, code, stderr, tt.want)
		}
	}
}

func TestPercentiles(t *testing.T) {
	var all []time.Duration
	for i := range 1000 {
		all = append(all, time.Duration(i+1)*time.Millisecond)
	}
	if got, want := percentiles(all), "p50 501ms, p90 901ms, p99 991ms, p99.9 1s, slowest 1s"; got != want {
		t.Errorf("percentiles = %q, want %q", got, want)
	}
	if got := percentiles(nil); got != "of no request" {
		t.Errorf("percentiles of nothing = %q", got)
	}
}

func TestParseCost(t *testing.T) {
	const text = "# HELP x\nprocess_cpu_seconds_total %s\nprocess_resident_memory_bytes 2e+07\n"
	if got, err := parseCost(strings.NewReader(fmt.Sprintf(text, "1.5"))); err != nil || got != (cost{1.5, 2e7}) {
		t.Errorf("parseCost = %v, %v", got, err)
	}
	for _, bad := range []string{"", fmt.Sprintf(text, "many"), "process_cpu_seconds_total 1\n"} {
		if got, err := parseCost(strings.NewReader(bad)); err == nil {
			t.Errorf("parseCost(%q) = %v, want an error", bad, got)
		}
	}
}

package agent

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	mathrand "math/rand/v2"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/client"
	"github.com/saba-monitor/saba/internal/api"
	"github.com/saba-monitor/saba/internal/ingest"
	"github.com/saba-monitor/saba/internal/sqldb"
	"github.com/saba-monitor/saba/internal/tsdb"
)

// realServer is a whole server with a key "k", whose data are in dir, and its address.
func realServer(t *testing.T, dir string, logger *slog.Logger) (records *sqldb.DB, base string) {
	t.Helper()
	ctx := context.Background()
	records, err := sqldb.Open(ctx, filepath.Join(dir, "saba.db"))
	if err != nil {
		t.Fatal(err)
	}
	registry := prometheus.NewRegistry()
	samples, err := tsdb.Open(ctx, tsdb.Options{Dir: filepath.Join(dir, "samples"), Log: logger, Registerer: registry, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(samples.Close(), records.Close()); err != nil {
			t.Error(err)
		}
	})
	if _, err := records.EnsureOrg(ctx, saba.Org{ID: "org", Name: "first"}); err != nil {
		t.Fatal(err)
	}
	if err := records.CreateKey(ctx, saba.Key{ID: "key", Org: "org", Name: "key", Hash: saba.HashSecret("k"), Read: true, Write: true, CreatedAt: 1}); err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(api.New(api.Options{
		Store: records, Samples: samples, Now: time.Now, Random: rand.Reader, Log: logger, Registerer: registry,
		Ingest: ingest.New(ingest.Options{Hosts: records, Samples: samples, Log: logger, Registerer: registry, Now: time.Now}),
	}))
	t.Cleanup(srv.Close)
	return records, srv.URL
}

// This machine, with a shell script as a plugin, against a whole server: samples with rates
// and the plugin's graph are there within ten seconds, and a second start is the same host.
func TestThisMachineOnARealServer(t *testing.T) {
	ctx, dir, log := context.Background(), t.TempDir(), &logBuffer{}
	logger := slog.New(slog.NewTextHandler(log, nil))
	records, base := realServer(t, dir, logger)
	script := filepath.Join(dir, "processes.sh")
	if err := os.WriteFile(script, []byte(processes), 0o755); err != nil {
		t.Fatal(err)
	}
	c := Config{Root: filepath.Join(dir, "agent"), CloudPlatform: PlatformNone, OnStop: saba.Standby,
		Roles:   []saba.RoleName{{Service: "shop", Role: "web"}},
		Metrics: []MetricPlugin{{Name: "processes", Command: Command{Args: []string{script}}}}}
	call, err := client.New(client.Options{Base: base, Key: "k", UserAgent: UserAgent(), Header: Header("abc1234")})
	if err != nil {
		t.Fatal(err)
	}
	before := time.Now()
	var id string
	for turn := range 2 {
		host := NewHost(c)
		runCtx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			done <- Run(runCtx, Options{Config: c, API: call, Sources: []Source{host}, Facts: host.Facts,
				Environ: PluginEnviron(os.Environ(), c), Revision: "abc1234", Log: logger, Random: mathrand.Float64})
		}()
		names := []string{"loadavg5", "memory.used", "custom.processes.count"}
		if runtime.GOOS == "linux" {
			names = append(names, "cpu.user.percentage")
		}
		deadline := time.Now().Add(10 * time.Second)
		for {
			hosts, err := call.Hosts(ctx, saba.HostFilter{})
			if err != nil {
				t.Fatal(err)
			}
			if len(hosts) > 1 || len(hosts) == 1 && id != "" && hosts[0].ID != id {
				t.Fatalf("hosts = %+v, want one, for both starts", hosts)
			}
			if len(hosts) == 1 {
				id = hosts[0].ID
				latest, err := call.LatestMetrics(ctx, []string{id}, names)
				if err != nil {
					t.Fatal(err)
				}
				defs, err := records.GraphDefs(ctx, "org")
				if err != nil {
					t.Fatal(err)
				}
				if len(latest[id]) == len(names) && len(defs) == 1 && defs[0].Name == "custom.processes" {
					if turn == 0 {
						t.Logf("first samples, rates included, after %v", time.Since(before).Round(time.Millisecond))
					}
					break
				}
			}
			if time.Now().After(deadline) {
				t.Fatalf("not all of %v and the graph are there after ten seconds; log:\n%s", names, log)
			}
			time.Sleep(20 * time.Millisecond)
		}
		stop()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		h, err := call.Host(ctx, id)
		if err != nil || h.Status != saba.Standby || len(h.Roles) != 1 || !strings.Contains(string(h.Meta), "saba-agent/") {
			t.Errorf("host after the stop = %+v, %v", h, err)
		}
	}
}

package promapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/saba-monitor/saba"
)

// A program is a real one that runs beside a test, and is ended with it.
func program(t *testing.T, name string, args ...string) {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%v: install Debian's package prometheus", err)
	}
	var out bytes.Buffer
	cmd := exec.Command(path, args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cmd.Process.Signal(os.Interrupt); err != nil && !errors.Is(err, os.ErrProcessDone) {
			t.Error(err)
		}
		_ = cmd.Wait() // its status says that it was interrupted
		if t.Failed() {
			t.Logf("%s said:\n%s", name, &out)
		}
	})
}

// eventually asks until ok, as long as the test may take: another program's pace is not ours.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for !ok() {
		select {
		case <-ctx.Done():
			t.Fatalf("%s did not happen", what)
		case <-tick.C:
		}
	}
}

// A real Prometheus scrapes itself and writes to us; then both are asked the same.
func TestPrometheusWritesAndIsAskedTheSame(t *testing.T) {
	r := newRig(t, limits{}, 10_000)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	r.clock.Store(time.Now().Unix()) // its samples have the times of this machine

	for _, host := range []string{"web1", "web2", "db1"} {
		r.put(saba.Series{Org: "org1", Host: host, Name: "loadavg5"}, saba.Minute(r.clock.Load()), 1)
	}

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	r.check(l.Close())
	dir := t.TempDir()
	config := filepath.Join(dir, "prometheus.yml")
	r.check(os.WriteFile(config, fmt.Appendf(nil, `
global: {scrape_interval: 1s, external_labels: {service: quiet}}
scrape_configs: [{job_name: self, static_configs: [{targets: [%q]}]}]
remote_write:
  - url: %s/api/prom/v1/write
    authorization: {credentials: %s}
    queue_config: {batch_send_deadline: 100ms}
`, addr, r.url, keyWrite), 0o600))
	program(t, "prometheus", "--config.file="+config, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+addr, "--log.level=warn")

	ask := func(base, key, path, query string, at time.Time) map[string]string {
		v := url.Values{"query": {query}, "time": {fmt.Sprint(at.Unix())}}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+path+"?"+v.Encode(), nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+key)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return nil // it is not up yet
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		var body struct {
			Status string
			Data   struct {
				Result []struct {
					Metric map[string]string
					Value  [2]any
				}
			}
		}
		if err := json.Unmarshal(b, &body); err != nil || body.Status != "success" {
			return nil
		}
		out := map[string]string{}
		for _, s := range body.Data.Result {
			delete(s.Metric, "service") // the external label, which Prometheus's own answers lack
			out[oneLine(s.Metric)] = fmt.Sprint(s.Value[1])
		}
		return out
	}
	theirs := func(q string) map[string]string { return ask("http://"+addr, "", "/api/v1/query", q, time.Now()) }
	oursAt := func(q string) map[string]string {
		return ask(r.url, keyRead, "/api/prom/v1/query", q, time.Now())
	}
	// Metrics that do not change while it runs, and the labels of all. What is not a number there is
	// silence here, so it is left out.
	for _, q := range []string{
		`prometheus_build_info`, `go_info`, `up`, `{__name__=~"prometheus_config_last_reload_successful|process_start_time_seconds|process_max_fds|go_gc_gogc_percent"}`,
		`count by (le) (prometheus_http_request_duration_seconds_bucket)`, `count({job="self",__name__=~"go_.+"})`, `group by (__name__) ({job="self",__name__=~"prometheus_tsdb_.+"} >= 0)`,
		`sum by (job) (up) * on (job) group_left(version) prometheus_build_info`,
	} {
		var want, got map[string]string
		eventually(t, "the same answer to "+q, func() bool {
			<-tick.C
			r.clock.Store(time.Now().Unix())
			want, got = theirs(q), oursAt(q)
			return len(want) > 0 && fmt.Sprint(want) == fmt.Sprint(got)
		})
		t.Logf("%s: %d series alike", q, len(got))
	}
	if strings.Contains(r.log.String(), "level=") {
		t.Errorf("the log is not silent:\n%s", r.log)
	}

	// promtool as the people of that world use it.
	promtool := func(args ...string) string {
		t.Helper()
		// Its client takes the key as a password.
		base := strings.Replace(r.url, "http://", "http://anybody:"+keyRead+"@", 1) + "/api/prom"
		i := slices.Index(args, "SERVER")
		args[i] = base
		out, err := exec.CommandContext(t.Context(), "promtool", args...).CombinedOutput()
		if err != nil {
			t.Errorf("promtool %v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	if got := promtool("query", "instant", "SERVER", `up{job="self"}`); !strings.Contains(got, `up{instance="`+addr+`", job="self", service="quiet"} => 1 @[`) {
		t.Errorf("promtool query instant: %s", got)
	}
	if got := promtool("query", "series", "SERVER", `--match=loadavg5{role="web"}`); strings.Count(got, "host_name=") != 2 {
		t.Errorf("promtool query series: %s", got)
	}
	if got := promtool("query", "labels", "SERVER", "role"); strings.TrimSpace(got) != "db\nweb" {
		t.Errorf("promtool query labels: %s", got)
	}
	if got := promtool("query", "range", "SERVER", `up`, "--step=1m"); !strings.Contains(got, "1 @[") {
		t.Errorf("promtool query range: %s", got)
	}
}

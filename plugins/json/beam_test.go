package json

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/saba-monitor/saba/plugin"
)

// startBEAM runs the example program on a real Erlang VM of two schedulers and returns the URL
// of its figures and its further lines on stdout.
func startBEAM(t *testing.T, every string) (url string, lines *bufio.Scanner) {
	t.Helper()
	path, err := exec.LookPath("elixir")
	if err != nil {
		t.Fatalf("the test needs a real Erlang VM (Debian's elixir): %v", err)
	}
	cmd := exec.Command(path, "--erl", "+S 2:2", "../../examples/beam/stats.exs", "--every", every)
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "HOME="+t.TempDir())
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_, _ = io.Copy(io.Discard, out)
		_ = cmd.Wait()
	})
	lines = bufio.NewScanner(out)
	if !lines.Scan() || !strings.HasPrefix(lines.Text(), "http://127.0.0.1:") {
		t.Fatalf("the VM says %q, %v, want its URL", lines.Text(), lines.Err())
	}
	return lines.Text(), lines
}

// collect runs the plugin as its user does and returns the values by name.
func collect(t *testing.T, url string) map[string]float64 {
	t.Helper()
	var stdout, stderr bytes.Buffer
	args := []string{"-url", url, "-prefix", "beam"}
	if code := plugin.Run(t.Context(), Plugin, args, plugin.System{Stdout: &stdout, Stderr: &stderr, Getenv: func(string) string { return "" }}); code != 0 || stderr.Len() > 0 {
		t.Fatalf("json %q: exit code %d, %s", args, code, stderr.String())
	}
	got := map[string]float64{}
	for line := range strings.Lines(stdout.String()) {
		fields := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(fields) != 3 {
			t.Fatalf("the line %q", line)
		}
		v, err := strconv.ParseFloat(fields[1], 64)
		if err != nil {
			t.Fatal(err)
		}
		got[fields[0]] = v
	}
	return got
}

func names(got map[string]float64) []string {
	var names []string
	for name := range got {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// The names that dashboards of Elixir programs know.
func TestARealBEAM(t *testing.T) {
	url, lines := startBEAM(t, "0.25")
	if !lines.Scan() || !strings.Contains(lines.Text(), "all figures are there") {
		t.Fatalf("the VM says %q, %v", lines.Text(), lines.Err())
	}
	got := collect(t, url)
	want := []string{
		"beam.context_switches", "beam.gc.count", "beam.gc.words_reclaimed", "beam.io.in", "beam.io.out",
		"beam.memory.atom", "beam.memory.binary", "beam.memory.code", "beam.memory.ets", "beam.memory.processes",
		"beam.port_count", "beam.process_count", "beam.reductions", "beam.run_queue", "beam.scheduler_usage.1", "beam.scheduler_usage.2",
	}
	if names := names(got); !slices.Equal(names, want) {
		t.Fatalf("the metrics are\n%q, want\n%q", names, want)
	}
	for _, name := range []string{"beam.context_switches", "beam.reductions", "beam.process_count", "beam.port_count"} {
		if got[name] < 1 {
			t.Errorf("%s = %v, want what a running VM has", name, got[name])
		}
	}
	for _, name := range want[5:10] {
		if got[name] < 1_000 || got[name] > 1<<30 {
			t.Errorf("%s = %v, want bytes", name, got[name])
		}
	}
	for _, name := range want[14:] {
		if got[name] < 0 || got[name] > 1 {
			t.Errorf("%s = %v, want a share from 0 to 1", name, got[name])
		}
	}
}

// Totals since the start of the VM would look like a busy minute.
func TestAYoungBEAM(t *testing.T) {
	url, _ := startBEAM(t, "3600")
	want := []string{
		"beam.memory.atom", "beam.memory.binary", "beam.memory.code", "beam.memory.ets", "beam.memory.processes",
		"beam.port_count", "beam.process_count", "beam.run_queue",
	}
	if names := names(collect(t, url)); !slices.Equal(names, want) {
		t.Errorf("before the first interval is over the metrics are\n%q, want\n%q", names, want)
	}
}

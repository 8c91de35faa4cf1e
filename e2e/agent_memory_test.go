package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"testing"
)

// mostMemory returns the most memory that a process held at once, in KiB.
func mostMemory(t *testing.T, pid int) int {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(b)
	if m == nil {
		t.Fatalf("there is no VmHWM in\n%s", b)
	}
	n, err := strconv.Atoi(string(m[1]))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// A plugin that prints 100 MB, to stdout, stderr or both, costs the agent at most 4 MiB of memory more than one that prints a value.
func TestWhatAPluginPrintsCostsLittleMemory(t *testing.T) {
	s := startTestServer(t, nil)
	most := func(t *testing.T, text string) int {
		t.Helper()
		a := newTestAgent(t, s, "")
		script := write(t, filepath.Join(a.dir, "print"), "#!/bin/sh\n[ -z \"$MACKEREL_AGENT_PLUGIN_META\" ] || exit 0\n"+text+"\n")
		if err := os.Chmod(script, 0o755); err != nil {
			t.Fatal(err)
		}
		a.configure(s, fmt.Sprintf("[plugin.metrics.print]\ncommand = %q\n", script))
		a.start()
		eventually(t, "a run of the plugin, and values sent", func() bool {
			st, ok := a.status()
			ran := slices.ContainsFunc(st.Sources, func(s agentSource) bool { return s.Name == "print" && s.Runs > 0 })
			return ok && ran && st.Host.State == "registered" && st.Queue.Points == 0
		})
		n := mostMemory(t, a.cmd.Process.Pid)
		a.stop()
		return n
	}
	little := most(t, "echo print.n 1 0")
	for name, text := range map[string]string{
		"to stdout":          "head -c 100000000 /dev/zero",
		"to stderr":          "head -c 100000000 /dev/zero >&2",
		"to both":            "head -c 100000000 /dev/zero & head -c 100000000 /dev/zero >&2; wait",
		"as lines of values": "yes 'print.n 1 0' | head -c 100000000",
	} {
		t.Run(name, func(t *testing.T) {
			n := most(t, text)
			if n > little+4<<10 {
				t.Errorf("the agent held %d KiB at once, %d more than with a plugin that prints a value, want 4096 more at most", n, n-little)
			}
			t.Logf("%d KiB, %+d", n, n-little)
		})
	}
}

package cli_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/saba-monitor/saba/internal/argv"
	"github.com/saba-monitor/saba/internal/cli"
)

// TestMain lets the scripts run the command line as a process of its own, as saba-agent's main does.
func TestMain(m *testing.M) {
	main := func() {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		context.AfterFunc(ctx, stop)
		args := argv.Clone()
		os.Exit(cli.Run(ctx, args, cli.OS("abc1234", args), cli.AgentCommands()))
	}
	testscript.Main(m, map[string]func(){"saba": main, "saba-agent": main, "mackerel-plugin-gostats": main, "mackerel-plugin-redsi": main, "check-http": main, "check-htpt": main, "check-ssl-cert": main, "mackerel-plugin": main, "mackerel-check": main})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"snapshot": checkSnapshot,
		},
	})
}

// checkSnapshot checks that a file holds what agent --once prints: "snapshot stdout custom.jobs.ready".
// The names that follow the file must have a value.
func checkSnapshot(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: snapshot FILE [METRIC]…")
	}
	text := ts.ReadFile(args[0])
	var s struct {
		Host struct {
			Name          string
			Meta          map[string]any
			RoleFullnames []string
			Checks        []any
		}
		Metrics struct {
			Created string
			Values  []struct {
				Values map[string]struct {
					Time  *int64
					Value float64
				}
				CustomIdentifier *string
			}
		}
	}
	ts.Check(json.Unmarshal([]byte(text), &s))
	if strings.Count(text, "\n") != 1 || s.Host.Name == "" || s.Host.RoleFullnames == nil || s.Host.Checks == nil || s.Metrics.Created == "" || len(s.Metrics.Values) != 1 {
		ts.Fatalf("not the line of one host: %s", text)
	}
	for _, key := range []string{"agent-name", "agent-version", "agent-revision", "kernel", "memory", "cpu"} {
		if s.Host.Meta[key] == nil {
			ts.Fatalf("meta has no %s: %v", key, s.Host.Meta)
		}
	}
	values := s.Metrics.Values[0].Values
	for _, name := range append([]string{"loadavg1", "loadavg5", "loadavg15", "memory.total", "memory.used", "cpu.user.percentage", "cpu.idle.percentage"}, args[1:]...) {
		if _, ok := values[name]; !ok {
			ts.Fatalf("no value of %s in %s", name, text)
		}
	}
	// A rate needs the second reading: the states of all processors add up to 100 each.
	sum := 0.0
	for name, v := range values {
		if strings.HasPrefix(name, "cpu.") {
			sum += v.Value
		}
	}
	cpus := s.Host.Meta["cpu"].([]any)
	if want := 100 * float64(len(cpus)); math.Abs(sum-want) > 0.5 {
		ts.Fatalf("the states of the processors add up to %s, want %v", fmt.Sprint(sum), want)
	}
}

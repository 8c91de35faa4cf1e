package servercli

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/saba-monitor/saba/internal/cli"
)

// TestMain lets the scripts run the command line as a process of its own, as saba's main does.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"saba": func() {
		os.Exit(cli.Run(context.Background(), os.Args, cli.OS("abc1234", os.Args), slices.Concat(Commands(), cli.AgentCommands())))
	}})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: "testdata/script", RequireExplicitExec: true, RequireUniqueNames: true})
}

// The examples are what their comments say.
func TestTheExamplesOfMonitorsAreMet(t *testing.T) {
	files, err := filepath.Glob("../../examples/monitors/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no examples", err)
	}
	for _, file := range files {
		test, err := readMonitorTest(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := test.run(t.Context(), t.Output()); err != nil {
			t.Error(err)
		}
	}
}

// Whatever is in a file, reading and replaying it ends without a panic.
func FuzzMonitorTest(f *testing.F) {
	for _, seed := range []string{
		"host a s:r\nservice s\nmonitor m {\"type\":\"host\",\"metric\":\"x\",\"operator\":\">\",\"warning\":1,\"duration\":1}\npost a x 1*3 2..5*4 -\nfires m a WARNING 3 -\ndowntime d 1 2 {\"roleScopes\":[\"s:r\"]}",
		"monitor m {\"type\":\"connectivity\"}\nuntil 30", "service s\nserve s x -*9 1\nmonitor m {\"type\":\"service\",\"service\":\"s\",\"metric\":\"x\",\"operator\":\"<\",\"missingDurationWarning\":10,\"duration\":1}\nquiet m",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 1000 {
			return
		}
		file := t.TempDir() + "/test.txt"
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if test, err := readMonitorTest(file); err == nil && test.minutes < 1000 {
			_ = test.run(t.Context(), t.Output())
		}
	})
}

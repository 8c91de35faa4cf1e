package agent

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestTheAgentMayBeLateAndItsCommandsMayNot(t *testing.T) {
	for asked, want := range map[string]string{
		"now":      "slack 10000000, of a command 50000, variable false",
		"too late": "slack 50000, of a command 50000, variable false", // a signal has come before
	} {
		cmd := exec.Command(os.Args[0], "-test.run=^TestInAProcessOfItsOwn$", "-test.v")
		cmd.Env = append(os.Environ(), "SLACKEN="+asked)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		if !strings.Contains(string(out), want) {
			t.Errorf("%s: the process says, instead of %q:\n%s", asked, want, out)
		}
	}
}

// TestInAProcessOfItsOwn is what the test above runs.
func TestInAProcessOfItsOwn(t *testing.T) {
	if os.Getenv("SLACKEN") == "" {
		return
	}
	ctx, end := context.WithCancel(t.Context())
	defer end()
	if os.Getenv("SLACKEN") == "too late" {
		end()
	}
	Slacken(ctx, os.Args)
	own, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	r, err := runCommand(t.Context(), Command{Args: []string{"cat", "/proc/self/timerslack_ns"}}, os.Environ())
	if err != nil {
		t.Fatal(err)
	}
	_, again := os.LookupEnv(slackened)
	fmt.Printf("slack %d, of a command %s, variable %v\n", own, strings.TrimSpace(string(r.Stdout)), again)
}

package agent

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestTheAgentMayBeLateAndItsCommandsMayNot(t *testing.T) {
	cmd := exec.Command(os.Args[0], "-test.run=^TestInAProcessOfItsOwn$", "-test.v")
	cmd.Env = append(os.Environ(), "SLACKEN=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if want := "slack 10000000, of a command 50000, variable false"; !strings.Contains(string(out), want) {
		t.Errorf("the process says, instead of %q:\n%s", want, out)
	}
}

// TestInAProcessOfItsOwn is what the test above runs.
func TestInAProcessOfItsOwn(t *testing.T) {
	if os.Getenv("SLACKEN") == "" {
		return
	}
	Slacken(os.Args)
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

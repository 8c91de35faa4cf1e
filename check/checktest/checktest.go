// Package checktest runs a check in tests as its process would.
package checktest

import (
	"os"
	"strings"
	"testing"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/check"
)

// Run runs c with args, in the environment of the test, the way that check.Main does. It returns
// the verdict and what is printed, without the newline at its end. It fails the test unless that
// begins with a title and the verdict.
func Run(t testing.TB, c check.Check, args ...string) (saba.CheckStatus, string) {
	t.Helper()
	status, output := run(t, c, args)
	if title, _, ok := strings.Cut(output, " "+string(status)); !ok || title == "" || strings.ContainsAny(title, ":\n") {
		t.Errorf("%s %q prints %q, want a title and %s first", c.Name, args, output, status)
	}
	return status, output
}

// Usage fails the test unless c is well declared, a flag that it does not have is UNKNOWN with a
// sentence that names it, and its help page lists its flags and is not OK.
func Usage(t testing.TB, c check.Check) {
	t.Helper()
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	commands := [][]string{nil}
	for _, sub := range c.Commands {
		commands = append(commands, []string{sub.Name})
	}
	for _, words := range commands {
		if status, output := Run(t, c, append(words, "--no-such-flag")...); status != saba.CheckUnknown || !strings.Contains(output, "unknown flag --no-such-flag") {
			t.Errorf("%s with a flag that it does not have: %s %q, want UNKNOWN and a sentence that names it", c.Name, status, output)
		}
		want := "--status-as"
		if words == nil && len(c.Commands) > 0 {
			want = c.Commands[0].Name
		}
		if status, output := run(t, c, append(words, "--help")); status != saba.CheckUnknown || !strings.Contains(output, want) {
			t.Errorf("%s %q --help: %s %q, want UNKNOWN and a page that lists %s", c.Name, words, status, output, want)
		}
	}
}

func run(t testing.TB, c check.Check, args []string) (saba.CheckStatus, string) {
	t.Helper()
	var b strings.Builder
	code := check.Run(t.Context(), c, args, check.System{Stdout: &b, Getenv: os.Getenv})
	if code < 0 || code >= len(saba.CheckStatuses) {
		t.Fatalf("%s %q ends with exit code %d", c.Name, args, code)
	}
	return saba.CheckStatuses[code], strings.TrimSuffix(b.String(), "\n")
}

package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/check"
	"github.com/saba-monitor/saba/checks"
	"github.com/saba-monitor/saba/internal/agent"
)

// checkPrefix begins the names under which configurations of other agents call checks.
const checkPrefix = "check-"

var checkCommand = Command{
	Name:  "check",
	Short: "run a check once, or list those that are built in",
	Run:   runCheck,
}

// exitUnknown is what an agent reads as UNKNOWN. Whatever is no verdict has it: other codes
// would be OK, WARNING or CRITICAL to an agent that was given a wrong command.
const exitUnknown = 3

// runCheck runs the check that the first argument names, or lists all.
func runCheck(ctx context.Context, env *Env, args []string) error {
	if len(args) == 0 || slices.Contains([]string{"-h", "-help", "--help", "help"}, args[0]) {
		return listChecks(env)
	}
	name := strings.TrimPrefix(args[0], checkPrefix)
	c, ok := checks.Find(name)
	if !ok {
		// On stdout, which is what agents read.
		fmt.Fprintf(env.Stdout, "Check UNKNOWN: there is no check %q%s; %q lists them\n", name, nearestCheck(name), env.again("check"))
		return errShown{exitUnknown}
	}
	program := env.again("check " + name)
	if env.Program == checkPrefix+name {
		program = env.Program
	}
	code := check.Run(ctx, c, args[1:], check.System{Program: program, Stdout: env.Stdout, Getenv: env.Getenv})
	if code != 0 {
		return errShown{code}
	}
	return nil
}

func listChecks(env *Env) error {
	var b strings.Builder
	b.WriteString("Checks. An agent runs one inside itself with, in its configuration:\n\n  [plugin.checks.shop]\n  plugin = \"http -u https://shop.example.com/\"\n\nChecks:\n")
	for _, c := range checks.All() {
		fmt.Fprintf(&b, "  %-12s %s\n", c.Name, c.Short)
	}
	fmt.Fprintf(&b, "\n%q runs one once, %q lists its flags. Exit codes: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN,\nwhich this page is too.\n", env.again("check NAME"), env.again("check NAME -h"))
	if _, err := fmt.Fprint(env.Stdout, b.String()); err != nil {
		return err
	}
	return errShown{exitUnknown}
}

// nearestCheck returns a clause that names the check nearest to name, "" when none is near.
func nearestCheck(name string) string {
	best, clause := 3, ""
	for _, c := range checks.All() {
		if d := saba.Distance(name, c.Name); d < best {
			best, clause = d, fmt.Sprintf(": did you mean %q?", c.Name)
		}
	}
	return clause
}

// bundledCheck makes a check that runs inside an agent (agent.Bundled).
func bundledCheck(name string, args []string) (agent.CheckRunner, error) {
	c, ok := checks.Find(strings.TrimPrefix(name, checkPrefix))
	if !ok {
		return nil, fmt.Errorf("there is no such check%s", nearestCheck(name))
	}
	return check.Embed(c, args)
}

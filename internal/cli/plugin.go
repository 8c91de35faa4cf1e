package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/checks"
	"github.com/saba-monitor/saba/internal/agent"
	"github.com/saba-monitor/saba/plugin"
	"github.com/saba-monitor/saba/plugins"
)

// pluginPrefix begins the names under which configurations of other agents call plugins.
const pluginPrefix = "mackerel-plugin-"

var pluginCommand = Command{
	Name:  "plugin",
	Short: "run a metric plugin once, or list those that are built in",
	Run:   runPlugin,
}

// runPlugin runs the plugin that the first argument names, or lists all.
func runPlugin(ctx context.Context, env *Env, args []string) error {
	if len(args) == 0 || slices.Contains([]string{"-h", "-help", "--help", "help"}, args[0]) {
		return listPlugins(env)
	}
	name := strings.TrimPrefix(args[0], pluginPrefix)
	p, ok := plugins.Find(name)
	if !ok {
		return saba.Errorf(saba.ErrInvalid, "there is no plugin %q%s; %q lists them", name, nearestPlugin(name), env.Program+" plugin")
	}
	program := env.Program + " plugin " + name
	if env.Program == pluginPrefix+name {
		program = env.Program
	}
	code := plugin.Run(ctx, p, args[1:], plugin.System{Program: program, Stdout: env.Stdout, Stderr: env.Stderr, Getenv: env.Getenv})
	if code != 0 {
		return errShown{code}
	}
	return nil
}

func listPlugins(env *Env) error {
	var b strings.Builder
	fmt.Fprintf(&b, "Metric plugins. An agent runs one inside itself with, in its configuration:\n\n  [plugin.metrics.app]\n  plugin = \"gostats -port 8080\"\n\nPlugins:\n")
	for _, p := range plugins.All() {
		fmt.Fprintf(&b, "  %-12s %s\n", p.Name, p.Short)
	}
	fmt.Fprintf(&b, "\n%q runs one once, %q lists its flags and metrics.\n", env.Program+" plugin NAME", env.Program+" plugin NAME -h")
	_, err := fmt.Fprint(env.Stdout, b.String())
	return err
}

// nearestPlugin returns a clause that names the plugin nearest to name, "" when none is near.
func nearestPlugin(name string) string {
	for _, p := range plugins.All() {
		if saba.Distance(name, p.Name) < 3 {
			return fmt.Sprintf(": did you mean %q?", p.Name)
		}
	}
	return ""
}

// linkedPlugin returns the arguments of a command line without the program's name: when the
// program was called as mackerel-plugin-NAME or check-NAME, through a link, they are those of that
// plugin or check.
func linkedPlugin(program string, args []string) []string {
	if name, ok := strings.CutPrefix(program, pluginPrefix); ok {
		return append([]string{pluginCommand.Name, name}, args...)
	}
	if name, ok := strings.CutPrefix(program, checkPrefix); ok {
		return append([]string{checkCommand.Name, name}, args...)
	}
	return args
}

// bundledPlugin makes a plugin that runs inside an agent (agent.Bundled).
func bundledPlugin(name string, args []string) (agent.Runner, error) {
	p, ok := plugins.Find(strings.TrimPrefix(name, pluginPrefix))
	if !ok {
		return nil, fmt.Errorf("there is no such plugin%s", nearestPlugin(name))
	}
	e, err := plugin.Embed(p, args)
	if err != nil {
		return nil, err
	}
	return embedded{e}, nil
}

// embedded is a plugin as an agent runs it.
type embedded struct{ *plugin.Embedded }

func (e embedded) Values(ctx context.Context, environ []string) ([]saba.Value, error) {
	return e.Embedded.Values(plugin.WithEnviron(ctx, environ))
}

// hasBundled says whether a configuration may name a plugin of a kind (agent.LoadOptions).
func hasBundled(kind, name string) (ok bool) {
	switch kind {
	case "metrics":
		_, ok = plugins.Find(strings.TrimPrefix(name, pluginPrefix))
	case "checks":
		_, ok = checks.Find(strings.TrimPrefix(name, checkPrefix))
	}
	return ok
}

package cli

import (
	"context"
	"fmt"
	"path"
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
		return saba.Errorf(saba.ErrInvalid, "there is no plugin %q%s; %q lists them", name, nearestPlugin(name), env.again("plugin"))
	}
	program := env.again("plugin " + name)
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
	fmt.Fprintf(&b, "\n%q runs one once, %q lists its flags and metrics.\n", env.again("plugin NAME"), env.again("plugin NAME -h"))
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

// linkedPlugin returns the arguments of a command line without the program's name, and whether
// the program was called through a link: as mackerel-plugin-NAME or check-NAME they are those of
// that plugin or check, as mackerel-plugin or mackerel-check those of the command.
func linkedPlugin(program string, args []string) (_ []string, linked bool) {
	if name, ok := strings.CutPrefix(program, pluginPrefix); ok {
		return append([]string{"plugin", name}, args...), true
	}
	if name, ok := strings.CutPrefix(program, checkPrefix); ok {
		return append([]string{"check", name}, args...), true
	}
	if command, ok := strings.CutPrefix(program, "mackerel-"); ok && (command == "plugin" || command == "check") {
		return append([]string{command}, args...), true
	}
	return args, false
}

// again returns how a person calls a command of this program: a link is one of them only.
func (e *Env) again(command string) string {
	if _, linked := linkedPlugin(e.Program, nil); linked {
		return "saba-agent " + command
	}
	return e.Program + " " + command
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

// packFolders is where packages of the protocol put plugins and checks: what has the name of one of
// ours elsewhere may be somebody's own.
var packFolders = []string{"", "/usr/bin/", "/usr/local/bin/", "/opt/mackerel-agent/plugins/bin/"}

// insideAgent is the agent.Insider of this program: it knows a plugin by its name in those
// packages, and takes it in if ours has all of its flags.
func insideAgent(kind string, command []string) []string {
	folder, program := path.Split(command[0])
	words, linked := linkedPlugin(program, command[1:])
	if !slices.Contains(packFolders, folder) || !linked || len(words) < 2 {
		return nil
	}
	var err error
	switch does := words[0]; {
	case kind == "metrics" && does == "plugin":
		if words[1] == "json" {
			words = append(words, "-compat") // its names are others without
		}
		_, err = bundledPlugin(words[1], words[2:])
	case kind == "checks" && does == "check":
		_, err = bundledCheck(words[1], words[2:])
	default:
		return nil
	}
	if err != nil {
		return nil
	}
	return words[1:]
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

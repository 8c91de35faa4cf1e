package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/saba-monitor/saba/internal/agent"
	"github.com/saba-monitor/saba/internal/collect"
)

// runCheckConfig reads the configuration as a start would. Mistakes are an error, one line each;
// without any it says what the configuration will do.
func runCheckConfig(_ context.Context, env *Env, args []string) error {
	flags := newAgentFlags(env)
	if err := flags.parse(env, args); err != nil {
		return err
	}
	c, file, err := flags.config(env)
	if err != nil {
		return err
	}
	if c.APIKey == "" {
		return errNoKey(flags.conf)
	}
	if _, err := agentOptions(env, c, env.Logger(slog.LevelError)); err != nil {
		return err
	}
	if _, err := newAgentClient(env, flags.conf, c, agent.NewRecorder(nil, "", time.Time{}).Transport); err != nil {
		return err
	}
	var families []string
	for _, s := range collect.All {
		families = append(families, s.Name)
	}
	sees := [][2]string{{"host metrics", strings.Join(families, " ")}}
	if len(c.Linux) > 0 {
		sees = append(sees, [2]string{"linux metrics", strings.Join(c.Linux, " ")})
	}
	return describeConfig(env.Stdout, c, cmp.Or(file, "without a file"), sees)
}

// describeConfig says what an agent with the configuration c does, which sees by itself what the pairs of sees say. It
// shows no key, and of a command the program only: arguments may hold secrets.
func describeConfig(w io.Writer, c agent.Config, file string, sees [][2]string) error {
	var b strings.Builder
	fmt.Fprintf(&b, "SUCCESS (%s)\n\n", file)
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	row := func(what, format string, args ...any) { fmt.Fprintf(t, "%s\t%s\n", what, fmt.Sprintf(format, args...)) }
	row("server", "%s", redacted(c.APIBase))
	row("folder", "%s", c.Root)
	for _, r := range c.Roles {
		row("role", "%s", r)
	}
	if c.DisplayName != "" {
		row("display name", "%s", c.DisplayName)
	}
	for _, s := range sees {
		row(s[0], "%s", s[1])
	}
	limit := func(k agent.Command) string {
		return "within " + duration(cmp.Or(k.Timeout, agent.DefaultCommandTimeout)) + of(k.User) + with(k.Env)
	}
	for _, p := range c.Metrics {
		row("plugin "+p.Name, "%s each minute %s%s", program(p.Command, p.Bundled), limit(p.Command), about(p.CustomIdentifier))
	}
	for _, p := range c.Checks {
		action := ""
		if p.Action != nil {
			action = ", then " + program(*p.Action, nil)
		}
		row("check "+p.Name, "%s every %s %s%s%s", program(p.Command, p.Bundled), duration(p.Interval), limit(p.Command), about(p.CustomIdentifier), action)
	}
	for _, p := range c.Metadata {
		row("metadata "+p.Name, "%s every %s %s", program(p.Command, p.Bundled), duration(p.Interval), limit(p.Command))
	}
	if c.OnStart != "" {
		row("status at start", "%s", c.OnStart)
	}
	if c.OnStop != "" {
		row("status at stop", "%s", c.OnStop)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, n := range c.Notes {
		fmt.Fprintf(&b, "\nnote: %s", n)
	}
	if len(c.Notes) > 0 {
		b.WriteByte('\n')
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// program names what is run.
func program(c agent.Command, bundled []string) string {
	if len(bundled) > 0 {
		return bundled[0] + " (bundled)"
	}
	if len(c.Args) == 3 && c.Args[0] == "sh" && c.Args[1] == "-c" {
		if words := strings.Fields(c.Args[2]); len(words) > 0 {
			return words[0] + " (in a shell)"
		}
	}
	if len(c.Args) == 0 {
		return "nothing"
	}
	return c.Args[0]
}

func of(user string) string {
	if user == "" {
		return ""
	}
	return ", as " + user
}

func with(env []string) string {
	var names []string
	for _, kv := range env {
		name, _, _ := strings.Cut(kv, "=")
		names = append(names, name)
	}
	if len(names) == 0 {
		return ""
	}
	return ", with " + strings.Join(names, " ")
}

func about(identifier string) string {
	if identifier == "" {
		return ""
	}
	return ", about the host " + identifier
}

// duration is d without the zeros that time.Duration prints: "1h", not "1h0m0s".
func duration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

package cli

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/agent"
)

// protocolRoot is where the protocol's other agent keeps its id unless told otherwise.
const protocolRoot = "/var/lib/mackerel-agent"

// runInit writes the key into a configuration file, or makes one of another agent's file.
func runInit(_ context.Context, env *Env, args []string) error {
	flags := env.Flags("")
	conf := flags.String("conf", agent.DefaultConf, "`file` to write; - prints it, with --from")
	from := flags.String("from", "", "configuration `file` of another agent of the protocol, to make saba's own of")
	key := flags.String("apikey", "", "API `key`; visible to everybody on this host while this runs")
	keyFile := flags.String("apikey-file", "", "`file` that holds the API key alone: its name is written, not the key")
	base := flags.String("apibase", "", "`URL` of the server")
	if err := env.Parse(flags, args); err != nil {
		return err
	}
	if err := NoOperands(flags); err != nil {
		return err
	}
	s := agent.Settings{APIKey: *key, APIBase: *base}
	if *keyFile != "" {
		if *key != "" {
			return saba.Errorf(saba.ErrInvalid, "of --apikey and --apikey-file, write one")
		}
		if _, err := readSecret(*keyFile); err != nil {
			return err
		}
		var err error
		if s.APIKeyFile, err = filepath.Abs(*keyFile); err != nil {
			return err
		}
	}
	if *from != "" {
		return convertConfig(env, *from, *conf, s)
	}
	if s.APIKey == "" && s.APIKeyFile == "" {
		return saba.Errorf(saba.ErrInvalid, "which key shall be written? Give --apikey-file or --apikey, or --from to take over another agent's file")
	}
	kept, err := agent.InitConfig(*conf, s)
	if err != nil {
		return err
	}
	if kept {
		fmt.Fprintf(env.Stderr, "%s %s: %s has an API key already and is left as it is\n", env.Program, env.Command, *conf)
		return nil
	}
	fmt.Fprintf(env.Stderr, "%s %s: wrote %s\n", env.Program, env.Command, *conf)
	return nil
}

// convertConfig makes out, or prints it, of another agent's file.
func convertConfig(env *Env, from, out string, s agent.Settings) error {
	if out != "-" {
		// A file that somebody has made is not ours to replace; one of comments is a package's.
		nothing, err := agent.SaysNothing(out)
		if err != nil {
			return err
		}
		if !nothing {
			return saba.Errorf(saba.ErrInvalid, "%s exists already: name another with --conf, or move it away", out)
		}
	}
	c, err := agent.ConvertFile(from, insideAgent)
	if err != nil {
		return err
	}
	text, err := c.With(from, s)
	if err != nil {
		return err
	}
	if out == "-" {
		if _, err := env.Stdout.Write(text); err != nil {
			return err
		}
	} else if err := agent.WriteConfig(out, text); err != nil {
		return err
	}
	say := func(format string, args ...any) {
		fmt.Fprintf(env.Stderr, "%s %s: %s\n", env.Program, env.Command, fmt.Sprintf(format, args...))
	}
	for _, l := range c.LeftOut {
		say("%s has no effect and is left out", l)
	}
	for _, l := range c.Inside {
		say("%s runs inside the agent now, with no process", l)
	}
	for _, n := range c.Config.Notes {
		say("%s", n)
	}
	if c.Config.APIBase == "" && s.APIBase == "" {
		say("the file names no server, so %s is meant: write apibase if it is another", agent.DefaultAPIBase)
	}
	if c.Config.Root == "" {
		say("to stay the same host on the same server, copy %s/id to %s before the first start", protocolRoot, agent.DefaultRoot)
	}
	if out != "-" {
		say("wrote %s", out)
	}
	return nil
}

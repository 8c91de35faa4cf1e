package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/agent"
)

// runRetire retires this host. It takes the agent's own flags, so that a service file can pass
// the same ones to both.
func runRetire(ctx context.Context, env *Env, args []string) error {
	flags := newAgentFlags(env)
	force := flags.Bool("force", false, "do not ask")
	if err := flags.parse(env, args); err != nil {
		return err
	}
	c, _, err := flags.config(env)
	if err != nil {
		return err
	}
	id, err := agent.HostID(c.Root)
	if err != nil {
		return err
	}
	api, err := newAgentClient(env, flags.conf, c, func(t http.RoundTripper) http.RoundTripper { return t })
	if err != nil {
		return err
	}
	if !*force {
		if _, err := agent.ReadStatus(ctx, c.Root); !errors.Is(err, saba.ErrNotFound) {
			return fmt.Errorf("the agent of this host is running: stop it first, or use --force")
		}
		if !isTerminal(env.Stdin) || !isTerminal(env.Stdout) {
			return errors.New("canceled: nobody can be asked here, so use --force")
		}
		fmt.Fprintf(env.Stdout, "Retire host %s for good on %s? It cannot be undone. [y/N] ", id, redacted(c.APIBase))
		if !readYes(env.Stdin) {
			return errors.New("canceled")
		}
	}
	if err := agent.Retire(ctx, api, c.Root, id, env.Logger(slog.LevelInfo)); err != nil {
		return err
	}
	fmt.Fprintf(env.Stderr, "%s %s: host %s is retired\n", env.Program, env.Command, id)
	return nil
}

// readYes reads one line and says whether it agrees.
func readYes(r io.Reader) bool {
	answer, _ := bufio.NewReader(io.LimitReader(r, 100)).ReadString('\n') // an end of input says no
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return true
	}
	return false
}

// isTerminal says whether a person sits at the other end.
func isTerminal(f any) bool {
	file, ok := f.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

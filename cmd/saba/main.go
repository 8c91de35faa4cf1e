// Command saba is the whole of saba: server, console, agent and commands in one binary.
package main

import (
	"context"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"github.com/saba-monitor/saba/internal/cli"
	"github.com/saba-monitor/saba/internal/servercli"
)

// revision is the commit that the binary was built from; the Makefile sets it.
var revision = "unknown"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	os.Exit(cli.Run(ctx, os.Args, cli.OS(revision), slices.Concat(servercli.Commands(), cli.AgentCommands())))
}

// Command saba-agent is the part of saba that runs on every host: no server, no database in it.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/saba-monitor/saba/internal/cli"
)

// revision is the commit that the binary was built from; the Makefile sets it.
var revision = "unknown"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	os.Exit(cli.Run(ctx, os.Args, cli.OS(revision), cli.AgentCommands()))
}

// Command saba is the whole of saba: server, console, agent and commands in one binary.
package main

import (
	"context"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"
	_ "time/tzdata" // the zones of downtimes, for machines that have none (450 KB)

	"github.com/saba-monitor/saba/internal/argv"
	"github.com/saba-monitor/saba/internal/cli"
	"github.com/saba-monitor/saba/internal/servercli"
)

// revision is the commit that the binary was built from; the Makefile sets it.
var revision = "unknown"

func main() {
	heap := modest(os.LookupEnv)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second signal ends the process at once, but for one that comes with the first: timeout(1), for one, sends the
	// same to the process and to its group.
	context.AfterFunc(ctx, func() { time.AfterFunc(time.Second, stop) })
	args := argv.Clone()
	system := cli.OS(revision, args)
	if heap != nil {
		system.Hurry, system.KeepHeap = heap.hurry, heap.keep
	}
	os.Exit(cli.Run(ctx, args, system, slices.Concat(servercli.Commands(), cli.AgentCommands())))
}

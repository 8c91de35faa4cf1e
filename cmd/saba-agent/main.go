// Command saba-agent is the part of saba that runs on every host: no server, no database in it.
package main

import (
	"context"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/saba-monitor/saba/internal/argv"
	"github.com/saba-monitor/saba/internal/cli"
)

// revision is the commit that the binary was built from; the Makefile sets it.
var revision = "unknown"

func main() {
	modest(os.LookupEnv)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second signal ends the process at once, but for one that comes with the first: timeout(1), for one, sends the
	// same to the process and to its group.
	context.AfterFunc(ctx, func() { time.AfterFunc(time.Second, stop) })
	args := argv.Clone()
	os.Exit(cli.Run(ctx, args, cli.OS(revision, args), cli.AgentCommands()))
}

// modest fits the runtime to a program that rests for all but a moment of each minute, unless the environment says
// otherwise. One processor spares the runtime's waking of others, which is half of what the agent
// uses; a smaller heap is worth a collection more a minute (bench/README.md has the figures).
func modest(lookup func(string) (string, bool)) {
	if _, set := lookup("GOMAXPROCS"); !set {
		runtime.GOMAXPROCS(1)
	}
	if _, set := lookup("GOGC"); !set {
		debug.SetGCPercent(50)
	}
}

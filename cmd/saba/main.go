// Command saba is the whole of saba: server, console, agent and commands in one binary.
package main

import (
	"context"
	"os"
	"os/signal"
	"runtime/debug"
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
	hurry := modest(os.LookupEnv)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second signal ends the process at once, but for one that comes with the first: timeout(1), for one, sends the
	// same to the process and to its group.
	context.AfterFunc(ctx, func() { time.AfterFunc(time.Second, stop) })
	args := argv.Clone()
	system := cli.OS(revision, args)
	system.Hurry = hurry
	os.Exit(cli.Run(ctx, args, system, slices.Concat(servercli.Commands(), cli.AgentCommands())))
}

// modest keeps the heap near to what lives in it, unless the environment says otherwise. Nearly all of a server's heap
// lives for hours (the series and the samples of the last two hours), and agents that send their minutes make little garbage: to collect it
// more often costs a tenth more CPU time, and saves a quarter of the memory (docs/performance.md). While the heap still grows from nothing it
// costs a quarter more: hurry puts it off until done is called.
func modest(lookup func(string) (string, bool)) (hurry func() (done func())) {
	if _, set := lookup("GOGC"); set {
		return nil
	}
	const at = 15
	debug.SetGCPercent(at)
	return func() (done func()) {
		debug.SetGCPercent(100)
		return func() { debug.SetGCPercent(at) }
	}
}

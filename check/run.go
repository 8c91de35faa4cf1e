package check

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/spf13/pflag"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/argv"
)

// exitCodes are what agents read. Only an OK is 0: a help page is none, or -h in place of -H
// would look well for ever.
var exitCodes = map[saba.CheckStatus]int{saba.CheckOK: 0, saba.CheckWarning: 1, saba.CheckCritical: 2, saba.CheckUnknown: 3}

// grace is how long a check may take to return after its time is over.
const grace = time.Second

// A System is what a check may touch of its process.
type System struct {
	Program string // what the check was called as; "" means check- and its name
	Stdout  io.Writer
	Getenv  func(string) string
}

// Main runs c as this process, and ends it.
func Main(c Check) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	os.Exit(Run(ctx, c, argv.Clone()[1:], System{Stdout: os.Stdout, Getenv: os.Getenv}))
}

// Run runs c with the arguments after its name, prints "Title STATUS: message" and returns the
// exit code: 0 for OK, 1 for WARNING, 2 for CRITICAL, and 3 for UNKNOWN, which is also what a
// wrong argument, a panic and a help page are. All goes to stdout, which is what agents read.
// A checker that does not return though its time is over is left behind.
func Run(ctx context.Context, c Check, args []string, sys System) int {
	in, err := c.newInstance(args)
	if sys.Program == "" {
		sys.Program = "check-" + c.Name
	}
	switch {
	case errors.Is(err, pflag.ErrHelp):
		_, _ = io.WriteString(sys.Stdout, in.usage(c, sys.Program))
		return exitCodes[saba.CheckUnknown]
	case err == nil && in.version:
		_, _ = fmt.Fprintf(sys.Stdout, "%s version %s\n", sys.Program, saba.Version)
		return exitCodes[saba.CheckUnknown]
	}
	var r Result
	if err != nil {
		r = Unknown("%v; %s -h lists the flags", err, sys.Program)
	} else {
		r = in.runBounded(ctx, sys.Getenv)
	}
	// Who does not read the verdict has the exit code.
	_, _ = fmt.Fprintln(sys.Stdout, in.line(r))
	return exitCodes[r.Status]
}

// line returns a result as agents and people read it.
func (in *instance) line(r Result) string {
	line := fmt.Sprintf("%s %s", in.title(), r.Status)
	if message := strings.TrimRight(r.Message, "\n"); message != "" {
		line += ": " + message
	}
	return line
}

// runBounded is run that does not wait for a checker that does not return.
func (in *instance) runBounded(ctx context.Context, getenv func(string) string) Result {
	done := make(chan Result, 1)
	go func() { done <- in.run(ctx, getenv) }()
	var over <-chan time.Time // never, when the check has a --timeout of its own
	if in.timeout > 0 {
		timer := time.NewTimer(in.timeout + grace)
		defer timer.Stop()
		over = timer.C
	}
	select {
	case r := <-done:
		return r
	case <-over:
		return in.finish(Unknown("did not end within %v", in.timeout))
	case <-ctx.Done():
	}
	select {
	case r := <-done:
		return r
	case <-time.After(grace):
		return in.finish(Unknown("was told to end before it had a verdict"))
	}
}

// A turn is what a run of a check finds in its context.
type turn struct {
	check   string // its name
	args    []string
	getenv  func(string) string
	timeout time.Duration // 0 when it has none
}

type turnKey struct{}

// run looks once, within the timeout. A panic is UNKNOWN.
func (in *instance) run(ctx context.Context, getenv func(string) string) (r Result) {
	defer func() {
		if p := recover(); p != nil {
			r = in.finish(Unknown("panic: %v in %s", p, panicked()))
		}
	}()
	timeout := in.timeout
	if deadline, ok := ctx.Deadline(); ok { // of an agent
		if left := time.Until(deadline).Round(100 * time.Millisecond); timeout == 0 || left < timeout {
			timeout = left
		}
	}
	if in.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, in.timeout)
		defer cancel()
	}
	return in.finish(in.checker.Check(context.WithValue(ctx, turnKey{}, turn{in.Name, in.given, getenv, timeout})))
}

// finish returns a result as it is said: in the words of --status-as, and no longer than is sensible.
func (in *instance) finish(r Result) Result {
	if !r.Status.Valid() {
		r = Unknown("the check has no verdict, which is a mistake in it")
	}
	if as, ok := in.statusAs[r.Status]; ok {
		r.Status = as
	}
	if len(r.Message) > maxMessage {
		r.Message = strings.ToValidUTF8(r.Message[:maxMessage], "") + "…"
	}
	return r
}

// Reason returns what to say of an error of a step that ctx bounds: that there was no answer in
// time, where packages say "i/o timeout" or "context deadline exceeded", and else err.
func Reason(ctx context.Context, err error) error {
	t, inTurn := ctx.Value(turnKey{}).(turn)
	e, ok := errors.AsType[interface {
		error
		Timeout() bool
	}](err)
	if !inTurn || t.timeout == 0 || !ok || !e.Timeout() {
		return err
	}
	// A connection knows when to end from ctx, and may notice a moment before it.
	if deadline, ok := ctx.Deadline(); !ok || time.Until(deadline) > 100*time.Millisecond {
		return err
	}
	return fmt.Errorf("no answer within %v", t.timeout)
}

// Getenv returns a variable of the environment that a check runs with: that of its process, or
// inside an agent what the configuration gives it. ctx is the one that Check was called with.
func Getenv(ctx context.Context, name string) string {
	if t, ok := ctx.Value(turnKey{}).(turn); ok {
		return t.getenv(name)
	}
	return os.Getenv(name)
}

// panicked returns the function, file and line that panicked. It is called by the deferred
// function that recovered.
func panicked() string {
	pcs := make([]uintptr, 32)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs)]) // without Callers, this and its caller
	for {
		f, more := frames.Next()
		if !strings.HasPrefix(f.Function, "runtime.") || !more {
			return fmt.Sprintf("%s (%s:%d)", f.Function, filepath.Base(f.File), f.Line)
		}
	}
}

// usage returns the help page; c is the check as it was declared.
func (in *instance) usage(c Check, program string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Checks %s.\n\nUsage:\n", in.Short)
	if in.checker == nil {
		fmt.Fprintf(&b, "  %s COMMAND [FLAGS]\n\nCommands:\n", program)
		tw := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
		for _, sub := range c.Commands {
			fmt.Fprintf(tw, "  %s\t%s\n", sub.Name, sub.Short)
		}
		_ = tw.Flush() // into a strings.Builder
		fmt.Fprintf(&b, "\n%q lists the flags of one.\n", program+" COMMAND -h")
		return b.String()
	}
	_, command, _ := strings.Cut(in.Name, " ")
	fmt.Fprintf(&b, "  %s\n\nFlags:\n%s", strings.Join(strings.Fields(program+" "+command+" [FLAGS] "+in.Operands), " "), in.flags.FlagUsages())
	b.WriteString("\nExit codes: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN, which wrong flags and this page are too.\n")
	return b.String()
}

// Package cli is the command line: it finds the command that was asked for, gives it what it
// may touch of the process, and turns its error into words on stderr and an exit code. One
// file per command; the binaries say which commands they have.
package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/agent"
)

// The exit codes besides 0.
const (
	exitFailure  = 1
	exitInvalid  = 2 // a flag, an argument, a configuration file: saba.ErrInvalid
	exitNoAgent  = 3 // agent status: none is running
	exitNotFound = 4 // saba.ErrNotFound
)

// A System is what a command may touch of the process that it runs in.
type System struct {
	Stdin    io.Reader
	Stdout   io.Writer
	Stderr   io.Writer
	Getenv   func(string) string
	Environ  func() []string
	Revision string // the commit of the binary
	// Hangups returns a channel that receives when the process is told to read its configuration
	// anew, until ctx ends; nil when it never is.
	Hangups func(ctx context.Context) <-chan os.Signal
	// Quits returns a context that also ends when the process is told to quit, for a container that is stopped so; nil leaves
	// that to the Go runtime, which tells where each goroutine is.
	Quits func(ctx context.Context) (context.Context, context.CancelFunc)
	// Slacken makes a process that lives on begin anew as one that rests well; nil leaves it as it is.
	Slacken func(ctx context.Context)
	// Hurry lets the process take memory for speed until done is called; nil leaves it as it is.
	Hurry func() (done func())
	// KeepHeap keeps the process' heap small until ctx ends; nil leaves it as it is.
	KeepHeap func(ctx context.Context)
}

// OS returns the System of this process, which args started.
func OS(revision string, args []string) System {
	return System{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Getenv: os.Getenv, Environ: os.Environ, Revision: revision, Hangups: hangups, Quits: quits, Slacken: func(ctx context.Context) { agent.Slacken(ctx, args) }}
}

// hangups is System.Hangups of a process: SIGHUP no longer ends it.
func hangups(ctx context.Context) <-chan os.Signal {
	c := make(chan os.Signal, 1) // two in a row are one
	signal.Notify(c, syscall.SIGHUP)
	context.AfterFunc(ctx, func() { signal.Stop(c) })
	return c
}

// quits is System.Quits of a process.
func quits(ctx context.Context) (context.Context, context.CancelFunc) {
	return signal.NotifyContext(ctx, syscall.SIGQUIT)
}

// A Command is one word of the command line.
type Command struct {
	Name  string
	Short string // one line for the list of commands
	// Run does the work; args follow the name. An error becomes one sentence per line on stderr,
	// and the exit code by its kind.
	Run func(ctx context.Context, env *Env, args []string) error
}

// An Env is what Run gives to a command.
type Env struct {
	System
	Program string // the base name that the binary was called by
	Command string
}

// errShown is the outcome of a command that has said what there was to say.
type errShown struct{ code int }

func (errShown) Error() string { return "already shown" }

// Run runs the command that args name (args[0] is the program's own name, as in os.Args) and
// returns the exit code.
func Run(ctx context.Context, args []string, sys System, commands []Command) int {
	program := "saba"
	if len(args) > 0 {
		program = filepath.Base(args[0])
		args, _ = linkedPlugin(program, args[1:])
	}
	commands = append(slices.Clone(commands), versionCommand)
	env := &Env{System: sys, Program: program}
	name := ""
	if len(args) > 0 {
		name = args[0]
	}
	helps := []string{"help", "-h", "-help", "--help"}
	switch {
	case name == "help" && len(args) > 1 && !slices.Contains(helps, args[1]): // help COMMAND
		args, name = []string{args[1], "--help"}, args[1]
	case slices.Contains(helps, name):
		usage(sys.Stdout, program, commands)
		return 0
	case name == "-version" || name == "--version":
		args[0], name = "version", "version"
	// The agent's binary without a command is the agent, as service files of other agents expect.
	case isAgentBinary(program, name):
		args, name = append([]string{"agent"}, args...), "agent"
	case name == "":
		usage(sys.Stderr, program, commands)
		return exitInvalid
	}
	i := slices.IndexFunc(commands, func(c Command) bool { return c.Name == name })
	if i < 0 {
		fmt.Fprintf(sys.Stderr, "%s: unknown command %q%s; %q lists the commands\n", program, name, didYouMean(name, commands), program+" help")
		return exitInvalid
	}
	env.Command = name
	return exitCode(env, commands[i].Run(ctx, env, args[1:]))
}

// isAgentBinary says whether a program that was called by that name means its agent when name
// follows: nothing, a flag, or a command of the agent.
func isAgentBinary(program, name string) bool {
	if program != "saba-agent" && program != "mackerel-agent" {
		return false
	}
	_, ok := findAgentCommand(name)
	return ok || name == "" || strings.HasPrefix(name, "-")
}

// exitCode says err on stderr, each of its lines after the command's name, and returns the exit code.
func exitCode(env *Env, err error) int {
	if err == nil {
		return 0
	}
	if shown, ok := errors.AsType[errShown](err); ok {
		return shown.code
	}
	for line := range strings.SplitSeq(err.Error(), "\n") {
		fmt.Fprintf(env.Stderr, "%s %s: %s\n", env.Program, env.Command, line)
	}
	switch {
	case errors.Is(err, saba.ErrInvalid):
		return exitInvalid
	case errors.Is(err, saba.ErrNotFound):
		return exitNotFound
	}
	return exitFailure
}

func usage(w io.Writer, program string, commands []Command) {
	fmt.Fprintf(w, "%s watches hosts, containers and applications, keeps every minute and draws it.\n\nUsage:\n  %s COMMAND [FLAGS]\n\nCommands:\n", program, program)
	for _, c := range commands {
		fmt.Fprintf(w, "  %-16s %s\n", c.Name, c.Short)
	}
	fmt.Fprintf(w, "\n%q lists the flags of a command.\n", program+" COMMAND --help")
}

// didYouMean returns a clause that names the command nearest to name, "" when none is near.
func didYouMean(name string, commands []Command) string {
	for _, c := range commands {
		if saba.Distance(name, c.Name) < 3 {
			return fmt.Sprintf(": did you mean %q?", c.Name)
		}
	}
	return ""
}

// Flags returns an empty set of flags for this command. operands follows the flags in its
// usage line: "[FILE]…", or "".
func (e *Env) Flags(operands string) *flag.FlagSet {
	fs := flag.NewFlagSet(e.Command, flag.ContinueOnError)
	fs.SetOutput(io.Discard) // Parse says it in our words
	fs.Usage = func() {
		fmt.Fprintf(fs.Output(), "Usage:\n  %s\n\nFlags:\n", strings.TrimSpace(e.Program+" "+e.Command+" [FLAGS] "+operands))
		// In place of fs.PrintDefaults, which writes -flag: every page of ours has --flag.
		fs.VisitAll(func(f *flag.Flag) {
			if len(f.Name) == 1 {
				return // the short form of another
			}
			value, text := flag.UnquoteUsage(f)
			if f.DefValue != "" && f.DefValue != "false" && f.DefValue != "0" {
				text += " (default " + f.DefValue + ")"
			}
			fmt.Fprintf(fs.Output(), "  %-22s %s\n", strings.TrimSpace("--"+f.Name+" "+strings.ToUpper(value)), text)
		})
	}
	return fs
}

// Parse parses the flags of this command. Asked for help it prints the usage on stdout; the
// error then is one that ends Run with code 0. Other errors match saba.ErrInvalid.
func (e *Env) Parse(fs *flag.FlagSet, args []string) error {
	switch err := fs.Parse(args); {
	case err == nil:
		return nil
	case errors.Is(err, flag.ErrHelp):
		fs.SetOutput(e.Stdout)
		fs.Usage()
		return errShown{0}
	default:
		return saba.Errorf(saba.ErrInvalid, "%v; %q lists the flags", err, e.Program+" "+e.Command+" --help")
	}
}

// NoOperands refuses what follows the flags.
func NoOperands(fs *flag.FlagSet) error {
	if fs.NArg() > 0 {
		return saba.Errorf(saba.ErrInvalid, "unexpected argument %q: this command takes flags only", fs.Arg(0))
	}
	return nil
}

// Logger returns a logger that writes lines of text to stderr, from level on.
func (e *Env) Logger(level slog.Level) *slog.Logger {
	return slog.New(slog.NewTextHandler(e.Stderr, &slog.HandlerOptions{Level: level}))
}

var versionCommand = Command{
	Name:  "version",
	Short: "print the version",
	Run: func(_ context.Context, env *Env, args []string) error {
		fs := env.Flags("")
		if err := env.Parse(fs, args); err != nil {
			return err
		}
		if err := NoOperands(fs); err != nil {
			return err
		}
		_, err := fmt.Fprintf(env.Stdout, "%s version %s (rev %s) [%s %s %s]\n", env.Program, saba.Version, env.Revision, runtime.GOOS, runtime.GOARCH, runtime.Version())
		return err
	},
}

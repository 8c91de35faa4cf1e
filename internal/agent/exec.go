package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// A Command is an external program that the agent runs, over and over.
type Command struct {
	Args    []string      // the program and its arguments
	User    string        // whom it runs as; "" is the agent's own user
	Env     []string      // "KEY=value", on top of the agent's environment
	Timeout time.Duration // 0 means DefaultCommandTimeout

	runner Runner // in place of all but Timeout: a plugin inside the agent, that Bundle made ready
}

// DefaultCommandTimeout is how long a command may take that says nothing about it.
const DefaultCommandTimeout = 30 * time.Second

// How a command ends that does not end by itself: asked at its timeout, killed killAfter
// later, given up reapAfter after that.
const (
	killAfter = 10 * time.Second
	stopGrace = time.Second // in place of killAfter when the agent stops
	reapAfter = 3 * time.Second
	// leftAfter is how long what a process leaves behind when it ends keeps us waiting: the
	// ends of its pipes, which a daemon may hold for ever, and its group, whose processes are
	// asked to end then, and killed leftAfter later.
	leftAfter = time.Second
)

// The bytes that are kept of a command's outputs; the rest is read and dropped. What goes to
// stderr is for people.
const (
	maxOutput     = 1 << 20
	maxKeptStderr = 64 << 10
	// maxStderrEnd is what is kept of the end of a longer stderr besides: there a program that
	// fails says why.
	maxStderrEnd = 4 << 10
)

// The exit codes of commands that did not start, as shells give them.
const (
	exitCannotStart   = 125
	exitNotExecutable = 126
	exitNotFound      = 127
)

// A Result is what a command left.
type Result struct {
	Stdout   []byte // the first maxOutput bytes
	Stderr   []byte // the first maxKeptStderr bytes; when there was more, also "…" and the last maxStderrEnd
	Cut      bool   // there was more on stdout
	Dropped  int64  // bytes of stdout beyond maxOutput
	ExitCode int    // its own; 128+n when signal n ended it; 125 to 127 when it did not start
	Left     bool   // it left processes of its group behind, which were ended
	Held     bool   // a process that it left behind outside of its group holds its output open
	// Group is 0, or the process group in which something lives that SIGKILL did not end.
	Group int
}

// A TimeoutError means that a command was ended from outside, and by which limit.
type TimeoutError struct {
	After time.Duration // how long it ran; what it had printed is in the Result
	// Left is nil when the command has ended. Otherwise nothing could end it, and Left is
	// closed when it does: to start it again before would pile up processes.
	Left <-chan struct{}
}

func (e *TimeoutError) Error() string {
	if e.Left != nil {
		return fmt.Sprintf("did not end within %v, and even SIGKILL did not end it", e.After.Round(time.Second))
	}
	return fmt.Sprintf("did not end within %v and was stopped", e.After.Round(time.Second))
}

// runCommand runs c in a process group of its own with /dev/null as its input, until it ends,
// its timeout has passed or ctx has ended. When it returns, nothing of the group lives, but for
// what SIGKILL does not end, and its pipes are closed. Its exit code is no error: many plugins
// give values and fail. A command that catches the signal at its timeout and exits by itself
// counts as one that ended. The error is a *TimeoutError, ctx's, or says why the command did
// not start; it never holds the arguments, which may hold secrets.
func runCommand(ctx context.Context, c Command, environ []string) (Result, error) {
	env := append(append([]string{}, environ...), c.Env...)
	args, credential, err := c.as(env)
	if err != nil {
		return Result{ExitCode: exitCannotStart}, err
	}
	start := time.Now()
	p, err := startCommand(args, env, credential)
	if err != nil {
		return Result{ExitCode: startCode(err)}, err
	}
	timeout := c.Timeout
	if timeout == 0 {
		timeout = DefaultCommandTimeout
	}
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	byUs, grace := true, killAfter
	select {
	case <-p.ended:
		byUs = false
	case <-ctx.Done():
		grace = stopGrace
	case <-timer.C:
	}
	if byUs && !p.end(grace) {
		p.closeOutputs()
		return p.result(), &TimeoutError{After: time.Since(start), Left: p.ended}
	}
	held := !p.drains(ctx)
	left, group := p.sweep(ctx, byUs, held)
	if held && left {
		held = !p.drains(ctx) // did what is gone now hold it?
	}
	p.closeOutputs()
	r := p.result()
	r.Held, r.Left, r.Group = held, left && !byUs, group
	status, _ := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	r.ExitCode = status.ExitStatus()
	if status.Signaled() {
		r.ExitCode = 128 + int(status.Signal())
		if byUs {
			if ctx.Err() != nil {
				return r, ctx.Err()
			}
			return r, &TimeoutError{After: time.Since(start)}
		}
	}
	return r, nil
}

// startCommand starts a command as the leader of a process group: without its shell where that makes no difference. A try
// that fails has run nothing, and leaves it to the shell to say what is wrong.
func startCommand(args, env []string, credential *syscall.Credential) (*process, error) {
	start := func(path string, args, env []string) (*process, error) {
		return startProcess(&exec.Cmd{
			Path: path, Args: args, Env: env,
			SysProcAttr: &syscall.SysProcAttr{Setpgid: true, Credential: credential},
		})
	}
	if len(args) == 3 && args[0] == "sh" && args[1] == "-c" {
		if path, words, environ, ok := directly(args[2], env); ok {
			if p, err := start(path, words, environ); err == nil {
				return p, nil
			}
		}
	}
	path, err := lookPath(args[0], env)
	if err != nil {
		return nil, err
	}
	return start(path, args, env)
}

// A process leads a group of processes, and its outputs are read.
type process struct {
	cmd            *exec.Cmd
	ended          chan struct{} // closed when the leader has ended
	pipes          []*os.File    // our ends
	stdout, stderr output
	drained        chan struct{} // closed when both outputs have ended
}

// startProcess starts cmd, whose outputs it sets.
func startProcess(cmd *exec.Cmd) (*process, error) {
	p := &process{cmd: cmd, ended: make(chan struct{}), drained: make(chan struct{})}
	p.stdout.most, p.stderr.most, p.stderr.mostEnd = maxOutput, maxKeptStderr, maxStderrEnd
	var theirs [2]*os.File
	for i := range theirs {
		r, w, err := os.Pipe()
		if err != nil {
			closeAll(append(p.pipes, theirs[:i]...))
			return nil, fmt.Errorf("the command cannot be started: %w", err)
		}
		p.pipes, theirs[i] = append(p.pipes, r), w
	}
	cmd.Stdout, cmd.Stderr = theirs[0], theirs[1]
	err := punctually(cmd.Start)
	closeAll(theirs[:])
	if err != nil {
		closeAll(p.pipes)
		if e, ok := errors.AsType[*os.PathError](err); ok {
			err = fmt.Errorf("%s cannot be started: %w", e.Path, e.Err)
		}
		return nil, err
	}
	// All three end with the command; closeOutputs ends the readers before that. Only a command
	// that nothing ends keeps the goroutine that waits for it.
	var readers sync.WaitGroup
	readers.Go(func() { p.stdout.readAll(p.pipes[0]) })
	readers.Go(func() { p.stderr.readAll(p.pipes[1]) })
	go func() {
		readers.Wait()
		close(p.drained)
	}()
	go func() {
		_ = cmd.Wait() // ProcessState says it all
		close(p.ended)
	}()
	return p, nil
}

func closeAll(files []*os.File) {
	for _, f := range files {
		_ = f.Close() // of a pipe: there is nothing to lose
	}
}

// closeOutputs closes our ends of the pipes and waits for their readers.
func (p *process) closeOutputs() {
	closeAll(p.pipes)
	<-p.drained
}

// result returns what was read; the outputs are closed.
func (p *process) result() Result {
	return Result{Stdout: p.stdout.bytes(), Stderr: p.stderr.bytes(), Cut: p.stdout.dropped > 0, Dropped: p.stdout.dropped}
}

// ask asks the group to end. Errors are not looked at: a group that has gone is what we want,
// and there is nothing else to do about one that may not be signalled. A stopped process acts
// on SIGTERM when it is continued.
func (p *process) ask() {
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGTERM)
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGCONT)
}

func (p *process) kill() { _ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) }

// end ends the leader, if need be by force after grace, and says whether it did end.
func (p *process) end(grace time.Duration) bool {
	p.ask()
	select {
	case <-p.ended:
		return true
	case <-time.After(grace):
	}
	p.kill()
	select {
	case <-p.ended:
		return true
	case <-time.After(reapAfter):
		return false // in an uninterruptible system call
	}
}

// drains waits until both outputs have ended, and says whether they did within leftAfter.
func (p *process) drains(ctx context.Context) bool {
	select {
	case <-p.drained:
		return true
	case <-ctx.Done():
		return false
	case <-time.After(leftAfter):
		return false
	}
}

// sweep ends what the leader, which has ended, left behind in its group. left says whether
// there was something; group is not 0 when there still is. asked says that the group was asked
// to end before, waited that it had leftAfter to end by itself. When ctx ends, it is quicker.
func (p *process) sweep(ctx context.Context, asked, waited bool) (left bool, group int) {
	pid := p.cmd.Process.Pid
	if !groupLives(pid) {
		return false, 0
	}
	if !asked {
		// The tail of a pipeline may just be about to end.
		if !waited && groupEnds(ctx, pid, leftAfter) {
			return false, 0
		}
		p.ask()
	}
	if groupEnds(ctx, pid, leftAfter) {
		return true, 0
	}
	p.kill()
	if groupEnds(context.WithoutCancel(ctx), pid, reapAfter) {
		return true, 0
	}
	return true, pid
}

// groupLives says whether a process group has a process that runs. The number of a group is
// not given to another while it has one; when it has none, it comes back after all others had
// their turn.
func groupLives(pgid int) bool {
	if errors.Is(syscall.Kill(-pgid, 0), syscall.ESRCH) {
		return false
	}
	// A zombie is in its group until its new parent takes its status, which the init of a
	// container may do late or never.
	procs, err := os.ReadDir("/proc")
	if err != nil {
		return true // not Linux
	}
	for _, p := range procs {
		if c := p.Name()[0]; c < '0' || c > '9' {
			continue
		}
		stat, err := os.ReadFile("/proc/" + p.Name() + "/stat")
		if err != nil {
			continue // it has ended
		}
		// proc_pid_stat(5): state, parent and group follow the name, which may hold anything.
		f := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
		if len(f) > 2 && string(f[2]) == strconv.Itoa(pgid) && string(f[0]) != "Z" && string(f[0]) != "X" {
			return true
		}
	}
	return false
}

// groupEnds waits until a process group has no process that runs, and says whether that was so
// within most and before ctx ended. Nobody tells when it is: it must be asked again and again.
func groupEnds(ctx context.Context, pgid int, most time.Duration) bool {
	deadline := time.Now().Add(most)
	for wait := 2 * time.Millisecond; groupLives(pgid); wait = min(2*wait, 200*time.Millisecond) {
		if time.Now().After(deadline) || !sleep(ctx, wait) {
			return false
		}
	}
	return true
}

// as returns the arguments and the credential with which c runs as its user.
func (c Command) as(env []string) ([]string, *syscall.Credential, error) {
	if c.User == "" {
		return c.Args, nil, nil
	}
	u, err := user.Lookup(c.User)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot run as %s: %w", c.User, err)
	}
	if u.Uid == strconv.Itoa(os.Geteuid()) {
		return c.Args, nil, nil
	}
	if os.Geteuid() != 0 {
		// -n: nobody is there to type a password.
		return append([]string{"sudo", "-n", "-Eu", c.User}, c.Args...), nil, nil
	}
	// Root needs no help, and the host no sudo.
	uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
	ids, err3 := u.GroupIds()
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, nil, fmt.Errorf("cannot run as %s: %w", c.User, err)
	}
	credential := &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	for _, id := range ids {
		if n, err := strconv.ParseUint(id, 10, 32); err == nil {
			credential.Groups = append(credential.Groups, uint32(n))
		}
	}
	return c.Args, credential, nil
}

// lookPath finds a program on the PATH of env, not of the agent: a plugin's env may set it.
func lookPath(name string, env []string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	err := fmt.Errorf("%s is not on the path: %w", name, os.ErrNotExist)
	for _, dir := range filepath.SplitList(variable(env, "PATH")) {
		if !filepath.IsAbs(dir) {
			continue // never from wherever the agent was started
		}
		file := filepath.Join(dir, name)
		info, statErr := os.Stat(file)
		switch {
		case statErr != nil || info.IsDir():
		case info.Mode()&0o111 == 0:
			err = fmt.Errorf("%s may not be executed: %w", file, os.ErrPermission)
		default:
			return file, nil
		}
	}
	return "", err
}

func startCode(err error) int {
	switch {
	case errors.Is(err, os.ErrNotExist):
		return exitNotFound
	case errors.Is(err, os.ErrPermission), errors.Is(err, syscall.ENOEXEC):
		return exitNotExecutable
	}
	return exitCannotStart
}

// An output keeps the first bytes of what a command prints, in pieces: one buffer that grows
// by doubling would cost the agent several times what is kept.
type output struct {
	most    int // bytes to keep
	mostEnd int // and of the end of what follows
	pieces  [][]byte
	kept    int
	dropped int64 // bytes after the first most
	end     []byte
}

// readAll reads r to its end, or until it is closed. It never stops before: a full pipe would
// block the command for good.
func (o *output) readAll(r io.Reader) {
	var scratch []byte
	for {
		var into []byte
		last := len(o.pieces) - 1
		switch {
		case o.kept == o.most:
			if scratch == nil {
				scratch = make([]byte, 32<<10)
			}
			into = scratch
		case last < 0 || len(o.pieces[last]) == cap(o.pieces[last]):
			o.pieces = append(o.pieces, make([]byte, 0, min(o.most-o.kept, max(4<<10, min(o.kept, 64<<10)))))
			continue
		default:
			into = o.pieces[last][len(o.pieces[last]):cap(o.pieces[last])]
		}
		n, err := r.Read(into)
		if o.kept == o.most {
			o.dropped += int64(n)
			o.end = append(o.end, into[max(0, n-o.mostEnd):n]...)
			o.end = slices.Delete(o.end, 0, max(0, len(o.end)-o.mostEnd))
		} else {
			o.pieces[last] = o.pieces[last][:len(o.pieces[last])+n]
			o.kept += n
		}
		if err != nil {
			return
		}
	}
}

// bytes returns what was kept.
func (o *output) bytes() []byte {
	if len(o.pieces) == 1 && len(o.end) == 0 {
		return o.pieces[0]
	}
	b := o.pieces
	if len(o.end) > 0 {
		b = append(b, []byte("…"), o.end)
	}
	return bytes.Join(b, nil)
}

package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
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
}

// DefaultCommandTimeout is how long a command may take that says nothing about it.
const DefaultCommandTimeout = 30 * time.Second

// How a command ends that does not end by itself: asked at its timeout, killed killAfter
// later, given up reapAfter after that.
const (
	killAfter = 10 * time.Second
	stopGrace = time.Second // in place of killAfter when the agent stops
	reapAfter = 3 * time.Second
	// pipesAfter is how long a process that has ended keeps us waiting for the ends of its
	// pipes, which a daemon that it started may hold for ever.
	pipesAfter = time.Second
)

// maxOutput bounds each of a command's two outputs, in bytes; the rest is read and dropped.
const maxOutput = 1 << 20

// The exit codes of commands that did not start, as shells give them.
const (
	exitCannotStart   = 125
	exitNotExecutable = 126
	exitNotFound      = 127
)

// A Result is what a command left.
type Result struct {
	Stdout, Stderr []byte // at most maxOutput of each
	Cut            bool   // there was more of one of them
	ExitCode       int    // its own; 128+n when signal n ended it; 125 to 127 when it did not start
	Held           bool   // a process that it left behind holds its output open
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
		return fmt.Sprintf("did not end within %v, and even SIGKILL did not end it", e.After.Round(time.Millisecond))
	}
	return fmt.Sprintf("did not end within %v and was stopped", e.After.Round(time.Millisecond))
}

// runCommand runs c in a process group of its own with /dev/null as its input, until it ends,
// its timeout has passed or ctx has ended. Its exit code is no error: many plugins give values
// and fail. A command that catches the signal at its timeout and exits by itself counts as
// one that ended. The error is a *TimeoutError, ctx's, or says why the command did not start;
// it never holds the arguments, which may hold secrets.
func runCommand(ctx context.Context, c Command, environ []string) (Result, error) {
	env := append(append([]string{}, environ...), c.Env...)
	args, credential, err := c.as(env)
	if err != nil {
		return Result{ExitCode: exitCannotStart}, err
	}
	path, err := lookPath(args[0], env)
	if err != nil {
		return Result{ExitCode: startCode(err)}, err
	}
	var stdout, stderr output
	cmd := &exec.Cmd{
		Path: path, Args: args, Env: env, Stdout: &stdout, Stderr: &stderr, WaitDelay: pipesAfter,
		SysProcAttr: &syscall.SysProcAttr{Setpgid: true, Credential: credential},
	}
	start := time.Now()
	if err := cmd.Start(); err != nil {
		if p, ok := errors.AsType[*os.PathError](err); ok {
			err = fmt.Errorf("%s cannot be started: %w", p.Path, p.Err)
		}
		return Result{ExitCode: startCode(err)}, err
	}
	var waitErr error
	ended := make(chan struct{})
	go func() {
		waitErr = cmd.Wait()
		close(ended)
	}()
	result := func() Result {
		var r Result
		var cut1, cut2 bool
		r.Stdout, cut1 = stdout.take()
		r.Stderr, cut2 = stderr.take()
		r.Cut = cut1 || cut2
		return r
	}

	timeout := c.Timeout
	if timeout == 0 {
		timeout = DefaultCommandTimeout
	}
	byUs, grace := true, killAfter
	select {
	case <-ended:
		byUs = false
	case <-ctx.Done():
		grace = stopGrace
	case <-time.After(timeout):
	}
	if byUs && !endGroup(cmd.Process.Pid, ended, grace) {
		return result(), &TimeoutError{After: time.Since(start), Left: ended}
	}
	r := result()
	r.Held = errors.Is(waitErr, exec.ErrWaitDelay)
	status, _ := cmd.ProcessState.Sys().(syscall.WaitStatus)
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

// endGroup ends the process group pid, whose leader closes ended, and says whether it did end.
func endGroup(pid int, ended <-chan struct{}, grace time.Duration) bool {
	// Errors are not looked at: a group that has gone is what we want, and there is nothing
	// else to do about one that may not be signalled. A stopped process acts on SIGTERM when
	// it is continued.
	_ = syscall.Kill(-pid, syscall.SIGTERM)
	_ = syscall.Kill(-pid, syscall.SIGCONT)
	select {
	case <-ended:
	case <-time.After(grace):
	}
	// Also when the leader has gone: its children need not have followed it.
	_ = syscall.Kill(-pid, syscall.SIGKILL)
	select {
	case <-ended:
		return true
	case <-time.After(reapAfter):
		return false // in an uninterruptible system call
	}
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
	path := ""
	for _, kv := range env {
		if v, ok := strings.CutPrefix(kv, "PATH="); ok {
			path = v // the last one counts, as execve's readers have it
		}
	}
	err := fmt.Errorf("%s is not on the path: %w", name, os.ErrNotExist)
	for _, dir := range filepath.SplitList(path) {
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

// An output keeps the first maxOutput bytes of what is written to it, and takes the rest.
type output struct {
	mu  sync.Mutex
	b   bytes.Buffer
	cut bool
}

// Write keeps what fits. It never fails: a full pipe would block the writer for good.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	keep := min(len(p), maxOutput-o.b.Len())
	o.cut = o.cut || keep < len(p)
	o.b.Write(p[:keep])
	return len(p), nil
}

// take returns a copy of what was kept, and whether there was more; what an abandoned command
// writes later changes nothing.
func (o *output) take() (b []byte, cut bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return bytes.Clone(o.b.Bytes()), o.cut
}

package agent

import (
	"context"
	"os"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// leeway is how late the kernel may wake this process, to do so together with others (man 2 PR_SET_TIMERSLACK).
	leeway = 10 * time.Millisecond
	// usualLeeway is what a process has otherwise (init/init_task.c).
	usualLeeway = 50 * time.Microsecond
	// slackened is the variable by which the program knows that it has begun anew already.
	slackened = "SABA_AGENT_SLACKENED"
)

// Slacken lets all timers of this process be up to 10 ms late, as no minute's figures need more. The Go runtime's
// monitor thread looks about every 20 µs while anything is at work, and that is half of the CPU time of a program
// which rests for all but a moment of each minute. The leeway is each thread's own and that thread is there before
// any code of ours, so the program begins anew with the leeway that execve(2) keeps: Slacken does not return then.
// Where it does not work, or the leeway is there (TimerSlackNSec of systemd), all goes on as it is. So it does when
// ctx has ended: the program that begins anew would know nothing of the signal that ended it.
func Slacken(ctx context.Context, args []string) {
	_, again := os.LookupEnv(slackened)
	_ = os.Unsetenv(slackened)
	if again {
		return
	}
	slack, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
	if err != nil || time.Duration(slack) >= leeway {
		return
	}
	exe, err := os.Executable()
	if err != nil {
		return
	}
	runtime.LockOSThread() // whose leeway is the one that execve keeps
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(leeway), 0, 0, 0); err != nil {
		return
	}
	if ctx.Err() == nil {
		_ = syscall.Exec(exe, args, append(os.Environ(), slackened+"=1"))
	}
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(slack), 0, 0, 0)
}

// punctually calls start, which starts a process, so that this one has the usual timers in place of ours: a process
// has the leeway of the thread that makes it.
func punctually(start func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	slack, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
	if err != nil || time.Duration(slack) <= usualLeeway {
		return start()
	}
	if err := unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(usualLeeway), 0, 0, 0); err == nil {
		defer unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(slack), 0, 0, 0)
	}
	return start()
}

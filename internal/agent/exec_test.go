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
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// script returns a command that runs text in a shell.
func script(text string) Command { return Command{Args: []string{"sh", "-c", text}} }

var testEnviron = []string{"PATH=/usr/bin:/bin", "GREETING=hello"}

func TestRunCommand(t *testing.T) {
	noExec := filepath.Join(t.TempDir(), "data")
	if err := os.WriteFile(noExec, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		c        Command
		stdout   string
		stderr   string
		code     int
		wantErr  bool
		wantHeld bool // by a process of another group
		wantLeft bool // in its own group
	}{
		"outputs are apart":                       {c: script("echo out; echo err >&2"), stdout: "out\n", stderr: "err\n"},
		"an exit status is no error":              {c: script("echo 1; exit 3"), stdout: "1\n", code: 3},
		"a signal counts as 128 and its number":   {c: script("kill -9 $$"), code: 137},
		"an array has no shell":                   {c: Command{Args: []string{"echo", "$GREETING", "a b"}}, stdout: "$GREETING a b\n"},
		"the environment is the agent's":          {c: script("echo $GREETING"), stdout: "hello\n"},
		"and then the command's own":              {c: Command{Args: []string{"sh", "-c", "echo $GREETING"}, Env: []string{"GREETING=bye"}}, stdout: "bye\n"},
		"stdin is empty":                          {c: script("cat; echo end"), stdout: "end\n"},
		"it leads its own process group":          {c: script("cut -d' ' -f5 /proc/$$/stat | grep -qx $$ && echo yes"), stdout: "yes\n"},
		"a program that is not there":             {c: Command{Args: []string{"no-such-program"}}, code: 127, wantErr: true},
		"nor at its path":                         {c: Command{Args: []string{"/no/such/program"}}, code: 127, wantErr: true},
		"a file that may not be executed":         {c: Command{Args: []string{noExec}}, code: 126, wantErr: true},
		"a user that is not there":                {c: Command{Args: []string{"true"}, User: "no-such-user"}, code: 125, wantErr: true},
		"the shell's own code for what it misses": {c: script("no-such-program 2>/dev/null"), code: 127},
		"a child that holds the output":           {c: script("echo 1; sleep 60 & exit 0"), stdout: "1\n", wantLeft: true},
		"a child that holds nothing":              {c: script("sleep 60 >/dev/null 2>&1 & echo 1"), stdout: "1\n", wantLeft: true},
		"a child that is deaf":                    {c: script("(trap '' TERM; while :; do sleep 0.1; done) & echo 1"), stdout: "1\n", wantLeft: true},
		"a child that ends soon":                  {c: script("(sleep 0.2; echo 2) & echo 1"), stdout: "1\n2\n"},
		"a daemon that holds the output":          {c: script("setsid sleep 4 & echo 1"), stdout: "1\n", wantHeld: true},
		"a daemon that holds nothing":             {c: script("setsid sleep 4 >/dev/null 2>&1 & echo 1"), stdout: "1\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			start := time.Now()
			r, err := runCommand(t.Context(), tt.c, testEnviron)
			if string(r.Stdout) != tt.stdout || string(r.Stderr) != tt.stderr || r.ExitCode != tt.code || (err != nil) != tt.wantErr || r.Held != tt.wantHeld || r.Left != tt.wantLeft || r.Group != 0 {
				t.Errorf("runCommand = stdout %q stderr %q code %d held %v left %v group %d error %v, want %q %q %d %v %v 0, error %v",
					r.Stdout, r.Stderr, r.ExitCode, r.Held, r.Left, r.Group, err, tt.stdout, tt.stderr, tt.code, tt.wantHeld, tt.wantLeft, tt.wantErr)
			}
			if took := time.Since(start); took > 10*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
}

// What a command prints costs little more than what is kept of it.
func TestOutputIsBounded(t *testing.T) {
	for name, tt := range map[string]struct {
		text                    string
		stdout, stderr, dropped int
	}{
		"a little more than fits": {"head -c 3000000 /dev/zero; echo end >&2", maxOutput, 4, 3000000 - maxOutput},
		"as much as fits":         {"head -c 1048576 /dev/zero", maxOutput, 0, 0},
		"100 MB on stdout":        {"head -c 100000000 /dev/zero", maxOutput, 0, 1e8 - maxOutput},
		"100 MB on stderr":        {"echo 1; head -c 100000000 /dev/zero >&2", 2, maxKeptStderr + len("…") + maxStderrEnd, 0},
		"100 MB on both":          {"head -c 100000000 /dev/zero & head -c 100000000 /dev/zero >&2; wait", maxOutput, maxKeptStderr + len("…") + maxStderrEnd, 1e8 - maxOutput},
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			r, err := runCommand(t.Context(), script(tt.text), testEnviron)
			runtime.ReadMemStats(&after)
			if err != nil || len(r.Stdout) != tt.stdout || len(r.Stderr) != tt.stderr || r.Dropped != int64(tt.dropped) || r.Cut != (tt.dropped > 0) || r.ExitCode != 0 {
				t.Errorf("runCommand = %d and %d bytes, cut %v, %d dropped, code %d, %v, want %d and %d bytes, %d dropped, and the command unharmed",
					len(r.Stdout), len(r.Stderr), r.Cut, r.Dropped, r.ExitCode, err, tt.stdout, tt.stderr, tt.dropped)
			}
			// All that was allocated, freed or not: the resident memory cannot have grown by more.
			if cost := after.TotalAlloc - before.TotalAlloc; cost > 5*maxOutput/2 {
				t.Errorf("it cost %d bytes of memory, want at most %d", cost, 5*maxOutput/2)
			}
		})
	}
}

func TestTheEndOfALongStderrIsKept(t *testing.T) {
	for name, text := range map[string]string{
		"in large pieces": "(echo begin; head -c 300000 /dev/zero; echo; printf the-reason) >&2",
		"in small ones":   "(echo begin; head -c 70000 /dev/zero; for i in 1 2 3 4 5; do head -c 1500 /dev/zero; sleep 0.01; done; printf the-; sleep 0.01; printf reason) >&2",
	} {
		r, err := runCommand(t.Context(), script(text), testEnviron)
		if err != nil || !bytes.HasPrefix(r.Stderr, []byte("begin\n")) || !bytes.HasSuffix(r.Stderr, []byte("the-reason")) || len(r.Stderr) != maxKeptStderr+len("…")+maxStderrEnd {
			t.Errorf("%s: %d bytes of stderr, %v, want its beginning and its end", name, len(r.Stderr), err)
		}
	}
}

// alive says whether a process exists and is no zombie.
func alive(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, after, _ := strings.Cut(string(b), ") ")
	return !strings.HasPrefix(after, "Z")
}

func TestTimeout(t *testing.T) {
	for name, tt := range map[string]struct {
		text        string
		wantStdout  string
		wantCode    int
		wantTimeout bool
		atMost      time.Duration
	}{
		"what was printed before is kept": {"echo 1; exec sleep 60", "1\n", 143, true, 5 * time.Second},
		"one that exits by itself when asked has ended": {
			"trap 'echo bye; exit 4' TERM; echo 1; while :; do sleep 0.1; done", "1\nbye\n", 4, false, 5 * time.Second},
		"children end too":            {"sleep 61 & echo $!; wait", "", 143, true, 5 * time.Second},
		"a stopped one ends":          {"kill -STOP $$; sleep 60", "", 143, true, 5 * time.Second},
		"one that is deaf is killed":  {"trap '' TERM; while :; do sleep 0.2; done", "", 137, true, killAfter + 5*time.Second},
		"a deaf child ends with it":   {"(trap '' TERM; while :; do sleep 0.2; done) & echo $!; exec sleep 60", "", 143, true, killAfter + 5*time.Second},
		"a daemon of its own session": {"setsid sleep 30 & echo 1; sleep 60", "1\n", 143, true, 5 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := script(tt.text)
			c.Timeout = 500 * time.Millisecond
			start := time.Now()
			r, err := runCommand(t.Context(), c, testEnviron)
			timeout, timedOut := errors.AsType[*TimeoutError](err)
			if timedOut != tt.wantTimeout || !timedOut && err != nil || r.ExitCode != tt.wantCode {
				t.Errorf("runCommand = code %d, %v, want code %d, timeout %v", r.ExitCode, err, tt.wantCode, tt.wantTimeout)
			}
			if timedOut && timeout.Left != nil {
				t.Error("it is said not to have ended")
			}
			if tt.wantStdout != "" && string(r.Stdout) != tt.wantStdout {
				t.Errorf("stdout = %q, want %q", r.Stdout, tt.wantStdout)
			}
			if took := time.Since(start); took > tt.atMost {
				t.Errorf("it took %v, want %v at most", took, tt.atMost)
			}
			// Where the command printed the pid of a child, that one must be gone as well.
			if pid, err := strconv.Atoi(strings.TrimSpace(string(r.Stdout))); err == nil && pid > 1 {
				for deadline := time.Now().Add(5 * time.Second); alive(pid); time.Sleep(10 * time.Millisecond) {
					if time.Now().After(deadline) {
						t.Fatalf("its child %d lives", pid)
					}
				}
			}
		})
	}
}

// What a plugin leaves behind in its group is gone when its run is over.
func TestWhatIsLeftBehindIsEnded(t *testing.T) {
	for name, text := range map[string]string{
		"a child":                     "sleep 60 & echo $!",
		"a child without our pipes":   "sleep 60 >/dev/null 2>&1 & echo $!",
		"a deaf child":                "(trap '' TERM; exec sleep 60) & echo $!",
		"the child of a child":        "(sleep 60 & echo $!) &",
		"a child that forks and ends": "(while :; do sleep 0.05 & done) & echo $!",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, err := runCommand(t.Context(), script(text), testEnviron)
			pid, convErr := strconv.Atoi(strings.TrimSpace(string(r.Stdout)))
			if err != nil || convErr != nil || !r.Left || r.Held || r.Group != 0 {
				t.Fatalf("runCommand = stdout %q left %v held %v group %d, %v, want a pid and what was left", r.Stdout, r.Left, r.Held, r.Group, err)
			}
			if alive(pid) {
				t.Errorf("process %d lives", pid)
			}
		})
	}
}

func TestTheEndOfTheAgentEndsCommands(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	file := filepath.Join(t.TempDir(), "pid")
	go func() {
		for {
			if b, err := os.ReadFile(file); err == nil && strings.HasSuffix(string(b), "\n") {
				cancel()
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
	}()
	start := time.Now()
	_, err := runCommand(ctx, script("trap '' TERM; echo $$ >"+file+"; while :; do sleep 0.1; done"), testEnviron)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("runCommand = %v, want context.Canceled", err)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("a deaf command held up the end by %v, want about %v", took, stopGrace)
	}
}

func TestUser(t *testing.T) {
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	nobody, err := user.Lookup("nobody")
	if err != nil {
		t.Fatal(err)
	}
	own := Command{Args: []string{"id", "-u"}, User: me.Username}
	if args, credential, err := own.as(nil); err != nil || credential != nil || len(args) != 2 {
		t.Errorf("as the agent's own user: %v, %v, %v, want the command alone", args, credential, err)
	}
	other := Command{Args: []string{"id", "-u"}, User: "nobody"}
	args, credential, err := other.as(nil)
	if err != nil {
		t.Fatal(err)
	}
	if syscall.Geteuid() != 0 {
		if strings.Join(args, " ") != "sudo -n -Eu nobody id -u" || credential != nil {
			t.Errorf("as another user, not root: %v, %v", args, credential)
		}
		return
	}
	if len(args) != 2 || strconv.Itoa(int(credential.Uid)) != nobody.Uid || strconv.Itoa(int(credential.Gid)) != nobody.Gid {
		t.Errorf("as another user, root: %v, %+v", args, credential)
	}
	r, err := runCommand(t.Context(), other, testEnviron)
	if err != nil || strings.TrimSpace(string(r.Stdout)) != nobody.Uid {
		t.Errorf("id -u as nobody = %q, %v, want %s", r.Stdout, err, nobody.Uid)
	}
}

func TestPluginEnviron(t *testing.T) {
	got := strings.Join(PluginEnviron([]string{"PATH=/opt/bin", "LANG=ja_JP.UTF-8", "HOME=/root", "SABA_API_KEY=secret"}, Config{HTTPProxy: "http://proxy:3128"}), " ")
	want := "HOME=/root PATH=/sbin:/usr/sbin:/bin:/usr/bin:/opt/bin:/opt/mackerel-agent/plugins/bin LANG=C LC_ALL=C HTTP_PROXY=http://proxy:3128 HTTPS_PROXY=http://proxy:3128"
	if got != want {
		t.Errorf("PluginEnviron = %q, want %q", got, want)
	}
}

// BenchmarkRunCommand runs the smallest of commands, beside the standard library's way to do
// so, and reports the processor time of the agent and of the command.
func BenchmarkRunCommand(b *testing.B) {
	used := func(who int) time.Duration {
		var u syscall.Rusage
		if err := syscall.Getrusage(who, &u); err != nil {
			b.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	for name, run := range map[string]func() error{
		"agent": func() error {
			_, err := runCommand(b.Context(), Command{Args: []string{"/bin/true"}}, testEnviron)
			return err
		},
		"library": func() error {
			var stdout, stderr strings.Builder
			cmd := exec.CommandContext(b.Context(), "/bin/true")
			cmd.Stdout, cmd.Stderr, cmd.Env = &stdout, &stderr, testEnviron
			return cmd.Run()
		},
	} {
		b.Run(name, func(b *testing.B) {
			self, children := used(syscall.RUSAGE_SELF), used(syscall.RUSAGE_CHILDREN)
			for b.Loop() {
				if err := run(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64((used(syscall.RUSAGE_SELF)-self).Microseconds())/float64(b.N), "agent-cpu-µs/op")
			b.ReportMetric(float64((used(syscall.RUSAGE_CHILDREN)-children).Microseconds())/float64(b.N), "command-cpu-µs/op")
		})
	}
}

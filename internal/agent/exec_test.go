package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
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
		wantHeld bool
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
		"a daemon that holds the output":          {c: script("echo 1; sleep 60 & exit 0"), stdout: "1\n", wantHeld: true},
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			r, err := runCommand(t.Context(), tt.c, testEnviron)
			if string(r.Stdout) != tt.stdout || string(r.Stderr) != tt.stderr || r.ExitCode != tt.code || (err != nil) != tt.wantErr || r.Held != tt.wantHeld {
				t.Errorf("runCommand = stdout %q stderr %q code %d held %v error %v, want %q %q %d %v, error %v",
					r.Stdout, r.Stderr, r.ExitCode, r.Held, err, tt.stdout, tt.stderr, tt.code, tt.wantHeld, tt.wantErr)
			}
			if took := time.Since(start); took > 10*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
}

func TestOutputIsBounded(t *testing.T) {
	r, err := runCommand(t.Context(), script("head -c 3000000 /dev/zero; echo end >&2"), testEnviron)
	if err != nil || len(r.Stdout) != maxOutput || !r.Cut || string(r.Stderr) != "end\n" {
		t.Errorf("runCommand = %d bytes, cut %v, stderr %q, %v, want %d bytes, cut, and the command unharmed", len(r.Stdout), r.Cut, r.Stderr, err, maxOutput)
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

package check_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/check"
	"github.com/saba-monitor/saba/check/checktest"
)

// A checker is a fake that does what its field says.
type checker func(ctx context.Context) check.Result

func (c checker) Check(ctx context.Context) check.Result { return c(ctx) }

func fake(do checker) check.Check {
	return check.Check{Name: "spool", Short: "whether few files wait", New: func(*check.FlagSet) check.Checker { return do }}
}

// A picky is a checker with flags that it looks at.
type picky struct {
	warning int
	header  string
	secret  check.Secret
}

func (p *picky) Check(ctx context.Context) check.Result {
	s, err := p.secret.Read(ctx)
	if err != nil {
		return check.Unknown("%v", err)
	}
	return check.OK("%d %s %s", p.warning, p.header, s)
}

func (p *picky) CheckFlags() error {
	if p.warning < 0 {
		return fmt.Errorf("--warning %d must not be negative", p.warning)
	}
	return nil
}

var flags = check.Check{Name: "flags", Short: "whether flags are read", New: func(fs *check.FlagSet) check.Checker {
	p := &picky{}
	fs.IntVarP(&p.warning, "warning", "w", 3, "a `number`")
	fs.FuncP("header", "H", "`name: value`", func(s string) error {
		if !strings.Contains(s, ":") {
			return errors.New("it must be like A: b")
		}
		p.header = s
		return nil
	})
	p.secret.AddFlags(fs, "password", "P", "FLAGS_PASSWORD")
	return p
}}

func TestTheVerdictIsTheExitCodeAndTheLine(t *testing.T) {
	for want, r := range map[string]check.Result{
		"OK Spool OK: 3 files":              check.OK("%d files", 3),
		"WARNING Spool WARNING: 20%":        check.Warning("20%%"),
		"CRITICAL Spool CRITICAL: a\nb":     check.Critical("a\nb\n"),
		"UNKNOWN Spool UNKNOWN: no folder":  check.Unknown("no folder"),
		"OK Spool OK":                       check.OK(""),
		"UNKNOWN Spool UNKNOWN: the check ": {},
	} {
		status, output := checktest.Run(t, fake(func(context.Context) check.Result { return r }))
		if got := string(status) + " " + output; got != want && !(strings.HasSuffix(want, " ") && strings.HasPrefix(got, want)) {
			t.Errorf("%+v is %q, want %q", r, got, want)
		}
	}
	checktest.Usage(t, fake(nil))
	checktest.Usage(t, flags)
}

func TestFlags(t *testing.T) {
	t.Setenv("FLAGS_PASSWORD", "of the environment")
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("of the file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for args, want := range map[string]string{
		"":                                 "Flags OK: 3  of the environment",
		"-w5 -H A:b --password x":          "Flags OK: 5 A:b x",
		"-w=5 --header=A:b -P=x":           "Flags OK: 5 A:b x",
		"--password-file " + file:          "Flags OK: 3  of the file",
		"--password-file /no/such":         "Flags UNKNOWN: open /no/such: no such file or directory",
		"-w x":                             `Flags UNKNOWN: --warning "x" must be a whole number; check-flags -h lists the flags`,
		"-w -1":                            "Flags UNKNOWN: --warning -1 must not be negative; check-flags -h lists the flags",
		"--warnign 1":                      "Flags UNKNOWN: unknown flag --warnign: did you mean --warning?; check-flags -h lists the flags",
		"-wx -q":                           `Flags UNKNOWN: --warning "x" must be`,
		"-q":                               "Flags UNKNOWN: unknown flag -q; check-flags",
		"--password":                       "Flags UNKNOWN: --password needs a value;",
		"-H Token_hunter2":                 "Flags UNKNOWN: --header: it must be like A: b; check-flags",
		"on":                               `Flags UNKNOWN: unexpected argument "on": there are flags only;`,
		"-t 0":                             "Flags UNKNOWN: --timeout: it must be a time of more than nothing, like 5s or 5;",
		"-t -1s":                           "Flags UNKNOWN: --timeout: it must be a time of more than nothing, like 5s or 5;",
		"-t 1.5 --timeout 1m":              "Flags OK: 3  of the environment",
		"--status-as ok=critical":          "Flags CRITICAL: 3  of the environment",
		"--status-as ok=bad":               `Flags UNKNOWN: --status-as: "OK=BAD" must be like`,
		"--status-as ok=unknown,OK=OK":     "Flags UNKNOWN: --status-as: OK is there twice;",
		"--status-as unknown=ok --no-such": "Flags UNKNOWN: unknown flag --no-such;",
	} {
		if _, got := checktest.Run(t, flags, strings.Fields(args)...); !strings.HasPrefix(got, want) {
			t.Errorf("%s: %q, want %q", args, got, want)
		}
	}
}

// A check may have a flag that others have from this package.
func TestAFlagOfItsOwn(t *testing.T) {
	var asked, ended bool
	c := check.Check{Name: "own", New: func(fs *check.FlagSet) check.Checker {
		threads := fs.IntP("threads", "t", 1, "`number`")
		own := fs.Duration("timeout", time.Hour, "`time`")
		return checker(func(ctx context.Context) check.Result {
			_, ended = ctx.Deadline()
			asked = true
			return check.OK("%d %v", *threads, *own)
		})
	}}
	if _, got := checktest.Run(t, c, "-t", "4", "--timeout", "20s"); got != "Own OK: 4 20s" || !asked || ended {
		t.Errorf("%q, with a deadline of this package: %v", got, ended)
	}
}

func TestCommands(t *testing.T) {
	c := check.Check{Name: "db", Title: "DB", Short: "whether a database is well", Timeout: time.Minute, Commands: []check.Check{
		{Name: "uptime", Short: "whether it runs", New: func(*check.FlagSet) check.Checker {
			return checker(func(ctx context.Context) check.Result {
				deadline, _ := ctx.Deadline()
				return check.OK("%v", time.Until(deadline) > 50*time.Second)
			})
		}},
		{Name: "readonly", Title: "DB ReadOnly", Short: "whether it is read only", Operands: "ON|OFF", New: func(fs *check.FlagSet) check.Checker {
			return checker(func(context.Context) check.Result { return check.Critical("%s", fs.Args()) })
		}},
	}}
	for args, want := range map[string]string{
		"uptime":          "DB OK: true",
		"readonly ON":     "DB ReadOnly CRITICAL: [ON]",
		"":                "DB UNKNOWN: it is not said what to check: write one of uptime, readonly first; check-db -h lists the flags",
		"uptiem":          `DB UNKNOWN: there is no "uptiem" to check: write one of uptime, readonly first;`,
		"-p 1":            "DB UNKNOWN: it is not said what to check: write one of uptime, readonly first (unknown flag -p); check-db -h",
		"-t 5 uptime":     "DB UNKNOWN: it is not said what to check: write one of uptime, readonly first;",
		"uptime now":      `DB UNKNOWN: unexpected argument "now"`,
		"readonly --loud": "DB ReadOnly UNKNOWN: unknown flag --loud",
	} {
		if _, got := checktest.Run(t, c, strings.Fields(args)...); !strings.HasPrefix(got, want) {
			t.Errorf("%s: %q, want %q", args, got, want)
		}
	}
	checktest.Usage(t, c)
	var page strings.Builder
	code := check.Run(t.Context(), c, []string{"readonly", "-h"}, check.System{Program: "saba check db", Stdout: &page, Getenv: os.Getenv})
	if code != 3 || !strings.HasPrefix(page.String(), "Checks whether it is read only.\n\nUsage:\n  saba check db readonly [FLAGS] ON|OFF\n\nFlags:\n  -t, --timeout time ") {
		t.Errorf("the help page is %d %q", code, page.String())
	}
}

func TestADeclarationThatIsWrong(t *testing.T) {
	sub := func(name string, more ...check.Check) check.Check {
		c := fake(nil)
		c.Name, c.Commands = name, more
		return c
	}
	for want, c := range map[string]check.Check{
		`the check's name "Spool"`:  {Name: "Spool"},
		`the check's name "-spool"`: {Name: "-spool"},
		"has no New":                {Name: "spool"},
		"both New and Commands":     sub("a", sub("b")),
		`the command "b" twice`:     {Name: "a", Commands: []check.Check{sub("b"), sub("b")}},
		"commands of its own":       {Name: "a", Commands: []check.Check{{Name: "b", Commands: []check.Check{sub("c")}}}},
	} {
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Validate = %v, want %q", err, want)
		}
		if status, got := checktest.Run(t, c); status != saba.CheckUnknown || !strings.Contains(got, want) {
			t.Errorf("it runs to %s %q, want UNKNOWN with %q", status, got, want)
		}
	}
}

// Whatever a check does, there is a verdict, and soon after its time is over.
func TestMisbehaviour(t *testing.T) {
	hung := make(chan struct{})
	for name, tt := range map[string]struct {
		do   checker
		args string
		want string
		took time.Duration
	}{
		"it panics":                 {func(context.Context) check.Result { panic("oh") }, "", "Spool UNKNOWN: panic: oh in github.com/saba-monitor/saba/check_test.TestMisbehaviour.", 0},
		"it panics, which is known": {func(context.Context) check.Result { panic("oh") }, "--status-as unknown=warning", "Spool WARNING: panic: oh", 0},
		"it has its own words":      {func(ctx context.Context) check.Result { <-ctx.Done(); return check.Critical("so slow") }, "-t 3", "Spool CRITICAL: so slow", 3 * time.Second},
		"it hangs":                  {func(context.Context) check.Result { <-hung; return check.OK("") }, "", "Spool UNKNOWN: did not end within 10s", 11 * time.Second},
		"it says too much":          {func(context.Context) check.Result { return check.OK("%s", strings.Repeat("é", 1<<20)) }, "", "Spool OK: é", 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				hung = make(chan struct{})
				defer close(hung)
				start := time.Now()
				_, got := checktest.Run(t, fake(tt.do), strings.Fields(tt.args)...)
				if !strings.HasPrefix(got, tt.want) || time.Since(start) != tt.took || len(got) > 65<<10 || strings.ToValidUTF8(got, "") != got {
					t.Errorf("%q… of %d bytes after %v, want %q after %v", got[:min(len(got), 100)], len(got), time.Since(start), tt.want, tt.took)
				}
			})
		})
	}
}

func TestTheEndOfTheProcessEndsTheCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		hung := make(chan struct{})
		defer close(hung)
		var b strings.Builder
		code := check.Run(ctx, fake(func(context.Context) check.Result { <-hung; return check.OK("") }), nil, check.System{Stdout: &b, Getenv: os.Getenv})
		if code != 3 || b.String() != "Spool UNKNOWN: was told to end before it had a verdict\n" {
			t.Errorf("%d %q", code, b.String())
		}
	})
}

func TestReason(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ask := func(of func(context.Context) (context.Context, context.CancelFunc)) checker {
		return func(ctx context.Context) check.Result {
			limited, cancel := of(ctx)
			defer cancel()
			conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", l.Addr().String())
			if err != nil {
				return check.Unknown("%v", err)
			}
			defer conn.Close()
			deadline, _ := limited.Deadline()
			_ = conn.SetDeadline(deadline)
			_, err = conn.Read(make([]byte, 1))
			return check.Critical("%v", check.Reason(ctx, err))
		}
	}
	whole := func(ctx context.Context) (context.Context, context.CancelFunc) { return context.WithCancel(ctx) }
	part := func(ctx context.Context) (context.Context, context.CancelFunc) {
		return context.WithTimeout(ctx, 100*time.Millisecond)
	}
	if _, got := checktest.Run(t, fake(ask(whole)), "-t", "0.2"); got != "Spool CRITICAL: no answer within 200ms" {
		t.Errorf("when the time is over: %q", got)
	}
	if _, got := checktest.Run(t, fake(ask(part)), "-t", "10"); !strings.Contains(got, "i/o timeout") {
		t.Errorf("when a step's own time is over: %q", got)
	}
	if got := check.Reason(t.Context(), context.DeadlineExceeded); got != context.DeadlineExceeded {
		t.Errorf("outside of a run: %v", got)
	}
}

func TestEmbed(t *testing.T) {
	for args, want := range map[string]string{"--prot": "unknown flag --prot", "-h": "as a command", "--version": "as a command", "-w -1": "must not be negative"} {
		if _, err := check.Embed(flags, strings.Fields(args)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Embed with %s: %v, want %q", args, err, want)
		}
	}
	e, err := check.Embed(flags, []string{"-w", "4"})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		status, line := e.Run(t.Context(), []string{"FLAGS_PASSWORD=a", "X=y", "FLAGS_PASSWORD=b=c"})
		if status != saba.CheckOK || line != "Flags OK: 4  b=c" {
			t.Errorf("Run = %s %q", status, line)
		}
	}
	if e, err = check.Embed(fake(func(context.Context) check.Result { panic("oh") }), nil); err != nil {
		t.Fatal(err)
	}
	if status, line := e.Run(t.Context(), nil); status != saba.CheckUnknown || !strings.HasPrefix(line, "Spool UNKNOWN: panic: oh in ") {
		t.Errorf("Run = %s %q", status, line)
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 7*time.Second) // the agent's, which is less than the check's own
		defer cancel()
		e, err := check.Embed(fake(func(ctx context.Context) check.Result {
			<-ctx.Done()
			return check.Critical("%v", check.Reason(ctx, ctx.Err()))
		}), nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, line := e.Run(ctx, nil); line != "Spool CRITICAL: no answer within 7s" {
			t.Errorf("when the agent's time is over: %q", line)
		}
	})
}

func TestState(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("MACKEREL_PLUGIN_WORKDIR", dir)
	var state check.State
	counter := check.Check{Name: "counter", New: func(fs *check.FlagSet) check.Checker {
		fs.StringP("file", "f", "", "`file`")
		return checker(func(ctx context.Context) check.Result {
			var n int
			_, err := state.Load(ctx, &n)
			if err := state.Save(ctx, n+1); err != nil {
				return check.Unknown("%v", err)
			}
			if err != nil {
				return check.Unknown("%v", err)
			}
			return check.OK("%d", n)
		})
	}}
	step := func(want string, args ...string) {
		t.Helper()
		if _, got := checktest.Run(t, counter, args...); !strings.Contains(got, want) {
			t.Errorf("%q: %q, want %q", args, got, want)
		}
	}
	step("OK: 0")
	step("OK: 1")
	step("OK: 0", "-f", "a")
	step("OK: 2")
	state.Key = "other"
	step("OK: 0")
	state = check.State{}
	files, err := filepath.Glob(dir + "/*")
	if err != nil || len(files) != 3 {
		t.Fatalf("files = %v, %v, want 3", files, err)
	}
	for _, file := range files {
		if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v, %v, want 0600", file, info.Mode(), err)
		}
	}
	file := filepath.Join(dir, "saba-check-counter-da39a3ee5e6b4b0d3255bfef95601890afd80709")
	for what, damage := range map[string]func() error{
		"torn":      func() error { return os.WriteFile(file, []byte("{"), 0o600) },
		"empty":     func() error { return os.Truncate(file, 0) },
		"a symlink": func() error { return errors.Join(os.Remove(file), os.Symlink("/etc/passwd", file)) },
	} {
		if err := damage(); err != nil {
			t.Fatal(err)
		}
		step("UNKNOWN: ")
		if _, got := checktest.Run(t, counter); got != "Counter OK: 1" {
			t.Errorf("after %s: %q, want a state that goes on", what, got)
		}
	}
	state.Dir = filepath.Join(dir, "of", "its", "own")
	step("OK: 0")
	step("OK: 1")
	if _, err := (check.State{}).Load(t.Context(), new(int)); err == nil {
		t.Error("there is a state outside of a run")
	}
}

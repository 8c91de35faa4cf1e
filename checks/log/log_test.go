package log

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/text/encoding/japanese"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/check"
	"github.com/saba-monitor/saba/check/checktest"
	"github.com/saba-monitor/saba/internal/follow"
)

// A folder of logs.
type folder struct {
	*testing.T
	dir string
	now time.Time
}

func newFolder(t *testing.T) *folder {
	t.Helper()
	t.Setenv("MACKEREL_PLUGIN_WORKDIR", t.TempDir())
	return &folder{t, t.TempDir(), time.Now()}
}

func (d *folder) path(name string) string { return filepath.Join(d.dir, name) }

// add appends to a file.
func (d *folder) add(name, text string) {
	d.Helper()
	f, err := os.OpenFile(d.path(name), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		d.Fatal(err)
	}
	if _, err := f.WriteString(text); err != nil {
		d.Fatal(err)
	}
	if err := f.Close(); err != nil {
		d.Fatal(err)
	}
}

func (d *folder) rename(from, to string) {
	d.Helper()
	if err := os.Rename(d.path(from), d.path(to)); err != nil {
		d.Fatal(err)
	}
}

func (d *folder) remove(name string) {
	d.Helper()
	if err := os.Remove(d.path(name)); err != nil {
		d.Fatal(err)
	}
}

func (d *folder) truncate(name string) {
	d.Helper()
	if err := os.Truncate(d.path(name), 0); err != nil {
		d.Fatal(err)
	}
}

func (d *folder) copy(from, to string) {
	d.Helper()
	b, err := os.ReadFile(d.path(from))
	if err == nil {
		err = os.WriteFile(d.path(to), b, 0o600)
	}
	if err != nil {
		d.Fatal(err)
	}
}

func (d *folder) pack(name string) {
	d.Helper()
	if out, err := exec.Command("gzip", d.path(name)).CombinedOutput(); err != nil {
		d.Fatalf("gzip: %v %s", err, out)
	}
}

// check is the check at the time of the folder.
func (d *folder) check() check.Check {
	c := Check
	c.New = func(fs *check.FlagSet) check.Checker {
		k := Check.New(fs).(*checker)
		k.now = func() time.Time { return d.now }
		return k
	}
	return c
}

// run runs the check in the folder: DIR in the arguments is where that is. It returns what it
// printed after the first line, with DIR as well, and fails the test unless that many lines counted.
func (d *folder) run(want int, args ...string) string {
	d.Helper()
	for i := range args {
		args[i] = strings.ReplaceAll(args[i], "DIR", d.dir)
	}
	status, got := checktest.Run(d, d.check(), args...)
	got = strings.ReplaceAll(got, d.dir, "DIR")
	first, rest, _ := strings.Cut(got, "\n")
	wantStatus := saba.CheckOK
	if want > 0 {
		wantStatus = saba.CheckCritical
	}
	if prefix := fmt.Sprintf("LOG %s: %d warnings, %d criticals", wantStatus, want, want); status != wantStatus || !strings.HasPrefix(first, prefix) {
		d.Errorf("%q: %q, want %q", args, got, prefix)
	}
	return rest
}

// The flags about what counts, on one log, read whole.
func TestVerdicts(t *testing.T) {
	d := newFolder(t)
	d.add("app.log", "GET / 200 12ms\nGET /a 500 900ms\nPOST /b 500 1500ms\nget /c 404 7ms\r\nGET /d 500 oddms\nGET /e 500 3ms")
	for args, want := range map[string]string{
		"-p 500":                       "LOG CRITICAL: 4 warnings, 4 criticals for pattern /500/.",
		"-p nothing":                   "LOG OK: 0 warnings, 0 criticals for pattern /nothing/.",
		"-p 7ms$":                      "LOG CRITICAL: 1 warnings, 1 criticals for pattern /7ms$/.",
		"-p 500 -c 4":                  "LOG WARNING: 4 warnings, 4 criticals for pattern /500/.",
		"-p 500 -c 4 -w 4":             "LOG OK: 4 warnings, 4 criticals for pattern /500/.",
		"-p 500 --warning-over=3 -c=4": "LOG WARNING: 4 warnings, 4 criticals for pattern /500/.",
		"-p 500 -p GET":                "LOG CRITICAL: 3 warnings, 3 criticals for pattern /500/ and /GET/.",
		"-p get":                       "LOG CRITICAL: 1 warnings, 1 criticals for pattern /get/.",
		"-p get -i":                    "LOG CRITICAL: 5 warnings, 5 criticals for pattern /get/.",
		"-p a|POST --icase":            "LOG CRITICAL: 2 warnings, 2 criticals for pattern /a|POST/.",
		"-p 500 -E GET":                "LOG CRITICAL: 1 warnings, 1 criticals for pattern /500/.",
		"-p 500 -E GET -E odd":         "LOG CRITICAL: 3 warnings, 3 criticals for pattern /500/.", // only lines that match both
		"-p 500 -E get -i":             "LOG CRITICAL: 1 warnings, 1 criticals for pattern /500/.",
		"-p 500 --suppress-pattern":    "LOG CRITICAL: 4 warnings, 4 criticals.",
		"-p POST -r":                   "LOG CRITICAL: 1 warnings, 1 criticals for pattern /POST/.\nDIR/app.log:\nPOST /b 500 1500ms",
		"-p 40. --return":              "LOG CRITICAL: 1 warnings, 1 criticals for pattern /40./.\nDIR/app.log:\nget /c 404 7ms",
		"-p nothing -r":                "LOG OK: 0 warnings, 0 criticals for pattern /nothing/.",
		`-p 500.(\d+)ms --warning-level 500 --critical-level 1000`: "LOG CRITICAL: 2 warnings, 1 criticals for pattern /500.(\\d+)ms/.",
		`-p 500.(\d+)ms --warning-level 500 --critical-level 1500`: "LOG WARNING: 2 warnings, 0 criticals for pattern /500.(\\d+)ms/.", // above, not on it
		`-p 500.(\d+)ms --warning-level 500`:                       "LOG WARNING: 2 warnings, 0 criticals for pattern /500.(\\d+)ms/.",
		`-p 500.(\d+)ms --critical-level 500`:                      "LOG CRITICAL: 0 warnings, 2 criticals for pattern /500.(\\d+)ms/.",
		`-p 500.(\d+)ms --critical-level 5000 -r`:                  "LOG OK: 0 warnings, 0 criticals for pattern /500.(\\d+)ms/.",
		`-p GET -p 500.(\w+)ms --critical-level 5000`:              "LOG CRITICAL: 1 warnings, 1 criticals for pattern /GET/ and /500.(\\w+)ms/.", // odd is no number
		`-p 500 --critical-level 5000`:                             "LOG CRITICAL: 4 warnings, 4 criticals for pattern /500/.",                    // no group
	} {
		args := append([]string{"--no-state", "-f", d.path("app.log")}, strings.Fields(args)...)
		if _, got := checktest.Run(t, Check, args...); strings.ReplaceAll(got, d.dir, "DIR") != want {
			t.Errorf("%s\ngot  %q\nwant %q", args, got, want)
		}
	}
	checktest.Usage(t, Check)
}

func TestFlags(t *testing.T) {
	for args, want := range map[string]string{
		"":                              "which files? --file is missing;",
		"-f x":                          "what to look for? --pattern is missing;",
		"-f x -p (":                     "--pattern: error parsing regexp: missing closing ): `(`;",
		"-f x -p a -E (":                "--exclude: error parsing regexp",
		"-F x( -p a":                    "--file-pattern: error parsing regexp",
		"-f x -p a --no-state -s /tmp":  "of --no-state and --state-dir, give one;",
		"-f x -p a --missing bad":       "--missing: it must be OK, WARNING, CRITICAL or UNKNOWN;",
		"-f x -p a --encoding klingon":  "--encoding: it must be UTF-8, EUC-JP, Shift_JIS,",
		"-f x -p a --encoding UTF-16LE": "--encoding: UTF-16LE is not supported: have the log written in UTF-8;",
		"-f x -p a -w many":             `--warning-over "many" must be a whole number;`,
		"-f x -p a more":                `unexpected argument "more"`,
	} {
		if status, got := checktest.Run(t, Check, strings.Fields(args)...); status != saba.CheckUnknown || !strings.HasPrefix(got, "LOG UNKNOWN: "+want) {
			t.Errorf("%s: %q, want %q", args, got, want)
		}
	}
}

func TestOnlyNewLinesCount(t *testing.T) {
	d := newFolder(t)
	args := []string{"-f", "DIR/app.log", "-p", "bad", "-r"}
	d.add("app.log", "bad 1\nbad 2\nba")
	d.run(0, args...) // what was there before
	d.run(0, args...)
	d.add("app.log", "d 3\n") // the end of a line whose beginning was there
	if got := d.run(1, args...); got != "DIR/app.log:\nbad 3" {
		t.Errorf("told %q", got)
	}
	d.run(0, args...)
	d.add("app.log", "bad 4\ngood\nbad 5\nbad 6, which is not whole")
	d.run(2, args...)
	d.run(0, args...)
	d.add("app.log", " yet\n")
	if got := d.run(1, args...); got != "DIR/app.log:\nbad 6, which is not whole yet" {
		t.Errorf("told %q", got)
	}
	d.run(0, args...)
	d.run(0, "-f", "DIR/app.log", "-p", "bad|x") // other arguments, another check
	d.run(6, "-f", "DIR/app.log", "-p", "bad", "--check-first")
	d.run(0, "-f", "DIR/app.log", "-p", "bad", "--check-first")
	d.run(6, "-f", "DIR/app.log", "-p", "bad", "--no-state")
	d.run(6, "-f", "DIR/app.log", "-p", "bad", "--no-state")
}

func TestALineThatHadNoEnd(t *testing.T) {
	d := newFolder(t)
	args := []string{"-f", "DIR/app.log", "-p", "bad"}
	d.add("app.log", "ba") // all there is
	d.run(0, args...)
	d.add("app.log", "d\n")
	d.run(1, args...)
}

func TestTheStateIsPrivateAndWhereItIsSaid(t *testing.T) {
	d := newFolder(t)
	d.add("app.log", "secret\n")
	d.run(0, "-f", "DIR/app.log", "-p", "x", "-s", "DIR/of/state")
	files, err := filepath.Glob(d.path("of/state/*"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%v, %v", files, err)
	}
	info, err := os.Stat(files[0])
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	b, err := os.ReadFile(files[0])
	if err != nil || bytes.Contains(b, []byte("secret")) || !bytes.Contains(b, []byte(`"offset":7,`)) {
		t.Errorf("%s, %v", b, err)
	}
	// What cannot be kept is said: the same lines would count again and again.
	if err := os.RemoveAll(d.path("of")); err != nil {
		t.Fatal(err)
	}
	d.add("of", "")
	if status, got := checktest.Run(t, Check, "-f", d.path("app.log"), "-p", "x", "-s", d.path("of/state")); status != saba.CheckUnknown || !strings.Contains(got, "the same lines will count again") {
		t.Errorf("%s %q", status, got)
	}
	d.remove("of")
	d.run(0, "-f", "DIR/app.log", "-p", "x", "-s", "DIR/of/state")
	if err := os.WriteFile(files[0], []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	d.add("app.log", "x\n")
	if status, got := checktest.Run(t, Check, "-f", d.path("app.log"), "-p", "x", "-s", d.path("of/state")); status != saba.CheckUnknown || !strings.Contains(got, "lines may be missed") {
		t.Errorf("%s %q", status, got)
	}
	d.add("app.log", "x\n")
	d.run(1, "-f", "DIR/app.log", "-p", "x", "-s", "DIR/of/state")
}

// Between two runs a log is rotated, in the ways of the world. The lines are numbered: each counts once, in order.
func TestRotation(t *testing.T) {
	for name, rotate := range map[string]func(d *folder){
		"renamed": func(d *folder) {
			d.rename("app.log", "app.log.1")
			d.add("app.log", "bad 3\n")
		},
		"renamed with a date": func(d *folder) {
			d.rename("app.log", "app-20260102.log")
			d.add("app.log", "bad 3\n")
		},
		"renamed, the new one longer": func(d *folder) {
			d.rename("app.log", "app.log.1")
			d.add("app.log", "bad 3\n"+strings.Repeat("good\n", 1000))
		},
		"renamed and packed": func(d *folder) {
			d.rename("app.log", "app.log.1")
			d.pack("app.log.1")
			d.add("app.log", "bad 3\n")
		},
		"renamed twice": func(d *folder) {
			d.rename("app.log", "app.log.1")
			d.rename("app.log.1", "app.log.2")
			d.add("app.log.1", "") // of another rotation
			d.add("app.log", "bad 3\n")
		},
		"copied and truncated": func(d *folder) {
			d.copy("app.log", "app.log.1")
			d.truncate("app.log")
			d.add("app.log", "bad 3\n")
		},
		"copied and truncated, and longer than before": func(d *folder) {
			d.copy("app.log", "app.log.1")
			d.truncate("app.log")
			d.add("app.log", "bad 3\n"+strings.Repeat("good\n", 1000))
		},
		"copied, packed and truncated": func(d *folder) {
			d.copy("app.log", "app.log.1")
			d.pack("app.log.1")
			d.truncate("app.log")
			d.add("app.log", "bad 3\n")
		},
		"renamed, and written to under its old name later": func(d *folder) {
			d.rename("app.log", "app.log.1")
			d.add("app.log", "bad 3\n")
		},
		"not at all": func(d *folder) { d.add("app.log", "bad 3\n") },
	} {
		t.Run(name, func(t *testing.T) {
			d := newFolder(t)
			args := []string{"-f", "DIR/app.log", "-p", "bad", "-r"}
			// Beside it are others, of which none is it.
			d.add("app-error.log", "bad things of another log\n")
			d.add("app.log.9", "bad 0\ngood 1\n")
			d.add("app.log", "bad 0\ngood 1\n"+strings.Repeat("good\n", 100))
			d.run(0, args...)
			d.add("app.log", "good 1\nbad 2\n")
			rotate(d)
			told := d.run(2, args...)
			if i, j := strings.Index(told, "bad 2"), strings.Index(told, "bad 3"); i < 0 || j < i {
				t.Errorf("told %q, want 2, then 3", told)
			}
			d.now = d.now.Add(time.Minute)
			d.run(0, args...)
			d.add("app.log", "bad 4\n")
			if name == "renamed, and written to under its old name later" {
				d.add("app.log.1", "bad, though late\n")
				d.run(2, args...)
			} else {
				d.run(1, args...)
			}
			d.now = d.now.Add(2 * time.Hour)
			d.run(0, args...)
			d.run(0, args...)
			d.add("app.log", "bad 5\n")
			d.run(1, args...)
		})
	}
}

// While there is no log under the name, the one of that name is read on under another.
func TestRenamedAndNotReplaced(t *testing.T) {
	d := newFolder(t)
	args := []string{"-f", "DIR/app.log", "-p", "bad", "--missing", "OK"}
	d.add("app.log", "bad\n")
	d.run(0, args...)
	d.add("app.log", "bad\n")
	d.rename("app.log", "app.log.1")
	for range 3 {
		d.run(1, args...)
		d.add("app.log.1", "bad\n")
	}
	d.add("app.log", "bad\n")
	d.run(2, args...)
}

// A copy that somebody keeps is no rotation, nor is every file that was written to lately.
func TestWhatIsNoRotation(t *testing.T) {
	d := newFolder(t)
	args := []string{"-f", "DIR/app.log", "-p", "bad"}
	missing := func() {
		t.Helper()
		if _, got := checktest.Run(t, d.check(), "-f", d.path("app.log"), "-p", "bad"); got != "LOG UNKNOWN: "+d.path("app.log")+" is not there." {
			t.Errorf("%q", got)
		}
	}
	d.add("app.log", "")
	d.run(0, args...)
	d.remove("app.log")
	d.add("app-error.log", "bad of another log\n")
	missing()
	d.add("app.log", "bad\n")
	d.run(1, args...)
	d.add("app.log", "bad\n")
	d.copy("app.log", "app.log.mine")
	d.rename("app.log", "moved")
	missing()
	d.rename("moved", "app.log")
	d.run(1, args...)
}

// Rotated files that the pattern takes in as well count once.
func TestRotationOfAGlob(t *testing.T) {
	for name, rotate := range map[string]func(d *folder){
		"renamed": func(d *folder) {
			d.rename("app.log.1", "app.log.2")
			d.rename("app.log", "app.log.1")
		},
		"copied and truncated": func(d *folder) {
			d.rename("app.log.1", "app.log.2")
			d.copy("app.log", "app.log.1")
			d.truncate("app.log")
		},
		"packed": func(d *folder) {
			d.rename("app.log.1", "app.log.2")
			d.pack("app.log.2")
			d.rename("app.log", "app.log.1")
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := newFolder(t)
			args := []string{"-f", "DIR/app.log*", "-p", "bad"}
			d.add("app.log.1", "bad of yesterday\n")
			d.add("app.log", "bad 0\nbad 1\n")
			d.run(0, args...)
			for range 3 {
				d.add("app.log", "bad 2\n")
				rotate(d)
				d.add("app.log", "bad 3\nbad 4\n")
				d.run(3, args...)
				d.now = d.now.Add(2 * time.Hour)
				d.run(0, args...)
				d.run(0, args...)
				if _, err := os.Stat(d.path("app.log.2.gz")); err == nil {
					d.remove("app.log.2.gz")
				}
			}
		})
	}
}

// The real logrotate.
func TestLogrotate(t *testing.T) {
	for name, options := range map[string]string{
		"create":              "create",
		"compress":            "create\ncompress",
		"delayed compression": "create\ncompress\ndelaycompress",
		"copytruncate":        "copytruncate",
		"copied and packed":   "copytruncate\ncompress",
		"by date":             "create\ndateext",
		"by date, extension":  "create\ndateext\nextension .log",
		"none is created":     "nocreate",
	} {
		t.Run(name, func(t *testing.T) {
			d := newFolder(t)
			conf := d.path("logrotate.conf")
			if err := os.WriteFile(conf, fmt.Appendf(nil, "%s {\nrotate 20\n%s\n}\n", d.path("app.log"), options), 0o600); err != nil {
				t.Fatal(err)
			}
			args := []string{"-f", "DIR/app.log", "-p", "bad"}
			d.add("app.log", "bad 0\n")
			d.run(0, args...)
			rounds := 3
			if strings.Contains(options, "dateext") { // there is one name a day
				rounds = 1
			}
			for range rounds {
				d.add("app.log", "good\nbad 1\nbad 2\n")
				if out, err := exec.Command("/usr/sbin/logrotate", "-f", "-s", d.path("state"), conf).CombinedOutput(); err != nil {
					t.Fatalf("logrotate: %v %s", err, out)
				}
				d.add("app.log", "bad 3\n")
				d.run(3, args...)
				d.run(0, args...)
				d.add("app.log", "bad 4\n")
				d.run(1, args...)
			}
		})
	}
}

func TestFilesThatComeAndGo(t *testing.T) {
	d := newFolder(t)
	args := []string{"-f", "DIR/*.log", "-p", "bad", "--missing", "ok"}
	if status, got := checktest.Run(t, d.check(), "-f", d.path("*.log"), "-p", "bad", "--missing", "ok"); status != saba.CheckOK || got != "LOG OK: "+d.path("*.log")+" is not there." {
		t.Errorf("without a file: %s %q", status, got)
	}
	d.add("a.log", "bad\n")
	d.run(1, args...) // it was not there the last time
	d.add("b.log", "bad\nbad\n")
	d.run(2, args...)
	d.rename("b.log", "c.log")
	d.run(0, args...) // another name is no news
	d.rename("a.log", "a.moved")
	d.run(0, args...)
	d.add("a.moved", "bad\n")
	d.rename("a.moved", "a.log")
	d.run(1, args...) // nor is an absence
	d.now = d.now.Add(2 * time.Hour)
	d.run(0, args...)
	d.run(0, args...)
	d.remove("c.log")
	d.add("c.log", "bad\n")
	d.run(1, args...)
	for status, want := range map[string]saba.CheckStatus{"": saba.CheckUnknown, "CRITICAL": saba.CheckCritical, "warning": saba.CheckWarning} {
		args := []string{"-f", d.path("none"), "-p", "bad"}
		if status != "" {
			args = append(args, "--missing="+status)
		}
		if got, line := checktest.Run(t, d.check(), args...); got != want || !strings.HasSuffix(line, ": "+d.path("none")+" is not there.") {
			t.Errorf("--missing %s: %s %q", status, got, line)
		}
	}
}

func TestWhichFiles(t *testing.T) {
	d := newFolder(t)
	for _, dir := range []string{"x/y/z", "[odd]"} {
		if err := os.MkdirAll(d.path(dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"a.log", "b.log", "c.txt", "x/a.log", "x/y/a.log", "x/y/z/b.log", "[odd]/a.log", "a.log.gz", "dir-1.log"} {
		d.add(name, "bad "+name+"\n")
	}
	if err := os.Mkdir(d.path("folder.log"), 0o700); err != nil {
		t.Fatal(err)
	}
	for args, want := range map[string]string{
		"-f DIR/a.log":                               "a.log",
		"-f DIR/?.log":                               "a.log b.log",
		"-f DIR/a.*":                                 "a.log",
		"-f DIR/[a].log":                             "a.log",
		"-f DIR/[!a].log":                            "b.log",
		"-f DIR/[^a].log":                            "b.log",
		"-f DIR/{a,c}.{log,txt}":                     "a.log c.txt",
		"-f DIR/{a,{b,c}}.{log,txt}":                 "a.log b.log c.txt",
		"-f DIR/**/a.log":                            "[odd]/a.log a.log x/a.log x/y/a.log",
		"-f DIR/x/**":                                "x/a.log x/y/a.log x/y/z/b.log",
		"-f DIR/**/[!a].log":                         "b.log x/y/z/b.log",
		"-f DIR/**/y/**/{a,b}.log":                   "x/y/a.log x/y/z/b.log",
		"-f DIR/*/a.log":                             "[odd]/a.log x/a.log",
		"-f DIR/[odd]/a.log":                         "[odd]/a.log",
		"-f DIR/a.log -f DIR/?.log -f DIR/x":         "a.log b.log",
		"-f DIR/a.log.gz":                            "a.log.gz",
		"-F DIR/\\.log$":                             "a.log b.log dir-1.log",
		"-F DIR/^[ab]":                               "a.log b.log",
		"-F ^a --search-in-directory DIR/x":          "x/a.log",
		"-F /nowhere/^a --search-in-directory DIR/x": "x/a.log",
		"-F DIR/x/y/^a -f DIR/c.txt":                 "c.txt x/y/a.log",
		"-F DIR/none/^a":                             "",
	} {
		words := strings.Fields(strings.ReplaceAll(args, "DIR", d.dir))
		_, got := checktest.Run(t, Check, append(words, "-p", "bad", "--no-state", "-r")...)
		var read []string
		for line := range strings.Lines(got) {
			if name, ok := strings.CutPrefix(strings.TrimSpace(line), "bad "); ok {
				read = append(read, name)
			}
		}
		if strings.Join(read, " ") != want {
			t.Errorf("%s reads %q, want %q\n%s", args, read, want, got)
		}
	}
	if err := os.Symlink(d.path("a.log"), d.path("z.log")); err != nil {
		t.Fatal(err)
	}
	d.run(2, "-f", "DIR/?.log", "-p", "bad", "--no-state") // one of them has two names
	many := "-f" + d.dir + strings.Repeat("/{a,b,c,d,e,f,g,h}", 5)
	if status, got := checktest.Run(t, Check, many, "-p", "x"); status != saba.CheckUnknown || !strings.Contains(got, "stands for more than 1000 patterns") {
		t.Errorf("%s %q", status, got)
	}
}

// What is no file with an end, or may not be read, is said, and holds up nothing.
func TestFilesThatCannotBeRead(t *testing.T) {
	d := newFolder(t)
	if err := syscall.Mkfifo(d.path("pipe.log"), 0o600); err != nil {
		t.Fatal(err)
	}
	d.add("app.log", "old bad\n")
	args := []string{"-f", d.path("*.log"), "-p", "bad"}
	want := d.path("pipe.log") + " is not a file with an end"
	if status, got := checktest.Run(t, d.check(), args...); status != saba.CheckUnknown || !strings.HasSuffix(got, want) {
		t.Errorf("%s %q", status, got)
	}
	d.add("app.log", "bad\n")
	if status, got := checktest.Run(t, d.check(), args...); status != saba.CheckCritical || !strings.HasSuffix(got, want) {
		t.Errorf("%s %q", status, got)
	}
	// Once it can be read, what it had before is no news, as on a first run.
	d.remove("pipe.log")
	d.add("pipe.log", "bad, old\n")
	d.run(0, "-f", "DIR/*.log", "-p", "bad")
	d.add("pipe.log", "bad, new\n")
	d.run(1, "-f", "DIR/*.log", "-p", "bad")
	// And what could be read before goes on where it was.
	d.rename("app.log", "kept")
	if err := syscall.Mkfifo(d.path("app.log"), 0o600); err != nil {
		t.Fatal(err)
	}
	if status, got := checktest.Run(t, d.check(), args...); status != saba.CheckUnknown {
		t.Errorf("%s %q", status, got)
	}
	d.rename("kept", "app.log")
	d.run(0, "-f", "DIR/*.log", "-p", "bad")
}

func TestLongLines(t *testing.T) {
	d := newFolder(t)
	args := []string{"-f", "DIR/app.log", "-p", "bad", "-r"}
	d.add("app.log", strings.Repeat("x", 3*follow.MaxLine))
	d.run(0, args...) // where it ends, in the middle of a line
	d.add("app.log", "bad\n")
	d.run(1, args...)
	d.add("app.log", strings.Repeat("y", 2*follow.MaxLine)+"bad"+strings.Repeat("y", follow.MaxLine)+"\nbad\n")
	told := d.run(2, args...)
	if len(told) > 3*maxToldLine || !strings.HasSuffix(told, "…\nbad") {
		t.Errorf("told %d bytes: %.100q…", len(told), told)
	}
	d.add("app.log", strings.Repeat("z", follow.MaxLine+5)) // a part of it is enough to go on
	d.run(0, args...)
	d.add("app.log", "bad\n")
	d.run(1, args...)
	d.add("app.log", strings.Repeat("bad "+strings.Repeat("x", 500)+"\n", 100))
	if told := d.run(100, args...); len(told) > maxTold+100 || !strings.Contains(told, " more lines") {
		t.Errorf("told %d bytes", len(told))
	}
}

func TestEncodings(t *testing.T) {
	d := newFolder(t)
	const line = "重大なエラー: 表示できません\n"
	for name, encode := range map[string]func(string) (string, error){
		"EUC-JP":      japanese.EUCJP.NewEncoder().String,
		"euc_jp":      japanese.EUCJP.NewEncoder().String,
		"Shift_JIS":   japanese.ShiftJIS.NewEncoder().String,
		"sjis":        japanese.ShiftJIS.NewEncoder().String,
		"CP932":       japanese.ShiftJIS.NewEncoder().String,
		"ISO-2022-JP": japanese.ISO2022JP.NewEncoder().String,
		"UTF-8":       func(s string) (string, error) { return s, nil },
	} {
		text, err := encode(line)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(d.path("app.log"), []byte("ok\n"+text+"ok\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := d.run(1, "-f", "DIR/app.log", "-p", "エラー: 表示", "--encoding", name, "--no-state", "-r"); got != "DIR/app.log:\n"+strings.TrimSpace(line) {
			t.Errorf("%s: told %q", name, got)
		}
	}
	if err := os.WriteFile(d.path("app.log"), []byte("caf\xe9 \x80\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	d.run(1, "-f", "DIR/app.log", "-p", "café", "--encoding", "LATIN-1", "--no-state")
	d.run(1, "-f", "DIR/app.log", "-p", "café €", "--encoding", "Windows1252", "--no-state")
	d.run(1, "-f", "DIR/app.log", "-p", "cafИ", "--encoding", "KOI8R", "--no-state")
	d.run(1, "-f", "DIR/app.log", "-p", "cafщ", "--encoding", "CP866", "--no-state")
	if got := d.run(1, "-f", "DIR/app.log", "-p", "caf", "--no-state", "-r"); got != "DIR/app.log:\ncaf\uFFFD \uFFFD" {
		t.Errorf("what is no UTF-8 is told as %q", got)
	}
	for _, name := range []string{"CP437", "ISO-8859-1", "ISO-8859-2", "ISO-8859-16", "KOI8U", "Macintosh", "MacintoshCyrillic", "Windows1250", "Windows1258", "Windows874", "XUserDefined"} {
		if _, err := findEncoding(name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A hurry is a context that ends when it was looked at so many times.
type hurry struct {
	context.Context
	left int
}

func (h *hurry) Err() error {
	if h.left--; h.left < 0 {
		return context.DeadlineExceeded
	}
	return nil
}

// A log that takes longer than there is time is read as far as that goes, and the rest the next time.
func TestALogThatTakesTooLong(t *testing.T) {
	d := newFolder(t)
	d.add("app.log", strings.Repeat("bad\n", 250))
	c := newChecker(t, "-p", "bad", "-f", d.path("app.log"))
	var s follow.State
	for i, want := range []int{100, 100, 50, 0} {
		var found tally
		s = c.reader(&found).Follow(&hurry{t.Context(), 100}, c.files, s, true)
		late := d.path("app.log") + " is not read to its end, as that takes too long"
		if said := strings.Join(found.problems, "\n"); found.criticals != want || i < 2 && said != late || i >= 2 && said != "" {
			t.Errorf("run %d: %d lines count, want %d; %q", i, found.criticals, want, said)
		}
	}
	if r := c.result(c.files, &tally{problems: []string{"late"}}); r.Status != saba.CheckUnknown {
		t.Errorf("what is not known to be well is %s", r.Status)
	}
}

// There is one position for each file, also for an empty one.
func TestAnEmptyFile(t *testing.T) {
	d := newFolder(t)
	d.add("app.log", "")
	c := newChecker(t, "-p", "bad", "-f", d.path("app.log"))
	var found tally
	s := c.reader(&found).Follow(t.Context(), c.files, follow.State{}, true)
	for range 2 {
		s = c.reader(&found).Follow(t.Context(), c.files, s, true)
	}
	if len(s.Positions) != 1 || s.Positions[0].Rotated != 0 || s.Positions[0].Offset != 0 {
		t.Errorf("positions %+v", s.Positions)
	}
}

// newChecker returns the checker with these flags.
func newChecker(t *testing.T, args ...string) *checker {
	t.Helper()
	fs := &check.FlagSet{}
	c := Check.New(fs).(*checker)
	if err := fs.Parse(args); err != nil {
		t.Fatal(err)
	}
	if err := c.CheckFlags(); err != nil {
		t.Fatal(err)
	}
	return c
}

// Inside the agent one checker lives on.
func TestEmbedded(t *testing.T) {
	d := newFolder(t)
	d.add("app.log", "bad\n")
	e, err := check.Embed(Check, []string{"-f", d.path("app.log"), "-p", "bad"})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []saba.CheckStatus{saba.CheckOK, saba.CheckCritical, saba.CheckCritical, saba.CheckCritical} {
		if status, line := e.Run(t.Context(), os.Environ()); status != want {
			t.Errorf("%s %q, want %s", status, line, want)
		}
		d.add("app.log", "bad\n")
	}
}

// Whatever is in a log and wherever it is cut, its lines count once each.
func FuzzRead(f *testing.F) {
	f.Add([]byte("bad\nbad\r\n\nbad"), 5, []byte("bad\n"))
	f.Add([]byte("\x00\xff\n"), 0, []byte(""))
	f.Fuzz(func(t *testing.T, text []byte, cut int, more []byte) {
		if cut < 0 || cut > len(text) {
			return
		}
		d := newFolder(t)
		args := []string{"-f", d.path("app.log"), "-p", "", "--check-first"}
		total := 0
		for _, part := range [][]byte{text[:cut], text[cut:], more, []byte("\n")} {
			d.add("app.log", string(part))
			_, got := checktest.Run(t, d.check(), args...)
			var status string
			var n int
			if _, err := fmt.Sscanf(got, "LOG %s %d", &status, &n); err != nil {
				t.Fatalf("%q: %v", got, err)
			}
			total += n
		}
		if want := bytes.Count(text, []byte("\n")) + bytes.Count(more, []byte("\n")) + 1; total != want {
			t.Errorf("%d lines count of %q and %q, want %d", total, text, more, want)
		}
	})
}

// gzip must be the one that rotation packs with.
func TestPackedInSeveralPieces(t *testing.T) {
	d := newFolder(t)
	args := []string{"-f", "DIR/app.log", "-p", "bad"}
	d.add("app.log", strings.Repeat("good, and long enough to have a place behind what is summed\n", 1000))
	d.run(0, args...)
	b, err := os.ReadFile(d.path("app.log"))
	if err != nil {
		t.Fatal(err)
	}
	var packed bytes.Buffer
	for _, piece := range []string{string(b), "bad\nbad"} {
		z := gzip.NewWriter(&packed)
		if _, err := z.Write([]byte(piece)); err != nil {
			t.Fatal(err)
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
	}
	d.add("app.log-20260102.gz", packed.String())
	d.add("app.log-20260103", strings.Repeat("bad, of another log\n", 10000))
	d.pack("app.log-20260103")
	d.remove("app.log")
	d.add("app.log", "bad\n")
	d.run(3, args...)
	d.run(0, args...)
}

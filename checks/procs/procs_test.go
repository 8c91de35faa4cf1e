package procs

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/check"
	"github.com/saba-monitor/saba/check/checktest"
	"github.com/saba-monitor/saba/plugin/target/process"
)

// asCheck makes the test's own program the check.
const asCheck = "SABA_TEST_AS_CHECK"

func TestMain(m *testing.M) {
	if os.Getenv(asCheck) != "" {
		check.Main(Check)
	}
	os.Exit(m.Run())
}

// mark is an argument that nothing else on this machine has.
func mark(t *testing.T) string {
	return "saba-check-procs-" + filepath.Base(t.TempDir()) + "-" + t.Name()
}

// start runs a process that waits until the test ends.
func start(t *testing.T, args ...string) {
	t.Helper()
	cmd := exec.Command("cat", append([]string{"--", "-"}, args...)...)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil { // returns when the program is the new one
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = stdin.Close()
		_ = cmd.Wait()
	})
}

func TestRealProcesses(t *testing.T) {
	m := mark(t)
	start(t, m, "one")
	start(t, m, "two")
	start(t, m, "three")
	me := fmt.Sprint(os.Getpid())
	for args, want := range map[string]string{
		"-p M":                                "Procs OK: 3 processes match /M/",
		"-p M.one$":                           "Procs OK: 1 process matches /M.one$/",
		"-p M.four":                           "Procs CRITICAL: 0 processes match /M.four/, fewer than 1",
		"-p M.four -C 0":                      "Procs WARNING: 0 processes match /M.four/, fewer than 1",
		"-p M.four -W=0 -C=0":                 "Procs OK: 0 processes match /M.four/",
		"-p M -W 4":                           "Procs WARNING: 3 processes match /M/, fewer than 4",
		"-p M --warn-under 4":                 "Procs WARNING: 3 processes match /M/, fewer than 4",
		"-p M -C 4":                           "Procs CRITICAL: 3 processes match /M/, fewer than 4",
		"-p M -w 3 -c 3":                      "Procs OK: 3 processes match /M/",
		"-p M -w 2":                           "Procs WARNING: 3 processes match /M/, more than 2",
		"-p M --warn-over 2":                  "Procs WARNING: 3 processes match /M/, more than 2",
		"-p M -w 0 -c 2":                      "Procs CRITICAL: 3 processes match /M/, more than 2",
		"-p M.four -W 0 -C 0 -c 0":            "Procs OK: 0 processes match /M.four/",
		"-p M -x two$ -x three$":              "Procs OK: 1 process matches /M/",
		"-p M.four -p M.one":                  "Procs CRITICAL: 0 processes match /M.four/, fewer than 1\n1 process matches /M.one/", // the first decides here
		"-p M.one -p M.two":                   "Procs OK: 1 process matches /M.one/\n1 process matches /M.two/",
		"-p M.one -p M -w 2":                  "Procs WARNING: 1 process matches /M.one/\n3 processes match /M/, more than 2",
		"-p M --ppid " + me:                   "Procs OK: 3 processes match /M/",
		"-p M --ppid 1":                       "Procs CRITICAL: 0 processes match /M/, fewer than 1",
		"-p M -f 1":                           "Procs CRITICAL: 0 processes match /M/, fewer than 1",
		"-p M -z 1":                           "Procs CRITICAL: 0 processes match /M/, fewer than 1",
		"-p M -z 100000000 -r 100000000 -T 1": "Procs OK: 3 processes match /M/",
		"-p M -s Z":                           "Procs CRITICAL: 0 processes match /M/, fewer than 1",
		"-p M -s SRD":                         "Procs OK: 3 processes match /M/",
		"-p M -e 3600":                        "Procs CRITICAL: 0 processes match /M/, fewer than 1",
		"-p M -E 3600":                        "Procs OK: 3 processes match /M/",
		"-p M -i 3600":                        "Procs CRITICAL: 0 processes match /M/, fewer than 1",
		"-p M -I 3600 -P 100":                 "Procs OK: 3 processes match /M/",
		"-p M -u " + fmt.Sprint(os.Geteuid()): "Procs OK: 3 processes match /M/",
		"-p M -U " + fmt.Sprint(os.Geteuid()): "Procs CRITICAL: 0 processes match /M/, fewer than 1",
		"-p M -u 4294967294":                  "Procs CRITICAL: 0 processes match /M/, fewer than 1",
		"-p M -u no-such-user":                `Procs UNKNOWN: this host has no user "no-such-user" in /etc/passwd: give the number of a user that is known elsewhere`,
		"-p M --user-not no-such-user":        `Procs UNKNOWN: this host has no user "no-such-user" in /etc/passwd: give the number of a user that is known elsewhere`,
		"-f " + me:                            "Procs CRITICAL: 0 processes, fewer than 1", // itself
		"-m -f " + me:                         "Procs OK: 1 process",
		"-f 1":                                "Procs OK: 1 process",
		"-p (":                                "Procs UNKNOWN: --pattern: error parsing regexp: missing closing ): `(`; check-procs -h lists the flags",
		"-p M -x (":                           "Procs UNKNOWN: --exclude-pattern: error parsing regexp: missing closing ): `(`; check-procs -h lists the flags",
		"-p M -w many":                        `Procs UNKNOWN: --warning-over "many" must be a whole number; check-procs -h lists the flags`,
		"--pattern=M --status-as=ok=warning -t 5": "Procs WARNING: 3 processes match /M/",
	} {
		replace := func(s string) string { return strings.ReplaceAll(s, "M", m) }
		if _, got := checktest.Run(t, Check, strings.Fields(replace(args))...); got != replace(want) {
			t.Errorf("%s\ngot  %q\nwant %q", args, got, replace(want))
		}
	}
	checktest.Usage(t, Check)
}

// As a command, through a shell that was told the pattern as well, it counts neither.
func TestItNeverCountsItself(t *testing.T) {
	m := mark(t)
	for args, want := range map[string]string{
		"":                    "Procs CRITICAL: 0 processes match /M/, fewer than 1\n",
		"-M":                  "Procs OK: 1 process matches /M/\n",
		"--match-self":        "Procs OK: 1 process matches /M/\n",
		"-m -M --warn-over 1": "Procs WARNING: 2 processes match /M/, more than 1\n",
	} {
		cmd := exec.Command("sh", "-c", fmt.Sprintf(`%q -p %s %s; exit 0`, os.Args[0], m, args))
		cmd.Env = append(os.Environ(), asCheck+"=1")
		out, err := cmd.CombinedOutput()
		if err != nil || string(out) != strings.ReplaceAll(want, "M", m) {
			t.Errorf("with %q: %v, %q, want %q", args, err, out, want)
		}
	}
}

// A proc is a /proc of processes that this user may not look at.
type proc struct{ fstest.MapFS }

func (p proc) Open(name string) (fs.File, error) {
	if strings.HasPrefix(name, "9") {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
	}
	return p.MapFS.Open(name)
}

// of returns the check of another /proc, a hundred seconds after its host started.
func of(proc fs.FS) check.Check {
	c := Check
	c.New = func(fs *check.FlagSet) check.Checker {
		k := Check.New(fs).(*checker)
		k.table = process.Table{Proc: proc, Clock: func() (time.Duration, error) { return 100 * time.Second, nil }}
		return k
	}
	return c
}

func put(m fstest.MapFS, pid, threads, ticks, start int, command string) {
	dir := fmt.Sprint(pid)
	m[dir+"/stat"] = &fstest.MapFile{Data: fmt.Appendf(nil, "%d (x) S 1 1 1 0 -1 0 1 2 3 4 %d 0 5 6 20 0 %d 0 %d 2048000 25 0", pid, ticks, threads, start)}
	m[dir+"/cmdline"] = &fstest.MapFile{Data: []byte(command)}
	m[dir+"/status"] = &fstest.MapFile{Data: fmt.Appendf(nil, "Uid:\t0\t%d\t0\t0\n", pid)}
}

func TestHiddenProcesses(t *testing.T) {
	m := fstest.MapFS{}
	put(m, 1, 1, 0, 0, "init")
	put(m, 5, 1, 0, 0, "web")
	put(m, 9, 1, 0, 0, "web")
	for args, want := range map[string]string{
		"-p web":            "Procs OK: 1 process matches /web/",
		"-p web -c 0":       "Procs CRITICAL: 1 process matches /web/, more than 0",
		"-p web -C 2":       "Procs UNKNOWN: 1 process matches /web/, but this user may not see the processes of others",
		"-p web -C 0 -W 2":  "Procs UNKNOWN: 1 process matches /web/, but",
		"-p db -p web -c 0": "Procs CRITICAL: 0 processes match /db/, but",
		fmt.Sprintf("-p web -u %d", os.Geteuid()): "Procs CRITICAL: 0 processes match /web/, fewer than 1",
	} {
		if _, got := checktest.Run(t, of(proc{m}), strings.Fields(args)...); !strings.HasPrefix(got, want) {
			t.Errorf("%s: %q, want %q", args, got, want)
		}
	}
}

// The limits of the flags that choose processes, on both sides.
func TestLimits(t *testing.T) {
	m := fstest.MapFS{}
	put(m, 1, 1, 0, 0, "init")
	put(m, 5, 3, 1000, 5000, "web") // of 50 seconds it worked 10
	resident := 25 * os.Getpagesize() >> 10
	for args, fits := range map[string]bool{
		"-z 2000": true, "-z 1999": false,
		fmt.Sprint("-r ", resident): true, fmt.Sprint("-r ", resident-1): false,
		"-P 20": true, "-P 19.9": false,
		"-T 3": true, "-T 2": false,
		"-e 49.9": true, "-e 50": false,
		"-E 50.1": true, "-E 50": false,
		"-i 9.9": true, "-i 10": false,
		"-I 10.1": true, "-I 10": false,
		"--ppid 1": true, "--ppid 0": false,
		"-f 5": true, "-f 0": false,
		"-s SZ": true, "-s s": false,
		"-u 5": true, "-u 1": false,
		"-U 1": true, "-U 5": false,
		"-u 5 -U 5": false,
	} {
		status, got := checktest.Run(t, of(m), append([]string{"-p", "web"}, strings.Fields(args)...)...)
		if want := map[bool]saba.CheckStatus{true: saba.CheckOK, false: saba.CheckCritical}[fits]; status != want {
			t.Errorf("%s: %s %q, want %s", args, status, got, want)
		}
	}
	delete(m, "5/status")
	if _, got := checktest.Run(t, of(m), "-p", "web", "-u", "5"); got != "Procs CRITICAL: 0 processes match /web/, fewer than 1" {
		t.Errorf("one that ends while it is looked at: %q", got)
	}
}

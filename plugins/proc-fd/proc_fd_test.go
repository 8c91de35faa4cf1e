package procfd

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/saba-monitor/saba/plugin"
	"github.com/saba-monitor/saba/plugin/plugintest"
	"github.com/saba-monitor/saba/plugin/target/process"
)

// start starts a real process with a word in its arguments and more open files, which ends with the test.
func start(t *testing.T, word string, files int) *os.Process {
	t.Helper()
	cmd := exec.Command("cat", "--", "-", word)
	for range files {
		f, err := os.Open(os.DevNull)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		cmd.ExtraFiles = append(cmd.ExtraFiles, f)
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	// What it repeats, it has started to read: it opens no more files.
	if _, err := io.WriteString(in, "here\n"); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "here\n" {
		t.Fatalf("cat says %q, %v", line, err)
	}
	return cmd.Process
}

func TestRealProcesses(t *testing.T) {
	word := fmt.Sprintf("saba-proc-fd-%d a/b", os.Getpid())
	start(t, word, 0)
	p := start(t, word, 50)
	start(t, "another", 90)
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.Pid))
	if err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprintf("saba-proc-fd-%d_a_b.max_fd", os.Getpid())
	got := plugintest.Collect(t, Plugin, []string{"-process", word})
	if n := got[name]; n != float64(len(entries)) || n < 53 {
		t.Errorf("%v, want %d for %s", got, len(entries), name)
	}
}

const stat = "%d (%s) S %d 1 1 0 -1 4194560 1 0 0 0 1 1 0 0 20 0 1 0 100 1000 100 18446744073709551615"

// proc is a /proc of these command lines and numbers of open files, by process.
func proc(files map[int]int, commands map[int]string) fstest.MapFS {
	m := fstest.MapFS{}
	for pid, command := range commands {
		m[fmt.Sprintf("%d/stat", pid)] = &fstest.MapFile{Data: fmt.Appendf(nil, stat, pid, "x", 1)}
		m[fmt.Sprintf("%d/cmdline", pid)] = &fstest.MapFile{Data: []byte(command)}
		m[fmt.Sprintf("%d/fd", pid)] = &fstest.MapFile{Mode: fs.ModeDir}
		for i := range files[pid] {
			m[fmt.Sprintf("%d/fd/%d", pid, i)] = &fstest.MapFile{}
		}
	}
	return m
}

// refusing is a /proc of which this user may not open some files.
type refusing struct {
	fs.FS
	part string
	err  error
}

func (r refusing) Open(name string) (fs.File, error) {
	if strings.Contains(name, r.part) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: r.err}
	}
	return r.FS.Open(name)
}

func TestTheMostOfThoseThatMatch(t *testing.T) {
	host := proc(map[int]int{1: 99, 7: 5, 8: 12, 9: 0}, map[int]string{1: "/sbin/init", 7: "nginx: master", 8: "nginx: worker secret", 9: "cron", os.Getpid(): "plugin -process nginx"})
	for name, tt := range map[string]struct {
		proc    fs.FS
		process string
		want    float64
		wantErr string
	}{
		"the most of two":               {host, "nginx", 12, ""},
		"one alone":                     {host, "master", 5, ""},
		"one without an open file":      {host, "cron", 0, ""},
		"none":                          {host, "apache", 0, `no process has "apache" in its command line`},
		"it does not count itself":      {host, "-process", 0, `no process has "-process"`},
		"one that ends meanwhile":       {refusing{host, "8/fd", fs.ErrNotExist}, "nginx", 5, ""},
		"one that may not be looked at": {refusing{host, "8/fd", fs.ErrPermission}, "nginx", 0, "process 8 (x) may not be counted"},
		"one that cannot be read":       {refusing{host, "8/fd", errors.New("input/output error")}, "nginx", 0, "input/output error"},
		"others are hidden":             {refusing{host, "1/stat", fs.ErrPermission}, "nginx", 0, "hidepid"},
	} {
		c := &collector{process: tt.process, table: process.Table{Proc: tt.proc, Clock: func() (time.Duration, error) { return time.Hour, nil }}}
		values, err := c.Collect(t.Context())
		switch {
		case tt.wantErr != "":
			if err == nil || !strings.Contains(err.Error(), tt.wantErr) || len(values) > 0 || strings.Contains(err.Error(), "secret") {
				t.Errorf("%s: Collect = %v, %v, want %q", name, values, err, tt.wantErr)
			}
		case err != nil || len(values) != 1 || values[0].Value != tt.want:
			t.Errorf("%s: Collect = %v, %v, want %v", name, values, err, tt.want)
		}
	}
}

func TestWhichProcessesMustBeSaid(t *testing.T) {
	if _, err := plugin.Embed(Plugin, nil); err == nil || !strings.Contains(err.Error(), "-process is missing") {
		t.Errorf("Embed = %v", err)
	}
}

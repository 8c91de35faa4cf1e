package follow

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Whatever a state says, the run goes on, and so does the next.
func FuzzState(f *testing.F) {
	f.Add([]byte(`{"positions":[{"path":"app.log","device":1,"inode":2,"offset":3,"before":4,"read":5}]}`))
	f.Add([]byte(`{"positions":[{"path":"app.log","offset":-9223372036854775808},{"path":"","offset":9223372036854775807,"rotated":-1}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var s State
		if json.Unmarshal(b, &s) != nil || len(s.Positions) > 100 {
			return
		}
		path := filepath.Join(t.TempDir(), "app.log")
		if err := os.WriteFile(path, []byte("bad\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		f, id, _, err := openLog(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		for i := range s.Positions { // of a file that is there
			s.Positions[i].Path, s.Positions[i].Device, s.Positions[i].Inode, s.Positions[i].Born = id.Path, id.Device, id.Inode, id.Born
		}
		read := func(before State) (after State, problems []error) {
			r := Reader{Now: time.Unix(1_800_000_000, 0), Line: func(string, []byte, bool) bool { return true }, Problem: func(err error) { problems = append(problems, err) }}
			after = r.Follow(t.Context(), []string{path}, before, true)
			return after, problems
		}
		after, _ := read(s)
		for _, p := range after.Positions {
			if p.Path != id.Path || p.Offset > 4 && p.Device == 0 {
				t.Errorf("%s becomes %+v", b, after)
			}
		}
		if _, problems := read(after); len(problems) > 0 {
			t.Errorf("%s: the second run has %q", b, problems)
		}
	})
}

func FuzzExpand(f *testing.F) {
	f.Add("/tmp/{a,b}/**/[x-z]*.log")
	f.Add("[]{}}{")
	f.Fuzz(func(t *testing.T, pattern string) {
		patterns, err := braces(pattern)
		for _, p := range patterns {
			if re, reErr := toRegexp(p); err == nil && reErr == nil && !strings.ContainsAny(p, "*?[") && !re.MatchString(p) {
				t.Errorf("%q does not match itself: %v", p, re)
			}
		}
	})
}

// A reader that stops after each line reads every line once, over rotation, a copy that is cut, and packing.
func TestAReaderThatStops(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "app.log")
	now := time.Now()
	var state State
	var got []string
	known := false
	run := func() (read bool) {
		r := Reader{Now: now, Whole: true, Line: func(_ string, line []byte, _ bool) bool {
			got, read = append(got, string(line)), true
			return false
		}, Problem: func(err error) { t.Error(err) }}
		state, known = r.Follow(t.Context(), []string{path}, state, known), true
		return read
	}
	add := func(text string) {
		t.Helper()
		f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteString(text); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	add("1\n2\n3\n")
	run()
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	add("4\n5\n")
	run()
	for run() {
	}
	if want := "1 2 3 4 5"; strings.Join(got, " ") != want {
		t.Errorf("read %q, want %q", got, want)
	}
}

// Files that came and were rotated away between two runs are read too, once; other programs' files beside them are not.
func TestSeveralRotationsBetweenTwoRuns(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "app.log")
	var state State
	known := false
	run := func() (got []string) {
		r := Reader{Now: time.Now(), Whole: true, Line: func(_ string, line []byte, _ bool) bool {
			got = append(got, string(line))
			return true
		}, Problem: func(err error) { t.Error(err) }}
		state, known = r.Follow(t.Context(), []string{path}, state, known), true
		return got
	}
	put := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	move := func(from, to string) {
		t.Helper()
		if err := os.Rename(filepath.Join(dir, from), filepath.Join(dir, to)); err != nil {
			t.Fatal(err)
		}
	}
	put("app.log", "1\n")
	run()
	for i, line := range []string{"2\n", "3\n", "4\n"} {
		for n := i; n > 0; n-- {
			move(fmt.Sprint("app.log.", n), fmt.Sprint("app.log.", n+1))
		}
		move("app.log", "app.log.1")
		put("app.log", line)
	}
	put("app-error.log", "error\n")
	put("app.log.bak", "copy\n")
	if got := strings.Join(run(), " "); got != "2 3 4" && got != "3 2 4" { // files of one moment
		t.Errorf("read %q, want 2 3 4", got)
	}
	for range 2 {
		if got := run(); len(got) > 0 {
			t.Errorf("read %q again", got)
		}
	}
}

// Package sh proves that the example of a plugin in plain sh does as an agent expects.
package sh

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// run runs the script and returns what it prints.
func run(t *testing.T, meta string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "./spool.sh", args...)
	cmd.Env = append(os.Environ(), "MACKEREL_AGENT_PLUGIN_META="+meta)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	return out.String(), errs.String(), err
}

var line = regexp.MustCompile(`^([-a-zA-Z0-9_.]+)\t([0-9]+)\t([0-9]+)$`)

// values returns the values in stdout by name.
func values(t *testing.T, stdout string) map[string]string {
	t.Helper()
	got := map[string]string{}
	for l := range strings.Lines(stdout) {
		m := line.FindStringSubmatch(strings.TrimSuffix(l, "\n"))
		if m == nil {
			t.Fatalf("the line %q is not of the protocol", l)
		}
		got[m[1]] = m[2]
	}
	return got
}

func TestSpool(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	stdout, stderr, err := run(t, "", dir)
	if got := values(t, stdout); err != nil || stderr != "" || len(got) != 1 || got["spool.files.waiting"] != "0" {
		t.Errorf("a folder without files: %v, %q, %v, want no age", got, stderr, err)
	}
	at := time.Now().Add(-time.Hour)
	for _, name := range []string{"a", "b c"} {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(file, at, at); err != nil {
			t.Fatal(err)
		}
	}
	stdout, stderr, err = run(t, "", dir)
	got := values(t, stdout)
	if age := got["spool.age.oldest"]; err != nil || stderr != "" || got["spool.files.waiting"] != "2" || len(age) != 4 || age < "3600" {
		t.Errorf("two files of an hour: %v, %q, %v", got, stderr, err)
	}

	// The definitions are of what was printed, and need no folder.
	stdout, stderr, err = run(t, "1", filepath.Join(dir, "none"))
	first, rest, _ := strings.Cut(stdout, "\n")
	var definitions struct {
		Graphs map[string]struct {
			Label, Unit string
			Metrics     []struct{ Name, Label string }
		}
	}
	if err != nil || stderr != "" || first != "# mackerel-agent-plugin" || json.Unmarshal([]byte(rest), &definitions) != nil {
		t.Fatalf("definitions: %q, %q, %v", stdout, stderr, err)
	}
	var declared []string
	for graph, g := range definitions.Graphs {
		for _, m := range g.Metrics {
			declared = append(declared, graph+"."+m.Name)
		}
		if g.Label == "" || g.Unit == "" {
			t.Errorf("graph %s has no label or unit", graph)
		}
	}
	if slices.Sort(declared); !slices.Equal(declared, []string{"spool.age.oldest", "spool.files.waiting"}) {
		t.Errorf("declared are %q", declared)
	}
}

func TestAFolderThatIsNotThere(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "none")
	stdout, stderr, err := run(t, "", dir)
	if err == nil || stdout != "" || stderr != "spool.sh: "+dir+" is not a folder that can be read\n" {
		t.Errorf("%q, %q, %v, want no value and a sentence", stdout, stderr, err)
	}
}

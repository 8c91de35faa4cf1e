package pages

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A notebook is a test that notes its failures.
type notebook struct {
	testing.TB
	failures []string
}

func (n *notebook) Helper() {}
func (n *notebook) Errorf(format string, args ...any) {
	n.failures = append(n.failures, fmt.Sprintf(format, args...))
}

func TestSame(t *testing.T) {
	dir := t.TempDir()
	step := func(what string, page string, update bool, want string) {
		t.Helper()
		n := &notebook{TB: t}
		Same(n, dir, map[string]string{"a.md": page}, update, "make pages")
		if got := strings.Join(n.failures, "\n"); (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("%s: failures %q, want %q", what, got, want)
		}
	}
	step("no page yet", "new", false, `a.md is not what the code says: "make pages" writes`)
	step("it is written", "new", true, "")
	step("it is true", "new", false, "")
	step("the code has changed", "newer", false, "a.md is not what the code says")
	step("it is written anew", "newer", true, "")
	if err := os.WriteFile(filepath.Join(dir, "b.md"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	step("a page of nothing", "newer", true, "b.md is about nothing")
}

func TestTable(t *testing.T) {
	const want = "| a | b |\n|---|---|\n| x\\|y | two lines |\n|  | z |\n"
	if got := Table("| a | b |", [][]string{{"x|y", "two\nlines"}, {"", "z"}}); got != want {
		t.Errorf("Table = %q, want %q", got, want)
	}
	if got := Table("| a |", nil); got != "" {
		t.Errorf("Table without a row = %q", got)
	}
}

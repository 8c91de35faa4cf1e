// Package pages keeps pages of documentation true that are made from declarations in the code.
// It is for tests alone.
package pages

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Same fails the test unless the folder dir has the pages of want, by file name, and no other.
// With update it writes them. command is what does so, for the failure.
func Same(t testing.TB, dir string, want map[string]string, update bool, command string) {
	t.Helper()
	if update {
		for name, text := range want {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if _, ok := want[f.Name()]; !ok {
			t.Errorf("%s is about nothing that there is: delete it", filepath.Join(dir, f.Name()))
		}
	}
	for name, text := range want {
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != text {
			t.Errorf("%s is not what the code says: %q writes it anew", filepath.Join(dir, name), command)
		}
	}
}

// Table returns rows as a table under a head; "" when there is no row.
func Table(head string, rows [][]string) string {
	if len(rows) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString(head + "\n" + strings.Repeat("|---", len(rows[0])) + "|\n")
	for _, row := range rows {
		for _, cell := range row {
			b.WriteString("| " + strings.NewReplacer("|", `\|`, "\n", " ").Replace(cell) + " ")
		}
		b.WriteString("|\n")
	}
	return b.String()
}

// Code returns s as code within a line; "" for "".
func Code(s string) string {
	if s == "" {
		return ""
	}
	return "`" + s + "`"
}

// Sentence returns a clause with a capital and a full stop.
func Sentence(clause string) string {
	return strings.ToUpper(clause[:1]) + clause[1:] + "."
}

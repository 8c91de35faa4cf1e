package location

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/saba-monitor/saba"
)

func TestFetch(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "a b.yaml")
	if err := os.WriteFile(file, []byte("memo: x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	large := filepath.Join(dir, "large")
	if err := os.WriteFile(large, make([]byte, maxDocument+1), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, location := range []string{file, "file://" + strings.ReplaceAll(file, " ", "%20")} {
		if d, err := Fetch(t.Context(), location); err != nil || d.Name != file || string(d.Text) != "memo: x\n" {
			t.Errorf("Fetch(%q) = %+v, %v", location, d, err)
		}
	}
	for location, want := range map[string]error{
		filepath.Join(dir, "missing"): fs.ErrNotExist,
		dir:                           saba.ErrInvalid,
		"ftp://example.com/a":         saba.ErrInvalid,
		large:                         saba.ErrInvalid,
	} {
		if _, err := Fetch(t.Context(), location); !errors.Is(err, want) {
			t.Errorf("Fetch(%q) = %v, want one that matches %v", location, err, want)
		}
	}
}

package plugins

import (
	"os"
	"slices"
	"testing"
)

// A folder without a line in the list would be a plugin that nobody finds.
func TestTheListIsTheFolder(t *testing.T) {
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	var folders, names []string
	for _, e := range entries {
		if e.IsDir() {
			folders = append(folders, e.Name())
		}
	}
	for _, p := range All() {
		if err := p.Check(); err != nil {
			t.Error(err)
		}
		if p.Short == "" {
			t.Errorf("%s has no Short", p.Name)
		}
		if got, ok := Find(p.Name); !ok || got.Name != p.Name {
			t.Errorf("Find(%q) = %q, %v", p.Name, got.Name, ok)
		}
		names = append(names, p.Name)
	}
	if !slices.Equal(names, folders) {
		t.Errorf("the list has %q, the folder %q", names, folders)
	}
	if _, ok := Find("no-such-plugin"); ok {
		t.Error("Find finds what is not there")
	}
}

package plugins

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/saba-monitor/saba/plugin"
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
		var out strings.Builder
		if code := plugin.Run(t.Context(), p, []string{"-version"}, plugin.System{Stdout: &out, Stderr: &out, Getenv: func(string) string { return "" }}); code != 0 || !strings.HasPrefix(out.String(), "mackerel-plugin-"+p.Name+" version ") {
			t.Errorf("%s -version = %d, %q", p.Name, code, out.String())
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

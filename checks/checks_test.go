package checks

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/saba-monitor/saba/check/checktest"
)

// A folder without a line in the list would be a check that nobody finds.
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
	for _, c := range All() {
		checktest.Usage(t, c)
		for _, each := range append(slices.Clone(c.Commands), c) {
			if !strings.HasPrefix(each.Short, "whether ") || strings.HasSuffix(each.Short, ".") {
				t.Errorf("%s has the Short %q, want a clause that begins with whether", c.Name, each.Short)
			}
		}
		if got, ok := Find(c.Name); !ok || got.Name != c.Name {
			t.Errorf("Find(%q) = %q, %v", c.Name, got.Name, ok)
		}
		names = append(names, c.Name)
	}
	if !slices.Equal(names, folders) {
		t.Errorf("the list has %q, the folder %q", names, folders)
	}
	if _, ok := Find("no-such-check"); ok {
		t.Error("Find finds what is not there")
	}
}

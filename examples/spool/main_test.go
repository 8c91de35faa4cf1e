package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/saba-monitor/saba/plugin/plugintest"
)

func TestSpool(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	// plugintest proves that what is collected is what is declared.
	if got := plugintest.Collect(t, spool, []string{"-dir", dir}, "age.oldest"); got["files.waiting"] != 0 {
		t.Errorf("%v files wait in a folder without any", got["files.waiting"])
	}
	for name, age := range map[string]time.Duration{"a": time.Minute, "b": time.Hour} {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		at := time.Now().Add(-age)
		if err := os.Chtimes(file, at, at); err != nil {
			t.Fatal(err)
		}
	}
	got := plugintest.Collect(t, spool, []string{"-dir", dir})
	if got["files.waiting"] != 2 || got["age.oldest"] < 3600 || got["age.oldest"] > 7200 {
		t.Errorf("collected %v, want two files, the older of an hour", got)
	}
}

func TestAFolderThatIsNotThere(t *testing.T) {
	c := &collector{dir: filepath.Join(t.TempDir(), "none"), now: time.Now}
	if values, err := c.Collect(t.Context()); err == nil || len(values) > 0 {
		t.Errorf("Collect = %v, %v, want no value: a zero would be an empty folder", values, err)
	}
}

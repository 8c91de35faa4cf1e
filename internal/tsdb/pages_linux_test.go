package tsdb

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// mapped returns how many KiB of a file this process has in memory.
func mapped(t *testing.T, path string) (kib int64) {
	t.Helper()
	b, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(b), path+"\n")
	if !ok {
		t.Fatalf("%s is not mapped", path)
	}
	for line := range strings.Lines(rest) {
		if f := strings.Fields(line); f[0] == "Rss:" {
			for _, c := range f[1] {
				kib = 10*kib + int64(c-'0')
			}
			return kib
		}
	}
	t.Fatalf("nothing is said of %s", path)
	return 0
}

func TestPagesOfAFolderAreDropped(t *testing.T) {
	inside, outside := filepath.Join(t.TempDir(), "with a blank"), t.TempDir()
	if err := os.Mkdir(inside, 0o700); err != nil {
		t.Fatal(err)
	}
	content := []byte(strings.Repeat("saba", 1<<18))
	maps := map[string][]byte{}
	for _, path := range []string{filepath.Join(inside, "000001"), filepath.Join(outside, "000001")} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		m, err := unix.Mmap(int(f.Fd()), 0, len(content), unix.PROT_READ, unix.MAP_SHARED)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Munmap(m)
		if string(m) != string(content) {
			t.Fatal("it reads otherwise than it was written")
		}
		if got := mapped(t, path); got != 1024 {
			t.Fatalf("%d KiB of %s are in memory before, want all 1024", got, path)
		}
		maps[path] = m
	}
	dropPages([]string{inside})
	for path, m := range maps {
		want := int64(1024)
		if filepath.Dir(path) == inside {
			want = 0
		}
		if got := mapped(t, path); got != want {
			t.Errorf("%d KiB of %s are in memory afterwards, want %d", got, path, want)
		}
		if string(m) != string(content) {
			t.Errorf("%s reads otherwise afterwards", path)
		}
	}
}

func TestParseMapping(t *testing.T) {
	for line, want := range map[string]string{
		"7f0000000000-7f0000001000 r--s 00000000 fe:00 10440061                   /data/my samples/01M/index": "/data/my samples/01M/index",
		"7f0000000000-7f0000001000 r--p 00000000 fe:00 10440061                   /data/samples/01M/index":    "", // of this process alone: it may have been written to
		"7f0000000000-7f0000001000 rw-s 00000000 fe:00 10440061                   /data/samples/01M/index":    "",
		"c000000000-c000400000 rw-p 00000000 00:00 0 ":                                                        "",
		"7f0000001000-7f0000000000 r--s 00000000 fe:00 1 /x":                                                  "",
		"nonsense": "",
	} {
		from, to, path, ok := parseMapping(line)
		if ok != (want != "") || ok && (path != want || from != 0x7f0000000000 || to != 0x7f0000001000) {
			t.Errorf("%q is %x to %x of %q, %v; want %q", line, from, to, path, ok, want)
		}
	}
}

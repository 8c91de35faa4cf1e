package collect

import (
	"io/fs"
	"strings"
)

// The folders of a Linux host. Where there is no Linux, reading from them says so.
func procOrHost(f fs.FS) fs.FS { return orHost(f, "/proc") }
func sysOrHost(f fs.FS) fs.FS  { return orHost(f, "/sys") }
func rootOrHost(f fs.FS) fs.FS { return orHost(f, "/") }

func orHost(f fs.FS, dir string) fs.FS {
	if f != nil {
		return f
	}
	return hostFS(dir)
}

// A textReader is a file system that reads a whole file with fewer system calls than fs.ReadFile.
type textReader interface {
	readText(name string) (string, error)
}

// readText returns a file's text.
func readText(f fs.FS, name string) (string, error) {
	if r, ok := f.(textReader); ok {
		return r.readText(name)
	}
	b, err := fs.ReadFile(f, name)
	return string(b), err
}

// readTrimmed returns a file's text without surrounding blanks, and false when it cannot be
// read: for optional one-line files of sysfs and procfs.
func readTrimmed(f fs.FS, name string) (string, bool) {
	text, err := readText(f, name)
	return strings.TrimSpace(text), err == nil
}

// Segment returns s as a segment of a metric name, as every name of a device is one.
func Segment(s string) string { return sanitise(s) }

// sanitise returns s as a segment of a metric name: every character outside A-Z a-z 0-9 _ -
// becomes one underscore.
func sanitise(s string) string {
	clean := true
	for i := 0; i < len(s) && clean; i++ {
		clean = inName(rune(s[i]))
	}
	if clean {
		return s
	}
	return strings.Map(func(r rune) rune {
		if inName(r) {
			return r
		}
		return '_'
	}, s)
}

func inName(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '_' || r == '-'
}

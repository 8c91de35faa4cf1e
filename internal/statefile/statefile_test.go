package statefile

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestWhatIsWrittenIsRead(t *testing.T) {
	file := filepath.Join(t.TempDir(), "state")
	if b, err := Read(file); b != nil || err != nil {
		t.Errorf("of a file that is not there: %q, %v", b, err)
	}
	for _, content := range []string{"one", "", "another"} {
		if err := Write(file, []byte(content)); err != nil {
			t.Fatal(err)
		}
		if b, err := Read(file); b == nil || string(b) != content || err != nil {
			t.Errorf("Read = %q, %v, want %q", b, err, content)
		}
	}
	if info, err := os.Stat(file); err != nil || info.Mode() != 0o600 {
		t.Errorf("the file has mode %v, %v", info.Mode(), err)
	}
	if err := Write(file, make([]byte, Max+1)); err == nil {
		t.Error("more is written than is read")
	}
	if err := Write(filepath.Join(file, "x"), nil); err == nil {
		t.Error("a file has a file below it")
	}
	if files, err := filepath.Glob(filepath.Dir(file) + "/.*"); err != nil || len(files) > 0 {
		t.Errorf("left behind: %v, %v", files, err)
	}
}

// In a folder that everybody writes to, what somebody else prepared is not ours.
func TestWhatIsNotOursIsRefused(t *testing.T) {
	dir := t.TempDir()
	file, ours := filepath.Join(dir, "state"), filepath.Join(dir, "ours")
	if err := Write(ours, []byte("{}")); err != nil {
		t.Fatal(err)
	}
	others := "/etc/passwd" // of root
	if os.Geteuid() == 0 {
		others = filepath.Join(dir, "others")
		if err := errors.Join(Write(others, nil), os.Chown(others, 65534, 65534)); err != nil {
			t.Fatal(err)
		}
	}
	for what, prepare := range map[string]func() error{
		"a symlink to a file of ours": func() error { return os.Symlink(ours, file) },
		"a folder":                    func() error { return os.Mkdir(file, 0o700) },
		"too much":                    func() error { return os.WriteFile(file, make([]byte, Max+1), 0o600) },
	} {
		if err := prepare(); err != nil {
			t.Fatal(err)
		}
		if b, err := Read(file); err == nil {
			t.Errorf("%s is read: %.20q", what, b)
		}
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Read(others); err == nil || !strings.Contains(err.Error(), "is not a file of this user") {
		t.Errorf("a file of somebody else: %v", err)
	}
}

func TestNames(t *testing.T) {
	if got := Name("p", nil); got != "p-da39a3ee5e6b4b0d3255bfef95601890afd80709" {
		t.Errorf("Name = %s", got)
	}
	for want, env := range map[string]map[string]string{"/w": {"MACKEREL_PLUGIN_WORKDIR": "/w", "TMPDIR": "/t"}, "/t": {"TMPDIR": "/t"}, "/tmp": {}} {
		if got := Dir(func(k string) string { return env[k] }); got != want {
			t.Errorf("Dir = %s, want %s", got, want)
		}
	}
}

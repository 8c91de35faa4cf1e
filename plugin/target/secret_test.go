package target

import (
	"flag"
	"os"
	"path/filepath"
	"testing"
)

func TestSecret(t *testing.T) {
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("from file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TEST_PASSWORD", "from environment")
	for _, tt := range []struct {
		args []string
		want string
		bad  bool
	}{
		{nil, "from environment", false},
		{[]string{"-password-file", file}, "from file", false},
		{[]string{"-password", "from flag", "-password-file", file}, "from flag", false},
		{[]string{"-password-file", file + "x"}, "", true},
		{[]string{"-password-file", "/dev/zero"}, "", true},
	} {
		var s Secret
		fs := flag.NewFlagSet("", flag.ContinueOnError)
		s.AddFlags(fs, "password", "TEST_PASSWORD")
		if err := fs.Parse(tt.args); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Read(t.Context()); (err != nil) != tt.bad || err == nil && got != tt.want {
			t.Errorf("%q: Read = %q, %v, want %q", tt.args, got, err, tt.want)
		}
	}
}

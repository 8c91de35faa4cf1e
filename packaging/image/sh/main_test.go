package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRun(t *testing.T) {
	dir := t.TempDir()
	script := filepath.Join(dir, "script")
	if err := os.WriteFile(script, []byte("#!/bin/sh\nset -eu\nfor a in \"$@\"; do printf '%s\\n' \"$a\"; done\nexit 3\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PORT", "4000")
	for name, tt := range map[string]struct {
		args   []string
		stdin  string
		stdout string
		stderr string // a part of it
		code   int
	}{
		"a line over several":       {[]string{"-c", "echo one \\\n  -url='http://localhost:4000/?a=b&c' \\\n  \"two words\""}, "", "one -url=http://localhost:4000/?a=b&c two words\n", "", 0},
		"variables":                 {[]string{"-c", "echo http://localhost:$PORT/ ${NONE:-none} $((1+2))"}, "", "http://localhost:4000/ none 3\n", "", 0},
		"an assignment":             {[]string{"-c", `A=1; echo "$A"`}, "", "1\n", "", 0},
		"a condition and a pipe":    {[]string{"-c", `if [ -n "$PORT" ] && printf 'a\nb\n' | while read -r l; do echo "<$l>"; done; then echo yes; fi`}, "", "<a>\n<b>\nyes\n", "", 0},
		"a function":                {[]string{"-c", `f() { echo "$1-$#"; }; f x y`}, "", "x-2\n", "", 0},
		"what is in the way":        {[]string{"-c", "trap 'echo bye' EXIT; exit 7"}, "", "bye\n", "", 7},
		"the code of the last":      {[]string{"-c", "false"}, "", "", "", 1},
		"set -e":                    {[]string{"-e", "-c", "false; echo no"}, "", "", "", 1},
		"set -u":                    {[]string{"-u", "-c", "echo $NONE"}, "", "", "NONE: unbound variable", 1},
		"arguments":                 {[]string{"-c", `echo "$2 $1"`, "name", "a", "b"}, "", "b a\n", "", 0},
		"a missing program":         {[]string{"-c", "no-such-program-here"}, "", "", "no-such-program-here", 127},
		"no program":                {[]string{"-c", script}, "", "", "permission denied", 127},
		"a program's code":          {[]string{"-c", "/bin/sh -c 'exit 42'"}, "", "", "", 42},
		"no shell's language":       {[]string{"-c", "if then"}, "", "", "sh: ", 2},
		"no command":                {[]string{"-c"}, "", "", "-c needs a command", 2},
		"no such option":            {[]string{"-9", "-c", "echo"}, "", "", "sh: ", 2},
		"a script":                  {[]string{script, "a", "b c"}, "", "a\nb c\n", "", 3},
		"a missing script":          {[]string{filepath.Join(dir, "none")}, "", "", "none: no such file", 127},
		"standard input":            {nil, "echo one\necho two\n", "one\ntwo\n", "", 0},
		"standard input, by name":   {[]string{"-s", "a"}, "echo $1\n", "a\n", "", 0},
		"input of the command read": {[]string{"-c", "read -r a; echo \"got $a\""}, "line\n", "got line\n", "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			code := run(t.Context(), tt.args, strings.NewReader(tt.stdin), &stdout, &stderr)
			if code != tt.code || stdout.String() != tt.stdout || !strings.Contains(stderr.String(), tt.stderr) || tt.stderr == "" && stderr.Len() > 0 {
				t.Errorf("run(%q) = %d, stdout %q, stderr %q; want %d, %q, %q", tt.args, code, &stdout, &stderr, tt.code, tt.stdout, tt.stderr)
			}
		})
	}
}

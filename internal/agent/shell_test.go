package agent

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A shell for tests leaves a mark when it is asked. It returns the PATH on which it is the shell, and
// what says whether it was asked since the last time.
func markingShell(t *testing.T) (path string, asked func() bool) {
	t.Helper()
	dir := t.TempDir()
	mark := filepath.Join(dir, "asked")
	program(t, filepath.Join(dir, "sh"), "#!/bin/sh\n: >'"+mark+"'\nexec /bin/sh \"$@\"\n")
	return dir + ":/usr/bin:/bin", func() bool { return os.Remove(mark) == nil }
}

// program writes a file that may be executed.
func program(t *testing.T, path, text string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o755)); err != nil {
		t.Fatal(err)
	}
}

// A line that is started without a shell leaves what a shell would have left, and every other line is the shell's.
func TestShellIsSparedUnseen(t *testing.T) {
	path, asked := markingShell(t)
	dir := t.TempDir()
	t.Chdir(dir)
	const say = "#!/bin/sh\nfor a in \"$0\" \"$@\"; do printf '[%s]' \"$a\"; done\necho err >&2\nexit 3\n"
	program(t, "say", say)
	program(t, "sub/say", say)
	program(t, "bin/say-it", say)
	program(t, "bin/cat", say)
	program(t, "bin/test", say)
	program(t, "bin/true", say)
	program(t, "bin/export", say)
	program(t, "bin/a=b-c", say)
	program(t, "a=b/say", say)
	program(t, "two words/say-two", say)
	program(t, "sub-folder/sub-folder", say)
	program(t, "first/say-it/in", say)
	program(t, "headless", "echo no head; exit 4\n")
	program(t, "bin/headless-too", "echo no head; exit 4\n")
	program(t, "lost", "#!/no/such/interpreter\n")
	program(t, "foreign", "\x7fELF what runs elsewhere")
	program(t, "killed", "#!/bin/sh\nkill -9 $$\n")
	program(t, "plain-data", "data\n")
	program(t, "other/plain-data", say)
	if err := os.Chmod("plain-data", 0o644); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		line   string
		env    []string // besides a PATH that ends with the folder bin
		direct bool
	}{
		"a path":                                 {line: dir + "/say a b", direct: true},
		"blanks around and between":              {line: " \t" + dir + "/say  a\tb ", direct: true},
		"a path from the working folder":         {line: "./say a", direct: true},
		"another one":                            {line: "sub/say a", direct: true},
		"a name on the path":                     {line: "say-it a", direct: true},
		"harmless signs":                         {line: "./say -a --b=c key=value x:y,z http://127.0.0.1:80/a_b 50% +1 a@b.c", direct: true},
		"an exit status and no output":           {line: "/bin/false", direct: true},
		"a program that dies by a signal":        {line: "./killed", direct: true},
		"the environment":                        {line: "/usr/bin/env", env: []string{"A=1", "A=2"}, direct: true},
		"the working folder under its own name":  {line: "/usr/bin/env", env: []string{"PWD=" + dir + "/sub/.."}, direct: true},
		"a working folder that is another":       {line: "/usr/bin/env", env: []string{"PWD=/usr"}, direct: true},
		"a working folder that is not there":     {line: "/usr/bin/env", env: []string{"PWD=/no/such/folder"}, direct: true},
		"single quotes":                          {line: "./say 'a b'"},
		"double quotes":                          {line: `./say "a b"`},
		"a backslash":                            {line: `./say a\ b`},
		"a variable":                             {line: "./say $A", env: []string{"A=1 2"}},
		"a command's output":                     {line: "./say `echo 1 2`"},
		"two commands":                           {line: "./say a; ./say b"},
		"a newline":                              {line: "./say a\n./say b"},
		"a newline at the end":                   {line: "./say a\n"},
		"both of two":                            {line: "./say a && ./say b"},
		"one or the other":                       {line: "./say a || ./say b"},
		"a pipe":                                 {line: "./say a | cat"},
		"a file to write":                        {line: "./say a >out"},
		"a file to read":                         {line: "./say a </dev/null"},
		"a pattern":                              {line: "./say s*"},
		"one of a character":                     {line: "./say ?ay"},
		"one of a range":                         {line: "./say [s]ay"},
		"a home":                                 {line: "./say ~", env: []string{"HOME=/home/me"}},
		"a comment":                              {line: "./say a # b"},
		"a subshell":                             {line: "(./say a)"},
		"a group":                                {line: "{ ./say a; }"},
		"braces":                                 {line: "./say {a,b}"},
		"a negation":                             {line: "! ./say a"},
		"other alphabets":                        {line: "./say 鯖"},
		"what is no text":                        {line: "./say \xff"},
		"a variable before":                      {line: "A=1 ./say a"},
		"a variable alone":                       {line: "A=1"},
		"a sign of equality in the name":         {line: "a=b-c"},
		"a sign of equality in the path":         {line: "a=b/say"},
		"an option of the shell":                 {line: "-x"},
		"another option":                         {line: "+x"},
		"an argument of the shell's own":         {line: "exit 5"},
		"what is built in":                       {line: "echo a -n"},
		"what is built in, and on the path too":  {line: "test a = b"},
		"what is built in and fails":             {line: "export -p"},
		"a script that is read":                  {line: ". ./headless"},
		"nothing":                                {line: ":"},
		"a word of the language":                 {line: "if"},
		"a loop":                                 {line: "while false"},
		"a name that may be built in somewhere":  {line: "cat a"},
		"a script without a first line":          {line: "./headless a"},
		"the same on the path":                   {line: "headless-too a"},
		"a script whose interpreter is missing":  {line: "./lost"},
		"a program for another machine":          {line: "./foreign"},
		"a folder":                               {line: "./sub"},
		"a file that may not be executed":        {line: "./plain-data"},
		"a file below a file":                    {line: "./say/more"},
		"a path that leads nowhere":              {line: "/no/such/program a"},
		"a name that is not on the path":         {line: "no-such-program a"},
		"a folder on the path":                   {line: "sub-folder", env: []string{"PATH=" + path + ":" + dir}},
		"what may not be executed is passed by":  {line: "plain-data", env: []string{"PATH=" + path + ":" + dir + ":" + dir + "/other"}},
		"a path from the working folder on PATH": {line: "say-it", env: []string{"PATH=" + path + ":bin"}},
		"the working folder itself on PATH":      {line: "plain-data", env: []string{"PATH=" + path + "::" + dir + "/other"}},
		"a sign of dash's own on PATH":           {line: "say-it", env: []string{"PATH=" + path + ":" + dir + "/bin%func:" + dir + "/bin"}},
		"functions of a bash":                    {line: "./say a", env: []string{"BASH_FUNC_./say%%=() { echo no; }"}},
		"options of a bash":                      {line: "./say a", env: []string{"SHELLOPTS=xtrace"}},
		"a folder of that name before it":        {line: "say-it a", env: []string{"PATH=" + path + ":" + dir + "/first:" + dir + "/bin"}, direct: true},
		"a blank in a folder on PATH":            {line: "say-two a", env: []string{"PATH=" + path + ":" + dir + "/two words"}, direct: true},
		"a slash too many on PATH":               {line: "say-it a", env: []string{"PATH=" + path + ":" + dir + "//bin/"}, direct: true},
	} {
		t.Run(name, func(t *testing.T) {
			env := append([]string{"PATH=" + path + ":" + dir + "/bin"}, tt.env...)
			r, err := runCommand(t.Context(), script(tt.line), env)
			if viaShell := asked(); err != nil || viaShell == tt.direct {
				t.Errorf("runCommand asked a shell: %v, error %v, want a shell: %v", viaShell, err, !tt.direct)
			}
			sh, err := lookPath("sh", env)
			if err != nil {
				t.Fatal(err)
			}
			var stdout, stderr bytes.Buffer
			want := exec.Cmd{Path: sh, Args: []string{"sh", "-c", tt.line}, Env: env, Stdout: &stdout, Stderr: &stderr}
			_ = want.Run() // the exit code says it
			code := want.ProcessState.ExitCode()
			if !asked() {
				t.Fatal("the shell of this test leaves no mark")
			}
			if strings.Contains(tt.line, "killed") {
				code = 137
				stderr.Reset() // where a shell may say so
			}
			if got, want := sortedLines(r.Stdout), sortedLines(stdout.Bytes()); got != want || string(r.Stderr) != stderr.String() || r.ExitCode != code {
				t.Errorf("runCommand = stdout %q stderr %q code %d, a shell gives %q %q %d", got, r.Stderr, r.ExitCode, want, stderr.String(), code)
			}
		})
	}
}

// sortedLines returns an output, which may be an environment in any order, without what a bash adds to one.
func sortedLines(out []byte) string {
	lines := strings.SplitAfter(string(out), "\n")
	lines = slices.DeleteFunc(lines, func(l string) bool {
		return strings.HasPrefix(l, "_=") || strings.HasPrefix(l, "SHLVL=") || strings.HasPrefix(l, "OLDPWD")
	})
	slices.Sort(lines)
	return strings.Join(lines, "")
}

// No file's name and no argument holds a NUL: nothing starts, and nobody's arguments are cut there.
func TestCommandWithNUL(t *testing.T) {
	path, asked := markingShell(t)
	r, err := runCommand(t.Context(), script("/bin/echo a\x00b"), []string{"PATH=" + path})
	if err == nil || r.ExitCode != exitCannotStart || asked() {
		t.Errorf("runCommand = %+v, %v, want code %d and an error", r, err, exitCannotStart)
	}
}

// What is started without a shell leads a group, ends in time and runs as whom it should, as what a shell starts.
func TestSparedShellKeepsTheRest(t *testing.T) {
	path, asked := markingShell(t)
	dir := t.TempDir()
	program(t, dir+"/group", "#!/bin/sh\ncut -d' ' -f5 /proc/$$/stat | grep -qx $$ && echo yes\n")
	r, err := runCommand(t.Context(), script(dir+"/group"), []string{"PATH=" + path})
	if err != nil || string(r.Stdout) != "yes\n" || asked() {
		t.Errorf("its own group: %q, %v", r.Stdout, err)
	}
	c := script("/bin/sleep 60")
	c.Timeout = 1
	r, err = runCommand(t.Context(), c, []string{"PATH=" + path})
	if _, ok := errors.AsType[*TimeoutError](err); !ok || r.ExitCode != 143 || asked() {
		t.Errorf("a timeout: code %d, %v", r.ExitCode, err)
	}
	if os.Geteuid() != 0 {
		return // only root runs as somebody else without sudo
	}
	program(t, dir+"/mine", "#!/bin/sh\necho mine\n")
	if err := errors.Join(os.Chmod(dir, 0o755), os.Chmod(dir+"/mine", 0o700)); err != nil {
		t.Fatal(err)
	}
	c = script("/usr/bin/id -un")
	c.User = "nobody"
	if r, err = runCommand(t.Context(), c, []string{"PATH=/usr/bin:/bin"}); err != nil || string(r.Stdout) != "nobody\n" {
		t.Errorf("as nobody: %q, %v", r.Stdout, err)
	}
	c = script(dir + "/mine")
	c.User = "nobody"
	if r, err = runCommand(t.Context(), c, []string{"PATH=/usr/bin:/bin"}); err != nil || r.ExitCode != exitNotExecutable || len(r.Stderr) == 0 {
		t.Errorf("what nobody may not execute: code %d stderr %q, %v", r.ExitCode, r.Stderr, err)
	}
}

// The words of a line that is taken for plain words are those that a shell makes of it.
func FuzzPlainWords(f *testing.F) {
	for _, line := range []string{"/bin/x a b", " x-y\ta=b  -c", "~a/b", "a_b $HOME", "a-b #c", "x2 y;z", "-x/y", "./a [b]", "a-b {c,d}", "A=b/c", "3>x/y", "x/y\r", "x/y\x00z", "x/y\nz"} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		words := plainWords(line)
		if words == nil {
			return
		}
		sh := exec.CommandContext(t.Context(), "sh", "-c", "set -- "+line+`; for w in "$@"; do printf '%s\n' "$w"; done`)
		if strings.HasPrefix(words[0], "-") || strings.HasPrefix(words[0], "+") {
			t.Fatalf("plainWords(%q) = %q, where a shell sees an option", line, words)
		}
		out, err := sh.CombinedOutput()
		if want := strings.Join(words, "\n") + "\n"; err != nil || string(out) != want {
			t.Errorf("plainWords(%q) = %q; a shell makes of it %q, %v", line, words, out, err)
		}
	})
}

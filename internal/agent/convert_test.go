package agent

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/saba-monitor/saba"
)

const othersFile = `# the key of the shop
apikey = "abc"
pidfile = "/var/run/other.pid" # where the script looks
roles = [ "shop:web", # front
  "shop:db" ]
verbos = true

[connection]
post_metrics_retry_max = 60
# kept: whom does a comment belong to?

[Interfaces]
use_adapter = true
ignore = "^br"
[plugin.metrics.mysql]
command = """mackerel-plugin-mysql \
  -user root"""
memo = "not of metrics"
[plugin.foo.bar]
command = "x"`

func TestConvertKeepsEverythingThatHasAnEffect(t *testing.T) {
	c, err := convert("f", []byte(othersFile), knownInside)
	if err != nil {
		t.Fatal(err)
	}
	want := `# the key of the shop
apikey = "abc"
roles = [ "shop:web", # front
  "shop:db" ]

# kept: whom does a comment belong to?

[Interfaces]
ignore = "^br"
[plugin.metrics.mysql]
command = """mackerel-plugin-mysql \
  -user root"""
`
	if string(c.Text) != want {
		t.Errorf("the text is\n%s\nwant\n%s", c.Text, want)
	}
	equal(t, "left out", c.LeftOut, []string{"f:3: pidfile", "f:6: verbos", "f:8: connection", "f:13: Interfaces.use_adapter", "f:18: plugin.metrics.mysql.memo", "f:19: plugin.foo.bar"})
	if c.Config.APIKey != "abc" || len(c.Config.Roles) != 2 || len(c.Config.Metrics) != 1 || c.Config.InterfacesIgnore == nil || len(c.Config.Notes) != 0 {
		t.Errorf("config = %+v", c.Config)
	}

	text, err := c.With("f", Settings{APIBase: `http://h/"`, APIKeyFile: "/etc/saba/key"})
	if err != nil {
		t.Fatal(err)
	}
	if got := string(text); !strings.HasPrefix(got, "apikey_file = \"/etc/saba/key\"\napibase = \"http://h/\\\"\"\n# the key of the shop\nroles =") {
		t.Errorf("with settings of our own the text is\n%s", got)
	}
}

// knownInside takes in what is called in-NAME, but for those with the word -x.
func knownInside(kind string, command []string) []string {
	name, ok := strings.CutPrefix(command[0], "in-")
	if !ok || slices.Contains(command, "-x") {
		return nil
	}
	return append([]string{name}, command[1:]...)
}

func TestConvertTakesInWhatRunsInsideTheAgent(t *testing.T) {
	for name, tt := range map[string]struct{ before, after string }{
		"a word":                     {`command = "in-redis"`, `plugin = 'redis'`},
		"a comment stays":            {`  Command = "in-redis -port 1" # ours`, `  plugin = 'redis -port 1' # ours`},
		"an array":                   {"command = [\n 'in-redis', # c\n '-a b', \"it's\", '' ]", `plugin = "redis '-a b' \"it's\" ''"`},
		"quotes and patterns":        {`command = '''in-log -p 'a|b\d*' -f "/var/log/a b"'''`, `plugin = "log -p 'a|b\\d*' -f '/var/log/a b'"`},
		"a backslash in a word":      {`command = 'in-log -p a\*b'`, `plugin = 'log -p a*b'`},
		"its environment stays":      {"command = 'in-redis'\nenv = { A = \"b\" }", "plugin = 'redis'\nenv = { A = \"b\" }"},
		"not with a user":            {"user = 'x'\ncommand = 'in-redis'", ""},
		"not with an unknown flag":   {`command = 'in-redis -x'`, ""},
		"not what is unknown":        {`command = 'redis'`, ""},
		"not a pattern of files":     {`command = 'in-log -f /var/log/*.log'`, ""},
		"not a variable":             {`command = 'in-log -f "$HOME/x"'`, ""},
		"not two commands":           {`command = 'in-log; in-redis'`, ""},
		"not a file":                 {`command = 'in-log 2>/dev/null'`, ""},
		"not two lines":              {"command = '''in-log\nx'''", ""},
		"not a line that goes on":    {"command = '''in-log \\\nx'''", ""},
		"not an open quote":          {`command = 'in-log "a'`, ""},
		"not with a variable before": {`command = 'A=b in-log'`, ""},
		"not a quoted key":           {`"command" = 'in-log'`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			const head = "[plugin.metrics.a]\n"
			c, err := convert("f", []byte(head+tt.before), knownInside)
			if err != nil {
				t.Fatal(err)
			}
			want, inside := head+tt.after, 1
			if tt.after == "" {
				want, inside = head+tt.before, 0
			}
			if string(c.Text) != want || len(c.Inside) != inside || len(c.Config.Metrics[0].Bundled) > 0 != (inside == 1) {
				t.Errorf("the text is %q, inside is %q, the plugin %+v; want %q", c.Text, c.Inside, c.Config.Metrics[0], want)
			}
		})
	}
	c, err := convert("f", []byte("\n[plugin.checks.a]\ncheck_interval = 5\ncommand = 'in-load -w 1'\n[plugin.metadata.a]\ncommand = 'in-load'\n"), knownInside)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "inside", c.Inside, []string{"f:4: plugin.checks.a"})
	equal(t, "words", c.Config.Checks[0].Bundled, []string{"load", "-w", "1"})
}

// Every short line of the characters that matter is split as the shell splits it, or not at all.
func TestShellWordsAreThoseOfTheShell(t *testing.T) {
	lines := []string{""}
	for begin, length := 0, 1; length <= 5; length++ {
		end := len(lines)
		for _, line := range lines[begin:end] {
			for _, c := range "a '\"\\$*" {
				lines = append(lines, line+string(c))
			}
		}
		begin = end
	}
	var script, want strings.Builder
	for _, line := range lines {
		if words := shellWords(line); words != nil {
			fmt.Fprintf(&script, "printf '%%s\\n' %s '<end>'\n", line)
			fmt.Fprintf(&want, "%s\n<end>\n", strings.Join(words, "\n"))
		}
	}
	sh := exec.Command("sh")
	sh.Stdin = strings.NewReader(script.String())
	got, err := sh.Output()
	if err != nil || strings.Count(script.String(), "\n") < 1000 {
		t.Fatalf("sh = %v, with %d lines", err, strings.Count(script.String(), "\n"))
	}
	if string(got) != want.String() {
		t.Errorf("the shell has\n%s\nwant\n%s", got, want.String())
	}
}

func TestConvertRefusesWhatWouldBeWrongHereToo(t *testing.T) {
	for name, tt := range map[string]struct{ content, want string }{
		"not TOML":                      {"a = \n", "f:1: "},
		"a wrong value":                 {"podfile = 1\nroles = [\"shop\"]\n", "f:2: roles are wrong: "},
		"a key within an inline table":  {"plugin.metrics.a = { command = \"x\", tiemout = 3 }\n", `f:1: unknown key "plugin.metrics.a.tiemout"`},
		"a plugin that is left nothing": {"[plugin.metrics.a]\ncomand = \"x\"\n", "f:1: plugin.metrics.a has no command"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := convert("f", []byte(tt.content), knownInside)
			if err == nil || !strings.HasPrefix(err.Error(), tt.want) || !errors.Is(err, saba.ErrInvalid) {
				t.Errorf("convert = %v, want an error that begins with %q", err, tt.want)
			}
		})
	}
	if _, err := ConvertFile(filepath.Join(t.TempDir(), "none"), knownInside); !errors.Is(err, saba.ErrInvalid) {
		t.Errorf("ConvertFile of no file = %v", err)
	}
}

func TestInitConfig(t *testing.T) {
	for name, tt := range map[string]struct {
		before   string // "-" is no file
		settings Settings
		kept     bool
		want     string // after it
	}{
		"a new file":        {"-", Settings{APIKey: "k"}, false, "apikey = \"k\"\n"},
		"with an address":   {"-", Settings{APIKeyFile: "/k", APIBase: "http://h"}, false, "apikey_file = \"/k\"\napibase = \"http://h\"\n"},
		"one without a key": {"# mine\n[disks]\nignore = \"x\"\n", Settings{APIKey: "k"}, false, "apikey = \"k\"\n# mine\n[disks]\nignore = \"x\"\n"},
		"one with a key":    {"apikey = \"old\"\n", Settings{APIKey: "k"}, true, "apikey = \"old\"\n"},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "made", "agent.toml")
			if tt.before != "-" {
				if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(file, []byte(tt.before), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			kept, err := InitConfig(file, tt.settings)
			b, _ := os.ReadFile(file)
			if err != nil || kept != tt.kept || string(b) != tt.want {
				t.Errorf("InitConfig = %v, %v; the file is %q, want %v and %q", kept, err, b, tt.kept, tt.want)
			}
			if info, err := os.Stat(file); err != nil || !kept && info.Mode() != 0o600 {
				t.Errorf("mode = %v, %v, want 0600", info.Mode(), err)
			}
			left, err := filepath.Glob(filepath.Join(filepath.Dir(file), ".*"))
			if err != nil || len(left) > 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
		})
	}
	for name, s := range map[string]Settings{
		"a key of two lines":       {APIKey: "a\nb"},
		"an address that is none":  {APIKey: "a", APIBase: "h"},
		"a file name that is none": {APIKeyFile: "a\n[b]"},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "agent.toml")
			if _, err := InitConfig(file, s); !errors.Is(err, saba.ErrInvalid) {
				t.Errorf("InitConfig = %v, want %v", err, saba.ErrInvalid)
			}
			if _, err := os.Stat(file); err == nil {
				t.Error("a file was made")
			}
		})
	}
	wrong := filepath.Join(t.TempDir(), "agent.toml")
	if err := os.WriteFile(wrong, []byte("x = 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := InitConfig(wrong, Settings{APIKey: "k"}); !errors.Is(err, saba.ErrInvalid) {
		t.Errorf("InitConfig of a file with a mistake = %v", err)
	}
	if b, _ := os.ReadFile(wrong); string(b) != "x = 1\n" {
		t.Errorf("the file became %q", b)
	}
}

// A link is kept, and what it points to is replaced.
func TestWriteConfigFollowsALink(t *testing.T) {
	dir := t.TempDir()
	real, link := filepath.Join(dir, "real"), filepath.Join(dir, "link")
	if err := os.WriteFile(real, []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("real", link); err != nil {
		t.Fatal(err)
	}
	if err := WriteConfig(link, []byte("new")); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(real); err != nil || string(b) != "new" {
		t.Errorf("the file = %q, %v", b, err)
	}
	if to, err := os.Readlink(link); err != nil || to != "real" {
		t.Errorf("the link points to %q, %v", to, err)
	}
}

// Whatever another agent's file holds: cut into lines it is still itself, and what is made of it
// has no mistakes and says the same.
func FuzzConvert(f *testing.F) {
	f.Add([]byte(othersFile))
	f.Add([]byte(everyKey))
	f.Add([]byte("[plugin.checks.a]\ncommand = \"in-log -p 'a|b' \\\"c d\\\" e\\\\ f\"\n"))
	f.Add([]byte("[plugin.metrics.a]\ncommand = ['in-a', '', \"it's\", 'a b', '\"']\n"))
	f.Add([]byte("\ufeffa.b = 1\r\n[c]\r\n\"d e\" = '''\n'''\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := convert("f", b, knownInside)
		if err != nil {
			return
		}
		var whole []byte
		for _, e := range expressions(b) {
			whole = append(whole, b[e.start:e.end]...)
		}
		if !bytes.Equal(whole, b) {
			t.Errorf("the pieces of %q are %q", b, whole)
		}
		was := newLoader(LoadOptions{})
		was.read("f", b, false)
		for _, m := range c.Config.Metrics {
			if args := was.metrics[m.Name].Command.Args; len(m.Bundled) > 0 && len(args) > 0 && args[0] != "sh" && !slices.Equal(m.Bundled[1:], args[1:]) {
				t.Errorf("the command %q became the plugin %q", args, m.Bundled)
			}
		}
		again, err := convert("f", c.Text, knownInside)
		if err != nil || len(again.LeftOut) > 0 || !reflect.DeepEqual(again.Text, c.Text) {
			t.Errorf("%q became %q, which becomes %q without %q, %v", b, c.Text, again.Text, again.LeftOut, err)
		}
	})
}

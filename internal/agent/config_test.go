package agent

import (
	"errors"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/saba-monitor/saba"
)

// load writes content to a file of its own and loads it.
func load(t *testing.T, content string) (Config, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "saba.toml")
	if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return Load(file)
}

const everyKey = `
apikey = "key"
apibase = "https://saba.example.com"
root = "/var/lib/other"
pidfile = "/run/x.pid"
roles = ["shop:web", "shop: db"]
verbose = true
silent = false
diagnostic = true
display_name = "web 1"
disable_http_keep_alive = true
http_proxy = "http://proxy:3128"
https_proxy = "direct"
cloud_platform = "none"

[host_status]
on_start = "working"
on_stop = "poweroff"

[filesystems]
ignore = "/dev/ram.*"
use_mountpoint = true

[disks]
ignore = "^loop"

[interfaces]
ignore = "^br-"
use_adapter = false

[connection]
post_metrics_buffer_size = 360

[plugin.metrics.queue]
command = "queue --all"
user = "nobody"
env = { " A " = "1", B = "x=y", "" = "dropped" }
timeout_seconds = 5
custom_identifier = "db-1"
include_pattern = "^a"
exclude_pattern = "b$"
use_plugin_timestamp = true

[plugin.metrics.array]
command = ["ruby", "-e", "1"]

[plugin.checks.ssh]
command = "check-ssh"
check_interval = "10m"
notification_interval = 60
max_check_attempts = 3
prevent_alert_auto_close = true
memo = "port 22"
custom_identifier = "db-1"
action = { command = "notify", user = "nobody", timeout_seconds = 3, env = { X = "1" } }

[plugin.metadata.facts]
command = ["facts"]
execution_interval = "1h30m"
`

func TestEveryKeyIsKnown(t *testing.T) {
	c, err := load(t, everyKey)
	if err != nil {
		t.Fatal(err)
	}
	if c.APIKey != "key" || c.APIBase != "https://saba.example.com" || c.Root != "/var/lib/other" || !c.Verbose || c.DisplayName != "web 1" ||
		!c.DisableKeepAlive || c.HTTPProxy != "http://proxy:3128" || c.HTTPSProxy != "direct" || c.CloudPlatform != "none" ||
		c.OnStart != saba.Working || c.OnStop != saba.Poweroff || !c.UseMountpoint ||
		c.FilesystemsIgnore.String() != "/dev/ram.*" || c.DisksIgnore.String() != "^loop" || c.InterfacesIgnore.String() != "^br-" {
		t.Errorf("Load = %+v", c)
	}
	equal(t, "roles", c.Roles, []saba.RoleName{{Service: "shop", Role: "web"}, {Service: "shop", Role: "db"}})
	equal(t, "checks", c.Checks, []string{"ssh"})
	equal(t, "metadata", c.Metadata, []string{"facts"})
	if len(c.Metrics) != 2 || c.Metrics[0].Name != "array" || c.Metrics[1].Name != "queue" {
		t.Fatalf("metric plugins = %+v, want array and queue", c.Metrics)
	}
	equal(t, "command of array", c.Metrics[0].Command.Args, []string{"ruby", "-e", "1"})
	q := c.Metrics[1]
	equal(t, "command of queue", q.Command.Args, []string{"sh", "-c", "queue --all"})
	equal(t, "env of queue", q.Command.Env, []string{"A=1", "B=x=y"})
	if q.Command.User != "nobody" || q.Command.Timeout != 5*time.Second || q.CustomIdentifier != "db-1" || !q.UsePluginTime || q.Include.String() != "^a" || q.Exclude.String() != "b$" {
		t.Errorf("queue = %+v", q)
	}
	notes := strings.Join(c.Notes, "\n")
	for _, part := range []string{"pidfile", "diagnostic", "[connection]", "check plugins yet: ssh", "metadata plugins yet: facts"} {
		if !strings.Contains(notes, part) {
			t.Errorf("notes have no %q:\n%s", part, notes)
		}
	}
}

func TestMistakesAreNamedWithTheirLine(t *testing.T) {
	for name, tt := range map[string]struct {
		content string
		want    []string // the whole error, line by line, after the file's name
	}{
		"an unknown key":                  {"apikey = \"k\"\nintervall = \"1m\"\n", []string{`:2: unknown key "intervall"`}},
		"one that is nearly known":        {"podfile = \"x\"\n", []string{`:1: unknown key "podfile": did you mean "pidfile"?`}},
		"in a table":                      {"[filesystems]\nuse_mntpoint = true\n", []string{`:2: unknown key "filesystems.use_mntpoint": did you mean "use_mountpoint"?`}},
		"an unknown table":                {"[plugins.metrics.a]\ncommand = 'x'\n", []string{`:1: unknown key "plugins": did you mean "plugin"?`}},
		"an unknown kind of plugin":       {"[plugin.check.a]\ncommand = 'x'\n", []string{`:1: unknown key "plugin.check": did you mean "checks"?`}},
		"an unknown key of a plugin":      {"[plugin.metrics.a]\ncommand = 'x'\ntimeout = 3\n", []string{`:3: unknown key "plugin.metrics.a.timeout"`}},
		"a key of another kind of plugin": {"[plugin.metrics.a]\ncommand = 'x'\nmemo = 'y'\n", []string{`:3: plugin.metrics.a.memo has no meaning there: "memo" belongs to plugin.checks`}},
		"a plugin without a command":      {"\n[plugin.metrics.a]\nuser = 'x'\n", []string{`:2: plugin.metrics.a has no command`}},
		"an empty command":                {"[plugin.metrics.a]\ncommand = []\n[plugin.metrics.b]\ncommand = ' '\n", []string{`:2: plugin.metrics.a.command is empty: write the command to run`, `:4: plugin.metrics.b.command is empty: write the command to run`}},
		"a command that is a number":      {"plugin.metrics.a.command = 3\n", []string{`:1: plugin.metrics.a.command must be a string or an array of strings, not an integer`}},
		"a wrong type":                    {"apikey = 3\nverbose = \"yes\"\nroles = \"a:b\"\n", []string{`:1: apikey must be a string, not an integer`, `:2: verbose must be true or false, not a string`, `:3: roles must be an array of strings, not a string`}},
		"a table that is none":            {"host_status = \"working\"\n", []string{`:1: host_status must be a table, not a string`}},
		"a plugin that is none":           {"[plugin]\nmetrics = 1\nchecks = { a = 1 }\n", []string{`:2: plugin.metrics must be a table of plugins, not an integer`, `:3: plugin.checks.a must be the table of one plugin, not an integer`}},
		"an empty pattern":                {"[disks]\nignore = \"\"\n", []string{`:2: disks.ignore is an empty pattern, which matches everything: remove the line, or write a pattern`}},
		"a bad pattern":                   {"[disks]\nignore = \"a(\"\n", []string{":2: disks.ignore is not a pattern in the syntax of RE2: missing closing ): `a(`"}},
		"a bad status":                    {"[host_status]\non_stop = \"off\"\n", []string{`:2: host_status.on_stop must be one of working, standby, maintenance, poweroff, not "off"`}},
		"a bad platform":                  {"cloud_platform = \"aws\"\n", []string{`:1: cloud_platform must be one of auto, none, ec2, gce, azurevm, not "aws"`}},
		"a bad address":                   {"apibase = \"saba.example.com\"\n", []string{`:1: apibase must be an address such as https://saba.example.com, not "saba.example.com"`}},
		"a negative timeout":              {"[plugin.metrics.a]\ncommand = 'x'\ntimeout_seconds = -1\n", []string{`:3: plugin.metrics.a.timeout_seconds must be 0 to 86400 seconds, not -1`}},
		"an interval of seconds":          {"[plugin.checks.a]\ncommand = 'x'\ncheck_interval = '90s'\n", []string{`:3: plugin.checks.a.check_interval must be a whole number of minutes and not negative, not "90s"`}},
		"a check that the server refuses": {"[plugin.checks.\"a b\"]\ncommand = 'x'\n", []string{`:1: plugin.checks.a b has a name that the server refuses: use A-Z a-z 0-9 _ - only`}},
		"a variable that is none":         {"[plugin.metrics.a]\ncommand = 'x'\nenv = { \"A=B\" = \"1\" }\n", []string{`:3: plugin.metrics.a.env has a variable that cannot be one: "A=B"`}},
		"a key twice in different cases":  {"apikey = 'a'\nApiKey = 'b'\n", []string{`:2: ApiKey is the same key as apikey: keys do not tell upper from lower case`}},
		"all of them, in their order":     {"x = 1\n[disks]\ny = 2\nignore = 3\n[plugin.metrics.a]\nz = 4\n", []string{`:1: unknown key "x"`, `:3: unknown key "disks.y"`, `:4: disks.ignore must be a string, not an integer`, `:6: unknown key "plugin.metrics.a.z"`, `:5: plugin.metrics.a has no command`}},
		"a key after a long string":       {"apikey = \"\"\"\na\nb\n\"\"\"\nx = 1\n", []string{`:5: unknown key "x"`}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := load(t, tt.content)
			if err == nil {
				t.Fatal("Load = nil error")
			}
			if !errors.Is(err, saba.ErrInvalid) {
				t.Errorf("%v does not match ErrInvalid", err)
			}
			var got []string
			for line := range strings.SplitSeq(err.Error(), "\n") {
				_, after, _ := strings.Cut(line, "saba.toml")
				got = append(got, after)
			}
			equal(t, "mistakes", got, tt.want)
		})
	}
}

func TestASyntaxErrorHasItsLine(t *testing.T) {
	_, err := load(t, "apikey = \"k\"\nroles = [\n\"a:b\"\nverbose = true\n")
	if err == nil || !strings.Contains(err.Error(), "saba.toml:4: ") {
		t.Errorf("Load = %v, want an error in line 4", err)
	}
}

func TestKeysInAnyCase(t *testing.T) {
	c, err := load(t, "ApiKey = \"k\"\n[Plugin.Metrics.Queue]\nCommand = \"x\"\n")
	if err != nil || c.APIKey != "k" || len(c.Metrics) != 1 || c.Metrics[0].Name != "Queue" {
		t.Errorf("Load = %+v, %v, want the key and the plugin Queue", c, err)
	}
}

func TestIncludedFiles(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{
		"main.toml":     "apikey = \"k\"\nroles = [\"a1:b1\"]\ninclude = \"" + dir + "/conf.d/*.toml\"\n[filesystems]\nignore = \"a\"\n[plugin.metrics.x]\ncommand = \"main\"\nuser = \"nobody\"\n[plugin.metrics.y]\ncommand = \"main\"\n",
		"conf.d/1.toml": "roles = [\"a2:b2\"]\n[plugin.metrics.x]\ncommand = \"one\"\n",
		"conf.d/2.toml": "include = \"" + dir + "/never.toml\"\n[filesystems]\nuse_mountpoint = true\n[plugin.metrics.x]\ncommand = \"two\"\n",
		"never.toml":    "apikey = \"never\"\n",
	} {
		file := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(content), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	c, err := Load(filepath.Join(dir, "main.toml"))
	if err != nil {
		t.Fatal(err)
	}
	if c.APIKey != "k" || c.FilesystemsIgnore.String() != "a" || !c.UseMountpoint {
		t.Errorf("Load = %+v, want what the files say together, and nothing of an include in an included file", c)
	}
	equal(t, "roles", c.Roles, []saba.RoleName{{Service: "a2", Role: "b2"}})
	if len(c.Metrics) != 2 || c.Metrics[0].Command.Args[2] != "two" || c.Metrics[0].Command.User != "" || c.Metrics[1].Command.Args[2] != "main" {
		t.Errorf("plugins = %+v, want x of the last file as a whole, and y", c.Metrics)
	}
	bad := filepath.Join(dir, "conf.d/3.toml")
	if err := os.WriteFile(bad, []byte("\nnope = 1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(filepath.Join(dir, "main.toml")); err == nil || err.Error() != bad+`:2: unknown key "nope"` {
		t.Errorf("Load = %v, want the mistake in the included file", err)
	}
}

func TestAMissingFile(t *testing.T) {
	if _, err := Load(filepath.Join(t.TempDir(), "no.toml")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Load = %v, want os.ErrNotExist", err)
	}
}

// Whatever a file holds, loading never panics, and every mistake has a place in the file.
func FuzzConfig(f *testing.F) {
	f.Add([]byte(everyKey))
	f.Add([]byte("a.b.c = {d = [1, {e = 2}]}\n[[plugin.metrics.x]]\ncommand = 1979-05-27\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		l := loader{metrics: map[string]MetricPlugin{}, checks: map[string]bool{}, metadata: map[string]bool{}}
		l.read("f", b, false)
		lines := strings.Count(string(b), "\n") + 1
		for _, err := range l.mistakes {
			if m, ok := errors.AsType[*Mistake](err); !ok || m.Line < 1 || m.Line > lines {
				t.Errorf("read(%q) has the mistake %v without a line of it", b, err)
			}
		}
	})
}

func TestTransport(t *testing.T) {
	for name, tt := range map[string]struct {
		c       Config
		noProxy string
		to      string
		want    string
	}{
		"http_proxy serves both":                {Config{HTTPProxy: "http://p:1"}, "", "https://saba.example.com", "http://p:1"},
		"https_proxy serves https":              {Config{HTTPProxy: "http://p:1", HTTPSProxy: "p:2"}, "", "https://saba.example.com", "http://p:2"},
		"and not http":                          {Config{HTTPProxy: "http://p:1", HTTPSProxy: "p:2"}, "", "http://saba.example.com", "http://p:1"},
		"direct is none of ours":                {Config{HTTPProxy: "http://p:1", HTTPSProxy: "direct"}, "", "https://saba.example.com", ""},
		"the environment's, without ours":       {Config{}, "", "http://saba.example.com", "http://env:9"},
		"never for this machine":                {Config{HTTPProxy: "http://p:1"}, "", "http://127.0.0.1:3838", ""},
		"nor for a host on the list":            {Config{HTTPProxy: "http://p:1"}, "a.example.net, saba.example.com", "http://saba.example.com", ""},
		"nor below a domain on it":              {Config{HTTPProxy: "http://p:1"}, ".example.com", "http://saba.example.com", ""},
		"nor for an address in a block":         {Config{HTTPProxy: "http://p:1"}, "192.0.2.0/24", "http://192.0.2.7", ""},
		"but for one that only looks like that": {Config{HTTPProxy: "http://p:1"}, "ample.com", "http://saba.example.com", "http://p:1"},
	} {
		t.Run(name, func(t *testing.T) {
			u, err := url.Parse(tt.to)
			if err != nil {
				t.Fatal(err)
			}
			getenv := func(k string) string {
				return map[string]string{"NO_PROXY": tt.noProxy, "http_proxy": "http://env:9"}[k]
			}
			got, err := Transport(tt.c, getenv).Proxy(&http.Request{URL: u})
			if err != nil {
				t.Fatal(err)
			}
			if got == nil && tt.want != "" || got != nil && got.String() != tt.want {
				t.Errorf("proxy = %v, want %q", got, tt.want)
			}
		})
	}
}

package agent

import (
	"errors"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/collect"
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
culprits = false

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
action = { command = "notify", user = "nobody", timeout_seconds = 3, env = { X = "1" }, on = ["CRITICAL", "unknown"], on_change = true, max_per_hour = 4 }

[plugin.checks.web]
plugin = "http -u 'http://a/?b c'"
env = { TOKEN = "x" }

[plugin.metadata.facts]
command = ["facts"]
execution_interval = "1h30m"

[linux]
metrics = ["pressure", "tcp"]

[queue]
max_bytes = "16 MiB"
max_age = "12h"
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
	equal(t, "families", c.Linux, []string{"pressure", "tcp"})
	if c.QueueBytes != 16<<20 || c.QueueAge != 12*time.Hour {
		t.Errorf("queue = %d bytes, %v", c.QueueBytes, c.QueueAge)
	}
	want := []CheckPlugin{
		{Name: "ssh", Command: Command{Args: []string{"sh", "-c", "check-ssh"}}, CustomIdentifier: "db-1", Interval: 10 * time.Minute,
			NotificationInterval: 60, MaxCheckAttempts: 1, PreventAutoClose: true, Memo: "port 22",
			Action:  &Command{Args: []string{"sh", "-c", "notify"}, User: "nobody", Timeout: 3 * time.Second, Env: []string{"X=1"}},
			ActWhen: ActWhen{On: []saba.CheckStatus{saba.CheckCritical, saba.CheckUnknown}, OnChange: true, PerHour: 4}},
		{Name: "web", Command: Command{Env: []string{"TOKEN=x"}}, Bundled: []string{"http", "-u", "http://a/?b c"}, Interval: time.Minute},
	}
	if !reflect.DeepEqual(c.Checks, want) {
		t.Errorf("checks = %+v, want %+v", c.Checks, want)
	}
	if want := []MetadataPlugin{{Name: "facts", Command: Command{Args: []string{"facts"}}, Interval: 90 * time.Minute}}; !reflect.DeepEqual(c.Metadata, want) {
		t.Errorf("metadata = %+v, want %+v", c.Metadata, want)
	}
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
	if !c.Diagnostic {
		t.Error("diagnostic = true is not taken")
	}
	if !c.NoCulprits || NewHost(c).Suspicion() != nil || NewHost(Config{}).Suspicion() == nil {
		t.Error("culprits = false is not taken, or is the default")
	}
	notes := strings.Join(c.Notes, "\n")
	for _, part := range []string{"pidfile", "[connection]", "max_check_attempts counts as 1, not 3"} {
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
		"neither command nor plugin":      {"[plugin.checks.a]\nmemo = 'x'\n", []string{`:1: plugin.checks.a has no command`}},
		"both of them":                    {"[plugin.metrics.a]\ncommand = 'x'\nplugin = 'gostats'\n", []string{`:1: plugin.metrics.a has both command and plugin: write one of them`}},
		"a plugin of no name":             {"[plugin.metrics.a]\nplugin = ' '\n", []string{`:2: plugin.metrics.a.plugin is empty: write the name of a plugin, and its options`}},
		"a quote that is not closed":      {"[plugin.metrics.a]\nplugin = \"gostats 'a\"\n", []string{`:2: plugin.metrics.a.plugin has a ' that is not closed`}},
		"a user of a bundled plugin":      {"[plugin.metrics.a]\nplugin = 'gostats'\nuser = 'x'\n", []string{`:1: plugin.metrics.a has a user, but a plugin that is part of this program runs as the program does: remove user, or write a command`}},
		"a key twice in a plugin":         {"[plugin.metrics.a]\ncommand = 'x'\nCommand = 'y'\n", []string{`:3: plugin.metrics.a.Command is the same key as command: keys do not tell upper from lower case`}},
		"an unknown key of an action":     {"[plugin.checks.a]\ncommand = 'x'\n[plugin.checks.a.action]\ncomand = 'y'\ntimeout_seconds = 'z'\n", []string{`:4: unknown key "plugin.checks.a.action.comand": did you mean "command"?`, `:5: plugin.checks.a.action.timeout_seconds must be an integer of seconds, not a string`}},
		"an action that is none":          {"[plugin.checks.a]\ncommand = 'x'\naction = 'y'\n", []string{`:3: plugin.checks.a.action must be a table, not a string`}},
		"verdicts of an action":           {"[plugin.checks.a]\ncommand = 'x'\n[plugin.checks.a.action]\ncommand = 'y'\non = ['DOWN']\n[plugin.checks.b]\ncommand = 'x'\naction = { command = 'y', on = [] }\n", []string{`:5: plugin.checks.a.action.on must hold some of OK, WARNING, CRITICAL and UNKNOWN, not "DOWN"`, `:8: plugin.checks.b.action.on is empty: name the verdicts after which the action runs, or remove the line`}},
		"metadata of the server":          {"[plugin.metadata.mackerel-x]\ncommand = 'x'\n", []string{`:1: plugin.metadata.mackerel-x has a name that the server refuses: those that begin with mackerel are its own`}},
		"an unknown family":               {"[linux]\nmetrics = ['tpc']\n", []string{`:2: linux.metrics has the unknown family "tpc": did you mean "tcp"?`}},
		"an unheard-of family":            {"[linux]\nmetrics = ['temperature']\n", []string{`:2: linux.metrics has the unknown family "temperature": there are ` + strings.Join(collect.LinuxFamilies(), ", ")}},
		"families that are a string":      {"[linux]\nmetrics = 'tcp'\n", []string{`:2: linux.metrics must be an array of strings, or true for all, not a string`}},
		"a queue of no size":              {"[queue]\nmax_bytes = 5\nmax_age = '48h'\n", []string{`:2: queue.max_bytes must be 1 MiB to 1024 GiB, not 5 bytes`, `:3: queue.max_age must be a duration from "1m" to "24h", after which servers take no values, not "48h"`}},
		"a size that is none":             {"[queue]\nmax_bytes = '64 MB'\n", []string{`:2: queue.max_bytes must be a size such as "64 MiB", not "64 MB"`}},
		"two keys":                        {"apikey = 'a'\napikey_file = 'b'\n", []string{`:2: apikey_file is one too many: of apikey and apikey_file, write one`}},
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

func TestNumbersOutsideOfTheirBoundsCountAsTheNearest(t *testing.T) {
	c, err := load(t, `[plugin.checks.a]
command = "x"
check_interval = "2h"
notification_interval = 0
max_check_attempts = 20
memo = "`+strings.Repeat("あ", 251)+`"
[plugin.checks.b]
command = "x"
check_interval = 0
max_check_attempts = -1
action = { user = "nobody" }
[plugin.metadata.c]
command = "x"
execution_interval = 1
[plugin.metadata.d]
command = "x"
`)
	if err != nil {
		t.Fatal(err)
	}
	a, b := c.Checks[0], c.Checks[1]
	if a.Interval != time.Hour || a.NotificationInterval != 10 || a.MaxCheckAttempts != 10 || a.Memo != strings.Repeat("あ", 250) {
		t.Errorf("check = %+v, want an hour, 10 minutes, 10 attempts and 250 characters", a)
	}
	if b.Interval != time.Minute || b.NotificationInterval != 0 || b.MaxCheckAttempts != 0 || b.Action != nil {
		t.Errorf("check = %+v, want a minute and nothing else: an action without a command is none", b)
	}
	if c.Metadata[0].Interval != 10*time.Minute || c.Metadata[1].Interval != 10*time.Minute {
		t.Errorf("metadata = %+v, want 10 minutes", c.Metadata)
	}
	var got []string
	for _, n := range c.Notes {
		_, after, _ := strings.Cut(n, "saba.toml")
		got = append(got, after)
	}
	equal(t, "notes", got, []string{
		":3: plugin.checks.a.check_interval is 120 and counts as 60 minutes",
		":4: plugin.checks.a.notification_interval is 0 and counts as 10 minutes",
		":5: plugin.checks.a.max_check_attempts is 20 and counts as 10",
		":6: plugin.checks.a.memo is longer than 250 characters and was cut",
		":9: plugin.checks.b.check_interval is 0 and counts as 1 minutes",
		":14: plugin.metadata.c.execution_interval is 1 and counts as 10 minutes",
	})
}

func TestTheWordsOfABundledPlugin(t *testing.T) {
	for line, want := range map[string][]string{
		"gostats -port 8080":             {"gostats", "-port", "8080"},
		"  a\t b\nc ":                    {"a", "b", "c"},
		`a 'b c' "d e" f\ g`:             {"a", "b c", "d e", "f g"},
		`a b'c'"d"e`:                     {"a", "bcde"},
		`a '' ""`:                        {"a", "", ""},
		`a '\n"' "\n'" "\"\\\$"`:         {"a", `\n"`, `\n'`, `"\$`},
		"a $HOME *.go ~ # | ; `x` {b,c}": {"a", "$HOME", "*.go", "~", "#", "|", ";", "`x`", "{b,c}"},
		"日本語 \"あ い\"":                    {"日本語", "あ い"},
	} {
		got, err := asWords(line)
		if err != nil {
			t.Errorf("asWords(%q) = %v", line, err)
		}
		equal(t, "words of "+line, got, want)
	}
	for _, line := range []string{"", "'a", `a "b`, `a \`, "''"} {
		if got, err := asWords(line); err == nil {
			t.Errorf("asWords(%q) = %q, want an error", line, got)
		}
	}
}

// Words that are quoted come back as they were.
func FuzzWords(f *testing.F) {
	f.Add("gostats", "a b")
	f.Add("x", `'"\$`)
	f.Fuzz(func(t *testing.T, a, b string) {
		_, _ = asWords(a) // whatever it is
		if !utf8.ValidString(a) || !utf8.ValidString(b) || a == "" {
			return // TOML has no others
		}
		quoted := func(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
		got, err := asWords(quoted(a) + " " + quoted(b))
		if err != nil || !slices.Equal(got, []string{a, b}) {
			t.Errorf("words of %q and %q = %q, %v", a, b, got, err)
		}
	})
}

func TestBundledPluginsAreKnownByKindAndName(t *testing.T) {
	file := filepath.Join(t.TempDir(), "saba.toml")
	if err := os.WriteFile(file, []byte("[plugin.metrics.a]\nplugin = 'gostats -port 1'\n[plugin.checks.b]\nplugin = 'gostats'\n[linux]\nmetrics = true\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	o := LoadOptions{Bundled: func(kind, name string) bool { return kind == "metrics" && name == "gostats" }}
	if _, err := LoadWith(file, o); err == nil || !strings.HasSuffix(err.Error(), `:3: plugin.checks.b names "gostats", which is not among the checks plugins of this program`) {
		t.Errorf("LoadWith = %v", err)
	}
	o.Bundled = nil
	c, err := LoadWith(file, o)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "words", c.Metrics[0].Bundled, []string{"gostats", "-port", "1"})
	equal(t, "families", c.Linux, collect.LinuxFamilies())
}

func TestTheKeyFromAFile(t *testing.T) {
	for name, tt := range map[string]struct {
		content string
		mode    os.FileMode
		want    string
		problem string
	}{
		"alone on its line": {"saba_x\n", 0o600, "saba_x", ""},
		"without a newline": {"saba_x", 0o400, "saba_x", ""},
		"open to others":    {"saba_x\n", 0o644, "saba_x", "is open to more than its owner (mode 0644): chmod 600 it"},
		"empty":             {"\n", 0o600, "", "does not hold a key alone"},
		"two lines":         {"a\nb\n", 0o600, "", "does not hold a key alone"},
		"of another kind":   {"\x00\x01", 0o600, "", "does not hold a key alone"},
		"far too large":     {strings.Repeat("a", 5000), 0o600, "", "does not hold a key alone"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			file := filepath.Join(dir, "key")
			if err := errors.Join(os.WriteFile(file, []byte(tt.content), tt.mode), os.WriteFile(filepath.Join(dir, "saba.toml"), []byte("\napikey_file = 'key'\n"), 0o600)); err != nil {
				t.Fatal(err)
			}
			c, err := Load(filepath.Join(dir, "saba.toml"))
			text := strings.Join(c.Notes, "\n")
			if err != nil {
				text = err.Error()
			}
			if c.APIKey != tt.want || (err == nil) != (tt.want != "") || !strings.Contains(text, tt.problem) || (text == "") != (tt.problem == "") {
				t.Errorf("key = %q, %v, notes %q; want %q and %q", c.APIKey, err, c.Notes, tt.want, tt.problem)
			}
			if tt.problem != "" && !strings.Contains(text, "saba.toml:2: apikey_file "+file) {
				t.Errorf("%q does not say where", text)
			}
			if err == nil && c.APIKeyFile != file {
				t.Errorf("file = %q, want %q: relative to the configuration", c.APIKeyFile, file)
			}
		})
	}
	if _, err := load(t, "apikey_file = '/nonexistent/key'\n"); err == nil || !strings.HasSuffix(err.Error(), ":1: apikey_file /nonexistent/key does not exist") {
		t.Errorf("Load = %v", err)
	}
	if _, err := load(t, "apikey_file = '/dev/zero'\n"); err == nil {
		t.Error("Load takes a device for a key")
	}
}

func TestWhichKeyCounts(t *testing.T) {
	for name, tt := range map[string]struct {
		env       map[string]string
		key, base string
	}{
		"the file's":            {nil, "file", "http://file"},
		"the environment's":     {map[string]string{"MACKEREL_APIKEY": "m", "MACKEREL_APIBASE": "http://m"}, "m", "http://m"},
		"saba's own before all": {map[string]string{"MACKEREL_APIKEY": "m", "SABA_API_KEY": "s", "SABA_API_BASE": "http://s"}, "s", "http://s"},
	} {
		t.Run(name, func(t *testing.T) {
			c := Config{APIKey: "file", APIKeyFile: "/key", APIBase: "http://file"}
			c.ApplyEnvironment(func(k string) string { return tt.env[k] })
			if c.APIKey != tt.key || c.APIBase != tt.base || (c.APIKeyFile == "") != (tt.key != "file") {
				t.Errorf("configuration = %+v, want key %q and base %q", c, tt.key, tt.base)
			}
		})
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
		l := newLoader(LoadOptions{})
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

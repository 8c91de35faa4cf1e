package agent

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"

	"github.com/saba-monitor/saba"
)

// What an agent uses where neither its file nor a flag says otherwise.
const (
	DefaultConf = "/etc/saba/agent.toml"
	DefaultRoot = "/var/lib/saba-agent"
	// DefaultAPIBase is the address that a saba server on the same machine listens on.
	DefaultAPIBase = "http://127.0.0.1:3838"
)

// The platforms that a configuration may name; PlatformAuto tries the others.
const (
	PlatformAuto = "auto"
	PlatformNone = "none"
)

// A Config is what an agent's configuration file says. Its keys are those of the protocol's
// other agents, so that their files keep working; a file is TOML. The zero value is a
// configuration that says nothing.
type Config struct {
	APIKey            string
	APIBase           string
	Root              string // the folder of the host's id
	Roles             []saba.RoleName
	Verbose           bool // log more
	Silent            bool // log errors only
	DisplayName       string
	CloudPlatform     string // "auto", "none", "ec2", "gce" or "azurevm"
	DisableKeepAlive  bool   // one connection a request
	HTTPProxy         string // address, "direct" or ""
	HTTPSProxy        string // address, "direct" or ""
	OnStart, OnStop   saba.HostStatus
	FilesystemsIgnore *regexp.Regexp // nil ignores nothing; so do the next two
	DisksIgnore       *regexp.Regexp
	InterfacesIgnore  *regexp.Regexp
	UseMountpoint     bool
	Metrics           []MetricPlugin // by name

	// Checks and Metadata hold the names of plugins that this version knows but does not run yet.
	Checks   []string
	Metadata []string
	// Notes are sentences about what the file says and this version does not do: for the log.
	Notes []string
}

// A MetricPlugin is an external command that prints values; parseValues says how.
type MetricPlugin struct {
	Name             string
	Command          Command
	CustomIdentifier string         // whose values they are; "" is this host
	Include, Exclude *regexp.Regexp // on the key without "custom."; Exclude wins; nil lets everything pass
	UsePluginTime    bool           // a value's time is the plugin's, not the minute's
}

// A Mistake is something in a configuration file that only a person can mend. It matches saba.ErrInvalid.
type Mistake struct {
	File string
	Line int // 0 when it has no line
	Text string
}

func (m *Mistake) Error() string {
	if m.Line == 0 {
		return m.File + ": " + m.Text
	}
	return fmt.Sprintf("%s:%d: %s", m.File, m.Line, m.Text)
}

// Is makes a Mistake match saba.ErrInvalid.
func (m *Mistake) Is(target error) bool { return target == saba.ErrInvalid }

// Load reads the configuration file and the files that its include pattern names, in lexical
// order, each on top of those before: a value replaces a value, a plugin replaces the plugin
// of the same name as a whole. The error joins every Mistake found, not the first one only.
// A missing file is an error matching os.ErrNotExist.
func Load(file string) (Config, error) {
	l := loader{metrics: map[string]MetricPlugin{}, checks: map[string]bool{}, metadata: map[string]bool{}}
	if err := l.load(file, false); err != nil {
		return Config{}, err
	}
	if l.include != "" {
		files, err := filepath.Glob(l.include)
		if err != nil {
			l.mistakes = append(l.mistakes, &Mistake{file, l.includeLine, fmt.Sprintf("include %q is not a file pattern", l.include)})
		}
		for _, f := range files {
			if err := l.load(f, true); err != nil {
				return Config{}, fmt.Errorf("include %s: %w", f, err)
			}
		}
	}
	if len(l.mistakes) > 0 {
		return Config{}, errors.Join(l.mistakes...)
	}
	c := l.config
	for _, name := range slices.Sorted(maps.Keys(l.metrics)) {
		c.Metrics = append(c.Metrics, l.metrics[name])
	}
	c.Checks = slices.Sorted(maps.Keys(l.checks))
	c.Metadata = slices.Sorted(maps.Keys(l.metadata))
	if len(c.Checks) > 0 {
		c.Notes = append(c.Notes, "this version does not run check plugins yet: "+strings.Join(c.Checks, ", "))
	}
	if len(c.Metadata) > 0 {
		c.Notes = append(c.Notes, "this version does not run metadata plugins yet: "+strings.Join(c.Metadata, ", "))
	}
	return c, nil
}

// A loader collects what files say, and what is wrong with them.
type loader struct {
	config   Config
	metrics  map[string]MetricPlugin
	checks   map[string]bool
	metadata map[string]bool

	include     string
	includeLine int

	// Of the file being read.
	file     string
	included bool
	lines    map[string]int // line of each key, by path; see join
	mistakes []error
}

// maxConfig bounds a configuration file: far above any real one, far below what hurts.
const maxConfig = 4 << 20

func (l *loader) load(file string, included bool) error {
	info, err := os.Stat(file)
	if err != nil {
		return err
	}
	if info.Size() > maxConfig {
		return saba.Errorf(saba.ErrInvalid, "%s is larger than %d bytes: is it a configuration file?", file, maxConfig)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	l.read(file, b, included)
	return nil
}

// read takes the content of one file; what is wrong with it goes to l.mistakes.
func (l *loader) read(file string, b []byte, included bool) {
	l.file, l.included = file, included
	var m map[string]any
	if err := toml.Unmarshal(b, &m); err != nil {
		line := 0
		if d, ok := errors.AsType[*toml.DecodeError](err); ok {
			line, _ = d.Position()
		}
		l.mistakes = append(l.mistakes, &Mistake{file, line, strings.TrimPrefix(err.Error(), "toml: ")})
		return
	}
	l.lines = keyLines(b)
	l.section(nil, m, topKeys)
}

// A key is one name that a section of the file may hold, and what becomes of its value. set
// returns an error whose text follows the key's name: "must be a string, not an integer".
type key struct {
	name string
	set  func(l *loader, path []string, v any) error
}

// config returns a key whose value is a field of Config.
func config[T any](name string, read func(v any) (T, error), field func(*Config) *T) key {
	return key{name, func(l *loader, _ []string, v any) error {
		x, err := read(v)
		if err == nil {
			*field(&l.config) = x
		}
		return err
	}}
}

// unused returns a key that is read and checked, and noted: this version does nothing with it.
func unused[T any](name string, read func(v any) (T, error), note string) key {
	return key{name, func(l *loader, _ []string, v any) error {
		_, err := read(v)
		if err == nil {
			l.config.Notes = append(l.config.Notes, fmt.Sprintf("%s: %s", l.file, note))
		}
		return err
	}}
}

// table returns a key whose value is a section with keys of its own.
func table(name string, keys []key) key {
	return key{name, func(l *loader, path []string, v any) error {
		m, ok := v.(map[string]any)
		if !ok {
			return wrongType("a table", v)
		}
		l.section(path, m, keys)
		return nil
	}}
}

// topKeys is every key of a configuration file.
var topKeys = []key{
	config("apikey", asString, func(c *Config) *string { return &c.APIKey }),
	config("apibase", asBase, func(c *Config) *string { return &c.APIBase }),
	config("root", asString, func(c *Config) *string { return &c.Root }),
	config("roles", asRoles, func(c *Config) *[]saba.RoleName { return &c.Roles }),
	config("verbose", asBool, func(c *Config) *bool { return &c.Verbose }),
	config("silent", asBool, func(c *Config) *bool { return &c.Silent }),
	config("display_name", asString, func(c *Config) *string { return &c.DisplayName }),
	config("disable_http_keep_alive", asBool, func(c *Config) *bool { return &c.DisableKeepAlive }),
	config("http_proxy", asProxy, func(c *Config) *string { return &c.HTTPProxy }),
	config("https_proxy", asProxy, func(c *Config) *string { return &c.HTTPSProxy }),
	config("cloud_platform", asPlatform, func(c *Config) *string { return &c.CloudPlatform }),
	unused("pidfile", asString, "pidfile has no effect: this agent runs in the foreground under a service manager"),
	unused("diagnostic", asBool, "diagnostic has no effect in this version"),
	unused("conffile", asString, "conffile has no effect: the --conf flag names the file"),
	{"include", func(l *loader, path []string, v any) error {
		s, err := asString(v)
		switch {
		case err != nil:
			return err
		case l.included:
			l.config.Notes = append(l.config.Notes, l.file+": include has no effect in an included file")
		default:
			l.include, l.includeLine = s, l.line(path)
		}
		return nil
	}},
	table("host_status", []key{
		config("on_start", asStatus, func(c *Config) *saba.HostStatus { return &c.OnStart }),
		config("on_stop", asStatus, func(c *Config) *saba.HostStatus { return &c.OnStop }),
	}),
	table("filesystems", []key{
		config("ignore", asRegexp, func(c *Config) **regexp.Regexp { return &c.FilesystemsIgnore }),
		config("use_mountpoint", asBool, func(c *Config) *bool { return &c.UseMountpoint }),
	}),
	table("disks", []key{
		config("ignore", asRegexp, func(c *Config) **regexp.Regexp { return &c.DisksIgnore }),
	}),
	table("interfaces", []key{
		config("ignore", asRegexp, func(c *Config) **regexp.Regexp { return &c.InterfacesIgnore }),
		unused("use_adapter", asBool, "interfaces.use_adapter has an effect on Windows only"),
	}),
	table("plugin", []key{
		{"metrics", func(l *loader, path []string, v any) error { return l.plugins(path, v, kindMetrics) }},
		{"checks", func(l *loader, path []string, v any) error { return l.plugins(path, v, kindChecks) }},
		{"metadata", func(l *loader, path []string, v any) error { return l.plugins(path, v, kindMetadata) }},
	}),
	// Old files have it. Other agents ignore it since long; saying so beats refusing to start.
	{"connection", func(l *loader, _ []string, v any) error {
		l.config.Notes = append(l.config.Notes, l.file+": [connection] has no effect: the agent decides by itself when to post and to retry")
		return nil
	}},
}

// section reads the keys of one table, in the order of their lines.
func (l *loader) section(path []string, m map[string]any, keys []key) {
	seen := map[string]string{}
	for _, name := range l.inOrder(path, m) {
		at := append(slices.Clone(path), name)
		i := slices.IndexFunc(keys, func(k key) bool { return strings.EqualFold(k.name, name) })
		if i < 0 {
			l.mistake(at, "unknown key %q%s", shown(at), nearest(name, keys))
			continue
		}
		if before, dup := seen[keys[i].name]; dup {
			l.mistake(at, "%s is the same key as %s: keys do not tell upper from lower case", shown(at), before)
			continue
		}
		seen[keys[i].name] = name
		if err := keys[i].set(l, at, m[name]); err != nil {
			l.mistake(at, "%s %v", shown(at), err)
		}
	}
}

// inOrder returns the names in m in the order of their lines.
func (l *loader) inOrder(path []string, m map[string]any) []string {
	return slices.SortedFunc(maps.Keys(m), func(a, b string) int {
		return cmp.Or(
			cmp.Compare(l.line(append(slices.Clone(path), a)), l.line(append(slices.Clone(path), b))),
			strings.Compare(a, b))
	})
}

func (l *loader) line(path []string) int { return l.lines[join(path)] }

func (l *loader) mistake(path []string, format string, args ...any) {
	l.mistakes = append(l.mistakes, &Mistake{l.file, l.line(path), fmt.Sprintf(format, args...)})
}

// shown is a path as its reader would write it.
func shown(path []string) string { return strings.Join(path, ".") }

// join makes a map's key of a path. The separator may not stand in a TOML key unescaped.
func join(path []string) string { return strings.Join(path, "\x00") }

// nearest returns a clause with the key that was perhaps meant, "" when none is near.
func nearest(name string, keys []key) string {
	best, distance := "", 3
	for _, k := range keys {
		if d := saba.Distance(strings.ToLower(name), k.name); d < distance {
			best, distance = k.name, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(": did you mean %q?", best)
}

// keyLines returns the line of the first mention of every key of a document that is known to parse.
func keyLines(b []byte) map[string]int {
	lines := map[string]int{}
	var p unstable.Parser
	p.Reset(b)
	var section []string
	// Expressions come in the order of the file, so newlines are counted once.
	offset, line := 0, 1
	note := func(prefix []string, it unstable.Iterator) []string {
		path := slices.Clone(prefix)
		for it.Next() {
			n := it.Node()
			path = append(path, string(n.Data))
			if at := int(n.Raw.Offset); at >= offset && at <= len(b) {
				line += strings.Count(string(b[offset:at]), "\n")
				offset = at
			}
			if _, ok := lines[join(path)]; !ok {
				lines[join(path)] = line
			}
		}
		return path
	}
	var inside func(path []string, v *unstable.Node)
	inside = func(path []string, v *unstable.Node) {
		if !v.Valid() || v.Kind != unstable.InlineTable {
			return
		}
		for it := v.Children(); it.Next(); {
			if kv := it.Node(); kv.Kind == unstable.KeyValue {
				inside(note(path, kv.Key()), kv.Value())
			}
		}
	}
	for p.NextExpression() {
		switch e := p.Expression(); e.Kind {
		case unstable.Table, unstable.ArrayTable:
			section = note(nil, e.Key())
		case unstable.KeyValue:
			inside(note(section, e.Key()), e.Value())
		}
	}
	return lines
}

// wrongType says what a value must be and what it is.
func wrongType(want string, v any) error {
	var is string
	switch v.(type) {
	case string:
		is = "a string"
	case int64:
		is = "an integer"
	case float64:
		is = "a number with a fraction"
	case bool:
		is = "true or false"
	case []any:
		is = "an array"
	case map[string]any:
		is = "a table"
	default:
		is = "a date or time"
	}
	return fmt.Errorf("must be %s, not %s", want, is)
}

func asString(v any) (string, error) {
	s, ok := v.(string)
	if !ok {
		return "", wrongType("a string", v)
	}
	return s, nil
}

func asBool(v any) (bool, error) {
	b, ok := v.(bool)
	if !ok {
		return false, wrongType("true or false", v)
	}
	return b, nil
}

func asStrings(v any) ([]string, error) {
	list, ok := v.([]any)
	if !ok {
		return nil, wrongType("an array of strings", v)
	}
	out := make([]string, len(list))
	for i, e := range list {
		s, ok := e.(string)
		if !ok {
			return nil, fmt.Errorf("[%d] %w", i, wrongType("a string", e))
		}
		out[i] = s
	}
	return out, nil
}

func asRoles(v any) ([]saba.RoleName, error) {
	names, err := asStrings(v)
	if err != nil {
		return nil, err
	}
	return ParseRoles(names)
}

// ParseRoles parses role names as the configuration and the --role flag have them. The error
// follows the name of where they stand.
func ParseRoles(names []string) ([]saba.RoleName, error) {
	roles := make([]saba.RoleName, len(names))
	var errs []error
	for i, n := range names {
		var err error
		if roles[i], err = saba.ParseRoleName(n); err != nil {
			errs = append(errs, err)
		}
	}
	if len(errs) > 0 {
		return nil, fmt.Errorf("are wrong: %w", errors.Join(errs...))
	}
	return roles, nil
}

func asBase(v any) (string, error) {
	s, err := asString(v)
	if err != nil {
		return "", err
	}
	if u, err := url.Parse(s); err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return "", fmt.Errorf("must be an address such as https://saba.example.com, not %q", s)
	}
	return s, nil
}

func asProxy(v any) (string, error) {
	s, err := asString(v)
	if err != nil || s == "" || s == proxyDirect {
		return s, err
	}
	if _, err := parseProxy(s); err != nil {
		return "", err
	}
	return s, nil
}

func asPlatform(v any) (string, error) {
	s, err := asString(v)
	if err != nil {
		return "", err
	}
	if all := []string{"", PlatformAuto, PlatformNone, "ec2", "gce", "azurevm"}; !slices.Contains(all, s) {
		return "", fmt.Errorf("must be one of %s, not %q", strings.Join(all[1:], ", "), s)
	}
	return s, nil
}

func asStatus(v any) (saba.HostStatus, error) {
	s, err := asString(v)
	if err != nil || s == "" {
		return "", err
	}
	if status := saba.HostStatus(s); status.Valid() {
		return status, nil
	}
	return "", fmt.Errorf("must be one of working, standby, maintenance, poweroff, not %q", s)
}

func asRegexp(v any) (*regexp.Regexp, error) {
	s, err := asString(v)
	if err != nil {
		return nil, err
	}
	if s == "" {
		return nil, errors.New("is an empty pattern, which matches everything: remove the line, or write a pattern")
	}
	re, err := regexp.Compile(s)
	if err != nil {
		return nil, fmt.Errorf("is not a pattern in the syntax of RE2: %s", strings.TrimPrefix(err.Error(), "error parsing regexp: "))
	}
	return re, nil
}

func asSeconds(v any) (time.Duration, error) {
	n, ok := v.(int64)
	if !ok {
		return 0, wrongType("an integer of seconds", v)
	}
	const most = 24 * 3600
	if n < 0 || n > most {
		return 0, fmt.Errorf("must be 0 to %d seconds, not %d", most, n)
	}
	return time.Duration(n) * time.Second, nil
}

func asCount(v any) (int64, error) {
	n, ok := v.(int64)
	if !ok {
		return 0, wrongType("an integer", v)
	}
	if n < 0 || n > math.MaxInt32 {
		return 0, fmt.Errorf("must be 0 to %d, not %d", math.MaxInt32, n)
	}
	return n, nil
}

// asMinutes reads "minutes or duration": an integer, or a string that holds one, is minutes;
// another string is a duration of whole minutes, "1h30m".
func asMinutes(v any) (int64, error) {
	s, ok := v.(string)
	if !ok {
		if _, ok := v.(int64); !ok {
			return 0, wrongType("an integer of minutes or a duration such as \"10m\"", v)
		}
		return asCount(v)
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return asCount(n)
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, fmt.Errorf("must be an integer of minutes or a duration such as \"10m\", not %q", s)
	}
	if d < 0 || d%time.Minute != 0 {
		return 0, fmt.Errorf("must be a whole number of minutes and not negative, not %q", s)
	}
	return asCount(int64(d / time.Minute))
}

// The kinds of plugins, as a set.
const (
	kindMetrics = 1 << iota
	kindChecks
	kindMetadata

	kindAll = kindMetrics | kindChecks | kindMetadata
)

func kindName(kind int) string {
	switch kind {
	case kindMetrics:
		return "plugin.metrics"
	case kindChecks:
		return "plugin.checks"
	case kindMetadata:
		return "plugin.metadata"
	case kindMetrics | kindChecks:
		return "plugin.metrics and plugin.checks"
	}
	return "plugin"
}

// A pluginKey is one name that a plugin's table may hold.
type pluginKey struct {
	name  string
	kinds int
	set   func(p *MetricPlugin, v any) error
}

// field returns a plugin's key whose value is kept; checked, one whose value this version only checks.
func field[T any](name string, kinds int, read func(v any) (T, error), to func(*MetricPlugin) *T) pluginKey {
	return pluginKey{name, kinds, func(p *MetricPlugin, v any) error {
		x, err := read(v)
		if err == nil {
			*to(p) = x
		}
		return err
	}}
}

func checked[T any](name string, kinds int, read func(v any) (T, error)) pluginKey {
	return pluginKey{name, kinds, func(_ *MetricPlugin, v any) error {
		_, err := read(v)
		return err
	}}
}

// commandKeys is every key of a table that says what to run, which a check's action is too.
var commandKeys = []pluginKey{
	field("command", kindAll, asArgs, func(p *MetricPlugin) *[]string { return &p.Command.Args }),
	field("user", kindAll, asString, func(p *MetricPlugin) *string { return &p.Command.User }),
	field("env", kindAll, asEnv, func(p *MetricPlugin) *[]string { return &p.Command.Env }),
	field("timeout_seconds", kindAll, asSeconds, func(p *MetricPlugin) *time.Duration { return &p.Command.Timeout }),
}

// pluginKeys is every key of a plugin's table.
var pluginKeys = slices.Concat(commandKeys, []pluginKey{
	field("custom_identifier", kindMetrics|kindChecks, asString, func(p *MetricPlugin) *string { return &p.CustomIdentifier }),
	field("include_pattern", kindMetrics, asRegexp, func(p *MetricPlugin) **regexp.Regexp { return &p.Include }),
	field("exclude_pattern", kindMetrics, asRegexp, func(p *MetricPlugin) **regexp.Regexp { return &p.Exclude }),
	field("use_plugin_timestamp", kindMetrics, asBool, func(p *MetricPlugin) *bool { return &p.UsePluginTime }),
	checked("check_interval", kindChecks, asMinutes),
	checked("notification_interval", kindChecks, asMinutes),
	checked("max_check_attempts", kindChecks, asCount),
	checked("prevent_alert_auto_close", kindChecks, asBool),
	checked("memo", kindChecks, asString),
	checked("action", kindChecks, asAction),
	checked("execution_interval", kindMetadata, asMinutes),
})

var pluginName = regexp.MustCompile(`^[-a-zA-Z0-9_]+$`)

// plugins reads the tables below [plugin.metrics], [plugin.checks] or [plugin.metadata].
func (l *loader) plugins(path []string, v any, kind int) error {
	m, ok := v.(map[string]any)
	if !ok {
		return wrongType("a table of plugins", v)
	}
	for _, name := range l.inOrder(path, m) {
		at := append(slices.Clone(path), name)
		t, ok := m[name].(map[string]any)
		if !ok {
			l.mistake(at, "%s %v", shown(at), wrongType("the table of one plugin", m[name]))
			continue
		}
		if kind != kindMetrics && !pluginName.MatchString(name) {
			l.mistake(at, "%s has a name that the server refuses: use A-Z a-z 0-9 _ - only", shown(at))
		}
		p := l.plugin(at, t, kind)
		switch p.Name = name; kind {
		case kindMetrics:
			l.metrics[name] = p
		case kindChecks:
			l.checks[name] = true
		case kindMetadata:
			l.metadata[name] = true
		}
	}
	return nil
}

func (l *loader) plugin(path []string, m map[string]any, kind int) MetricPlugin {
	var p MetricPlugin
	hasCommand := false
	for _, name := range l.inOrder(path, m) {
		at := append(slices.Clone(path), name)
		i := slices.IndexFunc(pluginKeys, func(k pluginKey) bool { return strings.EqualFold(k.name, name) })
		switch {
		case i < 0:
			var known []key
			for _, k := range pluginKeys {
				if k.kinds&kind != 0 {
					known = append(known, key{name: k.name})
				}
			}
			l.mistake(at, "unknown key %q%s", shown(at), nearest(name, known))
			continue
		case pluginKeys[i].kinds&kind == 0:
			l.mistake(at, "%s has no meaning there: %q belongs to %s", shown(at), pluginKeys[i].name, kindName(pluginKeys[i].kinds))
			continue
		}
		hasCommand = hasCommand || pluginKeys[i].name == "command"
		if err := pluginKeys[i].set(&p, m[name]); err != nil {
			l.mistake(at, "%s %v", shown(at), err)
		}
	}
	if !hasCommand {
		l.mistake(path, "%s has no command", shown(path))
	}
	return p
}

// asArgs reads a command: a string is for the shell, an array is run as it is.
func asArgs(v any) ([]string, error) {
	switch v := v.(type) {
	case string:
		if strings.TrimSpace(v) == "" {
			return nil, errors.New("is empty: write the command to run")
		}
		return []string{"sh", "-c", v}, nil
	case []any:
		args, err := asStrings(v)
		if err == nil && (len(args) == 0 || args[0] == "") {
			err = errors.New("is empty: write the command to run")
		}
		return args, err
	}
	return nil, wrongType("a string or an array of strings", v)
}

// asEnv reads a table of environment variables into "KEY=value" form, sorted.
func asEnv(v any) ([]string, error) {
	m, ok := v.(map[string]any)
	if !ok {
		return nil, wrongType("a table of strings", v)
	}
	var env []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		s, ok := m[k].(string)
		name := strings.TrimSpace(k)
		switch {
		case !ok:
			return nil, fmt.Errorf("value of %s: %w", k, wrongType("a string", m[k]))
		case strings.ContainsAny(name, "=\x00") || strings.Contains(s, "\x00"):
			return nil, fmt.Errorf("has a variable that cannot be one: %q", k)
		case name != "":
			env = append(env, name+"="+s)
		}
	}
	return env, nil
}

// asAction checks the table of a check's action.
func asAction(v any) (struct{}, error) {
	m, ok := v.(map[string]any)
	if !ok {
		return struct{}{}, wrongType("a table", v)
	}
	for _, k := range slices.Sorted(maps.Keys(m)) {
		i := slices.IndexFunc(commandKeys, func(p pluginKey) bool { return strings.EqualFold(p.name, k) })
		if i < 0 {
			return struct{}{}, fmt.Errorf("has the unknown key %q", k)
		}
		if err := commandKeys[i].set(&MetricPlugin{}, m[k]); err != nil {
			return struct{}{}, fmt.Errorf("is wrong: %s %w", k, err)
		}
	}
	return struct{}{}, nil
}

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
	"github.com/saba-monitor/saba/internal/collect"
)

// What an agent uses where neither its file nor a flag says otherwise.
const (
	DefaultConf = "/etc/saba/agent.toml"
	DefaultRoot = "/var/lib/saba-agent"
	// DefaultAPIBase is the address that a saba server on the same machine listens on.
	DefaultAPIBase = "http://127.0.0.1:3838"

	// The bounds of the values that wait for the server. Older ones than DefaultQueueAge are
	// taken by no server of the protocol.
	DefaultQueueBytes = 64 << 20
	DefaultQueueAge   = saba.MaxLate
)

// The bounds of what a plugin's table may ask for, where the protocol has some.
const (
	leastCheckInterval, mostCheckInterval = 1, 60 // minutes
	leastNotificationInterval             = 10    // minutes
	mostCheckAttempts                     = 10
	mostActionsAnHour                     = 60  // a check runs no more often
	leastExecutionInterval                = 10  // minutes
	maxMemo                               = 250 // characters
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
	Memo              string // of the host; "" leaves it as it is
	CloudPlatform     string // "auto", "none", "ec2", "gce" or "azurevm"
	DisableKeepAlive  bool   // one connection a request
	HTTPProxy         string // address, "direct" or ""
	HTTPSProxy        string // address, "direct" or ""
	OnStart, OnStop   saba.HostStatus
	FilesystemsIgnore *regexp.Regexp // nil ignores nothing; so do the next two
	DisksIgnore       *regexp.Regexp
	InterfacesIgnore  *regexp.Regexp
	UseMountpoint     bool
	Diagnostic        bool          // also send metrics of the agent itself
	NoCulprits        bool          // never tell what goes on on the host while it is strained
	Linux             []string      // families of metrics besides the usual ones; empty is none
	QueueBytes        int64         // of the disk, for values that wait for the server; 0 means DefaultQueueBytes
	QueueAge          time.Duration // after which they are given up; 0 means DefaultQueueAge

	// The plugins of each kind, by name.
	Metrics  []MetricPlugin
	Checks   []CheckPlugin
	Metadata []MetadataPlugin

	// APIKeyFile is where APIKey was read from; "" when it stands in the configuration.
	APIKeyFile string
	// Notes are sentences about what the file says and the agent does otherwise: for the log.
	Notes []string
}

// What a plugin of each kind runs is either Command, a process, or Bundled: the name and the
// arguments of a plugin that is part of this program. A plugin that is bundled has no
// Command.Args and no Command.User; the environment and the timeout of its Command count.

// A MetricPlugin prints values; parseValues says how.
type MetricPlugin struct {
	Name             string
	Command          Command
	Bundled          []string
	CustomIdentifier string         // whose values they are; "" is this host
	Include, Exclude *regexp.Regexp // on the key without "custom."; Exclude wins; nil lets everything pass
	UsePluginTime    bool           // a value's time is the plugin's, not the minute's
}

// A CheckPlugin gives a verdict; judge says how.
type CheckPlugin struct {
	Name                 string
	Command              Command
	Bundled              []string
	CustomIdentifier     string        // which host it is about; "" is this one
	Interval             time.Duration // from one run to the next: 1 to 60 whole minutes
	NotificationInterval int64         // minutes, 10 or more; 0 means: do not tell again
	MaxCheckAttempts     int64         // 1 to 10 bad verdicts in a row before an alert opens; 0 is the server's default
	PreventAutoClose     bool          // OK is never reported: a person closes the alert
	Action               *Command      // run after runs of the check; nil is none
	ActWhen              ActWhen       // after which of them
	Memo                 string        // at most maxMemo characters

	runner CheckRunner // of a bundled check, that Bundle made ready
}

// ActWhen says after which runs of a check its action runs. The zero value is every run.
type ActWhen struct {
	On       []saba.CheckStatus // those with one of these verdicts; none of them is any
	OnChange bool               // those with another verdict than the run before; a first OK is no change
	PerHour  int64              // at most this many of an hour; 0 is no limit
}

// A MetadataPlugin prints a JSON document about this host.
type MetadataPlugin struct {
	Name     string // the document's namespace
	Command  Command
	Bundled  []string
	Interval time.Duration // from one run to the next: 10 minutes or more
}

// ApplyEnvironment replaces what the environment says otherwise: SABA_API_KEY and SABA_API_BASE,
// or, as other agents of the protocol name them, MACKEREL_APIKEY and MACKEREL_APIBASE. Of two
// that are set, saba's own counts. A variable that is empty says nothing.
func (c *Config) ApplyEnvironment(getenv func(string) string) {
	if key := cmp.Or(getenv("SABA_API_KEY"), getenv("MACKEREL_APIKEY")); key != "" {
		c.APIKey, c.APIKeyFile = key, ""
	}
	c.APIBase = cmp.Or(getenv("SABA_API_BASE"), getenv("MACKEREL_APIBASE"), c.APIBase)
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

// LoadOptions are what a configuration is checked against besides its own rules.
type LoadOptions struct {
	// Bundled says whether this program has a plugin of a kind ("metrics", "checks" or
	// "metadata") and name; nil lets every name pass.
	Bundled func(kind, name string) bool
}

// Load is LoadWith without options.
func Load(file string) (Config, error) { return LoadWith(file, LoadOptions{}) }

// LoadWith reads the configuration file and the files that its include pattern names, in lexical
// order, each on top of those before: a value replaces a value, a plugin replaces the plugin
// of the same name as a whole. The error joins every Mistake found, not the first one only.
// A missing file is an error matching os.ErrNotExist.
func LoadWith(file string, o LoadOptions) (Config, error) {
	l := newLoader(o)
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
	l.readKey()
	if len(l.mistakes) > 0 {
		return Config{}, errors.Join(l.mistakes...)
	}
	c := l.config
	c.Metrics, c.Checks, c.Metadata = byName(l.metrics), byName(l.checks), byName(l.metadata)
	return c, nil
}

// byName returns the values of m in the order of their names.
func byName[T any](m map[string]T) []T {
	var all []T
	for _, name := range slices.Sorted(maps.Keys(m)) {
		all = append(all, m[name])
	}
	return all
}

// A loader collects what files say, and what is wrong with them.
type loader struct {
	options  LoadOptions
	config   Config
	metrics  map[string]MetricPlugin
	checks   map[string]CheckPlugin
	metadata map[string]MetadataPlugin

	// Where the key came from.
	keyFile   string // the configuration file that said so
	keyLine   int
	keyInFile bool // the file being read has one

	include     string
	includeLine int

	container ContainerConfig // of a container's file: what stands beside Config
	environ   []string        // of the command of its readiness probe

	// Of the file being read.
	yaml     bool // it is one of a container's agent
	file     string
	included bool
	lines    map[string]int // line of each key, by path; see join
	mistakes []error
}

func newLoader(o LoadOptions) *loader {
	if o.Bundled == nil {
		o.Bundled = func(string, string) bool { return true }
	}
	return &loader{options: o, metrics: map[string]MetricPlugin{}, checks: map[string]CheckPlugin{}, metadata: map[string]MetadataPlugin{}}
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
	l.file, l.included, l.keyInFile = file, included, false
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
	{"apikey", func(l *loader, path []string, v any) error { return l.setKey(path, v, false) }},
	{"apikey_file", func(l *loader, path []string, v any) error { return l.setKey(path, v, true) }},
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
	{"culprits", func(l *loader, _ []string, v any) error {
		wanted, err := asBool(v)
		l.config.NoCulprits = err == nil && !wanted
		return err
	}},
	config("diagnostic", asBool, func(c *Config) *bool { return &c.Diagnostic }),
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
	table("linux", []key{
		config("metrics", asFamilies, func(c *Config) *[]string { return &c.Linux }),
	}),
	table("queue", []key{
		config("max_bytes", asBytes, func(c *Config) *int64 { return &c.QueueBytes }),
		config("max_age", asQueueAge, func(c *Config) *time.Duration { return &c.QueueAge }),
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
		i := slices.IndexFunc(keys, func(k key) bool { return l.isKey(k.name, name) })
		if i < 0 {
			l.mistake(at, "unknown key %q%s", shown(at), nearest(name, l.spelled(keys)))
			continue
		}
		if before, dup := seen[keys[i].name]; dup {
			l.mistake(at, "%s is the same key as %s: keys do not tell upper from lower case", shown(at), before)
			continue
		}
		seen[keys[i].name] = name
		if m[name] == nil {
			continue
		}
		if err := keys[i].set(l, at, m[name]); err != nil {
			l.mistake(at, "%s %v", shown(at), err)
		}
	}
}

// isKey says whether name, as the file has it, is the key of that name.
func (l *loader) isKey(key, name string) bool {
	if l.yaml { // keys of other container agents are written likeThis
		key, name = strings.ReplaceAll(key, "_", ""), strings.ReplaceAll(name, "_", "")
	}
	return strings.EqualFold(key, name)
}

// spell returns the name of a key as the file would have it.
func (l *loader) spell(name string) string {
	if !l.yaml {
		return name
	}
	words := strings.Split(name, "_")
	for i, w := range words[1:] {
		words[i+1] = strings.ToUpper(w[:1]) + w[1:]
	}
	return strings.Join(words, "")
}

// spelled returns keys by the names that the file would have.
func (l *loader) spelled(keys []key) []key {
	out := slices.Clone(keys)
	for i := range out {
		out[i].name = l.spell(out[i].name)
	}
	return out
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

// note keeps a sentence for the log about what stands at path.
func (l *loader) note(path []string, format string, args ...any) {
	l.config.Notes = append(l.config.Notes, (&Mistake{l.file, l.line(path), fmt.Sprintf(format, args...)}).Error())
}

// setKey takes the API key, or the name of the file that holds it. Of those in several files
// the last one counts; two in one file contradict each other.
func (l *loader) setKey(path []string, v any, inFile bool) error {
	s, err := asString(v)
	switch {
	case err != nil || s == "":
		return err
	case l.keyInFile:
		return errors.New("is one too many: of apikey and apikey_file, write one")
	}
	l.keyInFile, l.keyFile, l.keyLine = true, l.file, l.line(path)
	if !inFile {
		l.config.APIKey, l.config.APIKeyFile = s, ""
		return nil
	}
	if !filepath.IsAbs(s) {
		s = filepath.Join(filepath.Dir(l.file), s)
	}
	l.config.APIKey, l.config.APIKeyFile = "", s
	return nil
}

// readKey reads the file that holds the API key, if there is one.
func (l *loader) readKey() {
	file := l.config.APIKeyFile
	if file == "" {
		return
	}
	key, mode, err := readKeyFile(file)
	if err != nil {
		l.mistakes = append(l.mistakes, &Mistake{l.keyFile, l.keyLine, "apikey_file " + err.Error()})
		return
	}
	l.config.APIKey = key
	if mode.Perm()&0o077 != 0 {
		text := fmt.Sprintf("apikey_file %s is open to more than its owner (mode %04o): chmod 600 it", file, mode.Perm())
		l.config.Notes = append(l.config.Notes, (&Mistake{l.keyFile, l.keyLine, text}).Error())
	}
}

// readKeyFile returns the API key that a file holds on its only line.
func readKeyFile(file string) (string, os.FileMode, error) {
	const most = 4096
	info, err := os.Stat(file)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return "", 0, fmt.Errorf("%s does not exist", file)
	case err != nil:
		return "", 0, fmt.Errorf("cannot be read: %w", err)
	case !info.Mode().IsRegular() || info.Size() > most:
		return "", 0, fmt.Errorf("%s does not hold a key alone", file) // nor is a pipe waited for
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return "", 0, fmt.Errorf("cannot be read: %w", err)
	}
	key := strings.TrimSpace(string(b))
	if key == "" || strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", 0, fmt.Errorf("%s does not hold a key alone", file) // what it holds stays unsaid
	}
	return key, info.Mode(), nil
}

// shown is a path as its reader would write it.
func shown(path []string) string { return strings.Join(path, ".") }

// join makes a map's key of a path. The separator may not stand in a TOML key unescaped.
func join(path []string) string { return strings.Join(path, "\x00") }

// nearest returns a clause with the key that was perhaps meant, "" when none is near.
func nearest(name string, keys []key) string {
	best, distance := "", 3
	for _, k := range keys {
		if d := saba.Distance(strings.ToLower(name), strings.ToLower(k.name)); d < distance {
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
	switch plain(v).(type) {
	case nil:
		is = "nothing"
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

// A scalar is a value of YAML that is no string, and what stands in the file for it: where a string is wanted, it is one.
type scalar struct {
	text  string
	value any // int64, float64, bool or time.Time
}

// plain returns v as a file of TOML would have it.
func plain(v any) any {
	if s, ok := v.(scalar); ok {
		return s.value
	}
	return v
}

func asString(v any) (string, error) {
	if s, ok := v.(scalar); ok {
		return s.text, nil
	}
	s, ok := v.(string)
	if !ok {
		return "", wrongType("a string", v)
	}
	return s, nil
}

func asBool(v any) (bool, error) {
	b, ok := plain(v).(bool)
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
		s, err := asString(e)
		if err != nil {
			return nil, fmt.Errorf("[%d] %w", i, err)
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
	n, ok := plain(v).(int64)
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
	n, ok := plain(v).(int64)
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
		if _, ok := plain(v).(int64); !ok {
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

// asWhole reads an integer of which negative ones mean 0, as in other agents of the protocol.
func asWhole(v any) (int64, error) {
	if n, ok := plain(v).(int64); ok && n < 0 {
		return 0, nil
	}
	return asCount(v)
}

// asFamilies reads a list of families of Linux metrics; true is every one.
func asFamilies(v any) ([]string, error) {
	all := collect.LinuxFamilies()
	switch v := v.(type) {
	case bool:
		if !v {
			all = nil
		}
		return all, nil
	case []any:
	default:
		return nil, wrongType("an array of strings, or true for all", v)
	}
	names, err := asStrings(v)
	if err != nil {
		return nil, err
	}
	for _, n := range names {
		if !slices.Contains(all, n) {
			var known []key
			for _, k := range all {
				known = append(known, key{name: k})
			}
			return nil, fmt.Errorf("has the unknown family %q%s", n, cmp.Or(nearest(n, known), ": there are "+strings.Join(all, ", ")))
		}
	}
	return names, nil
}

// asBytes reads a size: an integer of bytes, or a string such as "64 MiB".
func asBytes(v any) (int64, error) {
	const least, most = 1 << 20, 1 << 40
	n, ok := plain(v).(int64)
	if s, isString := v.(string); isString {
		digits := strings.TrimRight(s, "KMGiB ")
		unit, known := map[string]int64{"": 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}[strings.TrimSpace(s[len(digits):])]
		d, err := strconv.ParseInt(digits, 10, 32)
		if err != nil || !known {
			return 0, fmt.Errorf("must be a size such as \"64 MiB\", not %q", s)
		}
		n, ok = d*unit, true
	}
	switch {
	case !ok:
		return 0, wrongType("an integer of bytes or a size such as \"64 MiB\"", v)
	case n < least || n > most:
		return 0, fmt.Errorf("must be 1 MiB to 1024 GiB, not %d bytes", n)
	}
	return n, nil
}

func asQueueAge(v any) (time.Duration, error) {
	s, err := asString(v)
	if err != nil {
		return 0, err
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < time.Minute || d > DefaultQueueAge {
		return 0, fmt.Errorf("must be a duration from \"1m\" to \"24h\", after which servers take no values, not %q", s)
	}
	return d, nil
}

// asWords splits a line into words as a shell does: at blanks, but for those in 'single' or
// "double" quotes or behind a backslash. Nothing is expanded, and no other character is special.
func asWords(v any) ([]string, error) {
	s, err := asString(v)
	if err != nil {
		return nil, err
	}
	var words []string
	var word strings.Builder
	inWord, quote := false, rune(0)
	escaped := false
	for _, r := range s {
		switch {
		case escaped:
			if quote == '"' && !strings.ContainsRune("\"\\$`", r) {
				word.WriteByte('\\') // which is special there before those only
			}
			word.WriteRune(r)
			escaped = false
		case r == '\\' && quote != '\'':
			escaped, inWord = true, true
		case r == quote && quote != 0:
			quote = 0
		case quote == 0 && (r == '\'' || r == '"'):
			quote, inWord = r, true
		case quote == 0 && strings.ContainsRune(" \t\r\n", r):
			if inWord {
				words = append(words, word.String())
				word.Reset()
				inWord = false
			}
		default:
			word.WriteRune(r)
			inWord = true
		}
	}
	switch {
	case quote != 0:
		return nil, fmt.Errorf("has a %c that is not closed", quote)
	case escaped:
		return nil, errors.New("ends in a backslash")
	}
	if inWord {
		words = append(words, word.String())
	}
	if len(words) == 0 || words[0] == "" {
		return nil, errors.New("is empty: write the name of a plugin, and its options")
	}
	return words, nil
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

// A pluginTable is what the table of a plugin says, of whichever kind, and that of an action.
type pluginTable struct {
	metric   MetricPlugin // has what all of them have
	check    CheckPlugin
	metadata MetadataPlugin

	command, plugin bool // the table has that key
}

// A pluginKey is one name that a plugin's table may hold. set returns an error as a key does.
type pluginKey struct {
	name  string
	kinds int
	set   func(l *loader, path []string, p *pluginTable, v any) error
}

// field returns a plugin's key whose value is kept as it is.
func field[T any](name string, kinds int, read func(v any) (T, error), to func(*pluginTable) *T) pluginKey {
	return pluginKey{name, kinds, func(_ *loader, _ []string, p *pluginTable, v any) error {
		x, err := read(v)
		if err == nil {
			*to(p) = x
		}
		return err
	}}
}

// bounded returns a plugin's key that holds a number of some unit. One outside of least to most
// becomes the nearest inside, with a note.
func bounded(name string, kinds int, read func(v any) (int64, error), least, most int64, unit string, keep func(p *pluginTable, n int64)) pluginKey {
	return pluginKey{name, kinds, func(l *loader, path []string, p *pluginTable, v any) error {
		n, err := read(v)
		if err != nil {
			return err
		}
		in := min(max(n, least), most)
		if in != n {
			l.note(path, "%s is %d and counts as %d%s", shown(path), n, in, unit)
		}
		keep(p, in)
		return nil
	}}
}

// commandKeys is every key of a table that says what to run, which a check's action is too.
var commandKeys = []pluginKey{
	{"command", kindAll, func(_ *loader, _ []string, p *pluginTable, v any) (err error) {
		p.command = true
		p.metric.Command.Args, err = asArgs(v)
		return err
	}},
	field("user", kindAll, asString, func(p *pluginTable) *string { return &p.metric.Command.User }),
	field("env", kindAll, asEnv, func(p *pluginTable) *[]string { return &p.metric.Command.Env }),
	field("timeout_seconds", kindAll, asSeconds, func(p *pluginTable) *time.Duration { return &p.metric.Command.Timeout }),
}

// pluginKeys is every key of a plugin's table.
var pluginKeys = slices.Concat(commandKeys, []pluginKey{
	{"plugin", kindAll, func(_ *loader, _ []string, p *pluginTable, v any) (err error) {
		p.plugin = true
		p.metric.Bundled, err = asWords(v)
		return err
	}},
	field("custom_identifier", kindMetrics|kindChecks, asString, func(p *pluginTable) *string { return &p.metric.CustomIdentifier }),
	field("include_pattern", kindMetrics, asRegexp, func(p *pluginTable) **regexp.Regexp { return &p.metric.Include }),
	field("exclude_pattern", kindMetrics, asRegexp, func(p *pluginTable) **regexp.Regexp { return &p.metric.Exclude }),
	field("use_plugin_timestamp", kindMetrics, asBool, func(p *pluginTable) *bool { return &p.metric.UsePluginTime }),
	bounded("check_interval", kindChecks, asMinutes, leastCheckInterval, mostCheckInterval, " minutes", func(p *pluginTable, n int64) {
		p.check.Interval = time.Duration(n) * time.Minute
	}),
	bounded("notification_interval", kindChecks, asMinutes, leastNotificationInterval, math.MaxInt32, " minutes", func(p *pluginTable, n int64) {
		p.check.NotificationInterval = n
	}),
	bounded("max_check_attempts", kindChecks, asWhole, 0, mostCheckAttempts, "", func(p *pluginTable, n int64) {
		p.check.MaxCheckAttempts = n
	}),
	field("prevent_alert_auto_close", kindChecks, asBool, func(p *pluginTable) *bool { return &p.check.PreventAutoClose }),
	{"memo", kindChecks, setMemo},
	{"action", kindChecks, setAction},
	bounded("execution_interval", kindMetadata, asMinutes, leastExecutionInterval, math.MaxInt32, " minutes", func(p *pluginTable, n int64) {
		p.metadata.Interval = time.Duration(n) * time.Minute
	}),
})

func setMemo(l *loader, path []string, p *pluginTable, v any) error {
	s, err := asString(v)
	if err != nil {
		return err
	}
	if p.check.Memo = firstRunes(s, maxMemo); len(p.check.Memo) < len(s) {
		l.note(path, "%s is longer than %d characters and was cut", shown(path), maxMemo)
	}
	return nil
}

// firstRunes returns the first n characters of s.
func firstRunes(s string, n int) string {
	for i := range s {
		if n == 0 {
			return s[:i]
		}
		n--
	}
	return s
}

// actionKeys is every key of the table of a check's action.
var actionKeys = slices.Concat(commandKeys, []pluginKey{
	field("on", kindChecks, asStatuses, func(p *pluginTable) *[]saba.CheckStatus { return &p.check.ActWhen.On }),
	field("on_change", kindChecks, asBool, func(p *pluginTable) *bool { return &p.check.ActWhen.OnChange }),
	bounded("max_per_hour", kindChecks, asWhole, 1, mostActionsAnHour, "", func(p *pluginTable, n int64) { p.check.ActWhen.PerHour = n }),
})

// asStatuses reads verdicts of checks, in any case: ["CRITICAL", "unknown"].
func asStatuses(v any) ([]saba.CheckStatus, error) {
	words, err := asStrings(v)
	if err != nil {
		return nil, err
	}
	if len(words) == 0 {
		return nil, errors.New("is empty: name the verdicts after which the action runs, or remove the line")
	}
	statuses := make([]saba.CheckStatus, len(words))
	for i, w := range words {
		statuses[i] = saba.CheckStatus(strings.ToUpper(w))
		if !statuses[i].Valid() {
			return nil, fmt.Errorf("must hold some of OK, WARNING, CRITICAL and UNKNOWN, not %q", w)
		}
	}
	return statuses, nil
}

// setAction reads the table of a check's action. Without a command it is none.
func setAction(l *loader, path []string, p *pluginTable, v any) error {
	m, ok := v.(map[string]any)
	if !ok {
		return wrongType("a table", v)
	}
	var action pluginTable
	l.pluginSection(path, m, actionKeys, kindChecks, &action)
	if action.command {
		p.check.Action, p.check.ActWhen = &action.metric.Command, action.check.ActWhen
	}
	return nil
}

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
		if kind == kindMetadata && strings.HasPrefix(name, "mackerel") {
			l.mistake(at, "%s has a name that the server refuses: those that begin with mackerel are its own", shown(at))
		}
		l.plugin(at, name, t, kind)
	}
	return nil
}

// plugin reads the table of one plugin.
func (l *loader) plugin(path []string, name string, m map[string]any, kind int) {
	var p pluginTable
	l.pluginSection(path, m, pluginKeys, kind, &p)
	kindWord := strings.TrimPrefix(kindName(kind), "plugin.")
	switch b := p.metric.Bundled; {
	case p.command && p.plugin:
		l.mistake(path, "%s has both command and plugin: write one of them", shown(path))
	case !p.command && !p.plugin:
		l.mistake(path, "%s has no command", shown(path))
	case p.plugin && p.metric.Command.User != "":
		l.mistake(path, "%s has a user, but a plugin that is part of this program runs as the program does: remove user, or write a command", shown(path))
	case len(b) > 0 && !l.options.Bundled(kindWord, b[0]):
		l.mistake(path, "%s names %q, which is not among the %s plugins of this program", shown(path), b[0], kindWord)
	}
	switch p.metric.Name = name; kind {
	case kindMetrics:
		l.metrics[name] = p.metric
	case kindChecks:
		c := p.check
		c.Name, c.Command, c.Bundled, c.CustomIdentifier = name, p.metric.Command, p.metric.Bundled, p.metric.CustomIdentifier
		c.Interval = cmp.Or(c.Interval, leastCheckInterval*time.Minute)
		if c.PreventAutoClose && c.MaxCheckAttempts > 1 {
			l.note(path, "%s has prevent_alert_auto_close, so max_check_attempts counts as 1, not %d", shown(path), c.MaxCheckAttempts)
			c.MaxCheckAttempts = 1
		}
		l.checks[name] = c
	case kindMetadata:
		l.metadata[name] = MetadataPlugin{Name: name, Command: p.metric.Command, Bundled: p.metric.Bundled,
			Interval: cmp.Or(p.metadata.Interval, leastExecutionInterval*time.Minute)}
	}
}

// pluginSection reads the keys of one table of a plugin into p, in the order of their lines.
func (l *loader) pluginSection(path []string, m map[string]any, keys []pluginKey, kind int, p *pluginTable) {
	seen := map[string]string{}
	for _, name := range l.inOrder(path, m) {
		at := append(slices.Clone(path), name)
		i := slices.IndexFunc(keys, func(k pluginKey) bool { return l.isKey(k.name, name) })
		switch {
		case i < 0:
			var known []key
			for _, k := range keys {
				if k.kinds&kind != 0 {
					known = append(known, key{name: k.name})
				}
			}
			l.mistake(at, "unknown key %q%s", shown(at), nearest(name, l.spelled(known)))
			continue
		case keys[i].kinds&kind == 0:
			l.mistake(at, "%s has no meaning there: %q belongs to %s", shown(at), l.spell(keys[i].name), kindName(keys[i].kinds))
			continue
		}
		if before, dup := seen[keys[i].name]; dup {
			l.mistake(at, "%s is the same key as %s: keys do not tell upper from lower case", shown(at), before)
			continue
		}
		seen[keys[i].name] = name
		if m[name] == nil {
			continue
		}
		if err := keys[i].set(l, at, p, m[name]); err != nil {
			l.mistake(at, "%s %v", shown(at), err)
		}
	}
}

// asArgs reads a command: a string is for the shell, an array is run as it is.
func asArgs(v any) ([]string, error) {
	if s, ok := v.(scalar); ok {
		v = s.text // "command: true"
	}
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
		s, err := asString(m[k])
		name := strings.TrimSpace(k)
		switch {
		case err != nil:
			return nil, fmt.Errorf("value of %s: %w", k, err)
		case strings.ContainsAny(name, "=\x00") || strings.Contains(s, "\x00"):
			return nil, fmt.Errorf("has a variable that cannot be one: %q", k)
		case name != "":
			env = append(env, name+"="+s)
		}
	}
	return env, nil
}

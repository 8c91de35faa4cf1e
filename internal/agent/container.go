package agent

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/saba-monitor/saba"
)

// What a container's agent uses where nobody says otherwise.
const (
	// DefaultContainerRoot is where the protocol's other container agent keeps the host's id.
	DefaultContainerRoot = "/var/tmp/mackerel-container-agent"
	// DefaultContainerStop is less than the 30 s after which Kubernetes and ECS kill a container that they stop.
	DefaultContainerStop = 25 * time.Second
)

// The bounds of what a file of YAML may hold, references counted as often as they are followed.
const (
	maxYAMLValues = 100_000
	maxYAMLDepth  = 100
)

// A ContainerConfig is what the agent of a container is told, by its file and its environment. Its keys are those of
// the protocol's other container agent, so that its files keep working; a file is YAML.
type ContainerConfig struct {
	Config
	Ignore      *regexp.Regexp // containers to leave out; nil leaves out none
	InMemory    bool           // nothing is kept in Root
	NoExtras    bool           // no metrics but those of the protocol's other agents
	KeepHost    bool           // the host is not retired when the agent ends
	StopTimeout time.Duration  // 0 means DefaultContainerStop
	Readiness   []Gate         // that the file asks for: none or one
	LogLevel    string         // TRACE, DEBUG, INFO, WARNING, ERROR or CRITICAL; "" is INFO
}

// containerKeys is every key of a container's file.
var containerKeys = []key{
	{"apikey", func(l *loader, path []string, v any) error { return l.setKey(path, v, false) }},
	{"apikey_file", func(l *loader, path []string, v any) error { return l.setKey(path, v, true) }},
	config("apibase", asBase, func(c *Config) *string { return &c.APIBase }),
	config("root", asString, func(c *Config) *string { return &c.Root }),
	config("roles", asRoles, func(c *Config) *[]saba.RoleName { return &c.Roles }),
	config("display_name", asString, func(c *Config) *string { return &c.DisplayName }),
	config("memo", asString, func(c *Config) *string { return &c.Memo }),
	config("host_status_on_start", asStatus, func(c *Config) *saba.HostStatus { return &c.OnStart }),
	config("diagnostic", asBool, func(c *Config) *bool { return &c.Diagnostic }),
	ofContainer("ignore_container", asRegexp, func(c *ContainerConfig) **regexp.Regexp { return &c.Ignore }),
	ofContainer("host_id_store", asIDStore, func(c *ContainerConfig) *bool { return &c.InMemory }),
	ofContainer("container_extras", asNot, func(c *ContainerConfig) *bool { return &c.NoExtras }),
	ofContainer("retire_on_exit", asNot, func(c *ContainerConfig) *bool { return &c.KeepHost }),
	ofContainer("stop_timeout", asStopTimeout, func(c *ContainerConfig) *time.Duration { return &c.StopTimeout }),
	ofContainer("log_level", asLogLevel, func(c *ContainerConfig) *string { return &c.LogLevel }),
	{"readiness_probe", func(l *loader, path []string, v any) error { return l.probe(path, v) }},
	table("queue", []key{
		config("max_bytes", asBytes, func(c *Config) *int64 { return &c.QueueBytes }),
		config("max_age", asQueueAge, func(c *Config) *time.Duration { return &c.QueueAge }),
	}),
	table("plugin", []key{
		{"metrics", func(l *loader, path []string, v any) error { return l.plugins(path, v, kindMetrics) }},
		{"checks", func(l *loader, path []string, v any) error { return l.plugins(path, v, kindChecks) }},
		{"metadata", func(l *loader, path []string, v any) error { return l.plugins(path, v, kindMetadata) }},
	}),
}

// ofContainer returns a key whose value is a field of ContainerConfig.
func ofContainer[T any](name string, read func(v any) (T, error), field func(*ContainerConfig) *T) key {
	return key{name, func(l *loader, _ []string, v any) error {
		x, err := read(v)
		if err == nil {
			*field(&l.container) = x
		}
		return err
	}}
}

// asNot reads true or false as its opposite.
func asNot(v any) (bool, error) {
	b, err := asBool(v)
	return !b && err == nil, err
}

// asIDStore reads where the host's id is kept; true is in memory.
func asIDStore(v any) (bool, error) {
	switch s, err := asString(v); {
	case err != nil:
		return false, err
	case s == "" || s == "file":
		return false, nil
	case s == "memory":
		return true, nil
	default:
		return false, fmt.Errorf("must be file or memory, not %q", s)
	}
}

// asStopTimeout reads a duration, "25s", or an integer of seconds.
func asStopTimeout(v any) (time.Duration, error) {
	const least, most = time.Second, time.Hour
	s, err := asString(v)
	if err != nil {
		return 0, err
	}
	if _, err := strconv.ParseUint(s, 10, 32); err == nil {
		s += "s"
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < least || d > most {
		return 0, fmt.Errorf("must be a duration from \"1s\" to \"1h\", shorter than that after which the container is killed, not %q", s)
	}
	return d, nil
}

// asLogLevel reads one of the levels of the protocol's other container agent, in any case.
func asLogLevel(v any) (string, error) {
	s, err := asString(v)
	if err != nil {
		return "", err
	}
	switch level := strings.ToUpper(s); level {
	case "", "TRACE", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL":
		return level, nil
	}
	return "", fmt.Errorf("must be TRACE, DEBUG, INFO, WARNING, ERROR or CRITICAL, not %q", s)
}

// ContainerSource is where the configuration of a container's agent comes from.
type ContainerSource struct {
	Name string // of the file, for mistakes; "" when there is none
	Text []byte
	// Setting reads a variable of the environment by its name without its first word.
	Setting func(name string) string
	// Getenv reads a variable of the environment by its whole name.
	Getenv func(name string) string
	// Environ is what the command of a readiness probe gets.
	Environ []string
	LoadOptions
}

// LoadContainer returns what a file of YAML and the environment say together: where both do, the file counts. The error
// joins every mistake found, not the first one only. Without a key the configuration is complete otherwise.
func LoadContainer(src ContainerSource) (ContainerConfig, error) {
	l := newLoader(src.LoadOptions)
	l.yaml, l.file, l.environ = true, src.Name, src.Environ
	if len(src.Text) > maxConfig {
		return ContainerConfig{}, saba.Errorf(saba.ErrInvalid, "%s is larger than %d bytes: is it a configuration file?", src.Name, maxConfig)
	}
	l.readYAML(src.Text)
	l.readKey()
	l.containerEnvironment(src.Setting, src.Getenv)
	if len(l.mistakes) > 0 {
		return ContainerConfig{}, errors.Join(l.mistakes...)
	}
	c := l.container
	c.Config = l.config
	c.Metrics, c.Checks, c.Metadata = byName(l.metrics), byName(l.checks), byName(l.metadata)
	return c, nil
}

// containerSettings are the variables that stand for keys of the file, without their first word.
var containerSettings = []struct {
	name, key string
	list      bool // of words with commas between them
}{
	{"APIBASE", "apibase", false},
	{"ROLES", "roles", true},
	{"DISPLAY_NAME", "display_name", false},
	{"MEMO", "memo", false},
	{"IGNORE_CONTAINER", "ignore_container", false},
	{"HOST_STATUS_ON_START", "host_status_on_start", false},
	{"HOST_ID_STORE", "host_id_store", false},
	{"STATE_DIR", "root", false},
	{"CONTAINER_EXTRAS", "container_extras", false},
	{"RETIRE_ON_EXIT", "retire_on_exit", false},
	{"STOP_TIMEOUT", "stop_timeout", false},
	{"DIAGNOSTIC", "diagnostic", false},
}

// containerEnvironment takes from the environment what the file does not say.
func (l *loader) containerEnvironment(setting, getenv func(name string) string) {
	said := func(key string) bool {
		for path := range l.lines {
			if !strings.Contains(path, "\x00") && l.isKey(key, path) {
				return true
			}
		}
		return false
	}
	wrong := func(variable string, err error) {
		l.mistakes = append(l.mistakes, saba.Errorf(saba.ErrInvalid, "MACKEREL_%s (or SABA_%[1]s) %v", variable, err))
	}
	set := func(name, key string, v any) {
		for _, k := range containerKeys {
			if k.name == key && !said(key) {
				if err := k.set(l, nil, v); err != nil {
					wrong(name, err)
				}
			}
		}
	}
	for _, s := range containerSettings {
		text := setting(s.name)
		if s.name == "APIBASE" {
			if own := getenv("SABA_API_BASE"); own != "" { // as the agent of a host has it
				text = own
			}
		}
		if text == "" {
			continue
		}
		var v any = text
		switch b, err := strconv.ParseBool(text); {
		case s.list:
			var words []any
			for word := range strings.SplitSeq(text, ",") {
				if word = strings.TrimSpace(word); word != "" {
					words = append(words, word)
				}
			}
			v = words
		case err == nil:
			v = scalar{text, b} // where a string is wanted, it is one
		}
		set(s.name, s.key, v)
	}
	if l.config.APIKey == "" && l.config.APIKeyFile == "" {
		key := getenv("SABA_API_KEY")
		if key == "" {
			key = setting("APIKEY")
		}
		l.config.APIKey = key
	}
	if l.container.LogLevel == "" {
		var err error
		if l.container.LogLevel, err = asLogLevel(setting("LOG_LEVEL")); err != nil {
			// As the other container agent has it, a level that nobody knows is the usual one.
			l.config.Notes = append(l.config.Notes, fmt.Sprintf("MACKEREL_LOG_LEVEL %v: it counts as INFO", err))
		}
	}
}

// readYAML takes the content of one file of YAML; what is wrong with it goes to l.mistakes.
func (l *loader) readYAML(b []byte) {
	l.lines = map[string]int{}
	var doc yaml.Node
	if err := yaml.Unmarshal(b, &doc); err != nil {
		line, text := yamlError(err)
		l.mistakes = append(l.mistakes, &Mistake{l.file, line, text})
		return
	}
	if doc.Kind == 0 || len(doc.Content) == 0 {
		return // empty, or comments alone
	}
	w := yamlWalk{l: l}
	v := w.value(nil, doc.Content[0], 0)
	if w.stopped {
		return
	}
	switch m := v.(type) {
	case nil:
	case map[string]any:
		l.section(nil, m, containerKeys)
	default:
		l.mistakes = append(l.mistakes, &Mistake{l.file, doc.Content[0].Line, "there must be keys with their values, such as \"apikey: …\""})
	}
}

var yamlLine = regexp.MustCompile(`^yaml: line (\d+): (.*)$`)

// yamlError returns where the text is no YAML (0 when that is not known), and why.
func yamlError(err error) (line int, text string) {
	if m := yamlLine.FindStringSubmatch(err.Error()); m != nil {
		line, _ = strconv.Atoi(m[1])
		return line, "this is no YAML: " + m[2]
	}
	return 0, "this is no YAML: " + strings.TrimPrefix(err.Error(), "yaml: ")
}

// A yamlWalk turns nodes of YAML into values as a file of TOML would have them.
type yamlWalk struct {
	l       *loader
	count   int
	stopped bool
}

// value returns the value of n at path: nil, string, scalar, []any or map[string]any.
func (w *yamlWalk) value(path []string, n *yaml.Node, depth int) any {
	w.count++
	if w.count > maxYAMLValues || depth > maxYAMLDepth {
		if !w.stopped {
			w.l.mistakes = append(w.l.mistakes, &Mistake{w.l.file, n.Line, "there is too much in this file, or it refers to itself: is it a configuration file?"})
		}
		w.stopped = true
	}
	if w.stopped {
		return nil
	}
	switch n.Kind {
	case yaml.AliasNode:
		return w.value(path, n.Alias, depth+1)
	case yaml.SequenceNode:
		list := make([]any, len(n.Content))
		for i, e := range n.Content {
			list[i] = w.value(append(path[:len(path):len(path)], strconv.Itoa(i)), e, depth+1)
		}
		return list
	case yaml.MappingNode:
		m := map[string]any{}
		w.mapping(path, n, m, depth)
		return m
	case yaml.ScalarNode:
		return w.scalar(n)
	}
	return nil
}

// mapping puts the pairs of n into m.
func (w *yamlWalk) mapping(path []string, n *yaml.Node, m map[string]any, depth int) {
	var merged []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		for k.Kind == yaml.AliasNode {
			k = k.Alias
		}
		if k.Tag == "!!merge" {
			merged = append(merged, v)
			continue
		}
		if k.Kind != yaml.ScalarNode {
			w.l.mistakes = append(w.l.mistakes, &Mistake{w.l.file, n.Content[i].Line, "a key must be a word"})
			continue
		}
		at := append(path[:len(path):len(path)], k.Value)
		if before, twice := w.l.lines[join(at)]; twice && m[k.Value] != nil {
			w.l.mistakes = append(w.l.mistakes, &Mistake{w.l.file, n.Content[i].Line, fmt.Sprintf("%s stands on line %d already", shown(at), before)})
			continue
		}
		w.l.lines[join(at)] = n.Content[i].Line
		m[k.Value] = w.value(at, v, depth+1)
	}
	for _, v := range merged { // what stands here counts before what is merged
		w.merge(path, v, m, depth+1)
	}
}

// merge puts the pairs of the mapping v, or of each of a list of them, into m as far as m has none of that key.
func (w *yamlWalk) merge(path []string, v *yaml.Node, m map[string]any, depth int) {
	if v.Kind == yaml.SequenceNode {
		for _, e := range v.Content {
			w.merge(path, e, m, depth+1)
		}
		return
	}
	more, ok := w.value(path, v, depth).(map[string]any)
	if !ok && !w.stopped {
		w.l.mistakes = append(w.l.mistakes, &Mistake{w.l.file, v.Line, "<< must be followed by what holds keys"})
	}
	for k, x := range more {
		if _, has := m[k]; !has {
			m[k] = x
		}
	}
}

// scalar returns the value of one that stands alone.
func (w *yamlWalk) scalar(n *yaml.Node) any {
	var v any
	if err := n.Decode(&v); err != nil {
		_, text := yamlError(err)
		w.l.mistakes = append(w.l.mistakes, &Mistake{w.l.file, n.Line, text})
		return nil
	}
	switch v := v.(type) {
	case nil:
		return nil
	case string:
		return v
	case int:
		return scalar{n.Value, int64(v)}
	}
	return scalar{n.Value, v}
}

// CheckFolder returns an error when an agent cannot keep anything in the folder root.
func CheckFolder(root string) error {
	if _, _, err := openIDFolder(root); err != nil {
		return err
	}
	probe := idFolder(root).path(".probe")
	if err := os.WriteFile(probe, nil, 0o600); err != nil {
		return err
	}
	return os.Remove(probe)
}

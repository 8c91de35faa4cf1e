package agent

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/pelletier/go-toml/v2/unstable"

	"github.com/saba-monitor/saba"
)

// A Conversion is the configuration file of another agent of the protocol as one of saba's own.
type Conversion struct {
	Text    []byte
	LeftOut []string // "file:3: pidfile": what had no effect
	Inside  []string // "file:3: plugin.metrics.redis": what was a command and is part of the agent now
	Config  Config   // what Text says, without the files that it includes
}

// An Insider returns the words of the key plugin that do inside the agent what a command, of
// "metrics" or of "checks", does as a process; nil when there are none.
type Insider func(kind string, command []string) []string

// ConvertFile reads the configuration file of another agent of the protocol. See convert.
func ConvertFile(file string, inside Insider) (Conversion, error) {
	b, err := readConfig(file)
	if errors.Is(err, os.ErrNotExist) {
		return Conversion{}, saba.Errorf(saba.ErrInvalid, "%s does not exist", file)
	}
	if err != nil {
		return Conversion{}, err
	}
	return convert(file, b, inside)
}

// convert returns the text b with its comments and order, less the lines that have no effect
// here: those that were for other agents alone, and those that no agent acts upon, such as
// mistyped keys, and with what inside knows run inside the agent, unless it has a user of its own.
// What would be wrong in ours too is an error that joins every Mistake.
func convert(file string, b []byte, inside Insider) (Conversion, error) {
	read := func(b []byte) *loader {
		l := newLoader(LoadOptions{})
		l.read(file, b, false)
		return l
	}
	drop := []string{"pidfile", "conffile", "connection", "interfaces.use_adapter"}
	was := read(b)
	var wrong []error
	for _, err := range was.mistakes {
		m, ok := errors.AsType[*Mistake](err)
		if ok {
			if path, found := strings.CutPrefix(m.Text, "unknown key "); found {
				if quoted, err := strconv.QuotedPrefix(path); err == nil {
					name, _ := strconv.Unquote(quoted)
					drop = append(drop, name)
					continue
				}
			}
			if path, _, found := strings.Cut(m.Text, " has no meaning there: "); found {
				drop = append(drop, path)
				continue
			}
		}
		wrong = append(wrong, err)
	}
	if len(wrong) > 0 {
		return Conversion{}, errors.Join(wrong...)
	}
	within := func(name, of string) bool {
		return strings.EqualFold(name, of) || len(name) > len(of) && name[len(of)] == '.' && strings.EqualFold(name[:len(of)], of)
	}
	var c Conversion
	last := "" // that was left out: what is within it goes without saying
	for _, e := range expressions(b) {
		name := shown(e.path)
		dropped := e.path != nil && slices.ContainsFunc(drop, func(d string) bool { return within(name, d) })
		if !dropped {
			if line := was.inside(e.path, inside); line != "" && strings.EqualFold(string(b[e.key:e.key+len("command")]), "command") {
				c.Text = slices.Concat(c.Text, b[e.start:e.key], []byte("plugin = "+line), b[e.rest:e.end])
				c.Inside = append(c.Inside, fmt.Sprintf("%s:%d: %s", file, e.line, shown(e.path[:3])))
				continue
			}
			c.Text = append(c.Text, b[e.start:e.end]...)
			continue
		}
		if last == "" || !within(name, last) {
			c.LeftOut = append(c.LeftOut, fmt.Sprintf("%s:%d: %s", file, e.line, name))
			last = name
		}
	}
	l := read(c.Text)
	if len(l.mistakes) > 0 {
		// Inside an inline table, which has no lines of its own to leave out.
		return Conversion{}, errors.Join(was.mistakes...)
	}
	c.Config = l.config
	c.Config.Metrics, c.Config.Checks, c.Config.Metadata = byName(l.metrics), byName(l.checks), byName(l.metadata)
	return c, nil
}

// inside returns the value of the key plugin that may stand in place of the command at path, as
// TOML, and "" when there is none.
func (l *loader) inside(path []string, inside Insider) string {
	if len(path) != 4 || !strings.EqualFold(path[0], "plugin") || !strings.EqualFold(path[3], "command") {
		return ""
	}
	kind, command := strings.ToLower(path[1]), Command{}
	switch kind {
	case "metrics":
		command = l.metrics[path[2]].Command
	case "checks":
		command = l.checks[path[2]].Command
	}
	args := command.Args
	if len(args) == 3 && args[0] == "sh" && args[1] == "-c" {
		args = shellWords(args[2])
	}
	if len(args) == 0 || command.User != "" {
		return ""
	}
	words := inside(kind, args)
	if len(words) == 0 || strings.ContainsFunc(strings.Join(words, ""), unicode.IsControl) {
		return ""
	}
	line := asLine(words)
	if !strings.Contains(line, "'") {
		return "'" + line + "'"
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(line) + `"`
}

// shellWords returns the words of a shell's command, nil when the shell would do more than to
// split it: expand something, run several commands, or open a file.
func shellWords(s string) []string {
	quote := rune(0)
	escaped := false
	for _, r := range s {
		switch {
		case escaped:
			escaped = false
		case r == '\\' && quote != '\'':
			escaped = true
		case r == quote:
			quote = 0
		case quote == 0 && (r == '\'' || r == '"'):
			quote = r
		case quote == 0 && strings.ContainsRune("$`|&;<>()*?[]{}~#!", r), quote == '"' && strings.ContainsRune("$`!", r):
			return nil
		}
	}
	if strings.Contains(s, "\n") {
		return nil
	}
	words, err := asWords(s)
	if err != nil {
		return nil
	}
	return words
}

// asLine returns a line that asWords splits into words.
func asLine(words []string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		switch {
		case w != "" && !strings.ContainsAny(w, " '\"\\"):
		case !strings.Contains(w, "'"):
			w = "'" + w + "'"
		default:
			w = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(w) + `"`
		}
		quoted[i] = w
	}
	return strings.Join(quoted, " ")
}

// An expression is a piece of a TOML document in whole lines: a key with its value, the header
// of a table, or what stands between such.
type expression struct {
	path       []string // of a key, its table's included; nil for comments and blank lines
	start, end int      // offsets
	key, rest  int      // of a key: the offsets of its name, and of what follows its value
	line       int
}

// expressions cuts a document that is known to parse into its lines.
func expressions(b []byte) []expression {
	var out []expression
	var p unstable.Parser
	p.Reset(b)
	var section []string
	at, line := 0, 1
	add := func(path []string, start, end, key, rest int) {
		if at < start {
			out = append(out, expression{start: at, end: start, line: line})
			line += bytes.Count(b[at:start], []byte("\n"))
		}
		out = append(out, expression{path: path, start: start, end: end, key: key, rest: rest, line: line})
		line += bytes.Count(b[start:end], []byte("\n"))
		at = end
	}
	for p.NextExpression() {
		e := p.Expression()
		var names []string
		first := -1
		for it := e.Key(); it.Next(); {
			if first < 0 {
				first = int(it.Node().Raw.Offset)
			}
			names = append(names, string(it.Node().Data))
		}
		end := first
		if e.Kind == unstable.KeyValue {
			end = int(e.Raw.Offset) + int(e.Raw.Length)
			names = append(slices.Clone(section), names...)
		} else {
			section = names
		}
		rest := end
		// One expression a line, so that the line is the expression's.
		start := bytes.LastIndexByte(b[:first], '\n') + 1
		if i := bytes.IndexByte(b[end:], '\n'); i >= 0 {
			end += i + 1
		} else {
			end = len(b)
		}
		add(names, start, end, first, rest)
	}
	if at < len(b) {
		out = append(out, expression{start: at, end: len(b), line: line})
	}
	return out
}

// readConfig reads a file of at most maxConfig bytes.
func readConfig(file string) ([]byte, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxConfig {
		return nil, saba.Errorf(saba.ErrInvalid, "%s is larger than %d bytes: is it a configuration file?", file, maxConfig)
	}
	return os.ReadFile(file)
}

// SaysNothing says whether a configuration file holds no key at all: comments at the most. One
// that does not exist says nothing, and one that cannot be parsed something.
func SaysNothing(file string) (bool, error) {
	b, err := readConfig(file)
	if errors.Is(err, os.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	var p unstable.Parser
	p.Reset(b)
	return !p.NextExpression() && p.Error() == nil, nil
}

// Settings are what a configuration file can be begun with; "" leaves out.
type Settings struct {
	APIKey     string
	APIKeyFile string
	APIBase    string
}

// check says what is wrong with s, in the words of the flags.
func (s Settings) check() error {
	if strings.ContainsFunc(s.APIKey, func(c rune) bool { return c <= ' ' || c > '~' }) {
		return saba.Errorf(saba.ErrInvalid, "the API key has characters that no key has")
	}
	if s.APIBase != "" {
		if _, err := asBase(s.APIBase); err != nil {
			return saba.Errorf(saba.ErrInvalid, "the API base %v", err)
		}
	}
	if strings.ContainsFunc(s.APIKeyFile+s.APIBase, func(c rune) bool { return c < ' ' || c == 0x7f }) {
		return saba.Errorf(saba.ErrInvalid, "a file or address with control characters in its name is not possible")
	}
	return nil
}

// lines returns s as TOML.
func (s Settings) lines() []byte {
	var b bytes.Buffer
	quote := strings.NewReplacer(`\`, `\\`, `"`, `\"`)
	for _, kv := range [][2]string{{"apikey", s.APIKey}, {"apikey_file", s.APIKeyFile}, {"apibase", s.APIBase}} {
		if kv[1] != "" {
			fmt.Fprintf(&b, "%s = \"%s\"\n", kv[0], quote.Replace(kv[1]))
		}
	}
	return b.Bytes()
}

// InitConfig makes the configuration file with settings s, or puts them in front of what it
// holds. It leaves a file alone that has an API key, and says whether it did so. The file then
// is for its owner alone; an existing one keeps its owner.
func InitConfig(file string, s Settings) (kept bool, err error) {
	if err := s.check(); err != nil {
		return false, err
	}
	old, err := readConfig(file)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return false, err
	}
	if err == nil {
		c, err := Load(file)
		if err != nil {
			return false, err
		}
		if c.APIKey != "" {
			return true, nil
		}
		if c.APIBase != "" && s.APIBase != "" {
			return false, saba.Errorf(saba.ErrInvalid, "%s has an apibase already (%s): change it there, or leave out --apibase", file, c.APIBase)
		}
	}
	return false, WriteConfig(file, append(s.lines(), old...))
}

// With returns the text of the conversion with s in place of its own.
func (c Conversion) With(file string, s Settings) ([]byte, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	var text []byte
	for _, e := range expressions(c.Text) {
		name := strings.ToLower(shown(e.path))
		if s.APIBase != "" && name == "apibase" || s.APIKey+s.APIKeyFile != "" && (name == "apikey" || name == "apikey_file") {
			continue
		}
		text = append(text, c.Text[e.start:e.end]...)
	}
	return append(s.lines(), text...), nil
}

// WriteConfig replaces file by one that holds text and is readable by its owner alone, since a
// key stands in it. A crash leaves the old or the new one whole. Missing folders are made.
func WriteConfig(file string, text []byte) (err error) {
	if target, err := filepath.EvalSymlinks(file); err == nil {
		file = target // what a link points to is replaced, not the link
	}
	dir := filepath.Dir(file)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, "."+filepath.Base(file)+"-") // with mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	if info, statErr := os.Stat(file); statErr == nil {
		err = keepOwner(f, info)
	}
	if err == nil {
		_, err = f.Write(text)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), file)
}

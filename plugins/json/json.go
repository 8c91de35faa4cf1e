// Package json is the plugin that makes metrics of the numbers in any JSON document.
package json

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/plugin"
	"github.com/saba-monitor/saba/plugin/target"
)

// Plugin reports every number of a JSON document under its path: {"a":{"b":1}} is a.b.
var Plugin = plugin.Plugin{
	Name:  "json",
	Short: "every number of a JSON document, from a URL or stdin, under its path",
	New: func(fs *flag.FlagSet) plugin.Collector {
		c := &collector{http: target.HTTP{UserAgent: "mackerel-plugin-json"}, stdinFile: os.Stdin}
		fs.StringVar(&c.url, "url", "", "`URL` of the document")
		fs.BoolVar(&c.stdin, "stdin", false, "read the document from stdin")
		fs.StringVar(&c.prefix, "prefix", "", "`prefix` of the metrics' names")
		fs.StringVar(&c.prefix, "metric-key-prefix", "", "the same as -prefix: `prefix`")
		pattern := func(to **regexp.Regexp, name, usage string) {
			fs.Func(name, usage, func(s string) (err error) {
				*to, err = regexp.Compile(s)
				return err
			})
		}
		pattern(&c.include, "include", "`pattern` that a name, with the prefix, must match")
		pattern(&c.exclude, "exclude", "`pattern` that it must not match")
		pattern(&c.diff, "diff", "`pattern` of the names of counters: their change per minute is reported")
		fs.StringVar(&c.arrayKey, "array-key", "keep", "how members of an array are named: keep is ARRAY.INDEX, drop is INDEX, field:`NAME` is ARRAY and the value of that field")
		fs.BoolVar(&c.compat, "compat", false, "name as other plugins of this name do: prefix custom, and -array-key drop")
		c.http.AddFlags(fs)
		return c
	},
}

type collector struct {
	url       string
	stdin     bool
	stdinFile io.Reader
	prefix    string
	include   *regexp.Regexp
	exclude   *regexp.Regexp
	diff      *regexp.Regexp
	arrayKey  string
	compat    bool
	http      target.HTTP
}

// CheckFlags says which flags do not go together.
func (c *collector) CheckFlags() error {
	if c.compat {
		c.arrayKey = "drop"
		if c.prefix == "" {
			c.prefix = "custom"
		}
	}
	field, isField := strings.CutPrefix(c.arrayKey, "field:")
	switch {
	case (c.url == "") == !c.stdin:
		return errors.New("of -url and -stdin, give one")
	case c.prefix != "" && (strings.ContainsAny(c.prefix, "*#") || !saba.ValidGraphDefName("custom."+c.prefix)):
		return fmt.Errorf("-prefix %q must be made of a-z A-Z 0-9 - _ with single dots between", c.prefix)
	case c.arrayKey != "keep" && c.arrayKey != "drop" && (!isField || field == ""):
		return fmt.Errorf("-array-key %q must be keep, drop or field:NAME", c.arrayKey)
	}
	return nil
}

// Counters returns what -diff says.
func (c *collector) Counters() func(name string) bool {
	if c.diff == nil {
		return nil
	}
	return c.diff.MatchString
}

// Collect reads the document once.
func (c *collector) Collect(ctx context.Context) ([]saba.Value, error) {
	body, name, err := c.read(ctx)
	if err != nil {
		return nil, err
	}
	values, err := c.parse(body)
	if err != nil {
		return nil, fmt.Errorf("the document of %s %w", name, err)
	}
	return values, nil
}

// read returns the document, and its name for people.
func (c *collector) read(ctx context.Context) ([]byte, string, error) {
	if !c.stdin {
		body, err := c.http.Get(ctx, c.url)
		return body, c.http.Name(c.url), err
	}
	const most = 4 << 20
	body, err := io.ReadAll(io.LimitReader(c.stdinFile, most+1))
	if err == nil && len(body) > most {
		err = fmt.Errorf("it has more than %d bytes", most)
	}
	if err != nil {
		return nil, "", fmt.Errorf("read the document on stdin: %w", err)
	}
	return body, "stdin", nil
}

// parse returns the numbers of a document that the patterns let pass, by name. The error is a clause.
func (c *collector) parse(body []byte) ([]saba.Value, error) {
	var doc any
	if err := json.Unmarshal(body, &doc); err != nil {
		return nil, fmt.Errorf("is not JSON: %w", err)
	}
	var values []saba.Value
	c.flatten(doc, c.prefix, func(name string, v float64) {
		if (c.include == nil || c.include.MatchString(name)) && (c.exclude == nil || !c.exclude.MatchString(name)) {
			values = append(values, saba.Value{Name: name, Value: v})
		}
	})
	if len(values) == 0 {
		return nil, errors.New("has no number that is asked for")
	}
	return values, nil
}

// flatten calls add for each number that is a member of an object, in the order of the names
// in each. Numbers that stand in an array directly are data rather than metrics and are left
// out, like all that is not a number.
func (c *collector) flatten(v any, path string, add func(name string, v float64)) {
	switch v := v.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			name := join(path, segment(key))
			switch member := v[key].(type) {
			case float64:
				add(name, member)
			case []any:
				if c.arrayKey == "drop" {
					name = path
				}
				c.flatten(member, name, add)
			default:
				c.flatten(member, name, add)
			}
		}
	case []any:
		for i, element := range v {
			switch element.(type) {
			case map[string]any, []any:
				c.flatten(element, join(path, c.index(i, element)), add)
			}
		}
	}
}

// index returns the name of an element of an array.
func (c *collector) index(i int, element any) string {
	field, ok := strings.CutPrefix(c.arrayKey, "field:")
	if object, isObject := element.(map[string]any); ok && isObject {
		switch v := object[field].(type) {
		case string:
			return strings.ReplaceAll(segment(v), ".", "_")
		case float64:
			return segment(strings.ReplaceAll(strconv.FormatFloat(v, 'f', -1, 64), ".", "_"))
		}
	}
	return strconv.Itoa(i)
}

// segment makes a key part of a name. Dots that are in order stay, as other plugins leave them.
func segment(key string) string {
	b := []byte(key)
	for i, c := range b {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_':
		case c == '.' && i > 0 && i < len(b)-1 && b[i-1] != '.':
		default:
			b[i] = '_'
		}
	}
	if len(b) == 0 {
		return "_"
	}
	return string(b)
}

func join(path, segment string) string {
	if path == "" {
		return segment
	}
	return path + "." + segment
}

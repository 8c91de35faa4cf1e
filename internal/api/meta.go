package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/body"
)

const (
	maxMeta = 1 << 20 // bytes of a host's meta
	// maxMetaDepth bounds how deep meta may be nested. Decoders give up at some depth, encoding/json
	// at 10,000 and others at 1,000, and the list of hosts nests it four deeper than it came.
	maxMetaDepth = 100
)

// clientMeta is how Go clients read meta. One host that does not fit makes the whole list of
// hosts unreadable for all of them.
type clientMeta struct {
	AgentName     string                    `json:"agent-name"`
	AgentVersion  string                    `json:"agent-version"`
	AgentRevision string                    `json:"agent-revision"`
	BlockDevice   map[string]map[string]any `json:"block_device"`
	CPU           []map[string]any          `json:"cpu"`
	Filesystem    map[string]any            `json:"filesystem"`
	Kernel        map[string]string         `json:"kernel"`
	Memory        map[string]string         `json:"memory"`
	Cloud         *struct {
		Provider string `json:"provider"`
		Metadata any    `json:"metadata"`
	} `json:"cloud"`
}

// cleanMeta checks the meta of a request and returns what to keep: all of it, in its order,
// without blanks, and with the values of kernel and memory as strings. The error matches
// ErrInvalid: meta is missing, no object, too large, or has a known key of a shape that
// clients cannot read.
func cleanMeta(raw json.RawMessage) (json.RawMessage, error) {
	switch kind := jsonKind(raw); {
	case kind == "nothing":
		return nil, saba.Invalidf("meta", "is required: send an object, {} if there is nothing to say")
	case kind != "an object":
		return nil, saba.Invalidf("meta", "must be an object, not %s", kind)
	case len(raw) > maxMeta:
		return nil, saba.Invalidf("meta", "must be %s or less, not %d bytes", body.Size(maxMeta), len(raw))
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, bytes.ToValidUTF8(raw, []byte("\uFFFD"))); err != nil {
		return nil, saba.Invalidf("meta", "cannot be read: %v", err)
	}
	if nesting(compact.Bytes()) > maxMetaDepth {
		return nil, saba.Invalidf("meta", "must not be nested deeper than %d", maxMetaDepth)
	}
	meta, err := mapMembers(compact.Bytes(), func(key string, value json.RawMessage) (json.RawMessage, error) {
		// Clients match keys without regard to case, and of two they read both.
		if (strings.EqualFold(key, "kernel") || strings.EqualFold(key, "memory")) && jsonKind(value) == "an object" {
			return mapMembers(value, stringify)
		}
		return value, nil
	})
	if err != nil {
		return nil, saba.Invalidf("meta", "cannot be read: %v", err)
	}
	var probe clientMeta
	var kind *json.UnmarshalTypeError
	if err := json.Unmarshal(meta, &probe); errors.As(err, &kind) {
		return nil, saba.Invalidf("meta."+kind.Field, "must be %s, not %s", wantedKind(kind.Type), article(kind.Value))
	} else if err != nil {
		return nil, saba.Invalidf("meta", "cannot be read: %v", err)
	}
	return meta, nil
}

// nesting returns how deep arrays and objects are nested in a valid JSON value; 0 for a scalar.
func nesting(value []byte) int {
	depth, deepest := 0, 0
	inString := false
	for i := 0; i < len(value); i++ {
		switch c := value[i]; {
		case inString && c == '\\':
			i++ // whatever it escapes
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			depth++
			deepest = max(deepest, depth)
		case c == '}' || c == ']':
			depth--
		}
	}
	return deepest
}

// stringify makes a string of any JSON value: 1 is "1", null is "", and what is nested becomes its text.
func stringify(_ string, value json.RawMessage) (json.RawMessage, error) {
	switch jsonKind(value) {
	case "a string":
		return value, nil
	case "null":
		return json.RawMessage(`""`), nil
	}
	return json.Marshal(string(value))
}

// mapMembers rewrites the values of a JSON object, which stays in its order.
func mapMembers(object json.RawMessage, f func(key string, value json.RawMessage) (json.RawMessage, error)) (json.RawMessage, error) {
	dec := json.NewDecoder(bytes.NewReader(object))
	if _, err := dec.Token(); err != nil {
		return nil, err
	}
	out := []byte{'{'}
	for dec.More() {
		token, err := dec.Token()
		if err != nil {
			return nil, err
		}
		key, _ := token.(string) // encoding/json yields nothing else here
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, err
		}
		if value, err = f(key, value); err != nil {
			return nil, err
		}
		name, err := json.Marshal(key)
		if err != nil {
			return nil, err
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(append(append(out, name...), ':'), value...)
	}
	return append(out, '}'), nil
}

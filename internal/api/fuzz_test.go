package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/saba-monitor/saba"
)

// Whatever meta an agent sends, what is kept can be read by every client, and kept again
// unchanged.
func FuzzMeta(f *testing.F) {
	for _, s := range []string{
		`{}`, `{"kernel":{"release":6.10,"x":null,"y":[1, {}]},"memory":{"total":"1kB"}}`, `{"Kernel":{"a":true},"kernel":{"a":1}}`,
		`{"agent-name":"x","cpu":[{"mhz":1}],"cloud":{"provider":"ec2","metadata":[1]}}`, `[]`, `{"kernel":1}`, "{\"\xff\":\"\xff\"}",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if !json.Valid(b) {
			return // the body it stands in would not have been decoded
		}
		kept, err := cleanMeta(b)
		if err != nil {
			if !errors.Is(err, saba.ErrInvalid) {
				t.Errorf("cleanMeta(%q): %v does not match ErrInvalid", b, err)
			}
			return
		}
		var client clientMeta
		if err := json.Unmarshal(kept, &client); err != nil {
			t.Errorf("cleanMeta(%q) = %s, which no client can read: %v", b, kept, err)
		}
		again, err := cleanMeta(kept)
		if err != nil || !bytes.Equal(again, kept) {
			t.Errorf("cleanMeta(%q) = %s, and of that %s, %v", b, kept, again, err)
		}
	})
}

// Whatever a body holds, the sentence about it names a place inside it and nothing else breaks.
func FuzzBadJSON(f *testing.F) {
	for _, s := range []string{``, `{`, "{\n\"a\":1,\n}", `{"name":1}`, `{"ids":[1]}`, "[\"\xff", `{"checks":{"name":[]}}`, "\x00", `nul`, `1 2`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var in struct {
			hostIn
			IDs    []string
			Status saba.HostStatus
		}
		err := json.Unmarshal(body, &in)
		if err == nil {
			return
		}
		said := badJSON(body, err)
		if !errors.Is(said, saba.ErrInvalid) {
			t.Fatalf("badJSON(%q) = %v does not match ErrInvalid", body, said)
		}
		_, at, ok := strings.Cut(said.Error(), "line ")
		if !ok {
			if len(bytes.TrimSpace(body)) > 0 {
				t.Errorf("badJSON(%q) = %v names no place", body, said)
			}
			return
		}
		var line, column int
		if n, err := fmt.Sscanf(at, "%d, column %d", &line, &column); n != 2 || err != nil {
			return // "line " came from the body
		}
		if lines := bytes.Count(body, []byte("\n")) + 1; line < 1 || line > lines || column < 1 || column > len(body)+1 {
			t.Errorf("badJSON(%q) = %v: there is no such place", body, said)
		}
	})
}

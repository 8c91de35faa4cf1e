package saba

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
)

func TestCulpritsFromOutside(t *testing.T) {
	long := strings.Repeat("é", 100)
	for name, tt := range map[string]struct {
		value string
		want  Culprits
	}{
		"what an agent says is kept as it is": {
			`{"at":5,"why":["cpu","boot"],"uptime":240,"cpu":[{"name":"mysqld","pid":7,"user":"mysql","cpu":312.5,"rss":4096}],"memory":[],"pressure":{"cpu":1,"memory":2,"io":30.5},"seen":80,"partial":true}`,
			Culprits{At: 5, Why: []Strain{StrainBoot, StrainCPU}, Uptime: 240, CPU: []Culprit{{"mysqld", 7, "mysql", 312.5, 4096}}, Pressure: &PressureShares{1, 2, 30.5}, Seen: 80, Partial: true},
		},
		"a list is cut": {
			`{"memory":[` + strings.Repeat(`{"name":"a","pid":1},`, 5) + `{"name":"b","pid":1}]}`,
			Culprits{Memory: []Culprit{{Name: "a", PID: 1}, {Name: "a", PID: 1}, {Name: "a", PID: 1}, {Name: "a", PID: 1}, {Name: "a", PID: 1}}},
		},
		"names are one short line": {
			`{"cpu":[{"name":"a\nb\u0000\u202e\ud800","pid":1,"user":"` + long + `"}]}`,
			Culprits{CPU: []Culprit{{Name: "a?b???", PID: 1, User: strings.Repeat("é", 63) + "…"}}},
		},
		"processes that cannot be are left out": {
			`{"uptime":1,"cpu":[{"name":"a","pid":0},{"name":" ","pid":1},{"name":"b","pid":1,"cpu":-1},{"name":"c","pid":1,"cpu":1e300},{"name":"d","pid":1,"rss":-1}]}`,
			Culprits{Uptime: 1},
		},
		"so are other figures that cannot be": {
			`{"at":-1,"why":["cpu","cpu","<b>"],"uptime":-3,"pressure":{"cpu":101},"seen":-1,"cpu":[{"name":"a","pid":1}]}`,
			Culprits{Why: []Strain{StrainCPU}, CPU: []Culprit{{Name: "a", PID: 1}}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ParseCulprits([]byte(tt.value))
			if len(got.Why) == 0 {
				got.Why = nil
			}
			if err != nil || !reflect.DeepEqual(got, tt.want) {
				t.Errorf("ParseCulprits = %+v, %v, want %+v", got, err, tt.want)
			}
		})
	}
	for name, value := range map[string]string{
		"nothing": "null", "no object": `[1]`, "no JSON": `{"cpu":`, "another shape": `{"cpu":"mysqld"}`, "what says nothing": `{"cpu":[],"uptime":0}`,
		"a number that is none": `{"cpu":[{"name":"a","pid":1,"cpu":1e999}]}`, "a book": `{"uptime":1,"x":"` + strings.Repeat("x", maxCulpritsSize) + `"}`,
	} {
		t.Run(name+" is refused", func(t *testing.T) {
			if got, err := ParseCulprits([]byte(value)); !errors.Is(err, ErrInvalid) {
				t.Errorf("ParseCulprits = %+v, %v, want an error matching ErrInvalid", got, err)
			}
		})
	}
}

func TestBootedBeforeAnAlert(t *testing.T) {
	for name, tt := range map[string]struct {
		c       Culprits
		seconds int64
		ok      bool
	}{
		"before":        {Culprits{At: 1000, Uptime: 300}, 250, true},
		"not known":     {Culprits{At: 1000}, 950, false},
		"only after it": {Culprits{At: 1000, Uptime: 40}, -10, false},
	} {
		if s, ok := tt.c.Booted(950); ok != tt.ok || ok && s != tt.seconds {
			t.Errorf("%s: Booted = %d, %v, want %d, %v", name, s, ok, tt.seconds, tt.ok)
		}
	}
}

// Whatever a stranger writes, what is accepted is within the limits, and survives being kept.
func FuzzParseCulprits(f *testing.F) {
	f.Add([]byte(`{"at":5,"why":["cpu"],"uptime":240,"cpu":[{"name":"a\u0000","pid":7,"cpu":312.5,"rss":4096}],"memory":[],"pressure":{"cpu":1}}`))
	f.Fuzz(func(t *testing.T, value []byte) {
		c, err := ParseCulprits(value)
		if err != nil {
			return
		}
		kept, err := json.Marshal(c)
		if err != nil || len(kept) > 8<<10 || strings.Contains(string(kept), `\u0000`) {
			t.Fatalf("kept as %d bytes, error %v: %s", len(kept), err, kept)
		}
		if again, err := ParseCulprits(kept); err != nil || !reflect.DeepEqual(again.CPU, c.CPU) || !reflect.DeepEqual(again.Pressure, c.Pressure) {
			t.Errorf("%+v, written and read again: %+v, %v", c, again, err)
		}
	})
}

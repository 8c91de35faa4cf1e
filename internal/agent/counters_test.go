package agent

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/saba-monitor/saba/internal/collect"
)

// A countingSource is a fakeSource whose calls outlive the process.
type countingSource struct {
	fakeSource
	refuse error
}

func (s *countingSource) Save() ([]byte, error) {
	return strconv.AppendInt(nil, s.calls.Load(), 10), nil
}

func (s *countingSource) Restore(state []byte) error {
	n, err := strconv.ParseInt(string(state), 10, 64)
	s.calls.Store(n)
	return errors.Join(err, s.refuse)
}

func TestARestartCostsNoReadingAndDoublesNone(t *testing.T) {
	for name, tt := range map[string]struct {
		damage func(t *testing.T, path string)
	}{
		"counters are kept": {},
		"a damaged file is not used": {func(t *testing.T, path string) {
			if err := os.WriteFile(path, []byte(`{"minute":9`), 0o600); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				first := into(30 * time.Second)
				server := &fakeServer{}
				src := &countingSource{fakeSource: fakeSource{name: "load"}}
				o, _ := options(t, server, src)
				stop := start(t, o)
				time.Sleep(50 * time.Second) // 20 s into the second minute
				stop()
				calls := len(server.all())
				path := filepath.Join(o.Config.Root, counterFile)
				if tt.damage != nil {
					tt.damage(t, path)
				}
				again := &countingSource{fakeSource: fakeSource{name: "load"}}
				o.Sources = []Source{again}
				stop = start(t, o)
				time.Sleep(30 * time.Second) // still in the second minute
				if n := len(server.all()) - calls; tt.damage == nil && n != 0 {
					t.Errorf("%d posts in the minute that the agent before had collected, want none", n)
				}
				time.Sleep(70 * time.Second)
				stop()
				equal(t, "minutes", server.times("host1", "load"), minutes(first, 4))
				equal(t, "minutes with a rate", server.times("host1", "load.delta"), minutes(first, 4))
			})
		})
	}
}

// A source that cannot use what was kept begins with a baseline, as at a first start.
func TestCountersOfAnotherBootAreNotUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first := into(30 * time.Second)
		server := &fakeServer{}
		o, log := options(t, server, &countingSource{fakeSource: fakeSource{name: "load"}})
		stop := start(t, o)
		time.Sleep(10 * time.Second)
		stop()
		time.Sleep(time.Hour)
		o.Sources = []Source{&countingSource{fakeSource: fakeSource{name: "load"}, refuse: collect.ErrOtherBoot}}
		stop = start(t, o)
		time.Sleep(10 * time.Second)
		stop()
		equal(t, "minutes with a rate", server.times("host1", "load.delta"), []int64{first, first + 3600})
		if s := log.String(); len(s) > 2000 {
			t.Errorf("a restart of the machine makes a long log:\n%s", s)
		}
	})
}

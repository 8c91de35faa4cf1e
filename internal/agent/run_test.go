package agent

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/saba-monitor/saba"
)

// What an outage, a stop and a start leave between them is on the server once, every minute of it.
func TestNothingIsLostBetweenAStopAndAStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first := into(30 * time.Second)
		server := &fakeServer{onPost: func([]saba.Point) error { return networkError() }}
		o, log := options(t, server, &countingSource{fakeSource: fakeSource{name: "load"}})
		o.Volatile = false
		for range 3 {
			stop := start(t, o)
			time.Sleep(5 * time.Minute)
			before := time.Now()
			stop()
			if took := time.Since(before); took > time.Second {
				t.Errorf("a stop with the server down took %v, with everything on disk", took)
			}
			o.Sources = []Source{&countingSource{fakeSource: fakeSource{name: "load"}}}
		}
		server.set(func() { server.onPost = nil })
		stop := start(t, o)
		time.Sleep(90 * time.Second)
		stop()
		want := minutes(first, int(saba.Minute(time.Now().Unix())-first)/60+1)
		equal(t, "minutes", server.times("host1", "load"), want)
		equal(t, "minutes with a rate", server.times("host1", "load.delta"), want)
		if len(server.created) != 1 {
			t.Errorf("%d hosts were registered, want 1", len(server.created))
		}
		if strings.Contains(log.String(), "lost") {
			t.Errorf("the log tells of a loss:\n%s", log)
		}
	})
}

// A change of the configuration costs no minute, no identity and no counter, and takes what is new.
func TestAReloadChangesTheAgentWhereItStands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first := into(30 * time.Second)
		before, after := &fakeServer{}, &fakeServer{}
		o, log := options(t, before, &countingSource{fakeSource: fakeSource{name: "load"}})
		reload := make(chan Options)
		o.Reload = reload
		stop := start(t, o)
		time.Sleep(50 * time.Second) // 20 s into the second minute
		next := o
		after.put(saba.Host{ID: "host1"})
		next.API = after
		next.Sources = []Source{&countingSource{fakeSource: fakeSource{name: "load"}}}
		next.Config.Root = "/elsewhere" // has no effect
		next.Config.OnStop = saba.Poweroff
		fakePlugin(&next, MetricPlugin{Name: "p"}, func(context.Context, string) (Result, error) {
			return Result{Stdout: []byte("p.x\t1\t0\n")}, nil
		})
		reload <- next
		time.Sleep(3 * time.Minute)
		stop()
		equal(t, "minutes before", before.times("host1", "load"), minutes(first, 2))
		equal(t, "minutes after", after.times("host1", "load"), minutes(first+120, 3))
		equal(t, "minutes with a rate", after.times("host1", "load.delta"), minutes(first+120, 3))
		equal(t, "minutes of the new plugin", after.times("host1", "custom.p.x"), minutes(first+120, 3))
		equal(t, "statuses before", before.statuses, nil)
		equal(t, "statuses after", after.statuses, []saba.HostStatus{saba.Poweroff})
		if len(before.created) != 1 || len(after.created) != 0 {
			t.Errorf("%d and %d hosts registered, want one, before\n%s", len(before.created), len(after.created), log)
		}
	})
}

func TestChecksAndMetadataReachTheServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		into(30 * time.Second)
		server := &fakeServer{}
		o, log := options(t, server, &fakeSource{name: "load"})
		o.Config.Checks = []CheckPlugin{{Name: "disk", Command: Command{Args: []string{"check"}}, Interval: time.Minute, Memo: "full?"}}
		o.Config.Metadata = []MetadataPlugin{{Name: "rack", Command: Command{Args: []string{"meta"}}, Interval: 10 * time.Minute}}
		o.run = func(_ context.Context, c Command, _ []string) (Result, error) {
			if c.Args[0] == "meta" {
				return Result{Stdout: []byte(`{"row":9007199254740993}`)}, nil
			}
			return Result{Stdout: []byte("DISK CRITICAL - 99%\n"), ExitCode: 2}, nil
		}
		stop := start(t, o)
		time.Sleep(15 * time.Minute)
		stop()
		if len(server.reports) == 0 || server.reports[0].Name != "disk" || server.reports[0].Status != saba.CheckCritical {
			t.Fatalf("reports = %+v, want that of the check\n%s", server.reports, log)
		}
		if got := server.metadata["host1 rack"]; got != `{"row":9007199254740993}` {
			t.Errorf("metadata = %q, want it as the plugin printed it\n%s", got, log)
		}
		equal(t, "declared checks", server.created[0].Checks, []saba.CheckDeclaration{{Name: "disk", Memo: "full?"}})
	})
}

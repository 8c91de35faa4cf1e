package agent

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
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

// A check that a new configuration leaves as it is keeps what it knows, and what hangs of it hangs on: a second run beside it
// would hang as well, and so with each reload.
func TestAReloadLeavesChecksAsTheyAre(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		into(30 * time.Second)
		server := &fakeServer{}
		o, log := options(t, server)
		reload := make(chan Options)
		o.Reload = reload
		var runs [3]atomic.Int32 // of each generation
		free := make(chan struct{})
		generation := func(n int, words ...string) Options {
			next := o
			next.Config.Checks = []CheckPlugin{{Name: "nfs", Bundled: append([]string{"disk"}, words...), Interval: time.Minute}}
			err := Bundle(&next.Config, Bundled{Check: func(_ string, args []string) (CheckRunner, error) {
				return fakeCheckRunner{args, func(context.Context, []string, []string) (saba.CheckStatus, string) { // deaf to its context
					runs[n].Add(1)
					<-free
					return saba.CheckWarning, fmt.Sprint("of generation ", n)
				}}, nil
			}})
			if err != nil {
				t.Fatal(err)
			}
			return next
		}
		stop := start(t, generation(0))
		time.Sleep(5 * time.Minute)
		reload <- generation(1)
		time.Sleep(5 * time.Minute)
		if n, again := runs[0].Load(), runs[1].Load(); n != 1 || again != 0 {
			t.Errorf("the check that hangs has run %d and %d times, want once\n%s", n, again, log)
		}
		close(free)
		time.Sleep(5 * time.Minute)
		if n, again := runs[0].Load(), runs[1].Load(); n < 5 || again != 0 {
			t.Errorf("the check no longer hangs and has run %d and %d times, want more of the first alone", n, again)
		}
		reload <- generation(2, "-other")
		time.Sleep(5 * time.Minute)
		stop()
		if n := runs[2].Load(); n < 4 {
			t.Errorf("the check has other arguments and has run %d times, want more", n)
		}
		if last := server.reports[len(server.reports)-1]; last.Message != "of generation 2" {
			t.Errorf("the last report is %+v", last)
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

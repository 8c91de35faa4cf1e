package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	mathrand "math/rand/v2"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/client"
	"github.com/saba-monitor/saba/internal/collect"
)

// A strainedSource is strained when strain says so, in each of its turns.
type strainedSource struct {
	fakeSource
	strain   func() bool
	failing  bool
	strained chan []saba.Strain
	looks    int
}

func (s *strainedSource) Collect(ctx context.Context) ([]saba.Value, error) {
	if s.strain() {
		select {
		case s.strained <- []saba.Strain{saba.StrainCPU}:
		default:
		}
	}
	return s.fakeSource.Collect(ctx)
}

func (s *strainedSource) Suspicion() <-chan []saba.Strain { return s.strained }

func (s *strainedSource) Culprits(_ context.Context, why []saba.Strain, at time.Time) (saba.Culprits, error) {
	s.looks++
	if s.failing {
		return saba.Culprits{}, errors.New("no process can be read")
	}
	return saba.Culprits{At: at.Unix(), Why: why, CPU: []saba.Culprit{{Name: "mysqld", PID: int64(s.looks), CPU: 312}}}, nil
}

// A culpritServer notes what it is sent of culprits, and answers each time as it is told.
type culpritServer struct {
	fakeServer
	answer func() error
	at     []time.Time
	got    []string // what it took
}

func (s *culpritServer) PutMetadata(_ context.Context, o saba.MetadataOwner, namespace string, value json.RawMessage) error {
	s.at = append(s.at, time.Now())
	if err := s.answer(); err != nil {
		return err
	}
	s.got = append(s.got, o.Host+" "+namespace+" "+string(value))
	return nil
}

func TestAStrainedHostTellsWhoIsBusy(t *testing.T) {
	for name, tt := range map[string]struct {
		strain                func(minute int) bool
		failing               bool
		answer                func(n int) error // to the nth document from 1
		looks, sent, received int
		says                  string // the log; "" is nothing about it
	}{
		"while all is well it says nothing": {strain: func(int) bool { return false }},
		"each time that it is strained":     {strain: func(m int) bool { return m >= 3 && m < 6 }, looks: 3, sent: 3, received: 3},
		"again within the minute when the server has an accident": {
			strain: func(m int) bool { return m == 3 }, answer: func(n int) error {
				if n < 4 {
					return apiError(http.StatusServiceUnavailable)
				}
				return nil
			}, looks: 1, sent: 4, received: 1,
		},
		"what is old is given up": {
			strain: func(m int) bool { return m == 3 || m == 10 }, answer: func(n int) error {
				if n < 8 {
					return networkError()
				}
				return nil
			}, looks: 2, sent: 8, received: 1, says: "could not be sent in time",
		},
		"a server that wants none is left alone for an hour": {
			strain: func(m int) bool { return true }, answer: func(int) error { return apiError(http.StatusForbidden) }, looks: 2, sent: 2, says: "does not take",
		},
		"what cannot be read is said once": {strain: func(m int) bool { return m < 5 }, failing: true, looks: 5, says: "it is not known what goes on"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				into(30 * time.Second)
				began := time.Now()
				server := &culpritServer{answer: func() error { return nil }}
				if tt.answer != nil {
					server.answer = func() error { return tt.answer(len(server.at)) }
				}
				source := &strainedSource{fakeSource: fakeSource{name: "load"}, failing: tt.failing, strained: make(chan []saba.Strain, 1)}
				source.strain = func() bool {
					now := time.Since(began)
					return now > 29*time.Second && tt.strain(int((now+30*time.Second)/time.Minute)-1)
				}
				o, log := options(t, &server.fakeServer, source)
				o.API = server
				stop := start(t, o)
				time.Sleep(65 * time.Minute)
				stop()
				if source.looks != tt.looks || len(server.at) != tt.sent || len(server.got) != tt.received {
					t.Errorf("it looked %d times, sent %d and the server took %d, want %d, %d and %d; log:\n%s", source.looks, len(server.at), len(server.got), tt.looks, tt.sent, tt.received, log)
				}
				for _, got := range server.got {
					if !strings.HasPrefix(got, `host1 saba-culprits {"at":`) || !strings.Contains(got, `"why":["cpu"],"cpu":[{"name":"mysqld","pid":`) {
						t.Errorf("the server was told %s", got)
					}
				}
				n := strings.Count(log.String(), "source=culprits")
				if tt.says == "" && n != 0 || tt.says != "" && (n != 1 && tt.says != "could not be sent in time" || !strings.Contains(log.String(), tt.says)) {
					t.Errorf("the log has %d lines, want one that says %q:\n%s", n, tt.says, log)
				}
			})
		})
	}
}

// A machine is a /proc in which one process is busy with three processors, and two wait.
type machine struct{ began time.Time }

func (m machine) Open(name string) (fs.File, error) {
	ticks := int(time.Since(m.began).Seconds() * 300)
	file := func(s string, args ...any) *fstest.MapFile {
		return &fstest.MapFile{Data: fmt.Appendf(nil, s, args...)}
	}
	const psi, status = "some avg10=0.00 avg60=%s avg300=0.00 total=1\n", "%d (%s) S 1 1 1 0 -1 1 1 2 3 4 %d 0 0 0 20 0 1 0 300 1000 %d 1 1 1 0\n"
	return fstest.MapFS{
		"loadavg": file("9.00 9.00 9.00 1/80 11206\n"), "pressure/cpu": file(psi, "85.00"), "pressure/memory": file(psi, "0.00"), "pressure/io": file(psi, "0.00"),
		"7/stat": file(status, 7, "mysqld", ticks, 5000), "8/stat": file(status, 8, "<b>ruby", 5, 900), "7/cmdline": file("mysqld --password=hunter2"),
		"7/status": file("Uid:\t112\t112\t112\t112\nVmRSS:\t 3250000 kB\n"), "8/status": file("Uid:\t0\t0\t0\t0\nVmRSS:\t 9000 kB\n"),
	}.Open(name)
}

// From /proc to an alert: an agent on a machine that is strained, a whole server, and an alert that knows who was busy.
func TestCulpritsReachTheAlert(t *testing.T) {
	ctx, dir, log := context.Background(), t.TempDir(), &logBuffer{}
	logger := slog.New(slog.NewTextHandler(log, nil))
	records, base := realServer(t, dir, logger)
	call, err := client.New(client.Options{Base: base, Key: "k"})
	if err != nil {
		t.Fatal(err)
	}
	c := Config{Root: filepath.Join(dir, "agent"), CloudPlatform: PlatformNone}
	began := time.Now()
	host := newHost(c, collect.Options{
		Proc: machine{began}, Sys: fstest.MapFS{}, Root: fstest.MapFS{"etc/passwd": {Data: []byte("mysql:x:112:112::/:/bin/false\nroot:x:0:0::/:/bin/sh\n")}},
		Clock: func() (time.Duration, error) { return 8*time.Hour + time.Since(began), nil },
	})
	runCtx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- Run(runCtx, Options{Config: c, API: call, Sources: []Source{host}, Log: logger, Random: mathrand.Float64,
			Facts: func(context.Context) (collect.Facts, error) { return collect.Facts{Name: "db1"}, nil }})
	}()
	defer func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	var owner saba.MetadataOwner
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if hosts, err := call.Hosts(ctx, saba.HostFilter{}); err == nil && len(hosts) == 1 {
			owner = saba.MetadataOwner{Org: "org", Host: hosts[0].ID}
			if _, err := records.Metadata(ctx, owner, saba.CulpritsNamespace); err == nil {
				break
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("the server has heard of no culprits; log:\n%s", log)
		}
	}
	if err := records.OpenAlert(ctx, "org", saba.Alert{ID: "a1", Monitor: "m1", Type: "host", Host: owner.Host, Status: saba.CheckCritical, OpenedAt: time.Now().Unix()}, nil); err != nil {
		t.Fatal(err)
	}
	got, err := records.AlertCulprits(ctx, "org", "a1")
	if err != nil || len(got.CPU) != 1 || len(got.Memory) != 2 || got.Pressure == nil || got.Pressure.CPU != 85 || got.Uptime < 8*3600 || !slices.Contains(got.Why, saba.StrainPressure) {
		t.Fatalf("culprits = %+v, %v; log:\n%s", got, err, log)
	}
	if p := got.CPU[0]; p.Name != "mysqld" || p.User != "mysql" || p.CPU < 200 || p.CPU > 400 || p.RSS != 3250000<<10 || got.Memory[1].Name != "<b>ruby" {
		t.Errorf("culprits = %+v", got)
	}
}

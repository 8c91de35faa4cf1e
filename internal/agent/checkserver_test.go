package agent

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/saba-monitor/saba"
	checksdk "github.com/saba-monitor/saba/check"
	bundledcheck "github.com/saba-monitor/saba/checks"
	"github.com/saba-monitor/saba/client"
	"github.com/saba-monitor/saba/internal/api"
	"github.com/saba-monitor/saba/internal/sqldb"
)

// A lossy transport loses the answers to the first few reports after the server has acted on them.
type lossy struct{ lose int }

func (l *lossy) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := http.DefaultTransport.RoundTrip(r)
	if err == nil && r.URL.Path == "/api/v0/monitoring/checks/report" && l.lose > 0 {
		l.lose--
		_, _ = io.Copy(io.Discard, res.Body)
		return nil, errors.Join(errors.New("connection reset"), res.Body.Close())
	}
	return res, err
}

// Real checks and a real metadata plugin, against a whole server, over a connection that loses answers.
func TestChecksAndMetadataOnARealServer(t *testing.T) {
	ctx, dir, log := context.Background(), t.TempDir(), &logBuffer{}
	logger := slog.New(slog.NewTextHandler(log, nil))
	records, err := sqldb.Open(ctx, filepath.Join(dir, "saba.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := records.Close(); err != nil {
			t.Error(err)
		}
	})
	if _, err := records.EnsureOrg(ctx, saba.Org{ID: "org", Name: "first"}); err != nil {
		t.Fatal(err)
	}
	if err := records.CreateKey(ctx, saba.Key{ID: "key", Org: "org", Name: "key", Hash: saba.HashSecret("k"), Read: true, Write: true, CreatedAt: 1}); err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(api.New(api.Options{Store: records, Now: time.Now, Random: rand.Reader, Log: logger, Registerer: prometheus.NewRegistry()}))
	t.Cleanup(srv.Close)
	call, err := client.New(client.Options{Base: srv.URL, Key: "k", HTTP: &http.Client{Transport: &lossy{lose: 3}}})
	if err != nil {
		t.Fatal(err)
	}

	file := filepath.Join(dir, "agent.toml")
	if err := os.WriteFile(file, []byte(`
[plugin.checks.disk]
command = "echo 'disk is full'; exit 2"
memo = "the root disk"
notification_interval = 30
max_check_attempts = 2
[plugin.checks.slow]
command = ["sleep", "60"]
timeout_seconds = 1
[plugin.checks.web]
plugin = "http -u '`+srv.URL+`/no such page' -p fish"
[plugin.metadata.facts]
command = ["echo", '{"n": 9007199254740993}']
`), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(file)
	if err != nil {
		t.Fatal(err)
	}
	err = Bundle(&c, Bundled{Check: func(name string, args []string) (CheckRunner, error) {
		k, ok := bundledcheck.Find(name)
		if !ok {
			return nil, errors.New("it is not there")
		}
		return checksdk.Embed(k, args)
	}})
	if err != nil {
		t.Fatal(err)
	}
	id, err := call.CreateHost(ctx, client.HostParam{Name: "vm", Meta: []byte("{}"), Checks: checkDeclarations(c)})
	if err != nil {
		t.Fatal(err)
	}
	hosts := knownHosts()
	hosts.set("", id)
	environ := []string{"PATH=" + os.Getenv("PATH")}
	s := newChecks(checkOptions{Checks: c.Checks, Root: dir, API: call, Hosts: hosts, Environ: environ, Log: logger, Random: func() float64 { return 0 }})
	for _, k := range s.checks {
		k.turn(ctx)
	}
	for range 3 { // one try and its repetition lose an answer each time
		s.flush(ctx)
	}
	if n := s.waiting().Waiting; n != 0 {
		t.Fatalf("%d verdicts wait; log:\n%s", n, log)
	}
	got, err := records.Checks(ctx, "org", id)
	if err != nil || len(got) != 3 {
		t.Fatalf("checks = %+v, %v, want three", got, err)
	}
	if l := got[0].Latest; got[0].Name != "disk" || got[0].Memo != "the root disk" || l.Status != saba.CheckCritical || l.Message != "disk is full\n" || l.NotificationInterval != 30 || l.MaxCheckAttempts != 2 {
		t.Errorf("check = %+v", got[0])
	}
	if l := got[1].Latest; l.Status != saba.CheckUnknown || l.Message != "the check did not end within 1s and was stopped" {
		t.Errorf("check = %+v", got[1])
	}
	if l := got[2].Latest; got[2].Name != "web" || l.Status != saba.CheckCritical || !strings.HasPrefix(l.Message, "HTTP CRITICAL: "+srv.URL+"/no%20such%20page: HTTP/1.1 404 Not Found - ") {
		t.Errorf("check = %+v", got[2])
	}

	m := &metadata{MetadataPlugin: c.Metadata[0], slots: make(chan struct{}, 1), log: logger, runSay: announcer{log: logger}, sendSay: announcer{log: logger},
		o: metadataOptions{API: call, Hosts: hosts, Environ: environ, Log: logger, Run: runCommand}, sent: openSentDocuments(filepath.Join(dir, sentFile), c.Metadata, logger)}
	m.turn(ctx)
	m.send(ctx)
	doc, err := call.Metadata(ctx, saba.MetadataOwner{Host: id}, "facts")
	if err != nil || string(doc.Value) != "{\"n\": 9007199254740993}\n" && string(doc.Value) != `{"n": 9007199254740993}` {
		t.Errorf("metadata = %q, %v, want every digit; log:\n%s", doc.Value, err, log)
	}
}

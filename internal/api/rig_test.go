package api

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/drain"
	"github.com/saba-monitor/saba/internal/ingest"
	"github.com/saba-monitor/saba/internal/replay"
	"github.com/saba-monitor/saba/internal/sqldb"
	"github.com/saba-monitor/saba/internal/tsdb"
)

// The keys of a rig. keyForeign has both flags, in another organization.
const (
	keyBoth    = "saba_both"
	keyRead    = "saba_read"
	keyWrite   = "saba_write"
	keyForeign = "saba_foreign"
)

// A rig is the API on real engines, behind a real HTTP server.
type rig struct {
	testing.TB
	url      string
	file     string // of the database
	store    *sqldb.DB
	samples  *tsdb.DB
	log      *lockedBuffer
	registry *prometheus.Registry
	drains   *drain.Drains
	clock    atomic.Int64 // Unix seconds
}

// start is when every test begins: shortly after the recorded batch of an agent.
const start = 1_700_000_100

// newRig opens a rig; change may put other parts into the options.
func newRig(t testing.TB, change ...func(*Options)) *rig {
	t.Helper()
	r := &rig{TB: t, log: &lockedBuffer{}, registry: prometheus.NewRegistry()}
	r.clock.Store(start)
	now := func() time.Time { return time.Unix(r.clock.Load(), 0) }
	ctx, dir := context.Background(), t.TempDir()
	logger := slog.New(slog.NewTextHandler(r.log, nil))

	var err error
	if r.store, err = sqldb.Open(ctx, filepath.Join(dir, "saba.db")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.check(r.store.Close()) })
	if r.samples, err = tsdb.Open(ctx, tsdb.Options{Dir: filepath.Join(dir, "samples"), Registerer: r.registry, Now: now}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.check(r.samples.Close()) })

	if _, err := r.store.EnsureOrg(ctx, saba.Org{ID: "org1", Name: "first"}); err != nil {
		t.Fatal(err)
	}
	r.file = filepath.Join(dir, "saba.db")
	for _, statement := range []string{
		`INSERT INTO orgs (id, name, display_name) VALUES ('org2', 'second', 'Second')`,
		`INSERT INTO notification_groups (id, org, is_default, doc) VALUES ('org2', 'org2', 1, '{"id":"org2","default":true,"name":"Default","notificationLevel":"all"}')`,
	} {
		r.raw(statement) // no method makes a second organization yet
	}
	for _, k := range []saba.Key{
		{ID: "kboth", Org: "org1", Hash: saba.HashSecret(keyBoth), Read: true, Write: true},
		{ID: "kread", Org: "org1", Hash: saba.HashSecret(keyRead), Read: true},
		{ID: "kwrite", Org: "org1", Hash: saba.HashSecret(keyWrite), Write: true},
		{ID: "kforeign", Org: "org2", Hash: saba.HashSecret(keyForeign), Read: true, Write: true},
	} {
		k.Name, k.CreatedAt = k.ID, start
		r.check(r.store.CreateKey(ctx, k))
	}
	points := ingest.New(ingest.Options{Hosts: r.store, Samples: r.samples, Log: logger, Registerer: r.registry, Now: now})
	r.drains = drain.New(drain.Options{Org: "org1", Store: r.store, Points: points, Samples: r.samples, Now: now, Log: logger})
	o := Options{
		Store: r.store, Ingest: points, Samples: r.samples, Notifier: &told{}, Drains: r.drains,
		Now: now, Random: rand.Reader, Log: logger, Registerer: r.registry,
		Replay: replay.New(replay.Options{Store: r.store, History: r.samples, Zone: time.UTC, Now: now}).Replay,
	}
	for _, f := range change {
		f(&o)
	}
	srv := httptest.NewServer(New(o))
	t.Cleanup(srv.Close)
	r.url = srv.URL
	return r
}

// raw runs a statement on the database as another program would.
func (r *rig) raw(statement string, args ...any) {
	r.Helper()
	db, err := sql.Open("sqlite", r.file)
	if err != nil {
		r.Fatal(err)
	}
	if _, err := db.Exec(statement, args...); err != nil {
		r.Fatal(err)
	}
	r.check(db.Close())
}

func (r *rig) check(err error) {
	r.Helper()
	if err != nil {
		r.Error(err)
	}
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   string
}

// send makes a request below /api/v0; headers are alternating names and values.
func (r *rig) send(method, path, key, body string, headers ...string) answer {
	r.Helper()
	req, err := http.NewRequestWithContext(r.Context(), method, r.url+"/api/v0"+path, strings.NewReader(body))
	if err != nil {
		r.Fatal(err)
	}
	if key != "" {
		req.Header.Set("X-Api-Key", key)
	}
	if method != http.MethodGet {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		r.Fatalf("%s %s: %v", method, path, err)
	}
	defer func() { r.check(resp.Body.Close()) }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		r.Fatalf("%s %s: %v", method, path, err)
	}
	if resp.StatusCode == http.StatusOK && method != http.MethodHead && len(headers) == 0 {
		r.described(req, body, b)
	}
	return answer{resp.StatusCode, resp.Header, strings.TrimSuffix(string(b), "\n")}
}

// do makes a request that must succeed, with both flags.
func (r *rig) do(method, path, body string) string {
	r.Helper()
	a := r.send(method, path, keyBoth, body)
	if a.status != http.StatusOK || !json.Valid([]byte(a.body)) {
		r.Fatalf("%s %s %.300s: %d %.300s, want 200 and JSON", method, path, body, a.status, a.body)
	}
	return a.body
}

func (r *rig) get(path string) string        { r.Helper(); return r.do(http.MethodGet, path, "") }
func (r *rig) post(path, body string) string { r.Helper(); return r.do(http.MethodPost, path, body) }
func (r *rig) put(path, body string) string  { r.Helper(); return r.do(http.MethodPut, path, body) }
func (r *rig) delete(path, body string) string {
	r.Helper()
	return r.do(http.MethodDelete, path, body)
}
func (r *rig) refuse(status int, m, path, b string) {
	r.Helper()
	r.refuseSaying(status, "", m, path, b)
}

// refuseSaying makes a request that must be refused, with the protocol's error body.
func (r *rig) refuseSaying(status int, saying, method, path, body string) {
	r.Helper()
	a := r.send(method, path, keyBoth, body)
	r.wantError(a, status, saying, method+" "+path)
}

func (r *rig) wantError(a answer, status int, saying, what string) {
	r.Helper()
	var e struct {
		Error struct{ Message string }
	}
	if err := json.Unmarshal([]byte(a.body), &e); err != nil || e.Error.Message == "" {
		r.Errorf("%.200s: body %.200q is not {\"error\":{\"message\":…}}", what, a.body)
	}
	if a.status != status || !strings.Contains(e.Error.Message, saying) {
		r.Errorf("%.200s: %d %.300s, want %d saying %q", what, a.status, a.body, status, saying)
	}
	if ct := a.header.Get("Content-Type"); ct != "application/json" {
		r.Errorf("%.200s: Content-Type %q", what, ct)
	}
}

// register registers a host and returns its id.
func (r *rig) register(body string) string {
	r.Helper()
	var out struct{ ID string }
	if err := json.Unmarshal([]byte(r.post("/hosts", body)), &out); err != nil || out.ID == "" {
		r.Fatalf("register %s: no id (%v)", body, err)
	}
	return out.ID
}

// host is a registered host as a strict Go client decodes it.
func (r *rig) host(id string) strictHost {
	r.Helper()
	var out struct{ Host strictHost }
	if err := json.Unmarshal([]byte(r.get("/hosts/"+id)), &out); err != nil {
		r.Fatalf("host %s: %v", id, err)
	}
	return out.Host
}

// strictHost has the types of the Go client of the protocol: one number where it expects a
// string and nothing is read.
type strictHost struct {
	ID               string              `json:"id"`
	Name             string              `json:"name"`
	DisplayName      string              `json:"displayName"`
	CustomIdentifier string              `json:"customIdentifier"`
	Size             string              `json:"size"`
	Memo             *string             `json:"memo"`
	Status           string              `json:"status"`
	Roles            map[string][]string `json:"roles"`
	IsRetired        *bool               `json:"isRetired"`
	RetiredAt        int32               `json:"retiredAt"`
	CreatedAt        int32               `json:"createdAt"`
	Meta             clientMeta          `json:"meta"`
	Interfaces       []struct {
		Name        string   `json:"name"`
		MAC         string   `json:"macAddress"`
		IPv4        []string `json:"ipv4Addresses"`
		IPv6        []string `json:"ipv6Addresses"`
		IPAddress   string   `json:"ipAddress"`
		IPv6Address string   `json:"ipv6Address"`
	} `json:"interfaces"`
}

// lockedBuffer is a log that a test may read while the server writes it.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

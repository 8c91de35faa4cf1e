package promapi

import (
	"context"
	"database/sql"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/body"
	"github.com/saba-monitor/saba/internal/ingest"
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

// start is when every test begins, in Unix seconds: a full minute.
const start = 1_700_000_100

// A rig is the handler on real engines, behind a real HTTP server.
type rig struct {
	testing.TB
	url     string
	handler http.Handler // behind url
	store   *sqldb.DB
	samples *tsdb.DB
	bodies  *body.Room
	log     *strings.Builder
	clock   atomic.Int64 // Unix seconds
}

// newRig opens a rig with these hosts in org1: web1 (shop:web), web2 (shop:web, shop:db), db1
// (shop:db, blog:db), lone (no role), gone (retired), and the services shop, blog and quiet. In
// org2 there are host web1x and service shop.
func newRig(t testing.TB, l limits, maxSeries int) *rig {
	t.Helper()
	r := &rig{TB: t, bodies: body.NewRoom(l.orDefault().wait), log: &strings.Builder{}}
	r.clock.Store(start)
	now := func() time.Time { return time.Unix(r.clock.Load(), 0) }
	ctx, dir := context.Background(), t.TempDir()
	var err error
	if r.store, err = sqldb.Open(ctx, filepath.Join(dir, "saba.db")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.check(r.store.Close()) })
	if r.samples, err = tsdb.Open(ctx, tsdb.Options{Dir: filepath.Join(dir, "samples"), Now: now}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.check(r.samples.Close()) })
	if _, err := r.store.EnsureOrg(ctx, saba.Org{ID: "org1", Name: "first"}); err != nil {
		t.Fatal(err)
	}
	raw, err := sql.Open("sqlite", filepath.Join(dir, "saba.db")) // no method makes a second organization yet
	r.check(err)
	_, err = raw.Exec(`INSERT INTO orgs (id, name, display_name) VALUES ('org2', 'second', '')`)
	r.check(err)
	r.check(raw.Close())
	for _, k := range []saba.Key{
		{ID: "kboth", Org: "org1", Hash: saba.HashSecret(keyBoth), Read: true, Write: true},
		{ID: "kread", Org: "org1", Hash: saba.HashSecret(keyRead), Read: true},
		{ID: "kwrite", Org: "org1", Hash: saba.HashSecret(keyWrite), Write: true},
		{ID: "kforeign", Org: "org2", Hash: saba.HashSecret(keyForeign), Read: true, Write: true},
	} {
		k.Name, k.CreatedAt = k.ID, start
		r.check(r.store.CreateKey(ctx, k))
	}
	for _, h := range []struct{ org, id, roles string }{
		{"org1", "web1", "shop:web"}, {"org1", "web2", "shop:web shop:db"}, {"org1", "db1", "shop:db blog:db"}, {"org1", "lone", ""}, {"org1", "gone", "shop:web"},
		{"org2", "web1x", "shop:web"},
	} {
		host := saba.Host{ID: h.id, Org: h.org, Name: h.id + ".example", CustomIdentifier: "ident-" + h.id, Status: saba.Working, CreatedAt: start}
		for _, name := range strings.Fields(h.roles) {
			role, err := saba.ParseRoleName(name)
			r.check(err)
			host.Roles = append(host.Roles, role)
		}
		r.check(r.store.CreateHost(ctx, host, nil, nil))
	}
	r.check(r.store.CreateService(ctx, "org1", saba.Service{Name: "quiet"}))
	logger := slog.New(slog.NewTextHandler(r.log, nil))
	writer := ingest.New(ingest.Options{Hosts: r.store, Samples: r.samples, Log: logger, Now: now})
	srv := httptest.NewServer(New(Options{
		Store: r.store, Samples: r.samples, Ingest: ingest.NewLabelled(writer, r.samples, maxSeries), Bodies: r.bodies, Now: now, Log: logger, limits: l,
	}))
	t.Cleanup(srv.Close)
	r.url, r.handler = srv.URL, srv.Config.Handler
	for _, h := range []struct{ org, id string }{{"org1", "web1"}, {"org1", "web2"}, {"org1", "db1"}, {"org1", "lone"}, {"org1", "gone"}, {"org2", "web1x"}} {
		r.put(saba.Series{Org: h.org, Host: h.id, Name: "loadavg5"}, start, 1)
	}
	r.put(saba.Series{Org: "org1", Service: "shop", Name: "orders"}, start, 7)
	r.put(saba.Series{Org: "org2", Service: "shop", Name: "secret"}, start, 7)
	r.check(r.store.RetireHosts(ctx, "org1", []string{"gone"}, start))
	return r
}

func (r *rig) check(err error) {
	r.Helper()
	if err != nil {
		r.Error(err)
	}
}

// put stores samples of a series, one a minute from t on.
func (r *rig) put(s saba.Series, t int64, values ...float64) {
	r.Helper()
	var points []saba.Point
	for i, v := range values {
		points = append(points, saba.Point{Series: s, Sample: saba.Sample{Time: t + 60*int64(i), Value: v}})
	}
	if drops, err := r.samples.Append(r.Context(), time.Unix(r.clock.Load(), 0), points); err != nil || drops.Total() > 0 {
		r.Fatal(drops, err)
	}
}

// An answer is what came back.
type answer struct {
	status int
	header http.Header
	body   string
}

// send makes a request; headers are alternating names and values.
func (r *rig) send(method, path, key, body string, headers ...string) answer {
	r.Helper()
	req, err := http.NewRequestWithContext(r.Context(), method, r.url+path, strings.NewReader(body))
	if err != nil {
		r.Fatal(err)
	}
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
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
	return answer{resp.StatusCode, resp.Header, string(b)}
}

// get asks a path below /api/prom/v1 with alternating parameters and values, which must succeed,
// and returns the data.
func (r *rig) get(path string, params ...string) string {
	r.Helper()
	a := r.ask(keyRead, path, params...)
	var body struct {
		Status string
		Data   json.RawMessage
	}
	if err := json.Unmarshal([]byte(a.body), &body); err != nil || a.status != http.StatusOK || body.Status != "success" {
		r.Fatalf("%s %v: %d %.500s (%v)", path, params, a.status, a.body, err)
	}
	return string(body.Data)
}

func (r *rig) ask(key, path string, params ...string) answer {
	r.Helper()
	v := url.Values{}
	for i := 0; i < len(params); i += 2 {
		v.Add(params[i], params[i+1])
	}
	if path == "/query" && !v.Has("time") {
		v.Set("time", "1700000100")
	}
	return r.send(http.MethodGet, "/api/prom/v1"+path+"?"+v.Encode(), key, "")
}

// series are the labels of every series that match, one a line.
func (r *rig) series(match ...string) string {
	r.Helper()
	var params []string
	for _, m := range match {
		params = append(params, "match[]", m)
	}
	var list []map[string]string
	if err := json.Unmarshal([]byte(r.get("/series", params...)), &list); err != nil {
		r.Fatal(err)
	}
	var lines []string
	for _, l := range list {
		lines = append(lines, oneLine(l))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// oneLine writes labels as name=value, sorted, without the quotes.
func oneLine(l map[string]string) string {
	var parts []string
	for k, v := range l {
		parts = append(parts, k+"="+v)
	}
	slices.Sort(parts)
	return strings.Join(parts, " ")
}

// wantFailure checks the envelope of a refusal.
func (r *rig) wantFailure(a answer, status int, kind, saying string) {
	r.Helper()
	var e struct{ Status, ErrorType, Error string }
	if err := json.Unmarshal([]byte(a.body), &e); err != nil || e.Status != "error" || a.status != status || e.ErrorType != kind || !strings.Contains(e.Error, saying) {
		r.Errorf("%d %.400s (%v); want %d, %s saying %q", a.status, a.body, err, status, kind, saying)
	}
}

// stored is what org1 has of the series that match, as a range of a query shows it.
func (r *rig) stored(selector string) string {
	r.Helper()
	ms, err := newParser().ParseMetricSelector(selector)
	if err != nil {
		r.Fatal(err)
	}
	s := &server{Options: Options{Store: r.store, Samples: r.samples, limits: limits{}.orDefault()}}
	q, err := s.queryable(r.Context(), "org1").Querier(0, (start+86400)*1000)
	if err != nil {
		r.Fatal(err)
	}
	defer func() { r.check(q.Close()) }()
	type entry struct {
		Metric labels.Labels `json:"metric"`
		Values [][2]any      `json:"values"`
	}
	all := []entry{}
	set := q.Select(r.Context(), true, nil, ms...)
	for set.Next() {
		e := entry{Metric: set.At().Labels()}
		it := set.At().Iterator(nil)
		for it.Next() == chunkenc.ValFloat {
			at, v := it.At()
			e.Values = append(e.Values, [2]any{at / 1000, strconv.FormatFloat(v, 'f', -1, 64)})
		}
		r.check(it.Err())
		all = append(all, e)
	}
	r.check(set.Err())
	b, err := json.Marshal(all)
	r.check(err)
	return string(b)
}

package client_test

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net/http/httptest"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/client"
	"github.com/saba-monitor/saba/internal/api"
	"github.com/saba-monitor/saba/internal/ingest"
	"github.com/saba-monitor/saba/internal/sqldb"
	"github.com/saba-monitor/saba/internal/tsdb"
)

// openServer returns a client of a whole server on engines of its own.
func openServer(t *testing.T) *client.Client {
	t.Helper()
	ctx, dir, log := context.Background(), t.TempDir(), slog.New(slog.DiscardHandler)
	records, err := sqldb.Open(ctx, filepath.Join(dir, "saba.db"))
	if err != nil {
		t.Fatal(err)
	}
	registry := prometheus.NewRegistry()
	samples, err := tsdb.Open(ctx, tsdb.Options{Dir: filepath.Join(dir, "samples"), Log: log, Registerer: registry, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(samples.Close(), records.Close()); err != nil {
			t.Error(err)
		}
	})
	org, err := records.EnsureOrg(ctx, saba.Org{ID: "org", Name: "first"})
	if err != nil {
		t.Fatal(err)
	}
	if err := records.CreateKey(ctx, saba.Key{ID: "key", Org: org.ID, Name: "key", Hash: saba.HashSecret("k"), Read: true, Write: true, CreatedAt: 1}); err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(api.New(api.Options{
		Store: records, Samples: samples, Now: time.Now, Random: rand.Reader, Log: log, Registerer: registry,
		Ingest: ingest.New(ingest.Options{Hosts: records, Samples: samples, Log: log, Registerer: registry, Now: time.Now}),
	}))
	t.Cleanup(srv.Close)
	c, err := client.New(client.Options{Base: srv.URL, Key: "k"})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// must returns v, or ends the test.
func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func TestEveryCallAgainstTheServer(t *testing.T) {
	ctx, c := t.Context(), openServer(t)
	fine := func(err error) {
		t.Helper()
		if err != nil {
			t.Error(err)
		}
	}
	same := func(what string, got, want any) {
		t.Helper()
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s = %+v, want %+v", what, got, want)
		}
	}

	same("organization", must(c.Org(ctx))(t).Name, "first")

	fine(c.CreateService(ctx, saba.Service{Name: "shop", Memo: "m"}))
	fine(c.CreateRole(ctx, "shop", saba.Role{Name: "web", Memo: "r"}))
	same("services", must(c.Services(ctx))(t), []saba.Service{{Name: "shop", Memo: "m", Roles: []string{"web"}}})
	same("roles", must(c.Roles(ctx, "shop"))(t), []saba.Role{{Name: "web", Memo: "r"}})

	p := client.HostParam{
		Name: "vm", DisplayName: "VM 1", CustomIdentifier: "i-1/x", Memo: "memo", Meta: []byte(`{"kernel":{"name":"Linux"}}`),
		Interfaces:    []saba.Interface{{Name: "eth0", MAC: "00:00:5e:00:53:01", IPv4: []string{"192.0.2.1"}, IPv6: []string{"2001:db8::1"}}},
		RoleFullnames: []string{"shop:web"}, Checks: []saba.CheckDeclaration{{Name: "ssh", Memo: "port 22"}},
	}
	id := must(c.CreateHost(ctx, p))(t)
	h := must(c.Host(ctx, id))(t)
	if h.CreatedAt == 0 {
		t.Error("the host has no time of creation")
	}
	h.CreatedAt = 0
	same("host", h, saba.Host{
		ID: id, Name: "vm", DisplayName: "VM 1", CustomIdentifier: "i-1/x", Status: saba.Working, Memo: "memo",
		Roles: []saba.RoleName{{Service: "shop", Role: "web"}}, Meta: p.Meta, Interfaces: p.Interfaces,
	})
	same("host by its identifier", must(c.HostByCustomIdentifier(ctx, "i-1/x"))(t).ID, id)
	fine(c.UpdateHost(ctx, id, client.HostParam{Name: "vm2", Meta: []byte(`{}`)}))
	fine(c.SetHostStatus(ctx, id, saba.Maintenance))
	hosts := must(c.Hosts(ctx, saba.HostFilter{Service: "shop", Roles: []string{"web"}}))(t)
	if len(hosts) != 1 || hosts[0].Name != "vm2" || hosts[0].Status != saba.Maintenance || hosts[0].CustomIdentifier != "i-1/x" || len(hosts[0].Interfaces) != 1 {
		t.Errorf("hosts of the role = %+v, want the host, with all that the update did not name", hosts)
	}
	same("hosts with another status", len(must(c.Hosts(ctx, saba.HostFilter{Statuses: []saba.HostStatus{saba.Working}}))(t)), 0)

	now := saba.Minute(time.Now().Unix())
	point := func(host, name string, at int64, v float64) saba.Point {
		return saba.Point{Series: saba.Series{Host: host, Name: name}, Sample: saba.Sample{Time: at, Value: v}}
	}
	fine(c.PostHostMetrics(ctx, []saba.Point{point(id, "custom.a.b", now-60, 1e21), point(id, "custom.a.b", now, 0), point(id, "loadavg5", now, 0.25)}))
	fine(c.PostHostMetrics(ctx, nil))
	same("samples", must(c.HostMetrics(ctx, id, "custom.a.b", now-600, now))(t), []saba.Sample{{Time: now - 60, Value: 1e21}, {Time: now, Value: 0}})
	same("names", must(c.HostMetricNames(ctx, id))(t), []string{"custom.a.b", "loadavg5"})
	same("latest", must(c.LatestMetrics(ctx, []string{id}, []string{"loadavg5", "none"}))(t),
		map[string]map[string]saba.Sample{id: {"loadavg5": {Time: now, Value: 0.25}}})
	if _, err := c.HostMetrics(ctx, id, "none", now-600, now); !errors.Is(err, saba.ErrNotFound) {
		t.Errorf("error of a metric that was never posted = %v, want ErrNotFound", err)
	}
	fine(c.PostServiceMetrics(ctx, "shop", []saba.Point{point("ignored", "orders.count", now, 7)}))
	same("service samples", must(c.ServiceMetrics(ctx, "shop", "orders.count", now-60, now))(t), []saba.Sample{{Time: now, Value: 7}})
	same("service names", must(c.ServiceMetricNames(ctx, "shop"))(t), []string{"orders.count"})

	fine(c.PutGraphDefs(ctx, []saba.GraphDef{{Name: "custom.a", DisplayName: "A", Unit: saba.UnitBytes, Metrics: []saba.GraphDefMetric{{Name: "custom.a.b", Stacked: true}}}, {Name: "custom.z"}}))
	fine(c.DeleteGraphDef(ctx, "custom.a"))
	if err := c.DeleteGraphDef(ctx, "custom.a"); !errors.Is(err, saba.ErrInvalid) {
		t.Errorf("error of a definition that is not there = %v, want a bad request, as the protocol has it", err)
	}

	fine(c.ReportChecks(ctx, []saba.CheckReport{{Host: id, Name: "ssh", Status: saba.CheckCritical, Message: "refused", OccurredAt: now, NotificationInterval: 10, MaxCheckAttempts: 2}, {Host: id, Name: "disk", Status: saba.CheckOK, OccurredAt: now}}))
	checks, next := []saba.Check(nil), ""
	for {
		page, n, err := c.Checks(ctx, next, 1)
		fine(err)
		checks = append(checks, page...)
		if next = n; next == "" || err != nil {
			break
		}
	}
	var names []string
	for _, check := range checks {
		names = append(names, must(c.Check(ctx, check.ID))(t).Name)
	}
	slices.Sort(names)
	same("checks", names, []string{"disk", "ssh"})

	for _, owner := range []saba.MetadataOwner{{Host: id}, {Service: "shop"}, {Service: "shop", Role: "web"}} {
		fine(c.PutMetadata(ctx, owner, "facts", []byte(`{"n":9007199254740993}`)))
		m := must(c.Metadata(ctx, owner, "facts"))(t)
		if string(m.Value) != `{"n":9007199254740993}` || time.Since(time.Unix(m.UpdatedAt, 0)).Abs() > time.Minute {
			t.Errorf("metadata of %+v = %s at %d", owner, m.Value, m.UpdatedAt)
		}
		same("namespaces", must(c.MetadataNamespaces(ctx, owner))(t), []string{"facts"})
		fine(c.DeleteMetadata(ctx, owner, "facts"))
		if _, err := c.Metadata(ctx, owner, "facts"); !errors.Is(err, saba.ErrNotFound) {
			t.Errorf("error of metadata that was deleted = %v, want ErrNotFound", err)
		}
	}
	if err := c.PutMetadata(ctx, saba.MetadataOwner{Host: id}, "facts", []byte(`{`)); !errors.Is(err, saba.ErrInvalid) {
		t.Errorf("error of a document that is not JSON = %v, want ErrInvalid", err)
	}

	fine(c.SetHostRoles(ctx, id, nil))
	same("role that was deleted", must(c.DeleteRole(ctx, "shop", "web"))(t), saba.Role{Name: "web", Memo: "r"})
	same("service that was deleted", must(c.DeleteService(ctx, "shop"))(t).Name, "shop")
	fine(c.RetireHost(ctx, id))
	fine(c.RetireHost(ctx, id))
	if h := must(c.Host(ctx, id))(t); !h.Retired() {
		t.Errorf("host = %+v, want it retired", h)
	}
	if _, err := c.Host(ctx, "nobody"); !errors.Is(err, saba.ErrNotFound) {
		t.Errorf("error of a host that is not there = %v, want ErrNotFound", err)
	}
}

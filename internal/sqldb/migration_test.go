package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/plugin/target/postgrestest"
)

// oldDatabase makes a database with the schema of an earlier version, fills it with statements, and closes it.
func oldDatabase(t *testing.T, version int, statements ...string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "saba.db")
	writer, reader, err := openSQLite(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	db := &DB{writer: writer, reader: reader, dialect: sqliteDialect}
	scripts, err := migrations()
	if err != nil {
		t.Fatal(err)
	}
	for range version {
		if err := db.change(t.Context(), "migrate", func(tx *sql.Tx) error {
			_, err := migrateStep(t.Context(), tx, db.dialect, scripts[:version])
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range statements {
		if _, err := writer.Exec(s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// releases are databases as earlier releases left them, by the version of their schema from 1, and what must be left of each.
var releases = []struct {
	make  func(t *testing.T) (path string)
	keeps func(t *testing.T, target string)
}{{firstRelease, keepsTheFirstRelease}, {secondRelease, keepsTheSecondRelease}, {thirdRelease, keepsTheThirdRelease}, {fourthRelease, keepsTheFourthRelease},
	{fifthRelease, keepsTheFifthRelease}, {sixthRelease, keepsTheSixthRelease}, {seventhRelease, keepsTheSeventhRelease}}

func TestDataOfEarlierReleasesAreKept(t *testing.T) {
	scripts, err := migrations()
	if err != nil {
		t.Fatal(err)
	}
	if len(releases) != len(scripts)-1 {
		t.Errorf("there are databases of %d releases, want one of each version of the schema but the newest: %d", len(releases), len(scripts)-1)
	}
	for i, r := range releases {
		t.Run(fmt.Sprint("version ", i+1), func(t *testing.T) { r.keeps(t, r.make(t)) })
	}
}

func postgresKeepsEarlierReleases(t *testing.T, server *postgrestest.Server) {
	for i, r := range releases {
		url := server.Database(fmt.Sprint("release", i+1))
		if err := Fill(t.Context(), url, r.make(t)); err != nil {
			t.Fatal(err)
		}
		if v := server.Connect(url).Ask(`SELECT max(version) FROM migrations`); v[0][0] != fmt.Sprint(i+1) {
			t.Fatalf("the database has version %s, want %d: the test would show nothing", v[0][0], i+1)
		}
		r.keeps(t, url)
	}
}

func firstRelease(t *testing.T) (path string) {
	t.Helper()
	return oldDatabase(t, 1,
		`INSERT INTO orgs (id, name, display_name) VALUES ('org1', 'first', ''), ('org2', 'second', '')`,
		`INSERT INTO services (org, name, memo) VALUES ('org1', 'shop', 'm')`,
		`INSERT INTO roles (org, service, name, memo) VALUES ('org1', 'shop', 'web', '')`,
		`INSERT INTO hosts (id, org, name, display_name, custom_identifier, custom_identifier_fold, status, memo, created_at, retired_at, meta, interfaces, registered_by)
			VALUES ('h1', 'org1', 'app', '', 'i-1', 'i-1', 'working', '', 5, 0, '{"a":1}', '[]', 'k')`,
		`INSERT INTO host_roles (host, org, service, role) VALUES ('h1', 'org1', 'shop', 'web')`,
		`INSERT INTO checks (id, org, host, name, memo, report_count) VALUES ('c1', 'org1', 'h1', 'ssh', '', 1)`,
		`INSERT INTO check_reports (check_id, occurred_at, status, message, notification_interval, max_check_attempts) VALUES ('c1', 7, 'CRITICAL', 'm', 0, 0)`,
		`INSERT INTO users (id, org, email, email_fold, password_hash, created_at) VALUES ('u1', 'org1', 'Me@example.com', 'me@example.com', 'x', 9)`,
		`INSERT INTO api_keys (id, org, name, hash, can_read, can_write, created_at, used_at) VALUES ('k', 'org1', 'k', 'hash', 1, 1, 1, 0)`,
	)
}

func keepsTheFirstRelease(t *testing.T, target string) {
	db, err := Open(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	ctx := context.Background()
	h, err := db.Host(ctx, "org1", "h1")
	if err != nil || h.Name != "app" || string(h.Meta) != `{"a":1}` || len(h.Roles) != 1 || h.CustomIdentifier != "i-1" {
		t.Errorf("the host is %+v, error %v", h, err)
	}
	if c, err := db.Check(ctx, "org1", "c1"); err != nil || c.Latest.Status != saba.CheckCritical {
		t.Errorf("the check is %+v, error %v", c, err)
	}
	if k, err := db.KeyByHash(ctx, "hash"); err != nil || k.Org != "org1" {
		t.Errorf("the key is %+v, error %v", k, err)
	}
	if m, err := db.Members(ctx, "org1"); err != nil || len(m) != 1 || m[0].Authority != saba.Owner || m[0].Email != "Me@example.com" {
		t.Errorf("members are %+v, error %v; want the account that was there, as the owner", m, err)
	}
	for _, org := range []string{"org1", "org2"} {
		g, err := db.NotificationGroups(ctx, org)
		if err != nil || len(g) != 1 || !g[0].Default || g[0].Name != saba.DefaultGroupName || g[0].ID != org {
			t.Errorf("notification groups of %s are %+v, error %v; want one default group", org, g, err)
		}
		m, err := db.Monitors(ctx, org)
		want := saba.Monitor{Type: saba.MonitorConnectivity}
		want.Default()
		if err != nil || len(m) != 1 || m[0].Name != want.Name || m[0].AlertStatusOnGone != want.AlertStatusOnGone || m[0].ID != org {
			t.Errorf("monitors of %s are %+v, error %v; want one of connectivity", org, m, err)
		}
	}
	if err := db.OpenAlert(ctx, "org1", saba.Alert{ID: "a1", Monitor: "c1", Host: "h1", Status: saba.CheckCritical, OpenedAt: 10}, nil); err != nil {
		t.Error(err)
	}
}

func secondRelease(t *testing.T) (path string) {
	t.Helper()
	return oldDatabase(t, 2,
		`INSERT INTO orgs (id, name, display_name) VALUES ('org1', 'first', '')`,
		`INSERT INTO services (org, name, memo) VALUES ('org1', 'shop', 'm')`,
		`INSERT INTO graph_defs (org, name, display_name, unit, metrics) VALUES ('org1', 'custom.#', '', 'float', '[]')`,
		`INSERT INTO invitations (org, email, email_fold, authority, expires_at) VALUES ('org1', 'a@example.com', 'a@example.com', 'viewer', 9), ('org1', 'b@example.com', 'b@example.com', 'viewer', 9)`,
	)
}

func keepsTheSecondRelease(t *testing.T, target string) {
	db := openKept(t, target)
	if s, err := db.Services(t.Context(), "org1"); err != nil || len(s) != 1 || s[0].Series != "shop" || s[0].Memo != "m" {
		t.Errorf("services are %+v, error %v; want shop with its samples", s, err)
	}
	if d, err := db.GraphDefs(t.Context(), "org1"); err != nil || len(d) != 1 {
		t.Errorf("graph definitions are %+v, error %v; want the one that was there", d, err)
	}
	if i, err := db.Invitations(t.Context(), "org1", 1); err != nil || len(i) != 2 {
		t.Errorf("invitations are %+v, error %v; want both", i, err)
	}
}

func openKept(t *testing.T, target string) *DB {
	t.Helper()
	db, err := Open(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func thirdRelease(t *testing.T) (path string) {
	t.Helper()
	return oldDatabase(t, 3,
		`INSERT INTO orgs (id, name, display_name) VALUES ('org1', 'first', '')`,
		`INSERT INTO alerts (id, org, monitor, type, host, series, status, value, message, reason, memo, opened_at, closed_at) VALUES
			('a1', 'org1', 'm1', 'host', 'h1', '', 'OK', 1, 'm', '', '', 100, 200), ('a2', 'org1', 'm2', 'host', 'h1', '', 'WARNING', 1, 'm', '', '', 100, 0)`,
		`INSERT INTO alert_logs (alert, seq, created_at, status, cause, value, detail) VALUES
			('a1', 1, 100, 'WARNING', 'monitoring', 1, ''), ('a1', 2, 110, 'CRITICAL', 'monitoring', 1, ''), ('a1', 3, 200, 'OK', 'monitoring', 1, '')`,
	)
}

// Alerts of before there were events: their worst status comes from their logs, and nobody is told of them anew.
func keepsTheThirdRelease(t *testing.T, target string) {
	db := openKept(t, target)
	alerts, err := db.Alerts(t.Context(), "org1", saba.AlertPage{Closed: true, Limit: 9})
	if err != nil || len(alerts) != 2 || alerts[1].Worst != saba.CheckCritical || alerts[0].Worst != saba.CheckWarning {
		t.Errorf("alerts are %+v, error %v; want a2 at worst WARNING and a1 at worst CRITICAL", alerts, err)
	}
	if news, err := db.AlertNews(t.Context(), "org1"); err != nil || len(news) != 0 {
		t.Errorf("news are %v, error %v; want none", news, err)
	}
}

func fourthRelease(t *testing.T) (path string) {
	t.Helper()
	return oldDatabase(t, 4,
		`INSERT INTO orgs (id, name, display_name) VALUES ('org1', 'first', '')`,
		`INSERT INTO services (org, name, memo, series) VALUES ('org1', 'store', 'm', 'shop'), ('org1', 'shop', '', 'shop.2')`,
	)
}

func keepsTheFourthRelease(t *testing.T, target string) {
	db := openKept(t, target)
	if _, err := db.DeleteService(t.Context(), "org1", "shop", 1); err != nil {
		t.Error(err)
	}
	if err := db.CreateService(t.Context(), "org1", saba.Service{Name: "shop"}); err != nil {
		t.Error(err)
	}
	s, err := db.Services(t.Context(), "org1")
	if err != nil || len(s) != 2 || s[0].Series != "shop.3" || s[1].Series != "shop" || s[1].Memo != "m" {
		t.Errorf("services are %+v, error %v; want store with its samples, and shop without those of the deleted one", s, err)
	}
}

func fifthRelease(t *testing.T) (path string) {
	t.Helper()
	return oldDatabase(t, 5,
		`INSERT INTO orgs (id, name, display_name) VALUES ('org1', 'first', '')`,
		`INSERT INTO hosts (id, org, name, display_name, custom_identifier, custom_identifier_fold, status, memo, created_at, retired_at, meta, interfaces, registered_by)
			VALUES ('h1', 'org1', 'app', '', '', '', 'working', '', 5, 0, '{}', '[]', 'k')`,
		`INSERT INTO host_metadata (host, namespace, value, updated_at) VALUES ('h1', 'saba-culprits', '{"cpu":[{"name":"java","pid":9,"cpu":90}]}', 90)`,
		`INSERT INTO alerts (id, org, monitor, type, host, series, status, value, message, reason, memo, opened_at, closed_at, worst) VALUES
			('a1', 'org1', 'm1', 'host', 'h1', '', 'WARNING', 1, 'm', '', '', 100, 0, 'WARNING')`,
	)
}

// An alert of before there were culprits gets them when there are some, and has none till then.
func keepsTheFifthRelease(t *testing.T, target string) {
	db := openKept(t, target)
	if a, err := db.Alert(t.Context(), "org1", "a1"); err != nil || !a.Open() || a.Message != "m" {
		t.Errorf("the alert is %+v, error %v; want it open as it was", a, err)
	}
	if c, err := db.AlertCulprits(t.Context(), "org1", "a1"); !errors.Is(err, saba.ErrNotFound) {
		t.Errorf("culprits are %+v, error %v; want none", c, err)
	}
	m := saba.Metadata{Namespace: saba.CulpritsNamespace, Value: []byte(`{"cpu":[{"name":"java","pid":9,"cpu":90}]}`), UpdatedAt: 160}
	if err := db.PutMetadata(t.Context(), saba.MetadataOwner{Org: "org1", Host: "h1"}, m); err != nil {
		t.Fatal(err)
	}
	if c, err := db.AlertCulprits(t.Context(), "org1", "a1"); err != nil || c.At != 160 || len(c.CPU) != 1 || c.CPU[0].Name != "java" {
		t.Errorf("culprits are %+v, error %v; want those that came", c, err)
	}
}

func sixthRelease(t *testing.T) (path string) {
	t.Helper()
	return oldDatabase(t, 6,
		`INSERT INTO orgs (id, name, display_name) VALUES ('org1', 'first', '')`,
		`INSERT INTO services (org, name, memo, series) VALUES ('org1', 'shop', 'sells', 'shop')`,
	)
}

// A service of before there were drains gets one, with graph definitions, and both follow its new name.
func keepsTheSixthRelease(t *testing.T, target string) {
	db := openKept(t, target)
	if err := db.CreateDrain(t.Context(), "org1", saba.Drain{ID: "d1", Name: "app", Service: "shop"}, "hash"); err != nil {
		t.Fatal(err)
	}
	if err := db.PutServiceGraphDefs(t.Context(), "org1", "shop", []saba.GraphDef{{Name: "memory", Unit: saba.UnitBytes}}); err != nil {
		t.Fatal(err)
	}
	if err := db.RenameService(t.Context(), "org1", "shop", saba.Service{Name: "store"}); err != nil {
		t.Fatal(err)
	}
	if org, d, err := db.DrainByHash(t.Context(), "hash"); err != nil || org != "org1" || d.Name != "app" || d.Service != "store" {
		t.Errorf("the drain is %+v of %q, error %v; want that of the renamed service", d, org, err)
	}
	if defs, err := db.ServiceGraphDefs(t.Context(), "org1", "store"); err != nil || len(defs) != 1 || defs[0].Unit != saba.UnitBytes {
		t.Errorf("graph definitions are %+v, error %v; want that of memory", defs, err)
	}
}

func seventhRelease(t *testing.T) (path string) {
	t.Helper()
	return oldDatabase(t, 7,
		`INSERT INTO orgs (id, name, display_name) VALUES ('org1', 'first', '')`,
		`INSERT INTO hosts (id, org, name, display_name, custom_identifier, custom_identifier_fold, status, memo, created_at, retired_at, meta, interfaces, registered_by)
			VALUES ('h1', 'org1', 'app', '', '', '', 'working', '', 5, 0, '{}', '[]', 'k')`,
		`INSERT INTO checks (id, org, host, name, memo, report_count) VALUES ('c1', 'org1', 'h1', 'ssh', '', 1)`,
		`INSERT INTO check_reports (check_id, occurred_at, status, message, notification_interval, max_check_attempts) VALUES ('c1', 7, 'CRITICAL', 'm', 0, 1)`,
		`INSERT INTO alerts (id, org, monitor, type, host, series, status, value, message, reason, memo, opened_at, closed_at, worst)
			VALUES ('a1', 'org1', 'org1', 'connectivity', 'h1', '', 'CRITICAL', NULL, 'unreachable', '', '', 9, 0, 'CRITICAL')`,
	)
}

// Of a check that was bad then nothing was left for later, and an alert of then does not know what depends on its host.
func keepsTheSeventhRelease(t *testing.T, target string) {
	db := openKept(t, target)
	if checks, err := db.DeferredChecks(t.Context(), "org1"); err != nil || len(checks) != 0 {
		t.Errorf("left for later are %+v, error %v; want none", checks, err)
	}
	if a, err := db.Alert(t.Context(), "org1", "a1"); err != nil || !a.Open() || a.Depends != 0 || a.Message != "unreachable" {
		t.Errorf("the alert is %+v, error %v", a, err)
	}
}

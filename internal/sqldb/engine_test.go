package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/saba-monitor/saba"
)

func openTemp(t *testing.T) *DB {
	t.Helper()
	db, err := Open(t.Context(), filepath.Join(t.TempDir(), "saba.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	if _, err := db.EnsureOrg(t.Context(), saba.Org{ID: "org1"}); err != nil {
		t.Fatal(err)
	}
	return db
}

func count(t *testing.T, db *DB, query string, args ...any) (n int64) {
	t.Helper()
	if err := db.reader.QueryRowContext(t.Context(), query, args...).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestMigrationsAreNumberedWithoutGaps(t *testing.T) {
	names, err := fs.Glob(migrationFiles, "migration/*")
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range names {
		if !strings.HasPrefix(name, fmt.Sprintf("migration/%04d_", i+1)) || !strings.HasSuffix(name, ".sql") {
			t.Errorf("script %d is %s, want migration/%04d_….sql", i+1, name, i+1)
		}
	}
}

// A step that fails leaves the version before it, whole; repaired, it goes on from there.
func TestMigrationStepIsWhole(t *testing.T) {
	db := openTemp(t)
	scripts, err := migrations()
	if err != nil {
		t.Fatal(err)
	}
	known := len(scripts)
	step := func(script string) error {
		return db.change(t.Context(), "migrate", func(tx *sql.Tx) error {
			_, err := migrateStep(t.Context(), tx, db.dialect, append(scripts[:known:known], script))
			return err
		})
	}
	if err := step(`CREATE TABLE half (n BIGINT); INSERT INTO half (n) VALUES (1); CREATE TABLE half (n BIGINT);`); err == nil || !strings.Contains(err.Error(), fmt.Sprint("version ", known+1)) {
		t.Errorf("a step that fails: error %v, want one that names version %d", err, known+1)
	}
	if n := count(t, db, `SELECT count(*) FROM sqlite_schema WHERE name = 'half'`); n != 0 {
		t.Error("half of a step stayed")
	}
	if v := count(t, db, `SELECT max(version) FROM migrations`); v != int64(known) {
		t.Errorf("version is %d after a step that failed, want %d", v, known)
	}
	if err := step(`CREATE TABLE half (n BIGINT); INSERT INTO half (n) VALUES (1);`); err != nil {
		t.Fatal(err)
	}
	if v := count(t, db, `SELECT max(version) + (SELECT n FROM half) FROM migrations`); v != int64(known)+2 {
		t.Errorf("version and row are %d together, want %d", v, known+2)
	}
}

// Every connection has the settings that durability and integrity rest on.
func TestSettings(t *testing.T) {
	db := openTemp(t)
	for name, tt := range map[string]struct {
		pool *sql.DB
		want map[string]string
	}{
		"writer": {db.writer, map[string]string{"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "trusted_schema": "0", "busy_timeout": "10000", "query_only": "0"}},
		"reader": {db.reader, map[string]string{"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "trusted_schema": "0", "busy_timeout": "10000", "query_only": "1"}},
	} {
		for pragma, want := range tt.want {
			var got string
			if err := tt.pool.QueryRowContext(t.Context(), `PRAGMA `+pragma).Scan(&got); err != nil || got != want {
				t.Errorf("%s: %s is %q, error %v; want %q", name, pragma, got, err, want)
			}
		}
	}
}

func TestReportsAreBounded(t *testing.T) {
	db := openTemp(t)
	ctx := t.Context()
	if err := db.CreateHost(ctx, saba.Host{ID: "h1", Org: "org1", Name: "h1", Status: saba.Working}, nil, nil); err != nil {
		t.Fatal(err)
	}
	const sent = keptReports + 2*sweepReports + 50
	var reports []saba.CheckReport
	for i := range int64(sent) {
		reports = append(reports, saba.CheckReport{Host: "h1", Name: "ssh", Status: saba.CheckCritical, OccurredAt: i})
	}
	if err := db.ReportChecks(ctx, "org1", reports, func() (string, error) { return "c1", nil }); err != nil {
		t.Fatal(err)
	}
	kept := count(t, db, `SELECT count(*) FROM check_reports`)
	if kept < keptReports || kept > keptReports+sweepReports {
		t.Errorf("%d reports are kept of %d, want %d to %d", kept, sent, keptReports, keptReports+sweepReports)
	}
	if oldest := count(t, db, `SELECT min(occurred_at) FROM check_reports`); oldest != sent-kept {
		t.Errorf("the oldest kept report is number %d of %d, want %d: the newest are to be kept", oldest, sent, sent-kept)
	}
	if n := count(t, db, `SELECT report_count FROM checks`); n != kept {
		t.Errorf("the check counts %d reports, and has %d", n, kept)
	}
}

// Live hosts count, and those of the organization alone; what lets one in is said.
func TestHostsOfAnOrganizationAreBounded(t *testing.T) {
	db := openTemp(t)
	ctx := t.Context()
	if _, err := db.writer.Exec(`INSERT INTO orgs (id, name, display_name) VALUES ('org2', 'second', '')`); err != nil {
		t.Fatal(err)
	}
	if _, err := db.writer.Exec(`WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
		INSERT INTO hosts (id, org, name, display_name, custom_identifier, custom_identifier_fold, status, memo, created_at, retired_at, meta, interfaces, registered_by)
		SELECT 'n' || i, 'org1', 'n', '', '', '', 'working', '', 1, 0, '{}', '[]', '' FROM n`, saba.MaxHosts-1); err != nil {
		t.Fatal(err)
	}
	create := func(org, id string) error {
		return db.CreateHost(ctx, saba.Host{ID: id, Org: org, Name: id, Status: saba.Working}, nil, nil)
	}
	refused := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, saba.ErrInvalid) || !strings.Contains(err.Error(), "20000 hosts, which is the most: retire") {
			t.Errorf("%s: %v, want a refusal that says what to do", what, err)
		}
	}
	if err := create("org1", "last"); err != nil {
		t.Errorf("the last host: %v", err)
	}
	refused("one more", create("org1", "more"))
	if err := create("org2", "other"); err != nil {
		t.Errorf("a host of another organization: %v", err)
	}
	if err := db.RetireHosts(ctx, "org1", []string{"n1"}, 5); err != nil {
		t.Fatal(err)
	}
	if err := create("org1", "more"); err != nil {
		t.Errorf("a host in place of a retired one: %v", err)
	}
	refused("a retirement undone", db.ReviveHost(ctx, "org1", "n1", 6))
}

func TestChecksOfAHostAreBounded(t *testing.T) {
	db := openTemp(t)
	ctx := t.Context()
	for _, id := range []string{"h1", "h2"} {
		if err := db.CreateHost(ctx, saba.Host{ID: id, Org: "org1", Name: id, Status: saba.Working}, nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	ids := 0
	newID := func() (string, error) { ids++; return fmt.Sprint("c", ids), nil }
	var reports []saba.CheckReport
	for i := range maxChecks {
		reports = append(reports, saba.CheckReport{Host: "h1", Name: fmt.Sprint("check ", i), Status: saba.CheckOK, OccurredAt: 1})
	}
	if err := db.ReportChecks(ctx, "org1", reports, newID); err != nil {
		t.Fatalf("%d checks: %v", maxChecks, err)
	}
	err := db.ReportChecks(ctx, "org1", []saba.CheckReport{
		{Host: "h1", Name: "one more", Status: saba.CheckOK, OccurredAt: 2},
		{Host: "h1", Name: "check 7", Status: saba.CheckCritical, OccurredAt: 2},
		{Host: "h2", Name: "one more", Status: saba.CheckOK, OccurredAt: 2},
	}, newID)
	if !errors.Is(err, saba.ErrInvalid) || !strings.Contains(err.Error(), `"h1" has 1000 checks`) || !strings.Contains(err.Error(), `"one more"`) {
		t.Errorf("the report of one check too many: %v, want a refusal that names host, number and check", err)
	}
	if n := count(t, db, `SELECT count(*) FROM checks WHERE host = 'h1'`); n != maxChecks {
		t.Errorf("h1 has %d checks, want %d", n, maxChecks)
	}
	if n := count(t, db, `SELECT count(*) FROM check_reports WHERE occurred_at = 2`); n != 2 {
		t.Errorf("%d of the two good reports beside it are kept", n)
	}
}

func TestAnIdThatIsTakenIsNotUsedAgain(t *testing.T) {
	db := openTemp(t)
	ctx := t.Context()
	ids := []string{"c1", "c1", "c1", "c2"}
	newID := func() (string, error) {
		id := ids[0]
		ids = append(ids[1:], id) // round and round
		return id, nil
	}
	checks := []saba.CheckDeclaration{{Name: "a"}, {Name: "b"}}
	if err := db.CreateHost(ctx, saba.Host{ID: "h1", Org: "org1", Name: "h1", Status: saba.Working}, checks, newID); err != nil {
		t.Fatal(err)
	}
	if n := count(t, db, `SELECT count(*) FROM checks WHERE id = 'c1' AND name = 'a' OR id = 'c2' AND name = 'b'`); n != 2 {
		t.Errorf("%d of two checks have ids of their own", n)
	}
	err := db.ReportChecks(ctx, "org1", []saba.CheckReport{{Host: "h1", Name: "c", Status: saba.CheckOK}}, newID)
	if err == nil || !strings.Contains(err.Error(), "every new id is taken") {
		t.Errorf("with no id left: %v, want an error that says so", err)
	}
}

func TestGraphDefinitionsAreBounded(t *testing.T) {
	db := openTemp(t)
	ctx := t.Context()
	def := func(i int, title string) saba.GraphDef {
		return saba.GraphDef{Name: fmt.Sprint("custom.g", i), DisplayName: title, Unit: saba.UnitFloat}
	}
	var defs []saba.GraphDef
	for i := range maxGraphDefs - 1 {
		defs = append(defs, def(i, "old"))
	}
	if err := db.PutGraphDefs(ctx, "org1", defs); err != nil {
		t.Fatal(err)
	}
	if err := db.PutGraphDefs(ctx, "org1", []saba.GraphDef{def(1, "new"), def(maxGraphDefs, "last"), def(maxGraphDefs, "last again")}); err != nil {
		t.Errorf("a change and the last one that fits: %v", err)
	}
	err := db.PutGraphDefs(ctx, "org1", []saba.GraphDef{def(maxGraphDefs+1, "too many"), def(2, "new")})
	if !errors.Is(err, saba.ErrInvalid) || !strings.Contains(err.Error(), "20000 graph definitions") || !strings.Contains(err.Error(), "custom.g20001") {
		t.Errorf("one too many: %v, want a refusal that names the number and the definition", err)
	}
	if n := count(t, db, `SELECT count(*) FROM graph_defs`); n != maxGraphDefs {
		t.Errorf("%d graph definitions, want %d", n, maxGraphDefs)
	}
	if n := count(t, db, `SELECT count(*) FROM graph_defs WHERE display_name = 'new'`); n != 2 {
		t.Errorf("%d of two changes are kept", n)
	}
}

// On a full disk a write fails with a kind that tells clients to come again, nothing is there by
// half, and reading goes on; when there is room, so does writing.
func TestDiskFull(t *testing.T) {
	db := openTemp(t)
	ctx := t.Context()
	limit := func(pages int64) {
		t.Helper()
		if _, err := db.writer.ExecContext(ctx, fmt.Sprintf(`PRAGMA max_page_count = %d`, pages)); err != nil {
			t.Fatal(err)
		}
	}
	limit(count(t, db, `PRAGMA page_count`) + 2)
	host := saba.Host{ID: "h1", Org: "org1", Name: "h1", Status: saba.Working, Meta: []byte(`"` + strings.Repeat("x", 1<<16) + `"`)}
	err := db.CreateHost(ctx, host, nil, nil)
	if !errors.Is(err, saba.ErrUnavailable) || !strings.Contains(err.Error(), "disk is full") {
		t.Errorf("error %v, want one matching %q that says why", err, saba.ErrUnavailable)
	}
	if hosts, err := db.Hosts(ctx, "org1", saba.HostFilter{}); err != nil || len(hosts) != 0 {
		t.Errorf("%d hosts, error %v; want none", len(hosts), err)
	}
	limit(1 << 20)
	if err := db.CreateHost(ctx, host, nil, nil); err != nil {
		t.Errorf("with room again: %v", err)
	}
}

// A disk that takes no more changes (it failed, and the kernel made it read-only) is no fault of the request either.
func TestDiskThatTakesNoChanges(t *testing.T) {
	db := openTemp(t)
	readOnly := func(on string) {
		t.Helper()
		if _, err := db.writer.ExecContext(t.Context(), `PRAGMA query_only = `+on); err != nil {
			t.Fatal(err)
		}
	}
	readOnly("on")
	host := saba.Host{ID: "h1", Org: "org1", Name: "h1", Status: saba.Working}
	if err := db.CreateHost(t.Context(), host, nil, nil); !errors.Is(err, saba.ErrUnavailable) || !strings.Contains(err.Error(), "look at its disk") {
		t.Errorf("error %v, want one matching %q that says where to look", err, saba.ErrUnavailable)
	}
	readOnly("off")
	if err := db.CreateHost(t.Context(), host, nil, nil); err != nil {
		t.Errorf("with changes again: %v", err)
	}
}

// Another program that writes (a backup tool, a shell) makes us wait and then say so.
func TestHeldByAnotherProgram(t *testing.T) {
	db := openTemp(t)
	if _, err := db.writer.ExecContext(t.Context(), `PRAGMA busy_timeout = 1`); err != nil {
		t.Fatal(err)
	}
	var path string
	if err := db.reader.QueryRowContext(t.Context(), `SELECT file FROM pragma_database_list`).Scan(&path); err != nil {
		t.Fatal(err)
	}
	other, err := sql.Open("sqlite", "file:"+path+"?_txlock=immediate")
	if err != nil {
		t.Fatal(err)
	}
	tx, err := other.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.CreateService(t.Context(), "org1", saba.Service{Name: "shop"}); !errors.Is(err, saba.ErrUnavailable) {
		t.Errorf("error %v, want one matching %q", err, saba.ErrUnavailable)
	}
	if err := errors.Join(tx.Rollback(), other.Close()); err != nil {
		t.Fatal(err)
	}
	if err := db.CreateService(t.Context(), "org1", saba.Service{Name: "shop"}); err != nil {
		t.Errorf("when it is done: %v", err)
	}
}

// A statement that is in use has a second one beside it; both are kept, once.
func TestStatementsAreKeptApart(t *testing.T) {
	db := openTemp(t)
	const query = `SELECT n FROM (SELECT 1 AS n UNION SELECT 2 UNION SELECT 3) WHERE n >= ? ORDER BY n`
	err := db.view(t.Context(), "read", func(tx *sql.Tx) error {
		scan := func(row scanner) (n int, err error) { err = row.Scan(&n); return n, err }
		outer, err := tx.QueryContext(t.Context(), query, 1)
		if err != nil {
			return err
		}
		defer outer.Close()
		for want := 1; outer.Next(); want++ {
			inner, err := list(t.Context(), tx, scan, query, want)
			if err != nil || len(inner) != 4-want || inner[0] != want {
				t.Errorf("inside, from %d: %v, error %v", want, inner, err)
			}
			if n, err := scan(outer); err != nil || n != want {
				t.Errorf("outside: %d, error %v; want %d", n, err, want)
			}
		}
		return outer.Err()
	})
	if err != nil {
		t.Error(err)
	}
}

// More different statements than a connection keeps only cost time.
func TestStatementsAreBounded(t *testing.T) {
	db := openTemp(t)
	c, err := db.reader.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for i := range 2 * maxStatements {
		var n int
		if err := c.QueryRowContext(t.Context(), fmt.Sprintf(`SELECT %d`, i)).Scan(&n); err != nil || n != i {
			t.Fatalf("%d, error %v; want %d", n, err, i)
		}
	}
	if err := c.Raw(func(raw any) error {
		if kept := len(raw.(*conn).idle); kept != maxStatements {
			t.Errorf("%d statements are kept, want %d", kept, maxStatements)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}

// A reader that gave up in the middle of a long query leaves nothing behind that harms the next.
func TestInterruptedQuery(t *testing.T) {
	db := openTemp(t)
	db.reader.SetMaxOpenConns(1)
	const endless = `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n`
	for range 3 {
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		err := db.view(ctx, "count", func(tx *sql.Tx) error {
			wg.Go(cancel)
			var n int64
			return tx.QueryRowContext(ctx, endless).Scan(&n)
		})
		wg.Wait()
		cancel()
		if !errors.Is(err, context.Canceled) {
			t.Errorf("error %v, want one matching %q", err, context.Canceled)
		}
		if _, err := db.Org(t.Context(), "org1"); err != nil {
			t.Errorf("the next query: %v", err)
		}
	}
}

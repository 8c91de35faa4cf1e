package sqldb_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/sqldb"
	"github.com/saba-monitor/saba/internal/storetest"
)

// secondOrg makes a second organization, which no method does yet.
var secondOrg = []string{
	`INSERT INTO orgs (id, name, display_name) VALUES ('org2', 'second', '')`,
	`INSERT INTO notification_groups (id, org, is_default, doc) VALUES ('org2', 'org2', 1, '{"id":"org2","default":true,"name":"Default","notificationLevel":"all"}')`,
}

func TestContract(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty.db")
	db, err := sqldb.Open(t.Context(), empty)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.EnsureOrg(t.Context(), saba.Org{ID: "org1", Name: "first", DisplayName: "The First"}); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	raw(t, empty, secondOrg...)
	storetest.TestObjects(t, func(t *testing.T) storetest.ObjectRecords { return open(t, copyOf(t, empty)) })
	storetest.TestEvents(t, func(t *testing.T) storetest.EventRecords { return open(t, copyOf(t, empty)) })
	storetest.TestRecords(t, func(t *testing.T) storetest.Records { return open(t, copyOf(t, empty)) })
}

// copyOf copies a closed database into a folder of its own, which is faster than to make it anew.
func copyOf(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	own := filepath.Join(t.TempDir(), "saba.db")
	if err := os.WriteFile(own, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return own
}

// open opens the database at path and closes it when the test ends.
func open(t testing.TB, path string) *sqldb.DB {
	t.Helper()
	db, err := sqldb.Open(context.Background(), path)
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

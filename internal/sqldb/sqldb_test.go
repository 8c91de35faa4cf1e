package sqldb_test

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/sqldb"
	"github.com/saba-monitor/saba/internal/storetest"
)

func TestContract(t *testing.T) {
	storetest.TestRecords(t, func(t *testing.T) storetest.Records {
		path := filepath.Join(t.TempDir(), "saba.db")
		db := open(t, path)
		if _, err := db.EnsureOrg(t.Context(), saba.Org{ID: "org1", Name: "first", DisplayName: "The First"}); err != nil {
			t.Fatal(err)
		}
		secondOrg(t, path)
		return db
	})
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

package sqldb_test

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/sqldb"
)

// thousand is an installation of 1,000 hosts with 3 KB of facts and two roles each.
func thousand(b *testing.B) (*sqldb.DB, string) {
	path := filepath.Join(b.TempDir(), "saba.db")
	db := open(b, path)
	addHosts(b, db, 1000)
	return db, path
}

func BenchmarkHosts(b *testing.B) {
	db, _ := thousand(b)
	for b.Loop() {
		if hosts, err := db.Hosts(context.Background(), "org1", saba.HostFilter{}); err != nil || len(hosts) != 1000 {
			b.Fatal(len(hosts), err)
		}
	}
}

func BenchmarkHost(b *testing.B) {
	db, _ := thousand(b)
	for b.Loop() {
		if _, err := db.Host(context.Background(), "org1", "host00500"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkKeyByHash(b *testing.B) {
	db, _ := thousand(b)
	if err := db.CreateKey(context.Background(), saba.Key{ID: "k", Org: "org1", Hash: "hash"}); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := db.KeyByHash(context.Background(), "hash"); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkUpdateHost is what every agent sends each hour.
func BenchmarkUpdateHost(b *testing.B) {
	db, _ := thousand(b)
	h, err := db.Host(context.Background(), "org1", "host00500")
	if err != nil {
		b.Fatal(err)
	}
	u := saba.HostUpdate{Name: h.Name, Meta: h.Meta, Interfaces: &h.Interfaces, AddRoles: h.Roles, Checks: &[]saba.CheckDeclaration{{Name: "disk"}, {Name: "ssh"}}}
	for b.Loop() {
		if err := db.UpdateHost(context.Background(), "org1", h.ID, u, nil); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkReportChecks keeps batches of 20, the most that an agent sends at once, of checks
// whose history is full.
func BenchmarkReportChecks(b *testing.B) {
	db, _ := thousand(b)
	n := 0
	newID := func() (string, error) { n++; return fmt.Sprint("bench", n), nil }
	at := int64(0)
	batch := func() {
		at += 60
		reports := make([]saba.CheckReport, 20)
		for i := range reports {
			reports[i] = saba.CheckReport{Host: "host00500", Name: fmt.Sprint("check", i), Status: saba.CheckCritical, Message: "connect: refused", OccurredAt: at}
		}
		if err := db.ReportChecks(context.Background(), "org1", reports, newID); err != nil {
			b.Fatal(err)
		}
	}
	for range 1000 {
		batch()
	}
	for b.Loop() {
		batch()
	}
}

// BenchmarkOpen opens, checks and closes a database of 1,000 hosts.
func BenchmarkOpen(b *testing.B) {
	path := filepath.Join(b.TempDir(), "saba.db")
	fill(b, path, 1000)
	for b.Loop() {
		db, err := sqldb.Open(context.Background(), path)
		if err != nil {
			b.Fatal(err)
		}
		if err := db.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

package sqldb

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/saba-monitor/saba"
)

// A copy has every record that was written before it, and none in half, while writers write.
func TestACopyHasWhatWasWritten(t *testing.T) {
	ctx := t.Context()
	path := filepath.Join(t.TempDir(), "saba.db")
	db, err := Open(ctx, path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.EnsureOrg(ctx, saba.Org{ID: "o", Name: "o"}); err != nil {
		t.Fatal(err)
	}
	var written atomic.Int64
	var work sync.WaitGroup
	stop := make(chan struct{})
	grew := make(chan struct{}, 1)
	work.Go(func() {
		for i := int64(1); ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			key := saba.Key{ID: fmt.Sprint("k", i), Org: "o", Name: "n", Hash: fmt.Sprint("h", i), Read: true, CreatedAt: i}
			if err := db.CreateKey(ctx, key); err != nil {
				t.Error(err)
				return
			}
			written.Store(i)
			select {
			case grew <- struct{}{}:
			default:
			}
		}
	})
	for i := range 5 {
		<-grew
		<-grew
		before := written.Load()
		to := filepath.Join(t.TempDir(), "copy.db")
		if err := Copy(ctx, path, to, true); err != nil {
			t.Fatal(err)
		}
		copied, err := Open(ctx, to)
		if err != nil {
			t.Fatalf("copy %d cannot be opened: %v", i, err)
		}
		keys, err := copied.Keys(ctx, "o")
		if err != nil || int64(len(keys)) < before {
			t.Errorf("copy %d has %d keys (%v), want at least the %d that were written before", i, len(keys), err, before)
		}
		if err := copied.Close(); err != nil {
			t.Error(err)
		}
		if filled, err := Examine(ctx, to, false); err != nil || !filled {
			t.Errorf("Examine(copy) = %v, %v; want true, nil", filled, err)
		}
	}
	close(stop)
	work.Wait()
	if filled, err := Examine(ctx, path, true); err != nil || !filled {
		t.Errorf("Examine(in use) = %v, %v; want true, nil", filled, err)
	}
}

func TestWhatCannotBeCopied(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{"missing": "-", "empty": "", "foreign": strings.Repeat("junk ", 2000)} {
		path := filepath.Join(dir, name)
		if content != "-" {
			if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := Copy(t.Context(), path, path+".copy", false); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("Copy of a %s database = %v, want an error that names it", name, err)
		}
	}
	if filled, err := Examine(t.Context(), filepath.Join(dir, "missing"), false); err != nil || filled {
		t.Errorf("Examine of a missing database = %v, %v; want false, nil", filled, err)
	}
	if _, err := Examine(t.Context(), filepath.Join(dir, "foreign"), false); err == nil {
		t.Error("Examine of a foreign file found nothing")
	}
}

// An index that disagrees with its table is found: the check at a start passes over it.
func TestExamineComparesIndexesWithTables(t *testing.T) {
	ctx := t.Context()
	path := filepath.Join(t.TempDir(), "saba.db")
	db, err := Open(ctx, path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.EnsureOrg(ctx, saba.Org{ID: "o", Name: "o"}); err != nil {
		t.Fatal(err)
	}
	const id = "anIDThatStandsInTableAndIndex"
	if err := db.CreateKey(ctx, saba.Key{ID: id, Org: "o", Name: "n", Hash: "hash", Read: true}); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	at := strings.Index(string(b), id)
	if at < 0 || strings.Count(string(b), id) < 2 {
		t.Fatalf("the id stands %d times in the file, want twice", strings.Count(string(b), id))
	}
	b[at] = 'b'
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Check(ctx, path); err != nil {
		t.Logf("Check finds it as well: %v", err)
	}
	if _, err := Examine(ctx, path, false); err == nil || !strings.Contains(err.Error(), "is damaged") {
		t.Errorf("Examine = %v, want it to say that the database is damaged", err)
	}
}

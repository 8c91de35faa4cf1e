package sqldb_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/sqldb"
)

// fill makes a database of some pages at path, closed.
func fill(t testing.TB, path string, hosts int) {
	t.Helper()
	db, err := sqldb.Open(context.Background(), path)
	if err != nil {
		t.Fatal(err)
	}
	addHosts(t, db, hosts)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

func addHosts(t testing.TB, db *sqldb.DB, hosts int) {
	t.Helper()
	ctx := context.Background()
	if _, err := db.EnsureOrg(ctx, saba.Org{ID: "org1", Name: "first"}); err != nil {
		t.Fatal(err)
	}
	for n := range hosts {
		h, checks := hostNumber(n)
		h.Meta = fmt.Appendf(nil, `{"agent-name":"agent","filler":%q}`, strings.Repeat("facts ", 500))
		h.Interfaces = []saba.Interface{{Name: "eth0", MAC: "02:00:00:00:00:05", IPv4: []string{"10.0.0.5"}}, {Name: "lo", IPv4: []string{"127.0.0.1"}}}
		ids := 0
		if err := db.CreateHost(ctx, h, checks, func() (string, error) {
			ids++
			return fmt.Sprintf("%s-%d", h.ID, ids), nil
		}); err != nil {
			t.Fatal(err)
		}
	}
}

// contents returns the files below dir; a test compares them before and after.
func contents(t testing.TB, dir string) map[string][]byte {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for _, e := range entries {
		if e.IsDir() {
			files[e.Name()+"/"] = nil
			continue
		}
		if files[e.Name()], err = os.ReadFile(filepath.Join(dir, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

// edit changes the bytes of a file.
func edit(t testing.TB, path string, change func(b []byte) []byte) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, change(b), 0o600); err != nil {
		t.Fatal(err)
	}
}

const pageSize = 4096

func TestOpenRefusesAndLeavesAsItIs(t *testing.T) {
	const damaged, foreign = "is damaged", "is not a database of saba's"
	whole := filepath.Join(t.TempDir(), "whole.db")
	fill(t, whole, 60)
	for name, tt := range map[string]struct {
		harm func(t *testing.T, path string)
		says []string
	}{
		"a text file": {func(t *testing.T, path string) {
			edit(t, path, func([]byte) []byte { return []byte("dear diary, today I moved a file to the wrong place\n") })
		}, []string{foreign, "move the file away"}},
		"random bytes": {func(t *testing.T, path string) {
			edit(t, path, func(b []byte) []byte { return bytes.Repeat([]byte{0x5a, 0x01, 0xff}, len(b)/3) })
		}, []string{foreign}},
		"a header of zeros": {func(t *testing.T, path string) {
			edit(t, path, func(b []byte) []byte { clear(b[:100]); return b })
		}, []string{foreign}},
		"the second half is missing": {func(t *testing.T, path string) {
			edit(t, path, func(b []byte) []byte { return b[:len(b)/2/pageSize*pageSize] })
		}, []string{damaged, "restore it from a backup"}},
		"cut by more than a page": {func(t *testing.T, path string) {
			edit(t, path, func(b []byte) []byte { return b[:len(b)-pageSize-1000] })
		}, []string{damaged}},
		"a page of zeros": {func(t *testing.T, path string) {
			edit(t, path, func(b []byte) []byte { clear(b[20*pageSize : 21*pageSize]); return b })
		}, []string{damaged}},
		"a page with the bytes of another": {func(t *testing.T, path string) {
			edit(t, path, func(b []byte) []byte { copy(b[3*pageSize:4*pageSize], b[30*pageSize:]); return b })
		}, []string{damaged}},
		"damaged, and killed before": {func(t *testing.T, path string) {
			crashed(t, path)
			edit(t, path, func(b []byte) []byte { clear(b[3*pageSize : 40*pageSize]); return b })
		}, []string{damaged}},
		"damaged, with a stray journal": {func(t *testing.T, path string) {
			edit(t, path, func(b []byte) []byte { clear(b[3*pageSize : 40*pageSize]); return b })
			if err := os.WriteFile(path+"-journal", nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}, []string{damaged}},
		"a row whose parent is gone": {func(t *testing.T, path string) {
			raw(t, path, `DELETE FROM roles WHERE service = 'shop'`)
		}, []string{damaged, "host_roles", "roles"}},
		"another program's database": {func(t *testing.T, path string) {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			raw(t, path, `CREATE TABLE recipes (fish TEXT)`)
		}, []string{foreign}},
		"without its versions": {func(t *testing.T, path string) {
			raw(t, path, `DROP TABLE migrations`)
		}, []string{foreign}},
		"a newer saba's": {func(t *testing.T, path string) {
			raw(t, path, `INSERT INTO migrations (version) VALUES (9)`)
		}, []string{"newer saba", "version 9", "this program knows 8"}},
		"a log whose database is gone": {func(t *testing.T, path string) {
			crashed(t, path)
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}, []string{"missing or empty", "-wal"}},
		"a log whose database is empty": {func(t *testing.T, path string) {
			crashed(t, path)
			edit(t, path, func([]byte) []byte { return nil })
		}, []string{"missing or empty", "-wal"}},
		"a folder in its place": {func(t *testing.T, path string) {
			if err := errors.Join(os.Remove(path), os.Mkdir(path, 0o700)); err != nil {
				t.Fatal(err)
			}
		}, []string{"is not a file"}},
	} {
		t.Run(name, func(t *testing.T) {
			path := copyOf(t, whole)
			dir := filepath.Dir(path)
			tt.harm(t, path)
			before := contents(t, dir)

			_, checked := sqldb.Check(t.Context(), path)
			db, err := sqldb.Open(t.Context(), path)
			if err == nil {
				t.Fatalf("opened; closed: %v", db.Close())
			}
			t.Log(err)
			// What a journal undoes can only be checked afterwards.
			if _, undone := before["saba.db-journal"]; !undone && (checked == nil || checked.Error() != err.Error()) {
				t.Errorf("Check says %v, Open %v", checked, err)
			}
			for _, part := range append(tt.says, path) {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("error %q does not say %q", err, part)
				}
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("error %q has more than one line", err)
			}
			after := contents(t, dir)
			// The index of the log can be made again from the log at any time: it holds no data.
			delete(before, "saba.db-shm")
			delete(after, "saba.db-shm")
			for file := range after {
				if _, was := before[file]; !was {
					t.Errorf("the attempt created %s", file)
				}
			}
			for file, b := range before {
				if !bytes.Equal(after[file], b) {
					t.Errorf("the attempt changed %s", file)
				}
			}
		})
	}
}

// crashed replaces the database at path by one that was never closed: its log holds changes
// that the file does not.
func crashed(t testing.TB, path string) {
	t.Helper()
	db := open(t, path)
	if err := db.CreateService(context.Background(), "org1", saba.Service{Name: "in-the-log"}); err != nil {
		t.Fatal(err)
	}
	// While it is open, copy what a kill would leave.
	files := map[string][]byte{}
	for _, suffix := range []string{"", "-wal"} {
		b, err := os.ReadFile(path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		files[suffix] = b
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	for suffix, b := range files {
		if err := os.WriteFile(path+suffix, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestOpenAccepts(t *testing.T) {
	for name, prepare := range map[string]func(t testing.TB, path string){
		"a database that was not closed": crashed,
		"an empty file, as a start that was cut off at once leaves it": func(t testing.TB, path string) {
			edit(t, path, func([]byte) []byte { return nil })
			fill(t, path, 3)
		},
		"an empty journal": func(t testing.TB, path string) {
			if err := os.WriteFile(path+"-journal", nil, 0o600); err != nil {
				t.Fatal(err)
			}
		},
		"a database without tables, as a start that was cut off leaves it": func(t testing.TB, path string) {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			raw(t, path, `PRAGMA journal_mode = WAL`)
			fill(t, path, 3)
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "saba.db")
			fill(t, path, 3)
			prepare(t, path)
			db := open(t, path)
			hosts, err := db.Hosts(t.Context(), "org1", saba.HostFilter{})
			if err != nil || len(hosts) != 3 {
				t.Errorf("%d hosts, error %v; want 3 and none", len(hosts), err)
			}
		})
	}
}

func TestCheckTellsANewDatabaseFromOneInUse(t *testing.T) {
	for name, tt := range map[string]struct {
		prepare func(t testing.TB, path string)
		want    bool
	}{
		"none":           {func(testing.TB, string) {}, false},
		"an empty file":  {func(t testing.TB, path string) { fill(t, path, 1); edit(t, path, func([]byte) []byte { return nil }) }, false},
		"without tables": {func(t testing.TB, path string) { raw(t, path, `PRAGMA journal_mode = WAL`) }, false},
		"in use":         {func(t testing.TB, path string) { fill(t, path, 1) }, true},
		"killed":         {func(t testing.TB, path string) { fill(t, path, 1); crashed(t, path) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "saba.db")
			tt.prepare(t, path)
			before := contents(t, filepath.Dir(path))
			if got, err := sqldb.Check(t.Context(), path); got != tt.want || err != nil {
				t.Errorf("Check() = %v, %v; want %v", got, err, tt.want)
			}
			after := contents(t, filepath.Dir(path))
			delete(after, "saba.db-shm") // made from the log, and without a meaning of its own
			delete(before, "saba.db-shm")
			if !maps.EqualFunc(before, after, bytes.Equal) {
				t.Errorf("Check changed the files: %d before, %d after", len(before), len(after))
			}
		})
	}
}

func TestOpenedTwiceKeepsEverything(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a folder? 100% #1", "saba.db")
	if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	fill(t, path, 1)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if mode := info.Mode().Perm(); mode != 0o600 {
		t.Errorf("mode of the file is %o, want 600: it holds hashes of passwords", mode)
	}
	files := contents(t, filepath.Dir(path))
	if len(files) != 1 {
		t.Errorf("a closed database has %d files, want 1", len(files))
	}
	h, err := open(t, path).Host(t.Context(), "org1", "host00000")
	if err != nil || h.Name != "app0" {
		t.Errorf("Host = %q, error %v; want app0 and none", h.Name, err)
	}
}

func TestOpenWhereNothingCanBeWritten(t *testing.T) {
	for name, tt := range map[string]struct{ path, says string }{
		"no such folder":           {filepath.Join(t.TempDir(), "missing", "saba.db"), "cannot be created"},
		"a folder that is a file":  {"/proc/version/saba.db", "cannot be created"},
		"a folder nobody may fill": {"/sys/saba.db", "cannot be"},
	} {
		t.Run(name, func(t *testing.T) {
			db, err := sqldb.Open(t.Context(), tt.path)
			if err == nil {
				t.Fatalf("opened; closed: %v", db.Close())
			}
			t.Log(err)
			for _, part := range []string{tt.path, tt.says} {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("error %q does not say %q", err, part)
				}
			}
		})
	}
}

func TestOpenObeysItsContext(t *testing.T) {
	path := filepath.Join(t.TempDir(), "saba.db")
	fill(t, path, 1)
	before := contents(t, filepath.Dir(path))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := sqldb.Open(ctx, path); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want one matching %v", err, context.Canceled)
	}
	for file, b := range contents(t, filepath.Dir(path)) {
		if !bytes.Equal(before[file], b) {
			t.Errorf("the attempt changed %s", file)
		}
	}
}

package server

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/saba-monitor/saba"
)

// filled returns the options of a server that stopped, and left a host and a point.
func filled(t *testing.T) Options {
	t.Helper()
	o := options(t)
	s := open(t, o)
	id := makeHost(t, s, "h")
	body := fmt.Sprintf(`[{"hostId":%q,"name":"custom.n","time":%d,"value":7}]`, id, time.Now().Unix())
	if got := ask(t, s, http.MethodPost, "/api/v0/tsdb", body); got.Code != http.StatusOK {
		t.Fatal(got.Code, got.Body)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return o
}

// writtenLog returns the segment of the log that holds something.
func writtenLog(t *testing.T, data string) string {
	t.Helper()
	logs, err := filepath.Glob(filepath.Join(data, samplesName, "wal", "0*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range logs {
		if info, err := os.Stat(path); err == nil && info.Size() > 0 {
			return path
		}
	}
	t.Fatal("no log was written")
	return ""
}

func TestExamineSaysWhatAStartWouldSay(t *testing.T) {
	junk := []byte(strings.Repeat("junk ", 9999))
	for name, tt := range map[string]struct {
		damage func(t *testing.T, data string) error
		what   string // a part of the finding; "" for none
		repair bool   // sets it right
	}{
		"nothing": {func(*testing.T, string) error { return nil }, "", false},
		"the database is gone": {func(_ *testing.T, data string) error { return os.Remove(filepath.Join(data, databaseName)) },
			"missing or empty", false},
		"the database is junk": {func(_ *testing.T, data string) error {
			return os.WriteFile(filepath.Join(data, databaseName), junk, 0o600)
		}, "is not a database of saba's", false},
		"the samples are a file": {func(_ *testing.T, data string) error {
			samples := filepath.Join(data, samplesName)
			return errors.Join(os.RemoveAll(samples), os.WriteFile(samples, nil, 0o600))
		}, "is not a folder", false},
		"the log is junk": {func(t *testing.T, data string) error { return os.WriteFile(writtenLog(t, data), junk, 0o600) },
			"it is damaged", true},
	} {
		t.Run(name, func(t *testing.T) {
			o := filled(t)
			if err := tt.damage(t, o.Data); err != nil {
				t.Fatal(err)
			}
			before := files(t, o.Data)
			r, err := Examine(t.Context(), o.Data, "", false)
			if err != nil || r.Live || r.Harmed() != (tt.what != "") || !strings.Contains(fmt.Sprint(r.Findings), tt.what) {
				t.Fatalf("Examine() = %+v, %v; want a finding with %q", r, err, tt.what)
			}
			for _, f := range r.Findings {
				if f.Harm && f.Do == "" {
					t.Errorf("%+v does not say what to do", f)
				}
			}
			delete(before, "lock")
			after := files(t, o.Data)
			delete(after, "lock")
			if fmt.Sprint(before) != fmt.Sprint(after) {
				t.Error("Examine changed something")
			}
			s, err := Open(t.Context(), o)
			if (err != nil) != (tt.what != "") {
				t.Errorf("Open() = %v, while Examine said %v", err, r.Findings)
			}
			if err == nil {
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
			}
			if !tt.repair {
				return
			}
			r, err = Examine(t.Context(), o.Data, "", true)
			if err != nil || len(r.Repaired) == 0 || !strings.Contains(fmt.Sprint(r.Findings), "set aside") {
				t.Errorf("Examine(repair) = %+v, %v; want it to say what it moved", r, err)
			}
			open(t, o)
		})
	}
}

func TestExamineWhileSabaRuns(t *testing.T) {
	o := filled(t)
	s := open(t, o)
	defer serveControl(t, s)()
	if r, err := Examine(t.Context(), o.Data, "", false); err != nil || !r.Live || r.Harmed() {
		t.Errorf("Examine() = %+v, %v; want it to see that saba runs, and no harm", r, err)
	}
	if _, err := Examine(t.Context(), o.Data, "", true); !errors.Is(err, saba.ErrConflict) {
		t.Errorf("Examine(repair) while saba runs = %v, want a conflict", err)
	}
	if _, err := Examine(t.Context(), filepath.Join(o.Data, "missing"), "", false); !errors.Is(err, saba.ErrNotFound) {
		t.Errorf("Examine of a missing folder = %v", err)
	}
}

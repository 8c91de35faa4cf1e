package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/sqldb"
	"github.com/saba-monitor/saba/plugin/target/postgrestest"
)

func TestPostgres(t *testing.T) {
	server := postgrestest.Start(t) // one for all: to start it takes longer than each of these
	t.Run("a restart and an outage lose nothing", func(t *testing.T) { postgresKeeps(t, server) })
	t.Run("a start waits for it", func(t *testing.T) { aStartWaits(t, server) })
	t.Run("a folder knows its database", func(t *testing.T) { aFolderKnowsItsDatabase(t, server) })
	t.Run("backups go from each engine into each", func(t *testing.T) { backupsGoBetweenEngines(t, server) })
	t.Run("a restore needs an empty one", func(t *testing.T) { aRestoreNeedsAnEmptyDatabase(t, server) })
	t.Run("doctor", func(t *testing.T) { postgresIsExamined(t, server) })
}

// post posts a point of the current minute.
func post(t *testing.T, s *Server, host string, value float64) int {
	t.Helper()
	body := fmt.Sprintf(`[{"hostId":%q,"name":"custom.n","time":%d,"value":%v}]`, host, time.Now().Unix(), value)
	return ask(t, s, http.MethodPost, "/api/v0/tsdb", body).Code
}

// latest reads back what post sent, through the API.
func latest(t *testing.T, s *Server, host string) float64 {
	t.Helper()
	w := ask(t, s, http.MethodGet, "/api/v0/tsdb/latest?hostId="+host+"&name=custom.n", "")
	var r struct {
		TSDBLatest map[string]map[string]struct{ Value float64 } `json:"tsdbLatest"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &r); err != nil || w.Code != http.StatusOK {
		t.Fatalf("the latest point: %d %s", w.Code, w.Body)
	}
	return r.TSDBLatest[host]["custom.n"].Value
}

func postgresKeeps(t *testing.T, server *postgrestest.Server) {
	o := options(t)
	o.Database = server.Database("keeps")
	s := open(t, o)
	id := makeHost(t, s, "kept")
	if got := post(t, s, id, 7); got != http.StatusOK {
		t.Fatal(got)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(o.Data, databaseName)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("there is a %s too: %v", databaseName, err)
	}
	s = open(t, o)
	if got := latest(t, s, id); got != 7 {
		t.Errorf("after a restart the point is %v, want 7", got)
	}

	server.End(syscall.SIGQUIT)
	for range 3 {
		w := ask(t, s, http.MethodGet, "/api/v0/hosts", "")
		if w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "try again later") || w.Header().Get("Retry-After") == "" {
			t.Errorf("while PostgreSQL is away: %d %s, want 503, a sentence and when to come again", w.Code, w.Body)
		}
		if got := post(t, s, id, 8); got != http.StatusServiceUnavailable {
			t.Errorf("while PostgreSQL is away a point is answered with %d, want 503", got)
		}
	}
	r := httptest.NewRequest(http.MethodGet, "/hosts/"+id, nil)
	r.AddCookie(&http.Cookie{Name: "saba_session", Value: "a-session"})
	page := httptest.NewRecorder()
	s.handler.ServeHTTP(page, r)
	if page.Code != http.StatusServiceUnavailable || !strings.Contains(page.Body.String(), "Try again later") {
		t.Errorf("while PostgreSQL is away a page is %d %s, want 503 and a sentence", page.Code, page.Body)
	}
	server.Begin()
	if got := post(t, s, id, 9); got != http.StatusOK {
		t.Errorf("when PostgreSQL is back a point is answered with %d", got)
	}
	if got := latest(t, s, id); got != 9 {
		t.Errorf("the point is %v, want 9", got)
	}
	makeHost(t, s, "another")
}

func aStartWaits(t *testing.T, server *postgrestest.Server) {
	o := options(t)
	o.Database = server.Database("late")
	o.Database = strings.Replace(o.Database, "postgres@", "postgres:topsecret@", 1)
	server.End(syscall.SIGINT)
	said, tell := io.Pipe()
	o.Log = slog.New(slog.NewTextHandler(tell, nil))
	var work sync.WaitGroup
	defer work.Wait()
	var s *Server
	var err error
	work.Go(func() {
		defer tell.Close()
		s, err = Open(t.Context(), o)
	})
	line := make([]byte, 4096)
	n, readErr := said.Read(line)
	if readErr != nil || !strings.Contains(string(line[:n]), "waits for the database") || strings.Contains(string(line[:n]), "secret") {
		t.Errorf("the log says %q (%v), want that the start waits, without the password", line[:n], readErr)
	}
	server.Begin()
	rest, readErr := io.ReadAll(said)
	if readErr != nil || bytes.Contains(rest, []byte("waits for")) {
		t.Errorf("the log goes on %q (%v), want one line about it", rest, readErr)
	}
	work.Wait()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}

	log := slog.New(slog.DiscardHandler)
	err = awaitDatabase(t.Context(), "postgres://saba:topsecret@127.0.0.1:1/x", 10*time.Millisecond, log)
	if !errors.Is(err, saba.ErrUnavailable) || !strings.Contains(err.Error(), "after 10ms of waiting: database postgres://127.0.0.1:1/x") || strings.Contains(err.Error(), "secret") {
		t.Errorf("a database that never answers: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := awaitDatabase(ctx, "postgres://127.0.0.1:1/x", time.Hour, log); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("a start that is broken off: %v", err)
	}
}

func aFolderKnowsItsDatabase(t *testing.T, server *postgrestest.Server) {
	o := options(t)
	o.Database = server.Database("known")
	s := open(t, o)
	second := o
	second.Data = t.TempDir()
	if _, err := Open(t.Context(), second); err == nil || !strings.Contains(err.Error(), "in use by another saba") {
		t.Errorf("a second server on the database: %v", err)
	}
	if got := post(t, s, makeHost(t, s, "h"), 1); got != http.StatusOK {
		t.Fatal(got)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	forgotten := o
	forgotten.Database = ""
	for name, err := range map[string]error{
		"a start":  func() error { _, err := Open(t.Context(), forgotten); return err }(),
		"a backup": func() error { _, err := Backup(t.Context(), o.Data, "", time.Now, io.Discard); return err }(),
		"doctor":   func() error { _, err := Examine(t.Context(), o.Data, "", false); return err }(),
	} {
		if !errors.Is(err, saba.ErrInvalid) || !strings.Contains(err.Error(), "goes with the database postgres://127.0.0.1:"+server.Port+"/known: name it with --database") {
			t.Errorf("%s without --database: %v", name, err)
		}
	}
	for url, says := range map[string]string{
		server.Database("empty"):          "/empty is missing or empty while " + filepath.Join(o.Data, samplesName) + " holds samples",
		"mysql://saba:topsecret@db/saba":  "must begin with postgres://",
		"postgres://saba:topsecret@%zz/x": "cannot be read",
	} {
		wrong := o
		wrong.Database = url
		if _, err := Open(t.Context(), wrong); err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "secret") {
			t.Errorf("a start with a database that is not the folder's: %v, want %q and no password", err, says)
		}
	}
	open(t, o) // nothing was changed
}

// Whatever engine a backup was taken from, running or not, it is restored into either.
func backupsGoBetweenEngines(t *testing.T, server *postgrestest.Server) {
	first := options(t)
	s := open(t, first)
	id := makeHost(t, s, "travels")
	if got := post(t, s, id, 7); got != http.StatusOK {
		t.Fatal(got)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	o := first
	for i, hop := range []struct {
		url  string // of the database to restore into
		live bool   // the server that the backup is taken from runs
	}{
		{server.Database("hop1"), false}, // from a file to PostgreSQL
		{server.Database("hop2"), true},
		{server.Database("hop3"), false},
		{"", true}, // back to a file
		{"", false},
	} {
		var archive bytes.Buffer
		if hop.live {
			s := open(t, o)
			stop := serveControl(t, s)
			live, err := Backup(t.Context(), o.Data, "", time.Now, &archive)
			if err != nil || !live {
				t.Fatalf("hop %d: Backup() = %v, %v; want true, nil", i, live, err)
			}
			stop()
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		} else if _, err := Backup(t.Context(), o.Data, o.Database, time.Now, &archive); err != nil {
			t.Fatalf("hop %d: %v", i, err)
		}
		next := o
		next.Data, next.Database = filepath.Join(t.TempDir(), "data"), hop.url
		if _, err := Restore(t.Context(), &archive, next.Data, next.Database); err != nil {
			t.Fatalf("hop %d: %v", i, err)
		}
		if _, err := os.Stat(filepath.Join(next.Data, restoreFolder)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("hop %d left %s: %v", i, restoreFolder, err)
		}
		o = next
		s := open(t, o)
		if got := latest(t, s, id); got != 7 {
			t.Errorf("after hop %d the point is %v, want 7", i, got)
		}
		if hosts, err := s.records.Hosts(t.Context(), s.org.ID, saba.HostFilter{}); err != nil || len(hosts) != 1 || hosts[0].Name != "travels" {
			t.Errorf("after hop %d hosts are %+v, error %v", i, hosts, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func aRestoreNeedsAnEmptyDatabase(t *testing.T, server *postgrestest.Server) {
	whole := aBackup(t)
	used := server.Database("used")
	db, err := sqldb.Open(t.Context(), used)
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	foreign := server.Database("foreign")
	server.Connect(foreign).Ask(`CREATE TABLE goods (n INT)`)
	parent := t.TempDir()
	data := filepath.Join(parent, "data")
	for url, says := range map[string]string{used: "/used is not empty", foreign: "tables of another program", server.URL("", "missing"): "no such database"} {
		if _, err := Restore(t.Context(), bytes.NewReader(whole), data, url); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("Restore() = %v, want %q", err, says)
		}
		if left := files(t, parent); len(left) > 0 {
			t.Errorf("Restore left %d files", len(left))
		}
	}
	// One that is not whole fills nothing.
	url := server.Database("blank")
	if _, err := Restore(t.Context(), bytes.NewReader(whole[:len(whole)*2/3]), data, url); !errors.Is(err, saba.ErrInvalid) {
		t.Errorf("Restore of half a backup = %v", err)
	}
	if filled, err := sqldb.Check(t.Context(), url); filled || err != nil {
		t.Errorf("half a backup filled the database: %v, %v", filled, err)
	}
	// What a restore left that was killed before its last step is no hindrance.
	for _, name := range []string{restoreFolder, samplesName} {
		if err := os.MkdirAll(filepath.Join(data, name, "wal"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := noteDatabase(data, url); err != nil {
		t.Fatal(err)
	}
	if _, err := Restore(t.Context(), bytes.NewReader(whole), data, url); err != nil {
		t.Fatalf("Restore after one that was killed = %v", err)
	}
	// Killed after its last step, it leaves its folder, which the next start removes.
	if err := os.Mkdir(filepath.Join(data, restoreFolder), 0o700); err != nil {
		t.Fatal(err)
	}
	o := options(t)
	o.Data, o.Database = data, url
	open(t, o)
	if _, err := os.Stat(filepath.Join(data, restoreFolder)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder of a restore is still there: %v", err)
	}
}

func postgresIsExamined(t *testing.T, server *postgrestest.Server) {
	o := options(t)
	o.Database = server.Database("examined")
	s := open(t, o)
	post(t, s, makeHost(t, s, "h"), 1)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := Examine(t.Context(), o.Data, o.Database, false)
	if err != nil || r.Harmed() {
		t.Errorf("Examine() = %+v, %v; want no harm", r, err)
	}
	if !strings.Contains(fmt.Sprint(r.Findings), "fsync is off") { // as the test has it
		t.Errorf("Examine() = %+v, want a word about fsync", r)
	}
	for url, says := range map[string]string{
		server.Database("blank2"):                    "missing or empty while there are samples",
		"postgres://saba:topsecret@127.0.0.1:1/gone": "does not answer",
	} {
		r, err := Examine(t.Context(), o.Data, url, false)
		if found := fmt.Sprint(r.Findings); err != nil || !r.Harmed() || !strings.Contains(found, says) || strings.Contains(found, "secret") {
			t.Errorf("Examine() = %s, %v; want harm, with %q and no password", found, err, says)
		}
	}
}

package server

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/saba-monitor/saba"
)

// ask sends a request to the server's handler and returns its answer.
func ask(t *testing.T, s *Server, method, path, body string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("X-Api-Key", key)
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	return w
}

func makeHost(t *testing.T, s *Server, name string) (id string) {
	t.Helper()
	var r struct{ ID string }
	w := ask(t, s, http.MethodPost, "/api/v0/hosts", fmt.Sprintf(`{"name":%q,"meta":{}}`, name))
	if err := json.Unmarshal(w.Body.Bytes(), &r); err != nil || w.Code != http.StatusOK {
		t.Fatalf("make host %s: %d %s", name, w.Code, w.Body)
	}
	return r.ID
}

// serveControl answers on the control socket until the returned function is called.
func serveControl(t *testing.T, s *Server) (stop func()) {
	t.Helper()
	c, err := openControl(s)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var work sync.WaitGroup
	work.Go(func() {
		if err := c.serve(ctx); err != nil {
			t.Error(err)
		}
	})
	return func() {
		cancel()
		work.Wait()
		if err := c.close(); err != nil {
			t.Error(err)
		}
	}
}

// files returns the content of every file below dir by its path.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	if err := fs.WalkDir(os.DirFS(dir), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(filepath.Join(dir, path))
		all[path] = string(b)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return all
}

// Every object and every point that was answered for before the backup is there after the restore, while others are
// written all the time; and the server goes on.
func TestABackupOfARunningServer(t *testing.T) {
	o := options(t)
	s := open(t, o)
	defer serveControl(t, s)()
	if err := os.MkdirAll(filepath.Join(o.Data, "agent"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"id": "3hostid", "host.json": "{}", "key": "secret"} {
		if err := os.WriteFile(filepath.Join(o.Data, "agent", name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var (
		mu    sync.Mutex
		acked = map[string]int{} // host: minutes that were answered for
	)
	now := time.Now().Unix() / 60 * 60
	ctx, cancel := context.WithCancel(t.Context())
	var work sync.WaitGroup
	defer work.Wait()
	defer cancel()
	grew := make(chan struct{}, 1)
	for w := range 2 {
		work.Go(func() {
			for h := 0; ctx.Err() == nil; h++ {
				id := makeHost(t, s, fmt.Sprintf("host-%d-%d", w, h))
				for m := range 20 {
					// The second writer's points are late.
					at := now - int64(m)*60 - int64(w)*3600
					body := fmt.Sprintf(`[{"hostId":%q,"name":"custom.n","time":%d,"value":%d}]`, id, at, m)
					if got := ask(t, s, http.MethodPost, "/api/v0/tsdb", body); got.Code != http.StatusOK {
						t.Errorf("a point was answered with %d: %s", got.Code, got.Body)
						return
					}
					mu.Lock()
					acked[id] = m + 1
					mu.Unlock()
					select {
					case grew <- struct{}{}:
					default:
					}
				}
			}
		})
	}
	for range 3 {
		for range 50 {
			<-grew
		}
		mu.Lock()
		want := map[string]int{}
		for id, n := range acked {
			want[id] = n
		}
		mu.Unlock()
		var archive bytes.Buffer
		live, err := Backup(t.Context(), o.Data, "", time.Now, &archive)
		if err != nil || !live {
			t.Fatalf("Backup() = %v, %v; want true, nil", live, err)
		}
		restored := o
		restored.Data = filepath.Join(t.TempDir(), "restored")
		m, err := Restore(t.Context(), &archive, restored.Data, "")
		if err != nil || m.Saba != saba.Version || m.Size() == 0 || time.Since(m.Taken) > time.Hour {
			t.Fatalf("Restore() = %+v, %v", m, err)
		}
		again := open(t, restored)
		for id, n := range want {
			host, err := again.records.Host(t.Context(), again.org.ID, id)
			if err != nil {
				t.Fatalf("host %s is not there: %v", id, err)
			}
			got, err := again.samples.Range(t.Context(), []saba.Series{{Org: again.org.ID, Host: id, Name: "custom.n"}}, now-86400, now)
			if err != nil || len(got[0]) < n {
				t.Fatalf("host %s has %d points (%v), want at least the %d that were answered for", host.Name, len(got[0]), err, n)
			}
		}
		if got := files(t, restored.Data); got["agent/id"] != "3hostid" || got["agent/host.json"] != "{}" || got["agent/key"] != "" {
			t.Error("the agent's id was not restored, or its key was")
		} else if key := files(t, o.Data)[pictureKey]; key == "" || got[pictureKey] != key {
			t.Error("links to pictures of before the restore lead nowhere: their key was not restored")
		}
		if left, err := filepath.Glob(filepath.Join(o.Data, "*.tmp")); err != nil || len(left) > 0 {
			t.Errorf("the backup left %v (%v)", left, err)
		}
	}
}

func TestABackupAtRest(t *testing.T) {
	o := options(t)
	s := open(t, o)
	id := makeHost(t, s, "kept")
	body := fmt.Sprintf(`[{"hostId":%q,"name":"custom.n","time":%d,"value":7}]`, id, time.Now().Unix())
	if got := ask(t, s, http.MethodPost, "/api/v0/tsdb", body); got.Code != http.StatusOK {
		t.Fatal(got.Code, got.Body)
	}
	var archive bytes.Buffer
	// A server that does not answer.
	if err := os.Remove(filepath.Join(o.Data, controlName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	if _, err := Backup(t.Context(), o.Data, "", time.Now, &archive); err == nil || !strings.Contains(err.Error(), "is in use by another saba") {
		t.Errorf("Backup of a folder in use that nobody answers for = %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	archive.Reset()
	live, err := Backup(t.Context(), o.Data, "", time.Now, &archive)
	if err != nil || live {
		t.Fatalf("Backup() = %v, %v; want false, nil", live, err)
	}
	restored := o
	restored.Data = t.TempDir() // empty, as a mount point is
	if _, err := Restore(t.Context(), &archive, restored.Data, ""); err != nil {
		t.Fatal(err)
	}
	again := open(t, restored)
	if got, ok := again.samples.Latest(saba.Series{Org: again.org.ID, Host: id, Name: "custom.n"}); !ok || got.Value != 7 {
		t.Errorf("the newest sample is %v (there: %v), want 7", got, ok)
	}
	if _, err := Backup(t.Context(), t.TempDir(), "", time.Now, io.Discard); !errors.Is(err, saba.ErrNotFound) {
		t.Errorf("Backup of an empty folder = %v, want an error that matches saba.ErrNotFound", err)
	}
}

// aBackup returns a small backup.
func aBackup(t *testing.T) []byte {
	t.Helper()
	o := options(t)
	s := open(t, o)
	makeHost(t, s, "h")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if _, err := Backup(t.Context(), o.Data, "", time.Now, &b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// rewritten returns a backup in which each file went through change, which returns false to leave it out.
func rewritten(t *testing.T, backup []byte, change func(h *tar.Header, b []byte) ([]byte, bool)) []byte {
	t.Helper()
	zipped, err := gzip.NewReader(bytes.NewReader(backup))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	to := gzip.NewWriter(&out)
	archive := tar.NewWriter(to)
	from := tar.NewReader(zipped)
	for {
		h, err := from.Next()
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(from)
		if err != nil {
			t.Fatal(err)
		}
		b, ok := change(h, b)
		if !ok {
			continue
		}
		h.Size = int64(len(b))
		if err := archive.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := archive.Write(b); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(archive.Close(), to.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// unzipped returns what can be read of a backup.
func unzipped(backup []byte) []byte {
	r, err := gzip.NewReader(bytes.NewReader(backup))
	if err != nil {
		return nil
	}
	b, err := io.ReadAll(r)
	if err != nil {
		return nil
	}
	return b
}

// What is not whole is refused, and leaves the folder as it was.
func TestWhatCannotBeRestored(t *testing.T) {
	whole := aBackup(t)
	same := func(_ *tar.Header, b []byte) ([]byte, bool) { return b, true }
	if _, err := Restore(t.Context(), bytes.NewReader(rewritten(t, whole, same)), filepath.Join(t.TempDir(), "new"), ""); err != nil {
		t.Fatalf("a backup that was packed anew is refused: %v", err)
	}
	flipped := whole
	for at := len(whole) / 2; bytes.Equal(unzipped(flipped), unzipped(whole)); at++ { // to turn a distance between zeros changes nothing
		flipped = bytes.Clone(whole)
		flipped[at] ^= 0x40
	}
	for name, tt := range map[string]struct {
		backup []byte
		want   string
	}{
		"an empty file":     {nil, "no whole backup"},
		"a letter":          {[]byte("dear friend"), "no whole backup"},
		"one that is cut":   {whole[:len(whole)*2/3], "no whole backup"},
		"without its end":   {whole[:len(whole)-9], "no whole backup"},
		"a byte was turned": {flipped, "backup"},
		"a file was changed": {rewritten(t, whole, func(h *tar.Header, b []byte) ([]byte, bool) {
			if h.Name == databaseName {
				b[len(b)/2] ^= 1
			}
			return b, true
		}), "saba.db has another checksum"},
		"a file is missing":       {rewritten(t, whole, func(h *tar.Header, b []byte) ([]byte, bool) { return b, h.Name != databaseName }), "not those of its manifest"},
		"the manifest is missing": {rewritten(t, whole, func(h *tar.Header, b []byte) ([]byte, bool) { return b, h.Name != manifestName }), "cut short"},
		"a path that leads out": {rewritten(t, whole, func(h *tar.Header, b []byte) ([]byte, bool) {
			if h.Name != manifestName {
				h.Name = "samples/../../" + h.Name
			}
			return b, true
		}), "belongs into none"},
		"a link": {rewritten(t, whole, func(h *tar.Header, b []byte) ([]byte, bool) {
			if h.Name != manifestName {
				h.Typeflag, h.Linkname, b = tar.TypeSymlink, "/etc/passwd", nil
			}
			return b, true
		}), "belongs into none"},
		"a newer one": {rewritten(t, whole, func(h *tar.Header, b []byte) ([]byte, bool) {
			if h.Name == manifestName {
				b = bytes.Replace(b, []byte(`"format": 1`), []byte(`"format": 2`), 1)
			}
			return b, true
		}), "written by a newer saba"},
	} {
		t.Run(name, func(t *testing.T) {
			parent := t.TempDir()
			data := filepath.Join(parent, "data")
			_, err := Restore(t.Context(), bytes.NewReader(tt.backup), data, "")
			if !errors.Is(err, saba.ErrInvalid) || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("Restore() = %v, want one line with %q that matches saba.ErrInvalid", err, tt.want)
			}
			if left := files(t, parent); len(left) > 0 {
				t.Errorf("Restore left %d files", len(left))
			}
			if _, err := os.Stat(data); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("Restore left the folder: %v", err)
			}
		})
	}
}

func TestARestoreNeedsAnEmptyFolder(t *testing.T) {
	whole := aBackup(t)
	data := t.TempDir()
	mine := filepath.Join(data, "mine")
	if err := os.WriteFile(mine, []byte("my own"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Restore(t.Context(), bytes.NewReader(whole), data, ""); !errors.Is(err, saba.ErrConflict) || !strings.Contains(err.Error(), "is not empty (it holds mine)") {
		t.Errorf("Restore into a folder that is not empty = %v", err)
	}
	if got := files(t, data); len(got) != 1 || got["mine"] != "my own" {
		t.Errorf("the folder now has %d files", len(got))
	}
	// What a restore left that was killed before its last step is no hindrance.
	if err := os.Remove(mine); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{restoreFolder, samplesName} {
		if err := os.MkdirAll(filepath.Join(data, name, "wal"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(data, name, "wal", "00000000"), []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Restore(t.Context(), bytes.NewReader(whole), data, ""); err != nil {
		t.Fatalf("Restore after one that was killed = %v", err)
	}
	o := options(t)
	o.Data = data
	open(t, o)
}

// An interruption leaves nothing, and is no damage.
func TestARestoreCanBeInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	data := filepath.Join(t.TempDir(), "data")
	if _, err := Restore(ctx, bytes.NewReader(aBackup(t)), data, ""); !errors.Is(err, context.Canceled) || errors.Is(err, saba.ErrInvalid) {
		t.Errorf("Restore() = %v, want the interruption", err)
	}
	if _, err := os.Stat(data); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Restore left the folder: %v", err)
	}
}

// Data folders may be deeper than the path of a socket may be long.
func TestTheSocketOfADeepFolder(t *testing.T) {
	o := options(t)
	o.Data = filepath.Join(t.TempDir(), strings.Repeat("deep", 20), strings.Repeat("deeper", 20))
	s := open(t, o)
	stop := serveControl(t, s)
	info, err := os.Stat(filepath.Join(o.Data, controlName))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket: %v, %v; want it for its owner alone", info, err)
	}
	live, err := Backup(t.Context(), o.Data, "", time.Now, io.Discard)
	if err != nil || !live {
		t.Errorf("Backup() = %v, %v; want true, nil", live, err)
	}
	stop()
	if _, err := os.Stat(filepath.Join(o.Data, controlName)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket is left: %v", err)
	}
}

// Whatever somebody calls a backup: reading it never panics, and what is taken names only files that belong into one.
func FuzzReadBackup(f *testing.F) {
	var b bytes.Buffer
	zipped := gzip.NewWriter(&b)
	a := archive{tar: tar.NewWriter(zipped), manifest: Manifest{Format: backupFormat}}
	if err := errors.Join(a.add(context.Background(), databaseName, 5, strings.NewReader("hello")), a.finish(), zipped.Close()); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := ReadBackup(t.Context(), bytes.NewReader(b))
		if err != nil && !errors.Is(err, saba.ErrInvalid) {
			t.Errorf("ReadBackup() = %v, want it to match saba.ErrInvalid", err)
		}
		for _, file := range m.Files {
			if err == nil && !mayRestore(file.Name) {
				t.Errorf("a file %q was taken", file.Name)
			}
		}
	})
}

package e2e

import (
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// What was acknowledged before a backup is in a server that is started on what is restored from it, while writers go on, and
// the first server is killed in the end.
func TestABackupWhileSabaRuns(t *testing.T) {
	env := []string{"SABA_API_KEY=" + key}
	folder := t.TempDir()
	data, restored, file := filepath.Join(folder, "data"), filepath.Join(folder, "restored"), filepath.Join(folder, "backup.tar.gz")
	server := start(t, env, "saba", "server", "--listen", "127.0.0.1:0", "--data", data, "--retention-size", "1TB")
	base := server.consoleURL()

	var (
		mu    sync.Mutex
		acked = map[string]int64{} // host: minutes before now that were acknowledged
		work  sync.WaitGroup
		stop  = make(chan struct{})
		grew  = make(chan struct{}, 1)
		now   = time.Now().Unix() / 60 * 60
	)
	for w := range 3 {
		var r struct{ ID string }
		if status := call(t, http.MethodPost, base, "/api/v0/hosts", strings.NewReader(fmt.Sprintf(`{"name":"writer%d","meta":{}}`, w)), &r); status != http.StatusOK {
			t.Fatalf("registering answered %d", status)
		}
		work.Go(func() {
			for m := int64(0); m < 600; m++ {
				select {
				case <-stop:
					return
				default:
				}
				if !post(base, fmt.Sprintf(`[{"hostId":%q,"name":"custom.crash.n","time":%d,"value":%d}]`, r.ID, now-m*60, m)) {
					t.Error("a point was not taken")
					return
				}
				mu.Lock()
				acked[r.ID] = m + 1
				mu.Unlock()
				select {
				case grew <- struct{}{}:
				default:
				}
			}
		})
	}
	for range 60 {
		<-grew
	}
	mu.Lock()
	want := map[string]int64{}
	for id, n := range acked {
		want[id] = n
	}
	mu.Unlock()
	saba := func(args ...string) string {
		t.Helper()
		out, err := exec.CommandContext(t.Context(), filepath.Join(binaries, "saba"), args...).CombinedOutput()
		if err != nil {
			t.Errorf("saba %v: %v: %s", args, err, out)
		}
		return string(out)
	}
	if out := saba("backup", file, "--data", data); !strings.Contains(out, "taken from the running saba") {
		t.Errorf("saba backup says %q", out)
	}
	if out := saba("doctor", "--data", data); !strings.Contains(out, "saba runs on") {
		t.Errorf("saba doctor says %q", out)
	}
	close(stop)
	work.Wait()
	server.kill()

	saba("restore", file, "--data", restored)
	saba("doctor", "--data", restored)
	saba("doctor", "--data", data) // what a kill leaves is no harm
	again := start(t, env, "saba", "server", "--listen", "127.0.0.1:0", "--data", restored)
	for id, n := range want {
		got := allPoints(t, again.consoleURL(), id)
		for m := range n {
			if v, ok := got[now-m*60]; !ok || v != float64(m) {
				t.Fatalf("the point %d minutes ago of host %s was acknowledged as %d and is %v (there: %v)", m, id, m, v, ok)
			}
		}
	}
	again.stop()
	// Without a server it is read directly.
	if out := saba("backup", file, "--data", restored); !strings.Contains(out, "saba was not running") {
		t.Errorf("saba backup says %q", out)
	}
}

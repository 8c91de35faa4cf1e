package drain

import (
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// Heroku's own package for Go, unmodified, in a process of its own, reports to a drain. It does so every 20 seconds and cannot be told otherwise.
func TestHerokusPackageForGo(t *testing.T) {
	t.Parallel()
	app := filepath.Join(t.TempDir(), "app")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", app, ".") // a module of its own, so that nothing of saba depends on it
	build.Dir = filepath.Join("testdata", "hmetrics")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	r := newRig(t)
	posted := make(chan int, 10)
	server := httptest.NewServer(answered(r.drains, posted))
	defer server.Close()
	cmd := exec.CommandContext(t.Context(), app)
	cmd.Env = append(os.Environ(), "HEROKU_METRICS_URL="+server.URL+Prefix+r.token+"/metrics?source=web.1", "HMETRICS_VERBOSE=1")
	stdin, err := cmd.StdinPipe()
	r.check(err)
	cmd.Stdout, cmd.Stderr = t.Output(), t.Output()
	r.check(cmd.Start())
	select {
	case code := <-posted:
		r.wantStatus(code, 200)
	case <-time.After(2 * time.Minute):
		t.Error("nothing was posted")
	}
	r.check(stdin.Close())
	r.check(cmd.Wait())
	r.wait(2 * time.Minute)
	for _, name := range []string{"go.gc.collections", "go.gc.pause.ms", "go.memory.heap.bytes", "go.memory.stack.bytes", "go.memory.heap.objects", "go.gc.goal", "go.routines"} {
		if got := r.value(name+".web.1", begin); got <= 0 {
			t.Errorf("%s is %v, want more than 0", name, got)
		}
	}
	if got := r.drains.Status("d1").Refused; len(got) > 0 {
		t.Errorf("refused: %v", got)
	}
}

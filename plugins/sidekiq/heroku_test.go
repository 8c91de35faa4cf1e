package sidekiq

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/saba-monitor/saba/plugin/target/redistest"
)

// boot starts a dyno as the platform does: a shell reads .profile.d and becomes the
// application, which here repeats its stdin.
func boot(t *testing.T, slug string, env ...string) (cmd *exec.Cmd, in io.WriteCloser, out io.Reader, errs *bytes.Buffer) {
	t.Helper()
	cmd = exec.Command("bash", "-c", `cd "$HOME"; for f in .profile.d/*.sh; do . "$f"; done; exec cat`)
	cmd.Env = append([]string{"HOME=" + slug, "PATH=" + os.Getenv("PATH"), "TMPDIR=" + t.TempDir()}, env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	errs = &bytes.Buffer{}
	cmd.Stderr = errs
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if out, err = cmd.StdoutPipe(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }) // of a test that failed
	return cmd, in, out, errs
}

func TestTheBuildpack(t *testing.T) {
	for _, name := range []string{"build.sh", "bin/detect", "bin/compile", "profile.d/sidekiq-metrics.sh"} {
		if _, err := os.ReadFile("../../packaging/heroku/" + name); err != nil { // so that the test cache sees a change
			t.Fatal(err)
		}
	}
	pack, slug := t.TempDir(), t.TempDir()
	script := func(name string, args ...string) string {
		t.Helper()
		out, err := exec.Command(name, args...).CombinedOutput()
		if err != nil {
			t.Fatalf("%s %q: %v\n%s", name, args, err, out)
		}
		return string(out)
	}
	script("../../packaging/heroku/build.sh", pack, runtime.GOARCH)
	if err := os.WriteFile(filepath.Join(slug, "Procfile"), []byte("web: cat\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := script(pack+"/bin/detect", slug); got != "sidekiq-metrics\n" {
		t.Errorf("detect printed %q", got)
	}
	for range 2 { // the second is a deployment upon what the first left
		if got := script(pack+"/bin/compile", slug, t.TempDir(), t.TempDir()); !strings.HasPrefix(got, "-----> ") || !strings.Contains(got, "version") {
			t.Errorf("compile printed %q", got)
		}
	}

	s := redistest.Start(t)
	s.Ask("SADD", "queues", "default", "mailers")
	s.Ask("RPUSH", "queue:mailers", "{}", `{"enqueued_at":4102444800}`)
	url := "REDIS_URL=redis://127.0.0.1:" + s.Port
	cmd, in, out, errs := boot(t, slug, "DYNO=web.1", url)
	lines := bufio.NewScanner(out)
	for _, want := range []string{
		"sidekiq-metrics start...",
		"sample#sidekiq.default.size=0 sample#sidekiq.mailers.size=2",
		"sample#sidekiq.default.latency=0 sample#sidekiq.mailers.latency=0",
	} {
		if !lines.Scan() || lines.Text() != want {
			t.Fatalf("the dyno printed %q, want %q; stderr:\n%s", lines.Text(), want, errs)
		}
	}
	if _, err := io.WriteString(in, "the application\n"); err != nil || !lines.Scan() || lines.Text() != "the application" {
		t.Errorf("the application printed %q, %v", lines.Text(), err)
	}
	// The platform signals all processes of a dyno; the output ends when the last one has.
	if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for lines.Scan() {
		t.Errorf("at its end the dyno printed %q", lines.Text())
	}
	_ = cmd.Wait() // ended by the signal
	if errs.Len() > 0 {
		t.Errorf("stderr:\n%s", errs)
	}

	bare := t.TempDir() // its slug lost the agent
	script("cp", "-r", slug+"/.profile.d", bare)
	for name, tt := range map[string]struct {
		slug string
		env  []string
		out  string
		errs string
	}{
		"another dyno":           {slug, []string{"DYNO=web.2", url}, "app\n", ""},
		"no dyno":                {slug, []string{url}, "app\n", ""},
		"no Redis is named":      {slug, []string{"DYNO=web.1"}, "app\n", "REDIS_URL is not set"},
		"the agent is missing":   {bare, []string{"DYNO=web.1", url}, "app\n", ".saba/saba-agent is missing"},
		"another dyno is wanted": {slug, []string{"DYNO=web.1", "SIDEKIQ_METRICS_DYNO=worker.1", url}, "app\n", ""},
		"a wrong setting":        {slug, []string{"DYNO=worker.1", "SIDEKIQ_METRICS_DYNO=worker.1", "SIDEKIQ_METRICS_TYPE=gauge", "SIDEKIQ_METRICS_INTERVAL=5m", url}, "sidekiq-metrics start...\napp\n", `-type "gauge"`},
	} {
		cmd, in, out, errs := boot(t, tt.slug, tt.env...)
		_, _ = io.WriteString(in, "app\n")
		_ = in.Close()
		got, _ := io.ReadAll(out)
		if err := cmd.Wait(); err != nil || string(got) != tt.out || !strings.Contains(errs.String(), tt.errs) || tt.errs == "" && errs.Len() > 0 {
			t.Errorf("%s: %v, printed %q, want %q; stderr %q, want %q", name, err, got, tt.out, errs, tt.errs)
		}
	}
}

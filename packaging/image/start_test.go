package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"
)

// patience bounds every wait of these tests: long enough for a loaded machine.
const patience = 2 * time.Minute

// engine is podman with images and containers of its own.
type engine struct {
	t    *testing.T
	args []string
}

// newEngine returns an engine that knows no image. It needs to be root's, or of a user that may have containers.
func newEngine(t *testing.T) *engine {
	t.Helper()
	dir, err := os.MkdirTemp("", "saba-pod-") // t.TempDir's is too long a name for podman
	if err != nil {
		t.Fatal(err)
	}
	// What podman asks of a machine besides is asked of as little as possible: no overlay, no systemd, no network of
	// its own, no more open files than there may be.
	e := &engine{t, []string{"--root", dir + "/root", "--runroot", dir + "/run", "--tmpdir", dir + "/tmp", "--storage-driver", "vfs", "--cgroup-manager", "cgroupfs", "--runtime", "runc", "--events-backend", "none"}}
	t.Cleanup(func() {
		_, _ = e.try(context.Background(), "rm", "--all", "--force", "--time", "0")
		_ = exec.Command("umount", dir+"/root/vfs").Run() // which podman binds to itself
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("containers are left behind: %v", err)
		}
	})
	return e
}

func (e *engine) command(ctx context.Context, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, "podman", append(e.args, args...)...)
}

func (e *engine) try(ctx context.Context, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	out, err := e.command(ctx, args...).CombinedOutput()
	return string(out), err
}

func (e *engine) do(args ...string) string {
	e.t.Helper()
	out, err := e.try(e.t.Context(), args...)
	if err != nil {
		e.t.Fatalf("podman %q: %v\n%s", args, err, out)
	}
	return out
}

// confined are the flags of a container that may do no more than the manifests let it: a read-only root file system, no
// capability, no way to more rights, and 128 MiB of memory.
var confined = []string{"run", "--read-only", "--read-only-tmpfs=false", "--cap-drop", "all", "--security-opt", "no-new-privileges", "--memory", "128m", "--network", "host", "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"}

// run runs a container to its end.
func (e *engine) run(args ...string) (string, error) {
	return e.try(e.t.Context(), append(append(confined[:len(confined):len(confined)], "--rm"), args...)...)
}

// A container is one that runs.
type container struct {
	t      *testing.T
	name   string
	lines  chan string // of its output; closed at its end
	engine *engine
}

// start starts a container until the test ends.
func (e *engine) start(name string, args ...string) *container {
	e.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := e.command(ctx, append(append(confined[:len(confined):len(confined)], "--name", name), args...)...)
	r, w := io.Pipe()
	cmd.Stdout, cmd.Stderr = w, w
	if err := cmd.Start(); err != nil {
		e.t.Fatal(err)
	}
	c := &container{e.t, name, make(chan string, 10_000), e}
	ended := make(chan struct{})
	go func() { // ends when the command has
		defer close(ended)
		defer close(c.lines)
		for s := bufio.NewScanner(r); s.Scan(); {
			c.lines <- s.Text()
		}
	}()
	e.t.Cleanup(func() {
		_, _ = e.try(context.Background(), "rm", "--force", "--time", "0", name)
		cancel()
		_ = cmd.Wait()
		_ = w.Close()
		<-ended
		if e.t.Failed() {
			for line := range c.lines {
				e.t.Logf("%s: %s", name, line)
			}
		}
	})
	return c
}

// match waits for a line of the output and returns its groups.
func (c *container) match(re string) []string {
	c.t.Helper()
	late := time.After(patience)
	var seen []string
	for {
		select {
		case line, more := <-c.lines:
			if !more {
				c.t.Fatalf("%s ended without a line like %q:\n%s", c.name, re, strings.Join(seen, "\n"))
			}
			seen = append(seen, line)
			if m := regexp.MustCompile(re).FindStringSubmatch(line); m != nil {
				return m
			}
		case <-late:
			c.t.Fatalf("%s printed no line like %q:\n%s", c.name, re, strings.Join(seen, "\n"))
		}
	}
}

func tagOf(t *testing.T, file string) string {
	t.Helper()
	r, err := checkFile(t.Context(), file, runtime.GOARCH)
	if err != nil {
		t.Fatal(err)
	}
	return r.name
}

// A container of the agent's image runs as nobody in particular, may write nowhere, and has what configurations call.
func TestTheAgentsImageInAContainer(t *testing.T) {
	e := newEngine(t)
	if out := e.do("load", "-i", agentArchive); !strings.Contains(out, tagOf(t, agentArchive)) {
		t.Fatalf("podman load printed %q", out)
	}
	tag := tagOf(t, agentArchive)
	for name, tt := range map[string]struct {
		args []string
		want string // a regular expression for all of its output
		code int
	}{
		"the program":            {[]string{"--entrypoint", "/usr/bin/saba-agent", tag, "version"}, `^saba-agent version \S+ \(rev ` + testRevision + `\).*\n$`, 0},
		"not root":               {[]string{"--entrypoint", "/bin/sh", tag, "-c", "while read -r k v; do case $k in Uid:|Gid:|CapEff:|CapBnd:|NoNewPrivs:) echo $k $v;; esac; done </proc/self/status"}, `^Uid: 65532 65532 65532 65532\nGid: 65532 65532 65532 65532\nCapEff: 0000000000000000\nCapBnd: 0000000000000000\nNoNewPrivs: 1\n$`, 0},
		"nothing can be written": {[]string{"--entrypoint", "/bin/sh", tag, "-c", "for f in / /etc /usr/bin /var/tmp/mackerel-container-agent /tmp; do echo >$f/x && echo $f; done; true"}, `(?s)^(open [^\n]*read-only file system\n){5}$`, 0},
		"a plugin by its name":   {[]string{"--entrypoint", "/bin/sh", tag, "-c", "mackerel-plugin-json \\\n  -version"}, `^mackerel-plugin-json version`, 0},
		"in another's folder":    {[]string{"--entrypoint", "/opt/mackerel-agent/plugins/bin/check-http", tag, "--version"}, `^check-http version`, 3},
		"a wrong command":        {[]string{tag, "nonsense"}, ``, 2},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := e.run(tt.args...)
			code := 0
			if exit, ok := err.(*exec.ExitError); ok {
				code = exit.ExitCode()
			} else if err != nil {
				t.Fatal(err)
			}
			if code != tt.code || !regexp.MustCompile(tt.want).MatchString(out) {
				t.Errorf("exit code %d, output %q; want %d, %q", code, out, tt.code, tt.want)
			}
		})
	}
}

// The server's image serves with a volume of its own as the one place that it writes to, and its data is there again
// when another container takes that volume.
func TestTheServersImageInAContainer(t *testing.T) {
	e := newEngine(t)
	e.do("load", "-i", serverArchive)
	tag := tagOf(t, serverArchive)
	const key = "saba_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG"
	for n := range 2 {
		c := e.start(fmt.Sprint("server", n), "--volume", "data:/var/lib/saba", "--env", "SABA_API_KEY="+key, tag, "server", "--listen", "127.0.0.1:0", "--data", "/var/lib/saba")
		base := c.match(`Console\s+(http://127\.0\.0\.1:\d+)`)[1]
		if n == 0 {
			request(t, "POST", base+"/api/v0/services", key, `{"name":"shop","memo":""}`, nil)
		}
		var got struct{ Services []struct{ Name string } }
		request(t, "GET", base+"/api/v0/services", key, "", &got)
		if len(got.Services) != 1 || got.Services[0].Name != "shop" {
			t.Errorf("container %d knows the services %v", n, got.Services)
		}
		if out := e.do("stop", "--time", "60", c.name); !strings.Contains(out, c.name) {
			t.Errorf("podman stop printed %q", out)
		}
		if code := strings.TrimSpace(e.do("inspect", "--format", "{{.State.ExitCode}}", c.name)); code != "0" {
			t.Errorf("container %d ended with %s", n, code)
		}
	}
}

// The agent's container finds the server's, which knows its host until the container is stopped. Nothing can be written there,
// and a command of its configuration is a shell's line.
func TestTheImagesTogether(t *testing.T) {
	e := newEngine(t)
	e.do("load", "-i", serverArchive)
	e.do("load", "-i", agentArchive)
	const key = "saba_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG"
	server := e.start("server", "--volume", "data:/var/lib/saba", "--env", "SABA_API_KEY="+key, tagOf(t, serverArchive), "server", "--listen", "127.0.0.1:0", "--data", "/var/lib/saba")
	base := server.match(`Console\s+(http://127\.0\.0\.1:\d+)`)[1]
	configuration := filepath.Join(t.TempDir(), "agent.yaml")
	if err := os.WriteFile(configuration, []byte("readinessProbe:\n  exec: {command: 'test -n \"$WANTED\" && echo yes'}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	agent := e.start("agent", "--env", "MACKEREL_APIKEY="+key, "--env", "MACKEREL_APIBASE="+base, "--env", "MACKEREL_CONTAINER_PLATFORM=none", "--env", "WANTED=1",
		"--env", "MACKEREL_AGENT_CONFIG=/etc/saba-agent/agent.yaml", "--env", "MACKEREL_DISPLAY_NAME=sidecar", "--volume", configuration+":/etc/saba-agent/agent.yaml:ro", tagOf(t, agentArchive))
	agent.match("nothing is kept on disk")
	agent.match("registered")
	var got struct {
		Hosts []struct{ DisplayName, Size string }
	}
	request(t, "GET", base+"/api/v0/hosts", key, "", &got)
	if len(got.Hosts) != 1 || got.Hosts[0].DisplayName != "sidecar" {
		t.Errorf("the server knows the hosts %v", got.Hosts)
	}
	e.do("stop", "--time", "60", agent.name)
	if code := strings.TrimSpace(e.do("inspect", "--format", "{{.State.ExitCode}}", agent.name)); code != "0" {
		t.Errorf("the agent ended with %s", code)
	}
	got.Hosts = nil
	request(t, "GET", base+"/api/v0/hosts", key, "", &got)
	if len(got.Hosts) != 0 {
		t.Errorf("after the agent's end the server knows the hosts %v", got.Hosts)
	}
}

func request(t *testing.T, method, url, key, body string, v any) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Api-Key", key)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s %s: %s, %v: %s", method, url, resp.Status, err, b)
	}
	if v != nil {
		if err := json.Unmarshal(b, v); err != nil {
			t.Fatal(err)
		}
	}
}

// skopeo copies the archive to a registry, which gives it the digest that the check says, for each architecture, and an
// engine pulls it from there.
func TestARegistryTakesTheImage(t *testing.T) {
	host := registry(t)
	r, err := checkFile(t.Context(), agentArchive, runtime.GOARCH)
	if err != nil {
		t.Fatal(err)
	}
	skopeo := func(args ...string) string {
		t.Helper()
		out, err := exec.CommandContext(t.Context(), "skopeo", args...).CombinedOutput()
		if err != nil {
			t.Fatalf("skopeo %q: %v\n%s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	to := "docker://" + host + "/" + r.name
	skopeo("copy", "--all", "--preserve-digests", "--dest-tls-verify=false", "oci-archive:"+agentArchive, to)
	if got := skopeo("inspect", "--tls-verify=false", "--format", "{{.Digest}}", to); got != r.digest {
		t.Errorf("the registry has %s, the archive %s", got, r.digest)
	}
	for _, arch := range []string{"amd64", "arm64"} {
		if got := skopeo("inspect", "--tls-verify=false", "--override-os", "linux", "--override-arch", arch, "--format", "{{.Os}}/{{.Architecture}}", to); got != "linux/"+arch {
			t.Errorf("for %s the registry has %q", arch, got)
		}
	}
	// What docker reads, where it does not know OCI archives.
	if got := skopeo("inspect", "--format", "{{.Architecture}}", "docker-archive:"+agentArchive+":"+r.name+"-arm64"); got != "arm64" {
		t.Errorf("as docker's archive the image is for %q", got)
	}
	e := newEngine(t)
	at := host + "/" + strings.Split(r.name, ":")[0] + "@" + r.digest
	e.do("pull", "--tls-verify=false", at)
	if out, err := e.run("--entrypoint", "/usr/bin/saba-agent", at, "version"); err != nil || !strings.HasPrefix(out, "saba-agent version ") {
		t.Errorf("the pulled image: %v: %s", err, out)
	}
}

// registry starts a registry and returns its host and port.
func registry(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	host := free.Addr().String()
	_ = free.Close()
	configuration := filepath.Join(dir, "config.yml")
	if err := os.WriteFile(configuration, fmt.Appendf(nil, "version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: %s\nhttp:\n  addr: %s\n", dir, host), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, "docker-registry", "serve", configuration)
	log, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		cancel()
		t.Fatal(err)
	}
	var out bytes.Buffer
	listens, ended := make(chan struct{}), make(chan struct{})
	go func() { // ends when the registry has
		defer close(ended)
		said := false
		for s := bufio.NewScanner(log); s.Scan(); {
			fmt.Fprintln(&out, s.Text())
			if !said && strings.Contains(s.Text(), "listening on "+host) {
				said = true
				close(listens)
			}
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("the registry:\n%s", &out)
		}
	})
	select {
	case <-listens:
	case <-ended:
		t.Fatal("the registry ended")
	case <-time.After(patience):
		t.Fatal("the registry does not listen")
	}
	return host
}

package e2e

import (
	"bufio"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/saba-monitor/saba/plugin/target/redistest"
)

// A kubelet is the authenticated port of a node with one Pod of ours.
type kubelet struct {
	*httptest.Server
	account string // folder of the Pod's service account
	begun   time.Time

	mu    sync.Mutex
	phase string
	token string
}

func newKubelet(t *testing.T) *kubelet {
	t.Helper()
	k := &kubelet{account: t.TempDir(), begun: time.Now(), phase: "Pending"}
	k.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		k.mu.Lock()
		defer k.mu.Unlock()
		switch {
		case r.Header.Get("Authorization") != "Bearer "+k.token:
			http.Error(w, "Unauthorized", http.StatusUnauthorized)
		case r.URL.Path == "/pods":
			fmt.Fprintf(w, `{"items":[{"metadata":{"name":"shop-1","namespace":"shop","uid":"0a1b"},"spec":{"containers":[{"name":"app","resources":{"limits":{"cpu":"500m","memory":"64Mi"}}}]},"status":{"phase":%q}}]}`, k.phase)
		case r.URL.Path == "/stats/summary":
			// A quarter of a processor.
			fmt.Fprintf(w, `{"pods":[{"podRef":{"name":"shop-1","namespace":"shop"},"containers":[{"name":"app","startTime":"2026-01-01T00:00:00Z","cpu":{"usageCoreNanoSeconds":%d},"memory":{"workingSetBytes":16777216}}]}]}`, time.Since(k.begun).Nanoseconds()/4)
		default:
			http.NotFound(w, r)
		}
	}))
	k.Config.ErrorLog = log.New(io.Discard, "", 0)
	k.StartTLS()
	t.Cleanup(k.Close)
	write(t, filepath.Join(k.account, "ca.crt"), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: k.Certificate().Raw})))
	k.rotate(t, "first")
	return k
}

// rotate makes another token the one that counts, as Kubernetes does before it expires.
func (k *kubelet) rotate(t *testing.T, token string) {
	t.Helper()
	k.mu.Lock()
	defer k.mu.Unlock()
	k.token = token
	write(t, filepath.Join(k.account, "token"), token)
}

func (k *kubelet) run() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.phase = "Running"
}

// A whole Pod: the host is there when the Pod runs, with its containers and its plugin; the same one after a kill, still there
// after a hang-up and with a fresh token, and retired after SIGTERM.
func TestAPodFromItsStartToItsEnd(t *testing.T) {
	t.Parallel()
	server := start(t, []string{"SABA_API_KEY=" + key}, "saba", "server", "--listen", "127.0.0.1:0", "--data", t.TempDir())
	base := server.consoleURL()
	k := newKubelet(t)
	where, err := url.Parse(k.URL)
	if err != nil {
		t.Fatal(err)
	}
	// The configuration of the manifests, and the application that it is for: an Erlang VM with figures and a heartbeat.
	config, err := os.ReadFile("../packaging/kubernetes/elixir/agent.yaml")
	if err != nil {
		t.Fatal(err)
	}
	port := redistest.FreePort(t)
	environ := []string{
		"MACKEREL_APIKEY=" + key, "MACKEREL_APIBASE=" + base, "MACKEREL_CONTAINER_PLATFORM=kubernetes", "MACKEREL_KUBERNETES_NAMESPACE=shop", "MACKEREL_KUBERNETES_POD_NAME=shop-1",
		"MACKEREL_KUBERNETES_KUBELET_HOST=" + where.Hostname(), "MACKEREL_KUBERNETES_KUBELET_READ_ONLY_PORT=0", "MACKEREL_KUBERNETES_KUBELET_PORT=" + where.Port(),
		"SABA_KUBERNETES_SERVICE_ACCOUNT_DIR=" + k.account, "SABA_STATE_DIR=/proc/nowhere", // as a root file system that is read-only
		"MACKEREL_AGENT_CONFIG=" + write(t, filepath.Join(t.TempDir(), "agent.yaml"), strings.NewReplacer("4000", port, "initialDelaySeconds: 5", "initialDelaySeconds: 0", "periodSeconds: 5", "periodSeconds: 1").Replace(string(config))),
	}
	agent := start(t, environ, "saba-agent", "container-agent")
	agent.match(`nothing is kept on disk`)
	agent.match(`the registration waits for the containers to run.*the Pod shop/shop-1 is Pending`)
	if list := hosts(t, base); len(list) > 0 {
		t.Errorf("a Pod that does not run has the hosts %v", list)
	}
	k.run()
	agent.match(`the registration waits for readinessProbe`)
	if list := hosts(t, base); len(list) > 0 {
		t.Errorf("a Pod whose application is not up has the hosts %v", list)
	}
	startBEAM(t, port)
	h := firstHost(t, base)
	if h.Name != "shop-1" {
		t.Errorf("the host is called %q", h.Name)
	}
	last := func(name string) (v float64) {
		t.Helper()
		eventually(t, name, func() bool {
			s := points(t, base, h.ID, name)
			if len(s) > 0 {
				v = s[len(s)-1].Value
			}
			return len(s) > 0
		})
		return v
	}
	for name, want := range map[string]float64{
		"container.cpu.app.limit": 50, "container.memory.app.usage": 16 << 20, "container.memory.app.limit": 64 << 20, "custom.container.app.limit.memory": 25,
	} {
		if got := last(name); got != want {
			t.Errorf("%s = %v, want %v", name, got, want)
		}
	}
	for _, name := range []string{"custom.beam.memory.processes", "custom.beam.process_count"} {
		if got := last(name); got < 10 {
			t.Errorf("%s = %v, want more than 10, as every Erlang VM has", name, got)
		}
	}
	// By our clock, since this kubelet tells no time of its own: both readings may come a moment late.
	if got := last("container.cpu.app.usage"); got < 15 || got > 35 {
		t.Errorf("container.cpu.app.usage = %v, want about 25", got)
	}
	size := func() (s struct {
		Host struct {
			Size             string
			IsRetired        bool
			CustomIdentifier string
		}
	}) {
		t.Helper()
		if status := get(t, base, "/api/v0/hosts/"+h.ID, &s); status != http.StatusOK {
			t.Fatalf("the host answered %d", status)
		}
		return s
	}
	if s := size(); s.Host.Size != "micro" || s.Host.CustomIdentifier != "0a1b.kubernetes" || s.Host.IsRetired {
		t.Errorf("the host is %+v", s)
	}

	agent.kill() // by the kernel, say: out of memory
	k.rotate(t, "second")
	agent = start(t, environ, "saba-agent", "container-agent")
	agent.match(`the server knows this host.*host=` + h.ID)
	agent.signal(syscall.SIGHUP)
	agent.match(`the configuration was reloaded`)
	if s := size(); s.Host.IsRetired {
		t.Error("a hang-up retires the host")
	}
	began := time.Now()
	agent.signal(syscall.SIGTERM)
	if code := agent.wait(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if took := time.Since(began); took > 25*time.Second {
		t.Errorf("the end took %v", took)
	}
	if list := hosts(t, base); len(list) > 0 || !size().Host.IsRetired {
		t.Errorf("after the end the hosts are %v, and this one %+v", list, size())
	}
	server.stop()
}

// startBEAM starts the example of an Elixir application, and returns when it answers.
func startBEAM(t *testing.T, port string) {
	t.Helper()
	path, err := exec.LookPath("elixir")
	if err != nil {
		t.Fatalf("the test needs a real Erlang VM (Debian's elixir): %v", err)
	}
	cmd := exec.Command(path, "../examples/beam/stats.exs", "--port", port, "--every", "1")
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "HOME="+t.TempDir())
	cmd.Stderr = t.Output()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_, _ = io.Copy(io.Discard, out)
		_ = cmd.Wait()
	})
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || !strings.HasPrefix(line, "http://127.0.0.1:"+port+"/") {
		t.Fatalf("the VM says %q, %v", line, err)
	}
}

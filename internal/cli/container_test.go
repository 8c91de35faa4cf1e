package cli_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/saba-monitor/saba/internal/cli"
)

func TestExitCodeOfAContainersMistakes(t *testing.T) {
	conf := filepath.Join(t.TempDir(), "agent.yaml")
	if err := os.WriteFile(conf, []byte("comand: x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	well := map[string]string{"SABA_API_KEY": "k", "SABA_API_BASE": "http://127.0.0.1:9", "SABA_CONTAINER_PLATFORM": "none"}
	for name, wrong := range map[string]map[string]string{
		"no key":              {"SABA_API_KEY": ""},
		"no server":           {"SABA_API_BASE": ""},
		"a server that is no": {"SABA_API_BASE": "saba.example.com"},
		"no platform":         {"SABA_CONTAINER_PLATFORM": ""},
		"a wrong platform":    {"SABA_CONTAINER_PLATFORM": "nomad"},
		"a Pod without names": {"SABA_CONTAINER_PLATFORM": "kubernetes"},
		"a mistake in YAML":   {"SABA_AGENT_CONFIG": conf},
		"no such file":        {"SABA_AGENT_CONFIG": conf + "x"},
		"a folder":            {"SABA_AGENT_CONFIG": filepath.Dir(conf)},
	} {
		t.Run(name, func(t *testing.T) {
			var errs strings.Builder
			sys := cli.System{Stdin: strings.NewReader(""), Stdout: io.Discard, Stderr: &errs, Environ: os.Environ, Getenv: func(k string) string {
				if v, ok := wrong[k]; ok {
					return v
				}
				return well[k]
			}}
			if code := cli.Run(t.Context(), []string{"saba-agent", "container-agent"}, sys, cli.AgentCommands()); code != 2 || !strings.HasPrefix(errs.String(), "saba-agent container-agent: ") {
				t.Errorf("exit code %d with %q, want 2 and a sentence", code, errs.String())
			}
		})
	}
}

// A whole sidecar in a Pod: its host, its containers and its plugins are on the server, a hang-up changes nothing of that, and
// at its end the host is retired after the last post.
func TestContainerAgentAtWork(t *testing.T) {
	log := &lockedBuffer{}
	total := 0
	kubelet := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/pods":
			p := "Pending"
			if strings.Contains(log.String(), "is Pending") { // the agent has noticed
				p = "Running"
			}
			fmt.Fprintf(w, `{"items":[{"metadata":{"name":"web-7d9","namespace":"shop","uid":"6f1f"},"spec":{"containers":[{"name":"app","resources":{"limits":{"cpu":"250m"}}}]},"status":{"phase":%q}}]}`, p)
		case "/stats/summary":
			total += 100_000_000
			fmt.Fprintf(w, `{"pods":[{"podRef":{"name":"web-7d9","namespace":"shop"},"containers":[{"name":"app","cpu":{"usageCoreNanoSeconds":%d},"memory":{"workingSetBytes":5}}]}]}`, total)
		}
	}))
	defer kubelet.Close()
	where, err := url.Parse(kubelet.URL)
	if err != nil {
		t.Fatal(err)
	}

	type request struct{ what, body string }
	var mu sync.Mutex
	var seen []request
	arrived := make(chan string, 1000)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		seen = append(seen, request{r.Method + " " + r.URL.RequestURI(), string(body)})
		mu.Unlock()
		w.Header().Set("Content-Type", "application/json")
		switch r.Method + " " + r.URL.Path {
		case "GET /api/v0/hosts":
			io.WriteString(w, `{"hosts":[]}`)
		case "GET /api/v0/hosts/host1":
			io.WriteString(w, `{"host":{"id":"host1","name":"web-7d9"}}`)
		default:
			io.WriteString(w, `{"success":true,"id":"host1"}`)
		}
		arrived <- r.Method + " " + r.URL.Path
	}))
	defer srv.Close()
	dir := t.TempDir()
	conf, root := filepath.Join(dir, "agent.yaml"), filepath.Join(dir, "state")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("plugin:\n  metrics:\n    one: {command: \"printf 'one\\\\t1\\\\t1\\\\n'\"}\n")
	environ := map[string]string{
		"MACKEREL_APIKEY": "k", "MACKEREL_APIBASE": srv.URL, "MACKEREL_ROLES": "shop:web", "MACKEREL_AGENT_CONFIG": conf, "SABA_STATE_DIR": root,
		"MACKEREL_CONTAINER_PLATFORM": "kubernetes", "MACKEREL_KUBERNETES_KUBELET_HOST": where.Hostname(), "MACKEREL_KUBERNETES_KUBELET_READ_ONLY_PORT": where.Port(),
		"MACKEREL_KUBERNETES_NAMESPACE": "shop", "MACKEREL_KUBERNETES_POD_NAME": "web-7d9",
	}
	hangup := make(chan os.Signal)
	sys := cli.System{Stdin: strings.NewReader(""), Stdout: io.Discard, Stderr: log, Environ: os.Environ,
		Getenv:  func(k string) string { return environ[k] },
		Hangups: func(context.Context) <-chan os.Signal { return hangup }}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan int, 1)
	go func() { ended <- cli.Run(ctx, []string{"saba-agent", "container-agent"}, sys, cli.AgentCommands()) }()
	await := func(want string) {
		t.Helper()
		for limit := time.After(90 * time.Second); ; {
			select {
			case got := <-arrived:
				if got == want {
					return
				}
			case code := <-ended:
				t.Fatalf("the agent has ended with %d before %s:\n%s", code, want, log)
			case <-limit:
				t.Fatalf("no %s:\n%s", want, log)
			}
		}
	}
	await("POST /api/v0/tsdb")
	hangup <- os.Interrupt // whichever: it is the channel that says what is wanted
	await("PUT /api/v0/hosts/host1")
	write("nonsense: 1\n")
	hangup <- os.Interrupt
	stop()
	if code := <-ended; code != 0 {
		t.Errorf("exit code %d\n%s", code, log)
	}
	mu.Lock()
	defer mu.Unlock()
	var what []string
	posted := ""
	for _, r := range seen {
		what = append(what, r.what)
		switch r.what {
		case "POST /api/v0/tsdb":
			posted += r.body
		case "POST /api/v0/hosts":
			var host map[string]any
			if err := json.Unmarshal([]byte(r.body), &host); err != nil || host["customIdentifier"] != "6f1f.kubernetes" || host["name"] != "web-7d9" || fmt.Sprint(host["roleFullnames"]) != "[shop:web]" {
				t.Errorf("the host was registered as %s", r.body)
			}
		}
	}
	for _, name := range []string{"container.cpu.app.limit", "container.memory.app.usage", "custom.one", "custom.container.app.limit.cpu"} {
		if !strings.Contains(posted, `"`+name+`"`) {
			t.Errorf("%s was not posted: %s", name, posted)
		}
	}
	if strings.Contains(posted, `"loadavg`) {
		t.Error("metrics of the machine were posted")
	}
	if i, j := slices.Index(what, "GET /api/v0/hosts?customIdentifier=6f1f.kubernetes&status=working&status=standby&status=maintenance&status=poweroff"), slices.Index(what, "POST /api/v0/hosts"); i < 0 || j < i {
		t.Errorf("the host is looked for before it is made: %q", what)
	}
	if n := len(what); what[n-1] != "POST /api/v0/hosts/host1/retire" || slices.Index(what, what[n-1]) != n-1 {
		t.Errorf("the requests were %q, want one retirement, at the end", what)
	}
	if text := log.String(); !strings.Contains(text, "the Pod shop/web-7d9 is Pending, not Running") || !strings.Contains(text, `unknown key \"nonsense\"`) {
		t.Errorf("the log tells neither of the gate nor of the mistake:\n%s", text)
	}
	if _, err := os.Stat(filepath.Join(root, "id")); !os.IsNotExist(err) {
		t.Errorf("the id of the retired host is kept: %v", err)
	}
}

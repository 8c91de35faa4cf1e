package cli_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/saba-monitor/saba/internal/cli"
)

// A node is no container: its host is like that of a machine, and is there when its agent has ended.
func TestTheAgentOfANode(t *testing.T) {
	kubelet := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/pods":
			io.WriteString(w, `{"items":[{"metadata":{"name":"db-0","namespace":"shop","ownerReferences":[{"kind":"StatefulSet","name":"db"}]}}]}`)
		case "/stats/summary":
			io.WriteString(w, `{"node":{"memory":{"workingSetBytes":7}},"pods":[{"podRef":{"name":"db-0","namespace":"shop"},"containers":[{"name":"postgres","memory":{"workingSetBytes":5}}]}]}`)
		}
	}))
	defer kubelet.Close()
	where, err := url.Parse(kubelet.URL)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var what []string
	bodies := ""
	posted := make(chan bool, 1000)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		mu.Lock()
		what, bodies = append(what, r.Method+" "+r.URL.Path), bodies+string(b)+"\n"
		mu.Unlock()
		w.Header().Set("Content-Type", "application/json")
		switch {
		case r.Method == "GET" && r.URL.Path == "/api/v0/hosts":
			io.WriteString(w, `{"hosts":[]}`)
		case r.Method == "GET":
			io.WriteString(w, `{"host":{"id":"host1","name":"node-3"}}`)
		default:
			io.WriteString(w, `{"success":true,"id":"host1"}`)
		}
		if r.URL.Path == "/api/v0/tsdb" {
			posted <- true
		}
	}))
	defer srv.Close()
	root := filepath.Join(t.TempDir(), "state")
	environ := map[string]string{
		"SABA_API_KEY": "k", "SABA_API_BASE": srv.URL, "SABA_STATE_DIR": root, "SABA_CONTAINER_PLATFORM": "kubernetes_node", "SABA_KUBERNETES_NODE_NAME": "node-3",
		"SABA_KUBERNETES_KUBELET_HOST": where.Hostname(), "SABA_KUBERNETES_KUBELET_READ_ONLY_PORT": where.Port(),
	}
	log := &lockedBuffer{}
	sys := cli.System{Stdin: strings.NewReader(""), Stdout: io.Discard, Stderr: log, Environ: os.Environ, Getenv: func(k string) string { return environ[k] }}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan int, 1)
	go func() { ended <- cli.Run(ctx, []string{"saba-agent", "container-agent"}, sys, cli.AgentCommands()) }()
	select {
	case <-posted:
	case code := <-ended:
		t.Fatalf("the agent has ended with %d:\n%s", code, log)
	case <-time.After(90 * time.Second):
		t.Fatalf("nothing was posted:\n%s", log)
	}
	stop()
	if code := <-ended; code != 0 {
		t.Errorf("exit code %d\n%s", code, log)
	}
	mu.Lock()
	defer mu.Unlock()
	for _, part := range []string{`"customIdentifier":"node-3.kubernetes-node"`, `"container.memory.shop_db_postgres.usage"`, `"container.memory.node.usage"`} {
		if !strings.Contains(bodies, part) {
			t.Errorf("%s was not posted:\n%s", part, bodies)
		}
	}
	if strings.Contains(bodies, `-container"`) {
		t.Errorf("the host calls itself a container:\n%s", bodies)
	}
	for _, w := range what {
		if strings.HasSuffix(w, "/retire") {
			t.Errorf("the requests were %q", what)
		}
	}
	if _, err := os.Stat(filepath.Join(root, "id")); err != nil {
		t.Error(err)
	}
}

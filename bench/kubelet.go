package main

import (
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// serveKubelet serves what a kubelet tells of a node with that many Pods, of three containers each, over TLS, and writes
// the service account that it wants to see into a folder. It returns its port, and how to end it.
func serveKubelet(account string, pods int) (port string, end func(), err error) {
	begun := time.Now()
	var plans strings.Builder
	for i := range pods {
		if i > 0 {
			plans.WriteByte(',')
		}
		// What a Pod has besides: mounts, probes, tolerations, what last changed it.
		rest := strings.Repeat(`{"name":"kube-api-access","mountPath":"/var/run/secrets/kubernetes.io/serviceaccount","readOnly":true},`, 20)
		fmt.Fprintf(&plans, `{"metadata":{"name":"web-%d","namespace":"shop","uid":"uid-%d","labels":{"app":"web"}},"spec":{"nodeName":"node","volumes":[%s{}],"containers":[`, i, i, rest)
		for c := range 3 {
			fmt.Fprintf(&plans, `%s{"name":"c%d","image":"example.com/c:1","resources":{"limits":{"cpu":"500m","memory":"256Mi"}}}`, strings.Repeat(",", min(c, 1)), c)
		}
		fmt.Fprintf(&plans, `]},"status":{"phase":"Running","containerStatuses":[{"name":"c0","restartCount":0,"containerID":"containerd://x"}]}}`)
	}
	stats := func() string {
		var b strings.Builder
		fmt.Fprintf(&b, `{"node":{"nodeName":"node"},"pods":[`)
		at, used := time.Now().UTC().Format(time.RFC3339Nano), time.Since(begun).Nanoseconds()/10
		for i := range pods {
			fmt.Fprintf(&b, `%s{"podRef":{"name":"web-%d","namespace":"shop","uid":"uid-%d"},"startTime":"2026-01-01T00:00:00Z","containers":[`, strings.Repeat(",", min(i, 1)), i, i)
			for c := range 3 {
				fmt.Fprintf(&b, `%s{"name":"c%d","startTime":"2026-01-01T00:00:01Z","cpu":{"time":%q,"usageNanoCores":100000000,"usageCoreNanoSeconds":%d},"memory":{"time":%q,"availableBytes":1,"usageBytes":200000000,"workingSetBytes":100000000,"rssBytes":90000000,"pageFaults":1000,"majorPageFaults":1}}`,
					strings.Repeat(",", min(c, 1)), c, at, used, at)
			}
			b.WriteString(`]}`)
		}
		b.WriteString(`]}`)
		return b.String()
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Header.Get("Authorization") != "Bearer bench":
			w.WriteHeader(http.StatusUnauthorized)
		case r.URL.Path == "/pods":
			_, _ = io.WriteString(w, `{"items":[`+plans.String()+`]}`) // a client that has gone needs no answer
		case r.URL.Path == "/stats/summary":
			_, _ = io.WriteString(w, stats())
		}
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	u, err := url.Parse(s.URL)
	if err == nil {
		err = os.MkdirAll(account, 0o755)
	}
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	for name, text := range map[string]string{"token": "bench", "ca.crt": string(ca)} {
		if err == nil {
			err = os.WriteFile(filepath.Join(account, name), []byte(text), 0o600)
		}
	}
	if err != nil {
		s.Close()
		return "", nil, err
	}
	return u.Port(), s.Close, nil
}

// startContainer starts the agent of a Pod in the middle of a node with that many, with the json plugin inside.
func (p *plan) startContainer(name string, pods int) (*subject, error) {
	folder := filepath.Join(p.work, strings.NewReplacer(" ", "-", ",", "").Replace(name))
	account := filepath.Join(folder, "account")
	port, end, err := serveKubelet(account, pods)
	if err != nil {
		return nil, err
	}
	p.ends = append(p.ends, end)
	conf := filepath.Join(folder, "agent.yaml")
	text := fmt.Sprintf("plugin:\n  metrics:\n    beam:\n      plugin: json -url http://127.0.0.1:%s/numbers -prefix beam\n", p.targetPort)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		return nil, err
	}
	environ := []string{
		"SABA_API_KEY=" + apiKey, "SABA_API_BASE=" + p.base, "SABA_AGENT_CONFIG=" + conf, "SABA_STATE_DIR=" + filepath.Join(folder, "state"),
		"SABA_CONTAINER_PLATFORM=kubernetes", "SABA_KUBERNETES_KUBELET_HOST=127.0.0.1", "SABA_KUBERNETES_KUBELET_READ_ONLY_PORT=0", "SABA_KUBERNETES_KUBELET_PORT=" + port,
		"SABA_KUBERNETES_NAMESPACE=shop", fmt.Sprintf("SABA_KUBERNETES_POD_NAME=web-%d", pods/2), "SABA_KUBERNETES_SERVICE_ACCOUNT_DIR=" + account,
	}
	return start(name, folder, environ, p.agent, "container-agent")
}

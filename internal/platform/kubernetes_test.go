package platform

import (
	"cmp"
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/collect"
)

// A rig is a kubelet with its port, a service account and the environment of a Pod.
type rig struct {
	*httptest.Server
	account string
	environ map[string]string

	mu     sync.Mutex
	pods   string
	stats  string
	token  string              // that it takes; "" takes anybody
	answer http.HandlerFunc    // in place of all else; nil is none
	asked  []string            // paths
	seen   map[string]struct{} // addresses of the clients' ends
}

func file(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile("testdata/kubelet/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// newRig starts a kubelet; secure is its authenticated port.
func newRig(t *testing.T, secure bool) *rig {
	t.Helper()
	r := &rig{account: t.TempDir(), pods: file(t, "pods.json"), stats: file(t, "summary.json"), seen: map[string]struct{}{}}
	r.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.mu.Lock()
		defer r.mu.Unlock()
		path := req.URL.Path
		r.asked = append(r.asked, path)
		r.seen[req.RemoteAddr] = struct{}{}
		path = strings.TrimPrefix(path, "/api/v1/nodes/node-3/proxy")
		switch {
		case r.token != "" && req.Header.Get("Authorization") != "Bearer "+r.token:
			http.Error(w, "Unauthorized", http.StatusUnauthorized)
		case r.answer != nil:
			r.answer(w, req)
		case path == "/pods":
			io.WriteString(w, r.pods)
		case path == "/stats/summary":
			io.WriteString(w, r.stats)
		default:
			http.NotFound(w, req)
		}
	}))
	r.Config.ErrorLog = log.New(io.Discard, "", 0)
	if secure {
		r.StartTLS()
		r.token = "first"
		r.write(t, "token", "first\n")
		r.write(t, "ca.crt", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: r.Certificate().Raw})))
	} else {
		r.Start()
	}
	t.Cleanup(r.Close)
	u, err := url.Parse(r.URL)
	if err != nil {
		t.Fatal(err)
	}
	r.environ = map[string]string{
		"MACKEREL_KUBERNETES_KUBELET_HOST": u.Hostname(), "MACKEREL_KUBERNETES_KUBELET_READ_ONLY_PORT": u.Port(),
		"MACKEREL_KUBERNETES_NAMESPACE": "shop", "MACKEREL_KUBERNETES_POD_NAME": "web-7d9",
		"SABA_KUBERNETES_SERVICE_ACCOUNT_DIR": r.account,
	}
	if secure {
		r.environ["MACKEREL_KUBERNETES_KUBELET_READ_ONLY_PORT"] = "0"
		r.environ["MACKEREL_KUBERNETES_KUBELET_PORT"] = u.Port()
	}
	return r
}

func (r *rig) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(r.account, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (r *rig) getenv(name string) string { return r.environ[name] }

// open returns the platform of that name in the rig's environment.
func (r *rig) open(t *testing.T, name string, ignore *regexp.Regexp) Platform {
	t.Helper()
	p, err := New(name, Options{Setting: Setting(r.getenv), Getenv: r.getenv, Ignore: ignore})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// set changes what the kubelet says, between two questions.
func (r *rig) set(change func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change()
}

// A watched is a source of containers with a clock that the test sets.
type watched struct {
	*Containers
	now time.Duration
}

func watch(p Platform) *watched {
	w := &watched{Containers: NewContainers(p, true), now: time.Hour}
	w.clock = func() (time.Duration, error) { return w.now, nil }
	w.boot = func() (string, error) { return "boot", nil }
	w.memory = func() (uint64, error) { return 16 << 30, nil }
	return w
}

// values collects and returns what came, by name.
func (w *watched) values(t *testing.T) (map[string]float64, error) {
	t.Helper()
	list, err := w.Collect(t.Context())
	m := map[string]float64{}
	for _, v := range list {
		if _, twice := m[v.Name]; twice {
			t.Errorf("%s comes twice", v.Name)
		}
		m[v.Name] = v.Value
	}
	return m, err
}

// later returns the summary a minute on, with the counters and times of the first one moved.
func later(summary string) string {
	return strings.NewReplacer(
		"T10:00:00Z", "T10:01:00Z",
		"usageCoreNanoSeconds\": 400000000000", "usageCoreNanoSeconds\": 407500000000", // 7.5 s in 60 s
		"usageCoreNanoSeconds\": 50000000000}", "usageCoreNanoSeconds\": 110000000000}", // a whole processor
		"usageCoreNanoSeconds\": 200000000}", "usageCoreNanoSeconds\": 203000000}", // 3 ms
	).Replace(summary)
}

func near(t *testing.T, what string, got map[string]float64, want map[string]float64) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if v, ok := got[name]; !ok || math.Abs(v-want[name]) > 1e-6*math.Max(1, math.Abs(want[name])) {
			t.Errorf("%s: %s = %v (%t), want %v", what, name, v, ok, want[name])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(got)) {
		if _, ok := want[name]; !ok {
			t.Errorf("%s: %s = %v, want none", what, name, got[name])
		}
	}
}

func TestThePodOfAKubelet(t *testing.T) {
	for _, way := range []string{"the read-only port", "the authenticated port", "the API server"} {
		t.Run(way, func(t *testing.T) {
			r, name := newRig(t, way != "the read-only port"), "kubernetes"
			if way == "the API server" {
				name = "eks_fargate"
				u, _ := url.Parse(r.URL)
				r.environ = map[string]string{
					"SABA_KUBERNETES_NAMESPACE": "shop", "SABA_KUBERNETES_POD_NAME": "web-7d9", "SABA_KUBERNETES_NODE_NAME": "node-3",
					"KUBERNETES_SERVICE_HOST": u.Hostname(), "KUBERNETES_SERVICE_PORT": u.Port(), "SABA_KUBERNETES_SERVICE_ACCOUNT_DIR": r.account,
				}
			}
			p := r.open(t, name, nil)
			if err := p.Running(t.Context()); err != nil {
				t.Fatalf("Running = %v", err)
			}
			f, err := Facts(t.Context(), p)
			if err != nil {
				t.Fatal(err)
			}
			if f.Name != "web-7d9" || f.CustomIdentifier != "6f1f8a8e-3f0c-4a66-9c1e-2f6f2b6d1a10.kubernetes" || len(f.Meta.CPU) == 0 || f.Meta.Kernel != nil || f.Meta.Memory != nil {
				t.Errorf("facts = %+v", f)
			}
			cloud, err := json.Marshal(f.Meta.Cloud)
			if err != nil {
				t.Fatal(err)
			}
			if want := strings.TrimSpace(file(t, "cloud.json")); string(cloud) != want {
				t.Errorf("cloud = %s\nwant    %s", cloud, want)
			}

			w := watch(p)
			first, err := w.values(t)
			if err != nil {
				t.Fatal(err)
			}
			node := float64(runtime.NumCPU()) * 100
			want := map[string]float64{
				"container.cpu.app.limit": 25, "container.memory.app.usage": 201326592, "container.memory.app.limit": 1 << 29,
				"container.cpu.proxy.limit": node, "container.memory.proxy.usage": 33554432, "container.memory.proxy.limit": 16 << 30,
				"container.cpu.saba-agent.limit": node, "container.memory.saba-agent.usage": 12582912, "container.memory.saba-agent.limit": 128 << 20,
				"custom.container.app.limit.memory": 37.5, "custom.container.saba-agent.limit.memory": 9.375,
				"custom.container.app.memory.rss": 150000000, "custom.container.proxy.memory.rss": 30000000,
				"custom.container.app.pressure.cpu":   1.5,
				"custom.container.app.restarts.total": 3, "custom.container.proxy.restarts.total": 0, "custom.container.saba-agent.restarts.total": 0,
			}
			near(t, "first", first, want)

			r.set(func() { r.stats = later(r.stats) })
			w.now += 61 * time.Second // a little late: the kubelet's own times count
			second, err := w.values(t)
			if err != nil {
				t.Fatal(err)
			}
			maps.Copy(want, map[string]float64{
				"container.cpu.app.usage": 12.5, "container.cpu.proxy.usage": 100, "container.cpu.saba-agent.usage": 0.005, "custom.container.app.limit.cpu": 50,
			})
			near(t, "second", second, want)
			prefix := map[bool]string{true: "/api/v1/nodes/node-3/proxy"}[way == "the API server"]
			asked := slices.DeleteFunc(slices.Clone(r.asked), func(path string) bool { return path == prefix+"/stats/summary" })
			if len(asked) != 3 || len(r.seen) != 1 { // running, facts, the first reading
				t.Errorf("the kubelet was asked %v over %d connections, want few questions about all Pods, over one", r.asked, len(r.seen))
			}
		})
	}
}

// What is missing costs only itself, and nothing that is missing ends the agent.
func TestAnAnswerWithoutAPart(t *testing.T) {
	const app = `{"pods":[{"podRef":{"name":"web-7d9","namespace":"shop"},"containers":[%s]}]}`
	for name, tt := range map[string]struct {
		stats string
		pods  string // "" is the usual ones
		want  []string
		err   string
	}{
		"no cpu":                        {stats: fmt.Sprintf(app, `{"name":"app","memory":{"workingSetBytes":5}}`), want: []string{"container.memory.app.usage"}},
		"a null cpu":                    {stats: fmt.Sprintf(app, `{"name":"app","cpu":null,"memory":{"workingSetBytes":5}}`), want: []string{"container.memory.app.usage"}},
		"a cpu without its total":       {stats: fmt.Sprintf(app, `{"name":"app","cpu":{"time":"2026-11-20T10:00:00Z"},"memory":{"workingSetBytes":5}}`), want: []string{"container.memory.app.usage"}},
		"no memory":                     {stats: fmt.Sprintf(app, `{"name":"app","cpu":{"usageCoreNanoSeconds":5}}`)},
		"a null working set":            {stats: fmt.Sprintf(app, `{"name":"app","memory":{"workingSetBytes":null,"rssBytes":3}}`), want: []string{"custom.container.app.memory.rss"}},
		"a total that is text":          {stats: fmt.Sprintf(app, `{"name":"app","cpu":{"usageCoreNanoSeconds":"x"},"memory":{"workingSetBytes":5}}`), want: []string{"container.memory.app.usage"}, err: "has string for .*usageCoreNanoSeconds"},
		"a total below zero":            {stats: fmt.Sprintf(app, `{"name":"app","cpu":{"usageCoreNanoSeconds":-1},"memory":{"workingSetBytes":5}}`), want: []string{"container.memory.app.usage"}, err: "has number -1"},
		"a time that is none":           {stats: fmt.Sprintf(app, `{"name":"app","cpu":{"time":"soon","usageCoreNanoSeconds":1},"memory":{"workingSetBytes":5}}`), want: []string{"container.memory.app.usage"}},
		"no containers":                 {stats: `{"pods":[{"podRef":{"name":"web-7d9","namespace":"shop"}}]}`},
		"null containers":               {stats: `{"pods":[{"podRef":{"name":"web-7d9","namespace":"shop"},"containers":null}]}`},
		"no such Pod":                   {stats: `{"pods":[]}`, err: "knows no Pod shop/web-7d9"},
		"null Pods":                     {stats: `{"pods":null}`, err: "knows no Pod shop/web-7d9"},
		"an empty object":               {stats: `{}`, err: "knows no Pod shop/web-7d9"},
		"nothing":                       {stats: ``, err: "is cut short"},
		"a list":                        {stats: `[]`, err: "is not what a kubelet tells"},
		"a page":                        {stats: `<html>`, err: "is not what a kubelet tells"},
		"a list that is none":           {stats: `{"pods":{}}`, err: `"pods" is no list`},
		"cut short before the Pod":      {stats: file(t, "summary.json")[:300], err: "is cut short"},
		"cut short within the Pod":      {stats: file(t, "summary.json")[:1500], err: "is cut short"},
		"cut short behind the Pod":      {stats: fmt.Sprintf(app, `{"name":"app","memory":{"workingSetBytes":5}}`)[:120], want: []string{"container.memory.app.usage"}},
		"the Pod's plan is cut short":   {stats: fmt.Sprintf(app, `{"name":"app","memory":{"workingSetBytes":5}}`), pods: file(t, "pods.json")[:400], want: []string{"container.memory.app.usage"}, err: "/pods is cut short"},
		"limits that are no amounts":    {stats: fmt.Sprintf(app, `{"name":"app"}`), pods: `{"items":[{"metadata":{"name":"web-7d9","namespace":"shop"},"spec":{"containers":[{"name":"app","resources":{"limits":{"cpu":"much","memory":[1]}}}]}}]}`, want: []string{"container.cpu.app.limit", "container.memory.app.limit"}},
		"a container that nobody knows": {stats: fmt.Sprintf(app, `{"name":"debug-1","memory":{"workingSetBytes":5}}`), want: []string{"container.memory.debug-1.usage"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, false)
			r.stats = tt.stats
			r.pods = cmp.Or(tt.pods, `{"items":[{"metadata":{"name":"web-7d9","namespace":"shop"}}]}`)
			w := watch(r.open(t, "kubernetes", nil))
			got, err := w.values(t)
			if names := slices.Sorted(maps.Keys(got)); !slices.Equal(names, tt.want) {
				t.Errorf("values of %v, want %v", names, tt.want)
			}
			if text := fmt.Sprint(err); tt.err == "" && err != nil || tt.err != "" && !regexp.MustCompile(tt.err).MatchString(text) {
				t.Errorf("error %v, want %q", err, tt.err)
			}
		})
	}
}

// A container that starts again counts anew: there is no rate over both of its lives, neither a huge nor a small one.
func TestAContainerThatStartsAgain(t *testing.T) {
	r := newRig(t, false)
	w := watch(r.open(t, "kubernetes", nil))
	step := func(total uint64, started string, at int) map[string]float64 {
		t.Helper()
		r.set(func() {
			r.stats = fmt.Sprintf(`{"pods":[{"podRef":{"name":"web-7d9","namespace":"shop"},"containers":[{"name":"app","startTime":"2026-11-20T%s:00Z","cpu":{"time":"2026-11-20T10:%02d:00Z","usageCoreNanoSeconds":%d}}]}]}`, started, at, total)
		})
		w.now += time.Minute
		got, err := w.values(t)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	usage := func(m map[string]float64) string {
		if v, ok := m["container.cpu.app.usage"]; ok {
			return fmt.Sprintf("%.4g", v)
		}
		return "none"
	}
	const s = 1e9
	for i, tt := range []struct {
		total   uint64
		started string
		want    string
	}{
		{100 * s, "09:00", "none"}, // no reading before
		{106 * s, "09:00", "10"},
		{3 * s, "10:01", "none"}, // another life, from 0
		{9 * s, "10:01", "10"},
		{12 * s, "10:03", "none"}, // another life, and more than the one before: the difference means nothing
		{1 * s, "10:03", "none"},  // the same life, going back
		{7 * s, "10:03", "10"},
	} {
		if got := usage(step(tt.total, tt.started, i)); got != tt.want {
			t.Errorf("minute %d: usage %s, want %s", i, got, tt.want)
		}
	}
	if got := usage(step(7*s, "10:03", 6)); got != "none" {
		t.Errorf("the reading of the minute before, told again: usage %s, want none", got)
	}
	if got := usage(step(19*s, "10:03", 8)); got != "10" {
		t.Errorf("after a minute without a reading: usage %s, want the mean of both", got)
	}
	w.now += 10 * time.Minute
	if got := usage(step(25*s, "10:03", 20)); got != "none" {
		t.Errorf("after more than ten minutes: usage %s, want none", got)
	}
	state, err := w.Save()
	if err != nil {
		t.Fatal(err)
	}
	next := watch(w.platform)
	next.now = w.now
	if err := next.Restore(state); err != nil {
		t.Fatal(err)
	}
	w = next
	if got := usage(step(31*s, "10:03", 21)); got != "10" {
		t.Errorf("in the next process: usage %s, want a rate at once", got)
	}
	next.boot = func() (string, error) { return "another", nil }
	if err := next.Restore(state); !errors.Is(err, collect.ErrOtherBoot) {
		t.Errorf("Restore on another machine = %v", err)
	}
	if err := next.Restore([]byte("{")); err == nil {
		t.Error("Restore of half a state succeeds")
	}
}

func TestIgnoredContainers(t *testing.T) {
	r := newRig(t, false)
	p := r.open(t, "kubernetes", regexp.MustCompile("^(proxy|saba-agent)$"))
	got, err := watch(p).values(t)
	if err != nil {
		t.Fatal(err)
	}
	for name := range got {
		if strings.Contains(name, "proxy") || strings.Contains(name, "saba-agent") {
			t.Errorf("%s is there", name)
		}
	}
	f, err := p.Facts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if all := f.Meta.Cloud.Metadata.(podFacts).Containers; len(all) != 1 || all[0].Name != "app" {
		t.Errorf("containers = %v, want app alone", all)
	}
}

func TestATokenThatIsReplaced(t *testing.T) {
	r := newRig(t, true)
	p := r.open(t, "kubernetes", nil)
	if err := p.Running(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.set(func() { r.token = "second" })
	if err := p.Running(t.Context()); err == nil || !strings.Contains(err.Error(), "answers 401 (Unauthorized): it does not take the token of the service account") {
		t.Errorf("with an old token: %v", err)
	}
	r.write(t, "token", "second")
	if err := p.Running(t.Context()); err != nil {
		t.Errorf("with a new token in the file: %v", err)
	}
	r.write(t, "token", "")
	if err := p.Running(t.Context()); err == nil || !strings.Contains(err.Error(), "does not hold a token") {
		t.Errorf("with an empty file: %v", err)
	}
	// Replaced between reading it and its refusal.
	r.write(t, "token", "second")
	r.set(func() {
		r.token = ""
		r.answer = func(w http.ResponseWriter, req *http.Request) {
			if req.Header.Get("Authorization") == "Bearer third" {
				io.WriteString(w, r.pods)
				return
			}
			r.write(t, "token", "third")
			w.WriteHeader(http.StatusUnauthorized)
		}
	})
	if err := p.Running(t.Context()); err != nil {
		t.Errorf("with a token that is replaced while it is refused: %v", err)
	}
}

func TestACertificateThatIsNotTheClusters(t *testing.T) {
	r := newRig(t, true)
	right, err := os.ReadFile(filepath.Join(r.account, "ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	r.write(t, "ca.crt", file(t, "other-ca.crt"))
	p := r.open(t, "kubernetes", nil)
	if err := p.Running(t.Context()); err == nil || !strings.Contains(err.Error(), "MACKEREL_KUBERNETES_KUBELET_INSECURE_TLS=1") {
		t.Errorf("with another authority: %v", err)
	}
	if len(r.asked) > 0 {
		t.Errorf("the token was told to a stranger")
	}
	r.write(t, "ca.crt", string(right))
	if err := p.Running(t.Context()); err != nil {
		t.Errorf("with the authority in place of the other: %v", err)
	}
	r.write(t, "ca.crt", "nothing")
	if err := p.Running(t.Context()); err == nil || !strings.Contains(err.Error(), "does not hold a certificate") {
		t.Errorf("without one: %v", err)
	}
	r.environ["MACKEREL_KUBERNETES_KUBELET_INSECURE_TLS"] = "true"
	if err := r.open(t, "kubernetes", nil).Running(t.Context()); err != nil {
		t.Errorf("without verification: %v", err)
	}
}

// A kubelet that does not answer as it should is an error that says what to do, soon, and what was known stays known.
func TestAKubeletThatFails(t *testing.T) {
	release := make(chan struct{})
	for name, tt := range map[string]struct {
		secure bool
		answer http.HandlerFunc
		err    string
	}{
		"forbidden": {true, func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "Forbidden (user=system:serviceaccount:shop:default,\n verb=get, resource=nodes, subresource=proxy)", http.StatusForbidden)
		}, "answers 403 (Forbidden (user=system:serviceaccount:shop:default, verb=get, resource=nodes, subresource=proxy)): bind the service account of this Pod to a ClusterRole"},
		"a Status": {true, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(403)
			io.WriteString(w, `{"kind":"Status","status":"Failure","message":"nodes \"node-3\" is forbidden"}`)
		}, `answers 403 (nodes "node-3" is forbidden)`},
		"who are you": {false, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(401) }, "set MACKEREL_KUBERNETES_KUBELET_READ_ONLY_PORT to 0"},
		"broken":      {false, func(w http.ResponseWriter, _ *http.Request) { http.Error(w, strings.Repeat("x", 5000), 500) }, "answers 500 (" + strings.Repeat("x", 200) + "…)"},
		"elsewhere": {true, func(w http.ResponseWriter, req *http.Request) {
			http.Redirect(w, req, "http://example.com/", http.StatusFound)
		}, "answers 302"},
		"slow": {false, func(_ http.ResponseWriter, req *http.Request) { <-release }, "does not answer within 3s"},
		"gone": {false, func(w http.ResponseWriter, _ *http.Request) {
			c, _, _ := w.(http.Hijacker).Hijack()
			c.Close()
		}, "does not answer (many clusters have the read-only port closed"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, tt.secure)
			p := r.open(t, "kubernetes", nil)
			if err := p.Running(t.Context()); err != nil {
				t.Fatal(err)
			}
			r.set(func() { r.answer = tt.answer })
			began := time.Now()
			if err := p.Running(t.Context()); err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("Running = %v, want %q", err, tt.err)
			}
			if name == "slow" {
				close(release)
			}
			if time.Since(began) > 2*kubeletTimeout {
				t.Errorf("it took %v", time.Since(began))
			}
			f, err := p.Facts(t.Context())
			if name != "slow" && err == nil || f.Name != "web-7d9" || f.CustomIdentifier == "" || f.Meta.Cloud == nil {
				t.Errorf("Facts = %+v, %v; want those of before, and an error", f, err)
			}
		})
	}
	r := newRig(t, false)
	r.pods = strings.ReplaceAll(r.pods, `"phase": "Running"`, `"phase": "Pending"`)
	if err := r.open(t, "kubernetes", nil).Running(t.Context()); err == nil || err.Error() != "the Pod shop/web-7d9 is Pending, not Running" {
		t.Errorf("Running of a Pod that is not: %v", err)
	}
}

func TestSettingsOfAPlatform(t *testing.T) {
	for name, tt := range map[string]struct {
		platform string
		environ  map[string]string
		err      []string
	}{
		"none named": {"", nil, []string{"MACKEREL_CONTAINER_PLATFORM (or SABA_CONTAINER_PLATFORM) is not set: it is one of none, cgroup, kubernetes, eks_fargate"}},
		"mistyped":   {"Kubernets", nil, []string{`MACKEREL_CONTAINER_PLATFORM is "Kubernets": did you mean "kubernetes"? it is one of`}},
		"unknown":    {"nomad", nil, []string{`MACKEREL_CONTAINER_PLATFORM is "nomad": it is one of`}},
		"nothing set": {"kubernetes", nil, []string{
			`MACKEREL_KUBERNETES_KUBELET_HOST (or SABA_KUBERNETES_KUBELET_HOST) is not set: in a manifest it has "valueFrom: fieldRef: fieldPath: status.hostIP"`,
			"MACKEREL_KUBERNETES_NAMESPACE (or", "MACKEREL_KUBERNETES_POD_NAME (or"}},
		"ports that are none": {"kubernetes", map[string]string{
			"SABA_KUBERNETES_KUBELET_HOST": "h", "SABA_KUBERNETES_NAMESPACE": "n", "SABA_KUBERNETES_POD_NAME": "p",
			"SABA_KUBERNETES_KUBELET_READ_ONLY_PORT": "http", "SABA_KUBERNETES_KUBELET_PORT": "0"},
			[]string{`READ_ONLY_PORT (or SABA_KUBERNETES_KUBELET_READ_ONLY_PORT) must be a port from 0 to 65535, not "http"`, `must be a port from 1 to 65535, not "0"`}},
		"Fargate": {"eks_fargate", nil, []string{"MACKEREL_KUBERNETES_NODE_NAME (or", "MACKEREL_KUBERNETES_NAMESPACE (or", "MACKEREL_KUBERNETES_POD_NAME (or", "KUBERNETES_SERVICE_HOST is not set"}},
		"none":    {"none", nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			getenv := func(k string) string { return tt.environ[k] }
			_, err := New(tt.platform, Options{Setting: Setting(getenv), Getenv: getenv})
			if len(tt.err) == 0 {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if !errors.Is(err, saba.ErrInvalid) {
				t.Errorf("error %v does not match saba.ErrInvalid", err)
			}
			lines := strings.Split(fmt.Sprint(err), "\n")
			if len(lines) != len(tt.err) {
				t.Fatalf("error %v, want %d lines", err, len(tt.err))
			}
			for i, want := range tt.err {
				if !strings.Contains(lines[i], want) {
					t.Errorf("line %d is %q, want %q in it", i, lines[i], want)
				}
			}
		})
	}
	if got := hostPort("fd00::7", 10250); got != "[fd00::7]:10250" {
		t.Errorf("hostPort = %s", got)
	}
}

func TestQuantities(t *testing.T) {
	for text, want := range map[string]float64{
		"250m": .25, "1": 1, "1.5": 1.5, "0.5Gi": 1 << 29, "128Mi": 128 << 20, "1Ki": 1024, "129M": 129e6, "1e3": 1e3, "12E": 12e18, "1E3": 1e3, "5k": 5000, "100n": 1e-7, "7u": 7e-6, "+1": 1, ".5": .5,
	} {
		if got, ok := quantity(text).value(); !ok || math.Abs(got-want) > want*1e-9 {
			t.Errorf("value(%q) = %v, %t, want %v", text, got, ok, want)
		}
	}
	for _, text := range []string{"", "m", "Gi", "1Z", "much", "0x10", "1_000", "Inf", "NaN", "1e999", "--1", "1 Gi"} {
		if got, ok := quantity(text).value(); ok {
			t.Errorf("value(%q) = %v, want none", text, got)
		}
	}
}

func TestNone(t *testing.T) {
	p := (&rig{}).open(t, "none", nil)
	if err := p.Running(t.Context()); err != nil || p.OwnNetwork() {
		t.Errorf("Running = %v, OwnNetwork = %t", err, p.OwnNetwork())
	}
	name, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	f, err := Facts(t.Context(), p)
	if err != nil || f.Name != name || f.CustomIdentifier != "" || f.Meta.CPU != nil || f.Meta.Cloud != nil {
		t.Errorf("Facts = %+v, %v", f, err)
	}
	c := NewContainers(p, true)
	if v, err := c.Collect(t.Context()); len(v) > 0 || err != nil || c.Definitions() != nil {
		t.Errorf("Collect = %v, %v", v, err)
	}
	if v, err := NewNetwork(p).Collect(t.Context()); len(v) > 0 || err != nil {
		t.Errorf("the network's Collect = %v, %v", v, err)
	}
}

// The graphs that are declared are those whose metrics are collected.
func TestExtrasAreDeclared(t *testing.T) {
	n, f := uint64(1), 1.0
	c := NewContainers(fixed{Container{Name: "a b", CPU: &n, CPULimit: &f, Memory: &n, MemoryLimit: &f, MemoryRSS: &n, Periods: &n, Throttled: &n, Restarts: &n,
		Pressure: map[string]float64{"cpu": 1, "memory": 1, "io": 1}, Networks: map[string]Traffic{"eth0": {1, 1}}}}, true)
	now := time.Hour
	c.clock = func() (time.Duration, error) { return now, nil }
	if _, err := c.Collect(t.Context()); err != nil {
		t.Fatal(err)
	}
	n, now = 61, now+time.Minute
	values, err := c.Collect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got, want []string
	for _, v := range values {
		if !saba.ValidMetricName(v.Name) {
			t.Errorf("%q is no name of a metric", v.Name)
		}
		if name, extra := strings.CutPrefix(v.Name, "custom.container.a_b."); extra {
			got = append(got, name)
		}
	}
	for _, d := range c.Definitions() {
		if !saba.ValidGraphDefName(d.Name) || !d.Unit.Valid() {
			t.Errorf("the definition %+v is none", d)
		}
		for _, m := range d.Metrics {
			if !saba.ValidGraphDefName(m.Name) {
				t.Errorf("%q is no name of a graph's metric", m.Name)
			}
			want = append(want, strings.TrimPrefix(m.Name, "custom.container.#."))
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("collected %v, declared %v", got, want)
	}
	for name, want := range map[string]float64{"custom.container.a_b.throttling.percentage": 100, "interface.a_b-eth0.rxBytes.delta": 0, "interface.a_b-eth0.txBytes.delta": 0} {
		if !slices.Contains(values, saba.Value{Name: name, Value: want}) {
			t.Errorf("%s is not %v among %v", name, want, values)
		}
	}
	c.extras = false
	values, err = c.Collect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range values {
		if strings.HasPrefix(v.Name, "custom.") {
			t.Errorf("%s comes although no extras are wanted", v.Name)
		}
	}
}

// A fixed platform has one container.
type fixed struct{ c Container }

func (fixed) Facts(context.Context) (collect.Facts, error) { return collect.Facts{}, nil }
func (fixed) Running(context.Context) error                { return nil }
func (f fixed) Read(context.Context) (Reading, error) {
	return Reading{Containers: []Container{f.c}}, nil
}
func (fixed) OwnNetwork() bool { return true }

// Whatever a kubelet says, reading it ends without a panic, and no value leaves that no server takes.
func FuzzKubelet(f *testing.F) {
	f.Add(`{"pods":[{"podRef":{"name":"web-7d9","namespace":"shop"},"containers":[{"name":"app","cpu":{"usageCoreNanoSeconds":1}}]}]}`, `{"items":[]}`)
	f.Add(`{"pods":[{}`, `{"items":[{"metadata":{"name":"web-7d9","namespace":"shop"},"spec":{"containers":[{"name":"app","resources":{"limits":{"cpu":"1"}}}]}}]}`)
	f.Fuzz(func(t *testing.T, stats, pods string) {
		decode := func(text, key string, v any) error {
			_, err := searchList(json.NewDecoder(strings.NewReader(text)), key, func(d func(any) error) (bool, error) { return false, d(v) })
			return err
		}
		var s podStats
		var p pod
		_ = decode(stats, "pods", &s)
		_ = decode(pods, "items", &p)
		k := &kubernetes{}
		if _, err := json.Marshal(k.describe(&p)); err != nil {
			t.Errorf("the facts cannot be written: %v", err)
		}
		var r Reading
		for _, c := range s.Containers {
			k := c.container()
			for _, plan := range p.containers() {
				k.CPULimit, k.MemoryLimit = plan.Resources.limit("cpu"), plan.Resources.limit("memory")
			}
			r.Containers = append(r.Containers, k)
		}
		w := watch(fixedReading{r})
		for range 2 {
			values, _ := w.Collect(t.Context())
			for _, v := range values {
				if math.IsInf(v.Value, 0) || math.IsNaN(v.Value) {
					t.Errorf("%s = %v", v.Name, v.Value)
				}
			}
			w.now += time.Minute
		}
	})
}

type fixedReading struct{ r Reading }

func (fixedReading) Facts(context.Context) (collect.Facts, error) { return collect.Facts{}, nil }
func (fixedReading) Running(context.Context) error                { return nil }
func (f fixedReading) Read(context.Context) (Reading, error) {
	return Reading{Containers: slices.Clone(f.r.Containers), Machine: f.r.Machine}, nil
}
func (fixedReading) OwnNetwork() bool { return true }

package platform

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// newNodeRig starts a kubelet of a node with several Pods.
func newNodeRig(t *testing.T, secure bool) *rig {
	t.Helper()
	r := newRig(t, secure)
	r.pods, r.stats = file(t, "node-pods.json"), file(t, "node-summary.json")
	r.environ["MACKEREL_KUBERNETES_NODE_NAME"] = "node-3"
	delete(r.environ, "MACKEREL_KUBERNETES_NAMESPACE")
	delete(r.environ, "MACKEREL_KUBERNETES_POD_NAME")
	return r
}

// aMinuteOn returns the summary a minute later: the counters that pairs of old and new name have moved.
func aMinuteOn(summary string, pairs ...string) string {
	return strings.NewReplacer(append([]string{"T10:00:00Z", "T10:01:00Z"}, pairs...)...).Replace(summary)
}

func TestANodeOfAKubelet(t *testing.T) {
	for _, secure := range []bool{false, true} {
		t.Run(fmt.Sprintf("secure %t", secure), func(t *testing.T) {
			r := newNodeRig(t, secure)
			p := r.open(t, "kubernetes_node", nil)
			if err := p.Running(t.Context()); err != nil {
				t.Fatalf("Running = %v", err)
			}
			f, err := Facts(t.Context(), p)
			if err != nil {
				t.Fatal(err)
			}
			cloud, err := json.Marshal(f.Meta.Cloud)
			if err != nil {
				t.Fatal(err)
			}
			if f.Name != "node-3" || f.CustomIdentifier != "node-3.kubernetes-node" || string(cloud) != `{"provider":"kubernetes","metadata":{"nodeName":"node-3"}}` {
				t.Errorf("facts = %+v, cloud %s", f, cloud)
			}
			if p.OwnNetwork() {
				t.Error("the interfaces of this Pod are told as the node's")
			}
			w := watch(p)
			first, err := w.values(t)
			if err != nil {
				t.Fatal(err)
			}
			all := float64(runtime.NumCPU()) * 100
			want := map[string]float64{
				"container.cpu.node.limit": all, "container.memory.node.usage": 7e9, "container.memory.node.limit": 16 << 30, "custom.container.node.memory.rss": 6e9,
				// Two Pods of one Deployment are told together.
				"container.cpu.shop_web_app.limit": 100, "container.memory.shop_web_app.usage": 250000000, "container.memory.shop_web_app.limit": 1 << 30,
				"custom.container.shop_web_app.limit.memory": 250000000.0 / (1 << 30) * 100, "custom.container.shop_web_app.memory.rss": 200000000, "custom.container.shop_web_app.restarts.total": 3,
				"container.cpu.shop_web_saba-agent.limit": all, "container.memory.shop_web_saba-agent.usage": 10000000, "container.memory.shop_web_saba-agent.limit": 128 << 20,
				"custom.container.shop_web_saba-agent.limit.memory": 10000000.0 / (128 << 20) * 100, "custom.container.shop_web_saba-agent.restarts.total": 0,
				"container.cpu.shop_report_report.limit": all, "container.memory.shop_report_report.usage": 50000000, "container.memory.shop_report_report.limit": 16 << 30,
				"container.cpu.kube-system_etcd_etcd.limit": all, "container.memory.kube-system_etcd_etcd.usage": 300000000, "container.memory.kube-system_etcd_etcd.limit": 16 << 30,
				"filesystem.nodefs.size": 1e11, "filesystem.nodefs.used": 4e10, "filesystem.imagefs.size": 2e10, "filesystem.imagefs.used": 5e9,
			}
			near(t, "first", first, want)

			r.set(func() {
				r.stats = aMinuteOn(r.stats,
					`"usageCoreNanoSeconds": 900000000000}`, `"usageCoreNanoSeconds": 990000000000}`, // 1.5 processors
					"100000000000}", "106000000000}", "200000000000}", "209000000000}", // 0.1 and 0.15
					"5000000000}", "65000000000}", // one
					`"rxBytes": 1000000`, `"rxBytes": 1600000`, `"txBytes": 2000000`, `"txBytes": 2060000`)
			})
			w.now += 61 * time.Second
			second, err := w.values(t)
			if err != nil {
				t.Fatal(err)
			}
			maps.Copy(want, map[string]float64{
				"container.cpu.node.usage": 150, "container.cpu.shop_web_app.usage": 25, "custom.container.shop_web_app.limit.cpu": 25,
				"container.cpu.shop_web_saba-agent.usage": 0, "container.cpu.shop_report_report.usage": 100, "container.cpu.kube-system_etcd_etcd.usage": 0,
				"interface.eth0.rxBytes.delta": 10000, "interface.eth0.txBytes.delta": 1000,
			})
			near(t, "second", second, want)
			pods := 0
			for _, path := range r.asked {
				if path == "/pods" {
					pods++
				}
			}
			if pods != 1 || len(r.seen) != 1 {
				t.Errorf("the kubelet was asked %v over %d connections, want once for all Pods, over one", r.asked, len(r.seen))
			}
		})
	}
}

// A Pod that takes the place of another one of its workload counts from its own beginning: there is no rate over both.
func TestAPodOfANodeIsReplaced(t *testing.T) {
	r := newNodeRig(t, false)
	w := watch(r.open(t, "kubernetes_node", nil))
	if _, err := w.values(t); err != nil {
		t.Fatal(err)
	}
	r.set(func() {
		r.pods = strings.ReplaceAll(r.pods, "bbbbb", "ccccc")
		r.stats = aMinuteOn(r.stats, "bbbbb", "ccccc", "T09:10:00Z", "T10:00:30Z", "100000000000}", "106000000000}", "200000000000}", "3000000000}")
	})
	w.now += time.Minute
	got, err := w.values(t)
	if err != nil {
		t.Fatal(err)
	}
	if v := got["container.cpu.shop_web_app.usage"]; v != 10 {
		t.Errorf("usage = %v, want that of the Pod that stayed, 10", v)
	}
	if v := got["container.memory.shop_web_app.usage"]; v != 250000000 {
		t.Errorf("memory = %v, want that of both", v)
	}
	r.set(func() {
		r.stats = strings.NewReplacer("T10:01:00Z", "T10:02:00Z", "106000000000}", "112000000000}", "3000000000}", "9000000000}").Replace(r.stats)
	})
	w.now += time.Minute
	if got, err = w.values(t); err != nil || got["container.cpu.shop_web_app.usage"] != 20 {
		t.Errorf("usage = %v, %v, want that of both, 20", got["container.cpu.shop_web_app.usage"], err)
	}
}

func TestANodeWithoutAPart(t *testing.T) {
	node := []string{"container.cpu.node.limit", "container.memory.node.limit", "container.memory.node.usage"}
	for name, tt := range map[string]struct {
		stats, pods string
		want        []string
		err         string
	}{
		"no Pods":                   {stats: `{"node":{"memory":{"workingSetBytes":5}}}`, want: node},
		"null everywhere":           {stats: `{"node":{"cpu":null,"memory":{"workingSetBytes":5},"network":null,"fs":null,"runtime":null},"pods":null}`, want: node},
		"a network without numbers": {stats: `{"node":{"memory":{"workingSetBytes":5},"network":{"name":"eth0"}}}`, want: node},
		"a disk without a size":     {stats: `{"node":{"memory":{"workingSetBytes":5},"fs":{"availableBytes":5}}}`, want: node},
		"more free than there is":   {stats: `{"node":{"memory":{"workingSetBytes":5},"fs":{"availableBytes":5,"capacityBytes":4}}}`, want: node},
		"text for a number":         {stats: `{"node":{"cpu":{"usageCoreNanoSeconds":"x"},"memory":{"workingSetBytes":5}}}`, want: node, err: "has string for .*usageCoreNanoSeconds"},
		"no node":                   {stats: `{"pods":[]}`, err: "does not say what its node uses"},
		"nothing":                   {stats: ``, err: "is cut short"},
		"cut short":                 {stats: file(t, "node-summary.json")[:900], err: "is cut short"},
		"a page":                    {stats: `<html>`, err: "is not what a kubelet tells"},
		// Containers whose workload is not known have no name that would be theirs tomorrow.
		"Pods that nobody tells of":  {stats: `{"node":{"memory":{"workingSetBytes":5}},"pods":[{"podRef":{"name":"a","namespace":"b"},"containers":[{"name":"c","memory":{"workingSetBytes":1}}]}]}`, pods: `{"items":[`, want: node, err: "/pods is cut short"},
		"a Pod without a name":       {stats: `{"node":{"memory":{"workingSetBytes":5}},"pods":[{"containers":[{"name":"c","memory":{"workingSetBytes":1}}]}]}`, want: node},
		"a container without a name": {stats: `{"node":{"memory":{"workingSetBytes":5}},"pods":[{"podRef":{"name":"etcd-node-3","namespace":"kube-system"},"containers":[{"memory":{"workingSetBytes":1}}]}]}`, want: node},
	} {
		t.Run(name, func(t *testing.T) {
			r := newNodeRig(t, false)
			r.stats = tt.stats
			if tt.pods != "" {
				r.pods = tt.pods
			}
			got, err := watch(r.open(t, "kubernetes_node", nil)).values(t)
			if names := slices.Sorted(maps.Keys(got)); !slices.Equal(names, tt.want) {
				t.Errorf("values of %v, want %v", names, tt.want)
			}
			if text := fmt.Sprint(err); tt.err == "" && err != nil || tt.err != "" && !regexp.MustCompile(tt.err).MatchString(text) {
				t.Errorf("error %v, want %q", err, tt.err)
			}
		})
	}
}

// What was known of the Pods holds while the kubelet does not tell of them.
func TestANodeWhosePodsAreNotTold(t *testing.T) {
	r := newNodeRig(t, false)
	w := watch(r.open(t, "kubernetes_node", nil))
	if _, err := w.values(t); err != nil {
		t.Fatal(err)
	}
	r.set(func() {
		r.stats = aMinuteOn(r.stats, "T09:10:00Z", "T10:00:30Z") // a container started again, so they are asked for
		r.answer = func(rw http.ResponseWriter, req *http.Request) {
			if req.URL.Path == "/pods" {
				http.Error(rw, "busy", http.StatusInternalServerError)
				return
			}
			_, _ = io.WriteString(rw, r.stats)
		}
	})
	w.now += time.Minute
	got, err := w.values(t)
	if err == nil || !strings.Contains(err.Error(), "/pods answers 500 (busy)") {
		t.Errorf("error = %v", err)
	}
	if got["container.memory.shop_web_app.usage"] != 250000000 || got["container.cpu.shop_web_app.limit"] != 100 {
		t.Errorf("values = %v", got)
	}
}

func TestWhatIsLeftOutOfANode(t *testing.T) {
	r := newNodeRig(t, false)
	got, err := watch(r.open(t, "kubernetes_node", regexp.MustCompile("^(saba-agent|etcd)$"))).values(t)
	if err != nil {
		t.Fatal(err)
	}
	for name := range got {
		if strings.Contains(name, "saba-agent") || strings.Contains(name, "etcd") {
			t.Errorf("%s is there", name)
		}
	}
	if _, ok := got["container.memory.shop_web_app.usage"]; !ok {
		t.Errorf("there is only %v", got)
	}

	var stats, pods []string
	for i := range mostWorkloads + 10 {
		stats = append(stats, fmt.Sprintf(`{"podRef":{"name":"p%03d","namespace":"many"},"containers":[{"name":"c","memory":{"workingSetBytes":1}}]}`, i))
		pods = append(pods, fmt.Sprintf(`{"metadata":{"name":"p%03d","namespace":"many"}}`, i))
	}
	r.stats = `{"node":{"memory":{"workingSetBytes":5}},"pods":[` + strings.Join(stats, ",") + `]}`
	r.pods = `{"items":[` + strings.Join(pods, ",") + `]}`
	got, err = watch(r.open(t, "kubernetes_node", nil)).values(t)
	if err == nil || !strings.Contains(err.Error(), "there are containers of 511 workloads on this node") {
		t.Errorf("error = %v", err)
	}
	if _, last := got["container.memory.many_p509_c.usage"]; last || got["container.memory.many_p000_c.usage"] != 1 || got["container.memory.node.usage"] != 5 {
		t.Errorf("%d values, the last of them there: %t", len(got), last)
	}
}

func TestTheNameOfAWorkload(t *testing.T) {
	for name, tt := range map[string]struct{ pod, want string }{
		"a Deployment":              {`{"metadata":{"name":"web-7d9f8-x","labels":{"pod-template-hash":"7d9f8"},"ownerReferences":[{"kind":"ReplicaSet","name":"web-7d9f8"}]}}`, "web"},
		"a ReplicaSet of its own":   {`{"metadata":{"name":"web-x","ownerReferences":[{"kind":"ReplicaSet","name":"web"}]}}`, "web"},
		"a StatefulSet":             {`{"metadata":{"name":"db-0","ownerReferences":[{"kind":"StatefulSet","name":"db"}]}}`, "db"},
		"a DaemonSet":               {`{"metadata":{"name":"log-abcde","ownerReferences":[{"kind":"DaemonSet","name":"log"}]}}`, "log"},
		"a CronJob":                 {`{"metadata":{"name":"nightly-29374980-x","ownerReferences":[{"kind":"Job","name":"nightly-29374980"}]}}`, "nightly"},
		"a Job":                     {`{"metadata":{"name":"migrate-v2-x","ownerReferences":[{"kind":"Job","name":"migrate-v2"}]}}`, "migrate-v2"},
		"a static Pod":              {`{"metadata":{"name":"etcd-Node-3","annotations":{"kubernetes.io/config.source":"file"}},"spec":{"nodeName":"Node-3"}}`, "etcd-Node-3"},
		"a static Pod of its node":  {`{"metadata":{"name":"etcd-node-3","annotations":{"kubernetes.io/config.source":"file"}},"spec":{"nodeName":"Node-3"}}`, "etcd"},
		"a static Pod's mirror":     {`{"metadata":{"name":"etcd-node-3","ownerReferences":[{"kind":"Node","name":"node-3"}]}}`, "etcd"},
		"a Pod that nobody made":    {`{"metadata":{"name":"debug"}}`, "debug"},
		"something of an extension": {`{"metadata":{"name":"x-1","ownerReferences":[{"kind":"Rollout","name":"x"}]}}`, "x"},
	} {
		t.Run(name, func(t *testing.T) {
			var p pod
			if err := json.Unmarshal([]byte(tt.pod), &p); err != nil {
				t.Fatal(err)
			}
			if got := p.workload(); got != tt.want {
				t.Errorf("workload = %q, want %q", got, tt.want)
			}
		})
	}
}

func TestASettingOfANodeIsMissing(t *testing.T) {
	r := newNodeRig(t, false)
	r.environ["SABA_KUBERNETES_CLUSTER_NAME"] = "tokyo"
	f, err := r.open(t, "kubernetes_node", nil).Facts(t.Context())
	if err != nil || f.CustomIdentifier != "tokyo.node-3.kubernetes-node" {
		t.Errorf("facts = %+v, %v", f, err)
	}
	r.environ = map[string]string{"SABA_KUBERNETES_KUBELET_PORT": "x"}
	_, err = New("kubernetes_node", Options{Setting: Setting(r.getenv), Getenv: r.getenv})
	for _, want := range []string{"MACKEREL_KUBERNETES_KUBELET_HOST", "MACKEREL_KUBERNETES_NODE_NAME", "fieldPath: spec.nodeName", "MACKEREL_KUBERNETES_KUBELET_PORT"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("New = %v, want a word of %s", err, want)
		}
	}
}

// A node is a host longer than its agent lives, which is replaced by the next version; a Pod is not.
func TestWhichHostsStay(t *testing.T) {
	for _, k := range All {
		if got, want := Stays(k.Name), k.Name == "kubernetes_node"; got != want {
			t.Errorf("Stays(%q) = %t", k.Name, got)
		}
	}
}

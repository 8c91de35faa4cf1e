package platform

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/saba-monitor/saba/internal/collect"
)

// mostWorkloads bounds the names that the containers of a node are told by.
const mostWorkloads = 500

// A kubernetesNode is a node as its kubelet sees it: the machine, and the containers of all its Pods, by their workloads.
// Pods come and go, and each has a name of its own; what made them stays.
type kubernetesNode struct {
	kubelet *kubelet
	name    string
	cluster string // "" when nobody named it
	ignore  *regexp.Regexp
	now     func() time.Time

	mu   sync.Mutex
	pods map[podName]*podPlan // as they were last told; nil before
	at   time.Time            // when they were
	seen map[string]bool      // lives of containers when they were
}

type podName struct{ namespace, name string }

// A podPlan is what is kept of a Pod on the node.
type podPlan struct {
	workload   string // what made it: "web" of the ReplicaSet web-7d9f
	containers map[string]containerPlan
}

type containerPlan struct {
	cpu, memory *float64 // limits; nil for none
	restarts    *uint64
}

func newKubernetesNode(o Options) (Platform, error) {
	s := settings{of: o.Setting}
	n := &kubernetesNode{
		name: s.must("KUBERNETES_NODE_NAME", "valueFrom: fieldRef: fieldPath: spec.nodeName"), cluster: o.Setting("KUBERNETES_CLUSTER_NAME"),
		ignore: o.Ignore, now: time.Now, kubelet: kubeletOf(o, &s),
	}
	return n, s.err()
}

// Facts describes the node: its custom identifier is "<name>.kubernetes-node", with "<cluster>." before it where the cluster
// has a name.
func (n *kubernetesNode) Facts(context.Context) (collect.Facts, error) {
	identifier := n.name + ".kubernetes-node"
	if n.cluster != "" {
		identifier = n.cluster + "." + identifier
	}
	return collect.Facts{Name: n.name, CustomIdentifier: identifier, Meta: collect.Meta{
		Cloud: &collect.Cloud{Provider: "kubernetes", Metadata: nodeFacts{Cluster: n.cluster, NodeName: n.name}},
	}}, nil
}

// nodeFacts is what the server is told of a node.
type nodeFacts struct {
	Cluster  string `json:"cluster,omitempty"`
	NodeName string `json:"nodeName"`
}

// Running returns nil when the kubelet answers.
func (n *kubernetesNode) Running(ctx context.Context) error {
	_, err := n.kubelet.node(ctx)
	return err
}

// OwnNetwork returns false: the kubelet tells of the node's interfaces.
func (*kubernetesNode) OwnNetwork() bool { return false }

// Read reads what the node and the containers on it use. Limits and restarts are those of when the Pods were last looked at.
func (n *kubernetesNode) Read(ctx context.Context) (Reading, error) {
	summary, err := n.kubelet.node(ctx)
	if summary.Node.CPU == nil && summary.Node.Memory == nil && len(summary.Pods) == 0 {
		return Reading{}, err
	}
	lives := map[string]bool{}
	for _, p := range summary.Pods {
		for _, c := range p.Containers {
			lives[p.Ref.Namespace+"/"+p.Ref.Name+"/"+c.Name+"/"+c.StartTime] = true
		}
	}
	pods, podErr := n.look(ctx, lives)
	r := Reading{Machine: summary.Node.machine()}
	if c := summary.Node.container(); c.CPU != nil || c.Memory != nil {
		c.Name, c.Group = "node", "node"
		r.Containers = append(r.Containers, c)
	}
	for _, p := range summary.Pods {
		plan := pods[podName{p.Ref.Namespace, p.Ref.Name}]
		if plan == nil {
			continue // without its workload it would leave names that nobody knows next week
		}
		newest := map[string]containerStats{}
		for _, c := range p.Containers {
			if before, twice := newest[c.Name]; !twice || before.StartTime <= c.StartTime {
				newest[c.Name] = c
			}
		}
		for _, name := range slices.Sorted(maps.Keys(newest)) {
			if name == "" || n.ignore != nil && n.ignore.MatchString(name) {
				continue
			}
			c := newest[name].container()
			c.Name = p.Ref.Namespace + "_" + p.Ref.Name + "_" + name
			c.Group = p.Ref.Namespace + "_" + plan.workload + "_" + name // none of them has a "_"
			of, listed := plan.containers[name]
			c.Unlisted, c.CPULimit, c.MemoryLimit, c.Restarts = !listed, of.cpu, of.memory, of.restarts
			r.Containers = append(r.Containers, c)
		}
	}
	return r, errors.Join(err, podErr, r.bound(mostWorkloads))
}

// look returns the Pods of the node, asked for anew when containers have come or gone, and now and then.
func (n *kubernetesNode) look(ctx context.Context, lives map[string]bool) (map[podName]*podPlan, error) {
	n.mu.Lock()
	defer n.mu.Unlock() // one asks at a time; the others wait for what it learns
	if n.pods != nil && n.now().Sub(n.at) <= podAge && maps.Equal(n.seen, lives) {
		return n.pods, nil
	}
	fresh := map[podName]*podPlan{}
	err := n.kubelet.pods(ctx, func(p *pod) {
		plan := &podPlan{workload: p.workload(), containers: map[string]containerPlan{}}
		for _, c := range slices.Concat(p.Spec.Containers, p.Spec.InitContainers) {
			plan.containers[c.Name] = containerPlan{c.Resources.limit("cpu"), c.Resources.limit("memory"), p.restarts(c.Name)}
		}
		fresh[podName{p.Metadata.Namespace, p.Metadata.Name}] = plan
	})
	if err != nil {
		for name, plan := range n.pods { // what was not told this time is as it was
			if fresh[name] == nil {
				fresh[name] = plan
			}
		}
		n.pods = fresh
		return n.pods, err
	}
	n.pods, n.at, n.seen = fresh, n.now(), lives
	return n.pods, nil
}

// jobTime is what a CronJob adds to its name for each of its Jobs: the minute.
var jobTime = regexp.MustCompile(`-\d{8,}$`)

// workload names what made the Pod, as people know it: a Deployment rather than its ReplicaSets, a CronJob rather than
// its Jobs, the Pod itself where nothing did.
func (p *pod) workload() string {
	if len(p.Metadata.Owners) == 0 {
		if p.Metadata.Annotations["kubernetes.io/config.source"] == "file" { // the kubelet adds its node's name to those
			return strings.TrimSuffix(p.Metadata.Name, "-"+strings.ToLower(p.Spec.NodeName))
		}
		return p.Metadata.Name
	}
	switch owner := p.Metadata.Owners[0]; owner.Kind {
	case "ReplicaSet":
		if hash := p.Metadata.Labels["pod-template-hash"]; hash != "" {
			return strings.TrimSuffix(owner.Name, "-"+hash)
		}
		return owner.Name
	case "Job":
		return jobTime.ReplaceAllString(owner.Name, "")
	case "Node":
		return strings.TrimSuffix(p.Metadata.Name, "-"+owner.Name)
	default:
		return owner.Name
	}
}

// bound keeps the containers of the first most groups by name. The error says how many groups there were.
func (r *Reading) bound(most int) error {
	groups := map[string]bool{}
	for _, c := range r.Containers {
		groups[c.Group] = true
	}
	if len(groups) <= most {
		return nil
	}
	kept := slices.Sorted(maps.Keys(groups))[:most]
	r.Containers = slices.DeleteFunc(r.Containers, func(c Container) bool {
		_, found := slices.BinarySearch(kept, c.Group)
		return !found && c.Group != "node"
	})
	return fmt.Errorf("there are containers of %d workloads on this node; those beyond the first %d by name are left out: leave out some by ignoreContainer", len(groups), most)
}

// A nodeStats is the part of /stats/summary about the node itself. Every part of it may be missing.
type nodeStats struct {
	containerStats
	Network *struct {
		At instant `json:"time"`
		trafficStats
		Interfaces []trafficStats `json:"interfaces"`
	} `json:"network"`
	Disk    *diskStats `json:"fs"`
	Runtime *struct {
		Images     *diskStats `json:"imageFs"`
		Containers *diskStats `json:"containerFs"`
	} `json:"runtime"`
}

type trafficStats struct {
	Name string  `json:"name"`
	RX   *uint64 `json:"rxBytes"`
	TX   *uint64 `json:"txBytes"`
}

type diskStats struct {
	Size *uint64 `json:"capacityBytes"`
	Free *uint64 `json:"availableBytes"`
}

// machine returns what is told of the node's interfaces and disks.
func (s nodeStats) machine() Machine {
	m := Machine{Networks: map[string]Traffic{}, Disks: map[string]Disk{}}
	if s.Network != nil {
		m.At = s.Network.At.Time
		all := s.Network.Interfaces
		if len(all) == 0 {
			all = []trafficStats{s.Network.trafficStats}
		}
		for _, i := range all {
			if i.Name != "" && i.Name != "lo" && !strings.HasPrefix(i.Name, "veth") && i.RX != nil && i.TX != nil {
				m.Networks[i.Name] = Traffic{*i.RX, *i.TX}
			}
		}
	}
	disk := func(name string, d *diskStats) {
		// What is not free cannot be used by others: reserved blocks count as used.
		if d != nil && d.Size != nil && d.Free != nil && *d.Free <= *d.Size {
			m.Disks[name] = Disk{Size: *d.Size, Used: *d.Size - *d.Free}
		}
	}
	disk("nodefs", s.Disk)
	if s.Runtime != nil {
		disk("imagefs", s.Runtime.Images)
		disk("containerfs", s.Runtime.Containers)
	}
	return m
}

// A nodeSummary is the answer of /stats/summary.
type nodeSummary struct {
	Node nodeStats  `json:"node"`
	Pods []podStats `json:"pods"`
}

// node returns what the node uses, and what the containers of its Pods do. What could be read comes with an error, too.
func (k *kubelet) node(ctx context.Context) (s nodeSummary, err error) {
	err = k.read(ctx, "/stats/summary", func(d *json.Decoder) (bool, error) { return false, d.Decode(&s) })
	if err == nil && s.Node.CPU == nil && s.Node.Memory == nil {
		err = fmt.Errorf("the kubelet at %s does not say what its node uses (/stats/summary)", k.Base)
	}
	return s, err
}

// pods calls visit for each Pod on the node.
func (k *kubelet) pods(ctx context.Context, visit func(*pod)) error {
	return k.search(ctx, "/pods", "items", func(decode func(any) error) (bool, error) {
		var p pod
		err := decode(&p)
		if p.Metadata.Name != "" {
			visit(&p)
		}
		return false, err
	})
}

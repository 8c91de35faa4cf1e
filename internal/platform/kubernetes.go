package platform

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/collect"
)

// podAge is how old what is known of the Pod may be when its containers are read. It changes when a container starts,
// which is seen otherwise, and when somebody changes a limit; and to ask for it makes the kubelet tell of its whole node.
const podAge = 10 * time.Minute

// A kubernetes is the Pod that this agent is a sidecar of, as the kubelet of its node tells of it.
type kubernetes struct {
	kubelet         *kubelet
	namespace, name string
	ignore          *regexp.Regexp
	now             func() time.Time

	mu    sync.Mutex
	pod   *pod // as it was last told; nil before
	podAt time.Time
	seen  map[string]string // lives of the containers when it was
}

// serviceAccount is the folder in which a Pod finds what it identifies itself with.
const serviceAccount = "/var/run/secrets/kubernetes.io/serviceaccount"

func newKubernetes(o Options) (Platform, error) {
	s := settings{of: o.Setting}
	l := kubeletOf(o, &s)
	k := newPod(o, &s)
	k.kubelet = l
	if err := s.err(); err != nil {
		return nil, err
	}
	return k, nil
}

// kubeletOf returns the kubelet that the settings name.
func kubeletOf(o Options, s *settings) *kubelet {
	host := s.must("KUBERNETES_KUBELET_HOST", "valueFrom: fieldRef: fieldPath: status.hostIP")
	readOnly := s.port("KUBERNETES_KUBELET_READ_ONLY_PORT", 10255, 0)
	secure := s.port("KUBERNETES_KUBELET_PORT", 10250, 1)
	if readOnly != 0 {
		return newKubelet(kubeletOptions{Base: "http://" + hostPort(host, readOnly)})
	}
	return newKubelet(kubeletOptions{
		Base: "https://" + hostPort(host, secure), Account: cmp.Or(o.Setting("KUBERNETES_SERVICE_ACCOUNT_DIR"), serviceAccount),
		Insecure: o.Setting("KUBERNETES_KUBELET_INSECURE_TLS") != "",
	})
}

// newEKSFargate is Kubernetes where the kubelet is reached through the API server alone.
func newEKSFargate(o Options) (Platform, error) {
	s := settings{of: o.Setting}
	node := s.must("KUBERNETES_NODE_NAME", "valueFrom: fieldRef: fieldPath: spec.nodeName")
	k := newPod(o, &s)
	host, port := o.Getenv("KUBERNETES_SERVICE_HOST"), cmp.Or(o.Getenv("KUBERNETES_SERVICE_PORT"), "443")
	if host == "" {
		s.wrong = append(s.wrong, saba.Errorf(saba.ErrInvalid, "KUBERNETES_SERVICE_HOST is not set, which Kubernetes sets in every Pod: is this one?"))
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		s.wrong = append(s.wrong, saba.Errorf(saba.ErrInvalid, "KUBERNETES_SERVICE_PORT must be a port from 1 to 65535, not %q", port))
	}
	if err := s.err(); err != nil {
		return nil, err
	}
	k.kubelet = newKubelet(kubeletOptions{
		Base:    "https://" + hostPort(host, n) + "/api/v1/nodes/" + url.PathEscape(node) + "/proxy",
		Account: cmp.Or(o.Setting("KUBERNETES_SERVICE_ACCOUNT_DIR"), serviceAccount),
	})
	return k, nil
}

// newPod returns what both ways to the kubelet have in common.
func newPod(o Options, s *settings) *kubernetes {
	return &kubernetes{
		namespace: s.must("KUBERNETES_NAMESPACE", "valueFrom: fieldRef: fieldPath: metadata.namespace"),
		name:      s.must("KUBERNETES_POD_NAME", "valueFrom: fieldRef: fieldPath: metadata.name"),
		ignore:    o.Ignore, now: time.Now,
	}
}

func hostPort(host string, port uint64) string {
	return net.JoinHostPort(strings.Trim(host, "[]"), strconv.FormatUint(port, 10))
}

// settings reads what a platform needs from the environment, and collects what is wrong with it.
type settings struct {
	of    func(name string) string
	wrong []error
}

// must returns a setting that may not be missing. from says where its value comes from in a manifest.
func (s *settings) must(name, from string) string {
	v := s.of(name)
	if v == "" {
		s.wrong = append(s.wrong, saba.Errorf(saba.ErrInvalid, "MACKEREL_%s (or SABA_%[1]s) is not set: in a manifest it has %q", name, from))
	}
	return v
}

// port returns a setting that is a port, at least least.
func (s *settings) port(name string, usual, least uint64) uint64 {
	v := s.of(name)
	if v == "" {
		return usual
	}
	n, err := strconv.ParseUint(v, 10, 16)
	if err != nil || n < least {
		s.wrong = append(s.wrong, saba.Errorf(saba.ErrInvalid, "MACKEREL_%s (or SABA_%[1]s) must be a port from %d to 65535, not %q", name, least, v))
	}
	return n
}

func (s *settings) err() error { return errors.Join(s.wrong...) }

// Facts describes the Pod: its custom identifier is "<uid>.kubernetes".
func (k *kubernetes) Facts(ctx context.Context) (collect.Facts, error) {
	p, err := k.look(ctx)
	f := collect.Facts{Name: k.name}
	if p == nil {
		return f, err
	}
	if p.Metadata.UID != "" {
		f.CustomIdentifier = p.Metadata.UID + ".kubernetes"
	}
	f.Meta.Cloud = &collect.Cloud{Provider: "kubernetes", Metadata: k.describe(p)}
	return f, err
}

// Running returns nil when the phase of the Pod is Running.
func (k *kubernetes) Running(ctx context.Context) error {
	p, err := k.look(ctx)
	if err != nil {
		return err
	}
	if !strings.EqualFold(p.Status.Phase, "running") {
		return fmt.Errorf("the Pod %s/%s is %s, not Running", k.namespace, k.name, cmp.Or(p.Status.Phase, "in no phase"))
	}
	return nil
}

// OwnNetwork returns true: the containers of a Pod share its network.
func (*kubernetes) OwnNetwork() bool { return true }

// look asks for the Pod, and returns what was known before when that fails; nil when nothing was.
func (k *kubernetes) look(ctx context.Context) (*pod, error) {
	fresh, err := k.kubelet.pod(ctx, k.namespace, k.name)
	k.mu.Lock()
	defer k.mu.Unlock()
	if fresh != nil {
		k.pod, k.podAt = fresh, k.now()
	}
	return k.pod, err
}

// Read reads what the containers of the Pod use. Their limits are those of when the Pod was last looked at, some minutes ago perhaps.
func (k *kubernetes) Read(ctx context.Context) (Reading, error) {
	stats, err := k.kubelet.stats(ctx, k.namespace, k.name)
	lives := map[string]string{}
	used := map[string]containerStats{}
	for _, c := range stats {
		if before, twice := used[c.Name]; twice && before.StartTime > c.StartTime { // both RFC 3339 in one zone: the newer life counts
			continue
		}
		used[c.Name], lives[c.Name] = c, c.StartTime
	}
	k.mu.Lock()
	p, due := k.pod, k.pod == nil || k.now().Sub(k.podAt) > podAge || err == nil && !maps.Equal(k.seen, lives)
	k.mu.Unlock()
	if due {
		var podErr error
		if p, podErr = k.look(ctx); podErr == nil {
			k.mu.Lock()
			k.seen = lives
			k.mu.Unlock()
		}
		err = errors.Join(err, podErr)
	}
	names := slices.Collect(maps.Keys(used))
	planned := map[string]podContainer{}
	if p != nil {
		for _, c := range p.containers() {
			planned[c.Name] = c
			if _, known := used[c.Name]; !known {
				names = append(names, c.Name) // which has not started, and has limits
			}
		}
	}
	var r Reading
	for _, name := range names {
		if name == "" || k.ignore != nil && k.ignore.MatchString(name) {
			continue
		}
		c := used[name].container()
		c.Name = name
		plan, listed := planned[name]
		if c.Unlisted = !listed; listed {
			c.CPULimit, c.MemoryLimit = plan.Resources.limit("cpu"), plan.Resources.limit("memory")
		}
		if p != nil {
			c.Restarts = p.restarts(name)
		}
		r.Containers = append(r.Containers, c)
	}
	return r, err
}

package platform

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"
)

// The bounds of a request to a kubelet.
const (
	kubeletTimeout = 3 * time.Second
	maxKubeletBody = 64 << 20 // bytes: a node of some hundred Pods tells a few MiB
	maxRefusal     = 200      // bytes of an answer that is an error, for the log
	// keptConnection outlives the minute between two readings: a new one costs more than the reading.
	keptConnection = 3 * time.Minute
)

// kubeletOptions say how a kubelet is asked.
type kubeletOptions struct {
	Base string // address, without a slash at its end
	// Account is the folder of the service account, with its token and ca.crt; "" identifies nobody.
	Account  string
	Insecure bool // the kubelet's certificate is not verified
}

// A kubelet is asked about a Pod. Its API knows no question about one Pod alone: an answer tells of the whole node,
// and is read without keeping what is about others.
type kubelet struct {
	kubeletOptions

	mu     sync.Mutex
	ca     []byte // that client was made with
	client *http.Client
}

func newKubelet(o kubeletOptions) *kubelet { return &kubelet{kubeletOptions: o} }

// stats returns what the containers of a Pod use, some without a part of it.
func (k *kubelet) stats(ctx context.Context, namespace, name string) ([]containerStats, error) {
	var found *podStats
	// What is left out otherwise are disks and networks, which the kubelet would have to look at.
	err := k.search(ctx, "/stats/summary?only_cpu_and_memory=true", "pods", func(decode func(any) error) (bool, error) {
		var p podStats
		err := decode(&p)
		if p.Ref.Namespace != namespace || p.Ref.Name != name {
			return false, nil
		}
		found = &p
		return true, err
	})
	if found == nil {
		if err == nil {
			err = k.unknown("/stats/summary", namespace, name)
		}
		return nil, err
	}
	return found.Containers, err
}

// pod returns what is known of a Pod; nil when it could not be found.
func (k *kubelet) pod(ctx context.Context, namespace, name string) (*pod, error) {
	var found *pod
	err := k.search(ctx, "/pods", "items", func(decode func(any) error) (bool, error) {
		var p pod
		err := decode(&p)
		if p.Metadata.Namespace != namespace || p.Metadata.Name != name {
			return false, nil
		}
		found = &p
		return true, err
	})
	if found == nil && err == nil {
		err = k.unknown("/pods", namespace, name)
	}
	return found, err
}

func (k *kubelet) unknown(path, namespace, name string) error {
	return fmt.Errorf("the kubelet at %s knows no Pod %s/%s (%s): are the namespace, the Pod's name and the node's address those of this Pod?", k.Base, namespace, name, path)
}

// search gets a document and calls visit for each element of the list that the key of its outermost
// object holds, until it says that it has found what it wants. decode decodes the element; its error is for visit to judge.
func (k *kubelet) search(ctx context.Context, path, key string, visit func(decode func(any) error) (found bool, err error)) error {
	return k.read(ctx, path, func(d *json.Decoder) (bool, error) { return searchList(d, key, visit) })
}

// read gets a document and has it decoded. found says that the rest of it does not matter.
func (k *kubelet) read(ctx context.Context, path string, decode func(*json.Decoder) (found bool, err error)) error {
	ctx, cancel := context.WithTimeout(ctx, kubeletTimeout)
	defer cancel()
	res, err := k.get(ctx, path)
	if err != nil {
		return fmt.Errorf("ask the kubelet: %w", err)
	}
	defer res.Body.Close()
	body := &io.LimitedReader{R: res.Body, N: maxKubeletBody}
	found, err := decode(json.NewDecoder(body))
	switch {
	case body.N == 0:
		return fmt.Errorf("ask the kubelet: the answer of %s is larger than %d bytes and is not read to its end", k.address(path), maxKubeletBody)
	case err == nil || found:
		_, _ = io.Copy(io.Discard, body) // so that the connection can be used again
	}
	switch typeErr, mistyped := errors.AsType[*json.UnmarshalTypeError](err); {
	case err == nil:
		return nil
	case mistyped: // the rest was read
		return fmt.Errorf("ask the kubelet: the answer of %s has %s for %s, which is left out", k.address(path), typeErr.Value, typeErr.Field)
	case ctx.Err() != nil:
		return fmt.Errorf("ask the kubelet: the answer of %s takes longer than %v: %w", k.address(path), kubeletTimeout, ctx.Err())
	case errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF):
		return fmt.Errorf("ask the kubelet: the answer of %s is cut short", k.address(path))
	}
	return fmt.Errorf("ask the kubelet: the answer of %s is not what a kubelet tells: %w", k.address(path), err)
}

// address returns where path is, as people look for it.
func (k *kubelet) address(path string) string {
	path, _, _ = strings.Cut(path, "?")
	return k.Base + path
}

// get asks once, and again when the token was refused and there is another one by now. Its status is 200.
func (k *kubelet) get(ctx context.Context, path string) (*http.Response, error) {
	for refusedToken := ""; ; {
		token, err := k.token()
		if err != nil {
			return nil, err
		}
		client, err := k.connect()
		if err != nil {
			return nil, err
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, k.Base+path, nil)
		if err != nil {
			return nil, err
		}
		req.Header.Set("Accept", "application/json")
		if token != "" {
			req.Header.Set("Authorization", "Bearer "+token)
		}
		res, err := client.Do(req)
		if err != nil {
			return nil, k.unreachable(err)
		}
		if res.StatusCode == http.StatusOK {
			return res, nil
		}
		said := refusal(res)
		if fresh, err := k.token(); res.StatusCode == http.StatusUnauthorized && refusedToken == "" && err == nil && fresh != token {
			refusedToken = token // which was replaced meanwhile
			continue
		}
		return nil, k.refused(path, res.StatusCode, said)
	}
}

// refusal returns the beginning of what an answer says that is no answer, and closes it.
func refusal(res *http.Response) string {
	defer res.Body.Close()
	b, _ := io.ReadAll(io.LimitReader(res.Body, 4<<10)) // as much as there is
	var status struct{ Message string }                 // of the API server
	text := string(b)
	if json.Unmarshal(b, &status) == nil && status.Message != "" {
		text = status.Message
	}
	text = strings.Join(strings.FieldsFunc(strings.ToValidUTF8(text, ""), func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }), " ")
	if len(text) > maxRefusal {
		text = strings.ToValidUTF8(text[:maxRefusal], "") + "…"
	}
	return text
}

// refused says what a status means and what to do about it.
func (k *kubelet) refused(path string, status int, said string) error {
	what := fmt.Sprintf("%s answers %d", k.address(path), status)
	if said != "" {
		what += fmt.Sprintf(" (%s)", said)
	}
	switch status {
	case http.StatusUnauthorized:
		if k.Account == "" {
			return errors.New(what + ": this port wants to know who asks: set MACKEREL_KUBERNETES_KUBELET_READ_ONLY_PORT to 0")
		}
		return errors.New(what + ": it does not take the token of the service account, which is read again each time")
	case http.StatusForbidden:
		return errors.New(what + ": bind the service account of this Pod to a ClusterRole that may get nodes/proxy and nodes/stats")
	}
	return errors.New(what)
}

// unreachable says why there is no answer.
func (k *kubelet) unreachable(err error) error {
	// The outer error of net/http repeats method and address.
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	var unknownCA x509.UnknownAuthorityError
	var name x509.HostnameError
	switch {
	case errors.As(err, &unknownCA), errors.As(err, &name):
		return fmt.Errorf("%s has a certificate that cannot be verified (kubelets often sign their own: then set MACKEREL_KUBERNETES_KUBELET_INSECURE_TLS=1): %w", k.Base, err)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s does not answer within %v: %w", k.Base, kubeletTimeout, err)
	case k.Account == "":
		return fmt.Errorf("%s does not answer (many clusters have the read-only port closed: then set MACKEREL_KUBERNETES_KUBELET_READ_ONLY_PORT to 0): %w", k.Base, err)
	}
	return fmt.Errorf("%s does not answer: %w", k.Base, err)
}

// token returns the service account's token, read anew: it expires within an hour, and its file is replaced before.
func (k *kubelet) token() (string, error) {
	if k.Account == "" {
		return "", nil
	}
	b, err := os.ReadFile(filepath.Join(k.Account, "token"))
	if err != nil {
		return "", fmt.Errorf("the service account's token cannot be read (automountServiceAccountToken must not be false): %w", err)
	}
	token := strings.TrimSpace(string(b))
	if token == "" || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", fmt.Errorf("%s does not hold a token", filepath.Join(k.Account, "token"))
	}
	return token, nil
}

// connect returns the client, a new one when the file of trusted authorities has changed.
func (k *kubelet) connect() (*http.Client, error) {
	var ca []byte
	if k.Account != "" && !k.Insecure {
		var err error
		if ca, err = os.ReadFile(filepath.Join(k.Account, "ca.crt")); err != nil {
			return nil, fmt.Errorf("the cluster's certificate authority cannot be read: %w", err)
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.client != nil && bytes.Equal(ca, k.ca) {
		return k.client, nil
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: k.Insecure}
	if ca != nil {
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(ca) {
			return nil, fmt.Errorf("%s does not hold a certificate", filepath.Join(k.Account, "ca.crt"))
		}
	}
	if k.client != nil {
		k.client.CloseIdleConnections()
	}
	// No proxy: the kubelet is on this node.
	k.ca, k.client = ca, &http.Client{
		Transport:     &http.Transport{TLSClientConfig: config, MaxIdleConnsPerHost: 1, IdleConnTimeout: keptConnection},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // nobody else gets the token
	}
	return k.client, nil
}

// searchList is search on the document that d reads.
func searchList(d *json.Decoder, key string, visit func(decode func(any) error) (bool, error)) (found bool, err error) {
	if err := expect(d, json.Delim('{')); err != nil {
		return false, err
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return false, err
		}
		if name != key {
			var skip ignored
			if err := d.Decode(&skip); err != nil {
				return false, err
			}
			continue
		}
		switch open, err := d.Token(); {
		case err != nil:
			return false, err
		case open == nil: // null: there are none
			continue
		case open != json.Delim('['):
			return false, fmt.Errorf("%q is no list", key)
		}
		for d.More() {
			var broken error // beyond this element
			found, err := visit(func(v any) error {
				err := d.Decode(v)
				if _, mistyped := errors.AsType[*json.UnmarshalTypeError](err); err != nil && !mistyped {
					broken = err
				}
				return err
			})
			if found || broken != nil {
				return found, errors.Join(err, broken)
			}
		}
		if err := expect(d, json.Delim(']')); err != nil {
			return false, err
		}
	}
	return false, expect(d, json.Delim('}'))
}

func expect(d *json.Decoder, want json.Delim) error {
	got, err := d.Token()
	if err == nil && got != want {
		return fmt.Errorf("there is %v where %q should be", got, want.String())
	}
	return err
}

// An ignored takes any JSON value and keeps none of it.
type ignored struct{}

// UnmarshalJSON returns nil.
func (ignored) UnmarshalJSON([]byte) error { return nil }

// A podStats is an entry of /stats/summary. Every part of it may be missing.
type podStats struct {
	Ref struct {
		Name      string `json:"name"`
		Namespace string `json:"namespace"`
	} `json:"podRef"`
	Containers []containerStats `json:"containers"`
}

type containerStats struct {
	Name      string `json:"name"`
	StartTime string `json:"startTime"`
	CPU       *struct {
		Time  instant `json:"time"`
		Total *uint64 `json:"usageCoreNanoSeconds"`
		PSI   *psi    `json:"psi"`
	} `json:"cpu"`
	Memory *struct {
		WorkingSet *uint64 `json:"workingSetBytes"`
		RSS        *uint64 `json:"rssBytes"`
		PSI        *psi    `json:"psi"`
	} `json:"memory"`
	IO *struct {
		PSI *psi `json:"psi"`
	} `json:"io"`
}

// An instant is a time, the zero one where there is something else.
type instant struct{ time.Time }

// UnmarshalJSON takes a time of RFC 3339. What else there is costs the instant alone.
func (i *instant) UnmarshalJSON(b []byte) error {
	if i.Time.UnmarshalJSON(b) != nil {
		i.Time = time.Time{}
	}
	return nil
}

// A psi is pressure, of kernels and kubelets that tell it.
type psi struct {
	Some struct {
		Avg60 *float64 `json:"avg60"` // percent
	} `json:"some"`
}

// container returns what is told of what a container uses.
func (s containerStats) container() Container {
	c := Container{Name: s.Name, Life: s.StartTime, Pressure: map[string]float64{}}
	pressure := func(what string, p *psi) {
		if p != nil && p.Some.Avg60 != nil {
			c.Pressure[what] = *p.Some.Avg60
		}
	}
	if s.CPU != nil {
		c.At, c.CPU = s.CPU.Time.Time, s.CPU.Total
		pressure("cpu", s.CPU.PSI)
	}
	if s.Memory != nil {
		c.Memory, c.MemoryRSS = s.Memory.WorkingSet, s.Memory.RSS
		pressure("memory", s.Memory.PSI)
	}
	if s.IO != nil {
		pressure("io", s.IO.PSI)
	}
	return c
}

// A pod is an item of /pods. Every part of it may be missing.
type pod struct {
	Metadata struct {
		Name            string            `json:"name"`
		Namespace       string            `json:"namespace"`
		UID             string            `json:"uid"`
		ResourceVersion string            `json:"resourceVersion"`
		Labels          map[string]string `json:"labels"`
		Annotations     map[string]string `json:"annotations"`
		Owners          []podOwner        `json:"ownerReferences"`
	} `json:"metadata"`
	Spec struct {
		NodeName       string         `json:"nodeName"`
		HostNetwork    bool           `json:"hostNetwork"`
		Containers     []podContainer `json:"containers"`
		InitContainers []podContainer `json:"initContainers"`
	} `json:"spec"`
	Status struct {
		Phase          string               `json:"phase"`
		HostIP         string               `json:"hostIP"`
		PodIP          string               `json:"podIP"`
		StartTime      string               `json:"startTime"`
		Conditions     []podCondition       `json:"conditions"`
		Containers     []podContainerStatus `json:"containerStatuses"`
		InitContainers []podContainerStatus `json:"initContainerStatuses"`
	} `json:"status"`
}

type podOwner struct {
	Kind string `json:"kind"`
	Name string `json:"name"`
	UID  string `json:"uid"`
}

type podCondition struct {
	Type   string `json:"type"`
	Status string `json:"status"`
}

type podContainer struct {
	Name          string       `json:"name"`
	Image         string       `json:"image"`
	Command       []string     `json:"command"`
	Args          []string     `json:"args"`
	Resources     podResources `json:"resources"`
	Ports         []podPort    `json:"ports"`
	RestartPolicy string       `json:"restartPolicy"` // of an init container: "Always" makes it a sidecar
}

type podPort struct {
	ContainerPort int32  `json:"containerPort"`
	HostPort      int32  `json:"hostPort"`
	Name          string `json:"name"`
	Protocol      string `json:"protocol"`
	HostIP        string `json:"hostIP"`
}

type podContainerStatus struct {
	Name         string  `json:"name"`
	ContainerID  string  `json:"containerID"`
	RestartCount *uint64 `json:"restartCount"`
}

type podResources struct {
	Limits map[string]quantity `json:"limits"`
}

// limit returns a limit in its unit, processors or bytes; nil when there is none that can be read.
func (r podResources) limit(of string) *float64 {
	q, set := r.Limits[of]
	v, ok := q.value()
	if !set || !ok || v <= 0 {
		return nil
	}
	if of == "memory" {
		v = math.Ceil(v) // whole bytes
	}
	return &v
}

// containers returns the containers that run as long as the Pod does.
func (p *pod) containers() []podContainer {
	all := append([]podContainer(nil), p.Spec.Containers...)
	for _, c := range p.Spec.InitContainers {
		if c.RestartPolicy == "Always" {
			all = append(all, c)
		}
	}
	return all
}

// status returns what is told of the container's life; nil when nothing is.
func (p *pod) status(name string) *podContainerStatus {
	for _, list := range [][]podContainerStatus{p.Status.Containers, p.Status.InitContainers} {
		for i := range list {
			if list[i].Name == name {
				return &list[i]
			}
		}
	}
	return nil
}

func (p *pod) restarts(name string) *uint64 {
	if s := p.status(name); s != nil {
		return s.RestartCount
	}
	return nil
}

// A quantity is an amount as Kubernetes writes it: "250m", "0.5Gi", "1e3". A number without quotes is one too.
type quantity string

// UnmarshalJSON takes a string or a number. What else there is becomes a quantity without a value.
func (q *quantity) UnmarshalJSON(b []byte) error {
	var s string
	if json.Unmarshal(b, &s) != nil {
		s = string(b)
	}
	*q = quantity(s)
	return nil
}

// quantityUnits are the suffixes of a quantity, and what they stand for.
var quantityUnits = map[string]float64{
	"n": 1e-9, "u": 1e-6, "m": 1e-3, "": 1, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18,
	"Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "Ti": 1 << 40, "Pi": 1 << 50, "Ei": 1 << 60,
}

// value returns the amount in whole units; false when q is none.
func (q quantity) value() (float64, bool) {
	if v, ok := decimal(string(q)); ok { // "1e3", and all without a suffix
		return v, true
	}
	digits := strings.TrimRightFunc(string(q), unicode.IsLetter)
	unit, known := quantityUnits[string(q[len(digits):])]
	v, ok := decimal(digits)
	return v * unit, known && ok
}

// decimal reads a decimal number, finite and without the forms that only Go knows.
func decimal(s string) (float64, bool) {
	if strings.TrimLeft(s, "+-.0123456789eE") != "" {
		return 0, false
	}
	v, err := strconv.ParseFloat(s, 64)
	return v, err == nil && !math.IsInf(v, 0)
}

// A podFacts is what the server is told of a Pod, in the form that the protocol's other container agent has.
type podFacts struct {
	Namespace       string            `json:"namespace,omitempty"`
	Name            string            `json:"name"`
	UID             string            `json:"uid,omitempty"`
	ResourceVersion string            `json:"resourceVersion,omitempty"`
	Labels          map[string]string `json:"labels,omitempty"`
	OwnerReferences []podOwner        `json:"ownerReferences,omitempty"`
	HostNetwork     bool              `json:"hostNetwork,omitempty"`
	NodeName        string            `json:"nodeName,omitempty"`
	Containers      []containerFacts  `json:"containers,omitempty"`
	Phase           string            `json:"phase,omitempty"`
	HostIP          string            `json:"hostIP,omitempty"`
	PodIP           string            `json:"podIP,omitempty"`
	Conditions      []podCondition    `json:"conditions,omitempty"`
	StartTime       string            `json:"startTime,omitempty"`
}

type containerFacts struct {
	Name        string        `json:"name"`
	Image       string        `json:"image,omitempty"`
	Command     []string      `json:"command,omitempty"`
	Args        []string      `json:"args,omitempty"`
	Resources   resourceFacts `json:"resources"`
	Ports       []portFacts   `json:"ports,omitempty"`
	ContainerID string        `json:"containerID,omitempty"`
}

type resourceFacts struct {
	Limits map[string]quantity `json:"limits,omitempty"`
}

type portFacts struct {
	ContainerPort int32  `json:"containerport"`
	HostPort      int32  `json:"hostport"`
	Name          string `json:"name"`
	Protocol      string `json:"protocol"`
	HostIP        string `json:"hostip,omitempty"`
}

// describe returns what the server is told of p, without the containers that are left out.
func (k *kubernetes) describe(p *pod) podFacts {
	f := podFacts{
		Namespace: p.Metadata.Namespace, Name: p.Metadata.Name, UID: p.Metadata.UID, ResourceVersion: p.Metadata.ResourceVersion,
		Labels: p.Metadata.Labels, OwnerReferences: p.Metadata.Owners, HostNetwork: p.Spec.HostNetwork, NodeName: p.Spec.NodeName,
		Phase: p.Status.Phase, HostIP: p.Status.HostIP, PodIP: p.Status.PodIP, Conditions: p.Status.Conditions, StartTime: p.Status.StartTime,
	}
	for _, c := range p.containers() {
		if k.ignore != nil && k.ignore.MatchString(c.Name) {
			continue
		}
		d := containerFacts{Name: c.Name, Image: c.Image, Command: c.Command, Args: c.Args, Resources: resourceFacts(c.Resources)}
		for _, port := range c.Ports {
			d.Ports = append(d.Ports, portFacts(port))
		}
		if s := p.status(c.Name); s != nil {
			d.ContainerID = s.ContainerID
		}
		f.Containers = append(f.Containers, d)
	}
	return f
}

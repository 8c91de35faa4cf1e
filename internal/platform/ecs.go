package platform

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/collect"
)

// The bounds of a request to the agent of ECS.
const (
	ecsTimeout = 3 * time.Second
	maxECSBody = 8 << 20 // bytes: a task has ten containers
	// taskAge is how old what is known of the task may be when its containers are read. A container that is not in it is seen otherwise.
	taskAge = 10 * time.Minute
)

// An ecs is the task that this agent is a sidecar of, as the task metadata endpoint tells of it, version 4 or else 3
// (Amazon ECS developer guide, "Amazon ECS task metadata endpoint").
type ecs struct {
	base     string // address, without a slash at its end
	provider string
	ignore   *regexp.Regexp
	client   *http.Client
	now      func() time.Time

	mu     sync.Mutex
	task   *ecsTask // as it was last told; nil before
	taskAt time.Time
}

// ecsProviders are what the cloud is called, by AWS_EXECUTION_ENV.
var ecsProviders = map[string]string{
	"AWS_ECS_FARGATE": "fargate", "AWS_ECS_EC2": "ecs", "AWS_ECS_MANAGED_INSTANCES": "ecs-managed", "": "ecs-anywhere",
}

func newECS(o Options) (Platform, error) {
	var wrong []error
	base := cmp.Or(o.Getenv("ECS_CONTAINER_METADATA_URI_V4"), o.Getenv("ECS_CONTAINER_METADATA_URI"))
	if u, err := url.Parse(base); base == "" {
		wrong = append(wrong, saba.Errorf(saba.ErrInvalid, "neither ECS_CONTAINER_METADATA_URI_V4 nor ECS_CONTAINER_METADATA_URI is set, which ECS sets in every container: is this a task?"))
	} else if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		wrong = append(wrong, saba.Errorf(saba.ErrInvalid, "the address of the task metadata (ECS_CONTAINER_METADATA_URI_V4 or ECS_CONTAINER_METADATA_URI) must be a URL, not %q", base))
	}
	where := o.Getenv("AWS_EXECUTION_ENV")
	provider, ok := ecsProviders[where]
	if !ok {
		known := slices.Sorted(maps.Keys(ecsProviders))
		wrong = append(wrong, saba.Errorf(saba.ErrInvalid, "AWS_EXECUTION_ENV is %q, which is no place of ECS: it is one of %s, or empty outside of AWS", where, strings.Join(known[1:], ", ")))
	}
	if len(wrong) > 0 {
		return nil, errors.Join(wrong...)
	}
	return &ecs{
		base: strings.TrimRight(base, "/"), provider: provider, ignore: o.Ignore, now: time.Now,
		// No proxy: the endpoint is on this machine.
		client: &http.Client{Timeout: ecsTimeout, Transport: &http.Transport{MaxIdleConnsPerHost: 1, IdleConnTimeout: keptConnection}},
	}, nil
}

// get reads the answer of a path into v. What of it has another type than it should is left out, and named in the error; the rest is read.
func (e *ecs) get(ctx context.Context, path string, v any) (read bool, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, e.base+path, nil)
	if err != nil {
		return false, err
	}
	res, err := e.client.Do(req)
	if err != nil {
		if u, ok := errors.AsType[*url.Error](err); ok { // it repeats method and address
			err = u.Err
		}
		return false, fmt.Errorf("ask for the task: %s%s does not answer: %w", e.base, path, err)
	}
	if res.StatusCode != http.StatusOK {
		return false, fmt.Errorf("ask for the task: %s%s answers %d (%s)", e.base, path, res.StatusCode, refusal(res))
	}
	defer res.Body.Close()
	b, err := io.ReadAll(io.LimitReader(res.Body, maxECSBody+1))
	switch {
	case err != nil:
		return false, fmt.Errorf("ask for the task: the answer of %s%s is cut short: %w", e.base, path, err)
	case len(b) > maxECSBody:
		return false, fmt.Errorf("ask for the task: the answer of %s%s is larger than %d bytes", e.base, path, maxECSBody)
	}
	err = json.Unmarshal(b, v)
	if mistyped, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return true, fmt.Errorf("ask for the task: the answer of %s%s has %s for %s, which is left out", e.base, path, mistyped.Value, mistyped.Field)
	}
	if err != nil {
		return false, fmt.Errorf("ask for the task: the answer of %s%s is not what ECS tells: %w", e.base, path, err)
	}
	return true, nil
}

// look asks for the task, and returns what was known before when that fails; nil when nothing was.
func (e *ecs) look(ctx context.Context) (*ecsTask, error) {
	var fresh ecsTask
	read, err := e.get(ctx, "/task", &fresh)
	e.mu.Lock()
	defer e.mu.Unlock()
	if read {
		fresh.known = map[string]bool{}
		fresh.Containers = slices.DeleteFunc(fresh.Containers, func(c ecsContainer) bool {
			fresh.known[c.ID] = true
			return e.ignore != nil && e.ignore.MatchString(c.Name)
		})
		e.task, e.taskAt = &fresh, e.now()
	}
	return e.task, err
}

// Facts describes the task: its name is its id, and its custom identifier "<id>.ecs", so that a sidecar that is started anew in it finds its host again.
func (e *ecs) Facts(ctx context.Context) (collect.Facts, error) {
	t, err := e.look(ctx)
	if t == nil {
		return collect.Facts{}, err
	}
	id, ok := t.id()
	if !ok {
		return collect.Facts{}, errors.Join(err, fmt.Errorf("the task has the ARN %.200q, which names no task", t.ARN))
	}
	f := collect.Facts{Name: id, CustomIdentifier: id + ".ecs"}
	f.Meta.Cloud = &collect.Cloud{Provider: e.provider, Metadata: t.describe()}
	return f, err
}

// Running returns nil when the known status of the task is RUNNING.
func (e *ecs) Running(ctx context.Context) error {
	t, err := e.look(ctx)
	if err != nil {
		return err
	}
	if t.KnownStatus != "RUNNING" {
		return fmt.Errorf("the task is %s, not RUNNING", cmp.Or(t.KnownStatus, "in no state"))
	}
	return nil
}

// OwnNetwork returns true where the containers share a network: in the modes host and awsvpc, but not bridge.
func (e *ecs) OwnNetwork() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch e.task.networkMode() {
	case "host", "awsvpc":
		return true
	}
	return false
}

// Read reads what the containers of the task use.
func (e *ecs) Read(ctx context.Context) (Reading, error) {
	stats := map[string]*ecsStats{}
	_, err := e.get(ctx, "/task/stats", &stats)
	e.mu.Lock()
	t, due := e.task, e.task == nil || e.now().Sub(e.taskAt) > taskAge
	e.mu.Unlock()
	for id := range stats {
		due = due || !t.known[id] // t is there, or it is due already
	}
	if due {
		var taskErr error
		t, taskErr = e.look(ctx)
		err = errors.Join(err, taskErr)
	}
	if t == nil {
		return Reading{}, err
	}
	bridge := false
	switch t.networkMode() {
	case "bridge", "default":
		bridge = true
	}
	var r Reading
	for _, c := range t.Containers {
		if c.Name == "" || slices.ContainsFunc(r.Containers, func(k Container) bool { return k.Name == c.Name }) {
			continue
		}
		k := stats[c.ID].container(bridge)
		k.Name, k.Life, k.Restarts = c.Name, c.ID+" "+c.StartedAt, c.RestartCount
		if t.Limits.CPU > 0 { // of the task: shares of a container are no limit
			k.CPULimit = &t.Limits.CPU
		}
		if mib := cmp.Or(c.Limits.Memory, t.Limits.Memory); mib > 0 {
			k.MemoryLimit = new(mib * (1 << 20))
		}
		r.Containers = append(r.Containers, k)
	}
	return r, err
}

// An ecsTask is the answer of /task. Every part of it may be missing.
type ecsTask struct {
	Cluster, Family, Revision    string
	ARN                          string `json:"TaskARN"`
	DesiredStatus, KnownStatus   string
	Containers                   []ecsContainer
	PullStartedAt, PullStoppedAt string // RFC 3339, as all times
	ExecutionStoppedAt           string
	Limits                       ecsLimits

	known map[string]bool // ids of its containers, those that are left out too
}

// ecsLimits are processors and MiB; 0 is none.
type ecsLimits struct{ CPU, Memory float64 }

type ecsContainer struct {
	ID                         string `json:"DockerId"`
	Name, DockerName           string
	Image, ImageID             string
	Ports                      []ecsPort
	Labels                     map[string]string
	DesiredStatus, KnownStatus string
	ExitCode                   *int
	Limits                     ecsLimits // CPU are shares
	CreatedAt, StartedAt       string
	FinishedAt, Type           string
	Networks                   []ecsNetwork
	Health                     *ecsHealth
	RestartCount               *uint64
}

type ecsPort struct {
	ContainerPort, HostPort uint32
	Protocol                string
}

type ecsNetwork struct {
	NetworkMode   string
	IPv4Addresses []string
	IPv6Addresses []string
}

type ecsHealth struct {
	Status      string          `json:"status"`
	StatusSince string          `json:"statusSince"`
	ExitCode    *int            `json:"exitCode"`
	Output      json.RawMessage `json:"output"`
}

// id returns the id in the ARN of the task: the last segment of arn:aws:ecs:REGION:ACCOUNT:task/CLUSTER/ID, or of task/ID of old.
func (t *ecsTask) id() (string, bool) {
	parts := strings.SplitN(t.ARN, ":", 6)
	if len(parts) != 6 || parts[0] != "arn" {
		return "", false
	}
	kind, _, _ := strings.Cut(parts[5], "/")
	id := parts[5][strings.LastIndexByte(parts[5], '/')+1:]
	return id, kind == "task" && id != "" && id != parts[5]
}

// networkMode returns that of the first container; "" when it is not known.
func (t *ecsTask) networkMode() string {
	if t == nil || len(t.Containers) == 0 || len(t.Containers[0].Networks) == 0 {
		return ""
	}
	return t.Containers[0].Networks[0].NetworkMode
}

// An ecsStats is a value of the answer of /task/stats: what Docker tells of a container, null before it was looked at.
type ecsStats struct {
	Read time.Time `json:"read"`
	CPU  struct {
		Usage struct {
			Total *uint64 `json:"total_usage"` // ns
		} `json:"cpu_usage"`
		Throttling struct {
			Periods   *uint64 `json:"periods"`
			Throttled *uint64 `json:"throttled_periods"`
		} `json:"throttling_data"`
	} `json:"cpu_stats"`
	Memory struct {
		Usage *uint64           `json:"usage"` // bytes, with the file cache
		Stats map[string]uint64 `json:"stats"` // memory.stat of the cgroup
	} `json:"memory_stats"`
	Networks map[string]struct {
		RX *uint64 `json:"rx_bytes"`
		TX *uint64 `json:"tx_bytes"`
	} `json:"networks"`
}

// container returns what s tells; networks are told where every container has its own.
func (s *ecsStats) container(networks bool) (k Container) {
	if s == nil {
		return k
	}
	k.At, k.CPU = s.Read, s.CPU.Usage.Total
	k.Periods, k.Throttled = s.CPU.Throttling.Periods, s.CPU.Throttling.Throttled
	if used := s.Memory.Usage; used != nil {
		// Without the file cache that can be dropped at once, as the Docker command line has it: cgroup v1 has
		// total_inactive_file, v2 inactive_file.
		cache, ok := s.Memory.Stats["total_inactive_file"]
		if !ok {
			cache = s.Memory.Stats["inactive_file"]
		}
		if cache > *used {
			cache = 0
		}
		k.Memory = new(*used - cache)
	}
	for _, name := range []string{"total_rss", "rss", "anon"} {
		if v, ok := s.Memory.Stats[name]; ok {
			k.MemoryRSS = &v
			break
		}
	}
	if networks {
		for name, n := range s.Networks {
			if n.RX == nil || n.TX == nil {
				continue
			}
			if k.Networks == nil {
				k.Networks = map[string]Traffic{}
			}
			k.Networks[name] = Traffic{*n.RX, *n.TX}
		}
	}
	return k
}

// The cloud's metadata of a task, as agents of the protocol send it: what is empty is left out, but for the limits.
type (
	taskMeta struct {
		Cluster            string          `json:"cluster,omitzero"`
		Task               string          `json:"task,omitzero"`
		ARN                string          `json:"task_arn,omitzero"`
		Family             string          `json:"task_family,omitzero"`
		Version            string          `json:"task_version,omitzero"`
		DesiredStatus      string          `json:"desired_status,omitzero"`
		KnownStatus        string          `json:"known_status,omitzero"`
		Containers         []taskContainer `json:"containers,omitempty"`
		PullStartedAt      string          `json:"pull_started_at,omitzero"`
		PullStoppedAt      string          `json:"pull_stopped_at,omitzero"`
		ExecutionStoppedAt string          `json:"execution_stopped_at,omitzero"`
		Limits             taskLimits      `json:"limits"`
	}
	taskLimits struct {
		CPU    float64 `json:"cpu,omitzero"`
		Memory float64 `json:"memory,omitzero"`
	}
	taskContainer struct {
		ID            string            `json:"docker_id,omitzero"`
		DockerName    string            `json:"docker_name,omitzero"`
		Name          string            `json:"name,omitzero"`
		Image         string            `json:"image,omitzero"`
		ImageID       string            `json:"image_id,omitzero"`
		Ports         []taskPort        `json:"ports,omitempty"`
		Labels        map[string]string `json:"labels,omitempty"`
		DesiredStatus string            `json:"desired_status,omitzero"`
		KnownStatus   string            `json:"known_status,omitzero"`
		ExitCode      *int              `json:"exit_code,omitempty"`
		Limits        taskLimits        `json:"limits"`
		CreatedAt     string            `json:"created_at,omitzero"`
		StartedAt     string            `json:"started_at,omitzero"`
		FinishedAt    string            `json:"finished_at,omitzero"`
		Type          string            `json:"type,omitzero"`
		Networks      []taskNetwork     `json:"networks,omitempty"`
		Health        *taskHealth       `json:"health,omitempty"`
	}
	taskPort struct {
		ContainerPort uint32 `json:"container_port,omitzero"`
		Protocol      string `json:"protocol,omitzero"`
		HostPort      uint32 `json:"host_port,omitzero"`
	}
	taskNetwork struct {
		Mode string   `json:"network_mode,omitzero"`
		IPv4 []string `json:"ipv4_addresses,omitempty"`
		IPv6 []string `json:"ipv6_addresses,omitempty"`
	}
	taskHealth struct {
		Status   int    `json:"status,omitzero"` // 1 healthy, 2 unhealthy
		Since    string `json:"status_since,omitzero"`
		ExitCode *int   `json:"exit_code,omitempty"`
		Output   string `json:"output,omitzero"`
	}
)

// describe returns the cloud's metadata.
func (t *ecsTask) describe() taskMeta {
	id, _ := t.id()
	m := taskMeta{
		Cluster: t.Cluster, Task: id, ARN: t.ARN, Family: t.Family, Version: t.Revision, DesiredStatus: t.DesiredStatus, KnownStatus: t.KnownStatus,
		PullStartedAt: t.PullStartedAt, PullStoppedAt: t.PullStoppedAt, ExecutionStoppedAt: t.ExecutionStoppedAt, Limits: taskLimits(t.Limits),
	}
	for _, c := range t.Containers {
		k := taskContainer{
			ID: c.ID, DockerName: c.DockerName, Name: c.Name, Image: c.Image, ImageID: c.ImageID, Labels: c.Labels, DesiredStatus: c.DesiredStatus,
			KnownStatus: c.KnownStatus, ExitCode: c.ExitCode, Limits: taskLimits(c.Limits), CreatedAt: c.CreatedAt, StartedAt: c.StartedAt, FinishedAt: c.FinishedAt, Type: c.Type,
		}
		for _, p := range c.Ports {
			k.Ports = append(k.Ports, taskPort{p.ContainerPort, p.Protocol, p.HostPort})
		}
		for _, n := range c.Networks {
			k.Networks = append(k.Networks, taskNetwork{n.NetworkMode, n.IPv4Addresses, n.IPv6Addresses})
		}
		if h := c.Health; h != nil {
			k.Health = &taskHealth{map[string]int{"HEALTHY": 1, "UNHEALTHY": 2}[h.Status], h.StatusSince, h.ExitCode, text(h.Output)}
		}
		m.Containers = append(m.Containers, k)
	}
	return m
}

// text returns a JSON string's text; "" of anything else.
func text(b json.RawMessage) (s string) {
	if json.Unmarshal(b, &s) != nil {
		return ""
	}
	return s
}

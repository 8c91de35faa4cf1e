// Package platform is where a container's agent wakes up: what runs the container (Kubernetes,
// say) tells which host the agent is, and what the containers beside it use.
//
// The agent is a sidecar: the Pod, or the task, that it is in is one host, and its containers
// are what that host consists of. Of a whole node (kubernetes_node.go) it is the only agent, and the node is the host. A Platform only asks and names; what becomes of the numbers is
// decided here, once for all platforms: containers.go makes metrics of a Reading, network.go reads the
// interfaces that the containers share. internal/agent takes both as its Sources, and nothing else
// of that agent is different from a host's.
//
// A platform is one file and one line in All. This package never posts, schedules or logs. Begin with Platform.
package platform

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/collect"
)

// A Platform is what runs the containers beside this agent. Its methods may be called from several
// goroutines, and return soon after ctx has ended.
type Platform interface {
	// Facts describes the host that the containers are: its name, its custom identifier where it has one that
	// outlives this process, and what the platform tells of it as its cloud. What it shares with
	// every container (processors, interfaces) is added by Facts of this package. A part that cannot
	// be read costs only itself; what was known before is told again, with the error.
	Facts(ctx context.Context) (collect.Facts, error)
	// Running returns nil when the platform says that the containers run, and else an error that says what it says.
	Running(ctx context.Context) error
	// Read reads once what the containers use. Containers and an error may come together.
	Read(ctx context.Context) (Reading, error)
	// OwnNetwork says whether the interfaces of this process are those of all containers. It is
	// false while that is not known.
	OwnNetwork() bool
}

// A Reading is what a platform tells of its containers at one time.
type Reading struct {
	Containers []Container
	Machine    Machine // that the platform tells of besides: the zero value where it tells of containers alone
}

// A Machine is what a platform tells of the machine itself that is no container's.
type Machine struct {
	At       time.Time // when the platform read Networks, by its own clock; the zero time is the moment of the Reading
	Networks map[string]Traffic
	Disks    map[string]Disk
}

// A Disk is a file system, in bytes.
type Disk struct{ Size, Used uint64 }

// A Container is one container in a Reading. Totals count since some start; a nil or a missing
// entry is one that the platform did not tell, which costs only what is made of it.
type Container struct {
	Name string // as the platform has it, unique in the Reading
	// Group is the name that it is told under, together with the others of that Group: what they use is added up. "" is Name.
	Group string
	// Life tells one start of the container from the next, whose counters begin anew; "" when the platform does not.
	Life string
	// At is when the platform read CPU, by its own clock: it may do so less often than it is asked. The zero
	// time is the moment of the Reading.
	At time.Time

	CPU         *uint64  // processor time used, total, in ns
	CPULimit    *float64 // processors, a fraction perhaps; nil is as many as the machine has
	Memory      *uint64  // bytes that count against the limit: without the file cache that can be dropped at once
	MemoryLimit *float64 // bytes; nil is as many as the machine has
	// Unlisted says that the platform does not have the container in its plan: it has no limits then.
	Unlisted bool

	Networks map[string]Traffic // by interface, where a container has its own network

	// Beyond what agents of the protocol send; see Extras.
	MemoryRSS *uint64            // bytes of memory that no file is behind
	Periods   *uint64            // in which the scheduler let the container run within its limit, total
	Throttled *uint64            // those of Periods in which it had to stand still, total
	Restarts  *uint64            // since the Pod or task was made, total
	Pressure  map[string]float64 // percent of the last minute in which something waited, by "cpu", "memory", "io"
}

// A Traffic is what an interface moved since it was made, in bytes.
type Traffic struct{ RX, TX uint64 }

// Options say how a platform is asked. All fields without a stated default are required.
type Options struct {
	// Setting reads a setting by its name in the environment without its first word: "KUBERNETES_POD_NAME"
	// is SABA_KUBERNETES_POD_NAME or else MACKEREL_KUBERNETES_POD_NAME; Setting makes it.
	Setting func(name string) string
	// Getenv reads a variable of the environment by its whole name.
	Getenv func(name string) string
	Ignore *regexp.Regexp // containers to leave out, by their names; nil leaves out none
}

// A Kind is a platform by name, and how to make one.
type Kind struct {
	Name string // as CONTAINER_PLATFORM has it
	// New asks nobody. An error is about the settings: it matches saba.ErrInvalid and names every
	// variable that is missing or wrong.
	New func(o Options) (Platform, error)
	// Stays says that the host outlives its agent: it is not retired when the agent ends.
	Stays bool
}

// All is every platform, one line each.
var All = []Kind{
	{"none", newNone, false},
	{"cgroup", newCgroups, false},
	{"kubernetes", newKubernetes, false},
	{"eks_fargate", newEKSFargate, false},
	{"kubernetes_node", newKubernetesNode, true},
	{"ecs", newECS, false},
	{"fargate", newECS, false},
	{"ecs_anywhere", newECS, false},
	{"ecs_awsvpc", newECS, false}, // as it was called once
	{"ecs_v3", newECS, false},     // likewise
}

// New returns the platform of that name. The error matches saba.ErrInvalid.
func New(name string, o Options) (Platform, error) {
	var names []string
	for _, k := range All {
		if k.Name == name {
			return k.New(o)
		}
		names = append(names, k.Name)
	}
	known := "it is one of " + strings.Join(names, ", ")
	if name == "" {
		return nil, saba.Errorf(saba.ErrInvalid, "MACKEREL_CONTAINER_PLATFORM (or SABA_CONTAINER_PLATFORM) is not set: %s", known)
	}
	nearest := slices.MinFunc(names, func(a, b string) int {
		return cmp.Compare(saba.Distance(strings.ToLower(name), a), saba.Distance(strings.ToLower(name), b))
	})
	if saba.Distance(strings.ToLower(name), nearest) < 3 {
		return nil, saba.Errorf(saba.ErrInvalid, "MACKEREL_CONTAINER_PLATFORM is %q: did you mean %q? %s", name, nearest, known)
	}
	return nil, saba.Errorf(saba.ErrInvalid, "MACKEREL_CONTAINER_PLATFORM is %q: %s", name, known)
}

// Stays says whether the hosts of the platform of that name outlive their agents.
func Stays(name string) bool {
	return slices.ContainsFunc(All, func(k Kind) bool { return k.Name == name && k.Stays })
}

// Setting returns how settings are read from the environment: by their own prefix first, then by the one that
// the protocol's other container agent has. A variable that is empty says nothing.
func Setting(getenv func(string) string) func(name string) string {
	return func(name string) string { return cmp.Or(getenv("SABA_"+name), getenv("MACKEREL_"+name)) }
}

// Facts describes the host that p is, with what every container shares with its machine.
func Facts(ctx context.Context, p Platform) (collect.Facts, error) {
	f, err := p.Facts(ctx)
	var errs []error
	if err != nil {
		errs = append(errs, err)
	}
	if f.Interfaces, err = collect.Interfaces(); err != nil {
		errs = append(errs, fmt.Errorf("interfaces: %w", err))
	}
	if _, plain := p.(none); !plain {
		if f.Meta.CPU, err = collect.CPUFacts(); err != nil {
			errs = append(errs, fmt.Errorf("cpu: %w", err))
		}
	}
	return f, errors.Join(errs...)
}

package collect

import (
	"context"

	"github.com/saba-monitor/saba"
)

// Facts describe a host, as its agent registers it.
type Facts struct {
	Name       string // host name
	Meta       Meta
	Interfaces []saba.Interface // those with an address, in the order of the kernel
	// CustomIdentifier names the instance across reinstallation, where a cloud runs the host:
	// "i-0123….ec2.amazonaws.com"; "" elsewhere.
	CustomIdentifier string
	// CloudUnknown says that a cloud seems to run the host but did not tell about it now: an
	// identifier known from before still holds.
	CloudUnknown bool
}

// Meta is the part of the facts that servers keep as it is. Strings are strings on the wire,
// numbers too, but for the sizes of file systems: clients decode kernel and memory into
// maps of strings. An agent adds its own name and version.
type Meta struct {
	BlockDevice map[string]map[string]string `json:"block_device,omitempty"` // by kernel name
	CPU         []map[string]string          `json:"cpu,omitempty"`          // one a logical processor
	Filesystem  map[string]FilesystemFacts   `json:"filesystem,omitempty"`   // by source
	Kernel      map[string]string            `json:"kernel,omitempty"`
	Memory      map[string]string            `json:"memory,omitempty"` // "4039448kB"
	Cloud       *Cloud                       `json:"cloud,omitempty"`
}

// FilesystemFacts are one row of df.
type FilesystemFacts struct {
	KBSize      uint64 `json:"kb_size"` // KiB, blocks kept for root included
	KBUsed      uint64 `json:"kb_used"`
	KBAvailable uint64 `json:"kb_available"`
	PercentUsed string `json:"percent_used"` // "31%", rounded up
	Mount       string `json:"mount"`
}

// A Cloud says which cloud runs the host, and what it tells about the instance.
type Cloud struct {
	Provider string            `json:"provider"` // "ec2", "gce", "AzureVM"
	Metadata map[string]string `json:"metadata"`
}

// Facts describes the host. A part that cannot be read costs only itself: the error names
// each. Without a Name the facts describe nobody, and the caller should try again later.
func (s *Set) Facts(ctx context.Context) (Facts, error) {
	return Facts{}, nil
}

type uname struct{ name, release, version, machine, os string }

// The values of Options.CloudPlatform.
const (
	CloudAuto  = "auto" // find out
	CloudNone  = "none"
	CloudEC2   = "ec2"
	CloudGCE   = "gce"
	CloudAzure = "azurevm"
)

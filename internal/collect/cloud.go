package collect

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"time"
)

// The values of Options.CloudPlatform.
const (
	CloudAuto  = "auto" // find out
	CloudNone  = "none"
	CloudEC2   = "ec2"
	CloudGCE   = "gce"
	CloudAzure = "azurevm"
)

// cloudTimeout bounds one request to a metadata service, which is one hop away.
const cloudTimeout = 3 * time.Second

// maxMetadata bounds an answer of a metadata service. Google sends all at once, start-up scripts included.
const maxMetadata = 2 << 20 // bytes

// A cloudFinder asks the metadata service of the cloud that runs this host.
type cloudFinder struct {
	platform string // as Options.CloudPlatform
	sys      fs.FS
	http     *http.Client
	local    string // base URL of EC2's and Azure's service
	google   string // base URL of Google's
	pause    time.Duration
}

func newCloudFinder(o Options) *cloudFinder {
	client := o.HTTP
	if client == nil {
		client = &http.Client{
			// Never a proxy: it would answer for its own machine. No kept connection either: an hour is long.
			Transport:     &http.Transport{DisableKeepAlives: true},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
	}
	return &cloudFinder{
		platform: o.CloudPlatform, sys: sysOrHost(o.Sys), http: client,
		local: "http://169.254.169.254", google: "http://metadata.google.internal.", pause: 2 * time.Second,
	}
}

// An instance is what a cloud tells about the machine it runs. The zero value is a machine on none.
type instance struct {
	cloud      *Cloud
	identifier string
	unknown    bool // there seems to be a cloud that did not answer: what was known before still holds
	err        error
}

// find asks the cloud that runs this host, if one does.
//
// The firmware's tables say which cloud it is, so that a host on none sends no request: it
// would wait seconds, every hour, for an address that nobody has. A container without
// /sys has to be told by configuration.
func (c *cloudFinder) find(ctx context.Context) instance {
	platform, sure := c.platform, true
	if platform == "" || platform == CloudAuto {
		platform, sure = c.hint()
	}
	var i instance
	switch platform {
	case CloudEC2:
		i.cloud, i.identifier, i.err = c.ec2(ctx)
	case CloudGCE:
		i.cloud, i.identifier, i.err = c.gce(ctx)
	case CloudAzure:
		i.cloud, i.identifier, i.err = c.azure(ctx)
	}
	switch {
	case i.err == nil:
		return i
	case !sure:
		return instance{unknown: true}
	}
	return instance{unknown: true, err: fmt.Errorf("ask the metadata service of %s: %w", platform, i.err)}
}

// hint returns which cloud the firmware names, CloudNone for none. sure is false when the
// hint may be chance: a UUID that begins with the three digits ec2.
func (c *cloudFinder) hint() (platform string, sure bool) {
	dmi := func(file string) string {
		v, _ := readTrimmed(c.sys, "class/dmi/id/"+file)
		return v
	}
	switch vendor, bios := dmi("sys_vendor"), dmi("bios_vendor"); {
	case vendor == "Amazon EC2", bios == "Amazon EC2", strings.Contains(dmi("bios_version"), ".amazon"):
		return CloudEC2, true
	case dmi("product_name") == "Google Compute Engine", vendor == "Google" && bios == "Google":
		return CloudGCE, true
	case dmi("chassis_asset_tag") == "7783-7084-3265-9085-8269-3286-77": // the same on every Azure machine
		return CloudAzure, true
	}
	for _, file := range []string{"hypervisor/uuid", "devices/virtual/dmi/id/product_uuid"} {
		if uuid, ok := readTrimmed(c.sys, file); ok && ec2UUID(uuid) {
			return CloudEC2, false
		}
	}
	return CloudNone, true
}

// ec2UUID says whether a machine's UUID begins with ec2, in either byte order of its first group.
func ec2UUID(uuid string) bool {
	uuid = strings.ToLower(uuid)
	if strings.HasPrefix(uuid, "ec2") {
		return true
	}
	return len(uuid) >= 8 && strings.HasPrefix(uuid[6:8]+uuid[4:6], "ec2")
}

// ec2 asks the instance metadata service, version 2 with a token where it gives one.
func (c *cloudFinder) ec2(ctx context.Context) (*Cloud, string, error) {
	base := c.local + "/latest/meta-data/"
	header := http.Header{}
	var id string
	err := c.thrice(ctx, func() error {
		token, status, err := c.ask(ctx, http.MethodPut, c.local+"/latest/api/token", http.Header{"X-Aws-Ec2-Metadata-Token-Ttl-Seconds": {"21600"}})
		if err == nil && status == http.StatusOK {
			header.Set("X-Aws-Ec2-Metadata-Token", token)
		}
		partition, status, err := c.ask(ctx, http.MethodGet, base+"services/partition", header)
		if err != nil {
			return err
		}
		if status != http.StatusOK || !strings.HasPrefix(partition, "aws") {
			return fmt.Errorf("services/partition: status %d and %.40q, which is not EC2's", status, partition)
		}
		id, status, err = c.ask(ctx, http.MethodGet, base+"instance-id", header)
		if err == nil && (status != http.StatusOK || id == "") {
			err = fmt.Errorf("instance-id: status %d", status)
		}
		return err
	})
	if err != nil {
		return nil, "", err
	}
	metadata := map[string]string{}
	for _, key := range []string{
		"instance-id", "instance-type", "placement/availability-zone", "security-groups", "ami-id", "hostname",
		"local-hostname", "public-hostname", "local-ipv4", "public-ipv4", "reservation-id",
	} {
		value, status, err := c.ask(ctx, http.MethodGet, base+key, header)
		if err != nil {
			return nil, "", err
		}
		if status != http.StatusOK { // a private instance has no public-ipv4, and so on
			value = ""
		}
		metadata[key] = value
	}
	return &Cloud{Provider: "ec2", Metadata: metadata}, id + ".ec2.amazonaws.com", nil
}

// gce asks for everything at once and keeps five values.
func (c *cloudFinder) gce(ctx context.Context) (*Cloud, string, error) {
	var answer struct {
		Instance struct {
			Hostname    string      `json:"hostname"`
			ID          json.Number `json:"id"` // beyond 2^53
			MachineType string      `json:"machineType"`
			Zone        string      `json:"zone"`
		} `json:"instance"`
		Project struct {
			ProjectID string `json:"projectId"`
		} `json:"project"`
	}
	err := c.thrice(ctx, func() error {
		text, status, err := c.ask(ctx, http.MethodGet, c.google+"/computeMetadata/v1/?recursive=true", http.Header{"Metadata-Flavor": {"Google"}})
		if err != nil {
			return err
		}
		if status != http.StatusOK {
			return fmt.Errorf("status %d", status)
		}
		if err := json.Unmarshal([]byte(text), &answer); err != nil {
			return err
		}
		if answer.Instance.ID == "" {
			return errors.New("the answer has no instance id")
		}
		return nil
	})
	if err != nil {
		return nil, "", err
	}
	i := answer.Instance
	return &Cloud{Provider: "gce", Metadata: map[string]string{
		"hostname": i.Hostname, "instance-id": i.ID.String(), "instance-type": lastSegment(i.MachineType),
		"zone": lastSegment(i.Zone), "projectId": answer.Project.ProjectID,
	}}, i.ID.String() + ".gce.cloud.google.com", nil
}

// lastSegment returns "e2-small" of "projects/1/machineTypes/e2-small", and "" of "".
func lastSegment(s string) string {
	if s == "" {
		return ""
	}
	return path.Base(s)
}

// azure asks the instance metadata service for one value after the other.
func (c *cloudFinder) azure(ctx context.Context) (*Cloud, string, error) {
	get := func(key string) (string, int, error) {
		return c.ask(ctx, http.MethodGet, c.local+"/metadata/instance/"+key+"?api-version=2017-04-02&format=text", http.Header{"Metadata": {"true"}})
	}
	var id string
	err := c.thrice(ctx, func() error {
		var status int
		var err error
		if id, status, err = get("compute/vmId"); err == nil && (status != http.StatusOK || id == "") {
			err = fmt.Errorf("compute/vmId: status %d", status)
		}
		return err
	})
	if err != nil {
		return nil, "", err
	}
	const address = "network/interface/0/ipv4/ipAddress/0/"
	metadata := map[string]string{}
	for _, v := range []struct{ name, key string }{
		{"location", "compute/location"}, {"imageReferenceOffer", "compute/offer"}, {"osSystemType", "compute/osType"},
		{"imageReferencePublisher", "compute/publisher"}, {"imageReferenceSku", "compute/sku"}, {"vmID", "compute/vmId"},
		{"virtualMachineSizeType", "compute/vmSize"}, {"privateIpAddress", address + "privateIpAddress"}, {"publicIpAddress", address + "publicIpAddress"},
	} {
		value, status, err := get(v.key)
		if err != nil {
			return nil, "", err
		}
		if status != http.StatusOK {
			value = ""
		}
		metadata[v.name] = value
	}
	return &Cloud{Provider: "AzureVM", Metadata: metadata}, id + ".virtual_machine.azure.microsoft.com", nil
}

// thrice calls f until it succeeds, at most three times with a pause between.
func (c *cloudFinder) thrice(ctx context.Context, f func() error) error {
	for try := 1; ; try++ {
		err := f()
		if err == nil || try == 3 {
			return err
		}
		select {
		case <-time.After(c.pause):
		case <-ctx.Done():
			return err
		}
	}
}

// ask sends a request without a body and returns the trimmed text and the status of the answer.
func (c *cloudFinder) ask(ctx context.Context, method, url string, header http.Header) (string, int, error) {
	ctx, cancel := context.WithTimeout(ctx, cloudTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		return "", 0, err
	}
	req.Header = header.Clone()
	resp, err := c.http.Do(req)
	if err != nil {
		return "", 0, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxMetadata+1))
	if err != nil {
		return "", 0, fmt.Errorf("read the answer of %s: %w", url, err)
	}
	if len(b) > maxMetadata {
		return "", 0, fmt.Errorf("the answer of %s is longer than %d bytes", url, maxMetadata)
	}
	return strings.TrimSpace(string(b)), resp.StatusCode, nil
}

package promapi

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/saba-monitor/saba"
)

// The labels that saba gives to series. Samples know host and service; the others are joined to them
// at query time from the database, as they change.
const (
	nameLabel     = "__name__"
	hostLabel     = "host"      // host id
	hostNameLabel = "host_name" // what people call the host
	serviceLabel  = "service"   // of a role of the host, or that owns the metric
	roleLabel     = "role"
)

// ours lists the labels that no series brings with it: a sender's label of the same name gets
// exportedPrefix, as Prometheus does it.
var ours = [...]string{hostLabel, hostNameLabel, serviceLabel, roleLabel}

const exportedPrefix = "exported_"

// A directory knows the hosts and services of one organization at one moment.
type directory struct {
	hosts map[string]*saba.Host // live ones, by id
	// renamed has the services whose samples are kept under another name than their own: by that
	// name, what they are called.
	renamed map[string]string
}

// serviceName returns what the service is called whose samples are kept under a name.
func (d *directory) serviceName(series string) string {
	if name, ok := d.renamed[series]; ok {
		return name
	}
	return series
}

// A lookUp returns the directory of a request; all that ask get the same one.
type lookUp func() (*directory, error)

// directory returns how a request for org learns its hosts and services, once and only if it must.
func (s *server) directory(ctx context.Context, org string) lookUp {
	return sync.OnceValues(func() (*directory, error) {
		hosts, err := s.Store.Hosts(ctx, org, saba.HostFilter{})
		if err != nil {
			return nil, fmt.Errorf("list the hosts that series belong to: %w", err)
		}
		services, err := s.Store.Services(ctx, org)
		if err != nil {
			return nil, fmt.Errorf("list the services that series belong to: %w", err)
		}
		d := &directory{hosts: make(map[string]*saba.Host, len(hosts)), renamed: map[string]string{}}
		for _, s := range services {
			if s.Series != s.Name {
				d.renamed[s.Series] = s.Name
			}
		}
		for i := range hosts {
			d.hosts[hosts[i].ID] = &hosts[i]
		}
		return d, nil
	})
}

// A join is a question about host names, services and roles.
type join struct {
	name, service, role []*labels.Matcher
}

// any says whether the question asks for anything.
func (j join) any() bool { return len(j.name)+len(j.service)+len(j.role) > 0 }

func matches(ms []*labels.Matcher, value string) bool {
	return !slices.ContainsFunc(ms, func(m *labels.Matcher) bool { return !m.Matches(value) })
}

// A joined is what a host's series get.
type joined struct{ name, service, role string }

// host returns what the series of a host get, and whether the question means it.
//
// A host may have several roles, and its series must not be counted once for each. So a series
// appears once: a host is meant if one of its roles is, and of the roles that are meant the labels
// hold every name, joined by commas: role="web" where one is left, role="db,web" where not.
func (j join) host(h *saba.Host) (out joined, ok bool) {
	if h == nil { // retired: its samples stay, under its id alone
		return joined{}, matches(j.name, "") && matches(j.service, "") && matches(j.role, "")
	}
	out.name = h.Label()
	if !matches(j.name, out.name) {
		return joined{}, false
	}
	if len(h.Roles) == 0 {
		return out, matches(j.service, "") && matches(j.role, "")
	}
	var services, roles []string
	for _, r := range h.Roles {
		if matches(j.service, r.Service) && matches(j.role, r.Role) {
			services, roles = append(services, r.Service), append(roles, r.Role)
		}
	}
	out.service, out.role = commaed(services), commaed(roles)
	return out, len(roles) > 0
}

// ofService says whether the question means the metrics of a service as far as name and role go.
func (j join) ofService() bool { return matches(j.name, "") && matches(j.role, "") }

// commaed joins names by commas, each once, sorted.
func commaed(names []string) string {
	if len(names) == 1 {
		return names[0]
	}
	slices.Sort(names)
	return strings.Join(slices.Compact(names), ",")
}

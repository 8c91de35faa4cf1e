package api

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/saba-monitor/saba"
)

// serviceOut is a service as clients read it: the list of roles is always there.
type serviceOut struct {
	Name  string   `json:"name"`
	Memo  string   `json:"memo"`
	Roles []string `json:"roles"`
}

func newServiceOut(s saba.Service) serviceOut {
	return serviceOut{Name: s.Name, Memo: s.Memo, Roles: append([]string{}, s.Roles...)}
}

type roleOut struct {
	Name string `json:"name"`
	Memo string `json:"memo"`
}

// service returns the service of the path.
func (s *server) service(c *call) (saba.Service, error) {
	name := c.PathValue("service")
	services, err := s.store.Services(c.Context(), c.org)
	if err != nil {
		return saba.Service{}, fmt.Errorf("look up service %q: %w", name, err)
	}
	for _, service := range services {
		if service.Name == name {
			return service, nil
		}
	}
	return saba.Service{}, saba.Errorf(saba.ErrNotFound, "no service %q", clip(name))
}

func (s *server) serviceList(w http.ResponseWriter, c *call) error {
	services, err := s.store.Services(c.Context(), c.org)
	if err != nil {
		return fmt.Errorf("list services: %w", err)
	}
	return listed(s, w, c, "services", services, nil, newServiceOut)
}

type namedIn struct {
	Name string `json:"name"`
	Memo string `json:"memo"`
}

// readNamed reads the body that makes a service or a role.
func (c *call) readNamed() (name, text string, err error) {
	var in namedIn
	if err := c.decode(&in); err != nil {
		return "", "", err
	}
	if !saba.ValidName(in.Name) {
		return "", "", saba.Invalidf("name", "must be 2 to 63 characters of A-Z a-z 0-9 _ - with a letter or digit first, not %q", clip(in.Name))
	}
	return in.Name, in.Memo, memo(in.Memo)
}

func (s *server) serviceCreate(w http.ResponseWriter, c *call) error {
	name, memo, err := c.readNamed()
	if err != nil {
		return err
	}
	service := saba.Service{Name: name, Memo: memo}
	if err := s.store.CreateService(c.Context(), c.org, service); err != nil {
		return taken(err)
	}
	return s.json(w, c, newServiceOut(service))
}

func (s *server) serviceDelete(w http.ResponseWriter, c *call) error {
	service, err := s.store.DeleteService(c.Context(), c.org, c.PathValue("service"), s.now().Unix())
	if err != nil {
		return err
	}
	return s.json(w, c, newServiceOut(service))
}

func (s *server) roleList(w http.ResponseWriter, c *call) error {
	roles, err := s.store.Roles(c.Context(), c.org, c.PathValue("service"))
	if err != nil {
		return err
	}
	return listed(s, w, c, "roles", roles, nil, func(r saba.Role) roleOut { return roleOut(r) })
}

func (s *server) roleCreate(w http.ResponseWriter, c *call) error {
	name, memo, err := c.readNamed()
	if err != nil {
		return err
	}
	role := saba.Role{Name: name, Memo: memo}
	if err := s.store.CreateRole(c.Context(), c.org, c.PathValue("service"), role); err != nil {
		return taken(err)
	}
	return s.json(w, c, roleOut(role))
}

func (s *server) roleDelete(w http.ResponseWriter, c *call) error {
	role, err := s.store.DeleteRole(c.Context(), c.org, c.PathValue("service"), c.PathValue("role"))
	if err != nil {
		return err
	}
	return s.json(w, c, roleOut(role))
}

// serviceUpdate renames a service or changes its memo; the protocol has no such call.
func (s *server) serviceUpdate(w http.ResponseWriter, c *call) error {
	name, memo, err := c.readNamed()
	if err != nil {
		return err
	}
	service, err := s.service(c)
	if err != nil {
		return err
	}
	if err := s.store.RenameService(c.Context(), c.org, service.Name, saba.Service{Name: name, Memo: memo}); err != nil {
		return taken(err)
	}
	return s.json(w, c, newServiceOut(saba.Service{Name: name, Memo: memo, Roles: service.Roles}))
}

// roleUpdate renames a role or changes its memo; the protocol has no such call.
func (s *server) roleUpdate(w http.ResponseWriter, c *call) error {
	name, memo, err := c.readNamed()
	if err != nil {
		return err
	}
	if err := s.store.RenameRole(c.Context(), c.org, c.PathValue("service"), c.PathValue("role"), saba.Role{Name: name, Memo: memo}); err != nil {
		return taken(err)
	}
	return s.json(w, c, roleOut{name, memo})
}

// serviceNames returns the metrics of a service that are listed: not the response times of external monitors, nor
// those of graphs that were deleted and have got no point since.
func (s *server) serviceNames(c *call, service saba.Service) ([]string, error) {
	names, err := s.samples.ServiceNames(c.Context(), c.org, service.Series)
	if err != nil {
		return nil, fmt.Errorf("list the metrics of service %q: %w", service.Name, err)
	}
	hidden, err := s.store.HiddenServiceGraphs(c.Context(), c.org, service.Name)
	if err != nil {
		return nil, fmt.Errorf("list the metrics of service %q: %w", service.Name, err)
	}
	names = saba.ShownServiceMetrics(names, hidden, func(n string) (saba.Sample, bool) {
		return s.samples.Latest(saba.Series{Org: c.org, Service: service.Series, Name: n})
	})
	return slices.DeleteFunc(append([]string{}, names...), func(n string) bool { return strings.HasPrefix(n, externalPrefix) }), nil
}

// serviceGraphDelete hides a graph until there are new points.
func (s *server) serviceGraphDelete(w http.ResponseWriter, c *call) error {
	service, err := s.service(c)
	if err != nil {
		return err
	}
	names, err := s.serviceNames(c, service)
	if err != nil {
		return err
	}
	graph := c.PathValue("graph")
	if !slices.ContainsFunc(names, func(n string) bool { return saba.ServiceGraphOf(n) == graph }) {
		return saba.Errorf(saba.ErrNotFound, "service %q has no graph %q", service.Name, clip(graph))
	}
	if err := s.store.HideServiceGraph(c.Context(), c.org, service.Name, graph, s.now().Unix()); err != nil {
		return err
	}
	return s.ok(w, c)
}

// missing makes the error about a record that does not exist the 400 that a few calls have for it.
func missing(err error) error {
	if errors.Is(err, saba.ErrNotFound) {
		return saba.Errorf(saba.ErrInvalid, "%v", err)
	}
	return err
}

type orgOut struct {
	Name        string  `json:"name"`
	DisplayName *string `json:"displayName"` // null when unset
}

func (s *server) orgShow(w http.ResponseWriter, c *call) error {
	org, err := s.store.Org(c.Context(), c.org)
	if err != nil {
		return fmt.Errorf("show the organization: %w", err)
	}
	out := orgOut{Name: org.Name}
	if org.DisplayName != "" {
		out.DisplayName = &org.DisplayName
	}
	return s.json(w, c, out)
}

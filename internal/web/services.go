package web

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/saba-monitor/saba"
)

// servicesPage is page/services.html.
type servicesPage struct {
	layout
	Services []serviceRow
}

// A serviceRow is a service with its roles and how many live hosts each has.
type serviceRow struct {
	Name, Memo, URL, HostsURL string
	Hosts                     string
	Roles                     []roleRow
}

type roleRow struct{ Name, HostsURL, Hosts string }

func (c *console) serviceList(w http.ResponseWriter, r *http.Request, v visitor) error {
	rows, err := c.serviceRows(r.Context(), v)
	if err != nil {
		return err
	}
	return c.render(w, r, http.StatusOK, "services", servicesPage{layout: layoutFor(v, "services", "Services"), Services: rows})
}

func (c *console) serviceRows(ctx context.Context, v visitor) ([]serviceRow, error) {
	services, err := c.Store.Services(ctx, v.Org)
	if err != nil {
		return nil, fmt.Errorf("list services: %w", err)
	}
	hosts, err := c.Store.Hosts(ctx, v.Org, saba.HostFilter{})
	if err != nil {
		return nil, fmt.Errorf("list hosts: %w", err)
	}
	inService, inRole := map[string]int{}, map[saba.RoleName]int{}
	for _, h := range hosts {
		seen := map[string]bool{}
		for _, role := range h.Roles {
			inRole[role]++
			if !seen[role.Service] { // a host with two roles in a service is one host of it
				seen[role.Service] = true
				inService[role.Service]++
			}
		}
	}
	rows := make([]serviceRow, len(services))
	for i, s := range services {
		rows[i] = serviceRow{
			Name: s.Name, Memo: s.Memo, URL: "/services/" + url.PathEscape(s.Name),
			HostsURL: "/hosts?role=" + url.QueryEscape(s.Name), Hosts: count(inService[s.Name], "host"),
		}
		for _, name := range s.Roles {
			role := saba.RoleName{Service: s.Name, Role: name}
			rows[i].Roles = append(rows[i].Roles, roleRow{name, "/hosts?role=" + url.QueryEscape(role.String()), count(inRole[role], "host")})
		}
	}
	return rows, nil
}

// servicePage is page/service.html.
type servicePage struct {
	layout
	Service serviceRow
	Drains  []roleLink // whose metrics become the service's
	Offers  *offers    // monitors that go with what they said; nil where there is nothing to offer
	Made    int        // how many of them were made just now
	Room    chartRoom
}

// serviceSubject returns a service and its arranged graphs.
func (c *console) serviceSubject(ctx context.Context, v visitor, name string) (subject, error) {
	services, err := c.Store.Services(ctx, v.Org)
	if err != nil {
		return subject{}, fmt.Errorf("list services: %w", err)
	}
	i := slices.IndexFunc(services, func(s saba.Service) bool { return s.Name == name })
	if i < 0 {
		return subject{}, saba.Errorf(saba.ErrNotFound, "There is no service %q.", clip(name))
	}
	sub := subject{org: v.Org, service: services[i], label: name, path: "/services/" + url.PathEscape(name)}
	names, labelled, err := c.Samples.NamesOf(ctx, v.Org, "", sub.service.Series)
	if err != nil {
		return subject{}, fmt.Errorf("list the metrics of service %s: %w", name, err)
	}
	hidden, err := c.Store.HiddenServiceGraphs(ctx, v.Org, name)
	if err != nil {
		return subject{}, fmt.Errorf("list the graphs of service %s that were deleted: %w", name, err)
	}
	names = saba.ShownServiceMetrics(names, hidden, func(n string) (saba.Sample, bool) { return c.Samples.Latest(sub.series(n)) })
	defs, err := c.Store.GraphDefs(ctx, v.Org)
	if err != nil {
		return subject{}, fmt.Errorf("list graph definitions: %w", err)
	}
	own, err := c.Store.ServiceGraphDefs(ctx, v.Org, name)
	if err != nil {
		return subject{}, fmt.Errorf("list graph definitions of service %s: %w", name, err)
	}
	defs = append(defs, own...)
	if slices.ContainsFunc(names, func(n string) bool { return strings.HasPrefix(n, saba.ResponseTimeMetric) }) {
		monitors, err := c.Store.Monitors(ctx, v.Org)
		if err != nil {
			return subject{}, fmt.Errorf("list monitors: %w", err)
		}
		defs = append(defs, saba.ResponseTimeGraph(monitors))
	}
	sub.graphs = append(saba.ServiceGraphs(names, defs), saba.LabelledGraphs(labelled)...)
	return sub, nil
}

func (c *console) serviceShow(w http.ResponseWriter, r *http.Request, v visitor) error {
	rng, err := parseRange(r.URL.Query(), c.Now())
	if err != nil {
		return err
	}
	sub, err := c.serviceSubject(r.Context(), v, r.PathValue("service"))
	if err != nil {
		return err
	}
	rows, err := c.serviceRows(r.Context(), v)
	if err != nil {
		return err
	}
	p := servicePage{layout: layoutFor(v, "services", sub.label), Room: c.newChartRoom(sub, rng)}
	p.Scripts = true
	for _, row := range rows {
		if row.Name == sub.service.Name {
			p.Service = row
		}
	}
	drains, err := c.Store.Drains(r.Context(), v.Org)
	if err != nil {
		return fmt.Errorf("list drains: %w", err)
	}
	drains = slices.DeleteFunc(drains, func(d saba.Drain) bool { return d.Service != sub.service.Name })
	for _, d := range drains {
		p.Drains = append(p.Drains, roleLink{d.Name, "/log-drains/" + url.PathEscape(d.ID)})
	}
	if v.Write && len(drains) > 0 {
		p.Made, _ = strconv.Atoi(r.URL.Query().Get("made"))
		if p.Offers, err = c.offersOf(r.Context(), v.Org, drains, sub.service); err != nil {
			return err
		}
	}
	return c.render(w, r, http.StatusOK, "service", p)
}

func (c *console) serviceGraphs(w http.ResponseWriter, r *http.Request, v visitor) error {
	sub, err := c.serviceSubject(r.Context(), v, r.PathValue("service"))
	if err != nil {
		return err
	}
	return c.answerGraphs(w, r, sub)
}

func (c *console) serviceGraph(w http.ResponseWriter, r *http.Request, v visitor) error {
	sub, err := c.serviceSubject(r.Context(), v, r.PathValue("service"))
	if err != nil {
		return err
	}
	return c.answerGraph(w, r, v, "services", []crumb{{"Services", "/services"}, {sub.label, sub.path}}, sub)
}

package client

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"

	"github.com/saba-monitor/saba"
)

// A HostParam describes a host to the server, when it registers and at every update. In an
// update, what is empty or nil stays as it is; empty slices that are not nil are sent.
type HostParam struct {
	Name             string                  `json:"name"` // required
	DisplayName      string                  `json:"displayName,omitempty"`
	CustomIdentifier string                  `json:"customIdentifier,omitempty"`
	Memo             string                  `json:"memo,omitempty"`
	Meta             json.RawMessage         `json:"meta"` // required: an object
	Interfaces       []saba.Interface        `json:"interfaces,omitzero"`
	RoleFullnames    []string                `json:"roleFullnames,omitzero"` // "service:role"; an update adds them
	Checks           []saba.CheckDeclaration `json:"checks,omitzero"`        // an update replaces them all
}

// wireHost is a host as the protocol writes it.
type wireHost struct {
	ID               string              `json:"id"`
	Name             string              `json:"name"`
	DisplayName      string              `json:"displayName"`
	CustomIdentifier string              `json:"customIdentifier"`
	Status           saba.HostStatus     `json:"status"`
	Memo             string              `json:"memo"`
	Roles            map[string][]string `json:"roles"`
	IsRetired        bool                `json:"isRetired"`
	RetiredAt        int64               `json:"retiredAt"`
	CreatedAt        int64               `json:"createdAt"`
	Meta             json.RawMessage     `json:"meta"`
	Interfaces       []wireInterface     `json:"interfaces"`
}

type wireInterface struct {
	saba.Interface
	IPAddress   string `json:"ipAddress"` // some servers send the single forms alone
	IPv6Address string `json:"ipv6Address"`
}

func (w wireHost) host() saba.Host {
	h := saba.Host{
		ID: w.ID, Name: w.Name, DisplayName: w.DisplayName, CustomIdentifier: w.CustomIdentifier,
		Status: w.Status, Memo: w.Memo, CreatedAt: w.CreatedAt, RetiredAt: w.RetiredAt, Meta: w.Meta,
	}
	if w.IsRetired && h.RetiredAt == 0 {
		h.RetiredAt = 1 // retired, at a time that the server does not tell
	}
	if len(h.Meta) == 0 || string(h.Meta) == "null" {
		h.Meta = json.RawMessage("{}")
	}
	for service, roles := range w.Roles {
		for _, role := range roles {
			h.Roles = append(h.Roles, saba.RoleName{Service: service, Role: role})
		}
	}
	slices.SortFunc(h.Roles, saba.RoleName.Compare)
	for _, i := range w.Interfaces {
		if len(i.IPv4) == 0 && i.IPAddress != "" {
			i.IPv4 = []string{i.IPAddress}
		}
		if len(i.IPv6) == 0 && i.IPv6Address != "" {
			i.IPv6 = []string{i.IPv6Address}
		}
		h.Interfaces = append(h.Interfaces, i.Interface)
	}
	return h
}

// CreateHost registers a host and returns its id.
func (c *Client) CreateHost(ctx context.Context, p HostParam) (id string, err error) {
	var r struct {
		ID string `json:"id"`
	}
	if err := c.do(ctx, http.MethodPost, path("hosts"), nil, p, &r); err != nil {
		return "", err
	}
	if r.ID == "" {
		return "", &Error{Method: http.MethodPost, Path: path("hosts"), Status: http.StatusOK, Message: "without the id of the new host"}
	}
	return r.ID, nil
}

// Host returns a host, a retired one too. The error matches saba.ErrNotFound when there is none.
func (c *Client) Host(ctx context.Context, id string) (saba.Host, error) {
	return c.oneHost(ctx, path("hosts", id), nil)
}

// HostByCustomIdentifier returns the live host with that identifier.
func (c *Client) HostByCustomIdentifier(ctx context.Context, identifier string) (saba.Host, error) {
	return c.oneHost(ctx, path("hosts-by-custom-identifier", identifier), nil)
}

func (c *Client) oneHost(ctx context.Context, path string, query url.Values) (saba.Host, error) {
	var r struct {
		Host wireHost `json:"host"`
	}
	if err := c.do(ctx, http.MethodGet, path, query, nil, &r); err != nil {
		return saba.Host{}, err
	}
	if r.Host.ID == "" {
		return saba.Host{}, &Error{Method: http.MethodGet, Path: path, Status: http.StatusOK, Message: "without a host"}
	}
	return r.Host.host(), nil
}

// Hosts returns the live hosts that f selects. Where f.Statuses is empty, all statuses are
// asked for: the protocol's own default leaves some out. f.RegisteredBy is not part of the
// protocol and is ignored.
func (c *Client) Hosts(ctx context.Context, f saba.HostFilter) ([]saba.Host, error) {
	q := url.Values{}
	for k, v := range map[string]string{"service": f.Service, "name": f.Name, "customIdentifier": f.CustomIdentifier} {
		if v != "" {
			q.Set(k, v)
		}
	}
	q["role"] = f.Roles
	statuses := f.Statuses
	if len(statuses) == 0 {
		statuses = saba.HostStatuses
	}
	for _, s := range statuses {
		q.Add("status", string(s))
	}
	var r struct {
		Hosts []wireHost `json:"hosts"`
	}
	if err := c.do(ctx, http.MethodGet, path("hosts"), q, nil, &r); err != nil {
		return nil, err
	}
	hosts := make([]saba.Host, len(r.Hosts))
	for i, h := range r.Hosts {
		hosts[i] = h.host()
	}
	return hosts, nil
}

// UpdateHost changes the description of a host; see HostParam for what stays as it is.
func (c *Client) UpdateHost(ctx context.Context, id string, p HostParam) error {
	return c.do(ctx, http.MethodPut, path("hosts", id), nil, p, nil)
}

// SetHostStatus sets the status of a host.
func (c *Client) SetHostStatus(ctx context.Context, id string, s saba.HostStatus) error {
	return c.do(ctx, http.MethodPost, path("hosts", id, "status"), nil, map[string]saba.HostStatus{"status": s}, nil)
}

// SetHostRoles replaces the roles of a host.
func (c *Client) SetHostRoles(ctx context.Context, id string, roles []saba.RoleName) error {
	names := make([]string, len(roles))
	for i, r := range roles {
		names[i] = r.String()
	}
	return c.do(ctx, http.MethodPut, path("hosts", id, "role-fullnames"), nil, map[string][]string{"roleFullnames": names}, nil)
}

// RetireHost retires a host for good. Retiring it twice is fine.
func (c *Client) RetireHost(ctx context.Context, id string) error {
	return c.do(ctx, http.MethodPost, path("hosts", id, "retire"), nil, struct{}{}, nil)
}

// ReviveHost undoes a retirement of the last 30 days. Only saba has this call.
func (c *Client) ReviveHost(ctx context.Context, id string) error {
	return c.do(ctx, http.MethodPost, path("hosts", id, "unretire"), nil, nil, nil)
}

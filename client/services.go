package client

import (
	"context"
	"net/http"

	"github.com/saba-monitor/saba"
)

type wireService struct {
	Name  string   `json:"name"`
	Memo  string   `json:"memo"`
	Roles []string `json:"roles,omitempty"`
}

func (s wireService) service() saba.Service {
	return saba.Service{Name: s.Name, Memo: s.Memo, Roles: s.Roles}
}

type wireRole struct {
	Name string `json:"name"`
	Memo string `json:"memo"`
}

// Services returns all services.
func (c *Client) Services(ctx context.Context) ([]saba.Service, error) {
	var r struct {
		Services []wireService `json:"services"`
	}
	if err := c.do(ctx, http.MethodGet, path("services"), nil, nil, &r); err != nil {
		return nil, err
	}
	services := make([]saba.Service, len(r.Services))
	for i, s := range r.Services {
		services[i] = s.service()
	}
	return services, nil
}

// CreateService creates a service. s.Roles is not looked at.
func (c *Client) CreateService(ctx context.Context, s saba.Service) error {
	return c.do(ctx, http.MethodPost, path("services"), nil, wireService{Name: s.Name, Memo: s.Memo}, nil)
}

// UpdateService gives a service another name and memo, wherever it is named. Only saba has this call. s.Roles is not looked at.
func (c *Client) UpdateService(ctx context.Context, name string, s saba.Service) error {
	return c.do(ctx, http.MethodPut, path("services", name), nil, wireService{Name: s.Name, Memo: s.Memo}, nil)
}

// DeleteService deletes a service with its roles and metrics, and returns it as it was.
func (c *Client) DeleteService(ctx context.Context, name string) (saba.Service, error) {
	var s wireService
	err := c.do(ctx, http.MethodDelete, path("services", name), nil, nil, &s)
	return s.service(), err
}

// Roles returns the roles of a service.
func (c *Client) Roles(ctx context.Context, service string) ([]saba.Role, error) {
	var r struct {
		Roles []wireRole `json:"roles"`
	}
	if err := c.do(ctx, http.MethodGet, path("services", service, "roles"), nil, nil, &r); err != nil {
		return nil, err
	}
	roles := make([]saba.Role, len(r.Roles))
	for i, role := range r.Roles {
		roles[i] = saba.Role(role)
	}
	return roles, nil
}

// CreateRole creates a role in a service.
func (c *Client) CreateRole(ctx context.Context, service string, r saba.Role) error {
	return c.do(ctx, http.MethodPost, path("services", service, "roles"), nil, wireRole(r), nil)
}

// UpdateRole gives a role another name and memo, wherever it is named. Only saba has this call.
func (c *Client) UpdateRole(ctx context.Context, service, role string, r saba.Role) error {
	return c.do(ctx, http.MethodPut, path("services", service, "roles", role), nil, wireRole(r), nil)
}

// DeleteRole deletes a role and returns it as it was.
func (c *Client) DeleteRole(ctx context.Context, service, role string) (saba.Role, error) {
	var r wireRole
	err := c.do(ctx, http.MethodDelete, path("services", service, "roles", role), nil, nil, &r)
	return saba.Role(r), err
}

// Org returns the organization that the key belongs to.
func (c *Client) Org(ctx context.Context) (saba.Org, error) {
	var r struct {
		Name        string `json:"name"`
		DisplayName string `json:"displayName"`
	}
	err := c.do(ctx, http.MethodGet, path("org"), nil, nil, &r)
	return saba.Org{Name: r.Name, DisplayName: r.DisplayName}, err
}

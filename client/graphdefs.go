package client

import (
	"context"
	"net/http"

	"github.com/saba-monitor/saba"
)

type wireGraphDef struct {
	Name        string               `json:"name"`
	DisplayName string               `json:"displayName,omitempty"`
	Unit        saba.Unit            `json:"unit,omitempty"`
	Metrics     []wireGraphDefMetric `json:"metrics"`
}

type wireGraphDefMetric struct {
	Name        string `json:"name"`
	DisplayName string `json:"displayName,omitempty"`
	Stacked     bool   `json:"isStacked"`
}

// PutGraphDefs creates graph definitions of the organization, or replaces those of the same name.
func (c *Client) PutGraphDefs(ctx context.Context, defs []saba.GraphDef) error {
	wire := make([]wireGraphDef, len(defs))
	for i, d := range defs {
		wire[i] = wireGraphDef{d.Name, d.DisplayName, d.Unit, make([]wireGraphDefMetric, len(d.Metrics))}
		for j, m := range d.Metrics {
			wire[i].Metrics[j] = wireGraphDefMetric(m)
		}
	}
	return c.do(ctx, http.MethodPost, path("graph-defs", "create"), nil, wire, nil)
}

// DeleteGraphDef deletes the graph definition of that name.
func (c *Client) DeleteGraphDef(ctx context.Context, name string) error {
	return c.do(ctx, http.MethodDelete, path("graph-defs"), nil, map[string]string{"name": name}, nil)
}

package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"github.com/saba-monitor/saba"
)

type wirePoint struct {
	Host  string  `json:"hostId,omitempty"`
	Name  string  `json:"name"`
	Time  int64   `json:"time"`
	Value float64 `json:"value"`
}

type wireSample struct {
	Time  int64   `json:"time"`
	Value float64 `json:"value"`
}

// PostHostMetrics sends points, each to the host that its Series.Host names; they may be of
// several hosts. The error matches saba.ErrInvalid, and nothing is sent, when a value is NaN
// or infinite: JSON has no word for them.
func (c *Client) PostHostMetrics(ctx context.Context, points []saba.Point) error {
	return c.do(ctx, http.MethodPost, path("tsdb"), nil, wirePoints(points), nil)
}

// PostServiceMetrics sends points of one service. Series.Host and Series.Service are not looked at.
func (c *Client) PostServiceMetrics(ctx context.Context, service string, points []saba.Point) error {
	wire := wirePoints(points)
	for i := range wire {
		wire[i].Host = ""
	}
	return c.do(ctx, http.MethodPost, path("services", service, "tsdb"), nil, wire, nil)
}

func wirePoints(points []saba.Point) []wirePoint {
	wire := make([]wirePoint, len(points))
	for i, p := range points {
		wire[i] = wirePoint{p.Host, p.Name, p.Time, p.Value}
	}
	return wire
}

// HostMetrics returns the samples of one metric of a host with from <= time <= to (Unix
// seconds) in time order. Over long ranges they are means of several minutes (saba.Step).
func (c *Client) HostMetrics(ctx context.Context, host, name string, from, to int64) ([]saba.Sample, error) {
	return c.samples(ctx, path("hosts", host, "metrics"), name, from, to)
}

// ServiceMetrics returns the samples of one metric of a service, as HostMetrics does.
func (c *Client) ServiceMetrics(ctx context.Context, service, name string, from, to int64) ([]saba.Sample, error) {
	return c.samples(ctx, path("services", service, "metrics"), name, from, to)
}

func (c *Client) samples(ctx context.Context, path, name string, from, to int64) ([]saba.Sample, error) {
	q := url.Values{"name": {name}, "from": {strconv.FormatInt(from, 10)}, "to": {strconv.FormatInt(to, 10)}}
	var r struct {
		Metrics []wireSample `json:"metrics"`
	}
	if err := c.do(ctx, http.MethodGet, path, q, nil, &r); err != nil {
		return nil, err
	}
	samples := make([]saba.Sample, len(r.Metrics))
	for i, m := range r.Metrics {
		samples[i] = saba.Sample(m)
	}
	return samples, nil
}

// HostMetricNames returns the names of the metrics that a host has posted.
func (c *Client) HostMetricNames(ctx context.Context, host string) ([]string, error) {
	return c.names(ctx, path("hosts", host, "metric-names"))
}

// ServiceMetricNames returns the names of the metrics that were posted to a service.
func (c *Client) ServiceMetricNames(ctx context.Context, service string) ([]string, error) {
	return c.names(ctx, path("services", service, "metric-names"))
}

func (c *Client) names(ctx context.Context, path string) ([]string, error) {
	var r struct {
		Names []string `json:"names"`
	}
	err := c.do(ctx, http.MethodGet, path, nil, nil, &r)
	return r.Names, err
}

// LatestMetrics returns the newest sample of every combination of hosts and names that has
// one: by host id, then by metric name.
func (c *Client) LatestMetrics(ctx context.Context, hosts, names []string) (map[string]map[string]saba.Sample, error) {
	var r struct {
		Latest map[string]map[string]wireSample `json:"tsdbLatest"`
	}
	if err := c.do(ctx, http.MethodGet, path("tsdb", "latest"), url.Values{"hostId": hosts, "name": names}, nil, &r); err != nil {
		return nil, err
	}
	latest := make(map[string]map[string]saba.Sample, len(r.Latest))
	for host, byName := range r.Latest {
		latest[host] = make(map[string]saba.Sample, len(byName))
		for name, s := range byName {
			latest[host][name] = saba.Sample(s)
		}
	}
	return latest, nil
}

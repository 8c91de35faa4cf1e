package client

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"strconv"

	"github.com/saba-monitor/saba"
)

type wireSample struct {
	Time  int64   `json:"time"`
	Value float64 `json:"value"`
}

// PostHostMetrics sends points, each to the host that its Series.Host names; they may be of
// several hosts. The error matches saba.ErrInvalid, and nothing is sent, when a value is NaN
// or infinite: JSON has no word for them.
func (c *Client) PostHostMetrics(ctx context.Context, points []saba.Point) error {
	return c.postPoints(ctx, path("tsdb"), points, true)
}

// PostServiceMetrics sends points of one service. Series.Host and Series.Service are not looked at.
func (c *Client) PostServiceMetrics(ctx context.Context, service string, points []saba.Point) error {
	return c.postPoints(ctx, path("services", service, "tsdb"), points, false)
}

func (c *Client) postPoints(ctx context.Context, path string, points []saba.Point, hosts bool) error {
	body, err := encodePoints(points, hosts)
	if err != nil {
		return saba.Errorf(saba.ErrInvalid, "POST %s: %v", path, err)
	}
	_, _, err = c.raw(ctx, http.MethodPost, path, nil, body)
	return err
}

// encodePoints returns points as the list that the server takes, with or without the id of each host. It is what
// encoding/json makes of them, in one piece of memory: an agent may have ten thousand points a minute.
func encodePoints(points []saba.Point, hosts bool) ([]byte, error) {
	const around = len(`{"hostId":"","name":"","time":1700000000,"value":0.1234567890123456},`)
	size := len("[]")
	for _, p := range points {
		size += around + len(p.Host) + len(p.Name)
	}
	b := append(make([]byte, 0, size), '[')
	for i, p := range points {
		if math.IsNaN(p.Value) || math.IsInf(p.Value, 0) {
			return nil, fmt.Errorf("metric %s has the value %v, for which JSON has no word", p.Name, p.Value)
		}
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, '{')
		if hosts && p.Host != "" {
			b = append(appendJSON(append(b, `"hostId":`...), p.Host), ',')
		}
		b = appendJSON(append(b, `"name":`...), p.Name)
		b = strconv.AppendInt(append(b, `,"time":`...), p.Time, 10)
		format := byte('f')
		if abs := math.Abs(p.Value); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
			format = 'e'
		}
		b = strconv.AppendFloat(append(b, `,"value":`...), p.Value, format, -1, 64)
		b = append(b, '}')
	}
	return append(b, ']'), nil
}

// appendJSON appends s as a JSON string to b.
func appendJSON(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			quoted, _ := json.Marshal(s) // no string fails
			return append(b, quoted...)
		}
	}
	b = append(append(b, '"'), s...)
	return append(b, '"')
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

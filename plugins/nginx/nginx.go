// Package nginx is the plugin that watches one nginx through its page of stub_status.
package nginx

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strconv"
	"strings"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/plugin"
	"github.com/saba-monitor/saba/plugin/target"
)

// Plugin reports connections and requests of one nginx.
var Plugin = plugin.Plugin{
	Name:  "nginx",
	Short: "connections and requests of an nginx that serves its stub_status",
	Graphs: []plugin.Graph{
		{Name: "connections", Label: "Connections", Unit: saba.UnitInteger, Metrics: []plugin.Metric{
			{Name: "connections", Label: "Active connections"},
		}},
		{Name: "requests", Label: "requests", Unit: saba.UnitFloat, Metrics: []plugin.Metric{
			{Name: "accepts", Label: "Accepted connections", Counter: true},
			{Name: "handled", Label: "Handled connections", Counter: true},
			{Name: "requests", Label: "Requests", Counter: true},
		}},
		{Name: "queue", Label: "connection status", Unit: saba.UnitInteger, Metrics: []plugin.Metric{
			{Name: "reading", Label: "Reading"},
			{Name: "writing", Label: "Writing"},
			{Name: "waiting", Label: "Waiting"},
		}},
	},
	New: func(fs *flag.FlagSet) plugin.Collector {
		c := &collector{http: target.HTTP{UserAgent: "mackerel-plugin-nginx"}}
		c.url.AddFlags(fs, "8080", "/nginx_status")
		c.http.AddFlags(fs)
		fs.BoolVar(&c.http.Insecure, "tls-skip-verify", false, "the same as -insecure")
		return c
	},
}

type collector struct {
	url  target.URL
	http target.HTTP
}

// Collect asks for the page once.
func (c *collector) Collect(ctx context.Context) ([]saba.Value, error) {
	body, err := c.http.Get(ctx, c.url.String())
	if err != nil {
		return nil, err
	}
	values, err := parse(string(body))
	if err != nil {
		return values, fmt.Errorf("the answer of %s %w", c.http.Name(c.url.String()), err)
	}
	return values, nil
}

// page is a page of ngx_http_stub_status_module, with the names of metrics where their values stand.
const page = `Active connections: connections.connections
server accepts handled requests
 requests.accepts requests.handled requests.requests
Reading: queue.reading Writing: queue.writing Waiting: queue.waiting
`

// parse reads a page. A number that nginx cannot mean is left out; with an error, which is a clause.
func parse(text string) ([]saba.Value, error) {
	words, names := strings.Fields(text), strings.Fields(page)
	// Without its last line feed, the page may lack digits too.
	if len(words) != len(names) || !strings.HasSuffix(text, "\n") {
		return nil, errNoPage
	}
	var values []saba.Value
	var errs []error
	for i, name := range names {
		if !strings.Contains(name, ".") {
			if words[i] != name {
				return nil, errNoPage
			}
			continue
		}
		n, err := strconv.ParseUint(words[i], 10, 64)
		if err != nil {
			return nil, errNoPage
		}
		if n > maxCount {
			errs = append(errs, fmt.Errorf("has %d for %s, as after the crash of a worker: restart nginx", n, name))
			continue
		}
		values = append(values, saba.Value{Name: name, Value: float64(n)})
	}
	return values, errors.Join(errs...)
}

var errNoPage = errors.New("is no page of stub_status: let its location say \"stub_status;\"")

// maxCount is more than any nginx counts. The gauges of one whose worker crashed go wrong, and
// below zero they are printed as what is near 2^64 (ngx_http_stub_status_module.c, NGX_ATOMIC_T).
const maxCount = 1 << 53

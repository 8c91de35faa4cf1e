// Package gostats is the plugin that reads the runtime figures of a Go program from the handler
// that it mounts: a JSON object of goroutine_num, memory_alloc, gc_num and so on.
package gostats

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/plugin"
)

// Plugin reports goroutines, memory and garbage collections of one Go program. A metric has the
// name of its field in the answer.
var Plugin = plugin.Plugin{
	Name:  "gostats",
	Short: "goroutines, memory and garbage collections of a Go program that serves its runtime figures",
	Graphs: []plugin.Graph{
		{Name: "runtime", Label: "Runtime", Unit: saba.UnitInteger, Metrics: []plugin.Metric{
			{Name: "goroutine_num", Label: "Goroutine Num"},
			{Name: "cgo_call_num", Label: "CGO Call Num", Counter: true},
		}},
		{Name: "memory", Label: "Memory", Unit: saba.UnitBytes, Metrics: []plugin.Metric{
			{Name: "memory_alloc", Label: "Alloc"},
			{Name: "memory_sys", Label: "Sys"},
			{Name: "memory_stack", Label: "Stack In Use"},
		}},
		{Name: "operation", Label: "Operation", Unit: saba.UnitInteger, Metrics: []plugin.Metric{
			{Name: "memory_lookups", Label: "Pointer Lookups", Counter: true},
			{Name: "memory_mallocs", Label: "Mallocs", Counter: true},
			{Name: "memory_frees", Label: "Frees", Counter: true},
		}},
		{Name: "heap", Label: "Heap", Unit: saba.UnitBytes, Metrics: []plugin.Metric{
			{Name: "heap_sys", Label: "Sys"},
			{Name: "heap_idle", Label: "Idle"},
			{Name: "heap_inuse", Label: "In Use"},
			// Bytes that are with the system now, not a total: its change would be negative as
			// often as not.
			{Name: "heap_released", Label: "Released"},
		}},
		{Name: "gc", Label: "GC", Unit: saba.UnitFloat, Metrics: []plugin.Metric{
			{Name: "gc_num", Label: "GC Num", Counter: true},
			// These two are since the handler was last asked, by whomever.
			{Name: "gc_per_second", Label: "GC Per Second"},
			{Name: "gc_pause_per_second", Label: "GC Pause Per Second"},
		}},
	},
	New: func(fs *flag.FlagSet) plugin.Collector {
		c := &collector{header: http.Header{"User-Agent": {"mackerel-plugin-gostats"}}}
		fs.StringVar(&c.uri, "uri", "", "`URL` of the handler, in place of the next four flags")
		fs.StringVar(&c.scheme, "scheme", "http", "`scheme` of the URL")
		fs.StringVar(&c.host, "host", "localhost", "`host` of the URL")
		fs.StringVar(&c.port, "port", "8080", "`port` of the URL")
		fs.StringVar(&c.path, "path", "/api/stats", "`path` of the URL")
		fs.StringVar(&c.socket, "socket", "", "unix `socket` to ask through, in place of host and port")
		fs.BoolVar(&c.insecure, "insecure", false, "do not verify the certificate of an https URL")
		fs.Func("header", "`name: value` of a request header; may be repeated", c.addHeader)
		return c
	},
}

// maxBody bounds the answer of a handler in bytes; a real one has about 2 KiB.
const maxBody = 1 << 20

type collector struct {
	uri, scheme, host, port, path string
	socket                        string
	insecure                      bool
	header                        http.Header

	once   sync.Once
	client *http.Client
}

func (c *collector) addHeader(s string) error {
	name, value, ok := strings.Cut(s, ":")
	if name = strings.TrimSpace(name); !ok || name == "" {
		return errors.New("it must be like \"Authorization: Bearer x\"") // without s, which may be a secret
	}
	c.header.Set(name, strings.TrimSpace(value))
	return nil
}

// url returns where the handler is.
func (c *collector) url() string {
	if c.uri != "" {
		return c.uri
	}
	return c.scheme + "://" + c.host + ":" + c.port + c.path
}

// start makes the client, which keeps its connection from turn to turn.
func (c *collector) start() {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConns = 1
	if c.insecure {
		t.TLSClientConfig = &tls.Config{InsecureSkipVerify: true}
	}
	if c.socket != "" {
		t.Proxy = nil
		t.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", c.socket)
		}
	}
	c.client = &http.Client{Transport: t}
}

// Collect asks the handler once. Fields that it does not have are left out, with an error.
func (c *collector) Collect(ctx context.Context) ([]saba.Value, error) {
	c.once.Do(c.start)
	body, err := c.get(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", c.target(), err)
	}
	values, err := parse(body)
	if err != nil {
		return values, fmt.Errorf("the answer of %s %w", c.target(), err)
	}
	return values, nil
}

// target names what is asked, without its secrets.
func (c *collector) target() string {
	u, err := url.Parse(c.url())
	if err != nil {
		return "the URL" // it may be anything
	}
	u.RawQuery = ""
	if c.socket != "" {
		return u.Redacted() + " through " + c.socket
	}
	return u.Redacted()
}

// get returns the body of the handler's answer.
func (c *collector) get(ctx context.Context) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url(), nil)
	if err != nil {
		return nil, errors.New("it is not a URL that can be asked")
	}
	r.Header = c.header
	if host := c.header.Get("Host"); host != "" {
		r.Host = host
	}
	res, err := c.client.Do(r)
	if err != nil {
		if e, ok := errors.AsType[*url.Error](err); ok {
			err = e.Err // without the URL, which may have secrets
		}
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("it answers %s", res.Status)
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, maxBody+1))
	if err != nil {
		return nil, fmt.Errorf("its answer breaks off: %w", err)
	}
	if len(body) > maxBody {
		return nil, fmt.Errorf("its answer has more than %d bytes", maxBody)
	}
	return body, nil
}

// parse returns the values of an answer. What it does not have is left out: a zero would be a
// figure. The error is a clause that says what is missing.
func parse(body []byte) ([]saba.Value, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(body, &fields); err != nil {
		return nil, fmt.Errorf("is not the JSON of a stats handler: %w", err)
	}
	var values []saba.Value
	var missing []string
	for _, g := range Plugin.Graphs {
		for _, m := range g.Metrics {
			var v *float64
			if json.Unmarshal(fields[m.Name], &v) != nil || v == nil {
				missing = append(missing, m.Name)
				continue
			}
			values = append(values, saba.Value{Name: g.Name + "." + m.Name, Value: *v})
		}
	}
	if len(missing) > 0 {
		return values, fmt.Errorf("has no number %s", strings.Join(missing, ", "))
	}
	return values, nil
}

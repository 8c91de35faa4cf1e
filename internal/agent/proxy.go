package agent

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/saba-monitor/saba/internal/proxy"
)

// proxyDirect, in place of a proxy's address, says: none of ours.
const proxyDirect = "direct"

// Transport returns how an agent reaches its server: through the proxies that its
// configuration names, or else those of the environment that getenv reads (HTTP_PROXY,
// HTTPS_PROXY), but for the hosts of NO_PROXY.
func Transport(c Config, getenv func(string) string) *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.DisableKeepAlives = c.DisableKeepAlive
	fromEnvironment := proxy.FromEnvironment(getenv)
	t.Proxy = func(r *http.Request) (*url.URL, error) {
		// As in other agents of the protocol, http_proxy alone serves https too.
		address := c.HTTPProxy
		if r.URL.Scheme == "https" {
			address = cmp.Or(c.HTTPSProxy, c.HTTPProxy)
		}
		switch {
		case address == "" || address == proxyDirect:
			return fromEnvironment(r)
		case proxy.Bypassed(r.URL.Hostname(), cmp.Or(getenv("NO_PROXY"), getenv("no_proxy"))):
			return nil, nil
		}
		return parseProxy(address)
	}
	return t
}

// parseProxy parses the address of a proxy.
func parseProxy(s string) (*url.URL, error) {
	u, err := proxy.Parse(s)
	if err != nil {
		return nil, fmt.Errorf("%w, or %q", err, proxyDirect)
	}
	return u, nil
}

// PluginEnviron returns the environment that plugins run with, made from the agent's own: the
// usual folders of commands and plugins on the PATH, the C locale, and the configured proxies.
func PluginEnviron(environ []string, c Config) []string {
	const before, after = "/sbin:/usr/sbin:/bin:/usr/bin", "/opt/mackerel-agent/plugins/bin"
	path := before + ":" + after
	var out []string
	for _, kv := range environ {
		k, v, _ := strings.Cut(kv, "=")
		switch {
		case k == "PATH" && v != "":
			path = before + ":" + v + ":" + after
		case k == "PATH", k == "LANG", k == "LC_ALL":
		// The agent's own key is no business of a plugin, nor is its service manager.
		case k == "SABA_API_KEY", k == "MACKEREL_APIKEY", k == "NOTIFY_SOCKET", k == "WATCHDOG_USEC", k == "WATCHDOG_PID":
		default:
			out = append(out, kv)
		}
	}
	out = append(out, "PATH="+path, "LANG=C", "LC_ALL=C")
	https := c.HTTPSProxy
	if https == "" {
		https = c.HTTPProxy
	}
	if c.HTTPProxy != "" && c.HTTPProxy != proxyDirect {
		out = append(out, "HTTP_PROXY="+c.HTTPProxy)
	}
	if https != "" && https != proxyDirect {
		out = append(out, "HTTPS_PROXY="+https)
	}
	return out
}

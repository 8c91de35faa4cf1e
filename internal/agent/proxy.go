package agent

import (
	"cmp"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
)

// proxyDirect, in place of a proxy's address, says: none of ours.
const proxyDirect = "direct"

// Transport returns how an agent reaches its server: through the proxies that its
// configuration names, or else those of the environment that getenv reads (HTTP_PROXY,
// HTTPS_PROXY). The entries of NO_PROXY are host names, domains with or without a leading
// dot, addresses, blocks of them, or "*".
func Transport(c Config, getenv func(string) string) *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.DisableKeepAlives = c.DisableKeepAlive
	either := func(name string) string { return cmp.Or(getenv(name), getenv(strings.ToLower(name))) }
	t.Proxy = func(r *http.Request) (*url.URL, error) {
		// As in other agents of the protocol, http_proxy alone serves https too.
		proxy, variable := c.HTTPProxy, "HTTP_PROXY"
		if r.URL.Scheme == "https" {
			proxy, variable = cmp.Or(c.HTTPSProxy, c.HTTPProxy), "HTTPS_PROXY"
		}
		if proxy == "" || proxy == proxyDirect {
			proxy = either(variable)
		}
		if proxy == "" || noProxy(strings.ToLower(r.URL.Hostname()), either("NO_PROXY")) {
			return nil, nil
		}
		return parseProxy(proxy)
	}
	return t
}

// noProxy says whether host is to be reached directly: this machine itself, or one on the list.
func noProxy(host, list string) bool {
	if ip := net.ParseIP(host); host == "localhost" || ip != nil && ip.IsLoopback() {
		return true
	}
	for entry := range strings.SplitSeq(list, ",") {
		entry = strings.ToLower(strings.TrimSpace(entry))
		if entry == "*" || entry != "" && (entry == host || strings.HasSuffix(host, "."+strings.TrimPrefix(entry, "."))) {
			return true
		}
		if ip, block := net.ParseIP(host), entry; ip != nil && strings.Contains(block, "/") {
			if _, n, err := net.ParseCIDR(block); err == nil && n.Contains(ip) {
				return true
			}
		}
	}
	return false
}

// parseProxy parses the address of a proxy; without a scheme it is http.
func parseProxy(s string) (*url.URL, error) {
	if !strings.Contains(s, "://") {
		s = "http://" + s
	}
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "socks5") {
		return nil, fmt.Errorf("must be the address of a proxy such as http://proxy.example.com:8080, or %q", proxyDirect)
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

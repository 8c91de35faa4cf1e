// Package proxy says through which proxy a URL is asked, for the agent and for checks.
package proxy

import (
	"cmp"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strings"
)

// FromEnvironment returns the proxy for a request, of the environment that getenv reads:
// HTTP_PROXY or HTTPS_PROXY by the scheme of the URL, but for the hosts of NO_PROXY; in lower
// case they count too. It fits http.Transport.
func FromEnvironment(getenv func(string) string) func(*http.Request) (*url.URL, error) {
	either := func(name string) string { return cmp.Or(getenv(name), getenv(strings.ToLower(name))) }
	return func(r *http.Request) (*url.URL, error) {
		address := either(strings.ToUpper(r.URL.Scheme) + "_PROXY")
		if address == "" || Bypassed(r.URL.Hostname(), either("NO_PROXY")) {
			return nil, nil
		}
		return Parse(address)
	}
}

// Bypassed says whether host is to be reached without a proxy: this machine itself, or one on
// the list, whose entries are host names, domains with or without a leading dot, addresses,
// blocks of them, or "*".
func Bypassed(host, list string) bool {
	host = strings.ToLower(host)
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

// Parse parses the address of a proxy; without a scheme it is http.
func Parse(s string) (*url.URL, error) {
	if !strings.Contains(s, "://") {
		s = "http://" + s
	}
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "socks5") {
		return nil, errors.New("must be the address of a proxy such as http://proxy.example.com:8080") // without s, which may hold a password
	}
	return u, nil
}

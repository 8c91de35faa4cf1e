package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/saba-monitor/saba/internal/proxy"
)

// A probeHeader is an element of the list of headers of readinessProbe.http.
type probeHeader struct{ name, value string }

// probeHTTP sends a request, which says ready by a status from 200 to 399, of where redirects lead. Without a port the host is asked at its scheme's own. Proxies of the
// environment are not used: what is asked stands beside the agent.
func probeHTTP(l *loader, path []string, m map[string]any) func(ctx context.Context) error {
	var where, port string
	scheme, method, host := "http", http.MethodGet, "localhost"
	var headers []probeHeader
	var through *url.URL
	before := len(l.mistakes)
	l.section(path, m, []key{
		value("path", asString, &where), value("port", asPort, &port), value("host", asString, &host), value("method", asMethod, &method),
		value("scheme", asScheme, &scheme), value("proxy", asProxyURL, &through), value("headers", asProbeHeaders, &headers),
	})
	if len(l.mistakes) > before {
		return nil
	}
	if where == "" {
		l.mistake(path, "%s has no path", shown(path))
		return nil
	}
	address := scheme + "://" + host
	if port != "" {
		address = scheme + "://" + net.JoinHostPort(strings.Trim(host, "[]"), port)
	}
	if !strings.HasPrefix(where, "/") {
		where = "/" + where
	}
	address += where
	if u, err := url.Parse(address); err != nil || u.Host == "" {
		l.mistake(path, "%s makes the address %q, which is none", shown(path), address)
		return nil
	}
	// A connection a question: after the last one none stays open.
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, Proxy: http.ProxyURL(through)}}
	return func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, method, address, nil)
		if err != nil {
			return err
		}
		req.Header.Set("User-Agent", ContainerUserAgent())
		for i, h := range headers {
			switch {
			case strings.EqualFold(h.name, "Host"):
				req.Host = h.value
			case slices.ContainsFunc(headers[:i], func(o probeHeader) bool { return strings.EqualFold(o.name, h.name) }):
				req.Header.Add(h.name, h.value)
			default:
				req.Header.Set(h.name, h.value)
			}
		}
		res, err := client.Do(req)
		if err != nil {
			var u *url.Error // it repeats method and address, with a password in it perhaps
			if errors.As(err, &u) {
				err = u.Err
			}
			return fmt.Errorf("no answer: %w", err)
		}
		defer res.Body.Close()
		_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 64<<10)) // what it says does not count
		if res.StatusCode < 200 || res.StatusCode > 399 {
			return fmt.Errorf("it answers %d", res.StatusCode)
		}
		return nil
	}
}

func asMethod(v any) (string, error) {
	s, err := asString(v)
	if err != nil {
		return "", err
	}
	if s = strings.ToUpper(s); !isToken(s) {
		return "", fmt.Errorf("must be a method such as GET or HEAD, not %q", s)
	}
	return s, nil
}

func asScheme(v any) (string, error) {
	s, err := asString(v)
	if s = strings.ToLower(s); err == nil && s != "http" && s != "https" {
		err = fmt.Errorf("must be http or https, not %q", s)
	}
	return s, err
}

func asProxyURL(v any) (*url.URL, error) {
	s, err := asString(v)
	if err != nil || s == "" {
		return nil, err
	}
	return proxy.Parse(s)
}

// asProbeHeaders reads a list of tables of name and value.
func asProbeHeaders(v any) ([]probeHeader, error) {
	list, ok := v.([]any)
	if !ok {
		return nil, wrongType("a list of headers, each with name and value", v)
	}
	var headers []probeHeader
	for i, e := range list {
		m, ok := e.(map[string]any)
		if !ok {
			return nil, fmt.Errorf("has no name and value in its element %d", i+1)
		}
		var h probeHeader
		for k, v := range m {
			s, err := asString(v)
			switch {
			case err != nil:
				return nil, fmt.Errorf("has a %s in its element %d that %w", k, i+1, err)
			case k == "name":
				h.name = s
			case k == "value":
				h.value = s
			default:
				return nil, fmt.Errorf("has %q in its element %d: there are name and value", k, i+1)
			}
		}
		if !isToken(h.name) || strings.ContainsFunc(h.value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
			return nil, fmt.Errorf("has the element %d, which is no header: %q", i+1, h.name)
		}
		headers = append(headers, h)
	}
	return headers, nil
}

// isToken says whether s is a token of RFC 9110, section 5.6.2: methods and names of headers are.
func isToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r > '~' || strings.ContainsRune("\"(),/:;<=>?@[\\]{}", r)
	})
}

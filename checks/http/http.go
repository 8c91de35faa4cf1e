// Package http is the check of an answer over HTTP: its status, its body and its certificate.
package http

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/check"
	"github.com/saba-monitor/saba/check/target"
	"github.com/saba-monitor/saba/internal/argv"
	"github.com/saba-monitor/saba/internal/proxy"
)

// Check asks a URL once.
var Check = check.Check{
	Name:  "http",
	Short: "whether a URL answers as it should",
	Title: "HTTP",
	New: func(fs *check.FlagSet) check.Checker {
		c := &checker{header: http.Header{}}
		fs.StringVarP(&c.address, "url", "u", "", "`URL` to ask; required")
		fs.FuncP("status", "s", "`CODE=STATUS` or FROM-TO=STATUS says what a status of HTTP means; may be repeated, the first that fits counts (default 4xx is WARNING, 5xx is CRITICAL, others are OK)", c.addStatus)
		c.tls.AddFlags(fs)
		fs.StringVarP(&c.sourceIP, "source-ip", "i", "", "`address` of this host to ask from")
		fs.FuncP("header", "H", "`name: value` of a request header; for a moment visible to everybody on this host, so a secret rather in --header-file; may be repeated", func(s string) error {
			defer argv.Hide(s)
			return addHeader(c.header, s)
		})
		fs.StringVar(&c.headerFile, "header-file", "", "`file` that holds request headers, one name: value a line")
		fs.FuncP("pattern", "p", "`regexp` that the body must match", func(s string) (err error) {
			c.pattern, err = regexp.Compile(s)
			return err
		})
		fs.IntVar(&c.maxRedirects, "max-redirects", 10, "`number` of redirects to follow; 0 judges the first answer")
		fs.StringVarP(&c.method, "method", "m", http.MethodGet, "`method` of the request: GET, HEAD, POST or PUT")
		fs.Func("connect-to", "`HOST1:PORT1:HOST2:PORT2` connects to the second in place of the first; an empty part is any or unchanged, IPv6 stands in brackets; may be repeated", c.addRoute)
		fs.StringVarP(&c.proxy, "proxy", "x", "", "`address` of the proxy to ask through, by default at port 1080 (default that of HTTP_PROXY or HTTPS_PROXY)")
		c.user.AddFlags(fs, "user", "", "CHECK_HTTP_USER")
		fs.Lookup("user").Usage = strings.Replace(fs.Lookup("user").Usage, "`user`", "`name:password`", 1)
		fs.StringVarP(&c.body, "body", "d", "", "`text` to send")
		fs.Int64VarP(&c.exact, "require-bytes", "B", -1, "CRITICAL unless the body has this `number` of bytes; -1 is off")
		fs.Int64VarP(&c.least, "min-bytes", "g", -1, "CRITICAL unless the body has at least this `number` of bytes; -1 is off")
		return c
	},
}

// maxBody bounds what is read of a body, in bytes. What follows is not looked at.
const maxBody = 4 << 20

// A checker asks one URL. It connects anew each time, since that is what others must be able to.
type checker struct {
	address      string
	statuses     []statusRange
	tls          target.TLS
	sourceIP     string
	header       http.Header
	headerFile   string // with more of them
	pattern      *regexp.Regexp
	maxRedirects int
	method       string
	routes       []route
	proxy        string
	user         check.Secret // name, or name:password
	body         string
	exact, least int64 // bytes; negative is off
}

// A statusRange says what the statuses of HTTP from low to high mean.
type statusRange struct {
	low, high int
	means     saba.CheckStatus
}

// A route leads connections to a host and port to another one. Empty parts are any or unchanged.
type route struct{ fromHost, fromPort, toHost, toPort string }

func (c *checker) addStatus(s string) error {
	codes, means, ok := strings.Cut(s, "=")
	low, high, isRange := strings.Cut(codes, "-")
	if !isRange {
		high = low
	}
	r := statusRange{means: saba.CheckStatus(strings.ToUpper(strings.TrimSpace(means)))}
	var errLow, errHigh error
	r.low, errLow = strconv.Atoi(strings.TrimSpace(low))
	r.high, errHigh = strconv.Atoi(strings.TrimSpace(high))
	if !ok || errLow != nil || errHigh != nil || r.low < 100 || r.high > 999 || r.low > r.high || !r.means.Valid() {
		return fmt.Errorf("%q must be like 404=OK or 500-599=WARNING", s)
	}
	c.statuses = append(c.statuses, r)
	return nil
}

// addHeader adds a line like "Authorization: Bearer x" to header. The error does not show it.
func addHeader(header http.Header, line string) error {
	name, value, ok := strings.Cut(line, ":")
	if name = strings.TrimSpace(name); !ok || name == "" {
		return errors.New("it must be like \"Authorization: Bearer x\"")
	}
	header.Add(name, strings.TrimSpace(value))
	return nil
}

// headers returns what the flags say.
func (c *checker) headers() (http.Header, error) {
	header := c.header.Clone()
	if c.headerFile == "" {
		return header, nil
	}
	text, err := check.ReadSecret(c.headerFile)
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		if err := addHeader(header, line); err != nil {
			return nil, fmt.Errorf("a line of %s is no header: %w", c.headerFile, err)
		}
	}
	return header, nil
}

func (c *checker) addRoute(s string) error {
	// Compiled here, since every start of the program would pay for it elsewhere.
	m := regexp.MustCompile(`^(\[[^\]]*\]|[^:\[\]]*):([0-9]*):(\[[^\]]*\]|[^:\[\]]*):([0-9]*)$`).FindStringSubmatch(s)
	if m == nil {
		return fmt.Errorf("%q must be like www.example.com:443:192.0.2.7:8443", s)
	}
	host := func(s string) string { return strings.ToLower(strings.Trim(s, "[]")) }
	c.routes = append(c.routes, route{host(m[1]), m[2], host(m[3]), m[4]})
	return nil
}

// CheckFlags implements check.FlagChecker.
func (c *checker) CheckFlags() error {
	c.method = strings.ToUpper(c.method)
	u, err := url.Parse(c.address)
	switch {
	case c.address == "":
		return errors.New("--url is required")
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return errors.New("--url must begin with http:// or https:// and a host") // without it, which may hold a password
	case !slices.Contains([]string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut}, c.method):
		return fmt.Errorf("--method %s must be GET, HEAD, POST or PUT", c.method)
	case c.method == http.MethodHead && c.pattern != nil:
		return errors.New("--pattern has nothing to match: an answer to HEAD has no body")
	case c.sourceIP != "" && net.ParseIP(c.sourceIP) == nil:
		return fmt.Errorf("--source-ip %s must be an address", c.sourceIP)
	case c.maxRedirects < 0:
		return fmt.Errorf("--max-redirects %d must not be negative", c.maxRedirects)
	case c.proxy != "" && len(c.routes) > 0:
		return errors.New("--proxy and --connect-to do not go together")
	}
	if c.proxy != "" {
		if _, err := c.proxyURL(); err != nil {
			return fmt.Errorf("--proxy %w", err)
		}
	}
	return c.tls.CheckFlags()
}

// proxyURL returns what --proxy says.
func (c *checker) proxyURL() (*url.URL, error) {
	u, err := proxy.Parse(c.proxy)
	if err == nil && u.Port() == "" {
		u.Host += ":1080"
	}
	return u, err
}

// Check implements check.Checker.
func (c *checker) Check(ctx context.Context) check.Result {
	r, err := c.request(ctx)
	if err != nil {
		return check.Unknown("%v", err)
	}
	client, err := c.client(ctx)
	if err != nil {
		return check.Unknown("%v", err)
	}
	defer client.CloseIdleConnections()
	start := time.Now()
	res, err := client.Do(r)
	if err != nil {
		err = check.Reason(ctx, err)
		if e, ok := errors.AsType[*url.Error](err); ok {
			err = e.Err // without the URL, which may have secrets
		}
		return check.Critical("%s: %v", name(r.URL), err)
	}
	defer res.Body.Close()
	b, err := c.read(res)
	if err != nil {
		return check.Critical("%s: %s, but the body breaks off after %d bytes: %v", c.asked(r, res), statusLine(res), b.size, check.Reason(ctx, err))
	}
	status, wrong := c.judge(res, b)
	message := fmt.Sprintf("%s - %s in %.3f second response time", statusLine(res), b, time.Since(start).Seconds())
	if wrong != "" {
		message += ", " + wrong
	}
	if status != saba.CheckOK {
		message = c.asked(r, res) + ": " + message
	}
	return check.Result{Status: status, Message: message}
}

// request returns the request.
func (c *checker) request(ctx context.Context) (*http.Request, error) {
	r, err := http.NewRequestWithContext(ctx, c.method, c.address, strings.NewReader(c.body))
	if err != nil {
		return nil, errors.New("--url is not a URL that can be asked")
	}
	r.Header.Set("User-Agent", "check-http")
	header, err := c.headers()
	if err != nil {
		return nil, err
	}
	maps.Copy(r.Header, header)
	if host := r.Header.Get("Host"); host != "" {
		r.Host = host
	}
	user, err := c.user.Read(ctx)
	if err != nil {
		return nil, err
	}
	if user != "" {
		name, password, _ := strings.Cut(user, ":")
		r.SetBasicAuth(name, password)
	}
	return r, nil
}

// client returns a client for one check.
func (c *checker) client(ctx context.Context) (*http.Client, error) {
	config, err := c.tls.Config()
	if err != nil {
		return nil, err
	}
	dialer := &net.Dialer{}
	if c.sourceIP != "" {
		dialer.LocalAddr = &net.TCPAddr{IP: net.ParseIP(c.sourceIP)}
	}
	t := &http.Transport{
		Proxy:                  proxy.FromEnvironment(func(name string) string { return check.Getenv(ctx, name) }),
		TLSClientConfig:        config,
		ForceAttemptHTTP2:      true, // which a configuration of ours turns off otherwise
		MaxResponseHeaderBytes: 1 << 20,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			return dialer.DialContext(ctx, network, c.routed(address))
		},
	}
	if c.proxy != "" {
		t.Proxy = func(*http.Request) (*url.URL, error) { return c.proxyURL() }
	}
	if len(c.routes) > 0 {
		t.Proxy = nil // which would be what is connected to
	}
	return &http.Client{Transport: t, CheckRedirect: func(r *http.Request, via []*http.Request) error {
		if len(via) > c.maxRedirects {
			return http.ErrUseLastResponse
		}
		if !strings.EqualFold(r.URL.Host, via[0].URL.Host) {
			for name := range via[0].Header { // they may be secrets, which are for the first host alone
				if name != "User-Agent" {
					r.Header.Del(name)
				}
			}
		}
		return nil
	}}, nil
}

// routed returns where a connection to address leads.
func (c *checker) routed(address string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	for _, r := range c.routes {
		if (r.fromHost == "" || r.fromHost == strings.ToLower(host)) && (r.fromPort == "" || r.fromPort == port) {
			if r.toHost != "" {
				host = r.toHost
			}
			if r.toPort != "" {
				port = r.toPort
			}
			return net.JoinHostPort(host, port)
		}
	}
	return address
}

// A body is what is known of one.
type body struct {
	size    int64 // bytes
	more    bool  // there are more than size
	unknown bool  // its size is
	matches bool  // the pattern does
}

func (b body) String() string {
	switch {
	case b.unknown:
		return "unknown bytes"
	case b.more:
		return fmt.Sprintf("more than %d bytes", b.size)
	}
	return fmt.Sprintf("%d bytes", b.size)
}

// read reads the body of res, as far as it is looked at, and keeps nothing of it.
func (c *checker) read(res *http.Response) (b body, err error) {
	if c.method == http.MethodHead {
		return body{size: res.ContentLength, unknown: res.ContentLength < 0}, nil
	}
	limited := io.LimitReader(res.Body, maxBody+1)
	if c.pattern == nil {
		b.size, err = io.Copy(io.Discard, limited)
	} else {
		var text bytes.Buffer
		b.size, err = text.ReadFrom(limited)
		b.matches = c.pattern.Match(text.Bytes()[:min(b.size, maxBody)])
	}
	if b.size > maxBody {
		b.size, b.more = maxBody, true
		if res.ContentLength > maxBody { // which is missing when the size is another than that of what is sent
			b.size, b.more = res.ContentLength, false
		}
	}
	return b, err
}

// judge returns what an answer means, and a clause about what is wrong with it besides its status.
func (c *checker) judge(res *http.Response, b body) (saba.CheckStatus, string) {
	switch {
	case c.pattern != nil && !b.matches && b.more:
		return saba.CheckCritical, fmt.Sprintf("/%s/ does not match the first %d bytes of the body", c.pattern, maxBody)
	case c.pattern != nil && !b.matches:
		return saba.CheckCritical, fmt.Sprintf("/%s/ does not match the body", c.pattern)
	case c.exact >= 0 && (b.unknown || b.more || b.size != c.exact):
		return saba.CheckCritical, fmt.Sprintf("not the %d bytes that are required", c.exact)
	case c.least >= 0 && (b.unknown || b.size < c.least):
		return saba.CheckCritical, fmt.Sprintf("not the %d bytes or more that are required", c.least)
	}
	for _, r := range c.statuses {
		if r.low <= res.StatusCode && res.StatusCode <= r.high {
			return r.means, ""
		}
	}
	switch {
	case res.StatusCode >= 500:
		return saba.CheckCritical, ""
	case res.StatusCode >= 400:
		return saba.CheckWarning, ""
	case res.StatusCode >= 300 && res.Header.Get("Location") != "" && c.maxRedirects > 0:
		return saba.CheckCritical, fmt.Sprintf("redirected more than %d times", c.maxRedirects)
	}
	return saba.CheckOK, ""
}

// asked names what was asked, and where that led.
func (c *checker) asked(r *http.Request, res *http.Response) string {
	first, last := name(r.URL), name(res.Request.URL)
	if first == last {
		return first
	}
	return first + ", redirected to " + last
}

// name returns a URL without its secrets.
func name(u *url.URL) string {
	plain := *u
	plain.RawQuery, plain.Fragment = "", ""
	return plain.Redacted()
}

// statusLine returns the first line of an answer, which the server may have made long.
func statusLine(res *http.Response) string {
	const most = 100
	s := res.Proto + " " + res.Status
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}

// Package target is how plugins reach what they watch: one part for each way, with its flags.
// Its errors name the target and never a secret.
package target

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/saba-monitor/saba/internal/argv"
)

const (
	maxBody      = 4 << 20 // bytes of an answer
	maxRedirects = 10
)

// An HTTP asks over HTTP, and keeps its connection from turn to turn. It is used through a
// pointer; UserAgent must be set.
type HTTP struct {
	UserAgent string
	Socket    string // unix socket to ask through; "" means over the network
	Insecure  bool   // certificates are not verified
	Header    http.Header

	headerFile Secret // more of them, a line each

	once   sync.Once
	client *http.Client
}

// AddFlags adds -socket, -insecure, -header and -header-file to fs.
func (h *HTTP) AddFlags(fs *flag.FlagSet) {
	fs.StringVar(&h.Socket, "socket", "", "unix `socket` to ask through, in place of host and port")
	fs.BoolVar(&h.Insecure, "insecure", false, "do not verify the certificate of an https URL")
	fs.Func("header", "`name: value` of a request header; for a moment visible to everybody on this host, so a secret rather in -header-file; may be repeated", func(s string) error {
		if h.Header == nil {
			h.Header = http.Header{}
		}
		defer argv.Hide(s)
		return addHeader(h.Header, s)
	})
	fs.StringVar(&h.headerFile.file, "header-file", "", "`file` that holds request headers, one name: value a line")
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

// header returns the headers that the flags say. It reads the file anew each time: secrets change.
func (h *HTTP) header(ctx context.Context) (http.Header, error) {
	if h.headerFile.file == "" {
		return h.Header, nil
	}
	text, err := h.headerFile.Read(ctx)
	if err != nil {
		return nil, err
	}
	header := http.Header{}
	maps.Copy(header, h.Header.Clone())
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		if err := addHeader(header, line); err != nil {
			return nil, fmt.Errorf("a line of %s is no header: %w", h.headerFile.file, err)
		}
	}
	return header, nil
}

// A URL is where something is asked over HTTP, in one flag or in several.
type URL struct{ whole, scheme, host, port, path string }

// AddFlags adds -uri, -scheme, -host, -port and -path to fs.
func (u *URL) AddFlags(fs *flag.FlagSet, port, path string) {
	fs.StringVar(&u.whole, "uri", "", "`URL` to ask, in place of -scheme, -host, -port and -path")
	fs.StringVar(&u.scheme, "scheme", "http", "`scheme` of the URL")
	fs.StringVar(&u.host, "host", "localhost", "`host` of the URL")
	fs.StringVar(&u.port, "port", port, "`port` of the URL")
	fs.StringVar(&u.path, "path", path, "`path` of the URL")
}

// String returns the URL, with the secrets that may be in it.
func (u *URL) String() string {
	if u.whole != "" {
		return u.whole
	}
	return u.scheme + "://" + net.JoinHostPort(strings.Trim(u.host, "[]"), u.port) + u.path
}

// start makes the client.
func (h *HTTP) start() {
	t := http.DefaultTransport.(*http.Transport).Clone()
	if h.Insecure {
		t.TLSClientConfig = &tls.Config{InsecureSkipVerify: true}
	}
	if h.Socket != "" {
		t.Proxy = nil
		t.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", h.Socket)
		}
	}
	h.client = &http.Client{Transport: t, CheckRedirect: func(r *http.Request, via []*http.Request) error {
		if len(via) >= maxRedirects {
			return fmt.Errorf("it redirects more than %d times", maxRedirects)
		}
		if !strings.EqualFold(r.URL.Host, via[0].URL.Host) {
			for name := range via[0].Header { // they may be secrets, which are for the first host alone
				if name != "User-Agent" {
					r.Header.Del(name)
				}
			}
		}
		return nil
	}}
}

// Name names what address asks, without its secrets.
func (h *HTTP) Name(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "the URL" // it may hold anything
	}
	u.RawQuery = ""
	if h.Socket != "" {
		return u.Redacted() + " through " + h.Socket
	}
	return u.Redacted()
}

// Get returns the body of the answer to a GET of address. An answer that is not 200 is an
// error, and so is one of more than 4 MiB: an error page is no reading.
func (h *HTTP) Get(ctx context.Context, address string) ([]byte, error) {
	h.once.Do(h.start)
	body, err := h.get(ctx, address)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", h.Name(address), err)
	}
	return body, nil
}

func (h *HTTP) get(ctx context.Context, address string) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, errors.New("it is not a URL that can be asked")
	}
	header, err := h.header(ctx)
	if err != nil {
		return nil, err
	}
	r.Header.Set("User-Agent", h.UserAgent)
	maps.Copy(r.Header, header)
	if host := header.Get("Host"); host != "" {
		r.Host = host
	}
	res, err := h.client.Do(r)
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

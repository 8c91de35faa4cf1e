// Package dial connects to addresses that people point saba at: external monitors, channels. Who may write such an
// address may not thereby reach what only saba's machine and its network reach: other programs on the loopback, printers,
// databases, the metadata of a cloud with its credentials. A Dialer therefore connects to public addresses alone, unless
// whoever runs the server allows others.
//
// The address is judged when the name is resolved, right before that very address is connected to: a name that says
// something else the next time, a redirect and a second address of the same name gain nothing.
//
// No proxy is used, whatever the environment says: it would resolve the name itself, beyond what is judged here.
//
// Start with Dialer.Client.
package dial

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/netip"
	"syscall"
	"time"
)

// A Dialer connects to addresses that people point saba at. The zero value connects to public ones alone.
type Dialer struct {
	Allowed  []netip.Prefix   // blocks of other addresses to connect to all the same: ParseAllowed
	Resolver *net.Resolver    // nil means that of this machine
	Roots    *x509.CertPool   // authorities of certificates; nil means those of this machine
	Now      func() time.Time // by which certificates are judged; nil means time.Now
}

// A Family says over which version of IP a name is reached.
type Family string

// The families. The empty one is Auto.
const (
	IPv4 Family = "ipv4"
	IPv6 Family = "ipv6"
	Auto Family = "auto" // the one that answers first, IPv6 with a head start
)

func (f Family) network() string {
	switch f {
	case IPv4:
		return "tcp4"
	case IPv6:
		return "tcp6"
	}
	return "tcp"
}

// patience bounds a connection whose context has no deadline that is earlier.
const patience = 30 * time.Second

// A RefusedError says that an address is not public, and that the Dialer connects to public ones alone.
type RefusedError struct {
	Host string     // as it was asked for, a name or an address
	Addr netip.Addr // that it means
	Kind string     // "a loopback address"
}

func (e *RefusedError) Error() string {
	what := e.Host + " is "
	if e.Host != e.Addr.String() {
		what = e.Host + " leads to " + e.Addr.String() + ", "
	}
	return what + e.Kind + ": saba connects to public addresses alone, unless its server is started with --allow-private-addresses (or SABA_ALLOW_PRIVATE_ADDRESSES=1)"
}

// DialContext connects to a host and port, as that of net.Dialer does, for protocols other than HTTP too. network is tcp,
// tcp4 or tcp6. A name is refused with a RefusedError when all of its addresses are.
func (d Dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if network != "tcp" && network != "tcp4" && network != "tcp6" {
		return nil, fmt.Errorf("connect to %s: over tcp, tcp4 or tcp6 alone, not %s", address, network)
	}
	dialer := net.Dialer{Timeout: patience, Resolver: d.Resolver}
	// Called with each address that is about to be connected to, on the socket that is made for it.
	dialer.ControlContext = func(_ context.Context, _, to string, _ syscall.RawConn) error {
		ap, err := netip.ParseAddrPort(to)
		if err != nil {
			return err
		}
		if kind := d.refuses(ap.Addr()); kind != "" {
			return &RefusedError{host, ap.Addr().Unmap(), kind}
		}
		return nil
	}
	conn, err := dialer.DialContext(ctx, network, address)
	if refused, ok := errors.AsType[*RefusedError](err); ok {
		return nil, refused // a sentence of its own, without "dial tcp" in front
	}
	return conn, err
}

// Options say how an http.Client behaves. The zero value judges the first answer, redirect or not.
type Options struct {
	Family           Family
	SkipVerification bool          // of certificates
	Timeout          time.Duration // of a request with its redirects and the body of the answer; 0 means 15 s
	MaxBody          int64         // bytes of an answer, unpacked; 0 means 1 MiB. Beyond them the body ends with ErrTooLong
	MaxRedirects     int           // to follow; one more is a RedirectError. 0 makes a redirect an answer like others
	Cookies          bool          // those that one answer sets are sent with later requests of the client
}

// The usual Options.
const (
	DefaultTimeout = 15 * time.Second
	defaultMaxBody = 1 << 20
	// maxHeader bounds the header of an answer, in bytes.
	maxHeader = 256 << 10
)

// ErrTooLong is what reading a body ends with that has more bytes than Options.MaxBody.
var ErrTooLong = errors.New("the answer is longer than saba reads")

// A RedirectError says that there were more redirects than Options.MaxRedirects.
type RedirectError struct{ Most int }

func (e *RedirectError) Error() string { return fmt.Sprintf("redirected more than %d times", e.Most) }

// Client returns an http.Client of its own connections: CloseIdleConnections when it is done with.
//
// A redirect to another host, or from https to http, loses the headers that the request was made with, since they may be
// secrets which are for the first host alone. A body is sent on where the redirect says so (307, 308), as everywhere.
func (d Dialer) Client(o Options) *http.Client {
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	if o.MaxBody == 0 {
		o.MaxBody = defaultMaxBody
	}
	c := &http.Client{
		Timeout: o.Timeout,
		Transport: &bounded{most: o.MaxBody, Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, address string) (net.Conn, error) {
				return d.DialContext(ctx, o.Family.network(), address)
			},
			TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: d.Roots, Time: d.Now, InsecureSkipVerify: o.SkipVerification},
			TLSHandshakeTimeout:    o.Timeout,
			ForceAttemptHTTP2:      true, // which a configuration of ours turns off otherwise
			MaxResponseHeaderBytes: maxHeader,
			MaxIdleConnsPerHost:    1,
			IdleConnTimeout:        30 * time.Second,
		}},
		CheckRedirect: func(r *http.Request, via []*http.Request) error {
			if o.MaxRedirects == 0 {
				return http.ErrUseLastResponse
			}
			if len(via) > o.MaxRedirects {
				return &RedirectError{o.MaxRedirects}
			}
			keepSecrets(r, via[0])
			return nil
		},
	}
	if o.Cookies {
		c.Jar, _ = cookiejar.New(nil) // without options it cannot fail
	}
	return c
}

// keepSecrets takes out of a redirected request what is for the host of the first one alone.
func keepSecrets(r, first *http.Request) {
	r.Header.Del("Referer") // the URL before, with all of its parameters
	if r.URL.Host == first.URL.Host && (r.URL.Scheme == first.URL.Scheme || r.URL.Scheme == "https") {
		return
	}
	for name := range first.Header {
		switch name {
		case "User-Agent", "Cache-Control", "Content-Type", "Accept", "Accept-Language":
		default:
			r.Header.Del(name)
		}
	}
}

// A bounded transport bounds the bodies of answers.
type bounded struct {
	*http.Transport
	most int64
}

func (b *bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := b.Transport.RoundTrip(r)
	if err == nil {
		res.Body = &body{res.Body, b.most}
	}
	return res, err
}

// A body ends after a number of bytes.
type body struct {
	io.ReadCloser
	left int64
}

func (b *body) Read(p []byte) (int, error) {
	if b.left < 0 {
		return 0, ErrTooLong
	}
	// One byte more than is handed out says whether there is more.
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.ReadCloser.Read(p)
	b.left -= int64(n)
	if b.left < 0 {
		return n - 1, ErrTooLong
	}
	return n, err
}

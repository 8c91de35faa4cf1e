package monitor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/dial"
)

const (
	// probeTimeout is how long an endpoint may take for everything: name, connection, redirects, answer.
	probeTimeout = 15 * time.Second
	// probeBody is how much of an answer is read, and searched, in bytes.
	probeBody = 64 << 10
	// probeRedirects is how many redirects are followed; one more is a failure.
	probeRedirects = 2
)

// probeAgent is what a probe calls itself, unless the monitor has a header that says otherwise.
const probeAgent = "saba-external/" + saba.Version

// A probed is what came of one request to an endpoint.
type probed struct {
	At      int64  // when it began, in Unix seconds
	Failure string // what failed, for people; "" when there was an answer
	Status  int
	Took    time.Duration // from the beginning to the end of what is read of the answer
	Body    []byte        // the first probeBody bytes
	More    bool          // there is more than Body
	Expires time.Time     // the first end of the certificates that were shown; zero without TLS
	Host    string        // whose certificate that is
}

// probe asks the endpoint of a monitor once, and takes timeout at most. It has no other effects than those of the request.
func probe(ctx context.Context, d dial.Dialer, m *saba.Monitor, timeout time.Duration) (p probed) {
	redirects := 0
	if m.FollowRedirect {
		redirects = probeRedirects
	}
	family := dial.Family(m.Dualstack)
	if family == "" {
		family = dial.IPv4
	}
	client := d.Client(dial.Options{
		Family: family, SkipVerification: m.SkipCertificateVerification, Timeout: timeout,
		MaxBody: probeBody, MaxRedirects: redirects, Cookies: m.FollowRedirect,
	})
	defer client.CloseIdleConnections()

	var step atomic.Pointer[string]
	ctx = httptrace.WithClientTrace(ctx, stepsOf(&step))
	r, err := probeRequest(ctx, m)
	if err != nil {
		p.Failure = err.Error()
		return p
	}
	start := time.Now()
	res, err := client.Do(r)
	if err != nil {
		p.Failure = failure(err, r.URL.Hostname(), family, *step.Load(), timeout)
		return p
	}
	defer res.Body.Close()
	p.Body, err = io.ReadAll(res.Body)
	p.More = errors.Is(err, dial.ErrTooLong)
	if err != nil && !p.More {
		if reading := "reading the answer"; errors.Is(err, context.DeadlineExceeded) {
			p.Failure = failure(err, "", family, reading, timeout)
		} else {
			p.Failure = fmt.Sprintf("the answer (status %d) breaks off after %d bytes", res.StatusCode, len(p.Body))
		}
		return p
	}
	p.Took, p.Status = time.Since(start), res.StatusCode
	for hop := res; hop != nil; hop = hop.Request.Response { // from the last to the first
		if hop.TLS == nil || len(hop.TLS.PeerCertificates) == 0 {
			continue
		}
		if end := hop.TLS.PeerCertificates[0].NotAfter; p.Expires.IsZero() || end.Before(p.Expires) {
			p.Expires, p.Host = end, hop.Request.URL.Hostname()
		}
	}
	return p
}

// stepsOf returns a trace that keeps what a request is doing. It begins with the name.
func stepsOf(step *atomic.Pointer[string]) *httptrace.ClientTrace {
	set := func(s string) { step.Store(&s) }
	set("looking up the name")
	return &httptrace.ClientTrace{
		ConnectStart:      func(string, string) { set("connecting") },
		TLSHandshakeStart: func() { set("agreeing on TLS") },
		GotConn:           func(httptrace.GotConnInfo) { set("waiting for an answer") },
	}
}

func probeRequest(ctx context.Context, m *saba.Monitor) (*http.Request, error) {
	r, err := http.NewRequestWithContext(ctx, m.Method, m.URL, strings.NewReader(m.RequestBody))
	if err != nil {
		return nil, errors.New("the URL cannot be asked") // without it, which may hold a password
	}
	r.Header.Set("User-Agent", probeAgent)
	for i, h := range m.Headers {
		// Twice the same name is a list; the first one takes the place of what is usual.
		same := func(other saba.HTTPHeader) bool { return strings.EqualFold(h.Name, other.Name) }
		if slices.IndexFunc(m.Headers, same) == i {
			r.Header.Del(h.Name)
		}
		r.Header.Add(h.Name, h.Value)
	}
	r.Host = r.Header.Get("Host") // "" is that of the URL
	if user := r.URL.User; user != nil && r.Header.Get("Authorization") == "" {
		password, _ := user.Password()
		r.SetBasicAuth(user.Username(), password) // a header, which a redirect on the same host keeps
	}
	return r, nil
}

// failure says why a request got no answer: a clause without what may be secret.
func failure(err error, host string, family dial.Family, step string, timeout time.Duration) string {
	if e, ok := errors.AsType[*url.Error](err); ok {
		if u, uerr := url.Parse(e.URL); uerr == nil { // after a redirect it is another one
			host = u.Hostname()
		}
		err = e.Err
	}
	if refused, ok := errors.AsType[*dial.RefusedError](err); ok {
		return refused.Error()
	}
	if redirected, ok := errors.AsType[*dial.RedirectError](err); ok {
		return redirected.Error()
	}
	if s := tlsFailure(err, host); s != "" {
		return "TLS: " + s
	}
	dns, isDNS := errors.AsType[*net.DNSError](err)
	if net, ok := errors.AsType[net.Error](err); errors.Is(err, context.DeadlineExceeded) || ok && net.Timeout() && !isDNS {
		return fmt.Sprintf("timeout: %s took more than %v", step, timeout)
	}
	op, _ := errors.AsType[*net.OpError](err)
	at := host
	if op != nil && op.Addr != nil {
		at += " (" + op.Addr.String() + ")"
	}
	if _, ok := errors.AsType[*net.AddrError](err); ok { // an address of the other family, or a name that has only such
		return fmt.Sprintf("there is no address of %s for %s", family, host)
	}
	switch {
	case isDNS && dns.IsNotFound && family != dial.Auto:
		return fmt.Sprintf("DNS: there is no address of %s for %s", family, host)
	case isDNS && dns.IsNotFound:
		return "DNS: there is no address for " + host
	case isDNS && dns.IsTimeout:
		return "DNS: no answer about " + host
	case isDNS:
		return fmt.Sprintf("DNS: %s: %s", host, dns.Err)
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused by " + at
	case errors.Is(err, syscall.ECONNRESET):
		return "connection reset by " + host
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.EADDRNOTAVAIL):
		return "no route to " + at
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return host + " closed the connection without an answer"
	case op != nil && op.Op == "dial":
		return fmt.Sprintf("connect to %s: %v", at, op.Err)
	}
	return err.Error()
}

// tlsFailure says why the other side is not to be trusted, or why it speaks no TLS with us; "" when err is nothing of that.
func tlsFailure(err error, host string) string {
	if e, ok := errors.AsType[x509.HostnameError](err); ok {
		return fmt.Sprintf("the certificate is for %s, not for %s", namesOf(e.Certificate), host)
	}
	if e, ok := errors.AsType[x509.CertificateInvalidError](err); ok && e.Reason == x509.Expired {
		of := host
		if e.Cert.IsCA {
			of = "the authority " + e.Cert.Subject.String()
		}
		// Both have one reason; the text says which.
		if strings.Contains(e.Detail, "is before") {
			return fmt.Sprintf("the certificate of %s is not valid before %s", of, day(e.Cert.NotBefore))
		}
		return fmt.Sprintf("the certificate of %s expired on %s", of, day(e.Cert.NotAfter))
	}
	if e, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		if e.Cert != nil && e.Cert.Subject.String() == e.Cert.Issuer.String() {
			return fmt.Sprintf("the certificate of %s is self-signed", host)
		}
		issuer := ""
		if e.Cert != nil {
			issuer = ", " + e.Cert.Issuer.String()
		}
		return fmt.Sprintf("the certificate of %s is by an authority that is not known%s", host, issuer)
	}
	if e, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return e.Err.Error()
	}
	if errors.Is(err, http.ErrSchemeMismatch) {
		return host + " answers in plain HTTP"
	}
	if e, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return host + " does not speak it: " + e.Msg
	}
	if _, ok := errors.AsType[tls.AlertError](err); ok || strings.HasPrefix(err.Error(), "tls: ") || strings.HasPrefix(err.Error(), "remote error: tls: ") {
		return fmt.Sprintf("%s: %s", host, strings.TrimPrefix(strings.TrimPrefix(err.Error(), "remote error: "), "tls: "))
	}
	return ""
}

// namesOf returns what a certificate is for, three of them at most.
func namesOf(c *x509.Certificate) string {
	names := slices.Clone(c.DNSNames)
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	const most = 3
	switch {
	case len(names) == 0:
		return "no name"
	case len(names) > most:
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
	}
	return strings.Join(names, ", ")
}

// day writes a moment for people.
func day(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }

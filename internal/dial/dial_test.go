package dial

import (
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/saba-monitor/saba"
)

func TestPublicAddressesAreConnectedToAlone(t *testing.T) {
	for address, want := range map[string]string{
		"8.8.8.8": "", "100.63.255.255": "", "100.128.0.0": "", "172.15.255.255": "", "172.32.0.0": "", "11.0.0.1": "", "9.255.255.255": "", "169.253.0.1": "", "223.255.255.255": "",
		"1.0.0.0": "", "128.0.0.1": "", "192.167.255.255": "", "192.169.0.0": "", "198.17.255.255": "", "198.20.0.0": "",
		"2606:4700:4700::1111": "", "2000::": "", "2400:cb00::1": "",
		"::ffff:8.8.8.8": "", "64:ff9b::8.8.8.8": "",

		"0.0.0.0": "an address of this machine", "0.1.2.3": "an address of this machine", "::": "an address of this machine",
		"127.0.0.1": "a loopback address", "127.255.255.254": "a loopback address", "::1": "a loopback address",
		"10.0.0.1": "a private address", "172.16.0.1": "a private address", "172.31.255.255": "a private address", "192.168.1.1": "a private address",
		"fc00::1": "a private address", "fdff::1": "a private address", "fec0::1": "a private address",
		"169.254.0.1": "a link-local address", "fe80::1": "a link-local address", "fe80::1%eth0": "a link-local address", "febf::1": "a link-local address",
		"169.254.169.254": "an address of a cloud's metadata", "169.254.170.2": "an address of a cloud's metadata", "fd00:ec2::254": "an address of a cloud's metadata",
		"100.100.100.200": "an address of a cloud's metadata", "192.0.0.192": "an address of a cloud's metadata", "168.63.129.16": "an address of a cloud's own",
		"100.64.0.1": "a carrier-grade NAT address", "100.127.255.255": "a carrier-grade NAT address",
		"224.0.0.1": "a multicast address", "239.255.255.255": "a multicast address", "ff02::1": "a multicast address",
		"192.0.2.1": "an address of documentation", "198.51.100.1": "an address of documentation", "203.0.113.1": "an address of documentation", "2001:db8::1": "an address of documentation", "3fff::1": "an address of documentation",
		"198.18.0.1": "an address of benchmarks", "198.19.255.255": "an address of benchmarks",
		"255.255.255.255": "a broadcast address", "240.0.0.1": reserved, "192.0.0.1": reserved, "::127.0.0.1": reserved, "4000::1": reserved, "100::1": reserved, "5f00::1": reserved, "2001:10::1": reserved,
		"2002:7f00:1::": "an address of a tunnel", "2001:0:4136:e378::1": "an address of a tunnel", "192.88.99.1": "an address of a tunnel",
		"::ffff:127.0.0.1": "a loopback address", "::ffff:a9fe:a9fe": "an address of a cloud's metadata", "::ffff:10.1.1.1%eth0": "a private address",
		"64:ff9b::127.0.0.1": "a loopback address", "64:ff9b::a00:1": "a private address", "64:ff9b:1::1": "an address of a translation to IPv4", "::ffff:0:127.0.0.1": "an address of a translation to IPv4",
	} {
		if got := (Dialer{}).refuses(netip.MustParseAddr(address)); got != want {
			t.Errorf("%s is %q, want %q", address, got, want)
		}
	}
}

func TestAllowedAddresses(t *testing.T) {
	for setting, tt := range map[string]struct{ yes, no string }{
		"":                           {"8.8.8.8", "127.0.0.1 10.1.0.1"},
		"0":                          {"8.8.8.8", "127.0.0.1 10.1.0.1"},
		"1":                          {"8.8.8.8 127.0.0.1 ::1 169.254.169.254 64:ff9b::127.0.0.1 fe80::1", ""},
		"true":                       {"::ffff:127.0.0.1", ""},
		"10.1.0.0/16, fd12::/32":     {"8.8.8.8 10.1.255.1 fd12::1 ::ffff:10.1.0.1", "10.2.0.1 127.0.0.1 ::1 169.254.169.254"},
		"192.168.7.9":                {"192.168.7.9", "192.168.7.8"},
		"10.1.0.0/16,169.254.0.0/16": {"169.254.169.254", "10.0.0.1"},
	} {
		allowed, err := ParseAllowed(setting)
		if err != nil {
			t.Errorf("ParseAllowed(%q): %v", setting, err)
		}
		d := Dialer{Allowed: allowed}
		for _, a := range strings.Fields(tt.yes) {
			if kind := d.refuses(netip.MustParseAddr(a)); kind != "" {
				t.Errorf("with %q, %s is refused as %s", setting, a, kind)
			}
		}
		for _, a := range strings.Fields(tt.no) {
			if kind := d.refuses(netip.MustParseAddr(a)); kind == "" {
				t.Errorf("with %q, %s is connected to", setting, a)
			}
		}
	}
	for _, bad := range []string{"yes", "10.1.0.0/33", "10.1.0.0/16,", "fe80::1%eth0", "example.com"} {
		if _, err := ParseAllowed(bad); !errors.Is(err, saba.ErrInvalid) {
			t.Errorf("ParseAllowed(%q) = %v, want what matches ErrInvalid", bad, err)
		}
	}
}

// names is a name server on the loopback. answer is asked for each question, in the order in which they come.
func names(t *testing.T, answer func(name string, v6 bool) []netip.Addr) *net.Resolver {
	t.Helper()
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		b := make([]byte, 1500)
		for {
			n, from, err := server.ReadFrom(b)
			if err != nil {
				return
			}
			_, _ = server.WriteTo(reply(b[:n], answer), from)
		}
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-done
	})
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", server.LocalAddr().String())
	}}
}

// reply answers a question of one name (RFC 1035, section 4.1).
func reply(question []byte, answer func(name string, v6 bool) []netip.Addr) []byte {
	const header, typeAAAA = 12, 28
	at, labels := header, []string{}
	for question[at] != 0 {
		n := int(question[at])
		labels = append(labels, string(question[at+1:at+1+n]))
		at += 1 + n
	}
	end := at + 5 // the last length, type and class
	v6 := binary.BigEndian.Uint16(question[at+1:]) == typeAAAA
	var addrs []netip.Addr
	for _, a := range answer(strings.Join(labels, "."), v6) {
		if a.Is6() == v6 {
			addrs = append(addrs, a)
		}
	}
	out := append([]byte{}, question[:end]...)
	binary.BigEndian.PutUint16(out[2:], 0x8180)
	binary.BigEndian.PutUint16(out[6:], uint16(len(addrs)))
	clear(out[8:header])
	for _, a := range addrs {
		out = append(out, 0xc0, header)
		out = append(out, question[at+1:end]...)
		out = append(out, 0, 0, 0, 0) // not to be kept
		out = binary.BigEndian.AppendUint16(out, uint16(a.BitLen()/8))
		out = append(out, a.AsSlice()...)
	}
	return out
}

func loopback4() []netip.Prefix { return []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")} }

// A name is resolved once for a connection, and what that said is judged and connected to: it may say something else at
// any other time.
func TestANameThatChangesGainsNothing(t *testing.T) {
	var asked, reached atomic.Int64
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			reached.Add(1)
			_ = c.Close()
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-served })
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	// Each answer is another one, as of a name that is made to get past a check: only the first is 127.0.0.1.
	change := func(_ string, v6 bool) []netip.Addr {
		if asked.Add(1) == 1 {
			return []netip.Addr{netip.MustParseAddr("127.0.0.1")}
		}
		return []netip.Addr{netip.MustParseAddr("127.0.0.2")}
	}

	d := Dialer{Resolver: names(t, change)}
	_, err = d.DialContext(t.Context(), "tcp4", "rebind.test:"+port)
	refused, ok := errors.AsType[*RefusedError](err)
	if !ok || refused.Addr.String() != "127.0.0.1" || refused.Host != "rebind.test" || asked.Load() != 1 {
		t.Errorf("got %v after %d questions, want a refusal of 127.0.0.1 after one", err, asked.Load())
	}
	if want := "rebind.test leads to 127.0.0.1, a loopback address: saba connects to public addresses alone, unless its server is started with --allow-private-addresses (or SABA_ALLOW_PRIVATE_ADDRESSES=1)"; err == nil || err.Error() != want {
		t.Errorf("the error is\n%v, want\n%s", err, want)
	}
	_, err = d.DialContext(t.Context(), "tcp4", "127.0.0.1:"+port)
	if err == nil || !strings.HasPrefix(err.Error(), "127.0.0.1 is a loopback address: ") {
		t.Errorf("the error of an address is %v", err)
	}

	asked.Store(0)
	d.Allowed = loopback4()
	conn, err := d.DialContext(t.Context(), "tcp4", "rebind.test:"+port)
	if err != nil {
		t.Fatal(err)
	}
	if got := conn.RemoteAddr().String(); got != "127.0.0.1:"+port || asked.Load() != 1 {
		t.Errorf("connected to %s after %d questions, want the address of the first answer", got, asked.Load())
	}
	if _, err := io.ReadAll(conn); err != nil { // it was accepted
		t.Error(err)
	}
	_ = conn.Close()
	if _, err := d.DialContext(t.Context(), "tcp4", "rebind.test:"+port); err == nil {
		t.Error("the address of the second answer is not allowed, and was connected to")
	}
	if reached.Load() != 1 {
		t.Errorf("%d connections arrived, want one", reached.Load())
	}
}

// An address among others that is refused is passed over, and not a reason to fail.
func TestAnotherAddressOfTheNameIsTried(t *testing.T) {
	srv := httptest.NewServer(http.NotFoundHandler())
	defer srv.Close()
	_, port, _ := net.SplitHostPort(srv.Listener.Addr().String())
	d := Dialer{Allowed: loopback4(), Resolver: names(t, func(string, bool) []netip.Addr {
		return []netip.Addr{netip.MustParseAddr("169.254.169.254"), netip.MustParseAddr("::1"), netip.MustParseAddr("127.0.0.1")}
	})}
	for _, network := range []string{"tcp", "tcp4"} {
		conn, err := d.DialContext(t.Context(), network, "several.test:"+port)
		if err != nil {
			t.Fatalf("%s: %v", network, err)
		}
		if got := conn.RemoteAddr().String(); got != "127.0.0.1:"+port {
			t.Errorf("%s: connected to %s", network, got)
		}
		_ = conn.Close()
	}
	if _, err := d.DialContext(t.Context(), "tcp6", "several.test:"+port); err == nil || !strings.Contains(err.Error(), "leads to ::1, a loopback address") {
		t.Errorf("tcp6: %v", err)
	}
}

func TestOtherNetworksAreRefused(t *testing.T) {
	for _, network := range []string{"unix", "udp", "ip4:1", ""} {
		if _, err := (Dialer{}).DialContext(t.Context(), network, "127.0.0.1:1"); err == nil || !strings.Contains(err.Error(), "over tcp") {
			t.Errorf("%q: %v", network, err)
		}
	}
}

func get(t *testing.T, c *http.Client, url string, header ...string) (string, error) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	res, err := c.Do(r)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return fmt.Sprint(res.StatusCode, " ", string(b)), err
}

// echo answers with the headers of a request that may be secrets, and where it was sent on from.
func echo(w http.ResponseWriter, r *http.Request) {
	fmt.Fprintf(w, "auth=%s key=%s referer=%s cookie=%s agent=%s", r.Header.Get("Authorization"), r.Header.Get("X-Key"), r.Referer(), r.Header.Get("Cookie"), r.UserAgent())
}

func TestRedirects(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(echo))
	defer other.Close()
	mux := http.NewServeMux()
	mux.HandleFunc("/echo", echo)
	for from, to := range map[string]string{"/1": "/echo", "/2": "/1", "/3": "/2", "/loop": "/loop", "/other": other.URL + "/x", "/ipv6": "http://[::1]:1/", "/metadata": "http://169.254.169.254/latest/", "/file": "file:///etc/passwd"} {
		mux.HandleFunc(from, func(w http.ResponseWriter, r *http.Request) {
			http.SetCookie(w, &http.Cookie{Name: "seen", Value: strings.Trim(from, "/")})
			http.Redirect(w, r, to, http.StatusFound)
		})
	}
	srv := httptest.NewServer(mux)
	defer srv.Close()
	d := Dialer{Allowed: loopback4()}
	do := func(o Options, path string) (string, error) {
		c := d.Client(o)
		defer c.CloseIdleConnections()
		return get(t, c, srv.URL+path, "Authorization", "secret", "X-Key", "secret", "User-Agent", "me")
	}
	for _, tt := range []struct {
		o          Options
		path, want string
	}{
		{Options{}, "/1", `302 <a href="/echo">Found</a>.` + "\n\n"},
		{Options{MaxRedirects: 2}, "/echo", "200 auth=secret key=secret referer= cookie= agent=me"},
		{Options{MaxRedirects: 2}, "/2", "200 auth=secret key=secret referer= cookie= agent=me"},
		{Options{MaxRedirects: 2, Cookies: true}, "/2", "200 auth=secret key=secret referer= cookie=seen=1 agent=me"},
		{Options{MaxRedirects: 2}, "/other", "200 auth= key= referer= cookie= agent=me"},
	} {
		if got, err := do(tt.o, tt.path); err != nil || got != tt.want {
			t.Errorf("%s with %+v: %q, %v, want %q", tt.path, tt.o, got, err, tt.want)
		}
	}
	for path, want := range map[string]string{
		"/3": "redirected more than 2 times", "/loop": "redirected more than 2 times",
		"/ipv6": "::1 is a loopback address", "/metadata": "169.254.169.254 is an address of a cloud's metadata", "/file": "unsupported protocol scheme",
	} {
		if _, err := do(Options{MaxRedirects: 2}, path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
}

func TestFromHTTPSToHTTPNoSecretGoesAlong(t *testing.T) {
	r := func(url string) *http.Request {
		req := httptest.NewRequest(http.MethodGet, url, nil)
		req.Header.Set("X-Key", "secret")
		return req
	}
	for _, tt := range []struct {
		from, to string
		kept     bool
	}{
		{"https://a.test/", "https://a.test/x", true},
		{"http://a.test/", "https://a.test/x", true},
		{"https://a.test/", "http://a.test/x", false},
		{"https://a.test/", "https://a.test:8443/x", false},
		{"https://a.test/", "https://b.a.test/x", false},
	} {
		req := r(tt.to)
		if keepSecrets(req, r(tt.from)); (req.Header.Get("X-Key") != "") != tt.kept {
			t.Errorf("from %s to %s the headers are kept: %v", tt.from, tt.to, !tt.kept)
		}
	}
}

func TestBodiesAreBounded(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		out := io.Writer(w)
		if r.URL.Path == "/packed" { // a few bytes that become many
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			defer z.Close()
			out = z
		}
		for range 100 {
			if _, err := io.WriteString(out, "0123456789"); err != nil {
				return
			}
		}
	}))
	defer srv.Close()
	for _, tt := range []struct {
		most int64
		want error
	}{{0, nil}, {1000, nil}, {999, ErrTooLong}, {1, ErrTooLong}} {
		c := Dialer{Allowed: loopback4()}.Client(Options{MaxBody: tt.most})
		want := 1000
		if tt.want != nil {
			want = int(tt.most)
		}
		for _, path := range []string{"/", "/packed"} {
			if got, err := get(t, c, srv.URL+path); !errors.Is(err, tt.want) || len(got) != want+len("200 ") {
				t.Errorf("%s: of 1000 bytes with at most %d: %d, %v", path, tt.most, len(got)-len("200 "), err)
			}
		}
		c.CloseIdleConnections()
	}
}

func TestCertificates(t *testing.T) {
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Proto) }))
	defer srv.Close()
	roots := x509.NewCertPool()
	roots.AddCert(srv.Certificate())
	for name, tt := range map[string]struct {
		d    Dialer
		o    Options
		want string
	}{
		"of a known authority":    {Dialer{Roots: roots}, Options{}, ""},
		"of another":              {Dialer{}, Options{}, "signed by unknown authority"},
		"of another, not looked":  {Dialer{}, Options{SkipVerification: true}, ""},
		"in a time after its end": {Dialer{Roots: roots, Now: func() time.Time { return srv.Certificate().NotAfter.Add(time.Hour) }}, Options{}, "expired"},
	} {
		tt.d.Allowed = loopback4()
		c := tt.d.Client(tt.o)
		got, err := get(t, c, srv.URL)
		if tt.want == "" && (err != nil || got != "200 HTTP/1.1") || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: %q, %v, want %q", name, got, err, tt.want)
		}
		c.CloseIdleConnections()
	}

	old := httptest.NewUnstartedServer(http.NotFoundHandler())
	old.TLS = &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}
	old.StartTLS()
	defer old.Close()
	c := Dialer{Allowed: loopback4()}.Client(Options{SkipVerification: true})
	defer c.CloseIdleConnections()
	if _, err := get(t, c, old.URL); err == nil || !strings.Contains(err.Error(), "protocol version") {
		t.Errorf("TLS 1.1: %v", err)
	}
}

func TestTimeoutAlsoOfTheBody(t *testing.T) {
	stop := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/body" {
			_, _ = io.WriteString(w, "begin")
			_ = http.NewResponseController(w).Flush()
		}
		<-stop
	}))
	defer srv.Close()
	defer close(stop)
	for _, path := range []string{"/", "/body"} {
		c := Dialer{Allowed: loopback4()}.Client(Options{Timeout: 50 * time.Millisecond})
		if _, err := get(t, c, srv.URL+path); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v", path, err)
		}
		c.CloseIdleConnections()
	}
}

// A proxy would be handed names that it resolves itself.
func TestNoProxyIsUsed(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	t.Setenv("HTTPS_PROXY", "http://127.0.0.1:1")
	c := Dialer{}.Client(Options{})
	if p := c.Transport.(*bounded).Proxy; p != nil {
		t.Error("a proxy is used")
	}
}

func TestIPv6(t *testing.T) {
	l, err := net.Listen("tcp6", "[::1]:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &httptest.Server{Listener: l, Config: &http.Server{Handler: http.HandlerFunc(echo)}}
	srv.Start()
	defer srv.Close()
	d := Dialer{Allowed: []netip.Prefix{netip.MustParsePrefix("::1/128")}}
	for family, works := range map[Family]bool{IPv6: true, Auto: true, "": true, IPv4: false} {
		c := d.Client(Options{Family: family})
		if got, err := get(t, c, srv.URL); (err == nil) != works {
			t.Errorf("%q: %q, %v", family, got, err)
		}
		c.CloseIdleConnections()
	}
}

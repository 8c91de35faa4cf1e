package monitor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/dial"
	"github.com/saba-monitor/saba/plugin/target/targettest"
)

// site is a server with a page for each kind of answer. Those that hang do so until stop is closed.
func site(stop <-chan struct{}) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch path := r.URL.Path; path {
		case "/":
			_, _ = io.WriteString(w, "the shop is open")
		case "/echo":
			b, _ := io.ReadAll(r.Body)
			user, password, _ := r.BasicAuth()
			fmt.Fprintf(w, "%s %s %s %s|%s|%s %s:%s", r.Method, r.Host, r.UserAgent(), r.Header["X-A"], r.Header["Cache-Control"], b, user, password)
		case "/slow":
			<-stop
		case "/drip":
			_, _ = io.WriteString(w, "begin")
			_ = http.NewResponseController(w).Flush()
			<-stop
		case "/endless":
			for {
				if _, err := io.WriteString(w, strings.Repeat("fish ", 1000)); err != nil {
					return
				}
			}
		case "/long":
			_, _ = io.WriteString(w, strings.Repeat(".", probeBody)+"end")
		case "/torn":
			w.Header().Set("Content-Length", "1000")
			_, _ = io.WriteString(w, "half")
		case "/reset":
			c, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				_ = c.(*net.TCPConn).SetLinger(0)
				_ = c.Close()
			}
		case "/closed":
			if c, _, err := http.NewResponseController(w).Hijack(); err == nil {
				_ = c.Close()
			}
		case "/1", "/2", "/3":
			next := map[string]string{"/1": "/echo", "/2": "/1", "/3": "/2"}
			http.Redirect(w, r, next[path], http.StatusFound)
		case "/loop":
			http.Redirect(w, r, "/loop", http.StatusFound)
		case "/login": // sends back who has not its cookie
			if c, err := r.Cookie("seen"); err == nil && c.Value == "yes" {
				_, _ = io.WriteString(w, "welcome")
				return
			}
			http.SetCookie(w, &http.Cookie{Name: "seen", Value: "yes"})
			http.Redirect(w, r, "/login", http.StatusSeeOther)
		case "/metadata":
			http.Redirect(w, r, "http://169.254.169.254/latest/meta-data/", http.StatusFound)
		default:
			var code int
			_, _ = fmt.Sscanf(path, "/%d", &code)
			w.WriteHeader(code)
		}
	})
}

func onlyLoopback() []netip.Prefix {
	return []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
}

// nobody is a resolver that knows no name. silent, it does not answer.
func nobody(t *testing.T, silent bool) *net.Resolver {
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
			if silent {
				continue
			}
			const header, nameError = 12, 3
			end := header
			for b[end] != 0 {
				end += 1 + int(b[end])
			}
			end += 5
			b[2], b[3] = 0x81, 0x80|nameError
			clear(b[6:header])
			_, _ = server.WriteTo(b[:min(end, n)], from)
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

// aMonitor is one of external HTTP with what is usual.
func aMonitor(address string, edit ...func(m *saba.Monitor)) *saba.Monitor {
	m := &saba.Monitor{ID: "m", Type: saba.MonitorExternal, Name: "m", URL: address}
	for _, e := range edit {
		e(m)
	}
	m.Default()
	return m
}

func follow(m *saba.Monitor) { m.FollowRedirect = true }

func contains(text string) func(m *saba.Monitor) {
	return func(m *saba.Monitor) { m.ContainsString = text }
}

// freePort returns an address of the loopback on which nothing listens.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// Each kind of endpoint is asked for real, and the judgement of what came of it names what failed.
func TestProbe(t *testing.T) {
	t.Parallel()
	now := time.Now()
	stop := make(chan struct{})
	plain := httptest.NewServer(site(stop))
	t.Cleanup(plain.Close)
	ca := targettest.NewAuthority(t, now)
	yearAgo, inAYear := now.AddDate(-1, 0, 1), now.AddDate(0, 11, 0)
	good := ca.Serve(t, site(stop), yearAgo, inAYear, "127.0.0.1", "::1")
	soon := ca.Serve(t, site(stop), yearAgo, now.Add(5*24*time.Hour+time.Hour), "127.0.0.1")
	past := ca.Serve(t, site(stop), yearAgo, now.Add(-49*time.Hour), "127.0.0.1")
	future := ca.Serve(t, site(stop), now.Add(48*time.Hour), inAYear, "127.0.0.1")
	other := ca.Serve(t, site(stop), yearAgo, inAYear, "a.example", "b.example", "c.example", "d.example")
	front := ca.Serve(t, http.RedirectHandler(good.URL, http.StatusFound), yearAgo, now.Add(5*24*time.Hour+time.Hour), "localhost")
	_, frontPort, _ := net.SplitHostPort(front.Listener.Addr().String())
	alone := (&targettest.Authority{}).Serve(t, site(stop), yearAgo, inAYear, "127.0.0.1")
	stranger := targettest.NewAuthority(t, now).Serve(t, site(stop), yearAgo, inAYear, "127.0.0.1")
	old := httptest.NewUnstartedServer(site(stop))
	old.TLS = &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}
	old.Config.ErrorLog = log.New(io.Discard, "", 0)
	old.StartTLS()
	t.Cleanup(old.Close)
	six := &httptest.Server{Config: &http.Server{Handler: site(stop)}}
	l, err := net.Listen("tcp6", "[::1]:0")
	if err != nil {
		t.Fatal(err)
	}
	six.Listener = l
	six.Start()
	t.Cleanup(six.Close)
	t.Cleanup(func() { close(stop) }) // before the servers, which wait for those that hang
	closed := freePort(t)

	roots := x509.NewCertPool()
	ca.AddTo(roots)
	d := dial.Dialer{Allowed: onlyLoopback(), Roots: roots}
	unknown, silent := d, d
	unknown.Resolver, silent.Resolver = nobody(t, false), nobody(t, true)
	withUser, _ := url.Parse(plain.URL)
	withUser.User = url.UserPassword("me", "hunter2")
	status := func(code int64) func(m *saba.Monitor) {
		return func(m *saba.Monitor) { m.ExpectedStatusCode = &code }
	}
	headers := func(pairs ...string) func(m *saba.Monitor) {
		return func(m *saba.Monitor) {
			m.Headers = []saba.HTTPHeader{}
			for i := 0; i < len(pairs); i += 2 {
				m.Headers = append(m.Headers, saba.HTTPHeader{Name: pairs[i], Value: pairs[i+1]})
			}
		}
	}
	post := func(body string) func(m *saba.Monitor) {
		return func(m *saba.Monitor) { m.Method, m.RequestBody = "POST", body }
	}
	family := func(f string) func(m *saba.Monitor) { return func(m *saba.Monitor) { m.Dualstack = f } }
	skip := func(m *saba.Monitor) { m.SkipCertificateVerification = true }
	days := func(warning, critical int64) func(m *saba.Monitor) {
		return func(m *saba.Monitor) {
			m.CertificationExpirationWarning, m.CertificationExpirationCritical = &warning, &critical
		}
	}

	for name, tt := range map[string]struct {
		dialer dial.Dialer
		m      *saba.Monitor
		want   string // status and message, as a regular expression
	}{
		"an answer":                          {d, aMonitor(plain.URL), "OK 200"},
		"text that is there":                 {d, aMonitor(plain.URL, contains("is open")), "OK 200"},
		"text that is not":                   {d, aMonitor(plain.URL, contains("is closed")), `CRITICAL "is closed" is not in the answer \(status 200\)`},
		"no content":                         {d, aMonitor(plain.URL + "/204"), "OK 204"},
		"text in no content":                 {d, aMonitor(plain.URL+"/204", contains("x")), `CRITICAL "x" is not in the answer \(status 204\)`},
		"a 4xx":                              {d, aMonitor(plain.URL + "/404"), "CRITICAL 404"},
		"a 5xx":                              {d, aMonitor(plain.URL + "/503"), "CRITICAL 503"},
		"a 4xx that is expected":             {d, aMonitor(plain.URL+"/404", status(404)), "OK 404"},
		"a 2xx that is not":                  {d, aMonitor(plain.URL, status(204)), "CRITICAL 200 instead of 204"},
		"a redirect that is not followed":    {d, aMonitor(plain.URL + "/2"), "OK 302"},
		"one that is not expected":           {d, aMonitor(plain.URL+"/2", status(200)), "CRITICAL 302 instead of 200"},
		"two redirects":                      {d, aMonitor(plain.URL+"/2", follow, contains("GET")), "OK 200"},
		"three redirects":                    {d, aMonitor(plain.URL+"/3", follow), "CRITICAL redirected more than 2 times"},
		"a loop of redirects":                {d, aMonitor(plain.URL+"/loop", follow), "CRITICAL redirected more than 2 times"},
		"a redirect to what is not public":   {d, aMonitor(plain.URL+"/metadata", follow), "CRITICAL 169.254.169.254 is an address of a cloud's metadata: .*--allow-private-addresses.*"},
		"cookies":                            {d, aMonitor(plain.URL+"/login", follow, contains("welcome")), "OK 200"},
		"what is sent":                       {d, aMonitor(plain.URL+"/echo", contains("GET "+plain.Listener.Addr().String()+" saba-external/"+saba.Version+" []|[no-cache]| :")), "OK 200"},
		"headers, a body and a host":         {d, aMonitor(plain.URL+"/echo", post("hello"), headers("X-A", "1", "x-a", "2", "User-Agent", "me", "Host", "shop.example"), contains("POST shop.example me [1 2]|[]|hello :")), "OK 200"},
		"a user and a password":              {d, aMonitor(withUser.String()+"/2", follow, contains("me:hunter2")), "OK 200"},
		"a body that is longer than looked":  {d, aMonitor(plain.URL+"/long", contains("end")), `CRITICAL "end" is not in the first 64 KiB of the answer \(status 200\)`},
		"a body without an end":              {d, aMonitor(plain.URL+"/endless", contains("fish fish")), "OK 200"},
		"a body that breaks off":             {d, aMonitor(plain.URL + "/torn"), `CRITICAL the answer \(status 200\) breaks off after 4 bytes`},
		"no header in time":                  {d, aMonitor(plain.URL + "/slow"), "CRITICAL timeout: waiting for an answer took more than 300ms"},
		"no body in time":                    {d, aMonitor(plain.URL + "/drip"), "CRITICAL timeout: reading the answer took more than 300ms"},
		"a reset":                            {d, aMonitor(plain.URL + "/reset"), "CRITICAL connection reset by 127.0.0.1"},
		"a connection that is closed":        {d, aMonitor(plain.URL + "/closed"), "CRITICAL 127.0.0.1 closed the connection without an answer"},
		"nobody listens":                     {d, aMonitor("http://" + closed), "CRITICAL connection refused by 127.0.0.1 \\(" + regexp.QuoteMeta(closed) + "\\)"},
		"an unknown name":                    {unknown, aMonitor("http://shop.test/"), "CRITICAL DNS: there is no address of ipv4 for shop.test"},
		"an unknown name of both":            {unknown, aMonitor("http://shop.test/", family("auto")), "CRITICAL DNS: there is no address for shop.test"},
		"names are not answered for":         {silent, aMonitor("http://shop.test/"), "CRITICAL timeout: looking up the name took more than 300ms"},
		"an address that is not public":      {dial.Dialer{}, aMonitor(plain.URL), "CRITICAL 127.0.0.1 is a loopback address: .*"},
		"IPv6":                               {d, aMonitor(six.URL, family("ipv6")), "OK 200"},
		"IPv6 by default":                    {d, aMonitor(six.URL), "CRITICAL there is no address of ipv4 for ::1"},
		"IPv6 or IPv4":                       {d, aMonitor(six.URL, family("auto")), "OK 200"},
		"IPv4 over IPv6":                     {d, aMonitor(plain.URL, family("ipv6")), "CRITICAL there is no address of ipv6 for 127.0.0.1"},
		"TLS":                                {d, aMonitor(good.URL, days(30, 7)), "OK 200"},
		"a certificate that ends soon":       {d, aMonitor(soon.URL, days(30, 5)), `WARNING the certificate of 127.0.0.1 expires in 5 days, on .* UTC \(status 200\)`},
		"one that ends very soon":            {d, aMonitor(soon.URL, days(30, 6)), `CRITICAL the certificate of 127.0.0.1 expires in 5 days, on .* UTC \(status 200\)`},
		"one that ends soon and nobody asks": {d, aMonitor(soon.URL), "OK 200"},
		"one that ends soon on the way":      {d, aMonitor("https://localhost:"+frontPort, follow, days(30, 5)), `WARNING the certificate of localhost expires in 5 days, on .* UTC \(status 200\)`},
		"one that has ended":                 {d, aMonitor(past.URL), "CRITICAL TLS: the certificate of 127.0.0.1 expired on .* UTC"},
		"one that has ended, not verified":   {d, aMonitor(past.URL, skip), "OK 200"},
		"one that has ended, by days":        {d, aMonitor(past.URL, skip, days(30, 0)), `CRITICAL the certificate of 127.0.0.1 expired on .* UTC \(status 200\)`},
		"one that has not begun":             {d, aMonitor(future.URL), "CRITICAL TLS: the certificate of 127.0.0.1 is not valid before .* UTC"},
		"one of another name":                {d, aMonitor(other.URL), "CRITICAL TLS: the certificate is for a.example, b.example, c.example and 1 more, not for 127.0.0.1"},
		"one of another name, not verified":  {d, aMonitor(other.URL, skip), "OK 200"},
		"one that signed itself":             {d, aMonitor(alone.URL), "CRITICAL TLS: the certificate of 127.0.0.1 is self-signed"},
		"one of a stranger":                  {d, aMonitor(stranger.URL), "CRITICAL TLS: the certificate of 127.0.0.1 is by an authority that is not known, CN=an authority"},
		"an old protocol":                    {d, aMonitor(old.URL, skip), "CRITICAL TLS: 127.0.0.1: .*protocol version.*"},
		"TLS where there is none":            {d, aMonitor("https" + strings.TrimPrefix(plain.URL, "http")), "CRITICAL TLS: 127.0.0.1 answers in plain HTTP"},
		"none where there is TLS":            {d, aMonitor("http" + strings.TrimPrefix(good.URL, "https")), "CRITICAL 400"},
	} {
		t.Run(name, func(t *testing.T) {
			timeout := 10 * time.Second
			if strings.Contains(tt.want, "300ms") {
				timeout = 300 * time.Millisecond
			}
			p := probe(t.Context(), tt.dialer, tt.m, timeout)
			p.At = now.Unix()
			j := external(tt.m, p, nil, 0)
			if got := string(j.Status) + " " + j.Message; !regexp.MustCompile("^(?:" + tt.want + ")$").MatchString(got) {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			if strings.Contains(j.Message, "hunter2") {
				t.Errorf("the message has the password: %s", j.Message)
			}
			if p.Failure == "" && (p.Took <= 0 || p.Took > timeout) {
				t.Errorf("it took %v", p.Took)
			}
		})
	}
}

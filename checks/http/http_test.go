package http

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/saba-monitor/saba/check/checktest"
	"github.com/saba-monitor/saba/plugin/target/targettest"
)

// words splits a command line at blanks, but for what stands between single quotes.
func words(line string) (all []string) {
	for _, m := range regexp.MustCompile(`'([^']*)'|(\S+)`).FindAllStringSubmatch(line, -1) {
		all = append(all, m[1]+m[2])
	}
	return all
}

// expect runs the check and compares what it prints, as a regular expression for all of it.
func expect(t *testing.T, line, want string) {
	t.Helper()
	start := time.Now()
	_, got := checktest.Run(t, Check, words(line)...)
	if !regexp.MustCompile("^(?s:" + want + ")$").MatchString(got) {
		t.Errorf("http %s\n got %s\nwant %s", line, got, want)
	}
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("http %s took %v", line, took)
	}
}

// ends is how a message about an answer ends.
func ends(bytes any) string {
	return fmt.Sprintf(` - %v bytes in \d\.\d{3} second response time`, bytes)
}

// shop is a server with a page for each kind of answer.
func shop(w http.ResponseWriter, r *http.Request) {
	switch path := r.URL.Path; path {
	case "/":
		_, _ = io.WriteString(w, "<h1>fish</h1>\n<p>sold daily</p>\n")
	case "/echo":
		b, _ := io.ReadAll(r.Body)
		user, password, _ := r.BasicAuth()
		fmt.Fprintf(w, "%s %s %s %s %s %s:%s %s", r.Method, r.Host, r.UserAgent(), r.Header["X-A"], b, user, password, r.RemoteAddr)
	case "/there":
		http.Redirect(w, r, "/", http.StatusFound)
	case "/round":
		http.Redirect(w, r, "/round", http.StatusMovedPermanently)
	case "/deep":
		http.Redirect(w, r, "/404?token=hunter2", http.StatusFound)
	case "/unchanged":
		w.WriteHeader(http.StatusNotModified)
	case "/large":
		w.Header().Set("Content-Length", strconv.Itoa(100<<20))
		large(w)
	case "/endless":
		large(w)
	case "/torn":
		w.Header().Set("Content-Length", "1000")
		_, _ = io.WriteString(w, "half")
	case "/stalls":
		_, _ = io.WriteString(w, "half")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	default:
		code, _ := strconv.Atoi(path[1:])
		w.WriteHeader(code)
	}
}

func large(w io.Writer) {
	line := []byte(strings.Repeat("fish ", 1<<10))
	for range 100 << 20 / len(line) {
		if _, err := w.Write(line); err != nil {
			return
		}
	}
}

func TestWhatAnAnswerMeans(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(shop))
	defer srv.Close()
	at := regexp.QuoteMeta(srv.URL)
	for args, want := range map[string]string{
		"/":              `HTTP OK: HTTP/1.1 200 OK` + ends(32),
		"/404":           `HTTP WARNING: ` + at + `/404: HTTP/1.1 404 Not Found` + ends(0),
		"/503":           `HTTP CRITICAL: ` + at + `/503: HTTP/1.1 503 Service Unavailable` + ends(0),
		"/999":           `HTTP CRITICAL: ` + at + `/999: HTTP/1.1 999 status code 999` + ends(0),
		"/unchanged":     `HTTP OK: HTTP/1.1 304 Not Modified` + ends(0),
		"/404 -s 404=ok": `HTTP OK: HTTP/1.1 404 .*`,
		"/404 -s 400-403=ok --status 404=critical -s 400-499=OK": `HTTP CRITICAL: .*`,
		"/ -s 200=unknown":                  `HTTP UNKNOWN: ` + at + `/: HTTP/1.1 200 .*`,
		"/503 --status-as critical=warning": `HTTP WARNING: .*503.*`,
		"/there":                            `HTTP OK: HTTP/1.1 200 OK.*`,
		"/there --max-redirects 0":          `HTTP OK: HTTP/1.1 302 Found.*`,
		"/there --max-redirects 1":          `HTTP OK: HTTP/1.1 200 OK.*`,
		"/deep":                             `HTTP WARNING: ` + at + `/deep, redirected to ` + at + `/404: HTTP/1.1 404 .*`,
		"/round":                            `HTTP CRITICAL: ` + at + `/round: HTTP/1.1 301 Moved Permanently.*, redirected more than 10 times`,
		"/round -s 301=OK":                  `HTTP OK: HTTP/1.1 301 .*`,
		"/ -p '<h1>f.sh'":                   `HTTP OK: .*`,
		"/ -p '(?m)^<p>'":                   `HTTP OK: .*`,
		"/ -p meat":                         `HTTP CRITICAL: ` + at + `/: HTTP/1.1 200 OK` + ends(32) + `, /meat/ does not match the body`,
		"/ -B 32":                           `HTTP OK: .*`,
		"/ -B 33":                           `HTTP CRITICAL: .*32 bytes in .*, not the 33 bytes that are required`,
		"/ -g 32":                           `HTTP OK: .*`,
		"/ --min-bytes=35":                  `HTTP CRITICAL: .*, not the 35 bytes or more that are required`,
		"/ -m HEAD -B 32":                   `HTTP OK: .* 32 bytes .*`,
		"/endless -m head":                  `HTTP OK: .* unknown bytes .*`,
		"/endless -m HEAD -g 1":             `HTTP CRITICAL: .* unknown bytes .*`,
		"/large -g 100":                     `HTTP OK: .* 104857600 bytes .*`,
		"/large -B 104857600 -p 'sh fi'":    `HTTP OK: .*`,
		"/endless -p meat":                  `HTTP CRITICAL: .* more than 4194304 bytes in .*, /meat/ does not match the first 4194304 bytes of the body`,
		"/endless -g 9000000":               `HTTP CRITICAL: .*`,
		"/torn":                             `HTTP CRITICAL: ` + at + `/torn: HTTP/1.1 200 OK, but the body breaks off after 4 bytes: unexpected EOF`,
		"/torn -p half":                     `HTTP CRITICAL: .* breaks off after 4 bytes.*`,
		"/stalls -t 0.3":                    `HTTP CRITICAL: ` + at + `/stalls: HTTP/1.1 200 OK, but the body breaks off after 4 bytes: no answer within 300ms`,
		"/echo -p '^GET 127.* check-http \\[\\]  : 127.0.0.1:'":      `HTTP OK: .*`,
		"/echo -H 'x-a: 1' --header X-A:2 -p '\\[1 2\\]'":            `HTTP OK: .*`,
		"/echo -H 'Host: shop' -H 'User-Agent: me' -p 'GET shop me'": `HTTP OK: .*`,
		"/echo -m post -d 'a b' -p '^POST .* a b :'":                 `HTTP OK: .*`,
		"/echo --user u:p:q -p u:p:q":                                `HTTP OK: .*`,
		"/echo --user u -p ' u: '":                                   `HTTP OK: .*`,
		"/echo --source-ip 127.0.0.9 -p 127.0.0.9:":                  `HTTP OK: .*`,
	} {
		expect(t, "-u "+srv.URL+args, want)
	}
	t.Setenv("CHECK_HTTP_USER", "of:environment")
	expect(t, "-u "+srv.URL+"/echo -p of:environment", `HTTP OK: .*`)
	expect(t, "-u "+srv.URL+"/echo --user-file /no/such", `HTTP UNKNOWN: open /no/such: .*`)
}

// Of a body, no more is read than what is looked at.
func TestALargeBodyCostsLittleMemory(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(shop))
	defer srv.Close()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	expect(t, "-u "+srv.URL+"/endless -p meat", `HTTP CRITICAL: .*`)
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 64<<20 {
		t.Errorf("a body of 100 MB costs %d bytes", grown)
	}
}

func TestBadTargets(t *testing.T) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refused := free.Addr().String()
	_ = free.Close()
	silent := targettest.Listen(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
	answers := func(s string) string {
		return targettest.Listen(t, func(c net.Conn) {
			_, _ = http.ReadRequest(bufio.NewReader(c))
			_, _ = io.WriteString(c, s)
		})
	}
	timeout := map[string]string{silent: "-t 0.4 "}
	for target, want := range map[string]string{
		refused:                          "dial tcp " + refused + ": connect: connection refused",
		silent:                           "no answer within 400ms",
		answers("SSH-2.0-OpenSSH_9\r\n"): `net/http: HTTP/1.x transport connection broken: malformed HTTP .*`,
		answers("HTTP/1.1 200 OK\r\nA"):  `.*malformed MIME header.*`,
		answers(""):                      `EOF`,
		answers("HTTP/1.1 200 OK\r\nA: " + strings.Repeat("x", 3<<20) + "\r\n\r\n"): `.* header.*`,
	} {
		expect(t, timeout[target]+"-u 'http://u:hunter2@"+target+"/x?token=hunter2'", "HTTP CRITICAL: http://u:xxxxx@"+regexp.QuoteMeta(target)+"/x: "+want)
	}
	expect(t, "-u http://no-such-host.invalid/", `HTTP CRITICAL: http://no-such-host.invalid/: dial tcp: lookup no-such-host.invalid.*`)
	expect(t, "-u http://"+answers("HTTP/1.1 200 "+strings.Repeat("é", 1000)+"\r\nContent-Length: 0\r\n\r\n"), `HTTP OK: HTTP/1.1 200 é{40,50}… - 0 bytes .*`)
	expect(t, "-u https://"+answers("HTTP/1.1 400 Bad Request\r\n\r\n"), `HTTP CRITICAL: https://.*: .*HTTP.*`)
}

func TestWrongFlags(t *testing.T) {
	for args, want := range map[string]string{
		"":                                    "--url is required",
		"-u localhost":                        "--url must begin with http:// or https:// and a host",
		"-u ftp://u:hunter2@a/":               "--url must begin with http:// or https:// and a host",
		"-u http://a:b:hunter2/":              "--url must begin with http:// or https:// and a host",
		"-u http://a -s 404":                  `--status: "404" must be like 404=OK or 500-599=WARNING`,
		"-u http://a -s 99=OK":                `--status: "99=OK" must be .*`,
		"-u http://a -s 500-400=OK":           `--status: .*`,
		"-u http://a -s 404=FINE":             `--status: .*`,
		"-u http://a -H hunter2":              "--header: it must be like \"Authorization: Bearer x\"",
		"-u http://a -p '('":                  "--pattern: error parsing regexp: .*",
		"-u http://a -m BREW":                 "--method BREW must be GET, HEAD, POST or PUT",
		"-u http://a -m HEAD -p x":            "--pattern has nothing to match: .*",
		"-u http://a -i localhost":            "--source-ip localhost must be an address",
		"-u http://a --max-redirects=-1":      "--max-redirects -1 must not be negative",
		"-u http://a --connect-to a:b":        `--connect-to: "a:b" must be like .*`,
		"-u http://a -x ftp://u:hunter2@p":    "--proxy must be the address of a proxy .*",
		"-u http://a -x p --connect-to :::81": "--proxy and --connect-to do not go together",
		"-u http://a --cert-file x":           "--cert-file and --key-file go together",
		"-u http://a -B many":                 `--require-bytes "many" must be a whole number`,
	} {
		expect(t, args, "HTTP UNKNOWN: "+want+"; check-http -h lists the flags")
	}
	expect(t, "-u https://a --ca-file /no/such", "HTTP UNKNOWN: open /no/such: no such file or directory")
	expect(t, "-u https://a --ca-file /dev/null", "HTTP UNKNOWN: /dev/null has no certificate in PEM")
}

func TestConnectTo(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(shop))
	defer srv.Close()
	_, port, _ := net.SplitHostPort(srv.Listener.Addr().String())
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1") // it is not for what is connected to elsewhere
	for route, ok := range map[string]bool{
		"shop.invalid:80:127.0.0.1:" + port:                true,
		"SHOP.invalid::127.0.0.1:" + port:                  true,
		"::127.0.0.1:" + port:                              true,
		":81:127.0.0.1:1 --connect-to ::127.0.0.1:" + port: true,
		":80:127.0.0.1:1 --connect-to ::127.0.0.1:" + port: false,
		"shop.invalid:80:[::ffff:127.0.0.1]:" + port:       true,
		"other.invalid:80:127.0.0.1:" + port:               false,
	} {
		want := `HTTP OK: .*`
		if !ok {
			want = `HTTP CRITICAL: http://shop.invalid/echo: dial tcp.*`
		}
		expect(t, "-u http://shop.invalid/echo -p shop.invalid --connect-to "+route, want)
	}
}

func TestProxy(t *testing.T) {
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s by %s", r.URL, r.Header.Get("Proxy-Authorization"))
	}))
	defer proxy.Close()
	address := strings.TrimPrefix(proxy.URL, "http://")
	expect(t, "-u http://shop.invalid/a -p '^http://shop.invalid/a by $' -x "+address, `HTTP OK: .*`)
	expect(t, "-u http://shop.invalid/a -p 'by Basic' --proxy http://u:p@"+address, `HTTP OK: .*`)
	expect(t, "-u http://shop.invalid/a -x 127.0.0.1", `HTTP CRITICAL: http://shop.invalid/a: proxyconnect tcp: dial tcp 127.0.0.1:1080: .*`)
	t.Setenv("http_proxy", proxy.URL)
	expect(t, "-u http://shop.invalid/a -p ^http://shop.invalid", `HTTP OK: .*`)
	t.Setenv("NO_PROXY", ".invalid")
	expect(t, "-u http://shop.invalid/a", `HTTP CRITICAL: .* dial tcp: lookup shop.invalid.*`)
}

func TestTLS(t *testing.T) {
	dir := t.TempDir()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "me"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who := "nobody"
		if certs := r.TLS.PeerCertificates; len(certs) > 0 {
			who = certs[0].Subject.CommonName
		}
		fmt.Fprintf(w, "%s for %s", who, r.TLS.ServerName)
	}))
	srv.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	srv.EnableHTTP2 = true
	srv.Config.ErrorLog = log.New(io.Discard, "", 0) // clients that refuse the certificate are the point
	srv.StartTLS()
	defer srv.Close()
	for file, block := range map[string]*pem.Block{"ca": {Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}, "cert": {Type: "CERTIFICATE", Bytes: der}, "key": {Type: "PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(filepath.Join(dir, file), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
	u, err := url.Parse(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	expect(t, "-u "+srv.URL, `HTTP CRITICAL: https://127.*: tls: failed to verify certificate: x509: .*unknown authority`)
	expect(t, "-u "+srv.URL+" --no-check-certificate -p 'nobody for '", `HTTP OK: HTTP/2.0 200 OK - .*`)
	expect(t, "-u "+srv.URL+" --ca-file ca", `HTTP OK: .*`)
	expect(t, "-u https://example.com:"+u.Port()+" --ca-file ca --connect-to ::127.0.0.1: -p 'for example.com'", `HTTP OK: .*`)
	expect(t, "-u https://shop.invalid:"+u.Port()+" --ca-file ca --connect-to ::127.0.0.1:", `HTTP CRITICAL: .* certificate is valid for example.com, .*not shop.invalid`)
	expect(t, "-u "+srv.URL+" --ca-file ca --cert-file cert --key-file key -p '^me '", `HTTP OK: .*`)
	expect(t, "-u "+srv.URL+" --ca-file ca --cert-file cert --key-file cert", `HTTP UNKNOWN: the certificate of cert: .*`)
}

func FuzzRoute(f *testing.F) {
	f.Add("a:1:b:2", "a:1")
	f.Add("[::1]:::", "[::1]:80")
	f.Fuzz(func(t *testing.T, s, address string) {
		c := &checker{}
		if c.addRoute(s) != nil {
			return
		}
		if _, _, err := net.SplitHostPort(address); err != nil {
			return
		}
		if got := c.routed(address); got != address {
			if _, _, err := net.SplitHostPort(got); err != nil {
				t.Errorf("%q leads %q to %q: %v", s, address, got, err)
			}
		}
	})
}

// A header may be a password: a file keeps it from the other users of this host, and a host that we
// are only sent to does not get it.
func TestHeadersFromAFile(t *testing.T) {
	echo := func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "key:"+r.Header.Get("X-Key")+" by "+r.UserAgent()+".")
	}
	other := httptest.NewServer(http.HandlerFunc(echo))
	defer other.Close()
	mux := http.NewServeMux()
	mux.HandleFunc("/there", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other.URL, http.StatusFound) })
	mux.HandleFunc("/", echo)
	server := httptest.NewServer(mux)
	defer server.Close()
	file := filepath.Join(t.TempDir(), "headers")
	for _, tt := range []struct{ text, line, want string }{
		{"X-Key: topsecret\n\nUser-Agent: b\r\n", "/ -p 'key:topsecret by b\\.'", `HTTP OK: .*`},
		{"X-Key: topsecret", "/there -p 'key: by check-http'", `HTTP OK: .*`},
		{"topsecret", "/", `HTTP UNKNOWN: a line of ` + regexp.QuoteMeta(file) + ` is no header: it must be like "Authorization: Bearer x"`},
	} {
		if err := os.WriteFile(file, []byte(tt.text), 0o600); err != nil {
			t.Fatal(err)
		}
		expect(t, "--header-file "+file+" -u "+server.URL+tt.line, tt.want)
	}
	expect(t, "-H X-Key:topsecret -u "+server.URL+"/there -p 'key: by'", `HTTP OK: .*`)
	expect(t, "--header-file "+file+"x -u "+server.URL, `HTTP UNKNOWN: open .*`)
}

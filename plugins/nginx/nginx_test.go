package nginx

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"math"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/saba-monitor/saba/plugin"
	"github.com/saba-monitor/saba/plugin/plugintest"
)

// freePort returns a port of 127.0.0.1 that is free.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// certificate writes a self-signed certificate for shop.example and its key.
func certificate(t *testing.T, cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"shop.example"}}
	der, err := x509.CreateCertificate(rand.Reader, &c, &c, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	for file, b := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "EC PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(b), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// startNginx starts a real nginx and returns the ports of its http and https.
func startNginx(t *testing.T) (port, tlsPort string) {
	t.Helper()
	const path = "/usr/sbin/nginx"
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("the test needs a real nginx (Debian's nginx): %v", err)
	}
	dir := t.TempDir()
	certificate(t, filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"))
	for name, size := range map[string]int64{"huge": 100 << 20, "slow": 1000} {
		f, err := os.Create(filepath.Join(dir, name))
		if err == nil {
			err = f.Truncate(size)
		}
		if err != nil {
			t.Fatal(err)
		}
		_ = f.Close()
	}
	if err := os.WriteFile(filepath.Join(dir, "page"), []byte("<html>"+strings.Repeat("Sorry! ", 10)+"</html>\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	port, tlsPort = freePort(t), freePort(t)
	config := fmt.Sprintf(`
daemon off; master_process off; pid %[1]s/pid; error_log stderr notice;
events {}
http {
	access_log off;
	client_body_temp_path %[1]s/a; proxy_temp_path %[1]s/b; fastcgi_temp_path %[1]s/c; uwsgi_temp_path %[1]s/d; scgi_temp_path %[1]s/e;
	server {
		listen 127.0.0.1:%[2]s;
		listen unix:%[1]s/socket;
		listen 127.0.0.1:%[3]s ssl;
		ssl_certificate %[1]s/cert.pem;
		ssl_certificate_key %[1]s/key.pem;
		root %[1]s;
		location = /nginx_status { stub_status; }
		location = /agents_only { if ($http_user_agent != mackerel-plugin-nginx) { return 403; } if ($http_x_key != k) { return 401; } stub_status; }
		location = /slow { limit_rate 1; }
		location = /gone { return 302 /page; }
	}
}
`, dir, port, tlsPort)
	conf := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(conf, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, "-p", dir, "-e", "stderr", "-c", conf)
	out, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_, _ = io.Copy(io.Discard, out)
		_ = cmd.Wait()
	})
	log, seen := bufio.NewScanner(out), []string{}
	for log.Scan() {
		if seen = append(seen, log.Text()); strings.Contains(log.Text(), "RLIMIT_NOFILE") {
			return port, tlsPort // it said what it needs before its first connection
		}
	}
	t.Fatalf("nginx did not start:\n%s", strings.Join(seen, "\n"))
	return "", ""
}

func TestARealNginx(t *testing.T) {
	port, tlsPort := startNginx(t)
	local := []string{"-host", "127.0.0.1", "-port", port}
	first := plugintest.Collect(t, Plugin, local)
	for range 3 {
		res, err := http.Get("http://127.0.0.1:" + port + "/page")
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
	}
	got := plugintest.Collect(t, Plugin, local)
	if d := got["requests.requests"] - first["requests.requests"]; d != 4 {
		t.Errorf("%v requests between two questions, want those of 3 pages and the question", d)
	}
	if got["requests.accepts"] != got["requests.handled"] || got["requests.accepts"] < 2 {
		t.Errorf("%v connections accepted, %v handled", got["requests.accepts"], got["requests.handled"])
	}
	if got["queue.writing"] != 1 || got["queue.reading"] != 0 || got["connections.connections"] != 1+got["queue.waiting"] {
		t.Errorf("collected %v, want one connection that is answered", got)
	}

	for name, args := range map[string][]string{
		"a URL and headers":         {"-uri", "http://127.0.0.1:" + port + "/agents_only", "-header", "X-Key: k"},
		"TLS that is not verified":  {"-scheme", "https", "-host", "127.0.0.1", "-port", tlsPort, "-tls-skip-verify"},
		"the same by another flag":  {"-scheme", "https", "-host", "127.0.0.1", "-port", tlsPort, "-insecure"},
		"a Host that has no server": {"-host", "127.0.0.1", "-port", port, "-header", "Host: status.example"},
	} {
		if got := plugintest.Collect(t, Plugin, args); got["connections.connections"] < 1 {
			t.Errorf("%s: collected %v", name, got)
		}
	}
}

// Whatever answers in place of the page, there is no value, soon, and the error says whose answer it is.
func TestABadAnswerIsNoValue(t *testing.T) {
	port, tlsPort := startNginx(t)
	base := "http://127.0.0.1:" + port
	// What nginx does not do by itself: half a page, and then nothing, or silence until we hang up.
	half := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(len(real)))
		_, _ = io.WriteString(w, real[:60])
		if r.URL.Path == "/silence" {
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}
	}))
	defer half.Close()
	for name, tt := range map[string]struct {
		url  string
		want string
	}{
		"a page for people":          {base + "/page", "is no page of stub_status"},
		"a redirect to one":          {base + "/gone", "is no page of stub_status"},
		"no such page":               {base + "/none", "it answers 404"},
		"a secret that is wrong":     {base + "/agents_only?token=topsecret", "it answers 401"},
		"it takes its time":          {base + "/slow", "deadline exceeded"},
		"100 MB":                     {base + "/huge", "more than 4194304 bytes"},
		"half a page":                {half.URL + "/half", "breaks off"},
		"half a page and silence":    {half.URL + "/silence", "deadline exceeded"},
		"a certificate for another":  {"https://localhost:" + tlsPort + "/nginx_status", "localhost"},
		"from nobody one knows":      {"https://127.0.0.1:" + tlsPort + "/nginx_status", "certificate"},
		"TLS where there is none":    {"https://127.0.0.1:" + port + "/nginx_status", "HTTP response to HTTPS client"},
		"nobody is there":            {"http://127.0.0.1:1/nginx_status", "connection refused"},
		"no host of that name":       {"http://no.such.host.invalid/nginx_status", "no.such.host.invalid"},
		"a URL that cannot be asked": {"nginx://x", "unsupported protocol"},
	} {
		t.Run(name, func(t *testing.T) {
			e, err := plugin.Embed(Plugin, []string{"-uri", tt.url, "-timeout", "2s"})
			if err != nil {
				t.Fatal(err)
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			begun := time.Now()
			values, err := e.Values(t.Context())
			runtime.ReadMemStats(&after)
			at, _, _ := strings.Cut(tt.url, "?")
			if len(values) > 0 || err == nil || !strings.Contains(err.Error(), at) || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "secret") {
				t.Errorf("Values = %v, %v, want an error of %s with %q", values, err, at, tt.want)
			}
			if d := time.Since(begun); d > 5*time.Second {
				t.Errorf("it took %v", d)
			}
			if grown := after.TotalAlloc - before.TotalAlloc; grown > 64<<20 {
				t.Errorf("it took %d bytes of memory", grown)
			}
		})
	}
}

const real = "Active connections: 291 \nserver accepts handled requests\n 16630948 16630946 31070465 \nReading: 6 Writing: 179 Waiting: 106 \n"

func TestParse(t *testing.T) {
	for name, tt := range map[string]struct {
		text   string
		values int
		want   string
	}{
		"a page":                    {real, 7, ""},
		"with line ends of Windows": {strings.ReplaceAll(real, "\n", "\r\n"), 7, ""},
		"its last word lacks":       {real[:len(real)-6], 0, "no page"},
		"its last digit lacks":      {real[:len(real)-3], 0, "no page"},
		"more after it":             {real + "x\n", 0, "no page"},
		"a negative number":         {strings.Replace(real, "291", "-1", 1), 0, "no page"},
		"a word for a number":       {strings.Replace(real, "291", "many", 1), 0, "no page"},
		"another word":              {strings.Replace(real, "Reading", "Sleeping", 1), 0, "no page"},
		"nothing":                   {"", 0, "no page"},
		"after a worker crashed":    {strings.Replace(real, "179", "18446744073709551614", 1), 6, "for queue.writing"},
	} {
		values, err := parse(tt.text)
		if len(values) != tt.values || (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: parse = %v, %v, want %d values, %q", name, values, err, tt.values, tt.want)
		}
	}
	values, err := parse(real)
	if err != nil || values[0].Value != 291 || values[2].Value != 16630946 || values[6].Value != 106 {
		t.Errorf("parse = %v, %v", values, err)
	}
}

// Whatever answers, what is taken for a page has a number for each metric, or an error says why not.
func FuzzParse(f *testing.F) {
	f.Add(real)
	f.Fuzz(func(t *testing.T, text string) {
		values, err := parse(text)
		if err == nil && len(values) != 7 {
			t.Errorf("parse(%q) = %v without an error", text, values)
		}
		for _, v := range values {
			if _, _, declared := Plugin.Find(v.Name); !declared || v.Value < 0 || math.IsInf(v.Value, 0) {
				t.Errorf("parse(%q) has %v for %s", text, v.Value, v.Name)
			}
		}
	})
}

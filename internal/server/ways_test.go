package server

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/pem"
	"fmt"
	"io"
	"maps"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/protowire"
)

// A ways is a server with a service and a drain for each way in, under a clock that stands still until it is told the time.
type ways struct {
	*testing.T
	s   *Server
	at  time.Time
	now atomic.Int64
	tls *tls.Config
}

// drain makes a service with a drain and returns the drain's token.
func (w *ways) drain(service string) (token string) {
	w.Helper()
	var d struct{ Token string }
	w.s.request(w.T, http.MethodPost, "/api/v0/services", fmt.Sprintf(`{"name":%q,"memo":""}`, service), nil)
	w.s.request(w.T, http.MethodPost, "/api/v0/drains", fmt.Sprintf(`{"name":%q,"service":%q}`, service, service), &d)
	return d.Token
}

// post posts a body, which must be taken.
func (w *ways) post(path, kind, body string, headers ...string) {
	w.Helper()
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	r.Header.Set("Content-Type", kind)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	a := httptest.NewRecorder()
	w.s.handler.ServeHTTP(a, r)
	if a.Code != http.StatusOK && a.Code != http.StatusNoContent || strings.Contains(a.Body.String(), "ejected") {
		w.Fatalf("POST %s = %d %s", path, a.Code, a.Body)
	}
}

// syslog sends what goes over a connection and returns when the server has kept it.
func (w *ways) syslog(c net.Conn, err error, text string) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, text); err != nil {
		w.Fatal(err)
	}
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		if err := half.CloseWrite(); err != nil {
			w.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, c) // it ends the connection then, over TLS without a word
	}
}

// metrics returns what the metrics of a service are in the minute of the lines.
func (w *ways) metrics(service string) map[string]float64 {
	w.Helper()
	var names struct{ Names []string }
	w.s.request(w.T, http.MethodGet, "/api/v0/services/"+service+"/metric-names", "", &names)
	all := map[string]float64{}
	for _, name := range names.Names {
		var got struct{ Metrics []struct{ Value float64 } }
		minute := saba.Minute(w.at.Unix())
		w.s.request(w.T, http.MethodGet, fmt.Sprintf("/api/v0/services/%s/metrics?name=%s&from=%d&to=%d", service, url.QueryEscape(name), minute, minute), "", &got)
		if len(got.Metrics) == 1 {
			all[name] = got.Metrics[0].Value
		}
	}
	return all
}

// certificate writes one for 127.0.0.1 and its key, and trusts it.
func (w *ways) certificate() (cert, key string) {
	w.Helper()
	secret, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		w.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &secret.PublicKey, secret)
	if err != nil {
		w.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(secret)
	if err != nil {
		w.Fatal(err)
	}
	dir := w.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			w.Fatal(err)
		}
	}
	trusted, err := x509.ParseCertificate(der)
	if err != nil {
		w.Fatal(err)
	}
	w.tls = &tls.Config{RootCAs: x509.NewCertPool()}
	w.tls.RootCAs.AddCert(trusted)
	return cert, key
}

// protobuf returns a field of a protobuf message with the parts of one inside.
func protobuf(number byte, parts ...[]byte) []byte {
	return protowire.AppendBytes(nil, number, slices.Concat(parts...))
}

// Whatever way they come, the same lines become the same metrics, and the same figures too.
func TestEveryWayInComesToTheSameMetrics(t *testing.T) {
	w := &ways{T: t, at: time.Date(2026, 1, 2, 3, 4, 10, 0, time.UTC)}
	w.now.Store(w.at.Add(5 * time.Second).UnixNano())
	o := options(t)
	o.Now = func() time.Time { return time.Unix(0, w.now.Load()) }
	cert, secret := w.certificate()
	o.Syslog = Syslog{TCP: "127.0.0.1:0", TLS: "127.0.0.1:0", UDP: "127.0.0.1:0", Cert: cert, Key: secret}
	w.s = open(t, o)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- w.s.syslog.Run(ctx) }() // the rest of the server runs when the test says so
	addr := func(way string) string { return w.s.SyslogAddrs()[way].String() }

	lines := []string{
		"sample#queue.size=3kB sample#queue.latency=1.0e-05 source=worker.1", "count#jobs=2 measure#time=12ms measure#time=20ms source=worker.1",
		`鯖 count#jobs count#deploys text="count#jobs two"`, "nothing to see", "count#broken=x sample#good=-3",
	}
	stamp := w.at.Format(time.RFC3339)
	// messages returns the lines as syslog has them, with what stands between host and text.
	messages := func(header string) (all []string) {
		for _, l := range lines {
			all = append(all, "<190>1 "+stamp+" "+header+" "+l+"\n")
		}
		return all
	}
	counted := func(messages []string) string {
		var b strings.Builder
		for _, m := range messages {
			fmt.Fprintf(&b, "%d %s", len(m), m)
		}
		return b.String()
	}
	structured := func(token string) []string {
		return messages(`web1 app worker.1 - [saba@0 token="` + token + `"]`)
	}
	nanos := fmt.Sprint(w.at.UnixNano())
	asJSON := func() string {
		var records []string
		for _, l := range lines {
			records = append(records, fmt.Sprintf(`{"timeUnixNano":%q,"body":{"stringValue":%q}}`, nanos, l))
		}
		return `{"resourceLogs":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"otlp-key"}}]},"scopeLogs":[{"logRecords":[` + strings.Join(records, ",") + `]}]}]}`
	}
	asProtobuf := func() string {
		var records [][]byte
		for _, l := range lines {
			at := binary.LittleEndian.AppendUint64([]byte{1<<3 | byte(protowire.Fixed64)}, uint64(w.at.UnixNano()))
			records = append(records, protobuf(2, at, protobuf(5, protobuf(1, []byte(l)))))
		}
		return string(protobuf(1, protobuf(2, records...)))
	}
	for way, send := range map[string]func(token string){
		"logplex": func(token string) {
			w.post("/drains/"+token, "application/logplex-1", counted(messages("host app worker.1 -")))
		},
		"text":       func(token string) { w.post("/drains/"+token, "text/plain", strings.Join(lines, "\n")) },
		"otlp-json":  func(token string) { w.post("/drains/"+token+"/v1/logs", "application/json", asJSON()) },
		"otlp-proto": func(token string) { w.post("/drains/"+token+"/v1/logs", "application/x-protobuf", asProtobuf()) },
		"otlp-bearer": func(token string) {
			w.post("/v1/logs", "application/x-protobuf", asProtobuf(), "Authorization", "Bearer "+token)
		},
		"otlp-key": func(string) { w.post("/v1/logs", "application/json", asJSON(), "X-Api-Key", key) },
		"tcp-counted": func(token string) {
			c, err := net.Dial("tcp", addr("tcp"))
			w.syslog(c, err, counted(structured(token)))
		},
		"tcp-ended": func(token string) {
			c, err := net.Dial("tcp", addr("tcp"))
			w.syslog(c, err, strings.Join(structured(token), ""))
		},
		"tls-counted": func(token string) {
			c, err := tls.Dial("tcp", addr("tls"), w.tls)
			w.syslog(c, err, counted(structured(token)))
		},
		"tls-ended": func(token string) {
			c, err := tls.Dial("tcp", addr("tls"), w.tls)
			w.syslog(c, err, strings.Join(structured(token), ""))
		},
		"tcp-heroku": func(token string) {
			c, err := net.Dial("tcp", addr("tcp"))
			w.syslog(c, err, counted(messages(token+" app worker.1 - -")))
		},
		"tcp-hostless": func(token string) {
			c, err := net.Dial("tcp", addr("tcp"))
			w.syslog(c, err, counted(messages("- "+token+" - - -")))
		},
		"udp": func(token string) {
			for _, m := range structured(token) {
				c, err := net.Dial("udp", addr("udp"))
				w.syslog(c, err, m)
			}
		},
	} {
		send(w.drain(way))
		defer func() {
			want := map[string]float64{
				"queue.size.worker.1": 3072, "queue.latency.worker.1": 1e-5, "jobs.worker.1": 2, "time.count.worker.1": 2, "time.sum.worker.1": 32, "time.min.worker.1": 12,
				"time.max.worker.1": 20, "time.mean.worker.1": 16, "time.median.worker.1": 16, "time.p95.worker.1": 20, "time.p99.worker.1": 20, "jobs": 1, "deploys": 1, "good": -3,
			}
			if got := w.metrics(way); !maps.Equal(got, want) {
				t.Errorf("lines by %s come to\n%v\nwant\n%v", way, got, want)
			}
		}()
	}

	point := func(value string) string {
		return `{"dataPoints":[{"timeUnixNano":"` + nanos + `","asDouble":` + value + `}]`
	}
	for way, send := range map[string]func(token string){
		"figures-lines": func(token string) {
			w.post("/drains/"+token, "text/plain", "count#jobs=3 sample#heap.bytes=3kB\ncount#jobs=4 sample#heap.bytes=2kB")
		},
		"figures-otlp": func(token string) {
			for _, v := range [][2]string{{"3", "3072"}, {"4", "2048"}} {
				w.post("/drains/"+token+"/v1/metrics", "application/json", `{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"jobs","sum":`+point(v[0])+`,"aggregationTemporality":1,"isMonotonic":true}},{"name":"heap.bytes","unit":"By","gauge":`+point(v[1])+`}}]}]}]}`)
			}
		},
		"figures-bearer": func(token string) {
			w.post("/v1/metrics", "application/json", `{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"jobs","sum":`+point("7")+`,"aggregationTemporality":1,"isMonotonic":true}},{"name":"heap.bytes","unit":"KiBy","gauge":`+point("2")+`}}]}]}]}`, "Authorization", "Bearer "+token)
		},
		"figures-language": func(token string) {
			w.post("/drains/"+token+"/metrics", "application/json", `{"counters":{"jobs":3},"gauges":{"heap.bytes":3072}}`)
			w.post("/drains/"+token+"/metrics", "application/json", `{"counters":{"jobs":4},"gauges":{"heap.bytes":2048}}`)
		},
	} {
		send(w.drain(way))
		defer func() {
			if got, want := w.metrics(way), map[string]float64{"jobs": 7, "heap.bytes": 2048}; !maps.Equal(got, want) {
				t.Errorf("figures by %s come to %v, want %v", way, got, want)
			}
		}()
	}
	cancel() // what was read is kept
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	w.now.Store(w.at.Add(2 * time.Minute).UnixNano())
	w.s.drains.Round(t.Context())
}

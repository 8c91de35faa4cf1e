package syslog

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/drain"
	"github.com/saba-monitor/saba/internal/ingest"
	"github.com/saba-monitor/saba/internal/logline"
	"github.com/saba-monitor/saba/internal/sqldb"
	"github.com/saba-monitor/saba/internal/tsdb"
)

const token = "saba_0123456789abcdefghijklmnopqrstuv"

// A rig is a drain of the service shop on real engines, behind listeners on real sockets.
type rig struct {
	*testing.T
	records *sqldb.DB
	samples *tsdb.DB
	drains  *drain.Drains
	took    chan int     // lines of each lot that was kept
	ahead   atomic.Int64 // nanoseconds
}

func (r *rig) now() time.Time { return time.Now().Add(time.Duration(r.ahead.Load())) }

// Take is that of the drains, and says that it has taken something.
func (r *rig) Take(ctx context.Context, org string, d saba.Drain, lot drain.Lot) error {
	err := r.drains.Take(ctx, org, d, lot)
	if err == nil {
		r.took <- len(lot.Lines)
	}
	return err
}

func (r *rig) check(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

// newRig serves on free ports. stop ends the server and waits for it.
func newRig(t *testing.T, settings Settings) (r *rig, addrs map[string]net.Addr, stop func()) {
	t.Helper()
	r = &rig{T: t, took: make(chan int, 1000)}
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	dir := t.TempDir()
	var err error
	r.records, err = sqldb.Open(t.Context(), filepath.Join(dir, "saba.db"))
	r.check(err)
	t.Cleanup(func() { r.check(r.records.Close()) })
	r.samples, err = tsdb.Open(t.Context(), tsdb.Options{Dir: filepath.Join(dir, "samples"), Log: log, Registerer: prometheus.NewRegistry(), Now: r.now})
	r.check(err)
	t.Cleanup(func() { r.check(r.samples.Close()) })
	_, err = r.records.EnsureOrg(t.Context(), saba.Org{ID: "org1", Name: "first"})
	r.check(err)
	r.check(r.records.CreateService(t.Context(), "org1", saba.Service{Name: "shop"}))
	r.check(r.records.CreateDrain(t.Context(), "org1", saba.Drain{ID: "d1", Name: "app", Service: "shop"}, saba.HashSecret(token)))
	points := ingest.New(ingest.Options{Hosts: r.records, Samples: r.samples, Log: log, Registerer: prometheus.NewRegistry(), Now: r.now})
	r.drains = drain.New(drain.Options{Org: "org1", Store: r.records, Points: points, Samples: r.samples, Now: r.now, Log: log})
	listeners, err := Listen(t.Context(), settings)
	r.check(err)
	server := New(Options{Listeners: listeners, Org: "org1", Drains: r, Store: r.records, Zone: time.Local, Now: r.now, Log: log, Registerer: prometheus.NewRegistry()})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- server.Run(ctx) }()
	over := false
	stop = func() {
		if cancel(); !over {
			over = true
			r.check(<-done)
		}
	}
	t.Cleanup(stop)
	return r, listeners.Addrs(), stop
}

// wait returns when n lines are kept.
func (r *rig) wait(n int) {
	r.Helper()
	for got := 0; got < n; {
		select {
		case more := <-r.took:
			got += more
		case <-time.After(30 * time.Second):
			r.Fatalf("%d lines were kept, want %d", got, n)
		}
	}
}

// total returns the sum of the samples of a metric.
func (r *rig) total(name string) (sum float64) {
	r.Helper()
	r.ahead.Store(int64(3 * time.Minute)) // every minute is over
	r.drains.Round(r.Context())
	at := time.Now().Unix()
	got, err := r.samples.Range(r.Context(), []saba.Series{{Org: "org1", Service: "shop", Name: name}}, at-600, at+600)
	r.check(err)
	for _, s := range got[0] {
		sum += s.Value
	}
	return sum
}

// port returns the port of an address.
func port(a net.Addr) string {
	_, p, _ := net.SplitHostPort(a.String())
	return p
}

// command runs a program to its end.
func (r *rig) command(name string, args ...string) {
	r.Helper()
	out, err := exec.CommandContext(r.Context(), name, args...).CombinedOutput()
	if err != nil {
		r.Fatalf("%s %q: %v: %s", name, args, err, out)
	}
}

// Every way in which util-linux's logger writes and carries a message comes to the same metrics.
func TestLogger(t *testing.T) {
	r, addrs, stop := newRig(t, Settings{TCP: "127.0.0.1:0", UDP: "127.0.0.1:0", Drain: "d1"})
	structured := []string{"--rfc5424", "--sd-id", "saba@0", "--sd-param", `token="` + token + `"`}
	tcp, udp := []string{"--tcp", "--server", "127.0.0.1", "--port", port(addrs[wayTCP])}, []string{"--udp", "--server", "127.0.0.1", "--port", port(addrs[wayUDP])}
	n := 0
	for _, carried := range [][]string{tcp, append([]string{"--octet-count"}, tcp...), udp} {
		for _, written := range [][]string{structured, {"--rfc3164", "-t", token}, {"--rfc5424", "-t", token}, {"--rfc5424"}, {"--rfc3164", "-i"}} {
			args := append(append(append([]string(nil), carried...), written...), "count#deploys sample#size=3kB")
			r.command("logger", args...)
			r.wait(1)
			n++
		}
	}
	r.command("sh", "-c", `printf 'count#lines\ncount#lines\n\ncount#lines\n' | logger --octet-count --tcp --server 127.0.0.1 --port `+port(addrs[wayTCP])+` --rfc5424 -t `+token)
	r.wait(3)
	stop()
	for metric, want := range map[string]float64{"deploys": float64(n), "lines": 3} {
		if got := r.total(metric); got != want {
			t.Errorf("%s is %v, want %v", metric, got, want)
		}
	}
	for _, l := range r.drains.Status("d1").Recent {
		if strings.Contains(fmt.Sprint(l.Host, l.App, l.Proc, string(l.Text)), token) {
			t.Errorf("a line that people see holds the token: %+v", l)
		}
	}
	if got := r.drains.Status("d1"); len(got.Refused) > 0 {
		t.Errorf("refused: %v", got.Refused)
	}
}

// An authority signs certificates for 127.0.0.1 until the test is over.
type authority struct {
	*testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	dir  string
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{T: t, key: key, dir: t.TempDir()}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "saba test authority"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.write("ca.pem", "CERTIFICATE", der)
	return a
}

func (a *authority) path(name string) string { return filepath.Join(a.dir, name) }

// write writes a file in one step, as those who renew certificates do.
func (a *authority) write(name, kind string, der []byte) {
	a.Helper()
	var b bytes.Buffer
	if err := pem.Encode(&b, &pem.Block{Type: kind, Bytes: der}); err != nil {
		a.Fatal(err)
	}
	if err := os.WriteFile(a.path(name+".new"), b.Bytes(), 0o600); err != nil {
		a.Fatal(err)
	}
	if err := os.Rename(a.path(name+".new"), a.path(name)); err != nil {
		a.Fatal(err)
	}
}

// issue writes cert.pem and key.pem of a new certificate.
func (a *authority) issue(serial int64) {
	a.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, a.cert, &key.PublicKey, a.key)
	if err != nil {
		a.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.Fatal(err)
	}
	a.write("key.pem", "PRIVATE KEY", secret)
	a.write("cert.pem", "CERTIFICATE", der)
}

// An rsyslogd reads messages from a socket and forwards them by an action. It runs until the test is over.
type rsyslogd struct {
	r      *rig
	socket string
}

func (r *rig) rsyslogd(action string) rsyslogd {
	r.Helper()
	dir := r.TempDir()
	d := rsyslogd{r, filepath.Join(dir, "log")}
	config := fmt.Sprintf(`
global(workDirectory=%q)
module(load="imuxsock" SysSock.Use="off")
input(type="imuxsock" Socket=%q CreatePath="on" UseSpecialParser="off" ParseHostname="off" RateLimit.Interval="0")
template(name="token" type="string" string="<%%PRI%%>1 %%TIMESTAMP:::date-rfc3339%% %%HOSTNAME%% %%APP-NAME%% %%PROCID%% %%MSGID%% [saba@0 token=\"`+token+`\"] %%msg%%\n")
%s
`, dir, d.socket, action)
	path := filepath.Join(dir, "rsyslog.conf")
	r.check(os.WriteFile(path, []byte(config), 0o600))
	ready, err := net.ListenPacket("unixgram", filepath.Join(dir, "notify")) // as a service of systemd it says when it is ready
	r.check(err)
	defer ready.Close()
	cmd := exec.Command("/usr/sbin/rsyslogd", "-n", "-f", path, "-i", filepath.Join(dir, "pid"))
	cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+ready.LocalAddr().String())
	cmd.Stdout, cmd.Stderr = r.Output(), r.Output()
	r.check(cmd.Start())
	r.Cleanup(func() {
		_ = cmd.Process.Kill() // ended already
		_ = cmd.Wait()
	})
	r.check(ready.SetReadDeadline(time.Now().Add(30 * time.Second)))
	for buf := make([]byte, 1024); ; {
		n, _, err := ready.ReadFrom(buf)
		r.check(err)
		if bytes.Contains(buf[:n], []byte("READY=1")) {
			return d
		}
	}
}

// log writes a message to rsyslogd.
func (d rsyslogd) log(text string) {
	d.r.Helper()
	c, err := net.Dial("unixgram", d.socket)
	d.r.check(err)
	defer c.Close()
	_, err = c.Write([]byte("<13>" + time.Now().Format("Jan _2 15:04:05") + " app[12]: " + text))
	d.r.check(err)
}

func TestRsyslog(t *testing.T) {
	a := newAuthority(t)
	a.issue(2)
	r, addrs, stop := newRig(t, Settings{TCP: "127.0.0.1:0", TLS: "127.0.0.1:0", UDP: "127.0.0.1:0", Cert: a.path("cert.pem"), Key: a.path("key.pem")})
	secure := `StreamDriver="gtls" StreamDriverMode="1" StreamDriverAuthMode="x509/name" StreamDriverPermittedPeers="localhost"`
	n := 0
	for name, action := range map[string]string{
		"TCP, ended":   `target="127.0.0.1" protocol="tcp" TCP_Framing="traditional" port="` + port(addrs[wayTCP]) + `"`,
		"TCP, counted": `target="127.0.0.1" protocol="tcp" TCP_Framing="octet-counted" port="` + port(addrs[wayTCP]) + `"`,
		"UDP":          `target="127.0.0.1" protocol="udp" port="` + port(addrs[wayUDP]) + `"`,
		"TLS, counted": `target="localhost" protocol="tcp" TCP_Framing="octet-counted" ` + secure + ` port="` + port(addrs[wayTLS]) + `"`,
		"TLS, ended":   `target="localhost" protocol="tcp" ` + secure + ` port="` + port(addrs[wayTLS]) + `"`,
	} {
		t.Run(name, func(t *testing.T) {
			r := &rig{T: t, records: r.records, samples: r.samples, drains: r.drains, took: r.took}
			d := r.rsyslogd(`global(DefaultNetstreamDriverCAFile="` + a.path("ca.pem") + `")
action(type="omfwd" template="token" action.resumeRetryCount="-1" action.resumeInterval="1" ` + action + `)`)
			for range 20 {
				d.log("measure#time=5ms count#jobs source=worker")
			}
			r.wait(20)
			n += 20
		})
	}
	stop()
	if got := r.total("jobs.worker"); got != float64(n) {
		t.Errorf("jobs are %v, want %d", got, n)
	}
	if got := r.total("time.count.worker"); got != float64(n) {
		t.Errorf("times are %v, want %d", got, n)
	}
	if got := r.drains.Status("d1"); len(got.Refused) > 0 {
		t.Errorf("refused: %v", got.Refused)
	}
}

// A certificate that is renewed is that of the next handshake; one that is broken leaves the one from before.
func TestACertificateIsReadAgain(t *testing.T) {
	a := newAuthority(t)
	a.issue(2)
	_, addrs, _ := newRig(t, Settings{TLS: "127.0.0.1:0", Cert: a.path("cert.pem"), Key: a.path("key.pem"), Drain: "d1"})
	roots := x509.NewCertPool()
	roots.AddCert(a.cert)
	serial := func() int64 {
		t.Helper()
		c, err := tls.Dial("tcp", addrs[wayTLS].String(), &tls.Config{RootCAs: roots, ServerName: "localhost"})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
	}
	if got := serial(); got != 2 {
		t.Fatalf("the certificate is number %d, want 2", got)
	}
	a.issue(3)
	if got := serial(); got != 3 {
		t.Errorf("after a renewal the certificate is number %d, want 3", got)
	}
	if err := os.WriteFile(a.path("cert.pem"), []byte("half a fi"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := serial(); got != 3 {
		t.Errorf("with a broken file the certificate is number %d, want 3", got)
	}
	a.issue(4)
	if got := serial(); got != 4 {
		t.Errorf("once it is mended the certificate is number %d, want 4", got)
	}
	if _, err := tls.Dial("tcp", addrs[wayTLS].String(), &tls.Config{RootCAs: roots, ServerName: "localhost", MaxVersion: tls.VersionTLS11}); err == nil {
		t.Error("TLS 1.1 is spoken")
	}
}

func TestWhatCannotListenIsRefused(t *testing.T) {
	a := newAuthority(t)
	a.issue(2)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for name, tt := range map[string]struct {
		settings Settings
		saying   string
	}{
		"no port":                  {Settings{TCP: "127.0.0.1"}, "--syslog-tcp takes host:port"},
		"TLS without its files":    {Settings{TLS: "127.0.0.1:0", Cert: a.path("cert.pem")}, "--syslog-tls-key"},
		"files without TLS":        {Settings{TCP: "127.0.0.1:0", Cert: a.path("cert.pem"), Key: a.path("key.pem")}, "which is not set"},
		"a drain without anything": {Settings{Drain: "d1"}, "none is set"},
		"a key that does not fit":  {Settings{TLS: "127.0.0.1:0", Cert: a.path("ca.pem"), Key: a.path("key.pem")}, "cannot be used"},
		"no file":                  {Settings{TLS: "127.0.0.1:0", Cert: a.path("none"), Key: a.path("key.pem")}, "none"},
		"an address that is taken": {Settings{UDP: "127.0.0.1:0", TCP: taken.Addr().String()}, "in use by another program"},
	} {
		l, err := Listen(t.Context(), tt.settings)
		if err == nil {
			l.Close()
			t.Errorf("%s: it listens", name)
		} else if !strings.Contains(err.Error(), tt.saying) {
			t.Errorf("%s: %v, want it to say %q", name, err, tt.saying)
		}
	}
}

// Messages by UDP that come while nothing can be kept wait in memory, up to a limit.
func TestAFloodByUDPCostsItself(t *testing.T) {
	kept := &shelf{}
	server := serverOn(t, kept, Settings{})
	in := &inbox{wake: make(chan struct{}, 1)}
	from := &net.UDPAddr{}
	n := 0
	for in.put([]byte(message(strings.Repeat("x", 1000))), from, server) == "" {
		if n++; n > 1e6 {
			t.Fatal("there is no limit")
		}
	}
	if in.batch.bytes > mostWaiting+maxDatagram || n < 1000 {
		t.Errorf("%d messages of %d bytes wait", n, in.batch.bytes)
	}
	read := make(chan struct{})
	close(read)
	server.empty(t.Context(), in, read)
	if len(kept.lines) != n {
		t.Errorf("%d of %d messages are kept when there is nothing more to read", len(kept.lines), n)
	}
	if reason := in.put([]byte("hello\n"), from, server); reason != logline.BadHeader {
		t.Errorf("what is no message is answered with %q", reason)
	}
}

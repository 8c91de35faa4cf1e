package cert

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/saba-monitor/saba/check/checktest"
	"github.com/saba-monitor/saba/plugin/target/targettest"
)

// expect runs the check and compares what it prints, as a regular expression for all of it.
func expect(t *testing.T, want string, args ...string) {
	t.Helper()
	start := time.Now()
	_, got := checktest.Run(t, Check, args...)
	if !regexp.MustCompile("^(?s:" + want + ")$").MatchString(got) {
		t.Errorf("cert %q\n got %s\nwant %s", args, got, want)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("cert %q took %v", args, took)
	}
}

// A pair is a certificate with its key.
type pair struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// issue makes a certificate that is valid for those days from now, an hour more, and signed by
// the issuer; by itself when that is nil. One with names is a server's, others are authorities.
func issue(t *testing.T, issuer *pair, name string, days int, names ...string) *pair {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: names,
		NotBefore: time.Now().AddDate(-1, 0, 0), NotAfter: time.Now().Add(time.Duration(24*days+1) * time.Hour),
		BasicConstraintsValid: true, IsCA: len(names) == 0,
	}
	p := &pair{c, key}
	if issuer == nil {
		issuer = p
	}
	der, err := x509.CreateCertificate(rand.Reader, c, issuer.cert, key.Public(), issuer.key)
	if err != nil {
		t.Fatal(err)
	}
	if p.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return p
}

// write writes certificates, and after them the key of the first, and returns the file.
func write(t *testing.T, withKey bool, pairs ...*pair) string {
	t.Helper()
	var b []byte
	for _, p := range pairs {
		b = append(b, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.cert.Raw})...)
	}
	if withKey {
		der, err := x509.MarshalPKCS8PrivateKey(pairs[0].key)
		if err != nil {
			t.Fatal(err)
		}
		b = append(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), b...)
	}
	file := filepath.Join(t.TempDir(), "cert.pem")
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// serve serves TLS with certificates, the first by the key of its pair, and returns the port.
func serve(t *testing.T, c *tls.Config, pairs ...*pair) (port string) {
	t.Helper()
	shown := tls.Certificate{PrivateKey: pairs[0].key}
	for _, p := range pairs {
		shown.Certificate = append(shown.Certificate, p.cert.Raw)
	}
	c.Certificates = append(c.Certificates, shown)
	return listen(t, func(conn net.Conn) {
		s := tls.Server(conn, c)
		_ = s.Handshake()
		_, _ = io.Copy(io.Discard, s)
	})
}

// listen serves each connection by handle, and returns the port.
func listen(t *testing.T, handle func(net.Conn)) (port string) {
	t.Helper()
	_, port, _ = net.SplitHostPort(targettest.Listen(t, handle))
	return port
}

// of is how a verdict names a certificate and its last minute.
func of(p *pair) string {
	return `the certificate of "` + regexp.QuoteMeta(p.cert.Subject.CommonName) + `" expires in \d+ days, ` + p.cert.NotAfter.UTC().Format("2006-01-02 15:04 UTC")
}

func TestAFile(t *testing.T) {
	root := issue(t, nil, "root", 400)
	soon := issue(t, root, "between", 20)
	leaf := issue(t, soon, "shop", 90, "shop.example.com")
	gone := issue(t, root, "gone", -3, "gone.example.com")
	one, chain, old := write(t, true, leaf), write(t, false, leaf, soon, root), write(t, false, leaf, gone)
	at := regexp.QuoteMeta
	expect(t, `CERT OK: `+at(one)+`: `+of(leaf), "-f", one)
	expect(t, `CERT WARNING: `+at(one)+`: `+of(leaf), "-f", one, "-w", "91")
	expect(t, `CERT OK: .* expires in 90 days, .*`, "--file="+one, "--warning=90")
	expect(t, `CERT CRITICAL: .* expires in 90 days, .*`, "-f", one, "-w", "1", "-c", "91")
	expect(t, `CERT WARNING: `+at(chain)+`: `+of(soon), "-f", chain)
	expect(t, `CERT OK: `+at(chain)+`: `+of(soon), "-f", chain, "-w", "20")
	expect(t, `CERT CRITICAL: `+at(old)+`: the certificate of "gone" has expired, .* UTC`, "-f", old)
	der := filepath.Join(t.TempDir(), "der")
	if err := os.WriteFile(der, leaf.cert.Raw, 0o600); err != nil {
		t.Fatal(err)
	}
	expect(t, `CERT OK: `+at(der)+`: `+of(leaf), "-f", der)

	future := &checker{}
	if r := future.judge("x", []*x509.Certificate{leaf.cert}, leaf.cert.NotBefore.Add(-time.Second)); r.Status != "CRITICAL" || !strings.Contains(r.Message, `"shop" is not valid before `) {
		t.Errorf("before its time: %+v", r)
	}
	for days, want := range map[time.Duration]string{0: "expires in 0 days", -1: "expires in 0 days", 1: "has expired", -24 * time.Hour: "expires in 1 days"} {
		if r := future.judge("x", []*x509.Certificate{leaf.cert}, leaf.cert.NotAfter.Add(days)); !strings.Contains(r.Message, want) {
			t.Errorf("%v after its end: %+v, want %q", days, r, want)
		}
	}
}

func TestABadFile(t *testing.T) {
	dir := t.TempDir()
	leaf := issue(t, nil, "shop", 90)
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf.cert.Raw})
	torn := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf.cert.Raw[:50]})
	for name, content := range map[string][]byte{
		"empty": nil, "text": []byte("not a certificate"), "key": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte{1}}),
		"torn": slices.Concat(block, torn), "half": block[:len(block)/2], "long": make([]byte, maxFile+1),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
	for file, want := range map[string]string{
		"empty": "empty has no certificate in PEM or DER", "text": "text has no certificate in PEM or DER", "key": "key has no certificate in PEM or DER",
		"half": "half has no certificate in PEM or DER", "torn": "torn has a certificate that cannot be read, number 2: .*", "long": "long has more than 1048576 bytes",
		"missing": "open missing: no such file or directory", ".": "read .: is a directory", "/dev/zero": "/dev/zero has more than 1048576 bytes",
	} {
		expect(t, "CERT CRITICAL: "+want, "-f", file)
	}
}

func TestAServer(t *testing.T) {
	root := issue(t, nil, "root", 400)
	between := issue(t, root, "between", 200)
	shop := issue(t, between, "shop", 90, "shop.example.com", "localhost")
	other := issue(t, root, "other", 50, "other.example.com")
	ca := write(t, false, root)
	port := serve(t, &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{other.cert.Raw}, PrivateKey: other.key}}}, shop, between)
	trusted := func(more ...string) []string {
		return append([]string{"-H", "localhost", "-p", port, "--ca-file", ca}, more...)
	}
	expect(t, `CERT OK: localhost:`+port+`: `+of(shop), trusted()...)
	expect(t, `CERT OK: localhost:`+port+`: `+of(shop), trusted("--servername", "shop.example.com")...)
	expect(t, `CERT OK: localhost:`+port+`: `+of(other), trusted("--servername", "other.example.com")...)
	expect(t, `CERT WARNING: .*`, trusted("-w", "100")...)
	expect(t, `CERT CRITICAL: localhost:`+port+`: x509: certificate is valid for other.example.com, not wrong.example.com`, trusted("--servername", "wrong.example.com")...)
	expect(t, `CERT OK: .*`, trusted("--servername", "wrong.example.com", "--no-check-certificate")...)
	expect(t, `CERT CRITICAL: localhost:`+port+`: x509: certificate signed by unknown authority`, "-H", "localhost", "-p", port)
	expect(t, `CERT CRITICAL: 127.0.0.1:`+port+`: x509: cannot validate certificate for 127.0.0.1 .*`, "-H", "127.0.0.1", "-p", port, "--ca-file", ca)

	lonely := serve(t, &tls.Config{}, shop)
	expect(t, `CERT CRITICAL: .*: x509: certificate signed by unknown authority`, "-H", "localhost", "-p", lonely, "--ca-file", ca)
	soon := issue(t, root, "soon", 5)
	late := serve(t, &tls.Config{}, issue(t, soon, "late", 90, "localhost"), soon)
	expect(t, `CERT CRITICAL: localhost:`+late+`: `+of(soon), "-H", "localhost", "-p", late, "--ca-file", ca)
	gone := serve(t, &tls.Config{}, issue(t, root, "gone", -3, "localhost"))
	expect(t, `CERT CRITICAL: localhost:`+gone+`: the certificate of "gone" has expired, .* UTC`, "-H", "localhost", "-p", gone, "--ca-file", ca)

	client := issue(t, nil, "client", 10)
	file := write(t, true, client)
	pool := x509.NewCertPool()
	pool.AddCert(client.cert)
	asks := serve(t, &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool, MaxVersion: tls.VersionTLS12}, shop, between)
	expect(t, `CERT OK: .*`, "-H", "localhost", "-p", asks, "--ca-file", ca, "--cert-file", file, "--key-file", file)
	expect(t, `CERT CRITICAL: localhost:`+asks+`: TLS: remote error: tls: .*`, "-H", "localhost", "-p", asks, "--ca-file", ca)
}

func TestBadTargets(t *testing.T) {
	silent := listen(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
	closes := listen(t, func(net.Conn) {})
	says := func(s string) string {
		return listen(t, func(c net.Conn) {
			_, _ = io.WriteString(c, s)
			_, _ = io.Copy(io.Discard, c)
		})
	}
	for _, args := range [][]string{{}, {"--starttls", "smtp"}, {"--starttls", "imap"}, {"--starttls", "POP3"}, {"--starttls", "postgres"}, {"--starttls", "ldap"}} {
		expect(t, `CERT CRITICAL: localhost:`+silent+`: no answer within 200ms`, append(args, "-H", "localhost", "-p", silent, "-t", "0.2")...)
		expect(t, `CERT CRITICAL: localhost:`+closes+`: (TLS|smtp|imap|pop3|postgres|ldap): (it ends the connection|EOF|.*reset by peer|.*broken pipe)`, append(args, "-H", "localhost", "-p", closes)...)
	}
	for protocol, answers := range map[string]map[string]string{
		"smtp": {
			"554 go away\r\n":                         `it says "554 go away", not 220`,
			"220-a\r\n220 b\r\n250-x\r\n502 no\r\n":   `it says "502 no", not 250`,
			"220 a\r\n250 x\r\n454 no TLS\r\n":        `it says "454 no TLS", not 220`,
			"220 a\r\n250 x\r\n220 go\r\ninjected":    `it says more than that TLS follows`,
			strings.Repeat("220-more\r\n", 200):       `it says more than 100 lines`,
			"220 " + strings.Repeat("x", 10000):       `it says a line of more than 4096 bytes`,
			"220 a\r\n250 x\r\n220 go\r\n\x16garbage": `it says more than that TLS follows`,
		},
		"imap":     {"* BYE\r\n": `it says "\* BYE", not \* OK`, "* OK\r\n* x\r\na1 NO way\r\n": `it says "a1 NO way", not A1 OK`},
		"pop3":     {"-ERR\r\n": `it says "-ERR", not \+OK`, "+OK\r\n-ERR no\r\n": `it says "-ERR no", not \+OK`},
		"postgres": {"N": "it does not speak TLS", "SSH-2.0": "it says more than that TLS follows"},
		"ldap": {"SSH-2.0": "it does not speak LDAP", "\x30\x03abc": "it does not speak LDAP",
			"\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x02\x04\x00\x04\x00": "it does not start TLS: result code 2"},
	} {
		for answer, want := range answers {
			expect(t, `CERT CRITICAL: localhost:\d+: `+protocol+`: `+want, "-H", "localhost", "-p", says(answer), "--starttls", protocol)
		}
	}
	expect(t, `CERT CRITICAL: localhost:\d+: TLS: tls: first record does not look like a TLS handshake`, "-H", "localhost", "-p", says("SSH-2.0-OpenSSH\r\n"))
	expect(t, `CERT CRITICAL: \[::1\]:1: dial tcp \[::1\]:1: .*`, "-H", "::1", "-p", "1")
	expect(t, `CERT CRITICAL: no-such-host.invalid:25: dial tcp: lookup .*`, "-H", "no-such-host.invalid", "--starttls", "smtp")
}

func TestWrongFlags(t *testing.T) {
	for args, want := range map[string]string{
		"":                       "either --file or --host is required",
		"-f a -H b":              "either --file or --host is required",
		"-f a -c -1":             "--warning and --critical must not be negative",
		"-f a -w soon":           `--warning "soon" must be a whole number`,
		"-H a -p 0":              "--port 0 must be from 1 to 65535",
		"-H a --starttls gopher": `--starttls "gopher" is none of imap, ldap, pop3, postgres, smtp`,
		"-H a --key-file x":      "--cert-file and --key-file go together",
	} {
		expect(t, "CERT UNKNOWN: "+want+"; check-cert -h lists the flags", strings.Fields(args)...)
	}
	expect(t, "CERT UNKNOWN: open /no/such: no such file or directory", "-H", "a", "--ca-file", "/no/such")
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"))
	f.Add([]byte{0x30, 0x00})
	f.Fuzz(func(t *testing.T, b []byte) {
		certs, err := parse(b)
		if (err == nil) != (len(certs) > 0) {
			t.Errorf("parse(%q) = %d certificates, %v", b, len(certs), err)
		}
	})
}

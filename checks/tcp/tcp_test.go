package tcp

import (
	"bufio"
	"crypto/tls"
	"encoding/pem"
	"io"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/saba-monitor/saba/check/checktest"
	"github.com/saba-monitor/saba/plugin/target/redistest"
	"github.com/saba-monitor/saba/plugin/target/targettest"
)

// expect runs the check and compares what it prints, as a regular expression for all of it. It
// returns how long that took.
func expect(t *testing.T, want string, args ...string) time.Duration {
	t.Helper()
	start := time.Now()
	_, got := checktest.Run(t, Check, args...)
	if !regexp.MustCompile("^(?s:" + want + ")$").MatchString(got) {
		t.Errorf("tcp %q\n got %s\nwant %s", args, got, want)
	}
	return time.Since(start)
}

// listen serves each connection by handle, and returns the port.
func listen(t *testing.T, handle func(net.Conn)) (port string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	targettest.Serve(t, l, handle)
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}

// says is a server that says something, and waits for the end.
func says(s string) func(net.Conn) {
	return func(c net.Conn) {
		_, _ = io.WriteString(c, s)
		_, _ = io.Copy(io.Discard, c)
	}
}

const took = `\d\.\d{3} seconds response time on `

func TestARealServer(t *testing.T) {
	port := redistest.Start(t).Port
	at := "localhost port " + port
	expect(t, `TCP OK: `+took+at, "-p", port)
	expect(t, `TCP OK: `+took+`127.0.0.1 port `+port, "-H", "127.0.0.1", "--port="+port)
	expect(t, `TCP OK: `+took+at+` \[\+PONG\]`, "-p", port, "-s", `PING\r\n`, "-E", "-e", `^\+PONG`, "-q", `QUIT\r\n`)
	if d := expect(t, `TCP CRITICAL: `+at+`: /PANG/ does not match what it says: \[\+PONG\]`, "-p", port, "-s", "PING\r\n", "-e", "PANG"); d < quiet || d > 5*time.Second {
		t.Errorf("what is wrong is known after %v", d)
	}
	expect(t, `TCP WARNING: .*PANG.*`, "-p", port, "-s", "PING\r\n", "-e", "PANG", "-W")
	expect(t, `TCP CRITICAL: `+at+`: no answer within 300ms`, "-p", port, "-s", `PING\r\n`, "-e", "PONG", "-t", "0.3") // without -E it is no line
	expect(t, `TCP CRITICAL: `+at+` takes connections`, "-p", port, "-C")
	expect(t, `TCP WARNING: `+at+` takes connections`, "-p", port, "-C", "-W")
	expect(t, `TCP CRITICAL: `+took+at, "-p", port, "-w", "0.0000000005", "-c", "0.000000001")
	expect(t, `TCP WARNING: `+took+at, "-p", port, "-w", "0.000000001", "-c", "60")
}

func TestServices(t *testing.T) {
	for service, banner := range map[string]string{"smtp": "220 mail ESMTP\r\n", "ftp": "220 (vsFTPd)\r\n", "pop": "+OK ready\r\n", "IMAP": "* OK ready\r\n", "gearman": "1.1.19\n"} {
		heard := make(chan string, 1)
		port := listen(t, func(c net.Conn) {
			_, _ = io.WriteString(c, banner)
			b, _ := io.ReadAll(c)
			heard <- string(b)
		})
		expect(t, `TCP OK: `+took+`localhost port `+port+` `+regexp.QuoteMeta("["+strings.TrimSpace(banner)+"]"), "--service", service, "-p", port)
		want := map[string]string{"IMAP": "a1 LOGOUT\r\n", "gearman": "version\n"}[service]
		if want == "" {
			want = "QUIT\r\n"
		}
		if got := <-heard; got != want {
			t.Errorf("%s hears %q, want %q", service, got, want)
		}
	}
	port := listen(t, says("554 go away\r\n"))
	expect(t, `TCP CRITICAL: localhost port `+port+`: /\^220/ does not match what it says: \[554 go away\]`, "--service", "smtp", "-p", port)
	expect(t, `TCP OK: .*`, "--service", "smtp", "-p", port, "-e", "^554")
	expect(t, `TCP CRITICAL: localhost port 995: .*`, "--service", "spop")
}

func TestTLS(t *testing.T) {
	web := httptest.NewUnstartedServer(nil)
	web.StartTLS() // for its certificate, which is that of example.com and 127.0.0.1
	defer web.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
	ca := filepath.Join(t.TempDir(), "ca")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: web.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	targettest.Serve(t, tls.NewListener(l, web.TLS), says("220 secure\r\n"))
	expect(t, `TCP OK: .* \[220 secure\]`, "-H", "127.0.0.1", "-p", port, "-S", "--ca-file", ca, "-e", "secure")
	expect(t, `TCP OK: .* \[220 secure\]`, "-p", port, "--service", "ssmtp", "--no-check-certificate")
	expect(t, `TCP CRITICAL: localhost port `+port+`: TLS: tls: failed to verify certificate: x509: .*not localhost`, "-p", port, "-S", "--ca-file", ca)
	expect(t, `TCP CRITICAL: 127.0.0.1 port `+port+`: TLS: .*unknown authority.*`, "-H", "127.0.0.1", "-p", port, "-S")
	plain := listen(t, says("220 plain\r\n"))
	expect(t, `TCP CRITICAL: localhost port `+plain+`: TLS: tls: first record does not look like a TLS handshake`, "-p", plain, "-S")
	silent := listen(t, says(""))
	expect(t, `TCP CRITICAL: localhost port `+silent+`: TLS: no answer within 300ms`, "-p", silent, "-S", "-t", "0.3")
	expect(t, `TCP UNKNOWN: open /no/such: .*`, "-p", port, "-S", "--ca-file", "/no/such")
}

func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	targettest.Serve(t, l, says("hello\n"))
	expect(t, `TCP OK: `+took+path+` \[hello\]`, "-U", path, "-e", "hello")
	expect(t, `TCP CRITICAL: /no/such: dial unix /no/such: .*`, "--unix-sock", "/no/such")
	expect(t, `TCP OK: /no/such takes no connections`, "-U", "/no/such", "-C")
}

func TestBadTargets(t *testing.T) {
	free := redistest.FreePort(t)
	expect(t, `TCP CRITICAL: localhost port `+free+`: dial tcp .*: connect: connection refused`, "-p", free)
	expect(t, `TCP OK: localhost port `+free+` takes no connections`, "-p", free, "-C")
	expect(t, `TCP CRITICAL: ::1 port `+free+`: dial tcp \[::1\]:.*`, "-p", free, "-H", "::1")
	expect(t, `TCP CRITICAL: \[::1\] port `+free+`: dial tcp \[::1\]:.*`, "-p", free, "-H", "[::1]")
	expect(t, `TCP CRITICAL: no-such-host.invalid port 1: .*lookup.*`, "-p", "1", "-H", "no-such-host.invalid", "-C")
	closes := listen(t, func(net.Conn) {})
	expect(t, `TCP CRITICAL: localhost port `+closes+`: (it ends the connection without a word|.*reset by peer)`, "-p", closes, "-e", "x")
	silent := listen(t, says(""))
	expect(t, `TCP CRITICAL: localhost port `+silent+`: no answer within 200ms`, "-p", silent, "-e", "x", "-t", "0.2")
	drips := listen(t, func(c net.Conn) {
		_, _ = c.Write([]byte("2"))
		r := bufio.NewReader(c)
		_, _ = r.ReadString('\n')
		_, _ = c.Write([]byte("20 \x00\x1b[31m" + strings.Repeat("é", 200) + "\nnext"))
		_, _ = io.Copy(io.Discard, r)
	})
	expect(t, `TCP OK: .* \[220   \[31mé{90,100}…\]`, "-p", drips, "-s", "go\n", "-e", "^220")
	flood := listen(t, func(c net.Conn) {
		for _, err := c.Write([]byte("aaaaaaaaaa")); err == nil; _, err = c.Write([]byte("aaaaaaaaaa")) {
		}
	})
	expect(t, `TCP CRITICAL: localhost port `+flood+`: /b/ does not match what it says: \[a{100}…\]`, "-p", flood, "-e", "b")
	expect(t, `TCP OK: .* \[aaa\]`, "-p", flood, "-e", "^a{3}$", "-m", "3")
}

// The delay is no part of the time that it takes, and has fractions.
func TestDelay(t *testing.T) {
	port := listen(t, says("hello\n"))
	if d := expect(t, `TCP OK: 0\.[0-4]\d\d seconds .* \[hello\]`, "-p", port, "-e", "hello", "-d", "0.6", "-w", "0.5"); d < 600*time.Millisecond {
		t.Errorf("a delay of 0.6 s takes %v", d)
	}
	expect(t, `TCP CRITICAL: .*: no answer within 200ms`, "-p", port, "-d", "60", "-t", "0.2")
}

func TestWrongFlags(t *testing.T) {
	for args, want := range map[string]string{
		"":                    "it is not said what to connect to: .*",
		"-p 70000":            "--port 70000 must be from 1 to 65535",
		"-p x":                `--port "x" must be a whole number`,
		"--service telnet":    `--service "telnet" is none of ftp, .*`,
		"-p 1 -e (":           "--expect-pattern: error parsing regexp: .*",
		"-p 1 -m 0":           "--maxbytes 0 must be from 1 to 1048576",
		"-p 1 -w -1":          "--delay, --warning and --critical must not be negative",
		"-p 1 --cert-file x":  "--cert-file and --key-file go together",
		"-p 1 -c fast":        `--critical "fast" must be a number`,
		"-p 1 --status-as OK": `--status-as: "OK" must be like .*`,
	} {
		expect(t, "TCP UNKNOWN: "+want+"; check-tcp -h lists the flags", strings.Fields(args)...)
	}
}

func TestUnescape(t *testing.T) {
	for s, want := range map[string]string{`a\r\n`: "a\r\n", `\\n`: `\n`, `\t\x`: "\t\\x", `\`: `\`} {
		if got := unescape(s); got != want {
			t.Errorf("unescape(%q) = %q, want %q", s, got, want)
		}
	}
}

package redis

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/check/checktest"
	"github.com/saba-monitor/saba/plugin/target/redistest"
	"github.com/saba-monitor/saba/plugin/target/targettest"
)

// want fails the test unless the check says so: a verdict, and a part of the message.
func want(t *testing.T, status saba.CheckStatus, part string, args ...string) {
	t.Helper()
	got, output := checktest.Run(t, Check, args...)
	if got != status || !strings.Contains(output, part) || !strings.HasPrefix(output, "Redis ") || strings.Contains(output, "secret") || strings.Contains(output, "\n") {
		t.Errorf("%q says %q, want %s and %q", args, output, status, part)
	}
}

// until polls until the check says so.
func until(t *testing.T, status saba.CheckStatus, part string, args ...string) {
	t.Helper()
	output := ""
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		var got saba.CheckStatus
		if got, output = checktest.Run(t, Check, args...); got == status && strings.Contains(output, part) {
			return
		}
	}
	t.Fatalf("%q says %q for a minute, want %s and %q", args, output, status, part)
}

func TestReachable(t *testing.T) {
	t.Setenv("REDIS_PASSWORD", "")
	cert, key := certificate(t)
	socket, tlsPort := filepath.Join(t.TempDir(), "s"), redistest.FreePort(t)
	s := redistest.Start(t, "--unixsocket", socket, "--tls-port", tlsPort, "--tls-cert-file", cert, "--tls-key-file", key, "--tls-auth-clients", "no",
		"--user", "watcher", "on", ">topsecret", "+info", "--user", "pinger", "on", ">topsecret", "+ping", "--user", "default", "on", ">topsecret", "~*", "+@all")
	at := "Redis at 127.0.0.1:" + s.Port
	tcp := func(args ...string) []string {
		return append([]string{"reachable", "-H", "127.0.0.1", "-p", s.Port}, args...)
	}
	tls := []string{"reachable", "-H", "127.0.0.1", "-p", tlsPort, "-P", "topsecret", "--tls"}
	want(t, saba.CheckOK, "Redis OK: "+at+" answers, of version ", tcp("-P", "topsecret")...)
	want(t, saba.CheckOK, "Redis at "+socket+" answers, of version ", "reachable", "-s", socket, "-P", "topsecret")
	want(t, saba.CheckOK, at+" answers, of version ", tcp("-U", "watcher", "-P", "topsecret")...)
	want(t, saba.CheckOK, "Redis OK: "+at+" answers", tcp("-U", "pinger", "-P", "topsecret")...)
	want(t, saba.CheckCritical, "ask "+at+": NOAUTH", tcp()...)
	want(t, saba.CheckCritical, "ask "+at+": log in: WRONGPASS", tcp("-P", "wrongsecret")...)
	want(t, saba.CheckOK, "answers", append(tls, "--tls-ca", cert)...)
	want(t, saba.CheckOK, "answers", append(tls, "--tls-skip-verify")...)
	want(t, saba.CheckCritical, "name its authority with tls-ca", tls...)
	t.Setenv("REDIS_PASSWORD", "topsecret")
	want(t, saba.CheckOK, at, tcp()...)
}

// certificate writes a certificate for 127.0.0.1 that is its own authority, and its key.
func certificate(t *testing.T) (cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, &c, &c, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	for file, b := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "EC PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(b), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

func TestReplication(t *testing.T) {
	t.Setenv("REDIS_PASSWORD", "")
	s := redistest.Start(t)
	replica := redistest.Start(t, "--replicaof", "127.0.0.1 "+s.Port)
	for _, command := range []string{"replication", "slave"} {
		args := []string{command, "-H", "127.0.0.1", "-p"}
		until(t, saba.CheckOK, "Redis at 127.0.0.1:"+replica.Port+" is connected to its master at 127.0.0.1:"+s.Port, append(args, replica.Port)...)
		want(t, saba.CheckUnknown, "Redis at 127.0.0.1:"+s.Port+" is a master: --skip-master", append(args, s.Port)...)
		want(t, saba.CheckOK, "is a master", append(args, s.Port, "--skip-master")...)
	}
	replica.Ask("REPLICAOF", "127.0.0.1", "1")
	want(t, saba.CheckCritical, "is not connected to its master at 127.0.0.1:1, for ", "replication", "-H", "127.0.0.1", "-p", replica.Port, "--skip-master")
	want(t, saba.CheckUnknown, "ask Redis at 127.0.0.1:1: connect: connection refused", "replication", "-H", "127.0.0.1", "-p", "1")
}

// Whatever listens on the port: a verdict that names it, within the time limit.
func TestBadServers(t *testing.T) {
	const copies = "role:slave\r\nmaster_host:m\r\nmaster_port:6379\r\nmaster_link_status:down\r\nmaster_sync_in_progress:1\r\n"
	for name, tt := range map[string]struct {
		says                   string
		reachable, replication string
	}{
		"it hangs":           {"", "no answer within 300ms", "no answer within 300ms"},
		"it speaks HTTP":     {"HTTP/1.1 400 Bad Request\r\n\r\n", "protocol of Redis", "protocol of Redis"},
		"it loads its data":  {"-LOADING Redis is loading the dataset in memory\r\n$0\r\n\r\n", "LOADING Redis is loading", "LOADING Redis is loading"},
		"it says nothing":    {"$0\r\n\r\n$0\r\n\r\n", "does not say which version", "does not say whether it is a replica"},
		"it refuses":         {"-ERR max number of clients reached\r\n-ERR no\r\n", "max number of clients", "max number of clients"},
		"it has no idea":     {"+PONG\r\n:7\r\n", "protocol of Redis", "does not say whether it is a replica"},
		"it copies all data": {fmt.Sprintf("$%d\r\n%s\r\n-ERR no\r\n", len(copies), copies), "ERR no", "copies all data of its master at m:6379"},
	} {
		t.Run(name, func(t *testing.T) {
			address := targettest.Listen(t, func(c net.Conn) {
				_, _ = c.Read(make([]byte, 1<<10))
				_, _ = io.WriteString(c, tt.says)
				if tt.says == "" {
					_, _ = io.Copy(io.Discard, c)
				}
			})
			host, port, _ := net.SplitHostPort(address)
			want(t, saba.CheckCritical, tt.reachable, "reachable", "-H", host, "-p", port, "-t", "0.3")
			status := saba.CheckUnknown
			if strings.Contains(tt.says, copies) {
				status = saba.CheckCritical
			}
			want(t, status, tt.replication, "replication", "-H", host, "-p", port, "-t", "0.3")
		})
	}
}

func TestUsage(t *testing.T) {
	checktest.Usage(t, Check)
	want(t, saba.CheckUnknown, "--socket is in place of --host and --port", "replication", "-H", "a", "-s", "/b")
	want(t, saba.CheckCritical, "/no/such/file", "reachable", "--password-file", "/no/such/file")
}

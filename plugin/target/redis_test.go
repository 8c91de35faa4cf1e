package target_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"flag"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/saba-monitor/saba/plugin/target"
	"github.com/saba-monitor/saba/plugin/target/redistest"
	"github.com/saba-monitor/saba/plugin/target/targettest"
)

// newRedis returns a Redis with flags, which are right.
func newRedis(t *testing.T, args ...string) *target.Redis {
	t.Helper()
	r, fs := &target.Redis{}, flag.NewFlagSet("", flag.ContinueOnError)
	r.AddFlags(fs, "TEST_REDIS_PASSWORD")
	r.AddURLFlags(fs, "TEST_REDIS_URL")
	if err := fs.Parse(args); err != nil {
		t.Fatal(err)
	}
	if err := r.CheckFlags(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

func TestRedisIsFoundInEachWay(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	s := redistest.Start(t, "--unixsocket", socket, "--user", "watcher", "on", ">topsecret", "~*", "+@all")
	s.Ask("SET", "where", "zero")
	url := "redis://watcher:topsecret@127.0.0.1:" + s.Port
	r := newRedis(t, "-url", url+"/3")
	if _, err := r.Ask(t.Context(), []string{"SET", "where", "three"}); err != nil {
		t.Fatal(err)
	}
	at := []string{"-host", "127.0.0.1", "-port", s.Port}
	for name, tt := range map[string]struct {
		args []string
		env  string
		want string // the answer, or a part of the error
	}{
		"host and port":                        {at, "", "zero"},
		"a database":                           {append(at, "-db", "3"), "", "three"},
		"a URL":                                {[]string{"-url", url}, "", "zero"},
		"a URL with a database":                {[]string{"-url", url + "/3"}, "", "three"},
		"a URL without one keeps -db":          {[]string{"-url", url, "-db", "3"}, "", "three"},
		"a URL of a socket":                    {[]string{"-url", "unix://" + socket + "?db=3"}, "", "three"},
		"a socket":                             {[]string{"-socket", socket}, "", "zero"},
		"the environment":                      {nil, url + "/3", "three"},
		"flags before the environment":         {at, "redis://192.0.2.1/7", "zero"},
		"a database that is not there":         {append(at, "-db", "99"), "", "select database 99: ERR DB index is out of range"},
		"a URL with a wrong password":          {[]string{"-url", "redis://watcher:wrongsecret@127.0.0.1:" + s.Port}, "", "log in: WRONGPASS"},
		"no URL":                               {[]string{"-url", "http://topsecret@h"}, "", "its URL is not like redis://"},
		"a URL that cannot be read":            {[]string{"-url", "redis://h:topsecret"}, "", "its URL is not like redis://"},
		"a URL with a database that is a word": {[]string{"-url", "redis://h/topsecret"}, "", "its URL is not like redis://"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("TEST_REDIS_URL", tt.env)
			answers, err := newRedis(t, tt.args...).Ask(t.Context(), []string{"GET", "where"})
			switch {
			case err != nil:
				if !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "secret") {
					t.Errorf("error %q, want %q", err, tt.want)
				}
			case answers[0] != tt.want:
				t.Errorf("answer %v, want %q", answers[0], tt.want)
			}
		})
	}
}

func TestRedisFlagsThatDoNotGoTogether(t *testing.T) {
	for _, args := range [][]string{
		{"-host", "a", "-url", "redis://b"}, {"-socket", "/s", "-sentinels", "a:1"}, {"-db", "-1"},
	} {
		r, fs := &target.Redis{}, flag.NewFlagSet("", flag.ContinueOnError)
		r.AddFlags(fs, "")
		r.AddURLFlags(fs, "")
		if err := fs.Parse(args); err != nil {
			t.Fatal(err)
		}
		if err := r.CheckFlags(); err == nil || !strings.Contains(err.Error(), args[0]) {
			t.Errorf("CheckFlags of %q = %v, want an error that names %s", args, err, args[0])
		}
	}
}

// certificate writes a self-signed certificate for 127.0.0.1 and its key.
func certificate(t *testing.T) (cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
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

func TestRedisOverTLS(t *testing.T) {
	cert, key := certificate(t)
	port := redistest.FreePort(t)
	redistest.Start(t, "--tls-port", port, "--tls-cert-file", cert, "--tls-key-file", key, "--tls-auth-clients", "no")
	for name, tt := range map[string]struct {
		args []string
		want string
	}{
		"with its authority":         {[]string{"-url", "rediss://127.0.0.1:" + port, "-tls-ca", cert}, ""},
		"unverified":                 {[]string{"-host", "127.0.0.1", "-port", port, "-tls", "-tls-skip-verify"}, ""},
		"from nobody one knows":      {[]string{"-url", "rediss://127.0.0.1:" + port}, "tls-ca"},
		"under another name":         {[]string{"-url", "rediss://localhost:" + port, "-tls-ca", cert}, "tls-skip-verify"},
		"a file without certificate": {[]string{"-url", "rediss://127.0.0.1:" + port, "-tls-ca", key}, "holds no certificate"},
	} {
		answers, err := newRedis(t, tt.args...).Ask(t.Context(), []string{"PING"})
		if tt.want == "" && (err != nil || answers[0] != "PONG") || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: %v, %v, want %q", name, answers, err, tt.want)
		}
	}
}

func TestSentinelsSayWhereTheServerIs(t *testing.T) {
	s := redistest.Start(t, "--requirepass", "topsecret")
	sentinel := redistest.StartSentinel(t, "shop", s.Port, "requirepass watchsecret", "sentinel auth-pass shop topsecret")
	at := "127.0.0.1:" + sentinel.Port
	args := []string{"-password", "topsecret", "-sentinel-password", "watchsecret", "-sentinel-master"}
	r := newRedis(t, append(args, "shop", "-sentinels", "127.0.0.1:1, "+at)...)
	for range 2 {
		if answers, err := r.Ask(t.Context(), []string{"PING"}); err != nil || answers[0] != "PONG" || r.Name() != "Redis at 127.0.0.1:"+s.Port {
			t.Errorf("Ask = %v, %v of %s, want a PONG of the server", answers, err, r.Name())
		}
	}
	for name, tt := range map[string]struct {
		args []string
		want []string
	}{
		"none is there":         {append(args, "shop", "-sentinels", "127.0.0.1:1,127.0.0.1:2"), []string{"127.0.0.1:1: ", "127.0.0.1:2: "}},
		"it knows no such name": {append(args, "shoe", "-sentinels", at), []string{at, `no server "shoe"`}},
		"a wrong password":      {[]string{"-sentinel-password", "wrongsecret", "-sentinels", at}, []string{"log in: WRONGPASS"}},
		"it is no Sentinel":     {append(args, "shop", "-sentinels", "127.0.0.1:"+s.Port), []string{"log in: WRONGPASS"}},
	} {
		_, err := newRedis(t, tt.args...).Ask(t.Context(), []string{"PING"})
		for _, want := range tt.want {
			if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
				t.Errorf("%s: %v, want %q", name, err, want)
			}
		}
	}
}

// A replica that was the master keeps its own, older truth.
func TestAReplicaIsNotTheMaster(t *testing.T) {
	s := redistest.Start(t)
	replica := redistest.Start(t, "--replicaof", "127.0.0.1 "+s.Port)
	replica.Says("Finished with success")
	l := listen(t, func(c net.Conn) {
		_, _ = io.WriteString(c, "*2\r\n$9\r\n127.0.0.1\r\n$5\r\n"+replica.Port+"\r\n")
	})
	if _, err := newRedis(t, "-sentinels", l).Ask(t.Context(), []string{"PING"}); err == nil || !strings.Contains(err.Error(), "as the master, which it is not") {
		t.Errorf("Ask = %v, want that it is not the master", err)
	}
}

// listen serves connections, after something was read, until the test ends.
func listen(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	return targettest.Listen(t, func(c net.Conn) {
		_, _ = c.Read(make([]byte, 1<<10))
		serve(c)
	})
}

func TestAPasswordThatTheServerRepeatsIsNotShown(t *testing.T) {
	l := listen(t, func(c net.Conn) {
		_, _ = io.WriteString(c, "-ERR unknown command 'AUTH', with args beginning with: 'topsecret'\r\n+PONG\r\n")
	})
	_, err := newRedis(t, "-url", "redis://:topsecret@"+l).Ask(t.Context(), []string{"PING"})
	if err == nil || !strings.Contains(err.Error(), "log in: ERR unknown command") || strings.Contains(err.Error(), "secret") {
		t.Errorf("Ask = %v, want why without the password", err)
	}
}

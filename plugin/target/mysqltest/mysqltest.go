// Package mysqltest starts real MariaDB servers for tests. It is for tests alone.
package mysqltest

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/saba-monitor/saba/plugin/target/mysql"
)

// A Server is a real mariadbd with a data folder of its own. The user root has no password and
// comes from 127.0.0.1 or through the socket.
type Server struct {
	Address string // 127.0.0.1 and the port
	Port    string
	Socket  string

	t    testing.TB
	args []string
	cmd  *exec.Cmd
	read chan struct{} // closed when the log has ended
}

// Start starts a server on a free port of 127.0.0.1 with more arguments, waits until it takes
// connections, and ends it with the test.
func Start(t testing.TB, args ...string) *Server {
	t.Helper()
	port, dir := freePort(t), t.TempDir()
	// A server that starts removes the temporary tables that it finds, those of another's too.
	own := []string{"--no-defaults", "--datadir=" + filepath.Join(dir, "data"), "--tmpdir=" + dir}
	if os.Geteuid() == 0 {
		own = append(own, "--user=root")
	}
	install := exec.Command("mariadb-install-db", append(own, "--auth-root-authentication-method=normal", "--skip-test-db")...)
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("the test needs a real MariaDB (Debian's mariadb-server): %v\n%s", err, out)
	}
	s := &Server{Address: "127.0.0.1:" + port, Port: port, Socket: filepath.Join(dir, "s"), t: t}
	// Without names, and without waiting for the disk, which nothing outlives.
	s.args = append(append(own, "--port="+port, "--bind-address=127.0.0.1", "--socket="+s.Socket, "--pid-file="+filepath.Join(dir, "pid"),
		"--skip-name-resolve", "--innodb-flush-log-at-trx-commit=0"), args...)
	s.run()
	t.Cleanup(s.Stop)
	return s
}

func freePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}

func (s *Server) run() {
	s.t.Helper()
	path, err := exec.LookPath("mariadbd")
	if err != nil {
		path = "/usr/sbin/mariadbd" // which is not on everybody's path
	}
	s.cmd = exec.Command(path, s.args...)
	log, err := s.cmd.StderrPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		s.t.Fatalf("the test needs a real MariaDB (Debian's mariadb-server): %v", err)
	}
	s.read = make(chan struct{})
	lines := bufio.NewScanner(log)
	var seen []string
	ready := false
	for !ready && lines.Scan() {
		seen = append(seen, lines.Text())
		ready = strings.Contains(lines.Text(), "ready for connections")
	}
	go func(read chan struct{}) {
		defer close(read)
		_, _ = io.Copy(io.Discard, log)
	}(s.read)
	if !ready {
		s.Stop()
		s.t.Fatalf("mariadbd ended before it took connections:\n%s", strings.Join(seen, "\n"))
	}
}

// Stop ends the server, as a crash does.
func (s *Server) Stop() {
	_ = s.cmd.Process.Kill()
	<-s.read
	_ = s.cmd.Wait()
}

// Restart ends the server and starts it anew at the same address with the same data.
func (s *Server) Restart() {
	s.t.Helper()
	s.Stop()
	s.run()
}

// Pause stops the server in the middle of what it does, until the test ends: connections are
// accepted and nothing is said.
func (s *Server) Pause() {
	s.t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		s.t.Fatal(err)
	}
}

// Exec runs statements as root on a connection that ends then.
func (s *Server) Exec(statements ...string) {
	s.t.Helper()
	s.Hold(statements...).Close()
}

// Hold opens a connection as root, on which a transaction or lock may stay open, and runs
// statements on it. It ends with the test, if not before.
func (s *Server) Hold(statements ...string) *mysql.Conn {
	s.t.Helper()
	conn, err := (&mysql.Server{Socket: s.Socket, User: "root"}).Connect(s.t.Context(), "")
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(conn.Close)
	for _, statement := range statements {
		if err := conn.Exec(s.t.Context(), statement); err != nil {
			s.t.Fatalf("%s: %v", statement, err)
		}
	}
	return conn
}

// Certificate makes a certificate for an IP address that is its own authority, and returns the
// files (PEM) of it and its key.
func Certificate(t testing.TB, ip string) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "saba test"}, IPAddresses: []net.IP{net.ParseIP(ip)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for file, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

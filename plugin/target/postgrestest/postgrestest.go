// Package postgrestest starts real PostgreSQL servers for tests. It is for tests alone.
package postgrestest

import (
	"bufio"
	"cmp"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// A Server is a real PostgreSQL with a folder of its own. The user postgres needs no password,
// all others do.
type Server struct {
	Port string // of 127.0.0.1
	Dir  string // its socket is here, and its data in the folder data

	t        testing.TB
	settings []string
	as       *syscall.SysProcAttr // nil: as the user of the test
	stop     func(os.Signal)      // nil when the server does not run
}

// Start starts a server on a free port with more settings ("wal_level=logical"), waits until it
// takes connections, and ends it with the test.
func Start(t testing.TB, settings ...string) *Server {
	t.Helper()
	s := newServer(t, settings)
	s.run("initdb", "-D", s.Dir+"/data", "-U", "postgres", "-A", "trust", "-N", "-E", "UTF8", "--locale=C")
	s.File("pg_hba.conf", "local all all trust\nhost all,replication postgres 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n")
	s.Begin()
	return s
}

// Replica starts a server that follows s as a streaming replica, with more settings.
func (s *Server) Replica(settings ...string) *Server {
	s.t.Helper()
	r := newServer(s.t, settings)
	r.run("pg_basebackup", "-D", r.Dir+"/data", "-R", "-c", "fast", "-N", "-h", "127.0.0.1", "-p", s.Port, "-U", "postgres")
	r.Begin()
	return r
}

// newServer returns a server with an empty folder. PostgreSQL refuses to run as root, so then it
// runs as its own user.
func newServer(t testing.TB, settings []string) *Server {
	t.Helper()
	dir, err := os.MkdirTemp("", "saba-test-postgres-") // the folders of t.TempDir are closed to that user
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	s := &Server{Port: freePort(t), Dir: dir, t: t, settings: settings}
	if os.Geteuid() == 0 {
		u, err := user.Lookup("postgres")
		if err != nil {
			t.Fatalf("the test needs the user of PostgreSQL (Debian's postgresql): %v", err)
		}
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		s.as = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
		s.own(dir)
	}
	t.Cleanup(func() { s.End(syscall.SIGQUIT) }) // at once, with its children
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

// own gives a file to the user that the server runs as.
func (s *Server) own(file string) {
	s.t.Helper()
	if s.as == nil {
		return
	}
	if err := os.Chown(file, int(s.as.Credential.Uid), int(s.as.Credential.Gid)); err != nil {
		s.t.Fatal(err)
	}
}

// File writes a file in the folder of the data, which only the server reads.
func (s *Server) File(name, content string) {
	s.t.Helper()
	file := filepath.Join(s.Dir, "data", name)
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		s.t.Fatal(err)
	}
	s.own(file)
}

// TLS makes the server speak TLS, with a certificate for an address that is its own authority,
// and returns the file of that. Whoever connects from now on finds it.
func (s *Server) TLS(address string) (ca string) {
	s.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		s.t.Fatal(err)
	}
	c := x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.ParseIP(address)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, &c, &c, &key.PublicKey, key)
	if err != nil {
		s.t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		s.t.Fatal(err)
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	s.File("server.crt", string(cert))
	s.File("server.key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})))
	s.Ask("ALTER SYSTEM SET ssl = on")
	s.Reload()
	ca = filepath.Join(s.t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, cert, 0o600); err != nil {
		s.t.Fatal(err)
	}
	return ca
}

// Reload makes the server read its files anew, and waits until those who connect find it so.
func (s *Server) Reload() {
	s.t.Helper()
	at := s.Ask("SELECT pg_conf_load_time()")[0][0]
	for deadline := time.Now().Add(20 * time.Second); ; {
		s.Ask("SELECT pg_reload_conf()")
		if s.Ask("SELECT pg_conf_load_time()")[0][0] != at { // of a connection that began after it
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatal("the server does not read its configuration")
		}
	}
}

// command returns one of PostgreSQL's programs: of the newest version, if there are several.
func (s *Server) command(name string, args ...string) *exec.Cmd {
	s.t.Helper()
	path, err := exec.LookPath(name)
	if found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/" + name); len(found) > 0 {
		path, err = slices.MaxFunc(found, func(a, b string) int { return cmp.Compare(version(a), version(b)) }), nil
	}
	if err != nil {
		s.t.Fatalf("the test needs a real PostgreSQL (Debian's postgresql): %v", err)
	}
	cmd := exec.Command(path, args...)
	cmd.Dir, cmd.SysProcAttr = s.Dir, s.as
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	return cmd
}

// version returns the version of a program in /usr/lib/postgresql/15/bin.
func version(path string) float64 {
	v, _ := strconv.ParseFloat(filepath.Base(filepath.Dir(filepath.Dir(path))), 64) // 9.6 was one
	return v
}

func (s *Server) run(name string, args ...string) {
	s.t.Helper()
	cmd := s.command(name, args...)
	if out, err := cmd.CombinedOutput(); err != nil {
		s.t.Fatalf("%q: %v\n%s", cmd.Args, err, out)
	}
}

// Begin starts the server again after End, on the same port, and waits until it takes connections.
func (s *Server) Begin() {
	s.t.Helper()
	args := []string{"-D", s.Dir + "/data", "-p", s.Port, "-k", s.Dir, "-h", "127.0.0.1", "-F", "-c", "password_encryption=scram-sha-256"}
	for _, setting := range s.settings {
		args = append(args, "-c", setting)
	}
	cmd := s.command("postgres", args...)
	log, err := cmd.StderrPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	read := make(chan struct{})
	s.stop = func(signal os.Signal) {
		_ = cmd.Process.Signal(signal)
		<-read // until the last of its children has ended
		_ = cmd.Wait()
	}
	lines := bufio.NewScanner(log)
	var seen []string
	ready := false
	for !ready && lines.Scan() {
		seen = append(seen, lines.Text())
		ready = strings.Contains(lines.Text(), "ready to accept ") // connections, or read-only ones
	}
	go func() {
		defer close(read)
		_, _ = io.Copy(io.Discard, log)
	}()
	if !ready {
		s.t.Fatalf("%s ended without being ready:\n%s", cmd.Path, strings.Join(seen, "\n"))
	}
}

// End ends the server, if it runs: with SIGINT in order, with SIGQUIT as if it crashed. It
// returns when no process of the server is left.
func (s *Server) End(signal os.Signal) {
	if s.stop != nil {
		s.stop(signal)
		s.stop = nil
	}
}

// URL names a database of the server. userinfo says as whom: "user:password", or "" for postgres.
func (s *Server) URL(userinfo, database string) string {
	if userinfo == "" {
		userinfo = "postgres"
	}
	return "postgres://" + userinfo + "@127.0.0.1:" + s.Port + "/" + database
}

// Database creates an empty database and returns its URL.
func (s *Server) Database(name string) string {
	s.t.Helper()
	s.Ask("CREATE DATABASE " + `"` + strings.ReplaceAll(name, `"`, `""`) + `"`)
	return s.URL("", url.PathEscape(name))
}

// Connect returns a connection that lasts until the test ends.
func (s *Server) Connect(url string) *Conn {
	s.t.Helper()
	c, err := connect(s.t, url)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.Close() })
	return c
}

// Ask sends statements to the database postgres as the user postgres, on a connection of its
// own, and returns the rows of the last: "" for NULL.
func (s *Server) Ask(statements string) [][]string {
	s.t.Helper()
	c, err := connect(s.t, s.URL("", "postgres"))
	if err != nil {
		s.t.Fatal(err)
	}
	defer c.Close()
	return c.Ask(statements)
}

// A Conn is a connection of a test.
type Conn struct {
	t    testing.TB
	conn *pgconn.PgConn
}

func connect(t testing.TB, url string) (*Conn, error) {
	conn, err := pgconn.Connect(t.Context(), url)
	if err != nil {
		return nil, fmt.Errorf("connect a test to PostgreSQL: %w", err)
	}
	return &Conn{t, conn}, nil
}

// Ask sends statements and returns the rows of the last: "" for NULL.
func (c *Conn) Ask(statements string) [][]string {
	c.t.Helper()
	results, err := c.conn.Exec(c.t.Context(), statements).ReadAll()
	if err != nil {
		c.t.Fatalf("%s: %v", statements, err)
	}
	var rows [][]string
	for _, row := range results[len(results)-1].Rows {
		cells := make([]string, len(row))
		for i, cell := range row {
			cells[i] = string(cell)
		}
		rows = append(rows, cells)
	}
	return rows
}

// Fail sends a statement that the server refuses.
func (c *Conn) Fail(statement string) {
	c.t.Helper()
	if _, err := c.conn.Exec(c.t.Context(), statement).ReadAll(); err == nil {
		c.t.Fatalf("%s did not fail", statement)
	}
}

// Start sends a statement and does not wait for its answer. The connection is of no more use.
func (c *Conn) Start(statement string) { c.conn.Exec(c.t.Context(), statement) }

// Close ends the connection.
func (c *Conn) Close() { _ = c.conn.Close(c.t.Context()) }

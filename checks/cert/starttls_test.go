package cert

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/saba-monitor/saba/plugin/target/postgrestest"
)

// start starts a server of one of Debian's packages and ends it with the test.
func start(t *testing.T, pack, name string, args ...string) {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		if path, err = exec.LookPath(filepath.Join("/usr/sbin", name)); err != nil { // which users do not search
			t.Fatalf("the test needs a real %s (Debian's %s): %v", name, pack, err)
		}
	}
	cmd := exec.Command(path, args...)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	})
}

// await waits until something listens at the port.
func await(t *testing.T, port string) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		conn, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err == nil {
			_ = conn.Close()
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

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

func TestMailServers(t *testing.T) {
	root := issue(t, nil, "root", 400)
	mail := issue(t, root, "mail", 90, "localhost")
	ca, file := write(t, false, root), write(t, true, mail)
	ports := map[string]string{"imap": freePort(t), "pop3": freePort(t), "smtp": freePort(t)}
	dir, err := os.MkdirTemp("", "dovecot") // the names of its sockets must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	var conf strings.Builder
	fmt.Fprintf(&conf, `base_dir = %[1]s/run
state_dir = %[1]s/state
log_path = %[1]s/log
protocols = imap pop3 submission
listen = 127.0.0.1
ssl = yes
ssl_cert = <%[2]s
ssl_key = <%[2]s
submission_relay_host = 127.0.0.1
passdb {
  driver = static
}
service anvil {
  chroot =
}
service stats {
  chroot =
}
`, dir, file)
	for service, protocol := range map[string]string{"imap": "imap", "pop3": "pop3", "submission": "smtp"} {
		fmt.Fprintf(&conf, "service %[1]s-login {\n  chroot =\n  inet_listener %[1]s {\n    port = %[2]s\n  }\n  inet_listener %[1]ss {\n    port = 0\n  }\n}\n", service, ports[protocol])
	}
	if me, err := user.Current(); err == nil && me.Uid != "0" {
		group, err := user.LookupGroupId(me.Gid)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&conf, "default_login_user = %[1]s\ndefault_internal_user = %[1]s\ndefault_internal_group = %[2]s\n", me.Username, group.Name)
	}
	if err := os.WriteFile(dir+"/conf", []byte(conf.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	start(t, "dovecot-imapd, dovecot-pop3d and dovecot-submissiond", "dovecot", "-F", "-c", dir+"/conf")
	for protocol, port := range ports {
		await(t, port)
		expect(t, `CERT OK: localhost:`+port+`: `+of(mail), "-H", "localhost", "-p", port, "--starttls", protocol, "--ca-file", ca)
		expect(t, `CERT CRITICAL: 127.0.0.1:`+port+`: x509: .*`, "-H", "127.0.0.1", "-p", port, "--starttls", protocol, "--ca-file", ca)
	}
	if t.Failed() {
		b, _ := os.ReadFile(dir + "/log")
		t.Logf("%s", b)
	}
}

func TestADirectory(t *testing.T) {
	root := issue(t, nil, "root", 400)
	leaf := issue(t, root, "directory", 90, "localhost")
	ca, file, port := write(t, false, root), write(t, true, leaf), freePort(t)
	conf := filepath.Join(t.TempDir(), "conf")
	text := fmt.Sprintf("TLSCertificateFile %[1]s\nTLSCertificateKeyFile %[1]s\nTLSCACertificateFile %[2]s\n", file, ca)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	start(t, "slapd", "slapd", "-h", "ldap://127.0.0.1:"+port, "-f", conf, "-d", "0")
	await(t, port)
	expect(t, `CERT OK: localhost:`+port+`: `+of(leaf), "-H", "localhost", "-p", port, "--starttls", "ldap", "--ca-file", ca)
	plain, bare := freePort(t), filepath.Join(t.TempDir(), "conf")
	if err := os.WriteFile(bare, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	start(t, "slapd", "slapd", "-h", "ldap://127.0.0.1:"+plain, "-f", bare, "-d", "0")
	await(t, plain)
	expect(t, `CERT CRITICAL: localhost:`+plain+`: ldap: it does not start TLS: result code 2`, "-H", "localhost", "-p", plain, "--starttls", "ldap")
}

func TestADatabase(t *testing.T) {
	s := postgrestest.Start(t)
	args := []string{"-H", "127.0.0.1", "-p", s.Port, "--starttls", "postgres", "-w", "0", "-c", "0"} // its certificate is for an hour
	expect(t, `CERT CRITICAL: 127.0.0.1:`+s.Port+`: postgres: it does not speak TLS`, args...)
	ca := s.TLS("127.0.0.1")
	expect(t, `CERT OK: 127.0.0.1:`+s.Port+`: the certificate of "test" expires in 0 days, .*`, append(args, "--ca-file", ca)...)
	expect(t, `CERT CRITICAL: 127.0.0.1:`+s.Port+`: x509: .*`, args...)
}

// Whatever a server answers, it is not taken for TLS unless it says so.
func FuzzStartTLS(f *testing.F) {
	f.Add("smtp", "220 a\r\n250 x\r\n220 go\r\n")
	f.Add("imap", "* OK\r\n* x\r\na1 ok\r\n")
	f.Add("pop3", "+OK\r\n+OK\r\n")
	f.Add("postgres", "S")
	f.Add("ldap", "\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x00\x04\x00\x04\x00")
	f.Fuzz(func(t *testing.T, name, answer string) {
		p, ok := findProtocol(name)
		if !ok {
			return
		}
		if err := p.start(&talk{io.Discard, bufio.NewReaderSize(strings.NewReader(answer), maxLine)}); err == nil && len(answer) == 0 {
			t.Errorf("%s takes silence for a yes", name)
		}
	})
}

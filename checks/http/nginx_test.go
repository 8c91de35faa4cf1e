package http

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// startNginx starts a real nginx with a small page, which it packs, and a large file, and returns its port.
func startNginx(t *testing.T) (port string) {
	t.Helper()
	const path = "/usr/sbin/nginx"
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("the test needs a real nginx (Debian's nginx): %v", err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ = net.SplitHostPort(l.Addr().String())
	_ = l.Close()
	dir := t.TempDir()
	conf := fmt.Sprintf(`daemon off;
master_process off;
pid %[1]s/pid;
error_log %[1]s/log;
events {}
http {
  access_log off;
  client_body_temp_path %[1]s/a; proxy_temp_path %[1]s/b; fastcgi_temp_path %[1]s/c; uwsgi_temp_path %[1]s/d; scgi_temp_path %[1]s/e;
  server {
    listen 127.0.0.1:%[2]s;
    root %[1]s;
    gzip on; gzip_types *; gzip_min_length 1;
    location /dir { alias %[1]s/sub; }
    location /private { auth_basic shop; auth_basic_user_file %[1]s/users; alias %[1]s/page; }
  }
}
`, dir, port)
	for name, content := range map[string]string{"conf": conf, "page": strings.Repeat("fish and chips\n", 1000), "users": "me:{PLAIN}secret\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "large"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(filepath.Join(dir, "large"), 100<<20); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, "-c", dir+"/conf", "-e", dir+"/log")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	})
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if conn, err := net.Dial("tcp", "127.0.0.1:"+port); err == nil {
			_ = conn.Close()
			return port
		}
		if time.Now().After(deadline) {
			log, _ := os.ReadFile(dir + "/log")
			t.Fatalf("nginx does not listen: %s", log)
		}
	}
}

func TestNginx(t *testing.T) {
	at := "http://127.0.0.1:" + startNginx(t)
	expect(t, "-u "+at+"/page -p 'fish and' -B 15000", `HTTP OK: HTTP/1.1 200 OK`+ends(15000))
	expect(t, "-u "+at+"/page -m HEAD -H Accept-Encoding:identity -B 15000", `HTTP OK: .*`)
	expect(t, "-u "+at+"/page -H Accept-Encoding:gzip -p fish", `HTTP CRITICAL: .*, /fish/ does not match the body`) // who asks for it packed gets it so
	expect(t, "-u "+at+"/large -H Accept-Encoding:identity -B 104857600", `HTTP OK: .*`)
	expect(t, "-u "+at+"/large", `HTTP OK: .* more than 4194304 bytes .*`) // a hundred megabytes in a few packed ones
	expect(t, "-u "+at+"/none", `HTTP WARNING: .* 404 Not Found.*`)
	expect(t, "-u "+at+"/dir", `HTTP WARNING: `+at+`/dir, redirected to .*403 Forbidden.*`)
	expect(t, "-u "+at+"/private", `HTTP WARNING: .* 401 Unauthorized.*`)
	expect(t, "-u "+at+"/private --user me:secret -p fish", `HTTP OK: .*`)
	expect(t, "-u "+at+"/page -m PUT -d x", `HTTP WARNING: .* 405 Not Allowed.*`)
}

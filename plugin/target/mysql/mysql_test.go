package mysql

import (
	"flag"
	"net/url"
	"strings"
	"testing"

	"github.com/saba-monitor/saba/plugin/target/mysqltest"
)

func TestParseURL(t *testing.T) {
	u, err := url.Parse("trilogy://me:pa%40ss@h/jobs?ssl_mode=verify_identity")
	if err != nil {
		t.Fatal(err)
	}
	d, err := ParseURL(u)
	if err != nil || d.config.Passwd != "pa@ss" || d.config.TLSConfig != "true" || d.config.DBName != "jobs" || d.String() != "MySQL at h:3306" {
		t.Errorf("the URL was read as %+v, %v", d.config, err)
	}
}

// server returns what flags say.
func server(t *testing.T, args ...string) *Server {
	t.Helper()
	s := &Server{}
	fs := flag.NewFlagSet("", flag.ContinueOnError)
	s.AddFlags(fs)
	if err := fs.Parse(args); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestConnect(t *testing.T) {
	cert, key := mysqltest.Certificate(t, "127.0.0.1")
	db := mysqltest.Start(t, "--ssl-cert="+cert, "--ssl-key="+key)
	db.Exec("CREATE USER safe@'127.0.0.1' IDENTIFIED BY 'topsecret' REQUIRE SSL")
	tcp := []string{"-host", "127.0.0.1", "-port", db.Port}
	safe := append(tcp, "-username", "safe", "-password", "topsecret")
	other, _ := mysqltest.Certificate(t, "127.0.0.1")
	for name, tt := range map[string]struct {
		args []string
		want string // a part of the error; "" is none
	}{
		"without a password":          {tcp, ""},
		"through a socket":            {[]string{"-socket", db.Socket}, ""},
		"a wrong password":            {append(tcp, "-password", "wrongsecret"), "Access denied"},
		"a user who is not there":     {append(tcp, "-username", "nobody", "-password", "topsecret"), "Access denied"},
		"TLS is missing":              {safe, "Access denied"},
		"TLS":                         {append(safe, "-tls", "-tls-root-cert", cert), ""},
		"TLS of nobody in particular": {append(safe, "-tls", "-tls-skip-verify"), ""},
		"TLS of the wrong one":        {append(safe, "-tls", "-tls-root-cert", other), "name its authority with tls-root-cert"},
		"TLS of the system":           {append(safe, "-tls"), "name its authority with tls-root-cert"},
		"a certificate that is none":  {append(safe, "-tls", "-tls-root-cert", key), "holds no certificate"},
		"one that is not there":       {append(safe, "-tls", "-tls-root-cert", key+"x"), "no such file"},
		"nobody at the port":          {[]string{"-host", "127.0.0.1", "-port", "1"}, "connection refused"},
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := server(t, tt.args...).Connect(t.Context())
			if err == nil {
				defer conn.Close()
			}
			if (err == nil) != (tt.want == "") || err != nil && (!strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "secret")) {
				t.Errorf("Connect = %v, want %q", err, tt.want)
			}
		})
	}
}

func TestRows(t *testing.T) {
	db := mysqltest.Start(t)
	conn, err := server(t, "-socket", db.Socket).Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	columns, rows, err := conn.Rows(t.Context(), 2, "SELECT ? AS a, NULL AS b UNION ALL SELECT 2, 3 UNION ALL SELECT 4, 5", "x'\\")
	if err != nil || strings.Join(columns, ",") != "a,b" || len(rows) != 2 || rows[0][0] != "x'\\" || rows[0][1] != "" || rows[1][1] != "3" {
		t.Errorf("Rows = %q, %q, %v", columns, rows, err)
	}
	if _, _, err := conn.Rows(t.Context(), 1, "SELECT nothing"); err == nil || !strings.Contains(err.Error(), "Unknown column 'nothing'") {
		t.Errorf("a wrong statement: %v", err)
	}
	if _, rows, err := conn.Rows(t.Context(), 100, "SELECT REPEAT('a', 15 << 20) UNION ALL SELECT REPEAT('b', 15 << 20) UNION ALL SELECT REPEAT('c', 15 << 20)"); err == nil || !strings.Contains(err.Error(), "32 MiB") {
		t.Errorf("45 MiB: %d rows, %v, want that it is too much", len(rows), err)
	}
}

package mysql_test

import (
	"strings"
	"testing"

	"github.com/saba-monitor/saba/plugin/target/mysql"
	"github.com/saba-monitor/saba/plugin/target/mysqltest"
)

func TestConnect(t *testing.T) {
	cert, key := mysqltest.Certificate(t, "127.0.0.1")
	db := mysqltest.Start(t, "--ssl-cert="+cert, "--ssl-key="+key)
	db.Exec("CREATE USER safe@'127.0.0.1' IDENTIFIED BY 'topsecret' REQUIRE SSL")
	other, _ := mysqltest.Certificate(t, "127.0.0.1")
	safe := mysql.Server{Host: "127.0.0.1", Port: db.Port, User: "safe"}
	with := func(change func(*mysql.Server)) mysql.Server {
		s := safe
		change(&s)
		return s
	}
	for name, tt := range map[string]struct {
		server   mysql.Server
		password string
		want     string // a part of the error; "" is none
	}{
		"without a password":          {mysql.Server{Host: "127.0.0.1", Port: db.Port, User: "root"}, "", ""},
		"through a socket":            {mysql.Server{Socket: db.Socket, User: "root"}, "", ""},
		"a wrong password":            {with(func(s *mysql.Server) { s.TLS, s.RootCert = true, cert }), "wrongsecret", "Access denied"},
		"a user who is not there":     {with(func(s *mysql.Server) { s.User = "nobody" }), "topsecret", "Access denied"},
		"TLS is missing":              {safe, "topsecret", "Access denied"},
		"TLS":                         {with(func(s *mysql.Server) { s.TLS, s.RootCert = true, cert }), "topsecret", ""},
		"TLS of nobody in particular": {with(func(s *mysql.Server) { s.TLS, s.SkipVerify = true, true }), "topsecret", ""},
		"TLS of the wrong one":        {with(func(s *mysql.Server) { s.TLS, s.RootCert = true, other }), "topsecret", "name its authority with tls-root-cert"},
		"TLS under a wrong name":      {with(func(s *mysql.Server) { s.TLS, s.RootCert, s.Host = true, cert, "localhost" }), "topsecret", "name its authority with tls-root-cert"},
		"TLS of the system":           {with(func(s *mysql.Server) { s.TLS = true }), "topsecret", "name its authority with tls-root-cert"},
		"a certificate that is none":  {with(func(s *mysql.Server) { s.TLS, s.RootCert = true, key }), "topsecret", "holds no certificate"},
		"one that is not there":       {with(func(s *mysql.Server) { s.TLS, s.RootCert = true, key+"x" }), "topsecret", "no such file"},
		"nobody at the port":          {mysql.Server{Host: "127.0.0.1", Port: "1"}, "topsecret", "connection refused"},
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := tt.server.Connect(t.Context(), tt.password)
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
	conn, err := (&mysql.Server{Socket: db.Socket, User: "root"}).Connect(t.Context(), "")
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
	for range 4 { // on a connection that is kept
		conn.Renew()
		if _, _, err := conn.Rows(t.Context(), 1, "SELECT REPEAT('a', 15 << 20)"); err != nil {
			t.Errorf("15 MiB again: %v", err)
		}
	}
	if _, rows, err := conn.Rows(t.Context(), 100, "SELECT REPEAT('a', 15 << 20) UNION ALL SELECT REPEAT('b', 15 << 20) UNION ALL SELECT REPEAT('c', 15 << 20)"); err == nil || !strings.Contains(err.Error(), "32 MiB") {
		t.Errorf("45 MiB: %d rows, %v, want that it is too much", len(rows), err)
	}
}

// Package mysql asks MySQL and MariaDB servers for plugins and checks. It stands apart from
// package target, so that only those that ask such a server link its driver. Read mysql.go
// first; replica.go asks a replica how it is.
package mysql

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strings"

	driver "github.com/go-sql-driver/mysql"
)

// maxAnswers bounds what a server may send on one connection, in bytes, unless it is renewed.
const maxAnswers = 32 << 20

// A Server is one server as flags name it.
type Server struct {
	Host, Port string
	Socket     string // in place of Host and Port
	User       string
	TLS        bool
	SkipVerify bool   // do not verify the server's certificate
	RootCert   string // file of the certificates that it is verified with; "" means the system's
}

// Name names the server without secrets: "MySQL at localhost:3306".
func (s *Server) Name() string { return "MySQL at " + s.address() }

func (s *Server) address() string {
	if s.Socket != "" {
		return s.Socket
	}
	return net.JoinHostPort(s.Host, s.Port)
}

// Connect logs in. The error does not name the server.
func (s *Server) Connect(ctx context.Context, password string) (*Conn, error) {
	config := driver.NewConfig()
	config.User, config.Passwd, config.Net, config.Addr = s.User, password, "tcp", s.address()
	if s.Socket != "" {
		config.Net = "unix"
	}
	if s.TLS {
		config.TLS = &tls.Config{ServerName: s.Host, InsecureSkipVerify: s.SkipVerify}
	}
	if s.TLS && s.RootCert != "" {
		pem, err := os.ReadFile(s.RootCert)
		if err != nil {
			return nil, err
		}
		config.TLS.RootCAs = x509.NewCertPool()
		if !config.TLS.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s holds no certificate (tls-root-cert)", s.RootCert)
		}
	}
	conn, err := DSN{config}.Connect(ctx)
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		err = fmt.Errorf("%w; name its authority with tls-root-cert, or trust anybody with tls-skip-verify", err)
	}
	return conn, err
}

// A DSN is a data source name: one server, a user, and a database.
type DSN struct {
	config *driver.Config
}

// ParseDSN reads user:password@tcp(host:3306)/database.
func ParseDSN(dsn string) (DSN, error) {
	config, err := driver.ParseDSN(dsn)
	if err != nil { // which may show a part of dsn
		return DSN{}, errors.New("the name of the database (-dsn) is not like user:password@tcp(host:3306)/database")
	}
	return DSN{config}, nil
}

// ParseURL reads mysql2://user:password@host:3306/database, as Rails has it.
func ParseURL(u *url.URL) (DSN, error) {
	config := driver.NewConfig()
	config.User = u.User.Username()
	config.Passwd, _ = u.User.Password()
	config.Net, config.Addr = "tcp", net.JoinHostPort(u.Hostname(), "3306")
	if u.Hostname() == "" {
		config.Addr = "localhost:3306"
	}
	if u.Port() != "" {
		config.Addr = u.Host
	}
	config.DBName = strings.Trim(u.Path, "/")
	q := u.Query()
	if socket := q.Get("socket"); socket != "" {
		config.Net, config.Addr = "unix", socket
	}
	switch q.Get("ssl_mode") {
	case "", "disabled":
	case "preferred":
		config.TLSConfig = "preferred"
	case "required", "verify_ca":
		config.TLSConfig = "skip-verify"
	default:
		config.TLSConfig = "true"
	}
	// What the driver checks and completes when it reads a name of its own form.
	return ParseDSN(config.FormatDSN())
}

func (d DSN) String() string { return "MySQL at " + d.config.Addr }

// Connect logs in. The error does not name the server.
func (d DSN) Connect(ctx context.Context) (*Conn, error) {
	config := d.config.Clone()
	config.Logger = &driver.NopLogger{}
	config.InterpolateParams = true // one round trip, and no statement is prepared
	config.ParseTime = false        // whatever the name says: cells are text
	var bounded *boundedConn
	config.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := (&net.Dialer{}).DialContext(ctx, network, address)
		bounded = &boundedConn{Conn: c, left: maxAnswers}
		return bounded, err
	}
	connector, err := driver.NewConnector(config)
	if err != nil {
		return nil, err
	}
	conn, err := connector.Connect(ctx)
	if err != nil {
		return nil, plain(ctx, err)
	}
	return &Conn{conn, bounded}, nil
}

// A boundedConn ends when a server has sent too much.
type boundedConn struct {
	net.Conn
	left int
}

func (c *boundedConn) Read(b []byte) (int, error) {
	if c.left <= 0 {
		return 0, io.ErrUnexpectedEOF
	}
	n, err := c.Conn.Read(b[:min(len(b), c.left)])
	c.left -= n
	return n, err
}

// plain returns err in our words: those of ctx when it ended, and without the address, which is
// said beside it.
func plain(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err() // and not what it did to the connection
	}
	if e, ok := errors.AsType[*net.OpError](err); ok {
		return e.Err
	}
	if errors.Is(err, io.EOF) || errors.Is(err, driver.ErrInvalidConn) || errors.Is(err, sqldriver.ErrBadConn) {
		// The driver does not say which.
		return fmt.Errorf("it closed the connection, does not speak the protocol of MySQL, or answered with more than %d MiB", maxAnswers>>20)
	}
	return err
}

// A Conn is one connection to a server. It is for one goroutine at a time. It speaks to the driver itself: what database/sql
// puts between, a pool and the conversion of each cell, costs an agent more each minute than the questions do.
type Conn struct {
	conn    sqldriver.Conn
	bounded *boundedConn // below conn
}

// Renew lets the server send as much as on a new connection, to somebody who keeps this one.
func (c *Conn) Renew() { c.bounded.left = maxAnswers }

// Close ends the connection.
func (c *Conn) Close() { _ = c.conn.Close() } // at worst the server sees a connection end without a farewell

// Exec sends a statement that has no rows.
func (c *Conn) Exec(ctx context.Context, statement string) error {
	_, err := c.conn.(sqldriver.ExecerContext).ExecContext(ctx, statement, nil)
	if err != nil {
		err = plain(ctx, err)
	}
	return err
}

// Rows sends a statement and returns the names of the columns and at most so many rows of the
// answer, NULL as "".
func (c *Conn) Rows(ctx context.Context, most int, statement string, args ...string) (columns []string, rows [][]string, err error) {
	named := make([]sqldriver.NamedValue, len(args))
	for i, arg := range args {
		named[i] = sqldriver.NamedValue{Ordinal: i + 1, Value: arg}
	}
	answer, err := c.conn.(sqldriver.QueryerContext).QueryContext(ctx, statement, named)
	if err != nil {
		return nil, nil, plain(ctx, err)
	}
	defer answer.Close() // which reads what is left
	columns = answer.Columns()
	cells := make([]sqldriver.Value, len(columns))
	for len(rows) < most {
		switch err := answer.Next(cells); {
		case errors.Is(err, io.EOF): // the end of the answer; that of the connection has an error of its own
			return columns, rows, nil
		case err != nil:
			return nil, nil, plain(ctx, err)
		}
		row := make([]string, len(columns))
		for i, cell := range cells {
			row[i] = text(cell)
		}
		rows = append(rows, row)
	}
	return columns, rows, nil
}

// text returns a cell as the server wrote it.
func text(cell sqldriver.Value) string {
	switch v := cell.(type) {
	case nil:
		return ""
	case []byte: // of the driver's, until the next row
		return string(v)
	}
	return fmt.Sprint(cell)
}

// Refused says whether err is that of a statement for which the user lacks a privilege.
func Refused(err error) bool { return number(err) == 1227 } // ER_SPECIFIC_ACCESS_DENIED_ERROR

// Full says whether err is that of a login for which the server has no connection left.
func Full(err error) bool { return number(err) == 1040 } // ER_CON_COUNT_ERROR

// number returns by which number a server calls an error; 0 if it is none of a server.
func number(err error) uint16 {
	e, ok := errors.AsType[*driver.MySQLError](err)
	if !ok {
		return 0
	}
	return e.Number
}

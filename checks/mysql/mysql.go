// Package mysql is the check of a MySQL or MariaDB server: its connections, its replication,
// its uptime, and whether it may be written to.
package mysql

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/saba-monitor/saba/check"
	"github.com/saba-monitor/saba/plugin/target/mysql"
)

// Check says whether a MySQL or MariaDB server is well.
var Check = check.Check{
	Name:  "mysql",
	Short: "whether a MySQL or MariaDB server has few connections, keeps up with its sources, stays up, takes writes",
	Title: "MySQL",
	Commands: []check.Check{
		{
			Name:  "connection",
			Short: "whether a server has few connections",
			New: func(fs *check.FlagSet) check.Checker {
				c := &connection{}
				c.addFlags(fs)
				fs.Uint64VarP(&c.warning, "warning", "w", 200, "WARNING with more than this `number` of connections")
				fs.Uint64VarP(&c.critical, "critical", "c", 250, "CRITICAL with more than this `number` of connections")
				return c
			},
		},
		{
			Name:  "replication",
			Short: "whether a replica keeps up with its sources",
			New: func(fs *check.FlagSet) check.Checker {
				c := &replication{}
				c.addFlags(fs)
				fs.Uint64VarP(&c.warning, "warning", "w", 200, "WARNING when it is more than this many `seconds` behind")
				fs.Uint64VarP(&c.critical, "critical", "c", 250, "CRITICAL when it is more than this many `seconds` behind, or has tried to connect for longer")
				return c
			},
		},
		{
			Name:  "uptime",
			Short: "whether a server has been up for long",
			New: func(fs *check.FlagSet) check.Checker {
				c := &uptime{}
				c.addFlags(fs)
				fs.Uint64VarP(&c.warning, "warning", "w", 0, "WARNING when it has been up for less than this many `seconds`; 0: never")
				fs.Uint64VarP(&c.critical, "critical", "c", 0, "CRITICAL when it has been up for less than this many `seconds`; 0: never")
				return c
			},
		},
		{
			Name:     "readonly",
			Short:    "whether a server takes writes, OFF, or does not, ON",
			Operands: "ON|OFF",
			New: func(fs *check.FlagSet) check.Checker {
				c := &readonly{flags: fs}
				c.addFlags(fs)
				return c
			},
		},
	},
}

// A server is the one that is asked.
type server struct {
	mysql.Server
	password check.Secret
}

func (s *server) addFlags(fs *check.FlagSet) {
	fs.StringVarP(&s.Host, "host", "H", "localhost", "`host` of the server")
	fs.StringVarP(&s.Port, "port", "p", "3306", "`port` of the server")
	fs.StringVarP(&s.Socket, "socket", "S", "", "unix `socket` of the server, in place of host and port")
	fs.StringVarP(&s.User, "user", "u", "root", "`user` to log in as")
	s.password.AddFlags(fs, "password", "P", "MYSQL_PASSWORD")
	fs.BoolVar(&s.TLS, "tls", false, "speak TLS")
	fs.StringVar(&s.RootCert, "tls-root-cert", "", "`file` of certificates (PEM) that the server's is verified with, in place of the system's")
	fs.BoolVar(&s.SkipVerify, "tls-skip-verify", false, "do not verify the server's certificate")
}

// ask logs in and has the question put. What stands in its way is UNKNOWN.
func (s *server) ask(ctx context.Context, put func(conn *mysql.Conn) (check.Result, error)) check.Result {
	password, err := s.password.Read(ctx)
	if err != nil {
		return check.Unknown("%v", err)
	}
	conn, err := s.Connect(ctx, password)
	if err != nil {
		result := check.Unknown("log in to %s: %v", s.Name(), check.Reason(ctx, err))
		if mysql.Full(err) {
			result = check.Critical("%s", result.Message)
		}
		return result
	}
	defer conn.Close()
	result, err := put(conn)
	if err != nil {
		return check.Unknown("ask %s: %v", s.Name(), check.Reason(ctx, err))
	}
	return result
}

// variable returns what a statement says that has one row of a name and a value.
func variable(ctx context.Context, conn *mysql.Conn, statement string) (string, error) {
	_, rows, err := conn.Rows(ctx, 1, statement)
	if err == nil && (len(rows) != 1 || len(rows[0]) != 2) {
		err = fmt.Errorf("it has no answer to %s", statement)
	}
	if err != nil {
		return "", err
	}
	return rows[0][1], nil
}

// count is variable of a whole number.
func count(ctx context.Context, conn *mysql.Conn, statement string) (uint64, error) {
	value, err := variable(ctx, conn, statement)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseUint(value, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("it answers %s with %.40q", statement, value)
	}
	return n, nil
}

type connection struct {
	server
	warning, critical uint64
}

// Check counts the connections, the one that asks included. Where none is left it is CRITICAL.
func (c *connection) Check(ctx context.Context) check.Result {
	return c.ask(ctx, func(conn *mysql.Conn) (check.Result, error) {
		n, err := count(ctx, conn, "SHOW GLOBAL STATUS LIKE 'Threads_connected'")
		switch {
		case err != nil:
			return check.Result{}, err
		case n > c.critical:
			return check.Critical("%s has %d connections, more than %d", c.Name(), n, c.critical), nil
		case n > c.warning:
			return check.Warning("%s has %d connections, more than %d", c.Name(), n, c.warning), nil
		}
		return check.OK("%s has %d connections", c.Name(), n), nil
	})
}

type uptime struct {
	server
	warning, critical uint64 // seconds
}

// Check asks for how long the server has been up.
func (c *uptime) Check(ctx context.Context) check.Result {
	return c.ask(ctx, func(conn *mysql.Conn) (check.Result, error) {
		seconds, err := count(ctx, conn, "SHOW GLOBAL STATUS LIKE 'Uptime'")
		up := time.Duration(seconds) * time.Second
		switch {
		case err != nil:
			return check.Result{}, err
		case seconds < c.critical:
			return check.Critical("%s has been up for %v, less than %d seconds", c.Name(), up, c.critical), nil
		case seconds < c.warning:
			return check.Warning("%s has been up for %v, less than %d seconds", c.Name(), up, c.warning), nil
		}
		return check.OK("%s has been up for %v", c.Name(), up), nil
	})
}

type readonly struct {
	server
	flags *check.FlagSet
}

// CheckFlags says whether ON or OFF follows the flags.
func (c *readonly) CheckFlags() error {
	if c.flags.NArg() != 1 || c.want() != "ON" && c.want() != "OFF" {
		return fmt.Errorf("%q must be ON or OFF: what read_only should be", strings.Join(c.flags.Args(), " "))
	}
	return nil
}

func (c *readonly) want() string { return strings.ToUpper(c.flags.Arg(0)) }

// Check compares read_only with what it should be.
func (c *readonly) Check(ctx context.Context) check.Result {
	return c.ask(ctx, func(conn *mysql.Conn) (check.Result, error) {
		is, err := variable(ctx, conn, "SHOW GLOBAL VARIABLES LIKE 'read_only'")
		switch {
		case err != nil:
			return check.Result{}, err
		case (is == "OFF") != (c.want() == "OFF"): // MariaDB has several words for the opposite of OFF
			return check.Critical("read_only of %s is %s, and should be %s", c.Name(), is, c.want()), nil
		}
		return check.OK("read_only of %s is %s", c.Name(), is), nil
	})
}

// Package tcp is the check of what listens on a port or a unix socket: whether it takes
// connections, and says what it should.
package tcp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/saba-monitor/saba/check"
	"github.com/saba-monitor/saba/check/target"
)

// Check connects once.
var Check = check.Check{
	Name:  "tcp",
	Short: "whether a port takes connections, and says what it should",
	Title: "TCP",
	New: func(fs *check.FlagSet) check.Checker {
		c := &checker{fs: fs}
		fs.StringVar(&c.service, "service", "", "`name` of what listens, which sets port, --expect-pattern and --quit: "+serviceNames())
		fs.StringVarP(&c.host, "hostname", "H", "localhost", "`host` to connect to")
		fs.IntVarP(&c.port, "port", "p", 0, "`port` to connect to")
		fs.StringVarP(&c.socket, "unix-sock", "U", "", "unix `socket` to connect to, in place of host and port")
		fs.StringVarP(&c.send, "send", "s", "", "`text` to send")
		fs.StringVarP(&c.expect, "expect-pattern", "e", "", "`regexp` that what comes must match")
		fs.StringVarP(&c.quit, "quit", "q", "", "`text` to send at the end")
		fs.BoolVarP(&c.ssl, "ssl", "S", false, "speak TLS")
		c.tls.AddFlags(fs)
		fs.IntVarP(&c.most, "maxbytes", "m", 64<<10, "look at this `number` of bytes at most")
		fs.Float64VarP(&c.delay, "delay", "d", 0, "wait this `number` of seconds between sending and reading")
		fs.Float64VarP(&c.warning, "warning", "w", 0, "WARNING when it takes longer than this `number` of seconds; 0 is off")
		fs.Float64VarP(&c.critical, "critical", "c", 0, "CRITICAL when it takes longer than this `number` of seconds; 0 is off")
		fs.BoolVarP(&c.escape, "escape", "E", false, `read \n, \r, \t and \\ in --send and --quit as in C`)
		fs.BoolVarP(&c.errorWarning, "error-warning", "W", false, "WARNING in place of CRITICAL when it cannot be reached or says something else")
		fs.BoolVarP(&c.closed, "expect-closed", "C", false, "OK when nothing takes the connection, CRITICAL when something does")
		return c
	},
}

// quiet is how long what has begun to speak may pause before what it said is judged.
const quiet = time.Second

// A service is a protocol with its usual port.
type service struct {
	name               string
	port               int
	send, expect, quit string
	ssl                bool
}

var services = []service{
	{name: "ftp", port: 21, expect: `^220`, quit: "QUIT\r\n"},
	{name: "pop", port: 110, expect: `^\+OK`, quit: "QUIT\r\n"},
	{name: "spop", port: 995, expect: `^\+OK`, quit: "QUIT\r\n", ssl: true},
	{name: "imap", port: 143, expect: `^\* OK`, quit: "a1 LOGOUT\r\n"},
	{name: "simap", port: 993, expect: `^\* OK`, quit: "a1 LOGOUT\r\n", ssl: true},
	{name: "smtp", port: 25, expect: `^220`, quit: "QUIT\r\n"},
	{name: "ssmtp", port: 465, expect: `^220`, quit: "QUIT\r\n", ssl: true},
	{name: "gearman", port: 7003, send: "version\n", expect: `^(OK )?[0-9]+\.[0-9]+`},
}

func serviceNames() string {
	var names []string
	for _, s := range services {
		names = append(names, s.name)
	}
	return strings.Join(names, ", ")
}

type checker struct {
	fs                 *check.FlagSet
	service            string
	host               string
	port               int
	socket             string
	send, expect, quit string
	ssl                bool
	tls                target.TLS
	most               int     // bytes
	delay              float64 // seconds
	warning, critical  float64 // seconds; 0 is off
	escape             bool
	errorWarning       bool
	closed             bool

	pattern *regexp.Regexp // nil looks at nothing
}

// CheckFlags implements check.FlagChecker. It also makes what the flags say ready.
func (c *checker) CheckFlags() (err error) {
	if c.escape {
		c.send, c.quit = unescape(c.send), unescape(c.quit)
	}
	if err := c.setService(); err != nil {
		return err
	}
	if c.expect != "" {
		if c.pattern, err = regexp.Compile(c.expect); err != nil {
			return fmt.Errorf("--expect-pattern: %w", err)
		}
	}
	switch {
	case c.socket == "" && c.port == 0:
		return errors.New("it is not said what to connect to: --port, --unix-sock or --service is required")
	case c.port < 0 || c.port > 65535:
		return fmt.Errorf("--port %d must be from 1 to 65535", c.port)
	case c.most < 1 || c.most > 1<<20:
		return fmt.Errorf("--maxbytes %d must be from 1 to 1048576", c.most)
	case c.delay < 0 || c.warning < 0 || c.critical < 0:
		return errors.New("--delay, --warning and --critical must not be negative")
	}
	return c.tls.CheckFlags()
}

// setService sets what the service says and the flags do not.
func (c *checker) setService() error {
	if c.service == "" {
		return nil
	}
	for _, s := range services {
		if s.name != strings.ToLower(c.service) {
			continue
		}
		given := c.fs.Changed
		if !given("port") {
			c.port = s.port
		}
		if !given("send") {
			c.send = s.send
		}
		if !given("expect-pattern") {
			c.expect = s.expect
		}
		if !given("quit") {
			c.quit = s.quit
		}
		c.ssl = c.ssl || s.ssl
		return nil
	}
	return fmt.Errorf("--service %q is none of %s", c.service, serviceNames())
}

func unescape(s string) string {
	return strings.NewReplacer(`\\`, `\`, `\n`, "\n", `\r`, "\r", `\t`, "\t").Replace(s)
}

// Check implements check.Checker.
func (c *checker) Check(ctx context.Context) check.Result {
	config, err := c.tls.Config()
	if err != nil {
		return check.Unknown("%v", err)
	}
	start := time.Now()
	conn, err := c.dial(ctx)
	if c.closed {
		return c.judgeClosed(conn, err)
	}
	if err != nil {
		return c.bad("%s: %v", c.name(), check.Reason(ctx, err))
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) }) // which ends what waits
	defer stop()
	if c.ssl {
		config.ServerName = strings.Trim(c.host, "[]")
		secured := tls.Client(conn, config)
		if err := secured.HandshakeContext(ctx); err != nil {
			return c.bad("%s: TLS: %v", c.name(), check.Reason(ctx, err))
		}
		conn = secured
	}
	answer, err := c.converse(ctx, conn)
	took := time.Since(start) - seconds(c.delay)
	if err != nil {
		return c.bad("%s: %v", c.name(), check.Reason(ctx, err))
	}
	if c.pattern != nil && !c.pattern.Match(answer) {
		return c.bad("%s: /%s/ does not match what it says: %s", c.name(), c.pattern, excerpt(answer))
	}
	message := fmt.Sprintf("%.3f seconds response time on %s", took.Seconds(), c.name())
	if len(answer) > 0 {
		message += " " + excerpt(answer)
	}
	switch {
	case c.critical > 0 && took > seconds(c.critical):
		return check.Critical("%s", message)
	case c.warning > 0 && took > seconds(c.warning):
		return check.Warning("%s", message)
	}
	return check.OK("%s", message)
}

func (c *checker) dial(ctx context.Context) (net.Conn, error) {
	if c.socket != "" {
		return (&net.Dialer{}).DialContext(ctx, "unix", c.socket)
	}
	return (&net.Dialer{}).DialContext(ctx, "tcp", net.JoinHostPort(strings.Trim(c.host, "[]"), strconv.Itoa(c.port)))
}

// judgeClosed returns what a connection means that should not come about.
func (c *checker) judgeClosed(conn net.Conn, err error) check.Result {
	if conn != nil {
		_ = conn.Close()
		return c.bad("%s takes connections", c.name())
	}
	if _, ok := errors.AsType[*net.DNSError](err); ok {
		return c.bad("%s: %v", c.name(), err) // which says nothing about the port
	}
	return check.OK("%s takes no connections", c.name())
}

// converse sends, waits and reads, as far as it is to, and returns what came.
func (c *checker) converse(ctx context.Context, conn net.Conn) ([]byte, error) {
	if _, err := io.WriteString(conn, c.send); c.send != "" && err != nil {
		return nil, err
	}
	if c.delay > 0 {
		select {
		case <-time.After(seconds(c.delay)):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if c.pattern == nil {
		_, _ = io.WriteString(conn, c.quit) // it is over, whether the other side hears it or not
		return nil, nil
	}
	answer, err := c.read(conn)
	if err == nil {
		_, _ = io.WriteString(conn, c.quit)
	}
	return answer, err
}

// read reads until the pattern matches, or what has begun to speak is quiet or at its end.
func (c *checker) read(conn net.Conn) ([]byte, error) {
	answer := make([]byte, c.most)
	for n := 0; ; {
		more, err := conn.Read(answer[n:])
		n += more
		switch {
		case n == c.most || n > 0 && (err != nil || c.pattern.Match(answer[:n])):
			return answer[:n], nil
		case errors.Is(err, io.EOF):
			return nil, errors.New("it ends the connection without a word")
		case err != nil:
			return nil, err
		}
		if err := conn.SetReadDeadline(time.Now().Add(quiet)); err != nil {
			return nil, err
		}
	}
}

// bad returns the result for what cannot be reached, or says something else.
func (c *checker) bad(format string, args ...any) check.Result {
	if c.errorWarning {
		return check.Warning(format, args...)
	}
	return check.Critical(format, args...)
}

// name names what is connected to.
func (c *checker) name() string {
	if c.socket != "" {
		return c.socket
	}
	return fmt.Sprintf("%s port %d", c.host, c.port)
}

// excerpt returns what came, as far as it can be shown.
func excerpt(answer []byte) string { return "[" + target.Excerpt(string(answer), 100) + "]" }

func seconds(n float64) time.Duration { return time.Duration(n * float64(time.Second)) }

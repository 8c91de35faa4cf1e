package target

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
)

// A Redis asks one Redis server, or the master that Sentinels name, and keeps its connection
// from turn to turn. It is for one goroutine at a time; the zero value asks localhost:6379.
type Redis struct {
	Host, Port string // "" means localhost and 6379
	Socket     string // in place of Host and Port
	Username   string
	Password   string // "" means that of the flags
	TLS        bool
	SkipVerify bool   // do not verify the server's certificate
	CA         string // file of certificates (PEM) that it is verified with; "" means the system's

	password Secret

	// Of AddURLFlags.
	url              Secret
	db               int
	sentinels        string // addresses with commas between
	master           string // as the Sentinels call it
	sentinelPassword Secret

	conn *redisConn // from an earlier turn; nil when there is none
	at   string     // the address that was asked last
}

// AddFlags adds the flags of one server to fs: where it is, who asks, TLS. The password may
// also be in the environment variable passwordEnv.
func (r *Redis) AddFlags(fs *flag.FlagSet, passwordEnv string) {
	fs.StringVar(&r.Host, "host", "", "`host` of the server (default localhost)")
	fs.StringVar(&r.Port, "port", "", "`port` of the server (default 6379)")
	fs.StringVar(&r.Socket, "socket", "", "unix `socket` of the server, in place of host and port")
	fs.StringVar(&r.Username, "username", "", "`user` to log in as; the default user needs none")
	r.password.AddFlags(fs, "password", passwordEnv)
	fs.BoolVar(&r.TLS, "tls", false, "speak TLS")
	fs.BoolVar(&r.SkipVerify, "tls-skip-verify", false, "do not verify the server's certificate")
	fs.StringVar(&r.CA, "tls-ca", "", "`file` of certificates (PEM) that the server's is verified with, in place of the system's")
}

// AddURLFlags adds the flags of a server that applications share to fs: its URL, which may also
// be in the environment variable urlEnv, a database, and Sentinels.
func (r *Redis) AddURLFlags(fs *flag.FlagSet, urlEnv string) {
	r.url.AddFlags(fs, "url", urlEnv)
	fs.IntVar(&r.db, "db", 0, "`number` of the database, unless the URL has one")
	fs.StringVar(&r.sentinels, "sentinels", "", "`addresses` of Sentinels, host:port with commas between, which say where the server is")
	fs.StringVar(&r.master, "sentinel-master", "mymaster", "`name` of the server at the Sentinels")
	r.sentinelPassword.AddFlags(fs, "sentinel-password", "SENTINEL_PASSWORD")
}

// CheckFlags says which flags do not go together.
func (r *Redis) CheckFlags() error {
	var given []string
	for _, f := range []struct{ name, value string }{
		{"-host or -port", r.Host + r.Port}, {"-socket", r.Socket}, {"-sentinels", r.sentinels}, {"-url", r.url.value + r.url.file},
	} {
		if f.value != "" {
			given = append(given, f.name)
		}
	}
	if len(given) > 1 {
		return fmt.Errorf("%s are each a way to name the server: give one of them", strings.Join(given, " and "))
	}
	if r.db < 0 {
		return fmt.Errorf("-db %d must not be below 0", r.db)
	}
	return nil
}

// Name names the server, without secrets: that of the last Ask.
func (r *Redis) Name() string {
	if r.at == "" {
		return "Redis"
	}
	return "Redis at " + r.at
}

// Ask sends commands in one round trip, on the connection of the turn before if it still works,
// and returns an answer for each: a string, an int64, a []any, nil or a RedisError. The error
// is about the server as a whole and does not name it.
func (r *Redis) Ask(ctx context.Context, commands ...[]string) ([]any, error) {
	if r.conn != nil {
		answers, err := r.conn.ask(ctx, commands...)
		if err == nil {
			return answers, nil
		}
		r.Close()
		if ctx.Err() != nil {
			return nil, err
		}
	}
	p, err := r.place(ctx)
	if err != nil {
		return nil, err
	}
	if r.sentinels != "" {
		if p.address, err = r.askSentinels(ctx); err != nil {
			return nil, err
		}
	}
	r.at = p.address
	conn, err := r.dial(ctx, p)
	if err != nil {
		return nil, err
	}
	first := p.login()
	if r.sentinels != "" {
		first = append(first, []string{"ROLE"})
	}
	answers, err := conn.ask(ctx, append(first, commands...)...)
	if err == nil {
		err = p.welcome(first, answers)
	}
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	r.conn = conn
	return answers[len(first):], nil
}

// Close gives the connection up, if there is one.
func (r *Redis) Close() {
	if r.conn != nil {
		_ = r.conn.Close() // nothing is under way on it
		r.conn = nil
	}
}

// A redisPlace is where a server is and how one gets in.
type redisPlace struct {
	network, address   string
	tls                bool
	username, password string
	db                 int
}

// place returns what the flags say, and the environment. Whoever names a server by flags does
// not mean the one of the environment.
func (r *Redis) place(ctx context.Context) (redisPlace, error) {
	password, err := r.password.Read(ctx)
	if err != nil {
		return redisPlace{}, err
	}
	password = orElse(r.Password, password)
	p := redisPlace{network: "tcp", tls: r.TLS, username: r.Username, password: password, db: r.db}
	switch {
	case r.Socket != "":
		p.network, p.address = "unix", r.Socket
		return p, nil
	case r.Host+r.Port+r.sentinels == "":
		address, err := r.url.Read(ctx)
		if err != nil {
			return redisPlace{}, err
		}
		if address != "" {
			return p.from(address)
		}
	}
	p.address = net.JoinHostPort(orElse(r.Host, "localhost"), orElse(r.Port, "6379"))
	return p, nil
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// from returns p changed by what a URL says: redis://user:password@host:port/db, rediss:// for
// TLS, unix:///path?db=1.
func (p redisPlace) from(address string) (redisPlace, error) {
	u, err := url.Parse(address)
	if err != nil || u.Opaque != "" {
		return redisPlace{}, errRedisURL
	}
	db := strings.Trim(u.Path, "/")
	switch u.Scheme {
	case "rediss":
		p.tls = true
		fallthrough
	case "redis":
		p.address = net.JoinHostPort(orElse(u.Hostname(), "localhost"), orElse(u.Port(), "6379"))
	case "unix", "redis+unix":
		p.network, p.address = "unix", u.Path
		db = u.Query().Get("db")
	default:
		return redisPlace{}, errRedisURL
	}
	if db != "" {
		if p.db, err = strconv.Atoi(db); err != nil || p.db < 0 {
			return redisPlace{}, errRedisURL
		}
	}
	if password, ok := u.User.Password(); ok {
		p.username, p.password = u.User.Username(), password
	}
	return p, nil
}

// errRedisURL does not show the URL, which has a password.
var errRedisURL = errors.New("its URL is not like redis://user:password@host:6379/0, rediss://… or unix:///path")

// login returns the commands that come first on a connection.
func (p redisPlace) login() [][]string {
	var commands [][]string
	switch {
	case p.password != "" && p.username != "":
		commands = append(commands, []string{"AUTH", p.username, p.password})
	case p.password != "":
		commands = append(commands, []string{"AUTH", p.password})
	}
	if p.db != 0 {
		commands = append(commands, []string{"SELECT", strconv.Itoa(p.db)})
	}
	return commands
}

// welcome says which of the first commands was refused.
func (p redisPlace) welcome(first [][]string, answers []any) error {
	for i, command := range first {
		no, refused := answers[i].(RedisError)
		switch command[0] {
		case "AUTH":
			if refused {
				// A server without such a command repeats what it was told.
				return fmt.Errorf("log in: %s", strings.ReplaceAll(no.Error(), p.password, "xxxxx"))
			}
		case "SELECT":
			if refused {
				return fmt.Errorf("select database %d: %w", p.db, no)
			}
		case "ROLE":
			role, err := RedisAnswer[[]any](answers[i])
			if err != nil {
				return fmt.Errorf("ask for its role: %w", err)
			}
			if len(role) == 0 || role[0] != "master" {
				return errors.New("the Sentinels name it as the master, which it is not")
			}
		}
	}
	return nil
}

// askSentinels returns where the first Sentinel that knows says the server is.
func (r *Redis) askSentinels(ctx context.Context) (string, error) {
	password, err := r.sentinelPassword.Read(ctx)
	if err != nil {
		return "", err
	}
	var errs []error
	for sentinel := range strings.SplitSeq(r.sentinels, ",") {
		address, err := r.askSentinel(ctx, strings.TrimSpace(sentinel), password)
		if err == nil {
			return address, nil
		}
		errs = append(errs, fmt.Errorf("ask the Sentinel at %s: %w", strings.TrimSpace(sentinel), err))
	}
	return "", errors.Join(errs...)
}

func (r *Redis) askSentinel(ctx context.Context, sentinel, password string) (string, error) {
	if !strings.Contains(sentinel, ":") {
		sentinel = net.JoinHostPort(sentinel, "26379")
	}
	p := redisPlace{network: "tcp", address: sentinel, tls: r.TLS, password: password}
	conn, err := r.dial(ctx, p)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	first := p.login()
	answers, err := conn.ask(ctx, append(first, []string{"SENTINEL", "get-master-addr-by-name", r.master})...)
	if err == nil {
		err = p.welcome(first, answers)
	}
	if err != nil {
		return "", err
	}
	if answers[len(first)] == nil {
		return "", fmt.Errorf("it knows no server %q (-sentinel-master)", r.master)
	}
	pair, err := RedisAnswer[[]any](answers[len(first)])
	if err != nil {
		return "", err
	}
	if len(pair) == 2 {
		host, ok1 := pair[0].(string)
		port, ok2 := pair[1].(string)
		if ok1 && ok2 {
			return net.JoinHostPort(host, port), nil
		}
	}
	return "", errNotRedis
}

func (r *Redis) dial(ctx context.Context, p redisPlace) (*redisConn, error) {
	dialed, err := (&net.Dialer{}).DialContext(ctx, p.network, p.address)
	if err != nil {
		if e, ok := errors.AsType[*net.OpError](err); ok {
			err = e.Err // the address is in our own words
		}
		return nil, err
	}
	if p.tls {
		if dialed, err = r.secure(ctx, dialed, p); err != nil {
			return nil, err
		}
	}
	return newRedisConn(dialed), nil
}

// secure speaks TLS on a connection, which it closes when that fails.
func (r *Redis) secure(ctx context.Context, c net.Conn, p redisPlace) (net.Conn, error) {
	host, _, _ := net.SplitHostPort(p.address)
	config := &tls.Config{ServerName: orElse(host, "localhost"), InsecureSkipVerify: r.SkipVerify}
	if r.CA != "" {
		pem, err := os.ReadFile(r.CA)
		if err == nil {
			config.RootCAs = x509.NewCertPool()
			if !config.RootCAs.AppendCertsFromPEM(pem) {
				err = fmt.Errorf("%s holds no certificate (tls-ca)", r.CA)
			}
		}
		if err != nil {
			_ = c.Close()
			return nil, err
		}
	}
	s := tls.Client(c, config)
	err := s.HandshakeContext(ctx)
	if err == nil {
		return s, nil
	}
	_ = c.Close()
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		err = fmt.Errorf("%w; name its authority with tls-ca, or trust anybody with tls-skip-verify", err)
	}
	return nil, err
}

// RedisAnswer returns an answer as the kind that is expected, else an error: what the server
// said in its place.
func RedisAnswer[T any](answer any) (T, error) {
	v, ok := answer.(T)
	if ok {
		return v, nil
	}
	if no, refused := answer.(RedisError); refused {
		return v, no
	}
	return v, errNotRedis
}

// RedisInfo reads the answer to INFO: lines of name:value.
func RedisInfo(text string) map[string]string {
	info := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimRight(line, "\r\n"), ":"); ok && !strings.HasPrefix(name, "#") {
			info[name] = value
		}
	}
	return info
}

// Package servercli holds the commands that need the server: up and server. They live apart
// from package cli so that saba-agent links none of it. One file per command.
package servercli

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/absent"
	"github.com/saba-monitor/saba/internal/cli"
	"github.com/saba-monitor/saba/internal/server"
)

// Commands returns the commands of this package in the order of the help page.
func Commands() []cli.Command {
	return append([]cli.Command{upCmd, serverCmd, monitorsCmd}, DataCommands()...)
}

// serverFlags are the settings that up and server share.
type serverFlags struct {
	listen  string
	data    string
	records databaseFlags
	most    byteSize
	allowed allowedFlag
	url     string
	absent  time.Duration
	mail    mailFlags
	syslog  syslogFlags
	verbose bool
}

// parse reads the flags from the arguments of a command that takes nothing else.
func (f *serverFlags) parse(env *cli.Env, args []string) error {
	fs := env.Flags("")
	fs.StringVar(&f.listen, "listen", server.DefaultListen, "the `host:port` to serve on")
	fs.StringVar(&f.data, "data", "./saba-data", "the `folder` that keeps everything; made when it is missing")
	f.records.addTo(fs)
	fs.Var(&f.most, "retention-size", "the most `bytes` that samples may take on disk, such as 20GB: the oldest go first (default: no limit)")
	fs.Var(&f.allowed, "allow-private-addresses", "let external monitors and channels reach addresses that are not public: all, or with =10.1.0.0/16,192.168.7.9 those; SABA_ALLOW_PRIVATE_ADDRESSES in the environment does as well")
	fs.StringVar(&f.url, "url", "", "the `address` of the console as people reach it, https://saba.example: links in messages begin with it; SABA_URL in the environment does as well")
	fs.DurationVar(&f.absent, "retire-silent-containers", 0, "retire the host of a container of which nothing has come for this `time`, such as 1h, as its agent was killed (default: never)")
	f.mail.addTo(fs)
	f.syslog.addTo(fs)
	fs.BoolVar(&f.verbose, "verbose", false, "log more")
	if err := env.Parse(fs, args); err != nil {
		return err
	}
	return cli.NoOperands(fs)
}

// open opens the server as the flags and the environment say.
func (f *serverFlags) open(ctx context.Context, env *cli.Env) (*server.Server, *slog.Logger, error) {
	_, port, err := net.SplitHostPort(f.listen)
	if err != nil {
		return nil, nil, saba.Errorf(saba.ErrInvalid, "--listen takes host:port, such as %s, not %q", server.DefaultListen, f.listen)
	}
	if _, err := net.DefaultResolver.LookupPort(ctx, "tcp", port); err != nil {
		return nil, nil, saba.Errorf(saba.ErrInvalid, "--listen takes host:port with a port from 0 to 65535, not %q", f.listen)
	}
	if f.absent != 0 && f.absent < absent.MinAfter {
		return nil, nil, saba.Errorf(saba.ErrInvalid, "--retire-silent-containers takes a time of %v or more, not %v: an agent that is restarted is not absent", absent.MinAfter, f.absent)
	}
	if f.data == "" {
		return nil, nil, saba.Errorf(saba.ErrInvalid, "--data takes the name of a folder, not an empty one")
	}
	database, err := f.records.url(env)
	if err != nil {
		return nil, nil, err
	}
	allowed, err := f.allowed.prefixes(env)
	if err != nil {
		return nil, nil, err
	}
	public, err := publicURL(cmp.Or(f.url, env.Getenv("SABA_URL")))
	if err != nil {
		return nil, nil, err
	}
	mail, err := f.mail.settings(env)
	if err != nil {
		return nil, nil, err
	}
	lines, err := f.syslog.settings(env)
	if err != nil {
		return nil, nil, err
	}
	level := slog.LevelInfo
	if f.verbose {
		level = slog.LevelDebug
	}
	log := env.Logger(level)
	if env.Hurry != nil {
		defer env.Hurry()() // a start after a kill reads hours of samples, while agents wait
	}
	s, err := server.Open(ctx, server.Options{
		Listen: f.listen, Data: f.data, Database: database, MaxBytes: int64(f.most), APIKey: env.Getenv("SABA_API_KEY"),
		Allowed: allowed, URL: public, RetireSilent: f.absent, Mail: mail, Syslog: lines, Log: log, Now: time.Now, Random: rand.Reader,
		KeepHeap: env.KeepHeap,
	})
	return s, log, err
}

// announce says on w where the console is and what was made for a first start.
func announce(w io.Writer, s *server.Server, data string) error {
	base := localURL(s.Addr())
	var b strings.Builder
	fmt.Fprintf(&b, "saba %s is up.\n\n  Console   %s\n", saba.Version, base)
	if s.SetupToken != "" {
		fmt.Fprintf(&b, "  Set up    %s/setup/%s   (opens once: it makes your account)\n", base, s.SetupToken)
	}
	if s.NewKey != "" {
		fmt.Fprintf(&b, "  API key   %s   (shown once; more on the console's page \"API keys\")\n", s.NewKey)
	}
	if s.Database != "" {
		fmt.Fprintf(&b, "  Database  %s\n", s.Database)
	}
	for _, way := range []string{"tcp", "tls", "udp"} {
		if addr := s.SyslogAddrs()[way]; addr != nil {
			fmt.Fprintf(&b, "  Syslog    %s over %s\n", addr, strings.ToUpper(way))
		}
	}
	fmt.Fprintf(&b, "  Data      %s\n\nCtrl-C stops it; everything collected is kept.\n\n", data)
	_, err := io.WriteString(w, b.String())
	return err
}

// localURL returns the URL under which this machine itself reaches the server.
func localURL(addr net.Addr) string {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok {
		return "http://" + addr.String()
	}
	host := tcp.IP.String()
	if tcp.IP.IsUnspecified() { // listening everywhere: the loopback is part of that
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, fmt.Sprint(tcp.Port))
}

// publicURL checks the address of the console; "" is none.
func publicURL(s string) (string, error) {
	if s == "" {
		return "", nil
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return "", saba.Errorf(saba.ErrInvalid, "--url (or SABA_URL) must be an address like https://saba.example, not %q", s)
	}
	return strings.TrimRight(s, "/"), nil
}

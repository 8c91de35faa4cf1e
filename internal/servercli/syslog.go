package servercli

import (
	"cmp"
	"flag"

	"github.com/saba-monitor/saba/internal/cli"
	"github.com/saba-monitor/saba/internal/server"
)

// syslogFlags say where log lines are taken in by syslog.
type syslogFlags struct{ tcp, tls, udp, cert, key, drain string }

func (s *syslogFlags) addTo(fs *flag.FlagSet) {
	fs.StringVar(&s.tcp, "syslog-tcp", "", "the `host:port` to take log lines in on by syslog over TCP, such as 0.0.0.0:5514 (default: off); SABA_SYSLOG_TCP in the environment does as well, and SABA_SYSLOG_TLS and so on for what follows")
	fs.StringVar(&s.tls, "syslog-tls", "", "the `host:port` to take log lines in on by syslog over TLS, such as 0.0.0.0:6514 (default: off)")
	fs.StringVar(&s.cert, "syslog-tls-cert", "", "the `file` that holds the certificate for --syslog-tls and its chain, in PEM; read again when it changes")
	fs.StringVar(&s.key, "syslog-tls-key", "", "the `file` that holds the private key of that certificate, in PEM")
	fs.StringVar(&s.udp, "syslog-udp", "", "the `host:port` to take log lines in on by syslog over UDP, such as 0.0.0.0:5514, which may lose some (default: off)")
	fs.StringVar(&s.drain, "syslog-drain", "", "the `id` of the drain that takes syslog messages without a token (default: they are dropped)")
}

// settings returns what the flags say, and the environment where they say nothing.
func (s *syslogFlags) settings(env *cli.Env) (server.Syslog, error) {
	out := server.Syslog{
		TCP: cmp.Or(s.tcp, env.Getenv("SABA_SYSLOG_TCP")), TLS: cmp.Or(s.tls, env.Getenv("SABA_SYSLOG_TLS")), UDP: cmp.Or(s.udp, env.Getenv("SABA_SYSLOG_UDP")),
		Cert: cmp.Or(s.cert, env.Getenv("SABA_SYSLOG_TLS_CERT")), Key: cmp.Or(s.key, env.Getenv("SABA_SYSLOG_TLS_KEY")), Drain: cmp.Or(s.drain, env.Getenv("SABA_SYSLOG_DRAIN")),
	}
	return out, out.Check()
}

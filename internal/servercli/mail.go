package servercli

import (
	"cmp"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/cli"
	"github.com/saba-monitor/saba/internal/server"
)

// mailFlags say by which SMTP server e-mail is sent.
type mailFlags struct{ server, from, user, file, tls string }

func (m *mailFlags) addTo(fs *flag.FlagSet) {
	fs.StringVar(&m.server, "smtp", "", "the `host:port` of the SMTP server by which channels of the type email are told and invitations are mailed; SABA_SMTP in the environment does as well, and SABA_SMTP_FROM and so on for what follows")
	fs.StringVar(&m.from, "smtp-from", "", "the `address` that e-mail is sent from, such as saba@example.com")
	fs.StringVar(&m.user, "smtp-user", "", "the `name` to log in to the SMTP server with (default: no login)")
	fs.StringVar(&m.file, "smtp-password-file", "", "a `file` that holds the password; SABA_SMTP_PASSWORD in the environment does as well")
	fs.StringVar(&m.tls, "smtp-tls", "", "how the SMTP server encrypts: starttls, tls from the first byte, or none (default starttls)")
}

// settings returns what the flags say, and the environment where they say nothing.
func (m *mailFlags) settings(env *cli.Env) (mail server.Mail, err error) {
	mail.Server, mail.From = cmp.Or(m.server, env.Getenv("SABA_SMTP")), cmp.Or(m.from, env.Getenv("SABA_SMTP_FROM"))
	mail.User, mail.TLS = cmp.Or(m.user, env.Getenv("SABA_SMTP_USER")), cmp.Or(m.tls, env.Getenv("SABA_SMTP_TLS"))
	mail.Password = env.Getenv("SABA_SMTP_PASSWORD")
	if file := cmp.Or(m.file, env.Getenv("SABA_SMTP_PASSWORD_FILE")); file != "" {
		if mail.Password, err = smtpPassword(file); err != nil {
			return server.Mail{}, err
		}
	}
	return mail, mail.Check()
}

func smtpPassword(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("--smtp-password-file: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, 4<<10))
	if err != nil {
		return "", fmt.Errorf("--smtp-password-file: %w", err)
	}
	s := strings.TrimRight(string(b), "\r\n")
	if s == "" {
		return "", saba.Errorf(saba.ErrInvalid, "--smtp-password-file %s is empty: it has to hold the password", path)
	}
	return s, nil
}

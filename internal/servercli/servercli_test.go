package servercli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/cli"
	"github.com/saba-monitor/saba/internal/server"
)

// A flag that cannot be is refused like any other: exit code 2, our sentence, and nothing is made.
func TestFlagsThatCannotBeAreRefused(t *testing.T) {
	for name, tt := range map[string]struct {
		listen, want string
		more         []string
	}{
		"a silence that is short":    {"127.0.0.1:0", `--retire-silent-containers takes a time of 10m0s or more, not 5m0s`, []string{"--retire-silent-containers", "5m"}},
		"a port beyond the last":     {"127.0.0.1:99999", `--listen takes host:port with a port from 0 to 65535, not "127.0.0.1:99999"`, nil},
		"a port below zero":          {"127.0.0.1:-1", `with a port from 0 to 65535`, nil},
		"a port that is a word":      {"127.0.0.1:nonsense", `with a port from 0 to 65535`, nil},
		"no port":                    {"127.0.0.1", `--listen takes host:port, such as`, nil},
		"an address without a colon": {"nonsense", `--listen takes host:port, such as`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			data := filepath.Join(t.TempDir(), "data")
			for _, command := range []string{"up", "server"} {
				var stderr strings.Builder
				sys := cli.System{Stdout: io.Discard, Stderr: &stderr, Getenv: func(string) string { return "" }, Environ: func() []string { return nil }}
				code := cli.Run(t.Context(), append([]string{"saba", command, "--listen", tt.listen, "--data", data}, tt.more...), sys, Commands())
				if code != 2 || !strings.Contains(stderr.String(), tt.want) || strings.Count(stderr.String(), "\n") != 1 {
					t.Errorf("saba %s --listen %s = %d with %q, want 2 with one line that has %q", command, tt.listen, code, stderr.String(), tt.want)
				}
			}
			if found, err := filepath.Glob(data); err != nil || len(found) > 0 {
				t.Errorf("the data folder was made all the same: %v", err)
			}
		})
	}
}

// What may be reached comes from the flag, or from the environment when there is none.
func TestAllowedAddressesAreOfTheFlagOrTheEnvironment(t *testing.T) {
	for name, tt := range map[string]struct {
		args []string
		env  string
		want string
	}{
		"nothing":            {nil, "", "[]"},
		"the flag alone":     {[]string{"--allow-private-addresses"}, "", "[0.0.0.0/0 ::/0]"},
		"a block":            {[]string{"--allow-private-addresses=10.1.0.0/16"}, "", "[10.1.0.0/16]"},
		"the environment":    {nil, "1", "[0.0.0.0/0 ::/0]"},
		"the flag counts":    {[]string{"--allow-private-addresses=false"}, "1", "[]"},
		"a bad flag":         {[]string{"--allow-private-addresses=some"}, "", `invalid boolean value "some" for -allow-private-addresses: takes 1, 0, or addresses`},
		"a bad environment":  {nil, "10.0.0.0/8 192.168.0.0/16", `SABA_ALLOW_PRIVATE_ADDRESSES takes 1, 0, or addresses and blocks such as 10.1.0.0/16,192.168.7.9, not "10.0.0.0/8 192.168.0.0/16"`},
		"a block on its own": {[]string{"--allow-private-addresses", "10.1.0.0/16"}, "", `unexpected argument "10.1.0.0/16"`},
	} {
		t.Run(name, func(t *testing.T) {
			env := &cli.Env{Program: "saba", Command: "server", System: cli.System{Stdout: io.Discard, Stderr: io.Discard, Getenv: func(name string) string {
				return map[string]string{"SABA_ALLOW_PRIVATE_ADDRESSES": tt.env}[name]
			}}}
			var f serverFlags
			err := f.parse(env, tt.args)
			var got any
			if err == nil {
				got, err = f.allowed.prefixes(env)
			}
			switch {
			case err != nil && !(strings.Contains(err.Error(), tt.want) && errors.Is(err, saba.ErrInvalid)):
				t.Errorf("got the error %v, want %q", err, tt.want)
			case err == nil && fmt.Sprint(got) != tt.want:
				t.Errorf("got %v, want %s", got, tt.want)
			}
		})
	}
}

// How mail is sent comes from the flags, or from the environment where they say nothing; a password from no flag.
func TestMailSettingsAreOfTheFlagsOrTheEnvironment(t *testing.T) {
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte("se cret \n"), 0o600); err != nil {
		t.Fatal(err)
	}
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		args []string
		env  map[string]string
		want server.Mail
		err  string
	}{
		"nothing":   {nil, nil, server.Mail{}, ""},
		"all flags": {[]string{"--smtp", "m:1", "--smtp-from", "a@b.example", "--smtp-user", "u", "--smtp-password-file", password, "--smtp-tls", "tls"}, nil, server.Mail{Server: "m:1", From: "a@b.example", User: "u", Password: "se cret ", TLS: "tls"}, ""},
		"the environment": {nil, map[string]string{"SABA_SMTP": "m:1", "SABA_SMTP_FROM": "a@b.example", "SABA_SMTP_USER": "u", "SABA_SMTP_PASSWORD": "p", "SABA_SMTP_TLS": "starttls"},
			server.Mail{Server: "m:1", From: "a@b.example", User: "u", Password: "p", TLS: "starttls"}, ""},
		"the flags count":       {[]string{"--smtp", "m:1"}, map[string]string{"SABA_SMTP": "other:1", "SABA_SMTP_FROM": "a@b.example"}, server.Mail{Server: "m:1", From: "a@b.example"}, ""},
		"an empty file":         {[]string{"--smtp-password-file", empty}, nil, server.Mail{}, "is empty: it has to hold the password"},
		"no file":               {[]string{"--smtp-password-file", empty + "x"}, nil, server.Mail{}, "--smtp-password-file"},
		"what does not fit":     {[]string{"--smtp", "m:1", "--smtp-from", "a@b.example", "--smtp-tls", "ssl"}, nil, server.Mail{}, "starttls, tls or none"},
		"a password on its own": {[]string{"--smtp", "m:1", "--smtp-from", "a@b.example"}, map[string]string{"SABA_SMTP_PASSWORD": "p"}, server.Mail{}, "--smtp-user"},
	} {
		t.Run(name, func(t *testing.T) {
			env := &cli.Env{Program: "saba", Command: "server", System: cli.System{Stdout: io.Discard, Stderr: io.Discard, Getenv: func(name string) string { return tt.env[name] }}}
			var f serverFlags
			if err := f.parse(env, tt.args); err != nil {
				t.Fatal(err)
			}
			got, err := f.mail.settings(env)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("settings = %v, want an error with %q", err, tt.err)
				}
			} else if err != nil || got != tt.want {
				t.Errorf("settings = %+v, %v, want %+v", got, err, tt.want)
			}
		})
	}
}

// Where syslog comes in is said by the flags, or by the environment where they say nothing.
func TestSyslogSettingsAreOfTheFlagsOrTheEnvironment(t *testing.T) {
	for name, tt := range map[string]struct {
		args []string
		env  map[string]string
		want server.Syslog
		err  string
	}{
		"nothing":   {nil, nil, server.Syslog{}, ""},
		"all flags": {[]string{"--syslog-tcp", ":1", "--syslog-tls", ":2", "--syslog-udp", ":3", "--syslog-tls-cert", "c", "--syslog-tls-key", "k", "--syslog-drain", "d"}, nil, server.Syslog{TCP: ":1", TLS: ":2", UDP: ":3", Cert: "c", Key: "k", Drain: "d"}, ""},
		"the environment": {nil, map[string]string{"SABA_SYSLOG_TCP": ":1", "SABA_SYSLOG_TLS": ":2", "SABA_SYSLOG_UDP": ":3", "SABA_SYSLOG_TLS_CERT": "c", "SABA_SYSLOG_TLS_KEY": "k", "SABA_SYSLOG_DRAIN": "d"},
			server.Syslog{TCP: ":1", TLS: ":2", UDP: ":3", Cert: "c", Key: "k", Drain: "d"}, ""},
		"the flags count":      {[]string{"--syslog-tcp", ":1"}, map[string]string{"SABA_SYSLOG_TCP": ":2"}, server.Syslog{TCP: ":1"}, ""},
		"TLS without its cert": {[]string{"--syslog-tls", ":1"}, nil, server.Syslog{}, "--syslog-tls-cert"},
		"no port":              {[]string{"--syslog-udp", "localhost"}, nil, server.Syslog{}, "--syslog-udp takes host:port"},
	} {
		t.Run(name, func(t *testing.T) {
			env := &cli.Env{Program: "saba", Command: "server", System: cli.System{Stdout: io.Discard, Stderr: io.Discard, Getenv: func(name string) string { return tt.env[name] }}}
			var f serverFlags
			if err := f.parse(env, tt.args); err != nil {
				t.Fatal(err)
			}
			got, err := f.syslog.settings(env)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) || !errors.Is(err, saba.ErrInvalid) {
					t.Errorf("settings = %v, want an error with %q", err, tt.err)
				}
			} else if err != nil || got != tt.want {
				t.Errorf("settings = %+v, %v, want %+v", got, err, tt.want)
			}
		})
	}
}

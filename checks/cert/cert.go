// Package cert is the check of certificates: when those of a file, or those that a server shows,
// expire. See starttls.go for servers that begin without TLS.
package cert

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/saba-monitor/saba/check"
	"github.com/saba-monitor/saba/check/target"
)

// Check looks at the certificates of a file or of a server.
var Check = check.Check{
	Name:  "cert",
	Short: "whether the certificates of a file or a server are valid for long enough",
	Title: "CERT",
	New: func(fs *check.FlagSet) check.Checker {
		c := &checker{fs: fs}
		fs.StringVarP(&c.file, "file", "f", "", "`file` of certificates, in PEM or DER")
		fs.StringVarP(&c.host, "host", "H", "", "`host` of the server, in place of a file")
		fs.IntVarP(&c.port, "port", "p", 443, "`port` of the server (with --starttls the usual one of the protocol)")
		fs.StringVar(&c.serverName, "servername", "", "`name` to ask the server for, and to find in its certificate (default the host)")
		fs.StringVar(&c.starttls, "starttls", "", "`protocol` in which to ask for TLS first: "+protocolNames())
		c.tls.AddFlags(fs)
		fs.IntVarP(&c.warning, "warning", "w", 30, "WARNING with fewer than this `number` of days left")
		fs.IntVarP(&c.critical, "critical", "c", 14, "CRITICAL with fewer than this `number` of days left")
		return c
	},
}

// maxFile bounds a file of certificates, in bytes.
const maxFile = 1 << 20

type checker struct {
	fs                *check.FlagSet
	file              string
	host              string
	port              int
	serverName        string
	starttls          string
	tls               target.TLS
	warning, critical int // days
}

// CheckFlags implements check.FlagChecker.
func (c *checker) CheckFlags() error {
	switch {
	case (c.file == "") == (c.host == ""):
		return errors.New("either --file or --host is required")
	case c.warning < 0 || c.critical < 0:
		return errors.New("--warning and --critical must not be negative")
	}
	if c.starttls != "" {
		p, ok := findProtocol(c.starttls)
		if !ok {
			return fmt.Errorf("--starttls %q is none of %s", c.starttls, protocolNames())
		}
		if !c.fs.Changed("port") {
			c.port = p.port
		}
	}
	if c.port < 1 || c.port > 65535 {
		return fmt.Errorf("--port %d must be from 1 to 65535", c.port)
	}
	return c.tls.CheckFlags()
}

// Check implements check.Checker.
func (c *checker) Check(ctx context.Context) check.Result {
	if c.file != "" {
		certs, err := readFile(c.file)
		if err != nil {
			return check.Critical("%v", err)
		}
		return c.judge(c.file, certs, time.Now())
	}
	config, err := c.tls.Config()
	if err != nil {
		return check.Unknown("%v", err)
	}
	address := net.JoinHostPort(strings.Trim(c.host, "[]"), strconv.Itoa(c.port))
	certs, err := c.fetch(ctx, address, config)
	if err != nil {
		return check.Critical("%s: %v", address, check.Reason(ctx, err))
	}
	now := time.Now()
	if !c.tls.NoVerify && !slices.ContainsFunc(certs, func(cert *x509.Certificate) bool { return !validAt(cert, now) }) {
		if err := verify(certs, config, now); err != nil {
			return check.Critical("%s: %v", address, err)
		}
	}
	return c.judge(address, certs, now)
}

// readFile returns the certificates of a file: all of a PEM, or the one of a DER.
func readFile(file string) ([]*x509.Certificate, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxFile {
		return nil, fmt.Errorf("%s has more than %d bytes", file, maxFile)
	}
	certs, err := parse(b)
	if err != nil {
		return nil, fmt.Errorf("%s %w", file, err)
	}
	return certs, nil
}

// parse returns the certificates in b, of which there is at least one. The error is a clause.
func parse(b []byte) (certs []*x509.Certificate, err error) {
	if !bytes.Contains(b, []byte("-----BEGIN ")) {
		cert, err := x509.ParseCertificate(b)
		if err != nil {
			return nil, errors.New("has no certificate in PEM or DER")
		}
		return []*x509.Certificate{cert}, nil
	}
	for block, rest := pem.Decode(b); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" && block.Type != "TRUSTED CERTIFICATE" {
			continue // a key beside it
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("has a certificate that cannot be read, number %d: %w", len(certs)+1, err)
		}
		certs = append(certs, cert)
	}
	if len(certs) == 0 {
		return nil, errors.New("has no certificate in PEM or DER")
	}
	return certs, nil
}

// fetch returns the certificates that the server shows, its own first. It sets the name in config
// for which it asks.
func (c *checker) fetch(ctx context.Context, address string, config *tls.Config) ([]*x509.Certificate, error) {
	config.ServerName = c.serverName
	if config.ServerName == "" {
		config.ServerName = strings.Trim(c.host, "[]")
	}
	config.InsecureSkipVerify = true // verify does it: of those that have expired we want to know when
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) }) // which ends what waits
	defer stop()
	if p, ok := findProtocol(c.starttls); ok {
		if err := p.startTLS(conn); err != nil {
			return nil, err
		}
	}
	secured := tls.Client(conn, config)
	if err := secured.HandshakeContext(ctx); err != nil {
		return nil, fmt.Errorf("TLS: %w", err)
	}
	return secured.ConnectionState().PeerCertificates, nil
}

// verify says what is wrong with the certificates of a server, as a client would.
func verify(certs []*x509.Certificate, config *tls.Config, now time.Time) error {
	o := x509.VerifyOptions{DNSName: config.ServerName, Roots: config.RootCAs, Intermediates: x509.NewCertPool(), CurrentTime: now}
	for _, c := range certs[1:] {
		o.Intermediates.AddCert(c)
	}
	_, err := certs[0].Verify(o)
	return err
}

// validAt says whether now is in the time of a certificate.
func validAt(c *x509.Certificate, now time.Time) bool {
	return !now.Before(c.NotBefore) && !now.After(c.NotAfter)
}

// judge returns what the dates of certificates mean: that counts which ends first, or has not
// begun. name is where they are from.
func (c *checker) judge(name string, certs []*x509.Certificate, now time.Time) check.Result {
	first := certs[0]
	for _, cert := range certs {
		if now.Before(cert.NotBefore) {
			return check.Critical("%s: %s is not valid before %s", name, subject(cert), date(cert.NotBefore))
		}
		if cert.NotAfter.Before(first.NotAfter) {
			first = cert
		}
	}
	days := int(first.NotAfter.Sub(now) / (24 * time.Hour))
	switch {
	case !validAt(first, now):
		return check.Critical("%s: %s has expired, %s", name, subject(first), date(first.NotAfter))
	case days < c.critical:
		return check.Critical("%s: %s expires in %d days, %s", name, subject(first), days, date(first.NotAfter))
	case days < c.warning:
		return check.Warning("%s: %s expires in %d days, %s", name, subject(first), days, date(first.NotAfter))
	}
	return check.OK("%s: %s expires in %d days, %s", name, subject(first), days, date(first.NotAfter))
}

// subject names a certificate.
func subject(c *x509.Certificate) string {
	s := c.Subject.CommonName
	if s == "" && len(c.DNSNames) > 0 {
		s = c.DNSNames[0]
	}
	if s == "" {
		s = c.Subject.String()
	}
	return fmt.Sprintf("the certificate of %q", target.Excerpt(s, 100))
}

func date(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 MST") }

// Package target is how checks reach what they look at: one part for each way, with its flags.
package target

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"

	"github.com/saba-monitor/saba/check"
)

// A TLS is how a check speaks TLS.
type TLS struct {
	NoVerify          bool
	caFile            string
	certFile, keyFile string
}

// AddFlags adds --no-check-certificate, --ca-file, --cert-file and --key-file to fs.
func (t *TLS) AddFlags(fs *check.FlagSet) {
	fs.BoolVar(&t.NoVerify, "no-check-certificate", false, "do not verify the certificate")
	fs.StringVar(&t.caFile, "ca-file", "", "`file` of the authorities to trust, in place of those of this host")
	fs.StringVar(&t.certFile, "cert-file", "", "`file` of the certificate to show to the server")
	fs.StringVar(&t.keyFile, "key-file", "", "`file` of that certificate's key")
}

// CheckFlags says what is wrong with the flags; nil when nothing is.
func (t *TLS) CheckFlags() error {
	if (t.certFile == "") != (t.keyFile == "") {
		return errors.New("--cert-file and --key-file go together")
	}
	return nil
}

// Config returns a configuration for a client. It reads the files anew each time: they change.
// Old versions of the protocol are spoken, since many a device has no other.
func (t *TLS) Config() (*tls.Config, error) {
	c := &tls.Config{InsecureSkipVerify: t.NoVerify, MinVersion: tls.VersionTLS10}
	if t.caFile != "" {
		b, err := os.ReadFile(t.caFile)
		if err != nil {
			return nil, err
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(b) {
			return nil, fmt.Errorf("%s has no certificate in PEM", t.caFile)
		}
	}
	if t.certFile != "" {
		pair, err := tls.LoadX509KeyPair(t.certFile, t.keyFile)
		if err != nil {
			return nil, fmt.Errorf("the certificate of %s: %w", t.certFile, err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

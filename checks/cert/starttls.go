package cert

import (
	"bufio"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/saba-monitor/saba/check/target"
)

// A protocol is one in which a server is asked to go on in TLS.
type protocol struct {
	name  string
	port  int // the usual one
	start func(*talk) error
}

// protocols returns all of them.
func protocols() []protocol {
	return []protocol{
		{"imap", 143, startIMAP},
		{"ldap", 389, startLDAP},
		{"pop3", 110, startPOP3},
		{"postgres", 5432, startPostgres},
		{"smtp", 25, startSMTP},
	}
}

func findProtocol(name string) (protocol, bool) {
	for _, p := range protocols() {
		if p.name == strings.ToLower(name) {
			return p, true
		}
	}
	return protocol{}, false
}

func protocolNames() string {
	var names []string
	for _, p := range protocols() {
		names = append(names, p.name)
	}
	return strings.Join(names, ", ")
}

// startTLS asks the server at the other end of conn to go on in TLS.
func (p protocol) startTLS(conn net.Conn) error {
	t := &talk{conn, bufio.NewReaderSize(conn, maxLine)}
	if err := p.start(t); err != nil {
		return fmt.Errorf("%s: %w", p.name, err)
	}
	if t.r.Buffered() > 0 { // somebody may have put it there who is not the server
		return fmt.Errorf("%s: it says more than that TLS follows", p.name)
	}
	return nil
}

// The bounds of what a server says at one time.
const (
	maxLine  = 4 << 10 // bytes
	maxLines = 100
)

// A talk is one with a server, in lines or bytes.
type talk struct {
	w io.Writer
	r *bufio.Reader
}

func (t *talk) say(s string) error {
	_, err := io.WriteString(t.w, s)
	return err
}

// hear reads lines until one is the last of an answer, and returns that.
func (t *talk) hear(last func(line string) bool) (string, error) {
	for range maxLines {
		b, err := t.r.ReadSlice('\n')
		switch {
		case errors.Is(err, io.EOF):
			return "", errors.New("it ends the connection")
		case errors.Is(err, bufio.ErrBufferFull):
			return "", fmt.Errorf("it says a line of more than %d bytes", maxLine)
		case err != nil:
			return "", err
		}
		if line := string(b); last(line) {
			return line, nil
		}
	}
	return "", fmt.Errorf("it says more than %d lines", maxLines)
}

// expect hears an answer, which begins with what is wanted or is an error.
func (t *talk) expect(want string, last func(line string) bool) error {
	line, err := t.hear(last)
	if err == nil && !strings.HasPrefix(strings.ToUpper(line), want) {
		return fmt.Errorf("it says %q, not %s", target.Excerpt(line, 100), want)
	}
	return err
}

func oneLine(string) bool { return true }

// startSMTP is RFC 3207.
func startSMTP(t *talk) error {
	lastLine := func(line string) bool { return len(line) < 4 || line[3] != '-' }
	if err := t.expect("220", lastLine); err != nil {
		return err
	}
	if err := t.say("EHLO localhost\r\n"); err != nil {
		return err
	}
	if err := t.expect("250", lastLine); err != nil {
		return err
	}
	if err := t.say("STARTTLS\r\n"); err != nil {
		return err
	}
	return t.expect("220", lastLine)
}

// startIMAP is RFC 9051, section 6.2.1.
func startIMAP(t *talk) error {
	if err := t.expect("* OK", oneLine); err != nil {
		return err
	}
	if err := t.say("a1 STARTTLS\r\n"); err != nil {
		return err
	}
	return t.expect("A1 OK", func(line string) bool { return !strings.HasPrefix(line, "* ") })
}

// startPOP3 is RFC 2595.
func startPOP3(t *talk) error {
	if err := t.expect("+OK", oneLine); err != nil {
		return err
	}
	if err := t.say("STLS\r\n"); err != nil {
		return err
	}
	return t.expect("+OK", oneLine)
}

// startPostgres sends an SSLRequest: https://www.postgresql.org/docs/current/protocol-message-formats.html
func startPostgres(t *talk) error {
	if err := t.say("\x00\x00\x00\x08\x04\xd2\x16\x2f"); err != nil {
		return err
	}
	switch b, err := t.r.ReadByte(); {
	case errors.Is(err, io.EOF):
		return errors.New("it ends the connection")
	case err != nil:
		return err
	case b != 'S':
		return errors.New("it does not speak TLS")
	}
	return nil
}

// startLDAP is RFC 4511, section 4.14: an extended request with the name of StartTLS.
func startLDAP(t *talk) error {
	if err := t.say("\x30\x1d\x02\x01\x01\x77\x18\x80\x161.3.6.1.4.1.1466.20037"); err != nil {
		return err
	}
	head, err := t.r.Peek(2)
	if errors.Is(err, io.EOF) {
		return errors.New("it ends the connection")
	}
	if err != nil {
		return err
	}
	if head[0] != 0x30 || head[1] > 0x7f { // the answer is short
		return errors.New("it does not speak LDAP")
	}
	b := make([]byte, 2+int(head[1]))
	if _, err := io.ReadFull(t.r, b); err != nil {
		return err
	}
	var message struct {
		ID       int
		Response asn1.RawValue
	}
	var result asn1.Enumerated
	if _, err := asn1.Unmarshal(b, &message); err != nil {
		return errors.New("it does not speak LDAP")
	}
	if _, err := asn1.Unmarshal(message.Response.Bytes, &result); err != nil {
		return errors.New("it does not speak LDAP")
	}
	if result != 0 {
		return fmt.Errorf("it does not start TLS: result code %d", result)
	}
	return nil
}

package notify

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	_ "embed"
	"errors"
	"fmt"
	"html/template"
	"io"
	"net"
	netmail "net/mail"
	"net/textproto"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/wneessen/go-mail"
	"github.com/wneessen/go-mail/smtp"

	"github.com/saba-monitor/saba"
)

// Mail says how e-mail is sent. The zero value means that it cannot be.
//
// The server is named by whoever runs saba, so that it may be in a private network or on this machine, as relays of mail mostly are: the
// restriction to public addresses is for what users write into channels.
type Mail struct {
	Server   string // host:port of an SMTP server
	From     string // address of the sender: "saba@example.com" or "saba <saba@example.com>"
	User     string // "" for none
	Password string
	TLS      string         // "starttls" (the default), "tls" from the first byte, or "none"
	Roots    *x509.CertPool // authorities of the server's certificate; nil means those of this machine
}

// The values of Mail.TLS.
const (
	mailSTARTTLS = "starttls"
	mailTLS      = "tls"
	mailPlain    = "none"
)

// Check says what of the settings cannot be, in the words of the command line. The zero value can.
func (m Mail) Check() error {
	if m.Server == "" {
		if m.From != "" || m.User != "" || m.Password != "" || m.TLS != "" {
			return saba.Errorf(saba.ErrInvalid, "settings of e-mail need a server to send it by: give --smtp host:port, or SABA_SMTP")
		}
		return nil
	}
	if host, port, err := net.SplitHostPort(m.Server); err != nil || host == "" || port == "" {
		return saba.Errorf(saba.ErrInvalid, "--smtp takes host:port, such as mail.example.com:587, not %q", m.Server)
	}
	if m.From == "" {
		return saba.Errorf(saba.ErrInvalid, "e-mail needs a sender: give --smtp-from, such as saba@example.com")
	}
	if _, err := m.sender(); err != nil {
		return saba.Errorf(saba.ErrInvalid, "--smtp-from takes an address, such as saba@example.com, not %q", m.From)
	}
	if m.TLS != "" && m.TLS != mailSTARTTLS && m.TLS != mailTLS && m.TLS != mailPlain {
		return saba.Errorf(saba.ErrInvalid, "--smtp-tls takes starttls, tls or none, not %q", m.TLS)
	}
	switch {
	case m.User == "" && m.Password == "":
	case m.User == "":
		return saba.Errorf(saba.ErrInvalid, "there is a password for the SMTP server and no name to go with it: give --smtp-user")
	case m.Password == "":
		return saba.Errorf(saba.ErrInvalid, "--smtp-user needs a password: give --smtp-password-file, or SABA_SMTP_PASSWORD in the environment")
	case m.TLS == mailPlain:
		return saba.Errorf(saba.ErrInvalid, "a password is not sent without encryption: give --smtp-tls starttls or tls, or leave --smtp-user out")
	}
	return nil
}

// sender returns the address that mail is sent from.
func (m Mail) sender() (*netmail.Address, error) {
	a, err := netmail.ParseAddress(m.From)
	if err == nil && strings.ContainsFunc(a.Address, unicode.IsControl) {
		return nil, errors.New("control characters in an address")
	}
	return a, err
}

const (
	// maxTalk is how many bytes an SMTP server may say in one conversation.
	maxTalk = 256 << 10
	// laterTries is how often a message is offered to recipients whom the server refuses for now while it takes others. After that the
	// channel's next message goes on: a full mailbox must not keep everybody else from it.
	laterTries = 3
)

//go:embed email.html
var emailHTML string

// An email tells people by SMTP. One message goes to all recipients of a channel at once; those whom the server refuses do not keep the
// others from it.
type email struct {
	Mail
	page *template.Template
	now  func() time.Time

	mu      sync.Mutex
	partial map[string]delivery // by channel: the message that only some recipients were told of
}

// A delivery is a message on its way.
type delivery struct {
	key   string
	told  []string // addresses that the server has taken it for
	tries int
}

func newEmail(m Mail, now func() time.Time) *email {
	return &email{Mail: m, now: now, page: template.Must(template.New("email").Parse(emailHTML)), partial: map[string]delivery{}}
}

// Send implements Sender.
func (s *email) Send(ctx context.Context, c saba.Channel, m Message) error {
	if s.Server == "" {
		return errors.New("saba knows no server to send e-mail by: start it with --smtp host:port and --smtp-from, or SABA_SMTP and SABA_SMTP_FROM")
	}
	all := recipients(&c, m.Members)
	if len(all) == 0 {
		return Final(errors.New("nobody is left to send it to: the channel has no addresses, and its accounts are no members any more"))
	}
	d := delivery{key: m.Key, tries: laterTries - 1}
	if m.Kind != saba.EventTest { // whoever tries a channel wants to know now
		d = s.begun(c.ID, m.Key)
	}
	left := slices.DeleteFunc(slices.Clone(all), func(a string) bool { return slices.Contains(d.told, a) })
	msg, err := s.write(ctx, &c, &m, all)
	if err != nil {
		return Final(fmt.Errorf("the message could not be written: %w", err))
	}
	took, refused, err := s.deliver(ctx, left, msg)
	if err != nil {
		return err
	}
	d.told = append(d.told, took...)
	d.tries++
	later := slices.ContainsFunc(refused, refusedRecipient.forNow)
	switch {
	case len(refused) == 0:
		s.forget(c.ID, m.Key)
		return nil
	case len(d.told) == 0 && later:
		return errors.New("the SMTP server takes no mail now for " + sentence(refused))
	case len(d.told) == 0:
		return Final(errors.New("the SMTP server takes no mail for " + sentence(refused)))
	case later && d.tries < laterTries:
		s.keep(c.ID, d)
		return errors.New("it was sent to the others, and not yet to " + sentence(refused))
	}
	s.forget(c.ID, m.Key)
	return Partly(errors.New("it was sent to the others, and not to " + sentence(refused)))
}

func (s *email) begun(channel, key string) delivery {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d := s.partial[channel]; d.key == key {
		return d
	}
	return delivery{key: key}
}

func (s *email) keep(channel string, d delivery) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.partial[channel] = d
}

func (s *email) forget(channel, key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.partial[channel].key == key {
		delete(s.partial, channel)
	}
}

// recipients returns the addresses of a channel, each once.
func recipients(c *saba.Channel, members []saba.Member) (all []string) {
	add := func(address string) {
		if address != "" && !slices.ContainsFunc(all, func(a string) bool { return strings.EqualFold(a, address) }) {
			all = append(all, address)
		}
	}
	for _, address := range c.Emails {
		add(address)
	}
	for _, m := range members {
		if slices.Contains(c.UserIDs, m.ID) {
			add(m.Email)
		}
	}
	return all
}

// A refusedRecipient is somebody whom the server does not take mail for.
type refusedRecipient struct {
	address string
	err     *textproto.Error
}

// forNow says whether the server may take it later.
func (r refusedRecipient) forNow() bool { return r.err.Code < 500 }

// sentence names refused recipients with the server's words.
func sentence(refused []refusedRecipient) string {
	const most = 5
	var parts []string
	for i, r := range refused {
		if i == most {
			parts = append(parts, fmt.Sprintf("%d more", len(refused)-most))
			break
		}
		parts = append(parts, fmt.Sprintf("%s (%d %s)", r.address, r.err.Code, quoted([]byte(r.err.Msg))))
	}
	return strings.Join(parts, ", ")
}

// deliver gives a message to the server for some recipients. It returns those for whom the server has confirmed it, and those for whom it
// takes none.
func (s *email) deliver(ctx context.Context, to []string, msg []byte) (took []string, refused []refusedRecipient, err error) {
	client, end, err := s.connect(ctx)
	if err != nil {
		return nil, nil, s.failed(ctx, err)
	}
	defer end()
	from, err := s.sender()
	if err != nil {
		return nil, nil, Final(errors.New("the address of the sender cannot be read: set --smtp-from"))
	}
	if err := client.Mail((&netmail.Address{Address: from.Address}).String()); err != nil {
		return nil, nil, s.failed(ctx, fmt.Errorf("it does not take mail from %s: %w", from.Address, err))
	}
	for _, address := range to {
		err := client.Rcpt((&netmail.Address{Address: address}).String())
		answer, ok := errors.AsType[*textproto.Error](err)
		switch {
		case err == nil:
			took = append(took, address)
		case ok && answer.Code != 421: // with which it ends the conversation
			refused = append(refused, refusedRecipient{address, answer})
		default:
			return nil, nil, s.failed(ctx, err)
		}
	}
	if len(took) == 0 {
		return nil, refused, nil
	}
	w, err := client.Data()
	if err == nil {
		if _, err = w.Write(msg); err == nil {
			err = w.Close()
		}
	}
	if answer, ok := errors.AsType[*textproto.Error](err); ok && answer.Code >= 500 {
		return nil, nil, Final(s.failed(ctx, err)) // it is about the message
	}
	if err != nil {
		return nil, nil, s.failed(ctx, err)
	}
	// It is confirmed. Whether the server says goodbye as well is waited for by nobody.
	_ = client.Text.PrintfLine("QUIT")
	return took, refused, nil
}

// connect opens a conversation with the server, up to where it takes mail. end closes it. The conversation ends with ctx, too.
func (s *email) connect(ctx context.Context) (client *smtp.Client, end func(), err error) {
	host, _, err := net.SplitHostPort(s.Server)
	if err != nil {
		return nil, nil, err
	}
	raw, err := (&net.Dialer{}).DialContext(ctx, "tcp", s.Server)
	if err != nil {
		return nil, nil, err
	}
	stop := context.AfterFunc(ctx, func() { raw.Close() })
	hangUp := func() { stop(); raw.Close() }
	defer func() {
		if err != nil {
			hangUp()
		}
	}()
	// No address names this machine as surely as the one that the server sees.
	self := "localhost"
	if a, ok := raw.LocalAddr().(*net.TCPAddr); ok {
		self = "[" + a.IP.String() + "]"
		if a.IP.To4() == nil {
			self = "[IPv6:" + a.IP.String() + "]"
		}
	}
	var conn net.Conn = &talk{Conn: raw, left: maxTalk}
	config := &tls.Config{ServerName: host, RootCAs: s.Roots, MinVersion: tls.VersionTLS12, Time: s.now}
	if s.TLS == mailTLS {
		conn = tls.Client(conn, config)
	}
	if client, err = smtp.NewClient(conn, host); err != nil {
		return nil, nil, err
	}
	if err := client.Hello(self); err != nil {
		return nil, nil, err
	}
	if cmp.Or(s.TLS, mailSTARTTLS) == mailSTARTTLS {
		if ok, _ := client.Extension("STARTTLS"); !ok {
			return nil, nil, errors.New("it offers no STARTTLS, without which nothing is sent: --smtp-tls tls is for servers that encrypt from the first byte, none for one that is as near as this machine")
		}
		if err := client.StartTLS(config); err != nil {
			return nil, nil, err
		}
	}
	if s.User == "" {
		return client, hangUp, nil
	}
	if _, encrypted := client.TLSConnectionState(); !encrypted {
		return nil, nil, errors.New("a password is not sent without encryption: set --smtp-tls to starttls or tls")
	}
	_, ways := client.Extension("AUTH")
	var auth smtp.Auth
	switch offered := strings.Fields(strings.ToUpper(ways)); {
	case slices.Contains(offered, "PLAIN"):
		auth = smtp.PlainAuth("", s.User, s.Password, host, false)
	case slices.Contains(offered, "LOGIN"):
		auth = smtp.LoginAuth(s.User, s.Password, host, false)
	default:
		return nil, nil, errors.New("it takes no password by PLAIN or LOGIN: leave --smtp-user out, or use another server")
	}
	if err := client.Auth(auth); err != nil {
		// Its words may repeat what it was sent.
		if answer, ok := errors.AsType[*textproto.Error](err); ok {
			return nil, nil, fmt.Errorf("it refuses the name and password of --smtp-user (%d)", answer.Code)
		}
		return nil, nil, err
	}
	return client, hangUp, nil
}

// failed makes a sentence of what went wrong with the server.
func (s *email) failed(ctx context.Context, err error) error {
	if ctx.Err() != nil || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("the SMTP server %s did not answer in time", s.Server)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("the SMTP server %s closed the connection", s.Server)
	}
	words := err.Error()
	if answer, ok := errors.AsType[*textproto.Error](err); ok {
		words = strings.Replace(words, answer.Error(), fmt.Sprintf("%d %s", answer.Code, answer.Msg), 1) // not between quotation marks
	}
	return fmt.Errorf("the SMTP server %s: %s", s.Server, quoted([]byte(words)))
}

// A talk bounds what a server may say.
type talk struct {
	net.Conn
	left int
}

func (t *talk) Read(p []byte) (int, error) {
	if t.left <= 0 {
		return 0, errors.New("it says more than a server has to")
	}
	n, err := t.Conn.Read(p[:min(len(p), t.left)])
	t.left -= n
	return n, err
}

// write writes a message as it goes over the wire: text and HTML, with the graph inside.
func (s *email) write(ctx context.Context, c *saba.Channel, m *Message, to []string) ([]byte, error) {
	from, err := s.sender()
	if err != nil {
		return nil, err
	}
	picture, note := m.drawn(ctx)
	page := struct {
		Title, Text, Colour, Note, Link, Label, Org, Channel string
		Facts                                                []Fact
		Graph                                                bool
	}{m.Title(), m.Text(), m.Colour(), note, "", "", m.Org.Name, c.Name, m.Facts(), picture != nil}
	if all := m.buttons(c); len(all) > 0 {
		page.Label, page.Link = all[0].label, all[0].url
	}
	var html bytes.Buffer
	if err := s.page.Execute(&html, page); err != nil {
		return nil, err
	}

	msg := mail.NewMsg(mail.WithNoDefaultUserAgent())
	msg.FromMailAddress(from)
	for _, address := range to {
		msg.AddToMailAddress(&netmail.Address{Address: address})
	}
	msg.Subject(oneLine(m.Title()))
	msg.SetDateWithValue(time.Unix(m.At, 0).In(m.Zone))
	_, domain, _ := strings.Cut(from.Address, "@")
	// The time is part of it because a database that was restored from a backup numbers its events anew.
	msg.SetMessageIDWithValue(fmt.Sprintf("saba.%s.%d@%s", m.Key, m.At, domain))
	if m.Subject != "" && (m.Alert != nil || m.Group != nil) {
		// All messages of an incident answer one that nobody has: which was the first differs by channel, and the first may have been lost.
		root := fmt.Sprintf("<saba.%s.%s@%s>", c.ID, m.Subject, domain)
		msg.SetGenHeader(mail.HeaderInReplyTo, root)
		msg.SetGenHeader(mail.HeaderReferences, root)
	}
	msg.SetGenHeader("List-Id", fmt.Sprintf("<%s.saba.%s>", m.Org.ID, domain))
	msg.SetGenHeader("Auto-Submitted", "auto-generated")
	msg.SetGenHeader("X-Auto-Response-Suppress", "All") // Exchange looks at no other
	msg.SetBodyString(mail.TypeTextPlain, plain(c, m, note, page.Link))
	msg.AddAlternativeString(mail.TypeTextHTML, html.String())
	if picture != nil {
		if err := msg.EmbedReader("graph.png", bytes.NewReader(picture), mail.WithFileContentID("<graph>"), mail.WithFileContentType("image/png")); err != nil {
			return nil, err
		}
	}
	var out bytes.Buffer
	_, err = msg.WriteTo(&out)
	return out.Bytes(), err
}

// plain writes a message for who reads no HTML.
func plain(c *saba.Channel, m *Message, note, link string) string {
	var b strings.Builder
	b.WriteString(m.Title() + "\n\n")
	if text := m.Text(); text != "" {
		b.WriteString(text + "\n\n")
	}
	for _, f := range m.Facts() {
		fmt.Fprintf(&b, "%s: %s\n", f.Name, f.Value)
	}
	if note != "" {
		b.WriteString("\n" + note + "\n")
	}
	if link != "" {
		b.WriteString("\n" + link + "\n")
	}
	fmt.Fprintf(&b, "\n-- \nFrom saba of %s, by the channel %s.\n", m.Org.Name, c.Name)
	return b.String()
}

// oneLine returns a text on one line, as headers have to be.
func oneLine(s string) string {
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return unicode.IsControl(r) || unicode.IsSpace(r) }), " ")
}

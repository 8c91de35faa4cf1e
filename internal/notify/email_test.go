package notify

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	"net/http"
	netmail "net/mail"
	"net/textproto"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/plugin/target/targettest"
)

// A letter is what a post office has confirmed.
type letter struct {
	from string
	to   []string
	text string
	tls  bool
	user string // who had logged in
}

// A post office is a real SMTP server on the loopback. Each of its fields makes it worse.
type postOffice struct {
	cert     *tls.Certificate // nil offers no STARTTLS
	implicit bool             // TLS from the first byte
	auth     string           // ways to log in that it offers, of PLAIN and LOGIN
	password string           // of the user "saba"
	answers  map[string]string
	hangs    string // the command that is never answered
	drops    string // the command after which it closes the connection; "." is the end of a message
	endless  bool   // it never stops talking

	addr  string
	mu    sync.Mutex
	got   []letter
	heard []string // commands, without what was logged in with
}

// open serves until the test ends.
func (p *postOffice) open(t *testing.T) *postOffice {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p.addr = l.Addr().String()
	var work sync.WaitGroup
	var mu sync.Mutex
	open := map[net.Conn]bool{}
	work.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open[conn] = true
			mu.Unlock()
			work.Go(func() {
				defer conn.Close()
				if p.implicit {
					p.serve(tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{*p.cert}}), true)
				} else {
					p.serve(conn, false)
				}
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for conn := range open {
			conn.Close()
		}
		mu.Unlock()
		work.Wait()
	})
	return p
}

// answer returns what it says to the first of some commands that it has an answer of its own to.
func (p *postOffice) answer(to ...string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range to {
		if a := p.answers[s]; a != "" {
			return a
		}
	}
	return ""
}

func (p *postOffice) letters() []letter {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.got)
}

func (p *postOffice) serve(conn net.Conn, encrypted bool) {
	r := bufio.NewReader(conn)
	say := func(s string) { fmt.Fprintf(conn, "%s\r\n", s) }
	line := func() string {
		s, err := r.ReadString('\n')
		if err != nil {
			return "" // the other side has gone
		}
		return strings.TrimRight(s, "\r\n")
	}
	l := letter{tls: encrypted}
	say("220 post office")
	for p.endless {
		if _, err := io.WriteString(conn, "250-"+strings.Repeat("x", 1000)+"\r\n"); err != nil {
			return
		}
	}
	for {
		s := line()
		if s == "" {
			return
		}
		verb, rest, _ := strings.Cut(s, " ")
		p.mu.Lock()
		p.heard = append(p.heard, verb)
		p.mu.Unlock()
		if p.hangs == verb {
			io.Copy(io.Discard, conn)
			return
		}
		if answer := p.answer(s, verb); answer != "" {
			say(answer)
			continue
		}
		switch verb {
		case "EHLO":
			say("250-post office")
			if !encrypted && p.cert != nil {
				say("250-STARTTLS")
			} else if p.auth != "" {
				say("250-AUTH " + p.auth)
			}
			say("250 SIZE")
		case "STARTTLS":
			say("220 go")
			conn = tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{*p.cert}})
			r, encrypted, l.tls = bufio.NewReader(conn), true, true
		case "AUTH":
			way, first, _ := strings.Cut(rest, " ")
			var user, password string
			switch way {
			case "PLAIN":
				b, _ := base64.StdEncoding.DecodeString(first)
				if parts := strings.Split(string(b), "\x00"); len(parts) == 3 {
					user, password = parts[1], parts[2]
				}
			case "LOGIN":
				say("334 VXNlcm5hbWU6")
				b, _ := base64.StdEncoding.DecodeString(line())
				user = string(b)
				say("334 UGFzc3dvcmQ6")
				b, _ = base64.StdEncoding.DecodeString(line())
				password = string(b)
			}
			if user != "saba" || password != p.password {
				say("535 no, " + password)
				continue
			}
			l.user = user
			say("235 come in")
		case "MAIL":
			l.from = rest
			say("250 ok")
		case "RCPT":
			l.to = append(l.to, strings.Trim(strings.TrimPrefix(rest, "TO:"), "<>"))
			say("250 ok")
		case "DATA":
			say("354 go on")
			b, err := textproto.NewReader(r).ReadDotBytes()
			if err != nil {
				return
			}
			if answer := p.answer("."); answer != "" {
				say(answer)
				continue
			}
			if p.hangs == "." {
				io.Copy(io.Discard, conn)
				return
			}
			if p.drops == "." {
				return
			}
			l.text = string(b)
			p.mu.Lock()
			p.got = append(p.got, l)
			p.mu.Unlock()
			say("250 taken")
			l.to = nil
		case "QUIT":
			say("221 bye")
			return
		default:
			say("502 what?")
		}
	}
}

const mailFrom = "Saba Überwachung <saba@example.com>"

// certified opens a post office that encrypts, and returns who vouches for it.
func certified(t *testing.T, p *postOffice) (*postOffice, *x509.CertPool) {
	now := time.Now()
	ca := targettest.NewAuthority(t, now)
	p.cert = &ca.Serve(t, http.NotFoundHandler(), now.Add(-time.Hour), now.Add(time.Hour), "127.0.0.1").TLS.Certificates[0]
	roots := x509.NewCertPool()
	ca.AddTo(roots)
	return p.open(t), roots
}

func mailChannel(to ...string) saba.Channel {
	return saba.Channel{ID: "c1", Name: "mail", Type: saba.ChannelEmail, Emails: to, Events: saba.ChannelEvents}
}

// A letter arrives whole by each way to encrypt and to log in, and not at all by those that would show the password.
func TestMailArrives(t *testing.T) {
	for name, tt := range map[string]struct {
		office *postOffice
		tls    string
		user   string
		want   string // in the error
	}{
		"STARTTLS is the default":                         {&postOffice{}, "", "", ""},
		"TLS from the first byte":                         {&postOffice{implicit: true}, "tls", "", ""},
		"login by PLAIN":                                  {&postOffice{auth: "LOGIN PLAIN", password: "pa:ss"}, "starttls", "saba", ""},
		"login by LOGIN":                                  {&postOffice{auth: "LOGIN", password: "pa:ss"}, "tls", "saba", ""},
		"no known way to log in":                          {&postOffice{auth: "GSSAPI", password: "pa:ss"}, "", "saba", "takes no password by PLAIN or LOGIN"},
		"a wrong password is told without it":             {&postOffice{auth: "PLAIN", password: "other"}, "", "saba", "refuses the name and password of --smtp-user (535)"},
		"a server that does not encrypt after all":        {&postOffice{answers: map[string]string{"STARTTLS": "454 not now"}}, "", "saba", "454"},
		"none, of a server that would":                    {&postOffice{}, "none", "", ""},
		"no password over none, whatever is checked else": {&postOffice{auth: "PLAIN"}, "none", "saba", "a password is not sent without encryption"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tt.office.implicit = tt.tls == "tls"
			office, roots := certified(t, tt.office)
			s := newEmail(Mail{Server: office.addr, From: mailFrom, TLS: tt.tls, User: tt.user, Password: "pa:ss", Roots: roots}, time.Now)
			err := s.Send(t.Context(), mailChannel("a@example.com", "A@example.com"), alertMessage(saba.CheckCritical))
			if tt.want != "" {
				if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "pa:ss") {
					t.Fatalf("Send = %v, want an error with %q", err, tt.want)
				}
				if isFinal(err) {
					t.Error("the message is given up, and the settings alone are wrong")
				}
				if tt.user != "" && tt.tls == "none" && slices.Contains(office.commands(), "AUTH") {
					t.Error("it was logged in without encryption")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got := office.letters()
			if len(got) != 1 || !slices.Equal(got[0].to, []string{"a@example.com"}) || got[0].from != "FROM:<saba@example.com>" || got[0].tls != (tt.tls != "none") || got[0].user != tt.user {
				t.Errorf("it got %+v", got)
			}
		})
	}
}

func (p *postOffice) commands() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.heard)
}

// Of a server that is not who it should be, or strips STARTTLS, nothing is asked.
func TestMailGoesToNoStranger(t *testing.T) {
	stripped := (&postOffice{auth: "PLAIN"}).open(t)
	other, _ := certified(t, &postOffice{auth: "PLAIN"})
	_, roots := certified(t, &postOffice{})
	for name, tt := range map[string]struct {
		office *postOffice
		want   string
	}{"without STARTTLS": {stripped, "offers no STARTTLS"}, "of another authority": {other, "certificate signed by unknown authority"}} {
		t.Run(name, func(t *testing.T) {
			s := newEmail(Mail{Server: tt.office.addr, From: mailFrom, User: "saba", Password: "secret", Roots: roots}, time.Now)
			err := s.Send(t.Context(), mailChannel("a@example.com"), alertMessage(saba.CheckCritical))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Send = %v, want an error with %q", err, tt.want)
			}
			for _, verb := range tt.office.commands() {
				if verb == "AUTH" || verb == "MAIL" {
					t.Errorf("it was told %s", verb)
				}
			}
		})
	}
}

// plainMail opens a post office that does not encrypt, and returns a sender by it.
func plainMail(t *testing.T, p *postOffice) (*postOffice, *email) {
	p.open(t)
	return p, newEmail(Mail{Server: p.addr, From: mailFrom, TLS: "none"}, time.Now)
}

// One wrong address keeps nobody else from the message.
func TestMailToSomeWhoAreRefused(t *testing.T) {
	const gone, full = "RCPT TO:<gone@example.com>", "RCPT TO:<full@example.com>"
	office, s := plainMail(t, &postOffice{answers: map[string]string{gone: "550 5.1.1 no such user", full: "452 4.2.2 mailbox full"}})
	m := alertMessage(saba.CheckCritical)

	err := s.Send(t.Context(), mailChannel("a@example.com", "gone@example.com"), m)
	if !isPartly(err) || !strings.Contains(err.Error(), "not to gone@example.com (550 5.1.1 no such user)") {
		t.Errorf("one that does not exist: %v", err)
	}
	if err := s.Send(t.Context(), mailChannel("gone@example.com"), m); !isFinal(err) || isPartly(err) {
		t.Errorf("only one that does not exist: %v", err)
	}
	if err := s.Send(t.Context(), mailChannel("full@example.com", "gone@example.com"), m); err == nil || isFinal(err) || isPartly(err) {
		t.Errorf("a full mailbox and none else: %v", err)
	}
	if got := office.letters(); len(got) != 1 || !slices.Equal(got[0].to, []string{"a@example.com"}) {
		t.Fatalf("it got %+v", got)
	}

	// Who is full is tried again alone, and not for ever.
	m.Key = "c1-8"
	both := mailChannel("full@example.com", "b@example.com")
	for try := 1; try < laterTries; try++ {
		if err := s.Send(t.Context(), both, m); err == nil || isFinal(err) || isPartly(err) {
			t.Errorf("try %d: %v", try, err)
		}
	}
	if err := s.Send(t.Context(), both, m); !isPartly(err) {
		t.Errorf("the last try: %v", err)
	}
	if got := office.letters(); len(got) != 2 || !slices.Equal(got[1].to, []string{"b@example.com"}) {
		t.Errorf("it got %+v", got)
	}
	m.Key = "c1-9"
	if err := s.Send(t.Context(), both, m); err == nil || isPartly(err) {
		t.Errorf("the next message: %v", err)
	}
	office.mu.Lock()
	delete(office.answers, full)
	office.mu.Unlock()
	if err := s.Send(t.Context(), both, m); err != nil {
		t.Error(err)
	}
	if got := office.letters(); len(got) != 4 || !slices.Equal(got[3].to, []string{"full@example.com"}) {
		t.Errorf("it got %+v", got)
	}
	if len(s.partial) != 0 {
		t.Errorf("it still keeps %v", s.partial)
	}
}

// What a server does to a message as a whole: what will not change is final, all else is tried again.
func TestMailServersInTrouble(t *testing.T) {
	answers := func(pairs ...string) *postOffice { return &postOffice{answers: map[string]string{pairs[0]: pairs[1]}} }
	for name, tt := range map[string]struct {
		office *postOffice
		final  bool
		want   string
	}{
		"busy":                               {answers("EHLO", "421 too busy"), false, "too busy"},
		"sender refused":                     {answers("MAIL", "550 not from you"), false, "not from you"},
		"greylisted":                         {answers("RCPT", "450 come back"), false, "come back"},
		"ends the conversation":              {answers("RCPT", "421 shutting down"), false, "shutting down"},
		"message refused":                    {answers(".", "554 spam"), true, "554 spam"},
		"disk full":                          {answers(".", "452 no space"), false, "no space"},
		"dropped after the end of a message": {&postOffice{drops: "."}, false, "closed the connection"},
		"hangs at MAIL":                      {&postOffice{hangs: "MAIL"}, false, "did not answer in time"},
		"hangs after the end of a message":   {&postOffice{hangs: "."}, false, "did not answer in time"},
		"talks without end":                  {&postOffice{endless: true}, false, "says more than"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			office, s := plainMail(t, tt.office)
			ctx := t.Context()
			if tt.office.hangs != "" {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, 300*time.Millisecond)
				defer cancel()
			}
			err := s.Send(ctx, mailChannel("a@example.com"), alertMessage(saba.CheckCritical))
			if err == nil || isFinal(err) != tt.final || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Send = %v, want %q, final %v", err, tt.want, tt.final)
			}
			if len(office.letters()) != 0 {
				t.Error("it took the message")
			}
		})
	}
	t.Run("nobody there", func(t *testing.T) {
		s := newEmail(Mail{Server: "127.0.0.1:1", From: mailFrom, TLS: "none"}, time.Now)
		if err := s.Send(t.Context(), mailChannel("a@example.com"), alertMessage(saba.CheckCritical)); err == nil || isFinal(err) || !strings.Contains(err.Error(), "127.0.0.1:1") {
			t.Errorf("Send = %v", err)
		}
	})
	t.Run("no server is set", func(t *testing.T) {
		err := newEmail(Mail{}, time.Now).Send(t.Context(), mailChannel("a@example.com"), alertMessage(saba.CheckCritical))
		if err == nil || isFinal(err) || !strings.Contains(err.Error(), "--smtp host:port") {
			t.Errorf("Send = %v", err)
		}
	})
	t.Run("nobody left", func(t *testing.T) {
		_, s := plainMail(t, &postOffice{})
		c := mailChannel()
		c.UserIDs = []string{"gone"}
		if err := s.Send(t.Context(), c, alertMessage(saba.CheckCritical)); !isFinal(err) {
			t.Errorf("Send = %v", err)
		}
	})
}

// mailParts returns the bodies of a message by their type, decoded.
func mailParts(t *testing.T, header textproto.MIMEHeader, body io.Reader, into map[string]string, nesting string) {
	t.Helper()
	kind, params, err := mime.ParseMediaType(header.Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	if strings.HasPrefix(kind, "multipart/") {
		r := multipart.NewReader(body, params["boundary"])
		for {
			p, err := r.NextRawPart()
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			mailParts(t, p.Header, p, into, nesting+kind+" ")
		}
	}
	switch header.Get("Content-Transfer-Encoding") {
	case "quoted-printable":
		body = quotedprintable.NewReader(body)
	case "base64":
		body = base64.NewDecoder(base64.StdEncoding, body)
	}
	b, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	into[nesting+kind] = string(b)
	if id := header.Get("Content-Id"); id != "" {
		into["id of "+kind] = id
	}
}

// What arrives is a message that any client reads: one incident is one thread, retries are one message, and no text makes a header.
func TestMailMessage(t *testing.T) {
	office, s := plainMail(t, &postOffice{})
	send := func(m Message) (*netmail.Message, map[string]string) {
		t.Helper()
		c := mailChannel("a@example.com")
		c.UserIDs = []string{"u1"}
		m.Members = []saba.Member{{ID: "u1", Email: "u1@example.com"}, {ID: "u2", Email: "u2@example.com"}}
		if err := s.Send(t.Context(), c, m); err != nil {
			t.Fatal(err)
		}
		all := office.letters()
		got := all[len(all)-1]
		if !slices.Equal(got.to, []string{"a@example.com", "u1@example.com"}) {
			t.Errorf("it went to %v", got.to)
		}
		for line := range strings.Lines(got.text) {
			if line = strings.TrimRight(line, "\r\n"); len(line) > 100 || strings.ContainsFunc(line, func(r rune) bool { return r > '~' || r < ' ' && r != '\t' }) {
				t.Errorf("a line of %d bytes goes over the wire: %q", len(line), line)
			}
		}
		msg, err := netmail.ReadMessage(strings.NewReader(got.text))
		if err != nil {
			t.Fatal(err)
		}
		parts := map[string]string{}
		mailParts(t, textproto.MIMEHeader(msg.Header), msg.Body, parts, "")
		return msg, parts
	}
	header := func(m *netmail.Message, name string) string {
		s, err := (&mime.WordDecoder{}).DecodeHeader(m.Header.Get(name))
		if err != nil {
			t.Error(err)
		}
		return s
	}

	m := alertMessage(saba.CheckCritical)
	m.Monitor.Name = strings.Repeat("負荷 ", 40) + "\r\nBcc: evil@example.net\n\nx"
	m.Host.Name = `web"<b>&`
	first, parts := send(m)
	if got, want := header(first, "Subject"), "CRITICAL: "+strings.Repeat("負荷 ", 40)+`Bcc: evil@example.net x on web"<b>&`; got != want {
		t.Errorf("the subject is %q, want %q", got, want)
	}
	if first.Header.Get("Bcc") != "" || header(first, "From") != `"Saba Überwachung" <saba@example.com>` && header(first, "From") != "Saba Überwachung <saba@example.com>" {
		t.Errorf("the header is %v", first.Header)
	}
	if at, err := first.Header.Date(); err != nil || at.Unix() != m.At {
		t.Errorf("the date is %v, %v", at, err)
	}
	for name, want := range map[string]string{"Auto-Submitted": "auto-generated", "List-Id": "<org1.saba.example.com>", "Message-Id": "<saba.c1-7.1767233160@example.com>",
		"References": "<saba.c1.alert1@example.com>", "In-Reply-To": "<saba.c1.alert1@example.com>", "Mime-Version": "1.0"} {
		if got := first.Header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	const around = "multipart/related multipart/alternative "
	html, text := parts[around+"text/html"], parts[around+"text/plain"]
	if parts["multipart/related image/png"] != "\x89PNG picture" || parts["id of image/png"] != "<graph>" || !strings.Contains(html, `src="cid:graph"`) {
		t.Errorf("the graph is not in it: %q", parts)
	}
	for _, want := range []string{"web&#34;&lt;b&gt;&amp;", "#d63a3a", `href="https://saba.example.com/alerts/alert1"`, "Open alert", "shop:web", "2 h 5 min"} {
		if !strings.Contains(html, want) {
			t.Errorf("the HTML lacks %q", want)
		}
	}
	for _, bad := range []string{"<b>", "src=\"http", "url(", "<script", "<link"} {
		if strings.Contains(html, bad) {
			t.Errorf("the HTML has %q", bad)
		}
	}
	for _, want := range []string{"CRITICAL: ", "Value: 9.31 > 5\n", "Memo: call *ops*\nthen <b>wait</b> & see\n", "https://saba.example.com/alerts/alert1\n"} {
		if !strings.Contains(strings.ReplaceAll(text, "\r\n", "\n"), want) {
			t.Errorf("the text lacks %q:\n%s", want, text)
		}
	}

	again, _ := send(m)
	if again.Header.Get("Message-Id") != first.Header.Get("Message-Id") {
		t.Error("a message that is tried again is another one")
	}
	end := alertMessage(saba.CheckOK)
	end.Key, end.PNG = "c1-9", nil
	last, parts := send(end)
	if last.Header.Get("References") != first.Header.Get("References") || last.Header.Get("Message-Id") == first.Header.Get("Message-Id") {
		t.Errorf("the end of the incident is not in its thread: %v", last.Header)
	}
	if html := parts["multipart/alternative text/html"]; html == "" || strings.Contains(html, "cid:") {
		t.Errorf("a message without a graph is %q", parts)
	}
	broken := alertMessage(saba.CheckCritical)
	broken.PNG = func(context.Context) ([]byte, error) { return nil, errors.New("no") }
	if _, parts := send(broken); !strings.Contains(parts["multipart/alternative text/plain"], "The graph could not be drawn.") {
		t.Errorf("a graph that cannot be drawn is not told: %q", parts)
	}
	for name, m := range messages() {
		msg, parts := send(m)
		if header(msg, "Subject") != m.Title() || len(parts) < 2 {
			t.Errorf("%s: subject %q, parts %q", name, header(msg, "Subject"), parts)
		}
		if incident := m.Alert != nil || m.Group != nil; incident != (msg.Header.Get("References") != "") {
			t.Errorf("%s: it is in the thread %q", name, msg.Header.Get("References"))
		}
	}
}

func TestMailSettings(t *testing.T) {
	good := Mail{Server: "mail.example.com:587", From: "saba@example.com"}
	with := func(f func(m *Mail)) Mail {
		m := good
		f(&m)
		return m
	}
	for name, tt := range map[string]struct {
		m    Mail
		want string
	}{
		"none at all":              {Mail{}, ""},
		"the least":                {good, ""},
		"all":                      {with(func(m *Mail) { m.User, m.Password, m.TLS = "u", "p", "tls" }), ""},
		"a sender with a name":     {with(func(m *Mail) { m.From = mailFrom }), ""},
		"no server":                {Mail{From: "a@b.example"}, "--smtp host:port"},
		"no port":                  {with(func(m *Mail) { m.Server = "mail.example.com" }), "host:port"},
		"no sender":                {with(func(m *Mail) { m.From = "" }), "--smtp-from"},
		"a sender with a new line": {with(func(m *Mail) { m.From = "a@b.example\r\nBcc: c@d.example" }), "--smtp-from"},
		"an unknown encryption":    {with(func(m *Mail) { m.TLS = "ssl" }), "starttls, tls or none"},
		"a user alone":             {with(func(m *Mail) { m.User = "u" }), "--smtp-password-file"},
		"a password alone":         {with(func(m *Mail) { m.Password = "secret" }), "--smtp-user"},
		"a password in the clear":  {with(func(m *Mail) { m.User, m.Password, m.TLS = "u", "secret", "none" }), "without encryption"},
	} {
		t.Run(name, func(t *testing.T) {
			err := tt.m.Check()
			if (err == nil) != (tt.want == "") || err != nil && (!strings.Contains(err.Error(), tt.want) || !errors.Is(err, saba.ErrInvalid) || strings.Contains(err.Error(), "secret")) {
				t.Errorf("Check = %v, want %q", err, tt.want)
			}
		})
	}
}

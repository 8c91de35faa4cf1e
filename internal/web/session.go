package web

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/mail"
	"net/url"
	"strings"
	"time"

	"github.com/saba-monitor/saba"
)

const (
	sessionCookie = "saba_session"
	sessionLife   = 30 * 24 * time.Hour
	// A session in use is replaced by a fresh one about once a day, so that it slides along
	// without a write for every page.
	sessionRenew = 24 * time.Hour
)

// authenticate returns who the request comes from: a stranger when it carries no session that
// is still good. An error is our own fault, never the visitor's.
func (c *console) authenticate(r *http.Request) (visitor, error) {
	cookie, err := r.Cookie(sessionCookie)
	if err != nil || cookie.Value == "" || len(cookie.Value) > 128 {
		return visitor{}, nil
	}
	s, err := c.Store.SessionByHash(r.Context(), saba.HashSecret(cookie.Value), c.Now().Unix())
	if errors.Is(err, saba.ErrNotFound) {
		return visitor{}, nil
	}
	if err != nil {
		return visitor{}, err
	}
	u, err := c.Store.User(r.Context(), s.User)
	if errors.Is(err, saba.ErrNotFound) {
		return visitor{}, nil
	}
	if err != nil {
		return visitor{}, err
	}
	p := saba.Principal{Org: s.Org, User: u.ID, Read: true, Write: u.Authority.MayWrite(), Manage: u.Authority.MayManage()}
	return visitor{Principal: p, user: u, session: s}, nil
}

// signIn makes a new session for u and hands its token to the browser.
func (c *console) signIn(w http.ResponseWriter, r *http.Request, u saba.User) error {
	token, hash, err := c.newSecret()
	if err != nil {
		return err
	}
	now := c.Now()
	s := saba.Session{Hash: hash, User: u.ID, Org: u.Org, CreatedAt: now.Unix(), ExpiresAt: now.Add(sessionLife).Unix()}
	if err := c.Store.CreateSession(r.Context(), s); err != nil {
		return err
	}
	setCookie(w, r, token, int(sessionLife/time.Second))
	return nil
}

// renewSession replaces a session that is older than a day, so that whoever comes every month
// stays signed in and a stolen cookie's life is bounded. Should other requests with the old
// cookie be under way, they are sent to the login page, which sends them back at once.
func (c *console) renewSession(w http.ResponseWriter, r *http.Request, v visitor) error {
	if c.Now().Unix()-v.session.CreatedAt < int64(sessionRenew/time.Second) {
		return nil
	}
	if err := c.signIn(w, r, v.user); err != nil {
		return err
	}
	return c.Store.DeleteSession(r.Context(), v.session.Hash)
}

// setCookie sets the session cookie for maxAge seconds; below 0 deletes it.
func setCookie(w http.ResponseWriter, r *http.Request, token string, maxAge int) {
	http.SetCookie(w, &http.Cookie{
		Name: sessionCookie, Value: token, Path: "/", MaxAge: maxAge,
		HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: secure(r),
	})
}

// secure says whether the browser's side of the connection is encrypted.
func secure(r *http.Request) bool {
	return r.TLS != nil || strings.EqualFold(r.Header.Get("X-Forwarded-Proto"), "https")
}

// address returns where a request comes from, for limiting. Only a proxy on this machine is
// believed about the address that it forwards, and only about the hop it saw itself.
func address(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsLoopback() {
		hops := strings.Split(r.Header.Get("X-Forwarded-For"), ",")
		if last := net.ParseIP(strings.TrimSpace(hops[len(hops)-1])); last != nil {
			return last.String()
		}
	}
	return host
}

// localPath returns next if it is a path on this site, and otherwise the host list: nobody is
// sent elsewhere by a link to our login page.
func localPath(next string) string {
	u, err := url.Parse(next)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || !strings.HasPrefix(next, "/") ||
		strings.HasPrefix(next, "//") || strings.ContainsAny(next, "\\\r\n\t") || strings.HasPrefix(u.Path, "//") {
		return "/hosts"
	}
	return next
}

// next returns where a login leads that was asked to lead to a path: there if it is a page that
// a browser can open, and otherwise to the host list.
func (c *console) next(path string) string {
	path = localPath(path)
	u, err := url.ParseRequestURI(path)
	if err != nil {
		return "/hosts"
	}
	if rt, ok := c.table.at(http.MethodGet, u); !ok || rt.kind != page || rt.want == saba.Anyone {
		return "/hosts"
	}
	return path
}

// loginPage is page/login.html.
type loginPage struct {
	layout
	Action string // where the form goes
	Setup  bool   // the first account is being made
	Typed  string // the email address, as it was typed
	Error  string
}

func (c *console) loginShow(w http.ResponseWriter, r *http.Request, v visitor) error {
	next := r.URL.Query().Get("next")
	if v.User != "" {
		http.Redirect(w, r, c.next(next), http.StatusSeeOther)
		return nil
	}
	return c.render(w, r, http.StatusOK, "login", loginPage{layout: layout{Title: "Sign in"}, Action: c.loginAction(next)})
}

func (c *console) loginAction(next string) string {
	if next == "" {
		return "/login"
	}
	return "/login?next=" + url.QueryEscape(c.next(next))
}

func (c *console) loginDo(w http.ResponseWriter, r *http.Request, _ visitor) error {
	if err := r.ParseForm(); err != nil {
		return badForm(err)
	}
	email, next := strings.TrimSpace(r.PostForm.Get("email")), r.URL.Query().Get("next")
	again := func(code int, text string) error {
		if len(email) > maxEmail {
			email = ""
		}
		return c.render(w, r, code, "login", loginPage{layout: layout{Title: "Sign in"}, Action: c.loginAction(next), Typed: email, Error: text})
	}
	account, from := "account "+saba.HashSecret(strings.ToLower(email)), "address "+address(r)
	if c.failures.tooMany(c.Now(), account, from) {
		w.Header().Set("Retry-After", "20")
		return again(http.StatusTooManyRequests, "Too many failed tries: wait a minute, then try again.")
	}
	u, ok, err := c.checkPassword(r.Context(), email, r.PostForm.Get("password"))
	if err != nil {
		return err
	}
	if !ok {
		c.failures.failed(c.Now(), account, from)
		c.Log.Warn("a login failed", "from", address(r))
		return again(http.StatusUnauthorized, "No account has this email address and password.")
	}
	return c.enter(w, r, u, c.next(next))
}

// enter signs u in, if that may be done from where r comes, and leads to a page.
func (c *console) enter(w http.ResponseWriter, r *http.Request, u saba.User, to string) error {
	if err := c.admit(r.Context(), r, u.Org); err != nil {
		return err
	}
	if err := c.signIn(w, r, u); err != nil {
		return err
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
	return nil
}

// checkPassword returns the account with this email address and password. An unknown address
// and a wrong password take the same time and give the same answer.
func (c *console) checkPassword(ctx context.Context, email, password string) (saba.User, bool, error) {
	u, err := c.Store.UserByEmail(ctx, email)
	known := err == nil
	if !known {
		if !errors.Is(err, saba.ErrNotFound) {
			return saba.User{}, false, err
		}
		u.PasswordHash = nobodysHash
	}
	ok, err := c.passwords.matches(ctx, password, u.PasswordHash)
	if err != nil || !ok || !known {
		return saba.User{}, false, err
	}
	return u, true, nil
}

func (c *console) logout(w http.ResponseWriter, r *http.Request, v visitor) error {
	if err := c.Store.DeleteSession(r.Context(), v.session.Hash); err != nil {
		return err
	}
	setCookie(w, r, "", -1)
	http.Redirect(w, r, "/login", http.StatusSeeOther)
	return nil
}

// deadLink is page/deadlink.html: a link that does nothing (any more).
type deadLink struct {
	layout
	Invitation bool // it looks like that of an invitation; else like a set-up link
}

func (c *console) setupShow(w http.ResponseWriter, r *http.Request, v visitor) error {
	_, err := c.Store.SetupPending(r.Context(), saba.HashSecret(r.PathValue("token")))
	if errors.Is(err, saba.ErrNotFound) {
		return c.render(w, r, http.StatusNotFound, "deadlink", deadLink{layout: layout{Title: "Set-up link"}})
	}
	if err != nil {
		return err
	}
	return c.render(w, r, http.StatusOK, "login", loginPage{layout: layout{Title: "Set up saba"}, Action: r.URL.EscapedPath(), Setup: true})
}

func (c *console) setupDo(w http.ResponseWriter, r *http.Request, v visitor) error {
	if err := r.ParseForm(); err != nil {
		return badForm(err)
	}
	token := saba.HashSecret(r.PathValue("token"))
	org, err := c.Store.SetupPending(r.Context(), token)
	if errors.Is(err, saba.ErrNotFound) {
		return c.render(w, r, http.StatusNotFound, "deadlink", deadLink{layout: layout{Title: "Set-up link"}})
	}
	if err != nil {
		return err
	}
	email, password := strings.TrimSpace(r.PostForm.Get("email")), r.PostForm.Get("password")
	again := func(err error) error {
		return c.render(w, r, http.StatusBadRequest, "login", loginPage{layout: layout{Title: "Set up saba"}, Action: r.URL.EscapedPath(), Setup: true, Typed: email, Error: sentence(err)})
	}
	if err := validEmail(email); err != nil {
		email = ""
		return again(err)
	}
	if err := validPassword(password); err != nil {
		return again(err)
	}
	u := saba.User{Org: org, Email: email, CreatedAt: c.Now().Unix()}
	if u.ID, err = c.newID(); err != nil {
		return err
	}
	if u.PasswordHash, err = c.passwords.hash(r.Context(), password, c.Random); err != nil {
		return err
	}
	if err := c.Store.CompleteSetup(r.Context(), token, u); err != nil {
		if errors.Is(err, saba.ErrNotFound) { // somebody was faster
			return c.render(w, r, http.StatusNotFound, "deadlink", deadLink{layout: layout{Title: "Set-up link"}})
		}
		return err
	}
	c.Log.Info("the first account was made", "email", email)
	return c.enter(w, r, u, "/hosts")
}

const maxEmail = 254 // RFC 5321 §4.5.3.1.3, without the angle brackets

func validEmail(s string) error {
	a, err := mail.ParseAddress(s)
	if err != nil || a.Address != s || len(s) > maxEmail {
		return saba.Errorf(saba.ErrInvalid, "This is not an email address.")
	}
	return nil
}

// badForm words the failure to read a form.
func badForm(err error) error {
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return saba.Errorf(saba.ErrTooLarge, "The form is larger than %d KiB.", maxForm>>10)
	}
	return saba.Errorf(saba.ErrInvalid, "The form could not be read.")
}

package web

import (
	"errors"
	"net/http"

	"github.com/saba-monitor/saba"
)

// A route is one line of the console's table of contents.
type route struct {
	method  string
	pattern string
	want    saba.Permission
	kind    kind
	handle  func(c *console, w http.ResponseWriter, r *http.Request, v visitor) error
}

// A kind says how a route answers whoever may not use it, and how it words its errors.
type kind int

const (
	page kind = iota // for people: strangers are sent to the login page
	data             // for scripts and images: strangers get a status
)

// A visitor is who a request comes from. The zero value is a stranger.
type visitor struct {
	saba.Principal
	user    saba.User
	session saba.Session
}

// routes lists every address of the console with the permission that it asks. What is open to
// Anyone is what a person needs before there is a session, and nothing else.
var routes = []route{
	{"GET", "/setup/{token}", saba.Anyone, page, (*console).setupShow},
	{"POST", "/setup/{token}", saba.Anyone, page, (*console).setupDo},
	{"GET", "/login", saba.Anyone, page, (*console).loginShow},
	{"POST", "/login", saba.Anyone, page, (*console).loginDo},
	{"GET", "/static/{hash}/{file...}", saba.Anyone, data, (*console).asset},
	{"GET", "/favicon.ico", saba.Anyone, data, (*console).favicon},
	{"GET", "/healthz", saba.Anyone, data, (*console).health},

	{"GET", "/{$}", saba.Read, page, (*console).home},
	{"POST", "/logout", saba.Read, page, (*console).logout},

	{"GET", "/hosts", saba.Read, page, (*console).hostList},
	{"GET", "/hosts/new", saba.ReadWrite, page, (*console).hostNew},
	{"POST", "/hosts/new", saba.ReadWrite, page, (*console).hostNewDo},
	{"GET", "/hosts/new/wait/{key}", saba.Read, page, (*console).hostNewWait},
	{"GET", "/hosts/{id}", saba.Read, page, (*console).hostShow},
	{"GET", "/hosts/{id}/graphs.json", saba.Read, data, (*console).hostGraphs},
	{"GET", "/hosts/{id}/graphs/{graph}", saba.Read, page, (*console).hostGraph},
	{"POST", "/hosts/{id}/status", saba.ReadWrite, page, (*console).hostStatusDo},
	{"GET", "/hosts/{id}/retire", saba.ReadWrite, page, (*console).hostRetire},
	{"POST", "/hosts/{id}/retire", saba.ReadWrite, page, (*console).hostRetireDo},

	{"GET", "/services", saba.Read, page, (*console).serviceList},
	{"GET", "/services/{service}", saba.Read, page, (*console).serviceShow},
	{"GET", "/services/{service}/graphs.json", saba.Read, data, (*console).serviceGraphs},
	{"GET", "/services/{service}/graphs/{graph}", saba.Read, page, (*console).serviceGraph},

	{"GET", "/keys", saba.ReadWrite, page, (*console).keyList},
	{"POST", "/keys", saba.ReadWrite, page, (*console).keyCreate},
	{"GET", "/keys/{id}/revoke", saba.ReadWrite, page, (*console).keyRevoke},
	{"POST", "/keys/{id}/revoke", saba.ReadWrite, page, (*console).keyRevokeDo},

	// Whatever else is asked for: strangers learn nothing, visitors get a page that says so.
	{"", "/", saba.Read, page, (*console).lost},
}

// maxForm bounds the body of a form, in bytes.
const maxForm = 64 << 10

// routes builds the mux from the table.
func (c *console) routes() http.Handler {
	mux := http.NewServeMux()
	for _, rt := range routes {
		pattern := rt.pattern
		if rt.method != "" {
			pattern = rt.method + " " + pattern
		}
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { c.serve(rt, w, r) })
	}
	return mux
}

// serve is the one way to every handler: headers, origin, session, permission, then the
// handler, and its error turned into an answer.
func (c *console) serve(rt route, w http.ResponseWriter, r *http.Request) {
	guard(w.Header())
	var v visitor
	err := c.forgery.Check(r)
	if err != nil {
		err = saba.Errorf(saba.ErrForbidden, "this form was sent from another site: open the page here and send it again")
	} else if v, err = c.authenticate(r); err == nil {
		err = v.Authorize(rt.want)
	}
	if err == nil {
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		if rt.kind == page && r.Method == http.MethodGet && v.User != "" {
			err = c.renewSession(w, r, v)
		}
	}
	if err == nil {
		err = rt.handle(c, w, r, v)
	}
	if err != nil {
		c.fail(rt, w, r, v, err)
	}
}

// guard sets the headers that every answer carries. Scripts, styles and connections only come
// from saba itself, and only its own pages may frame it (the "add a host" page frames its wait).
func guard(h http.Header) {
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; font-src 'self'; frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'self'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-store") // pages are somebody's; assets say otherwise themselves
}

// status returns the HTTP status for an error, by its kind.
func status(err error) int {
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge), errors.Is(err, saba.ErrTooLarge):
		return http.StatusRequestEntityTooLarge
	case errors.Is(err, saba.ErrInvalid):
		return http.StatusBadRequest
	case errors.Is(err, saba.ErrUnauthorized):
		return http.StatusUnauthorized
	case errors.Is(err, saba.ErrForbidden):
		return http.StatusForbidden
	case errors.Is(err, saba.ErrNotFound):
		return http.StatusNotFound
	case errors.Is(err, saba.ErrConflict):
		return http.StatusConflict
	case errors.Is(err, saba.ErrUnavailable):
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

func (c *console) home(w http.ResponseWriter, r *http.Request, _ visitor) error {
	http.Redirect(w, r, "/hosts", http.StatusSeeOther)
	return nil
}

// health answers load balancers: the process serves.
func (c *console) health(w http.ResponseWriter, _ *http.Request, _ visitor) error {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, err := w.Write([]byte("ok\n"))
	return ignoreGone(err)
}

func (c *console) lost(http.ResponseWriter, *http.Request, visitor) error {
	return saba.Errorf(saba.ErrNotFound, "There is no page at this address.")
}

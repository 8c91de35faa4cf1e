package web

import (
	"cmp"
	"errors"
	"net/http"
	"net/url"
	"strings"

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
	user     saba.User
	session  saba.Session
	troubles []trouble    // that a visitor who may do something about them is shown on every page
	open     []saba.Alert // the open alerts, for pages: newest first, maxOpen at most
}

// routes lists every address of the console with the permission that it asks. What is open to
// Anyone is what a person needs before there is a session, and nothing else.
var routes = []route{
	{"GET", "/setup/{token}", saba.Anyone, page, (*console).setupShow},
	{"POST", "/setup/{token}", saba.Anyone, page, (*console).setupDo},
	{"GET", "/join/{token}", saba.Anyone, page, (*console).joinShow},
	{"POST", "/join/{token}", saba.Anyone, page, (*console).joinDo},
	{"GET", "/login", saba.Anyone, page, (*console).loginShow},
	{"POST", "/login", saba.Anyone, page, (*console).loginDo},
	{"GET", "/static/{hash}/{file...}", saba.Anyone, data, (*console).asset},
	{"GET", "/favicon.ico", saba.Anyone, data, (*console).favicon},
	{"GET", "/healthz", saba.Anyone, data, (*console).health},

	{"GET", "/{$}", saba.Read, page, (*console).home},
	{"POST", "/logout", saba.Read, page, (*console).logout},

	{"GET", "/hosts", saba.Read, page, (*console).hostList},
	{"GET", "/hosts/new", saba.Manage, page, (*console).hostNew},
	{"POST", "/hosts/new", saba.Manage, page, (*console).hostNewDo},
	{"GET", "/hosts/new/wait/{key}", saba.Manage, page, (*console).hostNewWait},
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

	{"GET", "/alerts", saba.Read, page, (*console).alertList},
	{"GET", "/alerts/{id}", saba.Read, page, (*console).alertShow},
	{"GET", "/alerts/{id}/graph.svg", saba.Read, data, (*console).alertGraph},
	{"POST", "/alerts/{id}/memo", saba.ReadWrite, page, (*console).alertMemoDo},
	{"POST", "/alerts/{id}/acknowledge", saba.ReadWrite, page, (*console).alertAckDo},
	{"POST", "/alerts/{id}/mute", saba.ReadWrite, page, (*console).alertMuteDo},
	{"POST", "/alerts/{id}/assign", saba.ReadWrite, page, (*console).alertAssignDo},
	{"POST", "/alerts/{id}/close", saba.ReadWrite, page, (*console).alertCloseDo},

	{"GET", "/monitors", saba.Read, page, (*console).monitorList},
	{"GET", "/monitors/new", saba.ReadWrite, page, (*console).monitorNew},
	{"POST", "/monitors/new", saba.ReadWrite, page, (*console).monitorSave},
	{"GET", "/monitors/graph.svg", saba.Read, data, (*console).monitorGraphShow},
	{"GET", "/monitors/{id}", saba.Read, page, (*console).monitorShow},
	{"POST", "/monitors/{id}", saba.ReadWrite, page, (*console).monitorSave},
	{"POST", "/monitors/{id}/mute", saba.ReadWrite, page, (*console).monitorMuteDo},
	{"GET", "/monitors/{id}/delete", saba.ReadWrite, page, (*console).monitorDelete},
	{"POST", "/monitors/{id}/delete", saba.ReadWrite, page, (*console).monitorDeleteDo},

	{"GET", "/downtimes", saba.Read, page, (*console).downtimeList},
	{"GET", "/downtimes/new", saba.ReadWrite, page, (*console).downtimeNew},
	{"POST", "/downtimes/new", saba.ReadWrite, page, (*console).downtimeSave},
	{"GET", "/downtimes/{id}", saba.Read, page, (*console).downtimeShow},
	{"POST", "/downtimes/{id}", saba.ReadWrite, page, (*console).downtimeSave},
	{"GET", "/downtimes/{id}/delete", saba.ReadWrite, page, (*console).downtimeDelete},
	{"POST", "/downtimes/{id}/delete", saba.ReadWrite, page, (*console).downtimeDeleteDo},

	{"GET", "/channels", saba.Read, page, (*console).channelList},
	{"GET", "/channels/new", saba.ReadWrite, page, (*console).channelNew},
	{"POST", "/channels/new", saba.ReadWrite, page, (*console).channelSave},
	{"GET", "/channels/{id}", saba.Read, page, (*console).channelShow},
	{"POST", "/channels/{id}", saba.ReadWrite, page, (*console).channelSave},
	{"POST", "/channels/{id}/test", saba.ReadWrite, page, (*console).channelTestDo},
	{"POST", "/channels/{id}/release", saba.ReadWrite, page, (*console).channelReleaseDo},
	{"GET", "/channels/{id}/delete", saba.ReadWrite, page, (*console).channelDelete},
	{"POST", "/channels/{id}/delete", saba.ReadWrite, page, (*console).channelDeleteDo},

	{"GET", "/notification-groups", saba.Read, page, (*console).notificationGroupList},
	{"GET", "/notification-groups/new", saba.ReadWrite, page, (*console).notificationGroupNew},
	{"POST", "/notification-groups/new", saba.ReadWrite, page, (*console).notificationGroupSave},
	{"GET", "/notification-groups/{id}", saba.Read, page, (*console).notificationGroupShow},
	{"POST", "/notification-groups/{id}", saba.ReadWrite, page, (*console).notificationGroupSave},
	{"GET", "/notification-groups/{id}/delete", saba.ReadWrite, page, (*console).notificationGroupDelete},
	{"POST", "/notification-groups/{id}/delete", saba.ReadWrite, page, (*console).notificationGroupDeleteDo},

	{"GET", "/alert-groups", saba.Read, page, (*console).alertGroupList},
	{"GET", "/alert-groups/new", saba.ReadWrite, page, (*console).alertGroupNew},
	{"POST", "/alert-groups/new", saba.ReadWrite, page, (*console).alertGroupSave},
	{"GET", "/alert-groups/{id}", saba.Read, page, (*console).alertGroupShow},
	{"POST", "/alert-groups/{id}", saba.ReadWrite, page, (*console).alertGroupSave},
	{"GET", "/alert-groups/{id}/delete", saba.ReadWrite, page, (*console).alertGroupDelete},
	{"POST", "/alert-groups/{id}/delete", saba.ReadWrite, page, (*console).alertGroupDeleteDo},

	{"GET", "/log-drains", saba.Read, page, (*console).drainList},
	{"GET", "/log-drains/new", saba.ReadWrite, page, (*console).drainNew},
	{"POST", "/log-drains/new", saba.ReadWrite, page, (*console).drainSave},
	{"GET", "/log-drains/{id}", saba.Read, page, (*console).drainShow},
	{"GET", "/log-drains/{id}/graphs.json", saba.Read, data, (*console).drainGraphs},
	{"GET", "/log-drains/{id}/edit", saba.ReadWrite, page, (*console).drainEdit},
	{"POST", "/log-drains/{id}/edit", saba.ReadWrite, page, (*console).drainSave},
	{"POST", "/log-drains/{id}/suggestions", saba.ReadWrite, page, (*console).suggestionsDo},
	{"GET", "/log-drains/{id}/token", saba.ReadWrite, page, (*console).drainToken},
	{"POST", "/log-drains/{id}/token", saba.ReadWrite, page, (*console).drainTokenDo},
	{"GET", "/log-drains/{id}/delete", saba.ReadWrite, page, (*console).drainDelete},
	{"POST", "/log-drains/{id}/delete", saba.ReadWrite, page, (*console).drainDeleteDo},

	{"GET", "/keys", saba.Manage, page, (*console).keyList},
	{"POST", "/keys", saba.Manage, page, (*console).keyCreate},
	{"GET", "/keys/{id}/revoke", saba.Manage, page, (*console).keyRevoke},
	{"POST", "/keys/{id}/revoke", saba.Manage, page, (*console).keyRevokeDo},

	{"GET", "/members", saba.Manage, page, (*console).memberList},
	{"POST", "/members", saba.Manage, page, (*console).memberInvite},
	{"POST", "/members/link", saba.Manage, page, (*console).memberLink},
	{"POST", "/members/revoke", saba.Manage, page, (*console).memberRevoke},
	{"GET", "/members/{id}/authority", saba.Manage, page, (*console).memberAuthority},
	{"POST", "/members/{id}/authority", saba.Manage, page, (*console).memberAuthorityDo},
	{"GET", "/members/{id}/remove", saba.Manage, page, (*console).memberRemove},
	{"POST", "/members/{id}/remove", saba.Manage, page, (*console).memberRemoveDo},

	{"GET", "/networks", saba.Manage, page, (*console).networksShow},
	{"POST", "/networks", saba.Manage, page, (*console).networksDo},

	// Whatever else is asked for: strangers learn nothing, visitors get a page that says so.
	{"", "/", saba.Read, page, (*console).lost},
}

// maxForm bounds the body of a form, in bytes. The longest is the memo of an alert, of which forms write each byte as
// three at worst.
const maxForm = 3*saba.MaxAlertMemo + 1<<10

// A table is the routes by the pattern under which the mux knows them.
type table struct {
	mux    *http.ServeMux
	routes map[string]route
}

// newTable builds the mux from the list of routes.
func newTable(c *console) table {
	t := table{http.NewServeMux(), map[string]route{}}
	for _, rt := range routes {
		pattern := strings.TrimLeft(rt.method+" "+rt.pattern, " ")
		t.routes[pattern] = rt
		t.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			this := rt
			if rt.method == "" {
				this = c.table.otherwise(r, rt)
			}
			c.serve(this, w, r)
		})
	}
	return t
}

// at returns the route for a method and an address; ok is false where only the page for
// whatever else is.
func (t table) at(method string, u *url.URL) (rt route, ok bool) {
	_, pattern := t.mux.Handler(&http.Request{Method: method, URL: u})
	rt, ok = t.routes[pattern]
	return rt, ok && rt.method != ""
}

// otherwise returns the route for a request that no other one takes: that its method is wrong, if
// the address has others, or else lost.
func (t table) otherwise(r *http.Request, lost route) route {
	var allow []string
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		if rt, ok := t.at(method, r.URL); ok {
			// The permission is that of the first: what strangers may not see has no methods for them.
			if len(allow) == 0 {
				lost.want, lost.kind = rt.want, rt.kind
			}
			allow = append(allow, method)
			if method == http.MethodGet {
				allow = append(allow, http.MethodHead)
			}
		}
	}
	if len(allow) > 0 {
		lost.handle = func(_ *console, w http.ResponseWriter, r *http.Request, _ visitor) error {
			w.Header().Set("Allow", strings.Join(allow, ", "))
			return saba.Errorf(errMethod, "This address takes %s only.", strings.Join(allow, ", "))
		}
	}
	return lost
}

// errMethod is the kind of failure of a request whose method its address does not take: HTTP 405.
var errMethod = errors.New("method not allowed")

// ServeHTTP answers every request; what the mux answers by itself, redirects to a clean path, has the
// headers of all others too.
func (c *console) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	guard(w.Header())
	c.table.mux.ServeHTTP(w, r)
}

// serve is the one way to every handler: origin, session, permission, then the
// handler, and its error turned into an answer.
func (c *console) serve(rt route, w http.ResponseWriter, r *http.Request) {
	var v visitor
	err := c.forgery.Check(r)
	if err != nil {
		err = saba.Errorf(saba.ErrForbidden, "this form was sent from another site: open the page here and send it again")
	} else if v, err = c.authenticate(r); err == nil {
		err = v.Authorize(rt.want)
	}
	if err == nil && rt.want != saba.Anyone {
		if err = c.admit(r.Context(), r, v.Org); err != nil {
			v = visitor{} // no menu either
		}
	}
	if v.Manage && rt.kind == page && c.Troubles != nil {
		for _, text := range c.Troubles() {
			v.troubles = append(v.troubles, trouble{Text: text})
		}
	}
	if v.User != "" && rt.kind == page {
		var failed error
		v.open, failed = c.openAlerts(r.Context(), v.Org)
		err = cmp.Or(err, failed)
	}
	if v.Write && rt.kind == page {
		silent, failed := c.channelTroubles(r.Context(), v.Org)
		v.troubles, err = append(v.troubles, silent...), cmp.Or(err, failed)
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
	case errors.Is(err, errMethod):
		return http.StatusMethodNotAllowed
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

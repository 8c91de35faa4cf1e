package web

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/saba-monitor/saba"
)

// Whatever the query and the form of whatever page hold, signed in or not, nothing of the server breaks.
func FuzzPages(f *testing.F) {
	g := newRig(f, time.Now)
	h := g.host(saba.Host{Name: "web-1", Roles: []saba.RoleName{{Service: "shop", Role: "web"}}})
	g.fill(h, 5*time.Minute, map[string]func(int64) float64{"loadavg5": wave(1, 0, 2), "custom.a.b": wave(2, 0, 9)})
	g.fillSeries(saba.Series{Org: g.org.ID, Service: "shop"}, 5*time.Minute, map[string]func(int64) float64{"orders.web": wave(3, 0, 9)})
	sessions := []string{"", g.session(), "\xff"}
	for i := range routes {
		f.Add(uint16(i), byte(1), "range=6h", "name=x&read=1")
		f.Add(uint16(i), byte(0), "from=9e99&to=%ff", "email=a%40b.c&password=x")
	}
	for _, s := range []string{"q=%00%ff&status=%27&role=%3A&sort=cpu&page=-1", "from=-9223372036854775808&to=9223372036854775807", "range=1y&names=a&names=&since=NaN", "next=//evil", "%", ";", strings.Repeat("a=b&", 3000)} {
		for i := 0; i < len(routes); i += 5 {
			f.Add(uint16(i), byte(1), s, s)
		}
	}
	for i, rt := range routes {
		if rt.pattern == "/log-drains/new" { // a form of many rows
			f.Add(uint16(i), byte(1), "service=shop", "do=draft&name=app&service=shop&rules.name=a&rules.type=timing&rules.match=(?P<ms>[0-9]%2B)ms&rules.metric=http.${ms}&rules.value=ms&rules.unit=seconds&try=took+12ms%0Asample%23a=1")
			f.Add(uint16(i), byte(1), "", "do=remove:1&rules.match=((((&rules.match=%ff&rules.key=a&rules.metric=${&rules.type=&rules.unit=x")
			f.Add(uint16(i), byte(1), "", "do=save&name=app&service=shop&rules.name=a&rules.name=b&rules.key=level&rules.metric=log.${level}&rules.type=counter&prefix=.&try=%00")
		}
	}
	handler := g.server.Config.Handler
	f.Fuzz(func(t *testing.T, page uint16, session byte, query, form string) {
		rt := routes[int(page)%len(routes)]
		if rt.pattern == "/logout" {
			return // it would end the session for all others
		}
		method := rt.method
		if method == "" {
			method = http.MethodGet
		}
		req := httptest.NewRequest(method, concrete(rt.pattern, h), strings.NewReader(form))
		req.URL.RawQuery = query
		if method == http.MethodPost {
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		if s := sessions[int(session)%len(sessions)]; s != "" {
			req.Header.Set("Cookie", sessionCookie+"="+url.QueryEscape(s))
		}
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, req)
		if rt.pattern == "/services" && sessions[int(session)%len(sessions)] == sessions[1] && w.Code != http.StatusOK {
			t.Errorf("the owner's session is not good: %d", w.Code)
		}
		if w.Code >= 500 {
			t.Errorf("%s %s?%.200s with %.200q: %d %.300s", method, rt.pattern, query, form, w.Code, w.Body)
		}
		if w.Header().Get("Content-Security-Policy") == "" {
			t.Errorf("%s %s?%.200s: an answer without a policy", method, rt.pattern, query)
		}
	})
}

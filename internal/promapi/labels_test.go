package promapi

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/saba-monitor/saba"
)

const manySeries = 1000

func TestHostsServicesAndRolesAreLabels(t *testing.T) {
	r := newRig(t, limits{}, manySeries)
	const (
		web1   = "__name__=loadavg5 host=web1 host_name=web1.example role=web service=shop"
		web2   = "__name__=loadavg5 host=web2 host_name=web2.example role=db,web service=shop"
		db1    = "__name__=loadavg5 host=db1 host_name=db1.example role=db service=blog,shop"
		lone   = "__name__=loadavg5 host=lone host_name=lone.example"
		gone   = "__name__=loadavg5 host=gone"
		orders = "__name__=orders service=shop"
	)
	for name, tt := range map[string]struct {
		match string
		want  []string
	}{
		"every host once":                       {`loadavg5`, []string{db1, gone, lone, web1, web2}},
		"a role of a service":                   {`{__name__="loadavg5", role="web", service="shop"}`, []string{web1, strings.Replace(web2, "db,web", "web", 1)}},
		"a role of any service":                 {`loadavg5{role="db"}`, []string{db1, strings.Replace(web2, "db,web", "db", 1)}},
		"one service of several":                {`loadavg5{service="blog"}`, []string{strings.Replace(db1, "blog,shop", "blog", 1)}},
		"role and service are of one pair":      {`loadavg5{role="web",service="blog"}`, nil},
		"a role by pattern":                     {`loadavg5{role=~"w.*"}`, []string{web1, strings.Replace(web2, "db,web", "web", 1)}},
		"hosts without a role":                  {`loadavg5{role=""}`, []string{gone, lone}},
		"a role, but not that one":              {`loadavg5{role!="web",role!=""}`, []string{db1, strings.Replace(web2, "db,web", "db", 1)}},
		"by the name of the host":               {`{host_name="lone.example"}`, []string{lone}},
		"by its id":                             {`{host="web1"}`, []string{web1}},
		"metrics of a service":                  {`{__name__=~".+",service="shop",host=""}`, []string{orders}},
		"a service, its hosts and its metrics":  {`{service="blog"}`, []string{strings.Replace(db1, "blog,shop", "blog", 1)}},
		"services by negation":                  {`{__name__="orders",service!="blog"}`, []string{orders}},
		"metrics of services have no role":      {`orders{role!=""}`, nil},
		"retired hosts keep their samples only": {`loadavg5{host="gone",role="web"}`, nil},
		"org is no label":                       {`loadavg5{org="org1"}`, nil},
		"nor anything but absent":               {`loadavg5{org="",host="web1"}`, []string{web1}},
		"what others have stays theirs":         {`secret`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			if got, want := r.series(tt.match), strings.Join(tt.want, "\n"); got != want {
				t.Errorf("%s:\n%s\nwant\n%s", tt.match, got, want)
			}
		})
	}
}

func TestARenamedServiceHasItsNewNameAsLabel(t *testing.T) {
	r := newRig(t, limits{}, manySeries)
	r.check(r.store.RenameService(r.Context(), "org1", "shop", saba.Service{Name: "store"}))
	r.check(r.store.CreateService(r.Context(), "org1", saba.Service{Name: "shop"}))
	a := r.write(protocol1, "?service=shop", write1(testSeries{[]string{"__name__", "orders"}, []float64{0, 3}}))
	if a.status != http.StatusNoContent {
		t.Fatalf("write: %d %s", a.status, a.body)
	}
	const orders, others = "__name__=orders service=store", "__name__=orders service=shop"
	for match, want := range map[string]string{
		`orders`:                           others + "\n" + orders,
		`orders{service="store"}`:          orders,
		`orders{service="shop"}`:           others,
		`orders{service=~"s.o.+"}`:         others + "\n" + orders,
		`orders{service!~"sh.*"}`:          orders,
		`{service="shop.2"}`:               "",
		`loadavg5{role="web",host="web1"}`: "__name__=loadavg5 host=web1 host_name=web1.example role=web service=store",
	} {
		if got := r.series(match); got != want {
			t.Errorf("%s:\n%s\nwant\n%s", match, got, want)
		}
	}
	if got, want := r.get("/label/service/values"), `["blog","shop","store"]`; got != want {
		t.Errorf("values of service are %s, want %s", got, want)
	}
}

func TestLabelsAndTheirValues(t *testing.T) {
	r := newRig(t, limits{}, manySeries)
	for _, tt := range []struct {
		path, want string
		params     []string
	}{
		{"/labels", `["__name__","host","host_name","role","service"]`, nil},
		{"/labels", `["__name__","service"]`, []string{"match[]", "orders"}},
		{"/label/__name__/values", `["loadavg5","orders"]`, nil},
		{"/label/role/values", `["db","web"]`, nil},
		{"/label/service/values", `["blog","shop"]`, nil},
		{"/label/host_name/values", `["web1.example","web2.example"]`, []string{"match[]", `{role="web"}`}},
		{"/label/U__host__name/values", `["lone.example"]`, []string{"match[]", `{host="lone"}`}},
		{"/label/org/values", `[]`, nil},
		{"/label/host/values", `["db1"]`, []string{"limit", "1"}},
		{"/label/host/values", `[]`, []string{"end", "1600000000"}},
		{"/series", `[]`, []string{"match[]", "absent"}},
		{"/metadata", `{}`, nil},
	} {
		if got := r.get(tt.path, tt.params...); got != tt.want {
			t.Errorf("%s %v = %s, want %s", tt.path, tt.params, got, tt.want)
		}
	}
	if got := r.get("/status/buildinfo"); !strings.Contains(got, `"application":"saba"`) || !strings.Contains(got, `"version":"3.`) {
		t.Errorf("buildinfo = %s", got)
	}
	r.wantFailure(r.ask(keyRead, "/series"), http.StatusBadRequest, "bad_data", "no match[]")
	r.wantFailure(r.ask(keyRead, "/series", "match[]", `{a=""}`), http.StatusBadRequest, "bad_data", "non-empty matcher")
	r.wantFailure(r.ask(keyRead, "/series", "match[]", `{`), http.StatusBadRequest, "bad_data", "match[]")
	r.wantFailure(r.ask(keyRead, "/labels", "start", "x"), http.StatusBadRequest, "bad_data", "start")
	r.wantFailure(r.ask(keyRead, "/labels", "start", "2", "end", "1"), http.StatusBadRequest, "bad_data", "end")
	r.wantFailure(r.ask(keyRead, "/labels", "limit", "-1"), http.StatusBadRequest, "bad_data", "limit")
	r.wantFailure(r.ask(keyRead, "/nothing"), http.StatusNotFound, "not_found", "/nothing")
	a := r.send(http.MethodDelete, "/api/prom/v1/series", keyBoth, "")
	if r.wantFailure(a, http.StatusMethodNotAllowed, "bad_data", "DELETE"); a.header.Get("Allow") != "GET, POST" {
		t.Errorf("Allow: %q", a.header.Get("Allow"))
	}
	if strings.Contains(r.log.String(), "level=ERROR") {
		t.Errorf("the mistakes of a client are in the log:\n%s", r.log)
	}
}

func TestTooManySeriesAreRefused(t *testing.T) {
	l := limits{}.orDefault()
	l.series = 3
	r := newRig(t, l, manySeries)
	r.wantFailure(r.ask(keyRead, "/series", "match[]", "loadavg5"), http.StatusUnprocessableEntity, "execution", "more than 3 series")
	if got := r.series(`loadavg5{role="web"}`); strings.Count(got, "\n") != 1 {
		t.Errorf("two series are refused: %s", got)
	}
	// What a data source asks for first is answered from the indexes, as if each series had been looked at.
	whole := newRig(t, limits{}, manySeries)
	all := []string{"match[]", `{__name__=~".+"}`}
	r.wantFailure(r.ask(keyRead, "/labels", all...), http.StatusUnprocessableEntity, "execution", "more than 3 series")
	for _, path := range []string{"/labels", "/label/__name__/values", "/label/host/values", "/label/host_name/values", "/label/service/values", "/label/role/values", "/label/none/values"} {
		if got, want := r.get(path), whole.get(path, all...); got != want {
			t.Errorf("%s = %s, and of all series together %s", path, got, want)
		}
	}
}

func TestEveryCallAsksForItsPermissionAndShowsOneOrganization(t *testing.T) {
	r := newRig(t, limits{}, manySeries)
	for _, rt := range routes() {
		path := strings.Replace(rt.path, "{name}", "__name__", 1) + "?match[]=%7Bservice%3D%22shop%22%7D&query=loadavg5&time=1700000100&start=1700000100&end=1700000100&step=60"
		for _, method := range rt.methods {
			for _, key := range []string{"", "stranger", keyRead, keyWrite, keyBoth, keyForeign} {
				allowed := map[string]bool{keyBoth: true, keyForeign: true, keyRead: rt.permission == saba.Read, keyWrite: rt.permission == saba.Write}[key]
				// The body says nothing, so that a write is refused for its form.
				a := r.send(method, path, key, "")
				switch {
				case key == "" || key == "stranger":
					if a.status != http.StatusUnauthorized || a.header.Get("WWW-Authenticate") == "" {
						t.Errorf("%s %s with key %q: %d %s", method, rt.path, key, a.status, a.body)
					}
				case !allowed:
					if a.status != http.StatusForbidden {
						t.Errorf("%s %s with key %q: %d %s", method, rt.path, key, a.status, a.body)
					}
				case a.status == http.StatusForbidden || a.status == http.StatusUnauthorized || a.status >= 500:
					t.Errorf("%s %s with key %q: %d %s", method, rt.path, key, a.status, a.body)
				}
				for _, theirs := range []string{"web1.example", "db1", "orders", "quiet", "blog"} {
					if key == keyForeign && strings.Contains(a.body, theirs) {
						t.Errorf("%s %s shows %s to another organization: %s", method, rt.path, theirs, a.body)
					}
				}
				for _, theirs := range []string{"web1x", "secret"} {
					if key != keyForeign && strings.Contains(a.body, theirs) {
						t.Errorf("%s %s shows %s of another organization: %s", method, rt.path, theirs, a.body)
					}
				}
			}
		}
	}
}

func TestKeysAreOfUseFromTheNetworksOfTheirOrganization(t *testing.T) {
	r := newRig(t, limits{}, manySeries)
	for name, tt := range map[string]struct {
		networks []string
		allowed  bool
	}{
		"from elsewhere": {[]string{"192.0.2.0/24"}, false},
		"from here":      {[]string{"192.0.2.0/24", "127.0.0.0/8"}, true},
		"from anywhere":  {nil, true},
	} {
		if err := r.store.SetNetworks(t.Context(), "org1", saba.SurfaceAPI, tt.networks); err != nil {
			t.Fatal(err)
		}
		for _, rt := range routes() {
			a := r.send(rt.methods[0], strings.Replace(rt.path, "{name}", "role", 1), keyBoth, "")
			if (a.status != http.StatusForbidden) != tt.allowed {
				t.Errorf("%s, %s: %d %s", name, rt.path, a.status, a.body)
			}
			if a := r.send(rt.methods[0], strings.Replace(rt.path, "{name}", "role", 1), keyForeign, ""); a.status == http.StatusForbidden {
				t.Errorf("%s, %s: another organization's key is refused: %s", name, rt.path, a.body)
			}
		}
	}
}

func TestKeysComeInThreeWays(t *testing.T) {
	r := newRig(t, limits{}, manySeries)
	const path = "/api/prom/api/v1/labels"
	for name, headers := range map[string][]string{
		"bearer token":         {"Authorization", "bearer " + keyRead},
		"X-Api-Key":            {"X-Api-Key", keyRead},
		"password of any user": {"Authorization", "Basic YW55Ym9keTpzYWJhX3JlYWQ="},
	} {
		if a := r.send(http.MethodGet, path, "", "", headers...); a.status != http.StatusOK {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
	if a := r.send(http.MethodGet, path, "", "", "Authorization", "Basic c2FiYV9yZWFkOng="); a.status != http.StatusUnauthorized {
		t.Errorf("a key in place of the user's name: %d", a.status)
	}
}

func TestAGateHoldsBackAndLetsGo(t *testing.T) {
	g := newGate(1, time.Millisecond)
	leave, err := g.enter(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := g.enter(t.Context()); err == nil || !strings.Contains(err.Error(), "1 such requests") {
		t.Errorf("a second one: %v", err)
	}
	leave()
	if leave, err = g.enter(t.Context()); err != nil {
		t.Errorf("after the first left: %v", err)
	} else {
		leave()
	}
}

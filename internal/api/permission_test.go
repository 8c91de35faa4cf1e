package api

import (
	"net/http"
	"strings"
	"testing"

	"github.com/saba-monitor/saba"
)

// sampleBody returns a body that a route takes, so that only the key decides.
func sampleBody(r route, host string) string {
	switch path := r.path; {
	case r.limit == 0:
		return ""
	case path == "/hosts" || r.method == http.MethodPut && path == "/hosts/{host}":
		return `{"name":"x","meta":{}}`
	case strings.HasSuffix(path, "/status"):
		return `{"status":"working"}`
	case path == "/hosts/bulk-update-statuses":
		return `{"ids":["` + host + `"],"status":"working"}`
	case path == "/hosts/bulk-retire":
		return `{"ids":["` + host + `"]}`
	case strings.HasSuffix(path, "/role-fullnames"):
		return `{"roleFullnames":["shop:web"]}`
	case path == "/tsdb":
		return `[{"hostId":"` + host + `","name":"stolen","time":1700000040,"value":666}]`
	case strings.HasSuffix(path, "/tsdb"):
		return `[{"name":"stolen","time":1700000040,"value":666}]`
	case path == "/graph-defs":
		return `{"name":"custom.g"}`
	case path == "/monitoring/checks/report":
		return `{"reports":[{"source":{"type":"host","hostId":"` + host + `"},"name":"stolen","status":"OK","message":"","occurredAt":1700000040}]}`
	case path == "/services":
		return `{"name":"other","memo":""}`
	case path == "/services/{service}":
		return `{"name":"shop","memo":"changed"}`
	case path == "/services/{service}/roles/{role}":
		return `{"name":"web","memo":"changed"}`
	case path == "/services/{service}/roles":
		return `{"name":"other","memo":""}`
	case path == "/monitors/preview":
		return `{"monitor":` + objectBodies(host)["/monitors"] + `,"days":1}`
	case path == "/drains/{drain}/token":
		return `{"token":"d.8f0e2c4a-1b2c-4d3e-8f9a-0b1c2d3e4f5a"}`
	case path == "/invitations/revoke":
		return `{"email":"guest@example.com"}`
	}
	for prefix, body := range objectBodies(host) {
		if strings.HasPrefix(r.path, prefix) {
			if r.method == http.MethodPut { // names are taken once
				return strings.NewReplacer(`"name":"furnished"`, `"name":"furnished again"`, `"urlPath":"furnished"`, `"urlPath":"furnished/again"`).Replace(body)
			}
			return body
		}
	}
	return `[]`
}

// furnish gives a rig one of everything, and returns how a route's path is filled in.
func furnish(r *rig) (fill func(route) string, host string) {
	host = r.register(`{"name":"a","meta":{},"customIdentifier":"ident","roleFullnames":["shop:web"],"checks":[{"name":"ssh"}]}`)
	checks, err := r.store.Checks(r.Context(), "org1", host)
	if err != nil || len(checks) != 1 {
		r.Fatal(checks, err)
	}
	r.post("/graph-defs/create", `[{"name":"custom.g"}]`)
	r.post("/tsdb", `[{"hostId":"`+host+`","name":"m","time":1700000040,"value":1}]`)
	r.post("/services/shop/tsdb", `[{"name":"m","time":1700000040,"value":1}]`)
	for _, owner := range []string{"/hosts/" + host, "/services/shop", "/services/shop/roles/web"} {
		r.put(owner+"/metadata/ns", `{"secret":1}`)
	}
	ids := r.objects(host)
	return func(rt route) string {
		p := strings.NewReplacer("{host}", host, "{check}", checks[0].ID, "{service}", "shop", "{role}", "web", "{graph}", "m",
			"{namespace}", "ns", "{identifier}", "ident").Replace(rt.path)
		p = ids.Replace(p)
		switch {
		case strings.HasSuffix(p, "/metrics"):
			p += "?name=m&from=1700000000&to=1700000100"
		case strings.HasSuffix(p, "/latest"):
			p += "?name=m&hostId=" + host
		case p == "/graph-annotations" && rt.method == http.MethodGet:
			p += "?service=shop&from=0&to=2000000000"
		}
		return p
	}, host
}

func TestEveryRouteAsksForItsPermission(t *testing.T) {
	r := newRig(t)
	fill, host := furnish(r)
	// Deletions and retirement come last, so that the others find what they need.
	var order []route
	turn := func(rt route) int {
		switch {
		case strings.Contains(rt.path, "retire"):
			return 2
		case rt.method == http.MethodDelete, strings.Contains(rt.path, "revoke"):
			return 1
		}
		return 0
	}
	for now := range 3 {
		for _, rt := range routes() {
			if turn(rt) == now {
				order = append(order, rt)
			}
		}
	}
	for _, rt := range order {
		path, body, name := fill(rt), sampleBody(rt, host), rt.method+" "+rt.path
		for key, want := range map[string]int{"": http.StatusUnauthorized, "saba_unknown": http.StatusUnauthorized} {
			r.wantError(r.send(rt.method, path, key, body), want, "API key", name)
		}
		for _, k := range []struct {
			key         string
			read, write bool
		}{{keyRead, true, false}, {keyWrite, false, true}} {
			a := r.send(rt.method, path, k.key, body)
			allowed := (saba.Principal{Org: "org1", Read: k.read, Write: k.write}).Authorize(rt.permission) == nil
			if !allowed {
				forbidden := http.StatusForbidden
				if strings.HasPrefix(rt.path, "/aws") {
					forbidden = http.StatusUnauthorized
				}
				r.wantError(a, forbidden, "key", name+" with "+k.key)
			} else if unserved(rt) {
				r.wantError(a, http.StatusNotFound, "saba", name)
			} else if a.status != http.StatusOK {
				t.Errorf("%s with %s: %d %s, want 200", name, k.key, a.status, a.body)
			}
		}
		// A deletion may have taken along what a later one is for.
		if a := r.send(rt.method, path, keyBoth, body); a.status != http.StatusOK && (a.status != http.StatusNotFound || rt.method != http.MethodDelete && !unserved(rt)) {
			t.Errorf("%s with both flags: %d %s, want 200", name, a.status, a.body)
		}
	}
}

func TestPermissionsAreTheProtocols(t *testing.T) { // trap 18
	for _, rt := range routes() {
		want := saba.ReadWrite
		switch {
		case rt.method == http.MethodGet, rt.path == "/traces", rt.path == "/monitors/preview": // a search, a question
			want = saba.Read
		case strings.HasSuffix(rt.path, "/role-fullnames"):
			want = saba.Write
		}
		if rt.permission != want {
			t.Errorf("%s %s asks for permission %d, want %d", rt.method, rt.path, rt.permission, want)
		}
	}
}

func TestAForeignKeySeesAndChangesNothing(t *testing.T) {
	r := newRig(t)
	fill, host := furnish(r)
	before := map[string]string{}
	look := func(into map[string]string) {
		for _, rt := range routes() {
			if rt.method == http.MethodGet && !unserved(rt) {
				into[rt.path] = r.get(fill(rt))
			}
		}
	}
	look(before)
	for _, rt := range routes() {
		path, name := fill(rt), rt.method+" "+rt.path
		if strings.Contains(path, "{") {
			t.Errorf("%s is asked for as %s: the test has no object for it", name, path)
		}
		a := r.send(rt.method, path, keyForeign, sampleBody(rt, host))
		switch {
		case unserved(rt):
			r.wantError(a, http.StatusNotFound, "saba", name)
		case rt.path == "/graph-annotations", strings.HasSuffix(rt.path, "/revoke"):
			r.wantError(a, http.StatusNotFound, "no ", name)
		case rt.path == "/invitations" && rt.method == http.MethodPost:
			if a.status != http.StatusOK { // nobody learns who is invited elsewhere
				t.Errorf("%s: %d %s, want 200", name, a.status, a.body)
			}
		case strings.Contains(rt.path, "{"), strings.Contains(rt.path, "/bulk-"):
			r.wantError(a, http.StatusNotFound, "no ", name)
		case rt.method == http.MethodPost && objectBodies(host)[rt.path] != "":
			// What the body names is not there for the other organization.
			if rt.path != "/aws-integrations" && !strings.HasPrefix(rt.path, "/settings") {
				r.wantError(a, http.StatusBadRequest, "does not exist", name)
			}
		case rt.path == "/monitors/preview":
			r.wantError(a, http.StatusBadRequest, "does not exist", name)
		case rt.path == "/graph-defs":
			r.wantError(a, http.StatusBadRequest, "custom.g", name)
		case a.status != http.StatusOK:
			t.Errorf("%s: %d %s, want 200", name, a.status, a.body)
		}
		for _, secret := range []string{host, `"shop"`, `"m"`, "secret", `"first"`, "furnished", "guest@"} {
			if rt.method == http.MethodGet && a.status == http.StatusOK && strings.Contains(a.body, secret) {
				t.Errorf("%s shows a foreign organization %s", name, a.body)
			}
		}
	}
	after := map[string]string{}
	look(after)
	for path, body := range before {
		if after[path] != body {
			t.Errorf("a foreign key changed GET %s from %s to %s", path, body, after[path])
		}
	}
}

// What a body or a query names is looked for in the organization of the key, like what a path names.
func TestForeignIdsInBodiesAreUnknown(t *testing.T) {
	r := newRig(t)
	fill, host := furnish(r)
	id := func(path string) string { // of the furnished object of a noun
		p := fill(route{path: path})
		return p[strings.LastIndexByte(p, '/')+1:]
	}
	monitor, channel, group := id("/monitors/{monitor}"), id("/channels/{channel}"), id("/notification-groups/{group}")
	widget := func(w string) string {
		return `{"title":"t","memo":"","urlPath":"u","widgets":[{"title":"w","layout":{"x":0,"y":0,"width":6,"height":6},` + w + `}]}`
	}
	for name, tt := range map[string]struct{ path, body string }{
		"scope of a monitor":               {"/monitors", `{"type":"connectivity","scopes":["shop"]}`},
		"role in a scope of a monitor":     {"/monitors", `{"type":"connectivity","excludeScopes":["shop:web"]}`},
		"service of a monitor":             {"/monitors", `{"type":"service","name":"s","service":"shop","metric":"m","operator":">","warning":1,"duration":1}`},
		"service of an external monitor":   {"/monitors", `{"type":"external","name":"e","url":"http://example.com","service":"shop"}`},
		"scope of an anomaly":              {"/monitors", `{"type":"anomalyDetection","name":"a","scopes":["shop:web"],"warningSensitivity":"normal"}`},
		"service of a downtime":            {"/downtimes", `{"name":"d","start":1,"duration":1,"serviceScopes":["shop"]}`},
		"role of a downtime":               {"/downtimes", `{"name":"d","start":1,"duration":1,"roleExcludeScopes":["shop:web"]}`},
		"monitor of a downtime":            {"/downtimes", `{"name":"d","start":1,"duration":1,"monitorScopes":["` + monitor + `"]}`},
		"monitor excluded from a downtime": {"/downtimes", `{"name":"d","start":1,"duration":1,"monitorExcludeScopes":["` + monitor + `"]}`},
		"service of an alert group":        {"/alert-group-settings", `{"name":"s","serviceScopes":["shop"]}`},
		"role of an alert group":           {"/alert-group-settings", `{"name":"s","roleScopes":["shop:web"]}`},
		"monitor of an alert group":        {"/alert-group-settings", `{"name":"s","monitorScopes":["` + monitor + `"]}`},
		"account of a channel":             {"/channels", `{"type":"email","name":"c","userIds":["user1"]}`},
		"channel of a notification group":  {"/notification-groups", `{"name":"g","notificationLevel":"all","childNotificationGroupIds":[],"childChannelIds":["` + channel + `"]}`},
		"child of a notification group":    {"/notification-groups", `{"name":"g","notificationLevel":"all","childNotificationGroupIds":["` + group + `"],"childChannelIds":[]}`},
		"monitor of a notification group":  {"/notification-groups", `{"name":"g","notificationLevel":"all","childNotificationGroupIds":[],"childChannelIds":[],"monitors":[{"id":"` + monitor + `"}]}`},
		"service of a notification group":  {"/notification-groups", `{"name":"g","notificationLevel":"all","childNotificationGroupIds":[],"childChannelIds":[],"services":[{"name":"shop"}]}`},
		"host of a widget":                 {"/dashboards", widget(`"type":"graph","graph":{"type":"host","hostId":"` + host + `","name":"cpu"}`)},
		"host of a value":                  {"/dashboards", widget(`"type":"value","metric":{"type":"host","hostId":"` + host + `","name":"m"}`)},
		"service of a widget":              {"/dashboards", widget(`"type":"graph","graph":{"type":"service","serviceName":"shop","name":"m"}`)},
		"role of a widget":                 {"/dashboards", widget(`"type":"graph","graph":{"type":"role","roleFullname":"shop:web","name":"m"}`)},
		"role of an alert status":          {"/dashboards", widget(`"type":"alertStatus","roleFullname":"shop:web"`)},
	} {
		r.wantError(r.send("POST", tt.path, keyForeign, tt.body), http.StatusBadRequest, "does not exist", name)
		r.post(tt.path, strings.Replace(tt.body, `"urlPath":"u"`, `"urlPath":"`+strings.ReplaceAll(name, " ", "-")+`"`, 1)) // its own organization may
	}
	for _, path := range []string{"/alerts?withClosed=true&nextId=alert1", "/monitoring/checks?nextId=" + id("/monitoring/checks/{check}"), "/tsdb/latest?name=m&hostId=" + host, "/hosts?service=shop", "/hosts?customIdentifier=ident"} {
		a := r.send("GET", path, keyForeign, "")
		if a.status == http.StatusBadRequest && strings.Contains(a.body, "there is no") { // a page that begins nowhere
			continue
		}
		if a.status != http.StatusOK || strings.Contains(a.body, host) || strings.Contains(a.body, "alert1") || strings.Contains(a.body, "ssh") {
			t.Errorf("GET %s with a foreign key: %d %s", path, a.status, a.body)
		}
	}
	r.wantError(r.send("GET", "/alerts/alert1/logs?nextId=alert1000001", keyForeign, ""), http.StatusNotFound, "no alert", "the log of a foreign alert")
	// Roles are made for a host; those of another organization are not those.
	a := r.send("POST", "/hosts", keyForeign, `{"name":"x","meta":{},"roleFullnames":["shop:web"],"customIdentifier":"ident"}`)
	if a.status != http.StatusOK {
		t.Fatalf("a host of a foreign organization with the same names: %d %s", a.status, a.body)
	}
	if got := r.get("/hosts?service=shop&role=web"); strings.Count(got, `"id"`) != 1 {
		t.Errorf("the hosts of the role are %s, want its own alone", got)
	}
}

func TestARevokedKeyIsRefusedAtOnce(t *testing.T) {
	r := newRig(t)
	r.get("/org")
	r.check(r.store.DeleteKey(r.Context(), "org1", "kboth"))
	r.refuse(http.StatusUnauthorized, http.MethodGet, "/org", "")
}

func TestTheKeyMayComeAsABearerToken(t *testing.T) {
	r := newRig(t)
	for header, want := range map[string]int{
		"Bearer " + keyRead:                    200,
		"bearer " + keyRead:                    200,
		"Basic " + keyRead:                     401,
		"Bearer":                               401,
		"Bearer " + saba.HashSecret(keyRead):   401,
		"Bearer " + strings.Repeat("x", 10000): 401,
	} {
		if a := r.send(http.MethodGet, "/org", "", "", "Authorization", header); a.status != want {
			t.Errorf("Authorization: %.40s: %d, want %d", header, a.status, want)
		}
	}
}

func TestTheUseOfAKeyIsNoted(t *testing.T) {
	r := newRig(t)
	for _, at := range []int64{start, start + 30, start + 90} {
		r.clock.Store(at)
		r.get("/org")
	}
	k, err := r.store.KeyByHash(r.Context(), saba.HashSecret(keyBoth))
	if err != nil || k.UsedAt != start+90 {
		t.Errorf("last use %d (%v), want %d", k.UsedAt, err, start+90)
	}
}

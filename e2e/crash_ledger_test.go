package e2e

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	_ "modernc.org/sqlite" // reads what the API does not show
)

// A state is what a thing may be at a moment: each is JSON, or "" where there is no such thing. There is one, and more
// while the server has not answered.
type state []string

const absent = ""

// try notes what the thing may become with the request that is sent now.
func (s *state) try(next string) { *s = append(*s, next) }

// ack notes that the server has answered the last request with 200.
func (s *state) ack() { *s = (*s)[len(*s)-1:] }

// settle compares the state with what the server has, and is that from then on.
func (s *state) settle(got string) error {
	for _, may := range *s {
		if may == absent && got == absent || may != absent && got != absent && covers(decoded(got), decoded(may)) {
			*s = state{may}
			return nil
		}
	}
	return fmt.Errorf("is %q, want one of %q", got, *s)
}

func decoded(text string) (v any) {
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		panic(err) // it was made by json.Marshal
	}
	return v
}

func encoded(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // it is of maps, slices, strings and numbers
	}
	return string(b)
}

// covers says whether got has everything that want has. Lists must be equally long.
func covers(got, want any) bool {
	switch want := want.(type) {
	case map[string]any:
		got, ok := got.(map[string]any)
		for k, w := range want {
			g, there := got[k]
			ok = ok && there && covers(g, w)
		}
		return ok
	case []any:
		got, ok := got.([]any)
		return ok && slices.EqualFunc(got, want, covers)
	}
	return got == want
}

// request sends v as JSON and says whether the server answered with 200. Its answer goes to out, which may be nil.
// Any other answer is an error of the test; no answer is none: the server was killed.
func request(t *testing.T, method, url string, v, out any) (acked bool) {
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(encoded(v)))
	if err != nil {
		t.Error(err)
		return false
	}
	req.Header.Set("X-Api-Key", key)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return false
	}
	if resp.StatusCode != http.StatusOK {
		t.Errorf("%s %s of %v answered %d: %s", method, url, v, resp.StatusCode, b)
		return false
	}
	if out != nil {
		if err := json.Unmarshal(b, out); err != nil {
			t.Errorf("%s %s answered %q: %v", method, url, b, err)
		}
	}
	return true
}

// curves are the series of one writer: in each round new ones, over five hours that are present, past or both.
type curves struct {
	host   string
	random *rand.Rand
	rounds []*curvesOfRound
	acked  int // points
}

type curvesOfRound struct {
	first int64 // its first minute, in Unix seconds
	names []string
	at    map[string]map[int64]*state // by name and time
}

const (
	curvesARound = 4
	curveMinutes = 300
)

func newCurves(t *testing.T, base, name string, random *rand.Rand) *curves {
	t.Helper()
	var r struct{ ID string }
	if !request(t, http.MethodPost, base+"/api/v0/hosts", map[string]any{"name": name, "meta": map[string]any{}}, &r) {
		t.Fatal("a host was not registered")
	}
	return &curves{host: r.ID, random: random}
}

// begin begins a round.
func (c *curves) begin(round int) {
	now := time.Now().Unix() / 60 * 60
	r := &curvesOfRound{first: now - 55*60, at: map[string]map[int64]*state{}} // not late yet for a new series
	if c.random.IntN(2) == 0 {
		r.first = now - 60*int64(60+c.random.IntN(22*60))
	}
	for i := range curvesARound {
		name := fmt.Sprintf("custom.crash.r%d.s%d", round, i)
		r.names = append(r.names, name)
		r.at[name] = map[int64]*state{}
	}
	c.rounds = append(c.rounds, r)
}

// write sends points of the last round until the server is killed. They go forward in time, and some are late or rewrite others.
func (c *curves) write(t *testing.T, base string) {
	r := c.rounds[len(c.rounds)-1]
	minutes := min(curveMinutes, (time.Now().Unix()-r.first)/60)
	for n := int64(0); ; n++ {
		type point struct {
			HostID string  `json:"hostId"`
			Name   string  `json:"name"`
			Time   int64   `json:"time"`
			Value  float64 `json:"value"`
		}
		var points []point
		var tried []*state
		for range 1 + c.random.IntN(30) {
			minute := n
			if n >= minutes || c.random.IntN(10) == 0 {
				minute = c.random.Int64N(min(n+1, minutes))
			}
			p := point{c.host, r.names[c.random.IntN(len(r.names))], r.first + 60*minute, c.random.Float64()}
			if slices.ContainsFunc(points, func(q point) bool { return q.Name == p.Name && q.Time == p.Time }) {
				continue // which of two in one request was not answered cannot be told
			}
			s := r.at[p.Name][p.Time]
			if s == nil {
				s = &state{absent}
				r.at[p.Name][p.Time] = s
			}
			s.try(encoded(p.Value))
			points, tried = append(points, p), append(tried, s)
		}
		if !request(t, http.MethodPost, base+"/api/v0/tsdb", points, nil) {
			return
		}
		for _, s := range tried {
			s.ack()
		}
		c.acked += len(points)
	}
}

// check wants every point of a round as it was acknowledged, and no others.
func (c *curves) check(t *testing.T, base string, round int) {
	t.Helper()
	r := c.rounds[round]
	for _, name := range r.names {
		q := url.Values{"name": {name}, "from": {fmt.Sprint(r.first)}, "to": {fmt.Sprint(r.first + 60*(curveMinutes-1))}}
		var answer struct{ Metrics []sample }
		path := "/api/v0/hosts/" + c.host + "/metrics?" + q.Encode()
		if status := get(t, base, path, &answer); status != http.StatusOK && status != http.StatusNotFound {
			t.Fatalf("GET %s answered %d", path, status)
		}
		got := map[int64]string{}
		for _, s := range answer.Metrics {
			if got[s.Time] = encoded(s.Value); r.at[name][s.Time] == nil {
				t.Errorf("%s has a point at %d that nobody sent: %v", name, s.Time, s.Value)
			}
		}
		for at, s := range r.at[name] {
			if err := s.settle(got[at]); err != nil {
				t.Errorf("the point of %s at %d %v", name, at, err)
			}
		}
	}
}

// A kind of object that people and agents set up.
type kind struct {
	name string
	// body returns what is sent for the n-th state of an object of that name.
	body func(d *diary, name string, n int) map[string]any
	// shown returns what reading shows of such a body; nil means the body itself.
	shown func(d *diary, body map[string]any) map[string]any
	// create, change and remove return method and path of a request; the latter two are nil for kinds that have none.
	create         func(d *diary, o *object) (method, path string)
	change, remove func(d *diary, o *object) (method, path string)
	send           func(d *diary, o *object, body map[string]any) any // what goes over the wire; nil means the body
	// read returns all objects of the kind as JSON, and their ids, by name.
	read func(t *testing.T, base string, db *sql.DB, diaries []*diary) (objects, ids map[string]string)
}

// An object of one writer.
type object struct {
	kind     *kind
	name, id string
	state    state
}

// A diary is what one writer knows of its objects.
type diary struct {
	name, host, service string
	kinds               []*kind
	random              *rand.Rand
	objects             []*object
	made, acked         int
}

func newDiary(t *testing.T, base, name string, kinds []*kind, random *rand.Rand) *diary {
	t.Helper()
	d := &diary{name: name, service: "base-" + name, kinds: kinds, random: random}
	var r struct{ ID string }
	for _, ok := range []bool{
		request(t, http.MethodPost, base+"/api/v0/services", map[string]any{"name": d.service, "memo": ""}, nil),
		request(t, http.MethodPost, base+"/api/v0/services/"+d.service+"/roles", map[string]any{"name": "odd", "memo": ""}, nil),
		request(t, http.MethodPost, base+"/api/v0/services/"+d.service+"/roles", map[string]any{"name": "even", "memo": ""}, nil),
		request(t, http.MethodPost, base+"/api/v0/hosts", map[string]any{"name": "base-" + name, "meta": map[string]any{}}, &r),
	} {
		if !ok {
			t.Fatal("what a writer needs could not be made")
		}
	}
	d.host = r.ID
	return d
}

// parity is one of the two roles of the writer's service.
func (d *diary) parity(n int) string { return []string{"even", "odd"}[n%2] }

// write makes, changes and removes objects until the server is killed.
func (d *diary) write(t *testing.T, base string) {
	const most = 4 // of each kind
	for {
		k := d.kinds[d.random.IntN(len(d.kinds))]
		var mine []*object
		for _, o := range d.objects {
			if o.kind == k {
				mine = append(mine, o)
			}
		}
		var o *object
		if len(mine) > 0 {
			o = mine[d.random.IntN(len(mine))]
		}
		next, to, method, path := any(nil), absent, "", ""
		d.made++
		switch what := d.random.IntN(3); {
		case o == nil || what == 0 && (len(mine) < most || k.remove == nil):
			o = &object{kind: k, name: fmt.Sprintf("%s-%d", d.name, d.made), state: state{absent}}
			d.objects = append(d.objects, o)
			next, to = d.version(o)
			method, path = k.create(d, o)
		case what == 1 && k.change != nil:
			next, to = d.version(o)
			method, path = k.change(d, o)
		case k.remove != nil:
			if method, path = k.remove(d, o); k.send != nil {
				next = k.send(d, o, nil)
			}
		default:
			continue
		}
		o.state.try(to)
		var answer struct{ ID string }
		if !request(t, method, base+"/api/v0"+path, next, &answer) {
			return
		}
		o.state.ack()
		if d.acked++; answer.ID != "" {
			o.id = answer.ID
		}
		if to == absent {
			d.objects = slices.DeleteFunc(d.objects, func(other *object) bool { return other == o })
		}
	}
}

// version returns what is sent for a new state of an object, and what is shown of it then.
func (d *diary) version(o *object) (sent any, shown string) {
	body := o.kind.body(d, o.name, d.made)
	show := body
	if o.kind.shown != nil {
		show = o.kind.shown(d, maps.Clone(body))
	}
	if o.kind.send != nil {
		return o.kind.send(d, o, body), encoded(show)
	}
	return body, encoded(show)
}

// checkDiaries wants every object as it was acknowledged, and no others.
func checkDiaries(t *testing.T, base, file string, kinds []*kind, diaries []*diary) {
	t.Helper()
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Path: file, RawQuery: "mode=ro"}).String())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, k := range kinds {
		got, ids := k.read(t, base, db, diaries)
		for _, d := range diaries {
			d.objects = slices.DeleteFunc(d.objects, func(o *object) bool {
				if o.kind != k {
					return false
				}
				if err := o.state.settle(got[o.name]); err != nil {
					t.Errorf("%s %s %v", k.name, o.name, err)
				}
				o.id = ids[o.name]
				delete(got, o.name)
				return o.state[0] == absent
			})
		}
		for name, text := range got {
			if !strings.HasPrefix(name, "base-") && !strings.HasPrefix(name, "points") {
				t.Errorf("%s %s is there, and is not in the ledger: %s", k.name, name, text)
			}
		}
	}
}

// kindsOfObjects lists them. Each body says its number in several places, so that half of one is noticed.
func kindsOfObjects() []*kind {
	text := func(n int) string { return fmt.Sprint("state ", n) }
	post := func(path string) func(*diary, *object) (string, string) {
		return func(*diary, *object) (string, string) { return http.MethodPost, path }
	}
	with := func(method, path string) func(*diary, *object) (string, string) {
		return func(d *diary, o *object) (string, string) {
			return method, strings.NewReplacer("{id}", o.id, "{name}", o.name, "{host}", d.host, "{service}", d.service).Replace(path)
		}
	}
	// usual is a kind whose list holds everything.
	usual := func(path, list, nameKey string, body func(d *diary, name string, n int) map[string]any) *kind {
		return &kind{name: list, body: body, create: post(path), change: with(http.MethodPut, path+"/{id}"), remove: with(http.MethodDelete, path+"/{id}"),
			read: func(t *testing.T, base string, _ *sql.DB, _ []*diary) (objects, ids map[string]string) {
				return listed(t, base, path, list, nameKey)
			}}
	}
	named := func(d *diary, name string, n int) map[string]any {
		return map[string]any{"name": name, "memo": text(n)}
	}

	hosts := usual("/hosts", "hosts", "name", func(d *diary, name string, n int) map[string]any {
		return map[string]any{"name": name, "displayName": text(n), "customIdentifier": name, "meta": map[string]any{"agent-name": text(n)},
			"roleFullnames": []any{d.service + ":even", d.service + ":odd"}}
	})
	hosts.remove = with(http.MethodPost, "/hosts/{id}/retire")
	hosts.shown = func(d *diary, body map[string]any) map[string]any {
		delete(body, "roleFullnames")
		body["roles"] = map[string]any{d.service: []any{"even", "odd"}}
		return body
	}

	services := usual("/services", "services", "name", named)
	services.change, services.remove = nil, with(http.MethodDelete, "/services/{name}")
	services.read = func(t *testing.T, base string, _ *sql.DB, _ []*diary) (objects, ids map[string]string) {
		return listed(t, base, "/services", "services", "name")
	}

	roles := &kind{name: "roles", body: named, create: with(http.MethodPost, "/services/{service}/roles"), remove: with(http.MethodDelete, "/services/{service}/roles/{name}"),
		read: func(t *testing.T, base string, _ *sql.DB, diaries []*diary) (objects, ids map[string]string) {
			objects = map[string]string{}
			for _, d := range diaries {
				of, _ := listed(t, base, "/services/"+d.service+"/roles", "roles", "name")
				delete(of, "odd")
				delete(of, "even")
				maps.Copy(objects, of)
			}
			return objects, nil
		}}

	dashboards := usual("/dashboards", "dashboards", "title", func(d *diary, name string, n int) map[string]any {
		var widgets []any
		for i := range 2 + n%3 {
			widgets = append(widgets, map[string]any{"type": "markdown", "title": text(n), "markdown": text(n), "layout": map[string]any{"x": 0, "y": i, "width": 24, "height": 1}})
		}
		return map[string]any{"title": name, "memo": text(n), "urlPath": name, "widgets": widgets}
	})
	dashboards.read = func(t *testing.T, base string, _ *sql.DB, _ []*diary) (objects, ids map[string]string) {
		objects, ids = listed(t, base, "/dashboards", "dashboards", "title")
		for name, id := range ids { // the list leaves the widgets out
			objects[name] = raw(t, base, "/dashboards/"+id)
		}
		return objects, ids
	}

	annotations := usual("/graph-annotations", "graphAnnotations", "title", func(d *diary, name string, n int) map[string]any {
		return map[string]any{"title": name, "description": text(n), "from": n, "to": n, "service": d.service, "roles": []any{d.parity(n)}}
	})
	annotations.read = func(t *testing.T, base string, _ *sql.DB, diaries []*diary) (objects, ids map[string]string) {
		objects, ids = map[string]string{}, map[string]string{}
		for _, d := range diaries {
			of, idsOf := listed(t, base, "/graph-annotations?from=0&to=2000000000&service="+d.service, "graphAnnotations", "title")
			maps.Copy(objects, of)
			maps.Copy(ids, idsOf)
		}
		return objects, ids
	}

	metadata := &kind{name: "metadata", body: func(d *diary, name string, n int) map[string]any {
		return map[string]any{"n": n, "again": []any{n, text(n)}}
	}}
	metadata.create, metadata.remove = with(http.MethodPut, "/hosts/{host}/metadata/{name}"), with(http.MethodDelete, "/hosts/{host}/metadata/{name}")
	metadata.change = metadata.create
	metadata.read = func(t *testing.T, base string, _ *sql.DB, diaries []*diary) (objects, ids map[string]string) {
		objects = map[string]string{}
		for _, d := range diaries {
			of, _ := listed(t, base, "/hosts/"+d.host+"/metadata", "metadata", "namespace")
			for name := range of {
				objects[name] = raw(t, base, "/hosts/"+d.host+"/metadata/"+name)
			}
		}
		return objects, nil
	}

	// The API does not show definitions and reports: they are read from the database.
	defs := &kind{name: "graph definitions", body: func(d *diary, name string, n int) map[string]any {
		graph := "custom." + name
		return map[string]any{"name": graph, "displayName": text(n), "metrics": []any{
			map[string]any{"name": graph + ".a", "displayName": text(n)}, map[string]any{"name": graph + ".b", "displayName": text(n)}}}
	}}
	defs.create, defs.remove = post("/graph-defs/create"), with(http.MethodDelete, "/graph-defs")
	defs.change = defs.create
	defs.send = func(d *diary, o *object, body map[string]any) any {
		if body == nil {
			return map[string]any{"name": "custom." + o.name}
		}
		return []any{body}
	}
	defs.read = func(t *testing.T, _ string, db *sql.DB, _ []*diary) (objects, ids map[string]string) {
		return queried(t, db, `SELECT substr(name, 8), json_object('name', name, 'displayName', display_name, 'metrics', json(metrics)) FROM graph_defs`), nil
	}

	reports := &kind{name: "check reports", body: func(d *diary, name string, n int) map[string]any {
		return map[string]any{"source": map[string]any{"type": "host", "hostId": d.host}, "name": name, "status": []string{"OK", "WARNING", "CRITICAL"}[n%3],
			"message": text(n), "occurredAt": time.Now().Unix()}
	}}
	reports.create = post("/monitoring/checks/report")
	reports.shown = func(d *diary, body map[string]any) map[string]any {
		delete(body, "source")
		body["host"] = d.host
		return body
	}
	reports.send = func(d *diary, o *object, body map[string]any) any {
		return map[string]any{"reports": []any{body}}
	}
	reports.read = func(t *testing.T, _ string, db *sql.DB, _ []*diary) (objects, ids map[string]string) {
		return queried(t, db, `SELECT c.name, json_object('host', c.host, 'name', c.name, 'status', r.status, 'message', r.message, 'occurredAt', r.occurred_at)
			FROM checks c JOIN check_reports r ON r.check_id = c.id`), nil
	}

	return []*kind{
		hosts, services, roles, dashboards, annotations, metadata, defs, reports,
		usual("/monitors", "monitors", "name", func(d *diary, name string, n int) map[string]any {
			return map[string]any{"type": "host", "name": name, "memo": text(n), "metric": "custom.n", "operator": ">", "warning": n, "critical": n + 1,
				"duration": 3, "scopes": []any{d.service}, "isMute": n%2 == 0}
		}),
		usual("/channels", "channels", "name", func(d *diary, name string, n int) map[string]any {
			return map[string]any{"type": "webhook", "name": name, "url": fmt.Sprint("https://example.com/", n), "events": []any{"alert"}}
		}),
		usual("/notification-groups", "notificationGroups", "name", func(d *diary, name string, n int) map[string]any {
			return map[string]any{"name": name, "notificationLevel": []string{"all", "critical"}[n%2], "childNotificationGroupIds": []any{}, "childChannelIds": []any{},
				"services": []any{map[string]any{"name": d.service}}}
		}),
		usual("/downtimes", "downtimes", "name", func(d *diary, name string, n int) map[string]any {
			return map[string]any{"name": name, "memo": text(n), "start": 2_000_000_000 + n, "duration": 1 + n, "serviceScopes": []any{d.service}}
		}),
	}
}

// raw returns an answer that must be 200.
func raw(t *testing.T, base, path string) string {
	t.Helper()
	var v json.RawMessage
	if status := get(t, base, "/api/v0"+path, &v); status != http.StatusOK {
		t.Fatalf("GET %s answered %d", path, status)
	}
	return string(bytes.TrimSpace(v))
}

// listed returns the elements of a list, and their ids, by name.
func listed(t *testing.T, base, path, list, nameKey string) (objects, ids map[string]string) {
	t.Helper()
	var answer map[string]json.RawMessage
	if err := json.Unmarshal([]byte(raw(t, base, path)), &answer); err != nil {
		t.Fatalf("GET %s: %v", path, err)
	}
	var elements []map[string]any
	if err := json.Unmarshal(answer[list], &elements); err != nil {
		t.Fatalf("GET %s: %v", path, err)
	}
	objects, ids = map[string]string{}, map[string]string{}
	for _, e := range elements {
		name, _ := e[nameKey].(string)
		if e["type"] == "connectivity" || e["type"] == "group-default" {
			continue // every organization has one
		}
		if _, twice := objects[name]; twice {
			t.Errorf("GET %s has %q twice", path, name)
		}
		objects[name] = encoded(e)
		ids[name], _ = e["id"].(string)
	}
	return objects, ids
}

// queried returns what a query of name and JSON finds.
func queried(t *testing.T, db *sql.DB, query string) map[string]string {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	objects := map[string]string{}
	for rows.Next() {
		var name, text string
		if err := rows.Scan(&name, &text); err != nil {
			t.Fatal(err)
		}
		objects[name] = text
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return objects
}

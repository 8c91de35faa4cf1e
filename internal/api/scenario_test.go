package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/saba-monitor/saba"
)

// names returns the host names that a list has, in its order.
func (r *rig) names(query string) []string {
	r.Helper()
	var out struct{ Hosts []strictHost }
	if err := json.Unmarshal([]byte(r.get("/hosts"+query)), &out); err != nil {
		r.Fatalf("a strict client cannot read GET /hosts%s: %v", query, err)
	}
	names := []string{}
	for _, h := range out.Hosts {
		names = append(names, h.Name)
	}
	return names
}

func TestHostsAreListedByWhatIsAskedFor(t *testing.T) { // trap 7
	r := newRig(t)
	ids := map[string]string{}
	for i, name := range []string{"web1", "web2", "db1", "idle", "gone"} {
		r.clock.Store(start + int64(i))
		role := `"shop:` + strings.TrimRight(name, "12") + `"`
		ids[name] = r.register(`{"name":"` + name + `","meta":{},"customIdentifier":"id/` + name + `","roleFullnames":[` + role + `]}`)
	}
	r.post("/hosts/"+ids["web2"]+"/status", `{"status":"standby"}`)
	r.post("/hosts/"+ids["idle"]+"/status", `{"status":"poweroff"}`)
	r.post("/hosts/"+ids["db1"]+"/status", `{"status":"maintenance"}`)
	r.post("/hosts/"+ids["gone"]+"/retire", "null\n")
	for query, want := range map[string]string{
		"":  "web2 web1",
		"?": "web2 web1",
		"?status=working&status=standby&status=maintenance&status=poweroff": "idle db1 web2 web1",
		"?status=poweroff":               "idle",
		"?name=web1":                     "web1",
		"?name=web":                      "",
		"?service=shop":                  "web2 web1",
		"?service=shop&role=web&role=db": "web2 web1",
		"?service=shop&role=db&status=maintenance": "db1",
		"?role=db":                                        "web2 web1", // ignored without a service
		"?service=nobody":                                 "",
		"?customIdentifier=id/web1":                       "web1",
		"?customIdentifier=ID/web1":                       "",
		"?customIdentifier=id/gone&status=working":        "",
		"?unknown=1":                                      "web2 web1",
		"?service=shop&role=web&name=web2&status=standby": "web2",
	} {
		if got := strings.Join(r.names(query), " "); got != want {
			t.Errorf("GET /hosts%s lists %q, want %q", query, got, want)
		}
	}
}

func TestACustomIdentifierMayHoldAnything(t *testing.T) {
	r := newRig(t)
	r.register(`{"name":"a","meta":{},"customIdentifier":"arn:x/Y?z#1 %"}`)
	const escaped = "/hosts-by-custom-identifier/arn:x%2FY%3Fz%231%20%25"
	if got := r.get(escaped + "?caseInsensitive=false"); !strings.Contains(got, `"customIdentifier":"arn:x/Y?z#1 %"`) {
		t.Errorf("found %s", got)
	}
	lower := strings.ToLower(strings.ReplaceAll(escaped, "Y", "y"))
	r.refuse(404, "GET", lower, "")
	r.get(lower + "?caseInsensitive=true")
	r.refuse(404, "GET", "/hosts-by-custom-identifier/arn:x/Y", "")
}

func TestACustomIdentifierIsTaken(t *testing.T) {
	r := newRig(t)
	id := r.register(`{"name":"a","meta":{},"customIdentifier":"x"}`)
	r.refuseSaying(400, id, "POST", "/hosts", `{"name":"b","meta":{},"customIdentifier":"x"}`)
	for _, none := range []string{`""`, `null`} {
		r.register(`{"name":"b","meta":{},"customIdentifier":` + none + `}`)
	}
	r.post("/hosts/"+id+"/retire", "")
	again := r.register(`{"name":"b","meta":{},"customIdentifier":"x"}`)
	if got := r.get("/hosts-by-custom-identifier/x"); !strings.Contains(got, again) {
		t.Errorf("found %s, want host %s", got, again)
	}
}

func TestAnUpdateMerges(t *testing.T) { // trap 6
	r := newRig(t)
	id := r.register(`{"name":"a","displayName":"A","memo":"m","customIdentifier":"x","meta":{"k":1},
		"interfaces":[{"name":"eth0","ipAddress":"192.0.2.1","ipv4Addresses":["192.0.2.2","192.0.2.3"],"ipv6Address":"2001:db8::1"}],
		"roleFullnames":["shop:web"],"checks":[{"name":"ssh","memo":"port 22"},{"name":"ssh"},{"name":"http"}]}`)
	describe := func() string {
		h := r.host(id)
		checks, err := r.store.Checks(t.Context(), "org1", id)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, c := range checks {
			names = append(names, c.Name+"("+c.Memo+")")
		}
		addresses := ""
		for _, i := range h.Interfaces {
			addresses += fmt.Sprint(i.Name, i.IPAddress, i.IPv4, i.IPv6Address, i.IPv6)
		}
		return fmt.Sprint(h.Name, " ", h.DisplayName, " ", *h.Memo, " ", h.CustomIdentifier, " ", h.Roles, " ", names, " ", addresses)
	}
	const before = "a A m x map[shop:[web]] [http() ssh(port 22)] eth0192.0.2.2[192.0.2.2 192.0.2.3]2001:db8::1[2001:db8::1]"
	for _, step := range []struct{ rule, body, want string }{
		{"as registered", ``, before},
		{"absent stays", `{"name":"a","meta":{}}`, before},
		{"null lists stay", `{"name":"a","meta":{},"interfaces":null,"roleFullnames":null,"checks":null,"displayName":null,"memo":null}`, before},
		{"empty roles stay", `{"name":"a","meta":{},"roleFullnames":[]}`, before},
		{"roles are added", `{"name":"a","meta":{},"roleFullnames":["shop: db","ops:all"]}`, strings.Replace(before, "map[shop:[web]]", "map[ops:[all] shop:[db web]]", 1)},
		{"null clears the custom identifier", `{"name":"a","meta":{},"customIdentifier":null}`, strings.NewReplacer("map[shop:[web]]", "map[ops:[all] shop:[db web]]", " x ", "  ").Replace(before)},
		{"checks are the whole list", `{"name":"b","meta":{},"checks":[{"name":"http","memo":"80"}],"interfaces":[],"memo":"","displayName":"B","customIdentifier":"y"}`,
			"b B  y map[ops:[all] shop:[db web]] [http(80)] "},
		{"no checks", `{"name":"b","meta":{},"checks":[]}`, "b B  y map[ops:[all] shop:[db web]] [] "},
	} {
		if step.body != "" {
			r.put("/hosts/"+id, step.body)
		}
		if got := describe(); got != step.want {
			t.Errorf("%s:\n got %s\nwant %s", step.rule, got, step.want)
		}
	}
	r.put("/hosts/"+id+"/role-fullnames", `{"roleFullnames":["new:one","new:one"]}`)
	if h := r.host(id); fmt.Sprint(h.Roles) != "map[new:[one]]" {
		t.Errorf("roles are %v, want them replaced", h.Roles)
	}
	if services := r.get("/services"); !strings.Contains(services, `{"name":"shop","memo":"","roles":["db","web"]}`) {
		t.Errorf("services made on demand are %s", services)
	}
}

func TestNoHostPoisonsTheList(t *testing.T) { // traps 4 and 5
	r := newRig(t)
	for _, meta := range []string{
		`{"kernel":{"release":6.1,"x":null,"y":true,"z":{"a":[1]},"name":"Linux"},"memory":{"total":3916792}}`,
		`{"Kernel":{"release":6},"kernel":{"release":7},"MEMORY":{"total":1.50}}`,
		`{"kernel":null,"memory":{},"future":{"a":[1,2.50,1e400]}}`,
		`{}`,
	} {
		r.register(`{"name":"` + fmt.Sprint(len(meta)) + `","meta":` + meta + `}`)
	}
	if n := len(r.names("")); n != 4 {
		t.Errorf("%d hosts, want 4", n)
	}
	id := r.register(`{"name":"a","meta":{"z":1.0,"kernel":{"release":6.10,"name":"Linux","big":{"b" : 1}},"a":"<&>\u00e9"}}`)
	const want = `"meta":{"z":1.0,"kernel":{"release":"6.10","name":"Linux","big":"{\"b\":1}"},"a":"<&>\u00e9"}`
	if got := r.get("/hosts/" + id); !strings.Contains(got, want) {
		t.Errorf("the host is %s, want %s in it", got, want)
	}
	for _, bad := range []string{`{"cloud":"ec2"}`, `{"agent-name":5}`, `{"block_device":{"sda":7}}`, `{"memory":[1]}`, `{"filesystem":[]}`} {
		r.refuseSaying(400, "meta.", "POST", "/hosts", `{"name":"x","meta":`+bad+`}`)
	}
	r.register(`{"name":"x","meta":{"k":"` + "\xff" + `"}}`)
	nested := func(depth int) string {
		return `{"name":"x","meta":{"[[\"[[":` + strings.Repeat("[", depth-1) + strings.Repeat("]", depth-1) + `}}`
	}
	r.register(nested(maxMetaDepth))
	r.refuseSaying(400, "nested deeper than 100", "POST", "/hosts", nested(maxMetaDepth+1))
	r.refuseSaying(400, "nested deeper than 100", "POST", "/hosts", nested(9_990)) // valid here, and too deep in the list
	r.names("")
}

func TestARetiredHost(t *testing.T) {
	r := newRig(t)
	id := r.register(`{"name":"a","meta":{"agent-version":"1.0-container"},"checks":[{"name":"ssh"}]}`)
	r.put("/hosts/"+id+"/metadata/ns", `{"a":1}`)
	r.post("/tsdb", `[{"hostId":"`+id+`","name":"m","time":1700000040,"value":1}]`)
	r.post("/hosts/"+id+"/retire", "null")
	r.clock.Add(3600)
	r.post("/hosts/"+id+"/retire", "null") // agents repeat themselves

	h := r.host(id)
	if !*h.IsRetired || h.RetiredAt != start || h.Size != "micro" {
		t.Errorf("the host is %+v, want it retired at %d", h, start)
	}
	if got := r.get("/hosts/" + id + "/metrics?name=m&from=1700000000&to=1700000100"); !strings.Contains(got, "1700000040") {
		t.Errorf("its samples are %s", got)
	}
	for _, c := range [][3]string{
		{"PUT", "", `{"name":"b","meta":{}}`},
		{"POST", "/status", `{"status":"working"}`},
		{"PUT", "/role-fullnames", `{"roleFullnames":[]}`},
		{"PUT", "/metadata/ns", `1`},
		{"DELETE", "/metadata/ns", ``},
	} {
		r.refuseSaying(400, "retired", c[0], "/hosts/"+id+c[1], c[2])
	}
	r.refuseSaying(400, "retired", "POST", "/hosts/bulk-update-statuses", `{"ids":["`+id+`"],"status":"working"}`)
	r.post("/tsdb", `[{"hostId":"`+id+`","name":"m","time":1700003640,"value":2}]`)
	if !strings.Contains(r.log.String(), "reason=retired_host") {
		t.Errorf("the log does not say why its points vanish:\n%s", r.log)
	}
	r.get("/hosts/" + id + "/metadata/ns")
	r.clock.Add(8 * 24 * 3600)
	r.refuseSaying(400, "more than a week ago", "GET", "/hosts/"+id+"/metadata/ns", "")
	r.refuseSaying(400, "more than a week ago", "GET", "/hosts/"+id+"/metadata", "")
}

func TestBulkCallsChangeAllOrNone(t *testing.T) {
	r := newRig(t)
	a, b := r.register(`{"name":"a","meta":{}}`), r.register(`{"name":"b","meta":{}}`)
	r.post("/hosts/bulk-update-statuses", `{"ids":["`+a+`","`+b+`","`+a+`"],"status":"maintenance"}`)
	r.refuse(404, "POST", "/hosts/bulk-update-statuses", `{"ids":["`+a+`","nobody"],"status":"working"}`)
	r.refuse(404, "POST", "/hosts/bulk-retire", `{"ids":["`+a+`","nobody"]}`)
	for _, id := range []string{a, b} {
		if h := r.host(id); h.Status != "maintenance" || *h.IsRetired {
			t.Errorf("host %s is %+v, want maintenance", h.Name, h)
		}
	}
	r.post("/hosts/bulk-retire", `{"ids":["`+a+`","`+b+`"]}`)
	if got := r.names("?status=maintenance"); len(got) != 0 {
		t.Errorf("hosts are %v, want none", got)
	}
}

func TestTheStatusOfANewHostIsAnOption(t *testing.T) {
	r := newRig(t, func(o *Options) { o.DefaultStatus = saba.Maintenance })
	if h := r.host(r.register(`{"name":"a","meta":{},"status":"working"}`)); h.Status != "maintenance" {
		t.Errorf("the status is %s, want maintenance", h.Status)
	}
}

func TestABadPointNeverFailsItsBatch(t *testing.T) { // trap 10
	r := newRig(t)
	id := r.register(`{"name":"a","meta":{}}`)
	at := func(name string, time int64, value string) string {
		return fmt.Sprintf(`{"hostId":"%s","name":"%s","time":%d,"value":%s}`, id, name, time, value)
	}
	body := "[" + strings.Join([]string{
		at("good", start, "1"),
		at("huge", start, "1e999"),
		at("text", start, `"1"`),
		at("old", start-86401, "1"),
		at("late", start-86400, "7"),
		at("new", start+601, "1"),
		at("a b", start, "1"),
		at(strings.Repeat("x", 256), start, "1"),
		`{"hostId":"nobody","name":"good","time":1700000100,"value":1}`,
		`[]`, `7`,
		at("rewritten", start, "1"), at("rewritten", start+1, "2"),
	}, ",") + "]"
	r.post("/tsdb", body)
	if got := r.get("/hosts/" + id + "/metric-names"); got != `{"names":["good","late","rewritten"]}` {
		t.Errorf("stored are %s", got)
	}
	if got := r.get("/hosts/" + id + "/metrics?name=rewritten&from=1700000000&to=1700000200"); got != `{"metrics":[{"time":1700000100,"value":2}]}` {
		t.Errorf("a rewritten minute is %s", got)
	}
	for reason, n := range map[string]int{"not_finite": 1, "bad_point": 3, "too_old": 1, "too_new": 1, "bad_name": 2, "unknown_host": 1} {
		if got := r.counter("saba_points_dropped_total", reason); got != n {
			t.Errorf("%d points dropped as %s, want %d", got, reason, n)
		}
		if !strings.Contains(r.log.String(), "reason="+reason+" ") {
			t.Errorf("the log does not say %s:\n%s", reason, r.log)
		}
	}
	if got := r.counter("saba_points_received_total", ""); got != 13 {
		t.Errorf("%d points received, want 13", got)
	}
}

// counter reads a counter of saba's own metrics; reason may be "".
func (r *rig) counter(name, reason string) int {
	r.Helper()
	families, err := r.registry.Gather()
	if err != nil {
		r.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.Metric {
			if f.GetName() == name && (reason == "" || len(m.Label) == 1 && m.Label[0].GetValue() == reason) {
				return int(m.GetCounter().GetValue())
			}
		}
	}
	return -1
}

func TestRangesGetCoarserAndKeepTheirGaps(t *testing.T) {
	r := newRig(t)
	id := r.register(`{"name":"a","meta":{}}`)
	const day, hour = 86400, 3600
	now := int64(start - start%day + 12*hour)
	r.clock.Store(now)
	var points []string
	for m := now - 20*hour; m <= now; m += 60 {
		if m < now-10*hour || m >= now-9*hour { // an hour of silence
			points = append(points, fmt.Sprintf(`{"hostId":"%s","name":"m","time":%d,"value":%d}`, id, m+7, m/60%5))
		}
	}
	r.post("/tsdb", "["+strings.Join(points, ",")+"]")
	ask := func(from, to string) (out []sampleOut) {
		t.Helper()
		var a metricsAnswer
		if err := json.Unmarshal([]byte(r.get("/hosts/"+id+"/metrics?name=m&from="+from+"&to="+to)), &a); err != nil {
			t.Fatal(err)
		}
		if a.Metrics == nil {
			t.Error("metrics is null, want a list")
		}
		for i, p := range a.Metrics {
			if i > 0 && p.Time <= a.Metrics[i-1].Time {
				t.Errorf("times are not in order: %v", a.Metrics)
			}
		}
		return a.Metrics
	}
	sec := func(t int64) string { return fmt.Sprint(t) }
	for name, tt := range map[string]struct {
		from, to string
		n        int
		step     int64
	}{
		"20 hours by the minute":      {sec(now - 20*hour), sec(now), 20*60 + 1 - 60, 60},
		"a day by five minutes":       {sec(now - 24*hour), sec(now), 20*12 + 1 - 12, 300},
		"a week by ten minutes":       {sec(now - 7*day), sec(now), 20*6 + 1 - 6, 600},
		"a month by the hour":         {sec(now - 30*day), sec(now), 20 + 1 - 1, hour},
		"100 days by two hours":       {sec(now - 100*day), sec(now), 11, 2 * hour},
		"200 days by four hours":      {sec(now - 200*day), sec(now), 6, 4 * hour},
		"a year by the day":           {sec(now - 366*day), sec(now), 2, day},
		"since ever":                  {"0", sec(now), 2, day},
		"since before ever, for ever": {"-99999999999999999999", "1e300", 2, day},
		"an empty part":               {sec(now - 10*hour + 60), sec(now - 9*hour - 60), 0, 60},
		"the distant past":            {"0", "60", 0, 60},
		"the distant future":          {sec(now + 9*day), sec(now + 10*day), 0, 60},
		"one second":                  {sec(now), sec(now), 1, 60},
	} {
		t.Run(name, func(t *testing.T) {
			got := ask(tt.from, tt.to)
			if len(got) != tt.n {
				t.Errorf("%d values, want %d: %v", len(got), tt.n, got)
			}
			for _, p := range got {
				if p.Time%tt.step != 0 || p.Value < 0 || p.Value > 4 {
					t.Errorf("%+v is not on a step of %d s, or no mean", p, tt.step)
				}
				if tt.step > 60 && tt.step < hour && p.Time >= now-20*hour && p.Time < now-tt.step && p.Value != 2 {
					t.Errorf("%+v, want the mean 2", p)
				}
			}
		})
	}
}

func TestServiceMetrics(t *testing.T) {
	r := newRig(t)
	r.post("/services", `{"name":"shop","memo":""}`)
	r.post("/services/shop/tsdb", fmt.Sprintf(`[{"name":"orders","time":%d,"value":17},{"name":"__externalhttp.responsetime.x","time":%d,"value":1},{"name":"bad name","time":%d,"value":1},{}]`, start, start, start))
	if got := r.get("/services/shop/metrics?name=orders&from=1700000000&to=1700000200"); got != `{"metrics":[{"time":1700000100,"value":17}]}` {
		t.Errorf("orders are %s", got)
	}
	if got := r.get("/services/shop/metric-names"); got != `{"names":["orders"]}` {
		t.Errorf("names are %s: response times are read by name, and not listed", got)
	}
	r.get("/services/shop/metrics?name=__externalhttp.responsetime.x&from=1700000000&to=1700000200")
	if n := r.counter("saba_points_dropped_total", "bad_name"); n != 1 {
		t.Errorf("%d points dropped for their name, want 1", n)
	}
	r.delete("/services/shop", "")
	r.refuse(404, "GET", "/services/shop/metrics?name=orders&from=1700000000&to=1700000200", "")
}

func TestLatestValues(t *testing.T) {
	r := newRig(t)
	a, b := r.register(`{"name":"a","meta":{}}`), r.register(`{"name":"b","meta":{}}`)
	r.post("/tsdb", fmt.Sprintf(`[{"hostId":"%[1]s","name":"m","time":%[3]d,"value":2},{"hostId":"%[1]s","name":"m","time":%[4]d,"value":1},{"hostId":"%[2]s","name":"n","time":%[3]d,"value":1e21}]`, a, b, start, start-600))
	want := map[string]map[string]sampleOut{a: {"m": {start, 2}}, b: {"n": {start, 1e21}}}
	var got struct {
		Latest map[string]map[string]sampleOut `json:"tsdbLatest"`
	}
	if err := json.Unmarshal([]byte(r.get("/tsdb/latest?hostId="+a+"&hostId="+b+"&hostId=nobody&name=m&name=n&name=m")), &got); err != nil || fmt.Sprint(got.Latest) != fmt.Sprint(want) {
		t.Errorf("latest is %v (%v), want %v", got.Latest, err, want)
	}
	q := "/tsdb/latest?"
	for i := range 101 {
		q += fmt.Sprintf("hostId=%d&name=%d&", i, i)
	}
	r.refuseSaying(400, "101 hosts with 101 metrics each", "GET", q, "")
}

func TestOneBadGraphDefinitionCostsOnlyItself(t *testing.T) {
	r := newRig(t)
	r.refuseSaying(400, "[1].name must be", "POST", "/graph-defs/create", `[{"name":"custom.a"},{"name":"b"},{"name":"custom.c","unit":"bytes","displayName":"C","metrics":[{"name":"custom.c.*","displayName":"%1","isStacked":true}]}]`)
	defs, err := r.store.GraphDefs(t.Context(), "org1")
	const want = "[{custom.a  float []} {custom.c C bytes [{custom.c.* %1 true}]}]"
	if got := fmt.Sprint(defs); err != nil || got != want {
		t.Errorf("kept are %s (%v), want %s: agents send definitions once", got, err, want)
	}
}

func TestCheckReports(t *testing.T) { // trap 9
	r := newRig(t)
	id := r.register(`{"name":"a","meta":{},"checks":[{"name":"declared"}]}`)
	report := func(name, status string, at int64, more string) string {
		return fmt.Sprintf(`{"source":{"type":"host","hostId":"%s"},"name":"%s","status":"%s","message":"%s","occurredAt":%d%s}`, id, name, status, strings.Repeat("鯖", 2000), at, more)
	}
	r.post("/monitoring/checks/report", `{"reports":[`+strings.Join([]string{
		report("made by a report!", "CRITICAL", start-60, `,"notificationInterval":3,"maxCheckAttempts":99`),
		report("made by a report!", "OK", start-120, ``),                         // late: the newest verdict stays
		report("made by a report!", "WARNING", start-60, ``),                     // a second one for the same second
		report("too late", "CRITICAL", start-6*3600, ``),                         // ignored
		report("a clock ahead", "WARNING", start+9999, `,"maxCheckAttempts":-1`), // taken as now
		strings.Replace(report("foreign", "OK", start, ``), id, "nobody", 1),
	}, ",")+`]}`)
	checks, err := r.store.Checks(t.Context(), "org1", id)
	if err != nil {
		t.Fatal(err)
	}
	got := ""
	for _, c := range checks {
		got += fmt.Sprintf("%s: %s %d %d %d %d\n", c.Name, c.Latest.Status, c.Latest.OccurredAt-start, c.Latest.NotificationInterval, c.Latest.MaxCheckAttempts, len([]rune(c.Latest.Message)))
	}
	const want = "a clock ahead: WARNING 0 0 0 1024\ndeclared:  -1700000100 0 0 0\nmade by a report!: CRITICAL -60 10 10 1024\n"
	if got != want {
		t.Errorf("checks are\n%swant\n%s", got, want)
	}
	if got := strings.Count(r.get("/hosts/"+id+"/monitored-statuses"), "monitorId"); got != 2 {
		t.Errorf("%d statuses, want 2: a check without a report has none", got)
	}
}

func TestOneBadCheckReportCostsOnlyItself(t *testing.T) {
	r := newRig(t)
	id := r.register(`{"name":"a","meta":{}}`)
	report := func(name, status string) string {
		return fmt.Sprintf(`{"source":{"type":"host","hostId":"%s"},"name":"%s","status":"%s","message":"","occurredAt":%d}`, id, name, status, start)
	}
	r.refuseSaying(400, "reports[1].status must be", "POST", "/monitoring/checks/report",
		`{"reports":[`+report("before", "OK")+","+report("bad", "FINE")+","+report("after", "CRITICAL")+`]}`)
	checks, err := r.store.Checks(t.Context(), "org1", id)
	if err != nil || len(checks) != 2 || checks[0].Name != "after" || checks[1].Name != "before" {
		t.Errorf("kept are %v (%v), want the checks after and before: agents send a refused report once", checks, err)
	}
}

// A program that makes up a name for each report is stopped, and costs nobody else.
func TestAHostHasOnlySoManyChecks(t *testing.T) {
	r := newRig(t)
	id := r.register(`{"name":"web","meta":{}}`)
	report := func(name string) string {
		return fmt.Sprintf(`{"source":{"type":"host","hostId":%q},"name":%q,"status":"OK","message":"","occurredAt":%d}`, id, name, start)
	}
	for i := range 10 {
		var reports []string
		for j := range saba.MaxCheckReports {
			reports = append(reports, report(fmt.Sprintf("check-%d-%d", i, j)))
		}
		r.post("/monitoring/checks/report", `{"reports":[`+strings.Join(reports, ",")+`]}`)
	}
	r.refuseSaying(http.StatusBadRequest, `"another", was not kept`, http.MethodPost, "/monitoring/checks/report", `{"reports":[`+report("another")+`]}`)
	r.post("/monitoring/checks/report", `{"reports":[`+report("check-3-3")+`]}`)
}

func TestTheListOfChecksHasPages(t *testing.T) {
	r := newRig(t)
	r.register(`{"name":"a","meta":{},"checks":[{"name":"a"},{"name":"b"},{"name":"c"},{"name":"d"},{"name":"e"}]}`)
	var names []string
	for next, pages := "", 0; ; pages++ {
		var out struct {
			Checks []struct{ ID, Name string }
			NextID *string
		}
		if err := json.Unmarshal([]byte(r.get("/monitoring/checks?limit=2&nextId="+next)), &out); err != nil || pages > 9 {
			t.Fatal(pages, err)
		}
		for _, c := range out.Checks {
			names = append(names, c.Name)
			if got := r.get("/monitoring/checks/" + c.ID); got != `{"check":{"id":"`+c.ID+`","name":"`+c.Name+`"}}` {
				t.Errorf("one check is %s", got)
			}
		}
		if out.NextID == nil {
			break
		}
		next = *out.NextID
	}
	slices.Sort(names)
	if got := strings.Join(names, ""); got != "abcde" {
		t.Errorf("pages hold %s, want each of abcde once", got)
	}
}

func TestMetadataComesBackAsItWas(t *testing.T) { // trap 11
	r := newRig(t)
	id := r.register(`{"name":"a","meta":{},"roleFullnames":["shop:web"]}`)
	for _, owner := range []string{"/hosts/" + id, "/services/shop", "/services/shop/roles/web"} {
		for _, value := range []string{`{"b": 1.0,  "a":[null, "\u00e9<>"]}`, `null`, `"x"`, `7e3`, `false`, `[]`, `"` + strings.Repeat("x", 100<<10-2) + `"`} {
			r.put(owner+"/metadata/ns-1_X", value+"\n")
			a := r.send(http.MethodGet, owner+"/metadata/ns-1_X", keyRead, "")
			if a.body != value {
				t.Errorf("%.40s comes back as %.40s", value, a.body)
			}
			if at, err := time.Parse(http.TimeFormat, a.header.Get("Last-Modified")); err != nil || at.Unix() != start {
				t.Errorf("Last-Modified is %q (%v)", a.header.Get("Last-Modified"), err)
			}
		}
		if got := r.get(owner + "/metadata"); got != `{"metadata":[{"namespace":"ns-1_X"}]}` {
			t.Errorf("namespaces of %s are %s", owner, got)
		}
		limit := 50
		if strings.Contains(owner, "/roles/") {
			limit = 10
		}
		for i := range limit - 1 {
			r.put(fmt.Sprintf("%s/metadata/n%d", owner, i), `1`)
		}
		r.refuseSaying(400, "namespaces", "PUT", owner+"/metadata/one-too-many", `1`)
		r.delete(owner+"/metadata/ns-1_X", "")
		r.refuse(404, "GET", owner+"/metadata/ns-1_X", "")
	}
}

func TestAPostedDefinitionIsNotForgottenAtOnce(t *testing.T) {
	const hour = 60 * 60
	r := newRig(t)
	forget := func(want int) {
		t.Helper()
		now := r.clock.Load()
		gone, err := r.store.ForgetGraphDefs(r.Context(), "org1", []string{"custom.a.*"}, now-6*hour, now)
		if r.check(err); gone != want {
			t.Errorf("%d definitions were forgotten at %d hours, want %d", gone, (now-start)/hour, want)
		}
	}
	for range 2 { // the agent was started again: the same definitions come once more
		r.post("/graph-defs/create", `[{"name":"custom.a.*","metrics":[{"name":"custom.a.*.b","isStacked":false}]},{"name":"custom.b"}]`)
		forget(0)
		r.clock.Add(5 * hour)
	}
	forget(0)
	r.clock.Add(2 * hour)
	forget(1)
	r.refuse(400, "DELETE", "/graph-defs", `{"name":"custom.a.*"}`)
	r.delete("/graph-defs", `{"name":"custom.b"}`)
}

func TestALongRangeHasAValueAStep(t *testing.T) {
	r := newRig(t)
	id := r.register(`{"name":"a","meta":{}}`)
	var points []string
	for minute, value := range map[int64]int{0: 1, 60: 2, 240: 9, 300: 5, 900: -3, 960: 7} { // 600 to 899 is silent
		points = append(points, fmt.Sprintf(`{"hostId":%q,"name":"m","time":%d,"value":%d}`, id, 1_699_995_600+minute, value))
	}
	r.post("/tsdb", "["+strings.Join(points, ",")+"]")
	r.clock.Add(24 * 60 * 60)
	for aggregate, want := range map[string]string{
		"":                "4 5 2",
		"&aggregate=mean": "4 5 2",
		"&aggregate=min":  "1 5 -3",
		"&aggregate=max":  "9 5 7",
	} {
		var steps []string
		for _, v := range strings.Fields(want) {
			steps = append(steps, fmt.Sprintf(`{"time":%d,"value":%s}`, 1_699_995_600+300*[]int{0, 1, 3}[len(steps)], v))
		}
		// Wherever a range begins and ends within them, the steps are whole.
		for _, ends := range []string{"from=1699995600&to=1700071200", "from=1699995700&to=1700068380", "from=1699924500&to=1699996520"} {
			r.wantJSON(ends+aggregate, r.get("/hosts/"+id+"/metrics?name=m&"+ends+aggregate), `{"metrics":[`+strings.Join(steps, ",")+`]}`)
		}
	}
}

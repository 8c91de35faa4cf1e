package api

import (
	"bytes"
	"compress/gzip"
	"context"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/body"
)

// traps says which tests hold saba to each of the points at which servers of this protocol go wrong, by the number that
// comments of these tests use.
var traps = map[int][]string{
	1:  {"TestNothingHangsBelowTheOrigin"},                                                                                // the API is at the root of its address
	2:  {"TestTwoHundredAndABodyForEverySuccess", "TestEveryRouteAsksForItsPermission"},                                   // 200 and a body, also to delete
	3:  {"TestErrorsOfEveryKindHaveOneShape", "TestWhatIsWrongIsSaid"},                                                    // {"error":{"message":…}}
	4:  {"TestNoHostPoisonsTheList", "TestTheAPIDescribesItself", "TestMonitorsOfEveryType"},                              // whole numbers without decimals, int32 times
	5:  {"TestNoHostPoisonsTheList"},                                                                                      // strings in kernel and memory
	6:  {"TestAnUpdateMerges"},                                                                                            // PUT of a host
	7:  {"TestHostsAreListedByWhatIsAskedFor"},                                                                            // statuses that are listed
	8:  {"TestTwoHundredAndABodyForEverySuccess"},                                                                         // null retires
	9:  {"TestCheckReports", "TestACheckReportIsRefusedForItsOwnFaultAlone", "TestNothingIsAnsweredWith429"},              // what 4xx, 5xx and 429 do to reports
	10: {"TestABadPointNeverFailsItsBatch", "TestOneBadElementCostsOnlyItself"},                                           // what is not 200 comes again
	11: {"TestMetadataComesBackAsItWas"},                                                                                  // Last-Modified
	12: {"TestMonitorsOfEveryType", "TestNoHostPoisonsTheList", "TestAlerts", "TestDashboards", "TestAlertGroupSettings"}, // what is wrapped and what is bare
	13: {"TestMonitorsOfEveryType"},                                                                                       // the order of types
	14: {"TestChannelsHaveTheirLists", "TestEveryTypeOfChannelIsRead"},                                                    // lists that are always there
	15: {"TestExactlyOneDefaultNotificationGroup"},
	16: {"TestWhatAnUpdateOfAMonitorKeeps", "TestMonitorsOfEveryType"}, // null, [] and nothing
	17: {"TestAWSIntegrations"},                                        // the one key with an underscore
	18: {"TestPermissionsAreTheProtocols", "TestEveryRouteAsksForItsPermission"},
	19: {"TestDashboards"}, // no widgets in lists, null in widgets
	20: {"TestUnitsOfTime", "TestDowntimes", "TestDashboards"},
}

func TestEveryTrapHasATest(t *testing.T) {
	files, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]bool{}
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), f.Name(), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range parsed.Decls {
			if f, ok := d.(*ast.FuncDecl); ok {
				tests[f.Name.Name] = true
			}
		}
	}
	for n := range 20 {
		if len(traps[n+1]) == 0 {
			t.Errorf("trap %d has no test", n+1)
		}
	}
	for _, n := range slices.Sorted(maps.Keys(traps)) {
		for _, name := range traps[n] {
			if !tests[name] {
				t.Errorf("trap %d: there is no %s", n, name)
			}
		}
	}
}

func TestErrorsOfEveryKindHaveOneShape(t *testing.T) { // trap 3: wantError looks at the shape
	r := newRig(t, func(o *Options) {
		o.Store = broken{o.Store, func(context.Context) error { return saba.ErrUnavailable }}
	})
	r.post("/dashboards", `{"title":"t","memo":"","urlPath":"taken","widgets":[]}`)
	for _, tt := range []struct {
		status                  int
		method, path, key, body string
		headers                 []string
	}{
		{400, "POST", "/services", keyBoth, `{"name":`, nil},
		{400, "GET", "/alerts?limit=101", keyBoth, ``, nil},
		{401, "GET", "/org", "", ``, nil},
		{403, "POST", "/services", keyRead, `{"name":"shop"}`, nil},
		{404, "GET", "/hosts/none", keyBoth, ``, nil},
		{404, "GET", "/none", keyBoth, ``, nil},
		{404, "GET", "/traces/x", keyBoth, ``, nil},
		{404, "GET", "//org", keyBoth, ``, nil},
		{405, "PATCH", "/org", keyBoth, ``, nil},
		{409, "POST", "/dashboards", keyBoth, `{"title":"t","memo":"","urlPath":"taken","widgets":[]}`, nil},
		{413, "POST", "/services", keyBoth, `"` + strings.Repeat("x", smallBody) + `"`, nil},
		{415, "POST", "/services", keyBoth, `x`, []string{"Content-Encoding", "br"}},
		{503, "GET", "/hosts", keyBoth, ``, nil},
	} {
		r.wantError(r.send(tt.method, tt.path, tt.key, tt.body, tt.headers...), tt.status, "", tt.method+" "+tt.path)
	}
}

// brokenReports wraps a store that takes no reports.
type brokenReports struct {
	Store
	err error
}

func (b brokenReports) ReportChecks(context.Context, string, []saba.CheckReport, func() (string, error)) error {
	return b.err
}

// Agents drop a report for any 4xx and send it again for ever for any 5xx.
func TestACheckReportIsRefusedForItsOwnFaultAlone(t *testing.T) { // trap 9
	const report = `{"reports":[{"source":{"type":"host","hostId":"h"},"name":"c","status":"OK","message":"","occurredAt":1700000100}]}`
	r := newRig(t, func(o *Options) {
		o.Store = brokenReports{o.Store, saba.Errorf(saba.ErrUnavailable, "the disk is full")}
	})
	for range 3 { // the fault of the server
		a := r.send("POST", "/monitoring/checks/report", keyBoth, report)
		if r.wantError(a, 503, "try again later", "a report while the disk is full"); a.header.Get("Retry-After") == "" {
			t.Error("503 without Retry-After")
		}
	}
	for _, body := range []string{ // the fault of the report
		``, `null`, `{}`, `[]`, `{"reports":7}`, `{"reports":[7]}`, `{"reports":[{}]}`, strings.Repeat(`{"reports":[`, 5000), "{\"reports\":[{\"name\":\"\xff\"}]}",
		strings.Replace(report, `"OK"`, `"FINE"`, 1), strings.Replace(report, `1700000100`, `"now"`, 1), strings.Replace(report, `1700000100`, `1e400`, 1),
		strings.Replace(report, `"c"`, `"`+strings.Repeat("x", 10_000)+`"`, 1), strings.Replace(report, `"host"`, `"service"`, 1),
		strings.Replace(report, `"occurredAt"`, `"maxCheckAttempts":1e99,"occurredAt"`, 1),
	} {
		if a := r.send("POST", "/monitoring/checks/report", keyBoth, body); a.status >= 500 {
			t.Errorf("the report %.80q: %d %s; it comes again for ever", body, a.status, a.body)
		}
	}
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	if _, err := z.Write(bytes.Repeat([]byte(" "), 64<<20)); err != nil {
		t.Fatal(err)
	}
	r.check(z.Close())
	r.wantError(r.send("POST", "/monitoring/checks/report", keyBoth, bomb.String(), "Content-Encoding", "gzip"), 413, "", "a report that inflates to 64 MiB")
}

// Agents lose data on 429: what passes by itself is 503.
func TestNothingIsAnsweredWith429(t *testing.T) { // trap 9
	for _, err := range []error{
		saba.ErrInvalid, saba.ErrUnauthorized, saba.ErrForbidden, saba.ErrNotFound, errMethod, body.ErrTimeout, saba.ErrConflict, saba.ErrTooLarge, body.ErrEncoding, body.ErrBusy, saba.ErrUnavailable, errPanic,
	} {
		if got := status(err); got == http.StatusTooManyRequests {
			t.Errorf("%v is answered with %d", err, got)
		}
	}
	if got := status(body.ErrBusy); got != http.StatusServiceUnavailable {
		t.Errorf("too much at once is answered with %d, want 503", got)
	}
}

func TestUnitsOfTime(t *testing.T) { // trap 20
	r := newRig(t)
	r.post("/services", `{"name":"shop","memo":""}`)
	id := r.create("/downtimes", `{"name":"d","start":1767225600,"duration":45}`) // minutes
	d, err := r.store.Downtimes(r.Context(), "org1")
	if err != nil || len(d) != 1 || d[0].ID != id || d[0].Duration != 45 || d[0].Start != 1767225600 {
		t.Errorf("the downtime is kept as %+v (%v), want 45 minutes from a time in seconds", d, err)
	}
	// Milliseconds, minutes and days.
	id = r.create("/monitors", `{"type":"external","name":"e","url":"http://example.com","service":"shop","responseTimeWarning":1500.5,"responseTimeDuration":3,"notificationInterval":10,"certificationExpirationWarning":30}`)
	m, err := r.store.Monitor(r.Context(), "org1", id)
	if err != nil || *m.ResponseTimeWarning != 1500.5 || *m.ResponseTimeDuration != 3 || *m.NotificationInterval != 10 {
		t.Errorf("the monitor is kept as %+v (%v)", m, err)
	}
	r.refuseSaying(400, "notificationInterval", "PUT", "/monitors/"+id, `{"type":"external","name":"e","url":"http://example.com","notificationInterval":9}`)
	// A range is in seconds, and may look back.
	id = r.create("/dashboards", `{"title":"t","memo":"","urlPath":"u","widgets":[{"type":"graph","title":"g","graph":{"type":"query","query":"a"},"range":{"type":"relative","period":3600,"offset":-86400},"layout":{"x":0,"y":0,"width":6,"height":6}}]}`)
	b, err := r.store.Dashboard(r.Context(), "org1", id)
	if err != nil || b.Widgets[0].Range.Period != 3600 || b.Widgets[0].Range.Offset != -86400 || b.CreatedAt != start {
		t.Errorf("the dashboard is kept as %+v (%v)", b, err)
	}
}

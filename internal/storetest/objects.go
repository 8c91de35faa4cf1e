package storetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/saba-monitor/saba"
)

// ObjectRecords is what people set up, and what comes of it, as package sqldb keeps it.
type ObjectRecords interface {
	Records

	Monitors(ctx context.Context, org string) ([]saba.Monitor, error)
	Monitor(ctx context.Context, org, id string) (saba.Monitor, error)
	CreateMonitor(ctx context.Context, org string, m saba.Monitor) error
	UpdateMonitor(ctx context.Context, org, id string, at int64, change func(old saba.Monitor) (saba.Monitor, error)) (saba.Monitor, error)
	DeleteMonitor(ctx context.Context, org, id string, at int64) (saba.Monitor, error)

	Downtimes(ctx context.Context, org string) ([]saba.Downtime, error)
	CreateDowntime(ctx context.Context, org string, d saba.Downtime) error
	UpdateDowntime(ctx context.Context, org, id string, change func(old saba.Downtime) (saba.Downtime, error)) (saba.Downtime, error)
	DeleteDowntime(ctx context.Context, org, id string) (saba.Downtime, error)

	AlertGroupSettings(ctx context.Context, org string) ([]saba.AlertGroupSetting, error)
	AlertGroupSetting(ctx context.Context, org, id string) (saba.AlertGroupSetting, error)
	CreateAlertGroupSetting(ctx context.Context, org string, s saba.AlertGroupSetting) error
	UpdateAlertGroupSetting(ctx context.Context, org, id string, change func(old saba.AlertGroupSetting) (saba.AlertGroupSetting, error)) (saba.AlertGroupSetting, error)
	DeleteAlertGroupSetting(ctx context.Context, org, id string) (saba.AlertGroupSetting, error)

	Channels(ctx context.Context, org string) ([]saba.Channel, error)
	CreateChannel(ctx context.Context, org string, c saba.Channel, toDefault bool) error
	UpdateChannel(ctx context.Context, org, id string, change func(old saba.Channel) (saba.Channel, error)) (saba.Channel, error)
	DeleteChannel(ctx context.Context, org, id string) (saba.Channel, error)

	NotificationGroups(ctx context.Context, org string) ([]saba.NotificationGroup, error)
	CreateNotificationGroup(ctx context.Context, org string, g saba.NotificationGroup) error
	UpdateNotificationGroup(ctx context.Context, org, id string, change func(old saba.NotificationGroup) (saba.NotificationGroup, error)) (saba.NotificationGroup, error)
	DeleteNotificationGroup(ctx context.Context, org, id string) (saba.NotificationGroup, error)

	Dashboards(ctx context.Context, org string) ([]saba.Dashboard, error)
	Dashboard(ctx context.Context, org, id string) (saba.Dashboard, error)
	CreateDashboard(ctx context.Context, org string, d saba.Dashboard) error
	UpdateDashboard(ctx context.Context, org, id string, change func(old saba.Dashboard) (saba.Dashboard, error)) (saba.Dashboard, error)
	DeleteDashboard(ctx context.Context, org, id string) (saba.Dashboard, error)

	GraphAnnotations(ctx context.Context, org, service string, from, to int64) ([]saba.GraphAnnotation, error)
	CreateGraphAnnotation(ctx context.Context, org string, a saba.GraphAnnotation) error
	UpdateGraphAnnotation(ctx context.Context, org, id string, change func(old saba.GraphAnnotation) (saba.GraphAnnotation, error)) (saba.GraphAnnotation, error)
	DeleteGraphAnnotation(ctx context.Context, org, id string) (saba.GraphAnnotation, error)

	FindAlerts(ctx context.Context, org string, f saba.AlertFilter, from string, limit int) ([]saba.Alert, string, error)
	OpenAlert(ctx context.Context, org string, a saba.Alert, detail *saba.AlertDetail) error
	Checks(ctx context.Context, org, host string) ([]saba.Check, error)
	DeferredChecks(ctx context.Context, org string) ([]saba.Check, error)
	JudgeCheck(ctx context.Context, org, id string, at int64, newID func() (string, error)) error
	MoveAlert(ctx context.Context, org, id string, move saba.AlertMove) (saba.Alert, error)
	Alerts(ctx context.Context, org string, p saba.AlertPage) ([]saba.Alert, error)
	Alert(ctx context.Context, org, id string) (saba.Alert, error)
	SetAlertMemo(ctx context.Context, org, id, memo string) error
	AlertLogs(ctx context.Context, org, id, from string, limit int) ([]saba.AlertLog, error)

	Members(ctx context.Context, org string) ([]saba.Member, error)
	DeleteMember(ctx context.Context, org, id string) (saba.Member, error)
	SetAuthority(ctx context.Context, org, id string, a saba.Authority, by string) (saba.Member, error)
	Invitations(ctx context.Context, org string, now int64) ([]saba.Invitation, error)
	Invite(ctx context.Context, org string, i saba.Invitation, now int64) error
	RevokeInvitation(ctx context.Context, org, email string, now int64) error
	LinkInvitation(ctx context.Context, org, email, hash string, now int64) error
	InvitationByHash(ctx context.Context, hash string, now int64) (string, saba.Invitation, error)
	AcceptInvitation(ctx context.Context, hash string, u saba.User, now int64) error
	Networks(ctx context.Context, org string, s saba.Surface) ([]string, error)
	SetNetworks(ctx context.Context, org string, s saba.Surface, cidrs []string) error

	AWSIntegrations(ctx context.Context, org string) ([]saba.AWSIntegration, error)
	AWSIntegration(ctx context.Context, org, id string) (saba.AWSIntegration, error)
	CreateAWSIntegration(ctx context.Context, org string, a saba.AWSIntegration) error
	UpdateAWSIntegration(ctx context.Context, org, id string, change func(old saba.AWSIntegration) (saba.AWSIntegration, error)) (saba.AWSIntegration, error)
	DeleteAWSIntegration(ctx context.Context, org, id string) (saba.AWSIntegration, error)

	RenameService(ctx context.Context, org, old string, to saba.Service) error
	RenameRole(ctx context.Context, org, service, old string, to saba.Role) error
	ReviveHost(ctx context.Context, org, id string, now int64) error
	HideServiceGraph(ctx context.Context, org, service, graph string, at int64) error
	HiddenServiceGraphs(ctx context.Context, org, service string) (map[string]int64, error)
}

// TestObjects runs the contract of what people set up against one engine. open is as in TestRecords; besides, both
// organizations have their default notification group.
func TestObjects(t *testing.T, open func(t *testing.T) ObjectRecords) {
	for _, fact := range []struct {
		name string
		test func(r objects)
	}{
		{"a new organization has a connectivity monitor and a default notification group", testFurnished},
		{"a monitor is read as it was created, with all that it says", testMonitorRoundTrip},
		{"monitors are listed by type, then by name", testMonitorOrder},
		{"a monitor names services and roles that exist", testMonitorScopes},
		{"a role is watched by one monitor of anomalies", testAnomalyOnce},
		{"a monitor of anomalies that learns from another time on closes its alerts", testRetraining},
		{"an update that is refused changes nothing", testRefusedUpdate},
		{"another service of an external monitor closes its alerts, another name does not", testMonitorServiceChange},
		{"deleting a monitor closes its alerts and takes it out of notification groups", testDeleteMonitor},
		{"deleting a service takes its monitors and annotations along and closes their alerts", testDeleteServiceObjects},
		{"deleting a service leaves scopes that match nothing, never scopes that match everything", testDanglingScopes},
		{"a downtime is kept whole and names what exists", testDowntime},
		{"an alert group setting is kept whole and names what exists", testAlertGroup},
		{"a channel joins the default group when it is asked to", testChannel},
		{"every type of channel can be kept", testChannelTypes},
		{"there is one default notification group, which cannot go or be renamed", testDefaultGroup},
		{"notification groups name what exists, and lose what is deleted", testGroups},
		{"a dashboard is kept whole, and its path is taken once", testDashboard},
		{"annotations of a service are found by the time they touch", testAnnotations},
		{"the alert of a check opens, moves and closes with its reports", testCheckAlerts},
		{"reports of a check in a downtime, or of a host in maintenance, open no alert", testQuietChecks},
		{"and are judged when nothing stands against it any more", testDeferredChecks},
		{"one alert of a rule and a target is open at a time", testAlertOnce},
		{"an alert keeps its steps, and a closed one stays closed", testAlertMoves},
		{"alerts are listed newest first in pages that begin where the one before ended", testAlertPages},
		{"alerts are found by what they are about, by words and by time, in pages", testFindAlerts},
		{"retiring a host closes its alerts and no others", testRetireClosesAlerts},
		{"a check with an open alert outlives its declaration", testCheckWithAlert},
		{"the owner stays, other members can be deleted", testMembers},
		{"an organization has one owner, and nobody changes their own authority", testSetAuthority},
		{"an address is invited once, until it is revoked or late", testInvitations},
		{"an invitation's newest link makes one account", testAcceptInvitation},
		{"networks are kept for each part of saba", testNetworks},
		{"the secret of an AWS integration is never read again", testAWS},
		{"a service keeps all that it has under another name", testRenameService},
		{"a renamed service keeps its samples, and another of its first name has its own", testRenamedSeries},
		{"the samples of a deleted service show on no other", testSeriesOfDeletedServices},
		{"a role keeps all that it has under another name", testRenameRole},
		{"a retirement can be undone for 30 days", testRevive},
		{"graphs of a service are hidden from a time on", testHiddenGraphs},
		{"of changes of one record at once none is lost", testChangesAtOnce},
		{"what belongs to one organization cannot be read, changed or named by another", testForeignObjects},
	} {
		t.Run(fact.name, func(t *testing.T) {
			db := open(t)
			n := 0
			fact.test(objects{records{t, t.Context(), db, func() (string, error) {
				n++
				return fmt.Sprintf("id%03d", n), nil
			}}, db})
		})
	}
}

// objects is an engine under test.
type objects struct {
	records
	db ObjectRecords
}

func (r objects) roles(roles ...saba.RoleName) {
	r.Helper()
	for _, name := range roles {
		err := r.db.CreateService(r.ctx, org1, saba.Service{Name: name.Service})
		if err != nil && !errors.Is(err, saba.ErrConflict) {
			r.Fatal(err)
		}
		r.ok(r.db.CreateRole(r.ctx, org1, name.Service, saba.Role{Name: name.Role}))
	}
}

// monitor makes a host monitor of org1; edit may change it first.
func (r objects) monitor(id string, edit ...func(m *saba.Monitor)) saba.Monitor {
	r.Helper()
	m := saba.Monitor{ID: id, Type: saba.MonitorHost, Name: id, Metric: "loadavg5", Operator: ">", Warning: new(1.0), Duration: 1, MaxCheckAttempts: 1}
	for _, e := range edit {
		e(&m)
	}
	r.ok(r.db.CreateMonitor(r.ctx, org1, m))
	return m
}

func ofType(t saba.MonitorType) func(m *saba.Monitor) { return func(m *saba.Monitor) { m.Type = t } }
func watching(service string) func(m *saba.Monitor) {
	return func(m *saba.Monitor) { m.Service = service }
}
func scoped(scopes ...saba.Scope) func(m *saba.Monitor) {
	return func(m *saba.Monitor) { m.Scopes = scopes }
}

// alert opens an alert of org1; edit may change it first.
func (r objects) alert(id, monitor string, edit ...func(a *saba.Alert)) saba.Alert {
	r.Helper()
	a := saba.Alert{ID: id, Status: saba.CheckWarning, Monitor: monitor, Type: "host", OpenedAt: noon}
	for _, e := range edit {
		e(&a)
	}
	r.ok(r.db.OpenAlert(r.ctx, org1, a, nil))
	return a
}

func (r objects) readAlert(id string) saba.Alert {
	r.Helper()
	a, err := r.db.Alert(r.ctx, org1, id)
	r.ok(err)
	return a
}

// closed checks that an alert closed at noon+9, and why.
func (r objects) closed(id string, trigger saba.AlertTrigger) {
	r.Helper()
	a := r.readAlert(id)
	logs, err := r.db.AlertLogs(r.ctx, org1, id, "", 100)
	r.ok(err)
	if a.Open() || a.Status != saba.CheckOK || a.ClosedAt != noon+9 || len(logs) != 2 || logs[0].Trigger != trigger || logs[0].Status != saba.CheckOK {
		r.Errorf("alert %s is %+v with the log %+v, want it closed at %d by %s", id, a, logs, noon+9, trigger)
	}
}

func (r objects) group(id string) saba.NotificationGroup {
	r.Helper()
	all, err := r.db.NotificationGroups(r.ctx, org1)
	r.ok(err)
	for _, g := range all {
		if g.ID == id {
			return g
		}
	}
	r.Fatalf("no notification group %q in %+v", id, all)
	return saba.NotificationGroup{}
}

// keep makes an update function that puts v in place of what is there.
func keep[T any](v T) func(T) (T, error) { return func(T) (T, error) { return v, nil } }

func testFurnished(r objects) {
	monitors, err := r.db.Monitors(r.ctx, org1)
	r.ok(err)
	r.same("monitors", monitors, []saba.Monitor{{ID: org1, Type: saba.MonitorConnectivity, Name: "connectivity", AlertStatusOnGone: saba.CheckCritical}})
	groups, err := r.db.NotificationGroups(r.ctx, org1)
	r.ok(err)
	r.same("notification groups", groups, []saba.NotificationGroup{{ID: org1, Default: true, Name: saba.DefaultGroupName, Level: saba.NotifyAll}})
}

func testMonitorRoundTrip(r objects) {
	r.roles(role("shop", "web"))
	want := saba.Monitor{
		ID: "m1", Type: saba.MonitorExternal, Name: "site ☂", Memo: "a\nb", NotificationInterval: new(int64(10)), Mute: true,
		Scopes: []saba.Scope{{Service: "shop"}, {Service: "shop", Role: "web"}}, ExcludeScopes: []saba.Scope{{Service: "shop", Role: "web"}},
		Metric: "cpu%", Operator: "<", Warning: new(0.0), Critical: new(-1e300), Duration: 3, MaxCheckAttempts: 2,
		AlertStatusOnGone: saba.CheckWarning, Service: "shop", MissingDurationWarning: new(int64(10)), MissingDurationCritical: new(int64(20)),
		URL: "https://u:p@example.com/", Method: "POST", ResponseTimeWarning: new(0.5), ResponseTimeCritical: new(1e9), ResponseTimeDuration: new(int64(3)),
		ContainsString: "'\"", CertificationExpirationWarning: new(int64(0)), CertificationExpirationCritical: new(int64(1)),
		SkipCertificateVerification: true, ExpectedStatusCode: new(int64(404)), Headers: []saba.HTTPHeader{{Name: "A", Value: "b"}},
		RequestBody: "{}", FollowRedirect: true, Dualstack: "auto", Expression: "max(x)", Query: `a{b="c"}`, Legend: "{{b}}",
		EvaluateBackwardMinutes: new(int64(0)), WarningSensitivity: "normal", CriticalSensitivity: "sensitive", TrainingPeriodFrom: noon,
	}
	r.ok(r.db.CreateMonitor(r.ctx, org1, want))
	got, err := r.db.Monitor(r.ctx, org1, "m1")
	r.ok(err)
	r.same("the monitor", got, want)
	_, err = r.db.Monitor(r.ctx, org1, "none")
	r.is(err, saba.ErrNotFound, `"none"`)
}

func testMonitorOrder(r objects) {
	r.roles(role("shop", "web"))
	for id, t := range map[string]saba.MonitorType{"query": saba.MonitorQuery, "b": saba.MonitorHost, "a": saba.MonitorHost, "anomaly": saba.MonitorAnomaly,
		"expression": saba.MonitorExpression, "external": saba.MonitorExternal, "service": saba.MonitorService} {
		r.monitor(id, ofType(t), watching("shop"))
	}
	all, err := r.db.Monitors(r.ctx, org1)
	r.ok(err)
	var ids []string
	for _, m := range all {
		ids = append(ids, m.ID)
	}
	r.same("order", ids, []string{"a", "b", org1, "service", "external", "expression", "anomaly", "query"})
}

func testMonitorScopes(r objects) {
	r.roles(role("shop", "web"))
	m := saba.Monitor{ID: "m1", Type: saba.MonitorHost, Name: "m"}
	for field, edit := range map[string]func(m *saba.Monitor){
		`scopes[1] names the service "none"`:         scoped(saba.Scope{Service: "shop"}, saba.Scope{Service: "none"}),
		`scopes[0] names the role "shop:db"`:         scoped(saba.Scope{Service: "shop", Role: "db"}),
		`service names the service "none"`:           watching("none"),
		`excludeScopes[0] names the service "other"`: func(m *saba.Monitor) { m.ExcludeScopes = []saba.Scope{{Service: "other"}} },
	} {
		bad := m
		edit(&bad)
		r.is(r.db.CreateMonitor(r.ctx, org1, bad), saba.ErrInvalid, field, "does not exist")
	}
	_, err := r.db.Monitor(r.ctx, org1, "m1")
	r.is(err, saba.ErrNotFound)
}

func testAnomalyOnce(r objects) {
	r.roles(role("shop", "web"), role("shop", "db"))
	web, dbs := saba.Scope{Service: "shop", Role: "web"}, saba.Scope{Service: "shop", Role: "db"}
	m := r.monitor("m1", ofType(saba.MonitorAnomaly), scoped(web))
	r.monitor("m2", ofType(saba.MonitorHost), scoped(web)) // other types may
	m.ID, m.Scopes = "m3", []saba.Scope{dbs, web}
	r.is(r.db.CreateMonitor(r.ctx, org1, m), saba.ErrInvalid, "scopes[1]", `"m1"`)
	m.ID = "m1"
	_, err := r.db.UpdateMonitor(r.ctx, org1, "m1", 0, keep(m)) // its own role is not taken
	r.ok(err)
}

func testRetraining(r objects) {
	for _, tt := range []struct {
		id    string
		kind  saba.MonitorType
		to    int64
		trace saba.AlertTrigger
	}{{"m1", saba.MonitorAnomaly, noon - 9, saba.TriggerRetraining}, {"m2", saba.MonitorAnomaly, noon - 99, ""}, {"m3", saba.MonitorHost, noon - 9, ""}} {
		m := r.monitor(tt.id, ofType(tt.kind), func(m *saba.Monitor) { m.TrainingPeriodFrom = noon - 99 })
		r.alert("a"+tt.id, tt.id)
		m.Name, m.WarningSensitivity = "another name", "sensitive"
		_, err := r.db.UpdateMonitor(r.ctx, org1, tt.id, noon+8, keep(m))
		r.ok(err)
		m.TrainingPeriodFrom = tt.to
		_, err = r.db.UpdateMonitor(r.ctx, org1, tt.id, noon+9, keep(m))
		r.ok(err)
		if tt.trace != "" {
			r.closed("a"+tt.id, tt.trace)
			continue
		}
		if a := r.readAlert("a" + tt.id); !a.Open() {
			r.Errorf("the alert of monitor %s is %+v, want it open", tt.id, a)
		}
	}
}

func testRefusedUpdate(r objects) {
	want := r.monitor("m1")
	bad := want
	bad.Name, bad.Scopes = "changed", []saba.Scope{{Service: "none"}}
	_, err := r.db.UpdateMonitor(r.ctx, org1, "m1", 0, keep(bad))
	r.is(err, saba.ErrInvalid)
	_, err = r.db.UpdateMonitor(r.ctx, org1, "m1", 0, func(old saba.Monitor) (saba.Monitor, error) {
		old.Name = "changed"
		return old, saba.Invalidf("name", "is no good")
	})
	r.is(err, saba.ErrInvalid, "name is no good")
	_, err = r.db.UpdateMonitor(r.ctx, org1, "none", 0, keep(want))
	r.is(err, saba.ErrNotFound, `"none"`)
	got, err := r.db.Monitor(r.ctx, org1, "m1")
	r.ok(err)
	r.same("the monitor", got, want)
}

func testMonitorServiceChange(r objects) {
	r.roles(role("shop", "web"), role("api", "web"))
	for _, tt := range []struct{ id, service, to string }{{"m1", "shop", "api"}, {"m2", "shop", ""}, {"m3", "", "shop"}, {"m4", "shop", "shop"}} {
		m := r.monitor(tt.id, ofType(saba.MonitorExternal), watching(tt.service))
		r.alert("a"+tt.id, tt.id)
		m.Name = "another name"
		_, err := r.db.UpdateMonitor(r.ctx, org1, tt.id, noon+8, keep(m))
		r.ok(err)
		m.Service = tt.to
		_, err = r.db.UpdateMonitor(r.ctx, org1, tt.id, noon+9, keep(m))
		r.ok(err)
		if tt.service != tt.to {
			r.closed("a"+tt.id, saba.TriggerServiceChange)
		} else if a := r.readAlert("a" + tt.id); !a.Open() {
			r.Errorf("with the same service the alert is %+v, want it open", a)
		}
	}
	m := r.monitor("m5", ofType(saba.MonitorService), watching("shop"))
	r.alert("a5", "m5")
	m.Service = "api"
	_, err := r.db.UpdateMonitor(r.ctx, org1, "m5", noon+9, keep(m))
	r.ok(err)
	if a := r.readAlert("a5"); !a.Open() {
		r.Errorf("the alert of a monitor of another type is %+v, want it open", a)
	}
}

func testDeleteMonitor(r objects) {
	want := r.monitor("m1")
	r.monitor("m2")
	r.alert("a1", "m1")
	r.alert("a2", "m2")
	r.ok(r.db.CreateNotificationGroup(r.ctx, org1, saba.NotificationGroup{ID: "g1", Name: "g", Level: saba.NotifyAll, Monitors: []saba.NotificationMonitor{{ID: "m1", SkipDefault: true}, {ID: "m2"}}}))
	got, err := r.db.DeleteMonitor(r.ctx, org1, "m1", noon+9)
	r.ok(err)
	r.same("what was deleted", got, want)
	r.closed("a1", saba.TriggerMonitorDelete)
	if a := r.readAlert("a2"); !a.Open() {
		r.Errorf("the alert of another monitor is %+v, want it open", a)
	}
	logs, err := r.db.AlertLogs(r.ctx, org1, "a1", "", 1)
	r.ok(err)
	r.same("the rule in the log", logs[0].Monitor, "")
	r.same("monitors of the group", r.group("g1").Monitors, []saba.NotificationMonitor{{ID: "m2"}})
	_, err = r.db.DeleteMonitor(r.ctx, org1, "m1", noon)
	r.is(err, saba.ErrNotFound, `"m1"`)
}

func testDeleteServiceObjects(r objects) {
	r.roles(role("shop", "web"), role("api", "web"))
	r.monitor("m1", ofType(saba.MonitorService), watching("shop"))
	r.monitor("m2", ofType(saba.MonitorService), watching("api"))
	r.monitor("m3", ofType(saba.MonitorExternal), watching("shop"), func(m *saba.Monitor) {
		m.ResponseTimeWarning, m.ResponseTimeDuration, m.URL = new(1.0), new(int64(1)), "http://example.com"
	})
	r.alert("a1", "m1")
	r.alert("a2", "m2")
	r.ok(r.db.CreateNotificationGroup(r.ctx, org1, saba.NotificationGroup{ID: "g1", Name: "g", Services: []saba.NotificationService{{Name: "shop"}, {Name: "api"}}, Monitors: []saba.NotificationMonitor{{ID: "m1"}}}))
	r.ok(r.db.CreateGraphAnnotation(r.ctx, org1, saba.GraphAnnotation{ID: "n1", Title: "t", Service: "shop", From: 1, To: 2}))
	_, err := r.db.DeleteService(r.ctx, org1, "shop", noon+9)
	r.ok(err)
	r.closed("a1", saba.TriggerServiceDelete)
	if a := r.readAlert("a2"); !a.Open() {
		r.Errorf("the alert of another service is %+v, want it open", a)
	}
	_, err = r.db.Monitor(r.ctx, org1, "m1")
	r.is(err, saba.ErrNotFound)
	m, err := r.db.Monitor(r.ctx, org1, "m3") // the site is watched on, without the metric
	r.ok(err)
	if m.Service != "" || m.ResponseTimeWarning != nil || m.ResponseTimeDuration != nil || m.URL == "" {
		r.Errorf("the external monitor is %+v, want it without a service", m)
	}
	g := r.group("g1")
	r.same("services of the group", g.Services, []saba.NotificationService{{Name: "api"}})
	r.same("monitors of the group", g.Monitors, []saba.NotificationMonitor(nil))
	_, err = r.db.DeleteGraphAnnotation(r.ctx, org1, "n1")
	r.is(err, saba.ErrNotFound)
}

func testDanglingScopes(r objects) {
	r.roles(role("shop", "web"))
	r.monitor("m1", scoped(saba.Scope{Service: "shop"}))
	r.ok(r.db.CreateDowntime(r.ctx, org1, saba.Downtime{ID: "d1", Name: "d", ServiceScopes: []string{"shop"}}))
	_, err := r.db.DeleteService(r.ctx, org1, "shop", noon)
	r.ok(err)
	m, err := r.db.Monitor(r.ctx, org1, "m1")
	r.ok(err)
	r.same("scopes of the monitor", m.Scopes, []saba.Scope{{Service: "shop"}})
	all, err := r.db.Downtimes(r.ctx, org1)
	r.ok(err)
	r.same("scopes of the downtime", all[0].ServiceScopes, []string{"shop"})
}

func testDowntime(r objects) {
	r.roles(role("shop", "web"))
	r.monitor("m1")
	r.host("h1")
	r.report(saba.CheckReport{Host: "h1", Name: "ssh", Status: saba.CheckOK, OccurredAt: noon})
	check := r.checks("h1")[0].ID
	want := saba.Downtime{
		ID: "d1", Name: "weekly", Memo: "m", Start: noon, Duration: 45,
		Recurrence:    &saba.Recurrence{Type: "weekly", Interval: 2, Weekdays: []string{"Sunday", "Monday"}, Until: noon + 1},
		ServiceScopes: []string{"shop"}, ServiceExcludeScopes: []string{"shop"},
		RoleScopes: []saba.Scope{{Service: "shop", Role: "web"}}, RoleExcludeScopes: []saba.Scope{{Service: "shop", Role: "web"}},
		MonitorScopes: []string{"m1", check}, MonitorExcludeScopes: []string{"m1"},
	}
	r.ok(r.db.CreateDowntime(r.ctx, org1, want))
	all, err := r.db.Downtimes(r.ctx, org1)
	r.ok(err)
	r.same("downtimes", all, []saba.Downtime{want})
	for field, bad := range map[string]saba.Downtime{
		"serviceScopes[0]":        {ServiceScopes: []string{"none"}},
		"serviceExcludeScopes[0]": {ServiceExcludeScopes: []string{"none"}},
		"roleScopes[0]":           {RoleScopes: []saba.Scope{{Service: "shop", Role: "none"}}},
		"roleExcludeScopes[0]":    {RoleExcludeScopes: []saba.Scope{{Service: "none", Role: "web"}}},
		"monitorScopes[1]":        {MonitorScopes: []string{"m1", "none"}},
		"monitorExcludeScopes[0]": {MonitorExcludeScopes: []string{"none"}},
	} {
		bad.ID = "d2"
		r.is(r.db.CreateDowntime(r.ctx, org1, bad), saba.ErrInvalid, field, "does not exist")
	}
	changed := saba.Downtime{ID: "d1", Name: "other", Start: 1, Duration: 1}
	got, err := r.db.UpdateDowntime(r.ctx, org1, "d1", keep(changed))
	r.ok(err)
	r.same("what the update returns", got, changed)
	got, err = r.db.DeleteDowntime(r.ctx, org1, "d1")
	r.ok(err)
	r.same("what was deleted", got, changed)
	_, err = r.db.DeleteDowntime(r.ctx, org1, "d1")
	r.is(err, saba.ErrNotFound, `"d1"`)
}

func testAlertGroup(r objects) {
	r.roles(role("shop", "web"))
	r.monitor("m1")
	want := saba.AlertGroupSetting{ID: "s1", Name: "s", Memo: "m", ServiceScopes: []string{"shop"}, RoleScopes: []saba.Scope{{Service: "shop", Role: "web"}}, MonitorScopes: []string{"m1"}, NotificationInterval: new(int64(60))}
	r.ok(r.db.CreateAlertGroupSetting(r.ctx, org1, want))
	got, err := r.db.AlertGroupSetting(r.ctx, org1, "s1")
	r.ok(err)
	r.same("the setting", got, want)
	for field, bad := range map[string]saba.AlertGroupSetting{
		"serviceScopes[0]": {ServiceScopes: []string{"none"}},
		"roleScopes[0]":    {RoleScopes: []saba.Scope{{Service: "shop", Role: "none"}}},
		"monitorScopes[0]": {MonitorScopes: []string{"none"}},
	} {
		_, err := r.db.UpdateAlertGroupSetting(r.ctx, org1, "s1", keep(bad))
		r.is(err, saba.ErrInvalid, field, "does not exist")
	}
	all, err := r.db.AlertGroupSettings(r.ctx, org1)
	r.ok(err)
	r.same("settings after updates that were refused", all, []saba.AlertGroupSetting{want})
	got, err = r.db.DeleteAlertGroupSetting(r.ctx, org1, "s1")
	r.ok(err)
	r.same("what was deleted", got, want)
	_, err = r.db.AlertGroupSetting(r.ctx, org1, "s1")
	r.is(err, saba.ErrNotFound, `"s1"`)
}

func testChannel(r objects) {
	in := saba.Channel{ID: "c1", Name: "in", Type: saba.ChannelSlack, URL: "https://example.com/x", Mentions: saba.Mentions{OK: "a", Warning: "b", Critical: "c"}, EnabledGraphImage: true, Events: []string{"alert"}, SuspendedAt: noon}
	out := saba.Channel{ID: "c2", Name: "out", Type: saba.ChannelEmail, Emails: []string{"a@example.com"}}
	r.ok(r.db.CreateChannel(r.ctx, org1, in, true))
	r.ok(r.db.CreateChannel(r.ctx, org1, out, false))
	all, err := r.db.Channels(r.ctx, org1)
	r.ok(err)
	r.same("channels", all, []saba.Channel{in, out})
	r.same("channels of the default group", r.group(org1).Channels, []string{"c1"})
	out.UserIDs = []string{"none"}
	_, err = r.db.UpdateChannel(r.ctx, org1, "c2", keep(out))
	r.is(err, saba.ErrInvalid, "userIds[0]", "does not exist")
	got, err := r.db.DeleteChannel(r.ctx, org1, "c1")
	r.ok(err)
	r.same("what was deleted", got, in)
	r.same("channels of the default group", r.group(org1).Channels, []string(nil))
	_, err = r.db.DeleteChannel(r.ctx, org1, "c1")
	r.is(err, saba.ErrNotFound, `"c1"`)
}

func testChannelTypes(r objects) {
	for i, t := range saba.ChannelTypes {
		r.ok(r.db.CreateChannel(r.ctx, org1, saba.Channel{ID: fmt.Sprintf("c%02d", i), Name: string(t), Type: t}, false))
	}
	all, err := r.db.Channels(r.ctx, org1)
	r.ok(err)
	for i, t := range saba.ChannelTypes {
		r.same("type", all[i].Type, t)
	}
}

func testDefaultGroup(r objects) {
	_, err := r.db.DeleteNotificationGroup(r.ctx, org1, org1)
	r.is(err, saba.ErrInvalid, "default notification group")
	_, err = r.db.UpdateNotificationGroup(r.ctx, org1, org1, keep(saba.NotificationGroup{ID: org1, Name: "mine", Level: saba.NotifyAll}))
	r.is(err, saba.ErrInvalid, "name", `"Default"`)
	got, err := r.db.UpdateNotificationGroup(r.ctx, org1, org1, keep(saba.NotificationGroup{ID: org1, Name: saba.DefaultGroupName, Level: saba.NotifyCritical}))
	r.ok(err)
	if !got.Default || got.Level != saba.NotifyCritical {
		r.Errorf("the default group is %+v after an update", got)
	}
	r.ok(r.db.CreateNotificationGroup(r.ctx, org1, saba.NotificationGroup{ID: "a", Default: true, Name: "a"}))
	if r.group("a").Default {
		r.Error("a second default group was made")
	}
	all, err := r.db.NotificationGroups(r.ctx, org1)
	r.ok(err)
	r.same("the first group", all[0].ID, org1)
}

func testGroups(r objects) {
	r.roles(role("shop", "web"))
	r.ok(r.db.CreateChannel(r.ctx, org1, saba.Channel{ID: "c1", Type: saba.ChannelWebhook}, false))
	r.ok(r.db.CreateNotificationGroup(r.ctx, org1, saba.NotificationGroup{ID: "g1", Name: "child"}))
	parent := saba.NotificationGroup{ID: "g2", Name: "parent", Level: saba.NotifyAll, Groups: []string{"g1"}, Channels: []string{"c1"}, Services: []saba.NotificationService{{Name: "shop"}}}
	r.ok(r.db.CreateNotificationGroup(r.ctx, org1, parent))
	r.same("the group", r.group("g2"), parent)
	for field, bad := range map[string]saba.NotificationGroup{
		"childNotificationGroupIds[0]": {Groups: []string{"none"}},
		"childChannelIds[1]":           {Channels: []string{"c1", "none"}},
		"monitors[0]":                  {Monitors: []saba.NotificationMonitor{{ID: "none"}}},
		"services[0]":                  {Services: []saba.NotificationService{{Name: "none"}}},
	} {
		bad.ID = "g3"
		r.is(r.db.CreateNotificationGroup(r.ctx, org1, bad), saba.ErrInvalid, field, "does not exist")
	}
	_, err := r.db.UpdateNotificationGroup(r.ctx, org1, "g2", keep(saba.NotificationGroup{ID: "g2", Name: "x", Groups: []string{"g2"}}))
	r.is(err, saba.ErrInvalid, "itself")
	_, err = r.db.DeleteNotificationGroup(r.ctx, org1, "g1")
	r.ok(err)
	_, err = r.db.DeleteChannel(r.ctx, org1, "c1")
	r.ok(err)
	g := r.group("g2")
	if len(g.Groups) != 0 || len(g.Channels) != 0 {
		r.Errorf("the parent is %+v, want it without what was deleted", g)
	}
}

func testDashboard(r objects) {
	r.roles(role("shop", "web"))
	r.host("h1")
	web := saba.Scope{Service: "shop", Role: "web"}
	want := saba.Dashboard{ID: "b1", Title: "t", Memo: "m", URLPath: "a/b", CreatedAt: noon, UpdatedAt: noon + 1, Widgets: []saba.Widget{
		{Type: saba.WidgetGraph, Title: "g", Layout: saba.WidgetLayout{X: 1, Y: 2, Width: 3, Height: 4}, Graph: &saba.WidgetSource{Type: saba.SourceRole, Role: &web, Name: "loadavg5", Stacked: true},
			Range: &saba.WidgetRange{Type: "relative", Period: 3600, Offset: -60}, ValueRange: &saba.ValueRange{Min: new(0.0)}, ReferenceLines: []saba.ReferenceLine{{Label: "l", Value: 1}}},
		{Type: saba.WidgetValue, Metric: &saba.WidgetSource{Type: saba.SourceHost, Host: "h1", Name: "m"}, FractionSize: new(int64(0)), Suffix: "s", FormatRules: []saba.FormatRule{{Name: "n", Threshold: 1, Operator: ">"}}},
		{Type: saba.WidgetMarkdown, Markdown: "# <b>"},
		{Type: saba.WidgetAlertStatus, Role: &web},
	}}
	r.ok(r.db.CreateDashboard(r.ctx, org1, want))
	got, err := r.db.Dashboard(r.ctx, org1, "b1")
	r.ok(err)
	r.same("the dashboard", got, want)
	other := saba.Dashboard{ID: "b2", URLPath: "a/b"}
	r.is(r.db.CreateDashboard(r.ctx, org1, other), saba.ErrConflict, `"a/b"`)
	other.URLPath = "c"
	r.ok(r.db.CreateDashboard(r.ctx, org1, other))
	_, err = r.db.UpdateDashboard(r.ctx, org1, "b2", func(d saba.Dashboard) (saba.Dashboard, error) { d.URLPath = "a/b"; return d, nil })
	r.is(err, saba.ErrConflict, `"a/b"`)
	_, err = r.db.UpdateDashboard(r.ctx, org1, "b1", func(d saba.Dashboard) (saba.Dashboard, error) { d.URLPath = "d"; return d, nil })
	r.ok(err)
	_, err = r.db.UpdateDashboard(r.ctx, org1, "b2", func(d saba.Dashboard) (saba.Dashboard, error) { d.URLPath = "a/b"; return d, nil })
	r.ok(err) // the path was given free
	for field, w := range map[string]saba.Widget{
		"widgets[0].graph.hostId":       {Type: saba.WidgetGraph, Graph: &saba.WidgetSource{Type: saba.SourceHost, Host: "none"}},
		"widgets[0].graph.roleFullname": {Type: saba.WidgetGraph, Graph: &saba.WidgetSource{Type: saba.SourceRole, Role: &saba.Scope{Service: "shop", Role: "none"}}},
		"widgets[0].metric.serviceName": {Type: saba.WidgetValue, Metric: &saba.WidgetSource{Type: saba.SourceService, Service: "none"}},
		"widgets[0].roleFullname":       {Type: saba.WidgetAlertStatus, Role: &saba.Scope{Service: "none", Role: "web"}},
	} {
		r.is(r.db.CreateDashboard(r.ctx, org1, saba.Dashboard{ID: "b3", URLPath: "e", Widgets: []saba.Widget{w}}), saba.ErrInvalid, field, "does not exist")
	}
	all, err := r.db.Dashboards(r.ctx, org1)
	r.ok(err)
	r.same("number of dashboards", len(all), 2)
	got, err = r.db.DeleteDashboard(r.ctx, org1, "b1")
	r.ok(err)
	r.same("what was deleted", got.URLPath, "d")
	_, err = r.db.Dashboard(r.ctx, org1, "b1")
	r.is(err, saba.ErrNotFound, `"b1"`)
}

func testAnnotations(r objects) {
	r.roles(role("shop", "web"), role("api", "web"))
	note := func(id string, from, to int64) saba.GraphAnnotation {
		a := saba.GraphAnnotation{ID: id, Title: id, Description: "d", Service: "shop", Roles: []string{"web"}, From: from, To: to}
		r.ok(r.db.CreateGraphAnnotation(r.ctx, org1, a))
		return a
	}
	long, moment := note("n1", 100, 200), note("n2", 150, 150)
	find := func(what, service string, from, to int64, want ...saba.GraphAnnotation) {
		r.Helper()
		all, err := r.db.GraphAnnotations(r.ctx, org1, service, from, to)
		r.ok(err)
		r.same(what, all, want)
	}
	find("within", "shop", 0, 300, long, moment)
	find("touching the end", "shop", 200, 300, long)
	find("touching the beginning", "shop", 0, 100, long)
	find("inside", "shop", 120, 130, long)
	find("the moment", "shop", 150, 150, long, moment)
	find("before", "shop", 0, 99)
	find("after", "shop", 201, 300)
	find("another service", "api", 0, 300)
	_, err := r.db.GraphAnnotations(r.ctx, org1, "none", 0, 300)
	r.is(err, saba.ErrNotFound, `"none"`)
	r.is(r.db.CreateGraphAnnotation(r.ctx, org1, saba.GraphAnnotation{ID: "n3", Service: "none"}), saba.ErrNotFound, `"none"`)
	r.is(r.db.CreateGraphAnnotation(r.ctx, org1, saba.GraphAnnotation{ID: "n3", Service: "shop", Roles: []string{"db"}}), saba.ErrNotFound, `"db"`)
	long.From, long.To = 500, 600
	_, err = r.db.UpdateGraphAnnotation(r.ctx, org1, "n1", keep(long))
	r.ok(err)
	find("where it was moved", "shop", 550, 550, long)
	got, err := r.db.DeleteGraphAnnotation(r.ctx, org1, "n1")
	r.ok(err)
	r.same("what was deleted", got, long)
	_, err = r.db.UpdateGraphAnnotation(r.ctx, org1, "n1", keep(long))
	r.is(err, saba.ErrNotFound, `"n1"`)
}

func onHost(id string) func(a *saba.Alert) { return func(a *saba.Alert) { a.Host = id } }
func opened(at int64) func(a *saba.Alert)  { return func(a *saba.Alert) { a.OpenedAt = at } }

// verdict keeps a report of the check c of host h1, which occurred in minutes after noon.
func (r objects) verdict(minute int64, status saba.CheckStatus, message string, attempts int64) {
	r.Helper()
	r.ok(r.db.ReportChecks(r.ctx, org1, []saba.CheckReport{{Host: "h1", Name: "c", Status: status, Message: message, OccurredAt: noon + minute*60, MaxCheckAttempts: attempts}}, r.newID))
}

// alerts returns all alerts, those opened last first.
func (r objects) alerts() []saba.Alert {
	r.Helper()
	all, err := r.db.Alerts(r.ctx, org1, saba.AlertPage{Closed: true, Limit: 100})
	r.ok(err)
	return all
}

func testCheckAlerts(r objects) {
	r.host("h1")
	r.verdict(0, saba.CheckOK, "well", 2)
	r.verdict(1, saba.CheckCritical, "down", 2)
	if a := r.alerts(); len(a) != 0 {
		r.Fatalf("one bad report of two opened %+v", a)
	}
	r.verdict(2, saba.CheckCritical, "still down", 2)
	a := r.alerts()
	if len(a) != 1 || a[0].Status != saba.CheckCritical || a[0].Type != saba.AlertCheck || a[0].Host != "h1" || a[0].Message != "still down" || a[0].OpenedAt != noon+120 || !a[0].Open() {
		r.Fatalf("two bad reports made %+v", a)
	}
	r.verdict(3, saba.CheckCritical, "down since noon", 2)
	r.verdict(4, saba.CheckWarning, "slow", 2)
	r.verdict(3, saba.CheckOK, "a second one of that minute", 2)
	r.verdict(2, saba.CheckOK, "a late one", 2)
	if a = r.alerts(); len(a) != 1 || a[0].Status != saba.CheckWarning || a[0].Message != "slow" {
		r.Fatalf("then it was %+v", a)
	}
	r.verdict(5, saba.CheckOK, "well again", 2)
	if a = r.alerts(); len(a) != 1 || a[0].Open() || a[0].ClosedAt != noon+300 || a[0].Message != "well again" {
		r.Fatalf("an OK left %+v", a)
	}
	logs, err := r.db.AlertLogs(r.ctx, org1, a[0].ID, "", 10)
	r.ok(err)
	var steps []string
	for _, l := range logs {
		steps = append(steps, string(l.Status)+" "+l.Detail.Message)
	}
	r.same("the steps of the alert", steps, []string{"OK well again", "WARNING slow", "CRITICAL still down"})
	r.verdict(6, saba.CheckUnknown, "who knows", 1)
	if a = r.alerts(); len(a) != 2 || a[0].Status != saba.CheckUnknown || a[0].ID == a[1].ID {
		r.Errorf("the next time there were %+v", a)
	}
}

func testQuietChecks(r objects) {
	r.host("h1")
	r.ok(r.db.SetHostStatus(r.ctx, org1, []string{"h1"}, saba.Maintenance))
	r.verdict(0, saba.CheckCritical, "", 1)
	r.ok(r.db.SetHostStatus(r.ctx, org1, []string{"h1"}, saba.Standby))
	r.verdict(1, saba.CheckOK, "", 1)
	r.ok(r.db.CreateDowntime(r.ctx, org1, saba.Downtime{ID: "d1", Name: "night", Start: noon + 120, Duration: 2}))
	r.verdict(2, saba.CheckCritical, "", 1)
	if a := r.alerts(); len(a) != 0 {
		r.Fatalf("alerts are there: %+v", a)
	}
	r.verdict(5, saba.CheckCritical, "still down after the downtime", 1)
	if a := r.alerts(); len(a) != 1 {
		r.Errorf("%d alerts are there, want one", len(a))
	}
}

func testFindAlerts(r objects) {
	web := role("shop", "web")
	r.roles(web, role("blog", "db"))
	r.host("h1")
	r.ok(r.db.SetHostRoles(r.ctx, org1, "h1", []saba.RoleName{web}))
	r.host("h2")
	r.monitor("m1", func(m *saba.Monitor) { m.Name = "Load of ÄRGER" })
	r.monitor("m2", ofType(saba.MonitorService), watching("shop"))
	r.monitor("m3")
	at := func(minute int64) func(a *saba.Alert) { return func(a *saba.Alert) { a.OpenedAt = noon + 60*minute } }
	on := func(host string) func(a *saba.Alert) { return func(a *saba.Alert) { a.Host = host } }
	ends := func(id string, minute int64, reason string) {
		_, err := r.db.MoveAlert(r.ctx, org1, id, saba.AlertMove{At: noon + 60*minute, Status: saba.CheckOK, Trigger: saba.TriggerManual, Reason: reason})
		r.ok(err)
	}
	r.alert("a1", "m1", on("h1"), at(0), func(a *saba.Alert) { a.Message = "loadavg5 3 > 2" })
	ends("a1", 10, "a 100% deploy_")
	r.alert("a2", "m2", at(20), func(a *saba.Alert) { a.Type, a.Status = "service", saba.CheckCritical })
	ends("a2", 30, "")
	r.alert("a3", "m1", on("h2"), at(40))
	r.alert("a4", "m1", on("h1"), at(40), func(a *saba.Alert) { a.Status = saba.CheckCritical })
	r.alert("a5", "m3", on("h2"), at(50))
	r.ok(r.db.RetireHosts(r.ctx, org1, []string{"h2"}, noon+60*60))
	r.verdict(60, saba.CheckUnknown, "", 1)
	for what, tt := range map[string]struct {
		f    saba.AlertFilter
		want string
	}{
		"all":                        {saba.AlertFilter{}, "check a5 a4 a3 a2 a1"},
		"open":                       {saba.AlertFilter{OnlyOpen: true}, "check a4"},
		"closed":                     {saba.AlertFilter{OnlyClosed: true}, "a5 a3 a2 a1"},
		"open after":                 {saba.AlertFilter{Since: noon + 31*60}, "check a5 a4 a3"},
		"open at the moment it ends": {saba.AlertFilter{Since: noon + 30*60, Until: noon + 30*60}, "a2"},
		"open before":                {saba.AlertFilter{Until: noon + 39*60}, "a2 a1"},
		"of a monitor":               {saba.AlertFilter{Monitor: "m1"}, "a4 a3 a1"},
		"of a host":                  {saba.AlertFilter{Host: "h1"}, "check a4 a1"},
		"of a host by its name":      {saba.AlertFilter{Host: "H2.Example"}, "a5 a3"},
		"of a host that is not":      {saba.AlertFilter{Host: "h"}, ""},
		"of a service":               {saba.AlertFilter{Service: "shop"}, "check a4 a2 a1"},
		"of a service that is not":   {saba.AlertFilter{Service: "s"}, ""},
		"of a status":                {saba.AlertFilter{Status: saba.CheckWarning}, "a5 a3 a1"},
		"as bad as that":             {saba.AlertFilter{Status: saba.CheckCritical, OnlyClosed: true}, "a2"},
		"with words of the rule":     {saba.AlertFilter{Text: "ärger LOAD"}, "a4 a3 a1"},
		"with a name of the host":    {saba.AlertFilter{Text: "h2"}, "a5 a3"},
		"with a role":                {saba.AlertFilter{Text: "shop:web load"}, "a4 a1"},
		"with the service":           {saba.AlertFilter{Text: "shop", Monitor: "m2"}, "a2"},
		"with the reason":            {saba.AlertFilter{Text: "100% deploy_"}, "a1"},
		"with no pattern":            {saba.AlertFilter{Text: "%"}, "a1"},
		"with all words":             {saba.AlertFilter{Text: "deploy load h2"}, ""},
		"with the check's name":      {saba.AlertFilter{Text: "c", Status: saba.CheckUnknown}, "check"},
	} {
		var ids []string
		pages := 0
		for from, more := "", true; more; more = from != "" {
			found, next, err := r.db.FindAlerts(r.ctx, org1, tt.f, from, 2)
			r.ok(err)
			if pages++; len(found) > 2 || pages > 5 || next != "" && len(found) < 2 {
				r.Fatalf("%s: page %d has %d alerts and is followed by %q", what, pages, len(found), next)
			}
			for _, a := range found {
				if a.Type == saba.AlertCheck {
					a.ID = "check"
				}
				ids = append(ids, a.ID)
			}
			from = next
		}
		r.same(what, strings.Join(ids, " "), tt.want)
	}
	_, _, err := r.db.FindAlerts(r.ctx, org1, saba.AlertFilter{}, "none", 2)
	r.is(err, saba.ErrInvalid, "nextId")
	found, _, err := r.db.FindAlerts(r.ctx, org2, saba.AlertFilter{}, "", 10)
	r.ok(err)
	r.same("alerts of another organization", len(found), 0)
}

// testDeferredChecks: agents report a check when its status changes, so that what came at a bad time must be judged without another report.
func testDeferredChecks(r objects) {
	r.host("h1")
	deferred := func() (names string) {
		r.Helper()
		checks, err := r.db.DeferredChecks(r.ctx, org1)
		r.ok(err)
		for _, c := range checks {
			names += c.Host + " " + c.Name + " " + string(c.Latest.Status) + ";"
		}
		return names
	}
	again := func(minute int64) {
		r.Helper()
		checks, err := r.db.Checks(r.ctx, org1, "h1")
		r.ok(err)
		r.ok(r.db.JudgeCheck(r.ctx, org1, checks[0].ID, noon+60*minute, func() (string, error) { return fmt.Sprint("again", minute), nil }))
	}
	open := func() (text string) {
		r.Helper()
		for _, a := range r.alerts() {
			if a.Open() {
				text += fmt.Sprint(a.ID, " ", a.Status, " ", a.Message, " ", (a.OpenedAt-noon)/60, ";")
			}
		}
		return text
	}
	r.ok(r.db.CreateDowntime(r.ctx, org1, saba.Downtime{ID: "d1", Name: "night", Start: noon, Duration: 10}))
	r.verdict(1, saba.CheckOK, "well", 1)
	r.same("left for later after an OK", deferred(), "")
	r.verdict(3, saba.CheckCritical, "down", 1)
	bad := deferred()
	r.same("left for later in a downtime", bad != "" && strings.HasSuffix(bad, " CRITICAL;"), true)
	r.verdict(2, saba.CheckOK, "a late one", 1)
	r.same("left for later after a late report", deferred(), bad)
	again(5)
	r.same("open while the downtime lasts", open(), "")
	r.same("left for later while it lasts", deferred(), bad)
	again(10)
	r.same("open at its end", open(), "again10 CRITICAL down 10;")
	r.same("left for later at its end", deferred(), "")
	_, err := r.db.MoveAlert(r.ctx, org1, "again10", saba.AlertMove{At: noon + 660, Status: saba.CheckOK, Trigger: saba.TriggerManual})
	r.ok(err)
	again(12)
	r.same("open after a person closed it", open(), "")

	r.verdict(13, saba.CheckWarning, "slow", 1)
	r.ok(r.db.SetHostStatus(r.ctx, org1, []string{"h1"}, saba.Maintenance))
	r.verdict(14, saba.CheckOK, "well again", 1)
	r.same("left for later in maintenance", strings.HasSuffix(deferred(), " OK;"), true)
	again(15)
	if open() == "" {
		r.Error("maintenance closed an alert")
	}
	r.ok(r.db.SetHostStatus(r.ctx, org1, []string{"h1"}, saba.Working))
	again(16)
	r.same("open after maintenance", open(), "")
	r.same("left for later after maintenance", deferred(), "")

	r.ok(r.db.SetHostStatus(r.ctx, org1, []string{"h1"}, saba.Poweroff))
	r.verdict(17, saba.CheckCritical, "down", 1)
	r.verdict(18, saba.CheckOK, "well", 1)
	r.same("left for later of what was well again by then", deferred(), "")
}

func testAlertOnce(r objects) {
	r.alert("a1", "m1", onHost("h1"))
	r.is(r.db.OpenAlert(r.ctx, org1, saba.Alert{ID: "a2", Monitor: "m1", Host: "h1", Status: saba.CheckCritical, OpenedAt: noon}, nil), saba.ErrConflict, `"m1"`)
	r.alert("a3", "m1", onHost("h2"))
	r.alert("a4", "m2", onHost("h1"))
	series := func(id, zone string) saba.Alert {
		return saba.Alert{ID: id, Monitor: "q", Type: "query", Status: saba.CheckCritical, OpenedAt: noon, Series: saba.AlertSeries{Name: "n", Labels: map[string]string{"zone": zone, "a": "b"}}}
	}
	r.ok(r.db.OpenAlert(r.ctx, org1, series("a5", "x"), nil))
	r.ok(r.db.OpenAlert(r.ctx, org1, series("a6", "y"), nil))
	r.is(r.db.OpenAlert(r.ctx, org1, series("a7", "x"), nil), saba.ErrConflict)
	r.same("the series", r.readAlert("a5").Series, series("", "x").Series)
	_, err := r.db.MoveAlert(r.ctx, org1, "a1", saba.AlertMove{At: noon + 1, Status: saba.CheckOK, Trigger: saba.TriggerMonitoring})
	r.ok(err)
	r.alert("a8", "m1", onHost("h1")) // a new incident is a new alert
}

func testAlertMoves(r objects) {
	want := saba.Alert{ID: "a1", Status: saba.CheckWarning, Monitor: "m1", Type: "check", Host: "h1", Value: new(1.5), Message: "m", Memo: "memo", OpenedAt: noon, Worst: saba.CheckWarning}
	r.monitor("m1")
	r.ok(r.db.OpenAlert(r.ctx, org1, want, &saba.AlertDetail{Message: "said", Memo: "port"}))
	r.same("the alert", r.readAlert("a1"), want)
	got, err := r.db.MoveAlert(r.ctx, org1, "a1", saba.AlertMove{At: noon + 60, Status: saba.CheckCritical, Trigger: saba.TriggerMonitoring, Value: new(0.0)})
	r.ok(err)
	want.Status, want.Worst, want.Value = saba.CheckCritical, saba.CheckCritical, new(0.0)
	r.same("what the move returns", got, want)
	r.same("the alert after it", r.readAlert("a1"), want)
	r.ok(r.db.SetAlertMemo(r.ctx, org1, "a1", "new"))
	want.Memo = "new"
	got, err = r.db.MoveAlert(r.ctx, org1, "a1", saba.AlertMove{At: noon - 5, Status: saba.CheckOK, Trigger: saba.TriggerManual, Reason: "why", Message: "200"})
	r.ok(err)
	want.Status, want.Reason, want.Message, want.ClosedAt = saba.CheckOK, "why", "200", noon // never before it opened
	r.same("the closed alert", got, want)
	got, err = r.db.MoveAlert(r.ctx, org1, "a1", saba.AlertMove{At: noon + 99, Status: saba.CheckCritical, Trigger: saba.TriggerMonitoring})
	r.ok(err)
	r.same("the closed alert after another move", got, want)
	logs, err := r.db.AlertLogs(r.ctx, org1, "a1", "", 100)
	r.ok(err)
	r.same("the log", logs, []saba.AlertLog{
		{ID: "a1000003", Monitor: "m1", AlertMove: saba.AlertMove{At: noon - 5, Status: saba.CheckOK, Trigger: saba.TriggerManual}},
		{ID: "a1000002", Monitor: "m1", AlertMove: saba.AlertMove{At: noon + 60, Status: saba.CheckCritical, Trigger: saba.TriggerMonitoring, Value: new(0.0)}},
		{ID: "a1000001", Monitor: "m1", AlertMove: saba.AlertMove{At: noon, Status: saba.CheckWarning, Trigger: saba.TriggerMonitoring, Value: new(1.5), Detail: &saba.AlertDetail{Message: "said", Memo: "port"}}},
	})
	page, err := r.db.AlertLogs(r.ctx, org1, "a1", "a1000002", 1)
	r.ok(err)
	r.same("the page from the second step", page, logs[1:2])
	_, err = r.db.AlertLogs(r.ctx, org1, "a1", "nonsense", 1)
	r.is(err, saba.ErrInvalid, "nextId")
	_, err = r.db.MoveAlert(r.ctx, org1, "none", saba.AlertMove{})
	r.is(err, saba.ErrNotFound, `"none"`)
	r.is(r.db.SetAlertMemo(r.ctx, org1, "none", ""), saba.ErrNotFound, `"none"`)
}

func testAlertPages(r objects) {
	for i, at := range []int64{5, 9, 5, 7} {
		r.alert(fmt.Sprintf("a%d", i), fmt.Sprintf("m%d", i), opened(noon+at))
	}
	_, err := r.db.MoveAlert(r.ctx, org1, "a3", saba.AlertMove{At: noon + 10, Status: saba.CheckOK})
	r.ok(err)
	ids := func(p saba.AlertPage) (ids []string) {
		r.Helper()
		all, err := r.db.Alerts(r.ctx, org1, p)
		r.ok(err)
		for _, a := range all {
			ids = append(ids, a.ID)
		}
		return ids
	}
	r.same("open ones", ids(saba.AlertPage{Limit: 9}), []string{"a1", "a2", "a0"})
	r.same("all", ids(saba.AlertPage{Closed: true, Limit: 9}), []string{"a1", "a3", "a2", "a0"})
	r.same("the first page", ids(saba.AlertPage{Closed: true, Limit: 2}), []string{"a1", "a3"})
	r.same("from the third on", ids(saba.AlertPage{Closed: true, From: "a2", Limit: 9}), []string{"a2", "a0"})
	r.same("open ones from a closed one on", ids(saba.AlertPage{From: "a3", Limit: 9}), []string{"a2", "a0"})
	_, err = r.db.Alerts(r.ctx, org1, saba.AlertPage{From: "none", Limit: 9})
	r.is(err, saba.ErrInvalid, "nextId", `"none"`)
}

func testRetireClosesAlerts(r objects) {
	r.host("h1")
	r.host("h2")
	r.alert("a1", "m1", onHost("h1"))
	r.alert("a2", "m1", onHost("h2"))
	r.ok(r.db.RetireHosts(r.ctx, org1, []string{"h1"}, noon+9))
	r.ok(r.db.RetireHosts(r.ctx, org1, []string{"h1"}, noon+99))
	r.closed("a1", saba.TriggerHostRetire)
	if a := r.readAlert("a2"); !a.Open() {
		r.Errorf("the alert of another host is %+v, want it open", a)
	}
}

func testCheckWithAlert(r objects) {
	r.host("h1")
	declare := func(names ...string) {
		checks := []saba.CheckDeclaration{}
		for _, n := range names {
			checks = append(checks, saba.CheckDeclaration{Name: n})
		}
		r.ok(r.db.UpdateHost(r.ctx, org1, "h1", update(func(u *saba.HostUpdate) { u.Checks = &checks }), r.newID))
	}
	declare("bad", "good")
	r.alert("a1", r.checks("h1")[0].ID, onHost("h1"))
	declare()
	r.same("checks while the alert is open", r.checkNames("h1"), []string{"bad"})
	_, err := r.db.MoveAlert(r.ctx, org1, "a1", saba.AlertMove{At: noon + 1, Status: saba.CheckOK})
	r.ok(err)
	declare()
	r.same("checks after it closed", r.checkNames("h1"), []string(nil))
}

func testMembers(r objects) {
	r.ok(r.db.SetSetupToken(r.ctx, org1, "token"))
	r.ok(r.db.CompleteSetup(r.ctx, "token", saba.User{ID: "u1", Email: "Me@example.com", CreatedAt: noon}))
	all, err := r.db.Members(r.ctx, org1)
	r.ok(err)
	r.same("members", all, []saba.Member{{ID: "u1", Email: "Me@example.com", Authority: saba.Owner, JoinedAt: noon}})
	_, err = r.db.DeleteMember(r.ctx, org1, "u1")
	r.is(err, saba.ErrForbidden, "owns")
	_, err = r.db.DeleteMember(r.ctx, org1, "none")
	r.is(err, saba.ErrNotFound, `"none"`)
	r.same("members after that", len(all), 1)
	r.ok(r.db.CreateChannel(r.ctx, org1, saba.Channel{ID: "c1", Type: saba.ChannelEmail, UserIDs: []string{"u1"}}, false))
}

func testSetAuthority(r objects) {
	r.ok(r.db.SetSetupToken(r.ctx, org1, "token"))
	r.ok(r.db.CompleteSetup(r.ctx, "token", saba.User{ID: "u1", Email: "u1@example.com", CreatedAt: noon}))
	for i, id := range []string{"u2", "u3"} {
		guest := saba.Invitation{Email: id + "@example.com", Authority: saba.Manager, ExpiresAt: noon + 100}
		r.ok(r.db.Invite(r.ctx, org1, guest, noon))
		r.ok(r.db.LinkInvitation(r.ctx, org1, guest.Email, id, noon))
		r.ok(r.db.AcceptInvitation(r.ctx, id, saba.User{ID: id, CreatedAt: noon + 1 + int64(i)}, noon))
	}
	are := func(what string, want ...saba.Authority) {
		r.Helper()
		all, err := r.db.Members(r.ctx, org1)
		r.ok(err)
		var got []saba.Authority
		for _, m := range all {
			got = append(got, m.Authority)
		}
		r.same(what, got, want)
	}
	refused := func(kind error, says, org, id string, a saba.Authority, by string) {
		r.Helper()
		_, err := r.db.SetAuthority(r.ctx, org, id, a, by)
		r.is(err, kind, says)
	}
	refused(saba.ErrForbidden, "their own", org1, "u2", saba.Viewer, "u2")
	refused(saba.ErrForbidden, "their own", org1, "u2", saba.Owner, "u2")
	refused(saba.ErrForbidden, "their own", org1, "u1", saba.Viewer, "u1")
	refused(saba.ErrForbidden, "owns the organization", org1, "u1", saba.Viewer, "u2")
	refused(saba.ErrForbidden, "only the owner", org1, "u3", saba.Owner, "u2")
	refused(saba.ErrInvalid, "authority", org1, "u3", "king", "u1")
	refused(saba.ErrNotFound, `"none"`, org1, "none", saba.Viewer, "u1")
	refused(saba.ErrNotFound, `"u2"`, org2, "u2", saba.Viewer, "u1")
	are("authorities after what was refused", saba.Owner, saba.Manager, saba.Manager)

	was, err := r.db.SetAuthority(r.ctx, org1, "u3", saba.Viewer, "u2")
	r.ok(err)
	r.same("who it was", was, saba.Member{ID: "u3", Email: "u3@example.com", Authority: saba.Manager, JoinedAt: noon + 2})
	are("authorities", saba.Owner, saba.Manager, saba.Viewer)
	_, err = r.db.SetAuthority(r.ctx, org1, "u3", saba.Owner, "u1")
	r.ok(err)
	are("authorities once the owner has handed over", saba.Manager, saba.Manager, saba.Owner)
	refused(saba.ErrForbidden, "owns the organization", org1, "u3", saba.Viewer, "u1")
}

func testInvitations(r objects) {
	i := saba.Invitation{Email: "Guest@example.com", Authority: saba.Viewer, ExpiresAt: noon + 100}
	r.ok(r.db.Invite(r.ctx, org1, i, noon))
	all, err := r.db.Invitations(r.ctx, org1, noon)
	r.ok(err)
	r.same("invitations", all, []saba.Invitation{i})
	again := i
	again.Email = "guest@EXAMPLE.com"
	r.is(r.db.Invite(r.ctx, org1, again, noon), saba.ErrConflict, "invited already")
	all, err = r.db.Invitations(r.ctx, org1, noon+100)
	r.ok(err)
	r.same("invitations when it is late", all, []saba.Invitation(nil))
	r.is(r.db.RevokeInvitation(r.ctx, org1, i.Email, noon+100), saba.ErrNotFound)
	again.ExpiresAt = noon + 300
	r.ok(r.db.Invite(r.ctx, org1, again, noon+100)) // the late one gives way
	r.ok(r.db.RevokeInvitation(r.ctx, org1, i.Email, noon+100))
	r.is(r.db.RevokeInvitation(r.ctx, org1, i.Email, noon+100), saba.ErrNotFound, "Guest@example.com")
	r.ok(r.db.SetSetupToken(r.ctx, org1, "token"))
	r.ok(r.db.CompleteSetup(r.ctx, "token", saba.User{ID: "u1", Email: "me@example.com"}))
	r.is(r.db.Invite(r.ctx, org1, saba.Invitation{Email: "ME@example.com", ExpiresAt: noon + 1}, noon), saba.ErrConflict, "account")
}

func testAcceptInvitation(r objects) {
	i := saba.Invitation{Email: "Guest@example.com", Authority: saba.Viewer, ExpiresAt: noon + 100}
	r.ok(r.db.Invite(r.ctx, org1, i, noon))
	r.is(r.db.LinkInvitation(r.ctx, org1, "other@example.com", "h", noon), saba.ErrNotFound, "other@example.com")
	r.is(r.db.LinkInvitation(r.ctx, org2, i.Email, "h", noon), saba.ErrNotFound)
	r.is(r.db.LinkInvitation(r.ctx, org1, i.Email, "h", noon+100), saba.ErrNotFound)
	_, _, err := r.db.InvitationByHash(r.ctx, "", noon) // it has no link
	r.is(err, saba.ErrNotFound)
	r.ok(r.db.LinkInvitation(r.ctx, org1, "guest@example.COM", "first", noon))
	r.ok(r.db.LinkInvitation(r.ctx, org1, i.Email, "second", noon))
	u := saba.User{ID: "u1", Org: org2, Email: "else@example.com", Authority: saba.Owner, PasswordHash: "p", CreatedAt: noon}
	for _, hash := range []string{"", "first", "none"} {
		r.is(r.db.AcceptInvitation(r.ctx, hash, u, noon), saba.ErrNotFound, "not valid")
	}
	org, got, err := r.db.InvitationByHash(r.ctx, "second", noon+99)
	r.ok(err)
	r.same("the organization", org, org1)
	r.same("the invitation", got, i)
	_, _, err = r.db.InvitationByHash(r.ctx, "second", noon+100)
	r.is(err, saba.ErrNotFound)
	r.is(r.db.AcceptInvitation(r.ctx, "second", u, noon+100), saba.ErrNotFound)
	r.ok(r.db.AcceptInvitation(r.ctx, "second", u, noon+99))
	r.is(r.db.AcceptInvitation(r.ctx, "second", u, noon+99), saba.ErrNotFound)
	u.Org, u.Email, u.Authority = org1, i.Email, saba.Viewer
	made, err := r.db.UserByEmail(r.ctx, "guest@example.com")
	r.ok(err)
	r.same("the account", made, u)
	left, err := r.db.Invitations(r.ctx, org1, noon)
	r.ok(err)
	r.same("invitations left", left, []saba.Invitation(nil))

	// Somebody got an account with the address meanwhile.
	late := saba.Invitation{Email: "late@example.com", Authority: saba.Manager, ExpiresAt: noon + 100}
	r.ok(r.db.Invite(r.ctx, org2, late, noon))
	r.ok(r.db.Invite(r.ctx, org1, late, noon))
	r.ok(r.db.LinkInvitation(r.ctx, org1, late.Email, "one", noon))
	r.ok(r.db.LinkInvitation(r.ctx, org2, late.Email, "two", noon))
	r.ok(r.db.AcceptInvitation(r.ctx, "two", saba.User{ID: "u2"}, noon))
	r.is(r.db.AcceptInvitation(r.ctx, "one", saba.User{ID: "u3"}, noon), saba.ErrConflict, "late@example.com")
	_, _, err = r.db.InvitationByHash(r.ctx, "one", noon)
	r.ok(err) // still there: nothing was done
}

func testNetworks(r objects) {
	read := func(s saba.Surface) []string {
		r.Helper()
		cidrs, err := r.db.Networks(r.ctx, org1, s)
		r.ok(err)
		return cidrs
	}
	r.same("at first", read(saba.SurfaceAPI), []string(nil))
	r.ok(r.db.SetNetworks(r.ctx, org1, saba.SurfaceAPI, []string{"10.0.0.0/8", "2001:db8::/32"}))
	r.ok(r.db.SetNetworks(r.ctx, org1, saba.SurfaceWeb, []string{"192.0.2.0/24"}))
	r.ok(r.db.SetNetworks(r.ctx, org1, saba.SurfaceWeb, []string{"192.0.2.1/32"}))
	r.ok(r.db.CreateKey(r.ctx, saba.Key{ID: "k1", Org: org1, Hash: "hash"}))
	r.ok(r.db.CreateKey(r.ctx, saba.Key{ID: "k2", Org: org2, Hash: "other"}))
	k, err := r.db.KeyByHash(r.ctx, "hash")
	r.ok(err)
	r.same("with a key", k.Networks, []string{"10.0.0.0/8", "2001:db8::/32"})
	k, err = r.db.KeyByHash(r.ctx, "other")
	r.ok(err)
	r.same("with a key of another organization", k.Networks, []string(nil))
	r.same("of the API", read(saba.SurfaceAPI), []string{"10.0.0.0/8", "2001:db8::/32"})
	r.same("of the console", read(saba.SurfaceWeb), []string{"192.0.2.1/32"})
	r.ok(r.db.SetNetworks(r.ctx, org1, saba.SurfaceAPI, nil))
	r.same("when it was lifted", read(saba.SurfaceAPI), []string(nil))
}

func testAWS(r objects) {
	want := saba.AWSIntegration{ID: "i1", Name: "n", Memo: "m", Key: new("k"), SecretKey: new("secret"), Region: "r", IncludedTags: "a:b", Services: map[string]saba.AWSService{"EC2": {Enable: true, Role: new("shop: web"), ExcludedMetrics: &[]string{}}}}
	r.ok(r.db.CreateAWSIntegration(r.ctx, org1, want))
	want.SecretKey = nil
	got, err := r.db.AWSIntegration(r.ctx, org1, "i1")
	r.ok(err)
	r.same("the integration", got, want)
	r.is(r.db.CreateAWSIntegration(r.ctx, org1, saba.AWSIntegration{ID: "i2", Name: "n"}), saba.ErrConflict, `"n"`)
	r.ok(r.db.CreateAWSIntegration(r.ctx, org1, saba.AWSIntegration{ID: "i2", Name: "o"}))
	_, err = r.db.UpdateAWSIntegration(r.ctx, org1, "i2", keep(saba.AWSIntegration{ID: "i2", Name: "n"}))
	r.is(err, saba.ErrConflict, `"n"`)
	all, err := r.db.AWSIntegrations(r.ctx, org1)
	r.ok(err)
	r.same("how many", len(all), 2)
	got, err = r.db.DeleteAWSIntegration(r.ctx, org1, "i1")
	r.ok(err)
	r.same("what was deleted", got, want)
}

func testForeignObjects(r objects) {
	r.roles(role("shop", "web"))
	r.host("h1")
	r.monitor("m1")
	r.ok(r.db.CreateDowntime(r.ctx, org1, saba.Downtime{ID: "d1"}))
	r.ok(r.db.CreateAlertGroupSetting(r.ctx, org1, saba.AlertGroupSetting{ID: "s1"}))
	r.ok(r.db.CreateChannel(r.ctx, org1, saba.Channel{ID: "c1", Type: saba.ChannelEmail}, true))
	r.ok(r.db.CreateNotificationGroup(r.ctx, org1, saba.NotificationGroup{ID: "g1"}))
	r.ok(r.db.CreateDashboard(r.ctx, org1, saba.Dashboard{ID: "b1", URLPath: "p"}))
	r.ok(r.db.CreateGraphAnnotation(r.ctx, org1, saba.GraphAnnotation{ID: "n1", Service: "shop", From: 1, To: 2}))
	r.alert("a1", "m1")
	r.ok(r.db.SetSetupToken(r.ctx, org1, "token"))
	r.ok(r.db.CompleteSetup(r.ctx, "token", saba.User{ID: "u1", Email: "me@example.com"}))
	r.ok(r.db.Invite(r.ctx, org1, saba.Invitation{Email: "guest@example.com", ExpiresAt: noon + 1}, noon))
	r.ok(r.db.CreateAWSIntegration(r.ctx, org1, saba.AWSIntegration{ID: "i1", Name: "n"}))
	r.ok(r.db.SetNetworks(r.ctx, org1, saba.SurfaceAPI, []string{"10.0.0.0/8"}))

	errOf := func(_ any, err error) error { return err }
	for what, err := range map[string]error{
		"read a monitor":       errOf(r.db.Monitor(r.ctx, org2, "m1")),
		"update a monitor":     errOf(r.db.UpdateMonitor(r.ctx, org2, "m1", 0, keep(saba.Monitor{}))),
		"delete a monitor":     errOf(r.db.DeleteMonitor(r.ctx, org2, "m1", noon)),
		"update a downtime":    errOf(r.db.UpdateDowntime(r.ctx, org2, "d1", keep(saba.Downtime{}))),
		"delete a downtime":    errOf(r.db.DeleteDowntime(r.ctx, org2, "d1")),
		"read a setting":       errOf(r.db.AlertGroupSetting(r.ctx, org2, "s1")),
		"update a setting":     errOf(r.db.UpdateAlertGroupSetting(r.ctx, org2, "s1", keep(saba.AlertGroupSetting{}))),
		"delete a setting":     errOf(r.db.DeleteAlertGroupSetting(r.ctx, org2, "s1")),
		"update a channel":     errOf(r.db.UpdateChannel(r.ctx, org2, "c1", keep(saba.Channel{}))),
		"delete a channel":     errOf(r.db.DeleteChannel(r.ctx, org2, "c1")),
		"update a group":       errOf(r.db.UpdateNotificationGroup(r.ctx, org2, "g1", keep(saba.NotificationGroup{}))),
		"delete a group":       errOf(r.db.DeleteNotificationGroup(r.ctx, org2, "g1")),
		"read a dashboard":     errOf(r.db.Dashboard(r.ctx, org2, "b1")),
		"update a dashboard":   errOf(r.db.UpdateDashboard(r.ctx, org2, "b1", keep(saba.Dashboard{}))),
		"delete a dashboard":   errOf(r.db.DeleteDashboard(r.ctx, org2, "b1")),
		"list annotations":     errOf(r.db.GraphAnnotations(r.ctx, org2, "shop", 0, 9)),
		"update an annotation": errOf(r.db.UpdateGraphAnnotation(r.ctx, org2, "n1", keep(saba.GraphAnnotation{}))),
		"delete an annotation": errOf(r.db.DeleteGraphAnnotation(r.ctx, org2, "n1")),
		"read an alert":        errOf(r.db.Alert(r.ctx, org2, "a1")),
		"move an alert":        errOf(r.db.MoveAlert(r.ctx, org2, "a1", saba.AlertMove{Status: saba.CheckOK})),
		"write a memo":         r.db.SetAlertMemo(r.ctx, org2, "a1", "x"),
		"read a log":           errOf(r.db.AlertLogs(r.ctx, org2, "a1", "", 9)),
		"delete a member":      errOf(r.db.DeleteMember(r.ctx, org2, "u1")),
		"change an authority":  errOf(r.db.SetAuthority(r.ctx, org2, "u1", saba.Viewer, "u2")),
		"revoke":               r.db.RevokeInvitation(r.ctx, org2, "guest@example.com", noon),
		"read AWS":             errOf(r.db.AWSIntegration(r.ctx, org2, "i1")),
		"update AWS":           errOf(r.db.UpdateAWSIntegration(r.ctx, org2, "i1", keep(saba.AWSIntegration{}))),
		"rename a service":     r.db.RenameService(r.ctx, org2, "shop", saba.Service{Name: "mine"}),
		"rename a role":        r.db.RenameRole(r.ctx, org2, "shop", "web", saba.Role{Name: "mine"}),
		"revive a host":        r.db.ReviveHost(r.ctx, org2, "h1", noon),
		"hide a graph":         r.db.HideServiceGraph(r.ctx, org2, "shop", "a.*", noon),
		"delete AWS":           errOf(r.db.DeleteAWSIntegration(r.ctx, org2, "i1")),
	} {
		if !errors.Is(err, saba.ErrNotFound) {
			r.Errorf("%s of another organization: error %v, want not found", what, err)
		}
	}
	for what, err := range map[string]error{
		"a service in a scope":    r.db.CreateMonitor(r.ctx, org2, saba.Monitor{ID: "m2", Scopes: []saba.Scope{{Service: "shop"}}}),
		"a role in a scope":       r.db.CreateMonitor(r.ctx, org2, saba.Monitor{ID: "m2", Scopes: []saba.Scope{{Service: "shop", Role: "web"}}}),
		"a monitor in a downtime": r.db.CreateDowntime(r.ctx, org2, saba.Downtime{ID: "d2", MonitorScopes: []string{"m1"}}),
		"an account in a channel": r.db.CreateChannel(r.ctx, org2, saba.Channel{ID: "c2", UserIDs: []string{"u1"}}, false),
		"a channel in a group":    r.db.CreateNotificationGroup(r.ctx, org2, saba.NotificationGroup{ID: "g2", Channels: []string{"c1"}}),
		"a group in a group":      r.db.CreateNotificationGroup(r.ctx, org2, saba.NotificationGroup{ID: "g2", Groups: []string{"g1"}}),
		"a host in a dashboard": r.db.CreateDashboard(r.ctx, org2, saba.Dashboard{ID: "b2", URLPath: "p", Widgets: []saba.Widget{
			{Type: saba.WidgetGraph, Graph: &saba.WidgetSource{Type: saba.SourceHost, Host: "h1"}}}}),
	} {
		if !errors.Is(err, saba.ErrInvalid) {
			r.Errorf("to name %s of another organization: error %v, want invalid", what, err)
		}
	}
	r.ok(r.db.CreateDashboard(r.ctx, org2, saba.Dashboard{ID: "b3", URLPath: "p"})) // a path is taken within an organization
	counts := []int{}
	count := func(n int, err error) { r.ok(err); counts = append(counts, n) }
	list := func(org string) []int {
		counts = nil
		monitors, err := r.db.Monitors(r.ctx, org)
		count(len(monitors), err)
		downtimes, err := r.db.Downtimes(r.ctx, org)
		count(len(downtimes), err)
		settings, err := r.db.AlertGroupSettings(r.ctx, org)
		count(len(settings), err)
		channels, err := r.db.Channels(r.ctx, org)
		count(len(channels), err)
		alerts, err := r.db.Alerts(r.ctx, org, saba.AlertPage{Closed: true, Limit: 9})
		count(len(alerts), err)
		members, err := r.db.Members(r.ctx, org)
		count(len(members), err)
		invitations, err := r.db.Invitations(r.ctx, org, noon)
		count(len(invitations), err)
		networks, err := r.db.Networks(r.ctx, org, saba.SurfaceAPI)
		count(len(networks), err)
		aws, err := r.db.AWSIntegrations(r.ctx, org)
		count(len(aws), err)
		return counts
	}
	r.same("what the other organization lists", list(org2), []int{0, 0, 0, 0, 0, 0, 0, 0, 0})
	r.same("what is there", list(org1), []int{2, 1, 1, 1, 1, 1, 1, 1, 1})
}

// named gives org1 one of everything that names the role shop:web, and the service api, which has a role of the same name.
func (r objects) named() {
	r.Helper()
	r.roles(role("shop", "web"), role("api", "web"))
	r.host("h1", roles(role("api", "web"), role("shop", "web")))
	web, other := saba.Scope{Service: "shop", Role: "web"}, saba.Scope{Service: "api", Role: "web"}
	r.monitor("m2", func(m *saba.Monitor) { m.Expression = `max(role( shop: web , "x"))` })
	r.monitor("m1", watching("shop"), scoped(web, other, saba.Scope{Service: "shop"}), func(m *saba.Monitor) { m.ExcludeScopes = []saba.Scope{web} })
	r.ok(r.db.CreateDowntime(r.ctx, org1, saba.Downtime{ID: "d1", ServiceScopes: []string{"shop", "api"}, ServiceExcludeScopes: []string{"shop"}, RoleScopes: []saba.Scope{web, other}, RoleExcludeScopes: []saba.Scope{web}}))
	r.ok(r.db.CreateAlertGroupSetting(r.ctx, org1, saba.AlertGroupSetting{ID: "s1", ServiceScopes: []string{"shop"}, RoleScopes: []saba.Scope{web, other}}))
	r.ok(r.db.CreateNotificationGroup(r.ctx, org1, saba.NotificationGroup{ID: "g1", Services: []saba.NotificationService{{Name: "shop"}, {Name: "api"}}}))
	r.ok(r.db.CreateGraphAnnotation(r.ctx, org1, saba.GraphAnnotation{ID: "n1", Service: "shop", Roles: []string{"web"}, From: 1, To: 2}))
	r.ok(r.db.CreateDashboard(r.ctx, org1, saba.Dashboard{ID: "b1", URLPath: "p", Widgets: []saba.Widget{
		{Type: saba.WidgetGraph, Graph: &saba.WidgetSource{Type: saba.SourceRole, Role: &saba.Scope{Service: "shop", Role: "web"}}},
		{Type: saba.WidgetValue, Metric: &saba.WidgetSource{Type: saba.SourceService, Service: "shop"}},
		{Type: saba.WidgetAlertStatus, Role: &saba.Scope{Service: "api", Role: "web"}},
	}}))
	for _, owner := range []saba.MetadataOwner{{Org: org1, Service: "shop"}, {Org: org1, Service: "shop", Role: "web"}} {
		r.ok(r.db.PutMetadata(r.ctx, owner, saba.Metadata{Namespace: "ns", Value: []byte("1"), UpdatedAt: noon}))
	}
}

// renamed checks that what named set up names web and service in place of shop:web and shop, and nothing else changed.
func (r objects) renamed(service string, web saba.Scope) {
	r.Helper()
	other := saba.Scope{Service: "api", Role: "web"}
	m, err := r.db.Monitor(r.ctx, org1, "m1")
	r.ok(err)
	r.same("scopes of the monitor", m.Scopes, []saba.Scope{web, other, {Service: service}})
	r.same("excluded scopes of the monitor", m.ExcludeScopes, []saba.Scope{web})
	r.same("service of the monitor", m.Service, service)
	m, err = r.db.Monitor(r.ctx, org1, "m2")
	r.ok(err)
	if want := `max(role( ` + web.String() + ` , "x"))`; strings.ReplaceAll(m.Expression, ": ", ":") != want {
		r.Errorf("the expression of the monitor is %s, want %s", m.Expression, want)
	}
	d, err := r.db.Downtimes(r.ctx, org1)
	r.ok(err)
	r.same("the downtime", d[0], saba.Downtime{ID: "d1", ServiceScopes: []string{service, "api"}, ServiceExcludeScopes: []string{service}, RoleScopes: []saba.Scope{web, other}, RoleExcludeScopes: []saba.Scope{web}})
	s, err := r.db.AlertGroupSetting(r.ctx, org1, "s1")
	r.ok(err)
	r.same("the setting", s, saba.AlertGroupSetting{ID: "s1", ServiceScopes: []string{service}, RoleScopes: []saba.Scope{web, other}})
	r.same("services of the group", r.group("g1").Services, []saba.NotificationService{{Name: service}, {Name: "api"}})
	a, err := r.db.GraphAnnotations(r.ctx, org1, service, 0, 9)
	r.ok(err)
	r.same("annotations", a, []saba.GraphAnnotation{{ID: "n1", Service: service, Roles: []string{web.Role}, From: 1, To: 2}})
	b, err := r.db.Dashboard(r.ctx, org1, "b1")
	r.ok(err)
	r.same("role of the graph", *b.Widgets[0].Graph.Role, web)
	r.same("service of the value", b.Widgets[1].Metric.Service, service)
	r.same("role of the alert status", *b.Widgets[2].Role, other)
	r.same("roles of the host", r.readHost("h1").Roles, []saba.RoleName{role("api", "web"), {Service: web.Service, Role: web.Role}})
	for _, owner := range []saba.MetadataOwner{{Org: org1, Service: service}, {Org: org1, Service: web.Service, Role: web.Role}} {
		_, err := r.db.Metadata(r.ctx, owner, "ns")
		r.ok(err)
	}
}

func testRenameService(r objects) {
	r.named()
	r.is(r.db.RenameService(r.ctx, org1, "shop", saba.Service{Name: "api"}), saba.ErrConflict, `"api"`)
	r.renamed("shop", saba.Scope{Service: "shop", Role: "web"})
	r.ok(r.db.RenameService(r.ctx, org1, "shop", saba.Service{Name: "store", Memo: "m"}))
	r.renamed("store", saba.Scope{Service: "store", Role: "web"})
	r.same("services", r.services(org1), []saba.Service{{Name: "api", Roles: []string{"web"}}, {Name: "store", Memo: "m", Roles: []string{"web"}}})
	r.ok(r.db.RenameService(r.ctx, org1, "store", saba.Service{Name: "store", Memo: "n"}))
	r.same("the memo", r.services(org1)[1].Memo, "n")
	r.is(r.db.RenameService(r.ctx, org1, "shop", saba.Service{Name: "other"}), saba.ErrNotFound, `"shop"`)
}

func testRenamedSeries(r objects) {
	r.ok(r.db.CreateService(r.ctx, org1, saba.Service{Name: "shop"}))
	r.ok(r.db.RenameService(r.ctx, org1, "shop", saba.Service{Name: "store"}))
	r.same("samples of the renamed service", r.seriesOf(org1), map[string]string{"store": "shop"})
	r.host("h1", roles(role("shop", "web"))) // makes another service of the first name
	r.same("samples of both", r.seriesOf(org1), map[string]string{"store": "shop", "shop": "shop.2"})
	r.ok(r.db.RenameService(r.ctx, org1, "shop", saba.Service{Name: "new"}))
	r.ok(r.db.CreateService(r.ctx, org1, saba.Service{Name: "shop"}))
	r.same("samples of all", r.seriesOf(org1), map[string]string{"store": "shop", "new": "shop.2", "shop": "shop.3"})
	r.ok(r.db.CreateService(r.ctx, org2, saba.Service{Name: "shop"}))
	r.same("samples of the other organization's", r.seriesOf(org2), map[string]string{"shop": "shop"})
	_, err := r.db.DeleteService(r.ctx, org1, "shop", noon)
	r.ok(err)
	r.ok(r.db.RenameService(r.ctx, org1, "store", saba.Service{Name: "shop"})) // back
	r.same("samples after all that", r.seriesOf(org1), map[string]string{"shop": "shop", "new": "shop.2"})
}

// The samples of a deleted service show on no other, whatever it and others were called.
func testSeriesOfDeletedServices(r objects) {
	remake := func(name string) {
		_, err := r.db.DeleteService(r.ctx, org1, name, noon)
		r.ok(err)
		r.ok(r.db.CreateService(r.ctx, org1, saba.Service{Name: "shop"}))
	}
	r.ok(r.db.CreateService(r.ctx, org1, saba.Service{Name: "shop"}))
	remake("shop")
	r.same("samples of the second", r.seriesOf(org1), map[string]string{"shop": "shop.2"})
	r.ok(r.db.RenameService(r.ctx, org1, "shop", saba.Service{Name: "store"}))
	r.ok(r.db.CreateService(r.ctx, org1, saba.Service{Name: "shop"}))
	r.same("samples beside a renamed one", r.seriesOf(org1), map[string]string{"store": "shop.2", "shop": "shop.3"})
	remake("shop")
	r.same("samples of one that was made anew beside a renamed one", r.seriesOf(org1), map[string]string{"store": "shop.2", "shop": "shop.4"})
	_, err := r.db.DeleteService(r.ctx, org1, "shop", noon)
	r.ok(err)
	remake("store")
	r.same("samples once the renamed one is gone, too", r.seriesOf(org1), map[string]string{"shop": "shop.5"})
	r.ok(r.db.CreateService(r.ctx, org1, saba.Service{Name: "store"}))
	r.ok(r.db.CreateService(r.ctx, org2, saba.Service{Name: "shop"}))
	r.same("samples of the other organization's", r.seriesOf(org2), map[string]string{"shop": "shop"})
	r.same("samples after all that", r.seriesOf(org1), map[string]string{"shop": "shop.5", "store": "store"})
}

func testRenameRole(r objects) {
	r.named()
	r.ok(r.db.CreateRole(r.ctx, org1, "shop", saba.Role{Name: "db"}))
	r.is(r.db.RenameRole(r.ctx, org1, "shop", "web", saba.Role{Name: "db"}), saba.ErrConflict, `"db"`)
	r.ok(r.db.RenameRole(r.ctx, org1, "shop", "web", saba.Role{Name: "front", Memo: "m"}))
	r.renamed("shop", saba.Scope{Service: "shop", Role: "front"})
	all, err := r.db.Roles(r.ctx, org1, "shop")
	r.ok(err)
	r.same("roles", all, []saba.Role{{Name: "db"}, {Name: "front", Memo: "m"}})
	r.is(r.db.RenameRole(r.ctx, org1, "shop", "web", saba.Role{Name: "other"}), saba.ErrNotFound, `"web"`)
}

func testRevive(r objects) {
	const day = 24 * 60 * 60
	want := r.host("h1", identifier("i-1"), roles(role("shop", "web")))
	retired := func(want bool) {
		r.Helper()
		got, err := r.db.HostRetired(r.ctx, org1, "h1")
		r.ok(err)
		r.same("retired", got, want)
	}
	r.ok(r.db.RetireHosts(r.ctx, org1, []string{"h1"}, noon))
	retired(true)
	r.is(r.db.ReviveHost(r.ctx, org1, "h1", noon+30*day+1), saba.ErrInvalid, "30 days")
	retired(true)
	r.ok(r.db.ReviveHost(r.ctx, org1, "h1", noon+30*day))
	retired(false)
	r.same("the host", r.readHost("h1"), want)
	r.ok(r.db.ReviveHost(r.ctx, org1, "h1", noon+99*day)) // it lives
	r.ok(r.db.RetireHosts(r.ctx, org1, []string{"h1"}, noon))
	r.host("h2", identifier("i-1"))
	r.is(r.db.ReviveHost(r.ctx, org1, "h1", noon), saba.ErrConflict, `"h2"`)
	if h := r.readHost("h1"); !h.Retired() {
		r.Errorf("the host is %+v, want it retired", h)
	}
}

func testHiddenGraphs(r objects) {
	r.roles(role("shop", "web"))
	r.ok(r.db.HideServiceGraph(r.ctx, org1, "shop", "a.*", noon))
	r.ok(r.db.HideServiceGraph(r.ctx, org1, "shop", "b.*", noon))
	r.ok(r.db.HideServiceGraph(r.ctx, org1, "shop", "a.*", noon+5))
	hidden, err := r.db.HiddenServiceGraphs(r.ctx, org1, "shop")
	r.ok(err)
	r.same("hidden graphs", hidden, map[string]int64{"a.*": noon + 5, "b.*": noon})
	hidden, err = r.db.HiddenServiceGraphs(r.ctx, org2, "shop")
	r.ok(err)
	r.same("those of another organization", hidden, map[string]int64{})
	r.is(r.db.HideServiceGraph(r.ctx, org1, "none", "a.*", noon), saba.ErrNotFound, `"none"`)
}

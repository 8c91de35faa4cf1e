package storetest

import (
	"context"
	"fmt"
	"testing"

	"github.com/saba-monitor/saba"
)

// EventRecords is what people are told, as package sqldb keeps it.
type EventRecords interface {
	ObjectRecords

	AddEvent(ctx context.Context, org string, e saba.Event) error
	UnroutedEvents(ctx context.Context, org string, limit int) ([]saba.Event, error)
	RouteEvents(ctx context.Context, org string, at int64, decided ...saba.Routing) error
	NextNotifications(ctx context.Context, org string) ([]saba.Notification, error)
	NextNotification(ctx context.Context, org, channel string) (saba.Notification, saba.Event, error)
	SetNotification(ctx context.Context, org string, n saba.Notification) error
	SuspendChannel(ctx context.Context, org, id string, at int64, reason string) error
	AlertNews(ctx context.Context, org string) (map[string]saba.AlertNews, error)
	Heard(ctx context.Context, org, subject string) (bool, error)
	OpenAlertGroups(ctx context.Context, org string) ([]saba.AlertGroup, error)
	Grouped(ctx context.Context, org, alert string) (bool, error)
	EventsOf(ctx context.Context, org, subject string, limit int) ([]saba.Told, error)
	DeleteEvents(ctx context.Context, org string, before int64, limit int) (int64, error)
	AlertCulprits(ctx context.Context, org, id string) (saba.Culprits, error)
	HandleAlert(ctx context.Context, org, id string, change func(saba.Handling) saba.Handling) (saba.Alert, error)
}

// TestEvents runs the contract of events and notifications against one engine. open is as in TestObjects.
func TestEvents(t *testing.T, open func(t *testing.T) EventRecords) {
	for _, fact := range []struct {
		name string
		test func(r events)
	}{
		{"each step of an alert is an event that says what it was about", testAlertEvents},
		{"what is done to hosts and monitors is an event", testOtherEvents},
		{"an event is routed once", testRouteOnce},
		{"of events that are routed together all are, or none", testRouteTogether},
		{"each channel's notifications leave in order", testNotificationOrder},
		{"the news of an alert is its newest event, and whether it was heard", testAlertNews},
		{"alerts that a setting collects are a group, which follows them", testAlertGroups},
		{"a suspended channel gives up what waits for it", testSuspend},
		{"old events are forgotten, but for those that wait and the newest", testDeleteEvents},
		{"what people do about an alert is kept", testHandling},
		{"an alert keeps what its host's agent said when it opened", testCulprits},
		{"events of another organization are not seen", testForeignEvents},
	} {
		t.Run(fact.name, func(t *testing.T) {
			db := open(t)
			fact.test(events{objects{records{t, t.Context(), db, func() (string, error) { return "id", nil }}, db}, db})
		})
	}
}

type events struct {
	objects
	db EventRecords
}

// unrouted returns the events that wait for a decision, without those of what the test set up before.
func (r events) unrouted(after int64) []saba.Event {
	r.Helper()
	all, err := r.db.UnroutedEvents(r.ctx, org1, 1000)
	r.ok(err)
	for len(all) > 0 && all[0].Seq <= after {
		all = all[1:]
	}
	return all
}

// newest returns the number of the newest event.
func (r events) newest() int64 {
	all := r.unrouted(0)
	if len(all) == 0 {
		return 0
	}
	return all[len(all)-1].Seq
}

func to(channels ...string) (v saba.Verdict) {
	for _, c := range channels {
		v.Notifications = append(v.Notifications, saba.Notification{Channel: c, State: saba.NotificationWaiting})
	}
	return v
}

func testAlertEvents(r events) {
	r.roles(saba.RoleName{Service: "shop", Role: "web"})
	r.host("h1")
	r.ok(r.db.SetHostRoles(r.ctx, org1, "h1", []saba.RoleName{{Service: "shop", Role: "web"}}))
	r.monitor("m1", watching("shop"), func(m *saba.Monitor) { m.Memo = "call ops" })
	before := r.newest()
	r.alert("a1", "m1", onHost("h1"))
	_, err := r.db.MoveAlert(r.ctx, org1, "a1", saba.AlertMove{At: noon + 60, Status: saba.CheckCritical, Trigger: saba.TriggerMonitoring, Message: "worse"})
	r.ok(err)
	_, err = r.db.DeleteMonitor(r.ctx, org1, "m1", noon+120)
	r.ok(err)
	all := r.unrouted(before)
	if len(all) != 4 {
		r.Fatalf("%d events are there, want three of the alert and one of the monitor: %+v", len(all), all)
	}
	for i, want := range []struct {
		status saba.CheckStatus
		at     int64
		cause  saba.AlertTrigger
	}{{saba.CheckWarning, noon, saba.TriggerMonitoring}, {saba.CheckCritical, noon + 60, saba.TriggerMonitoring}, {saba.CheckOK, noon + 120, saba.TriggerMonitorDelete}} {
		e := all[i]
		if e.Kind != saba.EventAlert || e.Subject != "a1" || e.At != want.at || e.Trigger != want.cause || e.Alert == nil || e.Alert.Status != want.status {
			r.Errorf("event %d is %+v of %+v, want %+v", i, e, e.Alert, want)
		}
		if e.Monitor == nil || e.Monitor.ID != "m1" || e.Memo != "call ops" || e.Host == nil || e.Host.ID != "h1" || len(e.Host.Roles) != 1 || e.Service == nil || e.Service.Roles[0] != "web" {
			r.Errorf("event %d does not say what it is about: %+v", i, e)
		}
	}
	if e := all[3]; e.Kind != saba.EventMonitor || e.Action != saba.ActionDelete || e.At != noon+120 {
		r.Errorf("the last event is %+v, want that of the monitor", e)
	}
	if w := all[2].Alert.Worst; w != saba.CheckCritical {
		r.Errorf("the alert was %s at worst, want CRITICAL", w)
	}
}

func testOtherEvents(r events) {
	before := r.newest()
	r.host("h1")
	r.ok(r.db.SetHostStatus(r.ctx, org1, []string{"h1"}, saba.Standby))
	r.ok(r.db.SetHostStatus(r.ctx, org1, []string{"h1"}, saba.Standby)) // nothing changes
	r.monitor("m1")
	_, err := r.db.UpdateMonitor(r.ctx, org1, "m1", noon, func(m saba.Monitor) (saba.Monitor, error) { m.Mute = true; return m, nil })
	r.ok(err)
	r.ok(r.db.RetireHosts(r.ctx, org1, []string{"h1"}, noon+9))
	r.ok(r.db.RetireHosts(r.ctx, org1, []string{"h1"}, noon+10))
	var got []string
	for _, e := range r.unrouted(before) {
		got = append(got, string(e.Kind)+" "+e.Subject+" "+string(e.From)+string(e.Action))
	}
	r.same("events", got, []string{"hostRegister h1 ", "hostStatus h1 working", "monitor m1 create", "monitor m1 update", "hostRetire h1 "})
}

func testRouteOnce(r events) {
	r.alert("a1", "m1", onHost("h1"))
	seq := r.newest()
	r.ok(r.db.RouteEvents(r.ctx, org1, noon+1, saba.Routing{Event: seq, Verdict: saba.Verdict{Silence: saba.SilenceDowntime, Detail: `downtime "night"`}}))
	r.ok(r.db.RouteEvents(r.ctx, org1, noon+2, saba.Routing{Event: seq, Verdict: to("c1")}))
	r.same("unrouted events", len(r.unrouted(seq-1)), 0)
	told, err := r.db.EventsOf(r.ctx, org1, "a1", 9)
	r.ok(err)
	if len(told) != 1 || !told[0].Routed || told[0].Silence != saba.SilenceDowntime || told[0].Detail != `downtime "night"` || len(told[0].Notifications) != 0 {
		r.Errorf("what was told is %+v, want the first decision", told)
	}
	r.host("h9")
	_, err = r.db.UpdateMonitor(r.ctx, org1, "none", noon, nil)
	r.is(err, saba.ErrNotFound)
	r.ok(r.db.SetHostStatus(r.ctx, org1, []string{"h9"}, saba.Standby))
	seq = r.newest()
	r.ok(r.db.RouteEvents(r.ctx, org1, noon+5, saba.Routing{Event: seq, Verdict: saba.Verdict{}}))
	told, err = r.db.EventsOf(r.ctx, org1, "h9", 1)
	r.ok(err)
	if len(told) != 1 || told[0].At != noon+5 {
		r.Errorf("an event without a time has got %+v, want that of its decision", told)
	}
}

func testRouteTogether(r events) {
	before := r.newest()
	r.alert("a1", "m1", onHost("h1"))
	r.alert("a2", "m2", onHost("h1"))
	waiting := r.unrouted(before)
	var decided []saba.Routing
	for _, e := range waiting {
		decided = append(decided, saba.Routing{Event: e.Seq, Verdict: to("c1")})
	}
	broken := append([]saba.Routing{}, decided...)
	broken[len(broken)-1].Verdict = to("c1", "c1") // one channel twice
	if err := r.db.RouteEvents(r.ctx, org1, noon+1, broken...); err == nil {
		r.Errorf("two notifications of one event for one channel were kept")
	}
	r.same("unrouted events after a failure", len(r.unrouted(before)), len(waiting))
	_, _, err := r.db.NextNotification(r.ctx, org1, "c1")
	r.is(err, saba.ErrNotFound)
	r.ok(r.db.RouteEvents(r.ctx, org1, noon+2, decided...))
	r.same("unrouted events", len(r.unrouted(before)), 0)
	n, _, err := r.db.NextNotification(r.ctx, org1, "c1")
	r.ok(err)
	r.same("the first that waits", n.Event, decided[0].Event)
}

func testNotificationOrder(r events) {
	_, _, err := r.db.NextNotification(r.ctx, org1, "c1")
	r.is(err, saba.ErrNotFound)
	var seqs []int64
	for _, id := range []string{"a1", "a2"} {
		r.alert(id, "m"+id, onHost("h1"))
		seq := r.newest()
		seqs = append(seqs, seq)
		v := to("c1", "c2")
		v.Notifications = append(v.Notifications, saba.Notification{Channel: "c3", State: saba.NotificationLeft, Silence: saba.SilenceLevel, Detail: "WARNING"})
		r.ok(r.db.RouteEvents(r.ctx, org1, noon, saba.Routing{Event: seq, Verdict: v}))
	}
	n, e, err := r.db.NextNotification(r.ctx, org1, "c1")
	r.ok(err)
	if n.Event != seqs[0] || e.Subject != "a1" || e.Alert.ID != "a1" {
		r.Errorf("the first is %+v of %+v", n, e)
	}
	n.Attempts, n.FirstTry, n.NextTry, n.Detail = 1, noon, noon+10, "it does not answer"
	r.ok(r.db.SetNotification(r.ctx, org1, n))
	all, err := r.db.NextNotifications(r.ctx, org1)
	r.ok(err)
	r.same("what waits", all, []saba.Notification{n, {Event: seqs[0], Channel: "c2", State: saba.NotificationWaiting}})
	n.State, n.DoneAt, n.Detail = saba.NotificationSent, noon+11, ""
	r.ok(r.db.SetNotification(r.ctx, org1, n))
	n.State = saba.NotificationFailed // too late: it was sent
	r.ok(r.db.SetNotification(r.ctx, org1, n))
	next, _, err := r.db.NextNotification(r.ctx, org1, "c1")
	r.ok(err)
	r.same("the next event", next.Event, seqs[1])
	told, err := r.db.EventsOf(r.ctx, org1, "a1", 9)
	r.ok(err)
	if len(told) != 1 || len(told[0].Notifications) != 3 || told[0].Notifications[0].State != saba.NotificationSent || told[0].Notifications[2].Silence != saba.SilenceLevel {
		r.Errorf("what was told is %+v", told)
	}
}

func testAlertNews(r events) {
	r.alert("a1", "m1", onHost("h1"))
	news := func() saba.AlertNews {
		r.Helper()
		all, err := r.db.AlertNews(r.ctx, org1)
		r.ok(err)
		return all["a1"]
	}
	r.same("news before the decision", news(), saba.AlertNews{})
	r.ok(r.db.RouteEvents(r.ctx, org1, noon+1, saba.Routing{Event: r.newest(), Verdict: saba.Verdict{Silence: saba.SilenceDowntime}}))
	r.same("news of one that was left", news(), saba.AlertNews{At: noon, Status: saba.CheckWarning, Trigger: saba.TriggerMonitoring, Silence: saba.SilenceDowntime})
	r.ok(r.db.AddEvent(r.ctx, org1, saba.Event{Kind: saba.EventAlert, Subject: "a1", At: noon + 60, Trigger: saba.TriggerStill}))
	r.ok(r.db.RouteEvents(r.ctx, org1, noon+61, saba.Routing{Event: r.newest(), Verdict: to("c1")}))
	r.same("news of one that is told", news(), saba.AlertNews{At: noon + 60, Status: saba.CheckWarning, Trigger: saba.TriggerStill, Heard: true})
	_, err := r.db.MoveAlert(r.ctx, org1, "a1", saba.AlertMove{At: noon + 90, Status: saba.CheckOK, Trigger: saba.TriggerManual})
	r.ok(err)
	r.same("news of a closed one", news(), saba.AlertNews{})
	heard, err := r.db.Heard(r.ctx, org1, "a1")
	r.ok(err)
	r.same("whether it was heard", heard, true)
	before := r.newest()
	r.ok(r.db.AddEvent(r.ctx, org1, saba.Event{Kind: saba.EventAlert, Subject: "a1", At: noon + 99, Trigger: saba.TriggerStill}))
	r.same("events of a closed alert that is told again", len(r.unrouted(before)), 0)
}

func testSuspend(r events) {
	r.ok(r.db.CreateChannel(r.ctx, org1, saba.Channel{ID: "c1", Type: saba.ChannelWebhook, Name: "hook", URL: "https://example.com/"}, false))
	r.alert("a1", "m1", onHost("h1"))
	r.ok(r.db.RouteEvents(r.ctx, org1, noon+1, saba.Routing{Event: r.newest(), Verdict: to("c1", "c2")}))
	r.ok(r.db.SuspendChannel(r.ctx, org1, "c1", noon+9, "it failed for a day"))
	_, _, err := r.db.NextNotification(r.ctx, org1, "c1")
	r.is(err, saba.ErrNotFound)
	_, _, err = r.db.NextNotification(r.ctx, org1, "c2")
	r.ok(err)
	all, err := r.db.Channels(r.ctx, org1)
	r.ok(err)
	r.same("when it was suspended", all[0].SuspendedAt, int64(noon+9))
	r.ok(r.db.SuspendChannel(r.ctx, org1, "c1", 0, ""))
	all, err = r.db.Channels(r.ctx, org1)
	r.ok(err)
	r.same("when it was suspended, after its release", all[0].SuspendedAt, int64(0))
	r.is(r.db.SuspendChannel(r.ctx, org1, "none", 1, ""), saba.ErrNotFound)
	told, err := r.db.EventsOf(r.ctx, org1, "a1", 1)
	r.ok(err)
	if n := told[0].Notifications[0]; n.State != saba.NotificationFailed || n.Detail != "it failed for a day" || n.DoneAt != noon+9 {
		r.Errorf("what waited has become %+v", n)
	}
}

func testDeleteEvents(r events) {
	r.alert("a1", "m1", onHost("h1"))
	r.ok(r.db.RouteEvents(r.ctx, org1, noon+1, saba.Routing{Event: r.newest(), Verdict: saba.Verdict{Silence: saba.SilenceNobody}}))
	r.alert("a2", "m2", onHost("h1"))
	r.ok(r.db.RouteEvents(r.ctx, org1, noon+1, saba.Routing{Event: r.newest(), Verdict: to("c1")}))
	r.alert("a3", "m3", onHost("h1"))
	undecided := r.newest()
	r.alert("a4", "m4", onHost("h1"))
	newest := r.newest()
	r.ok(r.db.RouteEvents(r.ctx, org1, noon+1, saba.Routing{Event: newest, Verdict: saba.Verdict{Silence: saba.SilenceNobody}}))
	n, err := r.db.DeleteEvents(r.ctx, org1, noon+100, 1000)
	r.ok(err)
	r.same("events that were forgotten", n, int64(1))
	for id, want := range map[string]int{"a1": 0, "a2": 1, "a3": 1, "a4": 1} {
		told, err := r.db.EventsOf(r.ctx, org1, id, 9)
		r.ok(err)
		r.same("events of "+id, len(told), want)
	}
	r.same("what waits for a decision", r.unrouted(0)[0].Seq, undecided)
	n, err = r.db.DeleteEvents(r.ctx, org1, noon, 1000)
	r.ok(err)
	r.same("events of before noon", n, int64(0))
	r.alert("a5", "m5", onHost("h1"))
	r.same("the number of the next event", r.newest(), newest+1)
}

func testHandling(r events) {
	r.alert("a1", "m1", onHost("h1"))
	want := saba.Handling{AckedBy: "u1", AckedAt: noon + 5, Assignee: "u2", MutedUntil: noon + 3600}
	a, err := r.db.HandleAlert(r.ctx, org1, "a1", func(saba.Handling) saba.Handling { return want })
	r.ok(err)
	r.same("what is returned", a.Handling, want)
	r.same("what is kept", r.readAlert("a1").Handling, want)
	_, err = r.db.HandleAlert(r.ctx, org1, "none", func(h saba.Handling) saba.Handling { return h })
	r.is(err, saba.ErrNotFound, `"none"`)

	// Each of it is an event, while the alert is open, and none is a step of the alert.
	_, err = r.db.HandleAlert(r.ctx, org1, "a1", func(h saba.Handling) saba.Handling { h.MutedUntil = 0; return h })
	r.ok(err)
	_, err = r.db.HandleAlert(r.ctx, org1, "a1", func(saba.Handling) saba.Handling { return saba.Handling{} })
	r.ok(err)
	events, err := r.db.EventsOf(r.ctx, org1, "a1", 100)
	r.ok(err)
	var said []string
	for _, e := range events {
		if e.Kind == saba.EventHandling {
			said = append(said, fmt.Sprint(e.Action, " ", e.Who, " ", e.User, " ", e.At-noon, " ", e.Alert.Handling.AckedBy))
		}
	}
	r.same("events of who handles the alert, newest first", said, []string{fmt.Sprint("unassign   ", -noon, " "), fmt.Sprint("takeBack   ", -noon, " "), fmt.Sprint("assign   ", -noon, " u1"), "acknowledge  u1 5 u1"})
	r.ok(r.db.RouteEvents(r.ctx, org1, noon+9, saba.Routing{Event: r.newest(), Verdict: saba.Verdict{Silence: saba.SilenceNobody}}))
	news, err := r.db.AlertNews(r.ctx, org1)
	r.ok(err)
	r.same("news of the alert", news["a1"].Trigger, saba.AlertTrigger(""))
	_, err = r.db.MoveAlert(r.ctx, org1, "a1", saba.AlertMove{At: noon + 60, Status: saba.CheckOK, Trigger: saba.TriggerManual})
	r.ok(err)
	before := r.newest()
	_, err = r.db.HandleAlert(r.ctx, org1, "a1", func(saba.Handling) saba.Handling { return want })
	r.ok(err)
	r.same("the newest event after a closed alert was acknowledged", r.newest(), before)
}

func testForeignEvents(r events) {
	r.alert("a1", "m1", onHost("h1"))
	seq := r.newest()
	all, err := r.db.UnroutedEvents(r.ctx, org2, 1000)
	r.ok(err)
	for _, e := range all {
		if e.Subject == "a1" {
			r.Errorf("another organization sees %+v", e)
		}
	}
	r.ok(r.db.RouteEvents(r.ctx, org2, noon, saba.Routing{Event: seq, Verdict: to("c1")}))
	r.same("what waits for a decision after another organization decided", r.newest(), seq)
	r.ok(r.db.RouteEvents(r.ctx, org1, noon, saba.Routing{Event: seq, Verdict: to("c1")}))
	_, _, err = r.db.NextNotification(r.ctx, org2, "c1")
	r.is(err, saba.ErrNotFound)
	told, err := r.db.EventsOf(r.ctx, org2, "a1", 9)
	r.ok(err)
	r.same("what another organization is told", len(told), 0)
	_, err = r.db.HandleAlert(r.ctx, org2, "a1", func(h saba.Handling) saba.Handling { return h })
	r.is(err, saba.ErrNotFound)
}

func testAlertGroups(r events) {
	r.roles(saba.RoleName{Service: "shop", Role: "web"})
	r.host("h1")
	r.host("h2")
	r.ok(r.db.SetHostRoles(r.ctx, org1, "h1", []saba.RoleName{{Service: "shop", Role: "web"}}))
	r.ok(r.db.CreateAlertGroupSetting(r.ctx, org1, saba.AlertGroupSetting{ID: "s1", Name: "shop", ServiceScopes: []string{"shop"}}))
	before := r.newest()
	r.alert("a1", "m1", onHost("h1"))
	r.alert("a2", "m2", onHost("h1"))
	r.alert("a3", "m1", onHost("h2")) // of no service
	move := func(id string, at int64, s saba.CheckStatus) {
		r.Helper()
		_, err := r.db.MoveAlert(r.ctx, org1, id, saba.AlertMove{At: at, Status: s, Trigger: saba.TriggerMonitoring})
		r.ok(err)
	}
	move("a2", noon+60, saba.CheckCritical)
	open, err := r.db.OpenAlertGroups(r.ctx, org1)
	r.ok(err)
	if len(open) != 1 || open[0].Setting != "s1" || open[0].Status != saba.CheckCritical || len(open[0].Alerts) != 2 || open[0].OpenedAt != noon {
		r.Fatalf("open groups are %+v, want one with a1 and a2", open)
	}
	move("a2", noon+120, saba.CheckOK)
	move("a1", noon+180, saba.CheckOK)
	var got []string
	for _, e := range r.unrouted(before) {
		if e.Kind == saba.EventAlertGroup {
			got = append(got, fmt.Sprint(e.Group.Status, " ", e.Group.Worst, " ", e.Group.ClosedAt, " ", e.Setting.Name, " ", e.Alert.ID))
		}
	}
	r.same("events of the group", got, []string{"WARNING WARNING 0 shop a1", "CRITICAL CRITICAL 0 shop a2", "WARNING CRITICAL 0 shop a2", fmt.Sprint("OK CRITICAL ", noon+180, " shop a1")})
	for id, want := range map[string]bool{"a1": true, "a2": true, "a3": false} {
		yes, err := r.db.Grouped(r.ctx, org1, id)
		r.ok(err)
		r.same("whether "+id+" is grouped", yes, want)
	}
	r.alert("a4", "m1", onHost("h1"))
	open, err = r.db.OpenAlertGroups(r.ctx, org1)
	r.ok(err)
	if len(open) != 1 || len(open[0].Alerts) != 1 || open[0].Alerts[0] != "a4" {
		r.Errorf("open groups are %+v, want a new one with a4", open)
	}
	_, err = r.db.DeleteAlertGroupSetting(r.ctx, org1, "s1")
	r.ok(err)
	yes, err := r.db.Grouped(r.ctx, org1, "a4")
	r.ok(err)
	r.same("whether a4 is grouped without the setting", yes, false)
}

// culprits posts what an agent says of host h1 at a time: that a process of some name is busy.
func (r events) culprits(at int64, value string) {
	r.Helper()
	r.ok(r.db.PutMetadata(r.ctx, saba.MetadataOwner{Org: org1, Host: "h1"}, saba.Metadata{Namespace: saba.CulpritsNamespace, Value: []byte(value), UpdatedAt: at}))
}

func busy(name string) string {
	return fmt.Sprintf(`{"at":1,"why":["cpu"],"cpu":[{"name":%q,"pid":7,"cpu":312.5,"rss":10}],"memory":[{"name":"java","pid":8,"cpu":1,"rss":20}]}`, name)
}

func testCulprits(r events) {
	r.host("h1")
	r.host("h2")
	has := func(alert, name string, at int64) {
		r.Helper()
		c, err := r.db.AlertCulprits(r.ctx, org1, alert)
		if name == "" {
			r.is(err, saba.ErrNotFound)
			return
		}
		if err != nil || c.At != at || len(c.CPU) != 1 || c.CPU[0].Name != name || len(c.Memory) != 1 || c.Memory[0].RSS != 20 {
			r.Errorf("the culprits of %s are %+v, error %v; want %s, seen at %d", alert, c, err, name, at)
		}
	}
	for _, m := range []string{"m1", "m2", "m3", "m4", "m5"} {
		r.monitor(m)
	}
	r.culprits(noon-301, busy("old"))
	r.alert("a1", "m1", onHost("h1"))
	has("a1", "", 0) // too long ago
	r.culprits(noon+240, `"<garbage>"`)
	has("a1", "", 0)
	before := r.newest()
	r.culprits(noon+300, busy("mysqld"))
	has("a1", "mysqld", noon+300)         // in time
	r.culprits(noon+299, busy("another")) // in time as well, by a clock that was set back
	has("a1", "mysqld", noon+300)         // frozen
	r.culprits(noon+301, busy("later"))
	_, err := r.db.MoveAlert(r.ctx, org1, "a1", saba.AlertMove{At: noon + 310, Status: saba.CheckCritical, Trigger: saba.TriggerMonitoring})
	r.ok(err)
	if all := r.unrouted(before); len(all) != 1 || all[0].Culprits == nil || all[0].Culprits.CPU[0].Name != "mysqld" {
		r.Errorf("events are %+v, want one that names the culprit", all)
	}
	r.alert("a2", "m2", onHost("h1"), opened(noon+601))
	has("a2", "later", noon+301)
	if all := r.unrouted(before); len(all) != 2 || all[1].Culprits == nil || all[1].Culprits.CPU[0].Name != "later" {
		r.Errorf("events are %+v, want the second to name the culprit", all)
	}
	r.alert("a3", "m3", onHost("h2"), opened(noon+601))
	r.alert("a4", "m4", opened(noon+601))
	r.culprits(noon+610, busy("ruby"))
	has("a3", "", 0)                // of another host
	has("a4", "", 0)                // of none
	r.culprits(noon+620, `{"cpu":`) // which no API lets through
	r.alert("a5", "m5", onHost("h1"), opened(noon+621))
	has("a5", "", 0)
	_, err = r.db.MoveAlert(r.ctx, org1, "a5", saba.AlertMove{At: noon + 625, Status: saba.CheckOK, Trigger: saba.TriggerMonitoring})
	r.ok(err)
	r.culprits(noon+630, busy("ruby"))
	has("a5", "", 0) // closed
	_, err = r.db.AlertCulprits(r.ctx, org2, "a1")
	r.is(err, saba.ErrNotFound)
}

package client_test

import (
	"errors"
	"reflect"
	"testing"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/client"
)

// What is written through the client is read through it as it was written, for every noun that people set up.
func TestObjectsAgainstTheServer(t *testing.T) {
	ctx, c := t.Context(), openServer(t)
	host := must(c.CreateHost(ctx, client.HostParam{Name: "vm", Meta: []byte(`{}`), RoleFullnames: []string{"shop:web"}}))(t)
	web := saba.Scope{Service: "shop", Role: "web"}
	same := func(what string, got, want any) {
		t.Helper()
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s = %+v, want %+v", what, got, want)
		}
	}
	gone := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, saba.ErrNotFound) {
			t.Errorf("%s after its deletion: error %v, want ErrNotFound", what, err)
		}
	}

	m := saba.Monitor{Type: saba.MonitorHost, Name: "m", Metric: "cpu%", Operator: ">", Warning: new(80.0), Duration: 3, MaxCheckAttempts: 1, Scopes: []saba.Scope{web}, ExcludeScopes: []saba.Scope{}, NotificationInterval: new(int64(10))}
	made := must(c.CreateMonitor(ctx, m))(t)
	m.ID = made.ID
	same("monitor", made, m)
	same("monitor by id", must(c.Monitor(ctx, m.ID))(t), m)
	same("monitors", must(c.Monitors(ctx))(t)[0], m)
	m.Name, m.Critical = "n", new(95.5)
	same("updated monitor", must(c.UpdateMonitor(ctx, m))(t), m)

	external := saba.Monitor{Type: saba.MonitorExternal, Name: "e", URL: "https://example.com", Method: "GET", MaxCheckAttempts: 1, Headers: []saba.HTTPHeader{}}
	made = must(c.CreateMonitor(ctx, external))(t)
	external.ID = made.ID
	same("monitor without headers", made, external)

	d := saba.Downtime{Name: "d", Start: 1767225600, Duration: 45, Recurrence: &saba.Recurrence{Type: "weekly", Interval: 1, Weekdays: []string{"Sunday"}}, RoleScopes: []saba.Scope{web}, MonitorScopes: []string{m.ID}}
	downtime := must(c.CreateDowntime(ctx, d))(t)
	d.ID = downtime.ID
	same("downtime", downtime, d)
	d.Memo = "m"
	same("updated downtime", must(c.UpdateDowntime(ctx, d))(t), d)
	same("downtimes", must(c.Downtimes(ctx))(t), []saba.Downtime{d})
	same("deleted downtime", must(c.DeleteDowntime(ctx, d.ID))(t), d)
	_, err := c.DeleteDowntime(ctx, d.ID)
	gone("downtime", err)

	s := saba.AlertGroupSetting{Name: "s", RoleScopes: []saba.Scope{web}, NotificationInterval: new(int64(60))}
	setting := must(c.CreateAlertGroupSetting(ctx, s))(t)
	s.ID = setting.ID
	same("setting", setting, s)
	same("setting by id", must(c.AlertGroupSetting(ctx, s.ID))(t), s)
	s.ServiceScopes = []string{"shop"}
	same("updated setting", must(c.UpdateAlertGroupSetting(ctx, s))(t), s)
	same("settings", must(c.AlertGroupSettings(ctx))(t), []saba.AlertGroupSetting{s})
	same("deleted setting", must(c.DeleteAlertGroupSetting(ctx, s.ID))(t), s)

	ch := saba.Channel{Type: saba.ChannelSlack, Name: "c", URL: "https://example.com/x", Mentions: saba.Mentions{Critical: "<!here>"}, Events: []string{"alert"}}
	channel := must(c.CreateChannel(ctx, ch, false))(t)
	ch.ID = channel.ID
	same("channel", channel, ch)
	ch.EnabledGraphImage = true
	same("updated channel", must(c.UpdateChannel(ctx, ch))(t), ch)
	same("channels", must(c.Channels(ctx))(t), []saba.Channel{ch})

	groups := must(c.NotificationGroups(ctx))(t)
	if len(groups) != 1 || !groups[0].Default || len(groups[0].Channels) != 0 {
		t.Errorf("groups at first = %+v, want the default one without channels", groups)
	}
	g := saba.NotificationGroup{Name: "g", Level: saba.NotifyCritical, Groups: []string{}, Channels: []string{ch.ID}, Monitors: []saba.NotificationMonitor{{ID: m.ID, SkipDefault: true}}}
	group := must(c.CreateNotificationGroup(ctx, g))(t)
	g.ID = group.ID
	same("group", group, g)
	g.Services = []saba.NotificationService{{Name: "shop"}}
	same("updated group", must(c.UpdateNotificationGroup(ctx, g))(t), g)
	same("groups", must(c.NotificationGroups(ctx))(t)[1], g)
	same("deleted group", must(c.DeleteNotificationGroup(ctx, g.ID))(t), g)
	same("deleted channel", must(c.DeleteChannel(ctx, ch.ID))(t), ch)

	b := saba.Dashboard{Title: "b", URLPath: "b", Widgets: []saba.Widget{
		{Type: saba.WidgetGraph, Graph: &saba.WidgetSource{Type: saba.SourceRole, Role: &web, Name: "loadavg5", Stacked: true}, Range: &saba.WidgetRange{Type: "relative", Period: 60}, ReferenceLines: []saba.ReferenceLine{}},
		{Type: saba.WidgetValue, Metric: &saba.WidgetSource{Type: saba.SourceHost, Host: host, Name: "m"}, FractionSize: new(int64(0)), FormatRules: []saba.FormatRule{{Threshold: 1, Operator: ">"}}},
		{Type: saba.WidgetMarkdown, Markdown: "# <b>"},
		{Type: saba.WidgetAlertStatus, Role: &web},
	}}
	board := must(c.CreateDashboard(ctx, b))(t)
	b.ID, b.CreatedAt, b.UpdatedAt = board.ID, board.CreatedAt, board.UpdatedAt
	same("dashboard", board, b)
	same("dashboard by id", must(c.Dashboard(ctx, b.ID))(t), b)
	same("dashboards", must(c.Dashboards(ctx))(t)[0].URLPath, "b")
	b.Widgets = []saba.Widget{}
	same("updated dashboard", must(c.UpdateDashboard(ctx, b))(t).Widgets, b.Widgets)
	same("deleted dashboard", must(c.DeleteDashboard(ctx, b.ID))(t).ID, b.ID)
	_, err = c.Dashboard(ctx, b.ID)
	gone("dashboard", err)

	a := saba.GraphAnnotation{Title: "a", From: 5, To: 5, Service: "shop", Roles: []string{"web"}}
	note := must(c.CreateGraphAnnotation(ctx, a))(t)
	a.ID = note.ID
	same("annotation", note, a)
	a.To = 6
	same("updated annotation", must(c.UpdateGraphAnnotation(ctx, a))(t), a)
	same("annotations", must(c.GraphAnnotations(ctx, "shop", 6, 9))(t), []saba.GraphAnnotation{a})
	same("deleted annotation", must(c.DeleteGraphAnnotation(ctx, a.ID))(t), a)

	same("members", len(must(c.Members(ctx))(t)), 0)
	_, err = c.DeleteMember(ctx, "none")
	gone("member", err)
	i := must(c.Invite(ctx, "a@example.com", saba.Viewer))(t)
	same("invitations", must(c.Invitations(ctx))(t), []saba.Invitation{i})
	if err := c.RevokeInvitation(ctx, i.Email); err != nil {
		t.Error(err)
	}
	gone("invitation", c.RevokeInvitation(ctx, i.Email))

	same("deleted monitor", must(c.DeleteMonitor(ctx, m.ID))(t), m)
	_, err = c.Monitor(ctx, m.ID)
	gone("monitor", err)
	if alerts, next, err := c.Alerts(ctx, saba.AlertPage{Closed: true, Limit: 5}); err != nil || len(alerts) != 0 || next != "" {
		t.Errorf("alerts = %v, %q, %v; want none", alerts, next, err)
	}
	_, err = c.Alert(ctx, "none")
	gone("alert", err)
	_, err = c.CloseAlert(ctx, "none", "")
	gone("alert", err)
	gone("alert", c.SetAlertMemo(ctx, "none", ""))
	_, _, err = c.AlertLogs(ctx, "none", "", 5)
	gone("alert", err)
}

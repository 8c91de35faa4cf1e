package web

import (
	"context"
	"net/url"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/saba-monitor/saba"
)

// A tester remembers which channels were tried, with their secrets, and fails as real services do for one name.
type tester struct {
	post   bool // mail is sent
	mailed []string
	mu     sync.Mutex
	tried  []saba.Channel
}

// InviteByMail remembers to whom mail went, where there is a post office, and fails as a real one does for one address.
func (n *tester) InviteByMail(_ context.Context, i saba.Invitation, token string) error {
	switch {
	case !n.post:
		return saba.Errorf(saba.ErrUnavailable, "saba sends no mail")
	case i.Email == "full@example.test":
		return saba.Errorf(saba.ErrUntold, "the mail to full@example.test was not sent: its mailbox is full")
	}
	n.mailed = append(n.mailed, i.Email+" "+string(i.Authority)+" /join/"+token)
	return nil
}

func (n *tester) Test(_ context.Context, c saba.Channel, user string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if user == "" {
		return saba.Errorf(saba.ErrInvalid, "somebody has to try it")
	}
	n.tried = append(n.tried, c)
	if c.Name == "dead" {
		return saba.Errorf(saba.ErrUntold, "the channel %q was not told: its service answered 404 Not Found: <b>no", c.Name)
	}
	return nil
}

// channel keeps a channel.
func (g *rig) channel(c saba.Channel, toDefault bool) saba.Channel {
	g.t.Helper()
	c.ID = g.id()
	if err := c.Check(); err != nil {
		g.t.Fatal(err)
	}
	if err := g.records.CreateChannel(context.Background(), g.org.ID, c, toDefault); err != nil {
		g.t.Fatal(err)
	}
	return c
}

// readChannel returns a channel as it is kept.
func (g *rig) readChannel(id string) (found saba.Channel) {
	g.t.Helper()
	all, err := g.records.Channels(context.Background(), g.org.ID)
	if err != nil {
		g.t.Fatal(err)
	}
	for _, c := range all {
		if c.ID == id {
			found = c
		}
	}
	return found
}

func (g *rig) groups() []saba.NotificationGroup {
	g.t.Helper()
	all, err := g.records.NotificationGroups(context.Background(), g.org.ID)
	if err != nil {
		g.t.Fatal(err)
	}
	return all
}

// fullChannels are channels of every kind with every field filled.
func (g *rig) fullChannels() (all []saba.Channel) {
	members, err := g.records.Members(g.t.Context(), g.org.ID)
	if err != nil || len(members) == 0 {
		g.t.Fatal(members, err)
	}
	lines := map[string]string{"name": "ops", "to": "ops-1", "contentType": "text/plain"}
	for _, k := range saba.ChannelKinds {
		c := saba.Channel{Type: k.Type}
		for _, f := range k.Fields {
			switch to := f.Of(&c).(type) {
			case *bool:
				*to = true
			case *saba.Mentions:
				*to = saba.Mentions{OK: "@a", Warning: "<!here>", Critical: `@c "d"`}
			case *[]string:
				*to = map[saba.ChannelInput][]string{saba.ChannelInputEmails: {"a@example.com", "b@example.com"}, saba.ChannelInputAccounts: {members[0].ID}, saba.ChannelInputEvents: k.Events}[f.Input]
			case *string:
				switch {
				case f.Input == saba.ChannelInputURL:
					*to = "https://example.com/hook?secret-of-url"
				case f.Input == saba.ChannelInputTemplate:
					*to = "{\n\t\"text\": {{json .Title}} <b>\n}\n"
				case f.Name == "token" && k.Type == saba.ChannelTelegram:
					*to = "12345:secret-token"
				case f.Name == "token":
					*to = "secret-token"
				case f.Name == "to" && k.Type == saba.ChannelTelegram:
					*to = "@room"
				default:
					*to = lines[f.Name]
				}
			}
		}
		all = append(all, g.channel(c, false))
	}
	return all
}

// Saving the form of a channel without a change changes nothing, for every kind, in a real browser; and no page has a secret.
func TestAChannelsFormKeepsWhatItShows(t *testing.T) {
	g := newRig(t, time.Now)
	b := newTab(t, g)
	for _, c := range g.fullChannels() {
		kind, _ := saba.ChannelKindOf(c.Type)
		b.Open("/channels/" + c.ID)
		page := js[string](b, `document.documentElement.outerHTML`)
		for _, f := range kind.Fields {
			if s, ok := f.Of(&c).(*string); ok && f.Secret && strings.Contains(page, *s) {
				t.Errorf("the page of %s shows its %s", c.Type, f.Name)
			}
		}
		js[bool](b, `document.querySelector('form.declared button').click(), true`)
		b.Until(`location.search === '?saved=1'`)
		if is := g.readChannel(c.ID); !reflect.DeepEqual(is, c) {
			t.Errorf("%s after saving:\n%+v, want\n%+v", c.Type, is, c)
		}
	}
}

// A channel is made on the console alone, tried, and taken away again.
func TestAChannelsLife(t *testing.T) {
	g := newRig(t, time.Now)
	b := newTab(t, g)
	b.Open("/channels")
	b.Do(chromedp.Click(chromedp.CSS(`.empty a.button`)), chromedp.WaitVisible(chromedp.CSS(`.tiles`)))
	js[bool](b, `document.querySelector('a[href="/channels/new?type=ntfy"]').click(), true`)
	b.Do(chromedp.WaitVisible(chromedp.CSS(`#f-to`)), chromedp.SetValue(chromedp.CSS(`#f-name`), "phone"), chromedp.SetValue(chromedp.CSS(`#f-to`), "ops-4f81"),
		chromedp.SetValue(chromedp.CSS(`#f-token`), "tk_1"), chromedp.Click(chromedp.CSS(`form.declared button`)))
	b.Until(`location.search === '?saved=1'`)
	all, err := g.records.Channels(t.Context(), g.org.ID)
	if err != nil || len(all) != 1 {
		t.Fatal(all, err)
	}
	ch := all[0]
	want := saba.Channel{ID: ch.ID, Name: "phone", Type: saba.ChannelNtfy, To: "ops-4f81", Token: "tk_1", EnabledGraphImage: true, Events: []string{"alert"}}
	if !reflect.DeepEqual(ch, want) {
		t.Errorf("made was %+v, want %+v", ch, want)
	}
	if got := g.groups()[0].Channels; !reflect.DeepEqual(got, []string{ch.ID}) {
		t.Errorf("the default group tells %v", got)
	}

	b.Do(chromedp.Click(chromedp.CSS(`form[action$="/test"] button`)))
	b.Until(`location.pathname.endsWith('/test') && document.readyState === 'complete'`)
	if text := js[string](b, `document.querySelector('.flash').innerText`); text != "The test was taken: look whether it arrived." {
		t.Errorf("after the test the page says %q", text)
	}
	if len(g.tester.tried) != 1 || !reflect.DeepEqual(g.tester.tried[0], want) {
		t.Errorf("tried was %+v, want %+v", g.tester.tried, want)
	}
	// The token is forgotten when that is ticked, and by nothing else.
	b.Open("/channels/" + ch.ID)
	b.Do(chromedp.Click(chromedp.CSS(`input[name="forget"]`)), chromedp.Click(chromedp.CSS(`form.declared button`)))
	b.Until(`location.search === '?saved=1'`)
	if is := g.readChannel(ch.ID); is.Token != "" || is.To != "ops-4f81" {
		t.Errorf("after forgetting it is %+v", is)
	}

	js[bool](b, `document.querySelector('a[href$="/delete"]').click(), true`)
	b.Do(chromedp.WaitVisible(chromedp.CSS(`button.danger`)))
	if text := js[string](b, `document.querySelector('main').innerText`); !strings.Contains(text, "It is in 1 notification group (Default), where nobody is told by it any more.") {
		t.Errorf("before it is deleted the page says %q", text)
	}
	b.Do(chromedp.Click(chromedp.CSS(`button.danger`)), chromedp.WaitVisible(chromedp.CSS(`.empty`)))
	if is := g.readChannel(ch.ID); is.ID != "" {
		t.Errorf("after deleting there is %+v", is)
	}
}

func TestWhatChannelsMayNotBe(t *testing.T) {
	g := newRig(t, time.Now)
	c := g.signedIn()
	ch := g.channel(saba.Channel{Type: saba.ChannelTelegram, Name: "chat", Token: "1:old-secret", To: "-100", URL: "https://one.example"}, false)
	dead := g.channel(saba.Channel{Type: saba.ChannelSlack, Name: "dead", URL: "https://hooks.example"}, false)
	whole := url.Values{"name": {"chat"}, "to": {"-100"}, "url": {"https://one.example"}}
	with := func(name, value string) url.Values {
		form := url.Values{name: {value}}
		for n, v := range whole {
			if n != name {
				form[n] = v
			}
		}
		return form
	}
	for _, tt := range []struct {
		path string
		form url.Values
		code int
		says string
	}{
		{"/channels/" + ch.ID, with("to", "not a chat"), 400, "Chat must be the id of a chat"},
		{"/channels/" + ch.ID, with("name", ""), 400, "Name is required"},
		{"/channels/" + ch.ID, with("url", "https://two.example"), 400, "Token of the bot is required anew"},
		{"/channels/" + ch.ID, with("mentions.critical", strings.Repeat("x", 1001)), 400, "Mentions when CRITICAL or UNKNOWN must be 1000 characters or fewer"},
		{"/channels/" + ch.ID, with("events", "nothing"), 400, "The choice must be one of"},
		{"/channels/new?type=telegram", whole, 400, "Token of the bot is required"},
		{"/channels/new?type=chatwork", whole, 400, "cannot be made or changed here"},
		{"/channels/none", whole, 404, "no such channel"},
		{"/channels/none/test", nil, 404, "no such channel"},
		{"/channels/" + dead.ID + "/test", nil, 200, "The channel &#34;dead&#34; was not told: its service answered 404 Not Found: &lt;b&gt;no."},
	} {
		code, _, body := g.post(c, tt.path, tt.form)
		if code != tt.code || !strings.Contains(body, tt.says) {
			t.Errorf("POST %s of %v answered %d, without %q:\n%s", tt.path, tt.form, code, tt.says, body)
		}
		if strings.Contains(body, "old-secret") {
			t.Errorf("POST %s shows the secret", tt.path)
		}
	}
	if is := g.readChannel(ch.ID); !reflect.DeepEqual(is, ch) {
		t.Errorf("after what was refused it is %+v", is)
	}
	// An address of another service goes with a new token.
	both := with("url", "https://two.example")
	both.Set("token", "2:new-secret")
	if code, at, _ := g.post(c, "/channels/"+ch.ID, both); code != 200 || at != "/channels/"+ch.ID+"?saved=1" {
		t.Errorf("a new address with a new token ended with %d at %s", code, at)
	}
	if is := g.readChannel(ch.ID); is.Token != "2:new-secret" || is.URL != "https://two.example" {
		t.Errorf("it is %+v", is)
	}
}

// A channel that is silent is on every page of those who can do something about it, and is released from there.
func TestAChannelThatCannotBeReached(t *testing.T) {
	g := newRig(t, time.Now)
	c := g.signedIn()
	now := g.now().Unix()
	ops, chat := g.channel(saba.Channel{Type: saba.ChannelWebhook, Name: "ops", URL: "https://example.com/"}, true), g.channel(saba.Channel{Type: saba.ChannelWebhook, Name: "chat", URL: "https://example.com/"}, true)
	g.host(saba.Host{Name: "web-1"})
	waits := func(id string, since int64) {
		t.Helper()
		for _, seq := range g.tellOf(saba.Verdict{Notifications: []saba.Notification{{Channel: id, State: saba.NotificationWaiting}}}) {
			if err := g.records.SetNotification(t.Context(), g.org.ID, saba.Notification{Event: seq, Channel: id, State: saba.NotificationWaiting, Attempts: 4, FirstTry: since, NextTry: now + 60, Detail: "it answered <i>500"}); err != nil {
				t.Fatal(err)
			}
		}
	}
	waits(ops.ID, now-290) // for less than five minutes
	_, _, body := g.get(c, "/channels")
	contains(t, body, "not reached since", "it answered &lt;i&gt;500", "told nothing yet", ">Default</a>")
	if strings.Contains(body, "flash bad trouble") {
		t.Error("a channel that was tried for a moment is on every page")
	}
	g.host(saba.Host{Name: "web-2"})
	waits(chat.ID, now-600)
	const silent = `The channel &#34;chat&#34; has not been reached for 10 min: messages wait. <a href="/channels/`
	_, _, body = g.get(c, "/services")
	contains(t, body, silent+chat.ID)
	if _, _, body := g.get(g.signedInAs(saba.Viewer), "/services"); strings.Contains(body, "flash bad trouble") {
		t.Error("viewers are told what they cannot mend")
	}
	if err := g.records.SuspendChannel(t.Context(), g.org.ID, chat.ID, now, "it was tried for a day"); err != nil {
		t.Fatal(err)
	}
	_, _, body = g.get(c, "/hosts")
	contains(t, body, `The channel &#34;chat&#34; is suspended: nobody is told by it until somebody releases it.`)
	_, _, body = g.get(c, "/channels")
	contains(t, body, "suspended since", `action="/channels/`+chat.ID+`/release"`)
	code, at, body := g.post(c, "/channels/"+chat.ID+"/release", nil)
	if code != 200 || at != "/channels/"+chat.ID || strings.Contains(body, "flash bad trouble") || g.readChannel(chat.ID).SuspendedAt != 0 {
		t.Errorf("releasing ended with %d at %s:\n%s", code, at, body)
	}
	g.host(saba.Host{Name: "web-3"})
	for _, seq := range g.tellOf(saba.Verdict{Notifications: []saba.Notification{{Channel: chat.ID, State: saba.NotificationWaiting}}}) {
		if err := g.records.SetNotification(t.Context(), g.org.ID, saba.Notification{Event: seq, Channel: chat.ID, State: saba.NotificationSent, Attempts: 1, DoneAt: now - 120}); err != nil {
			t.Fatal(err)
		}
	}
	_, _, body = g.get(c, "/channels/"+chat.ID)
	contains(t, body, "works, told ", "2 min ago")
}

func TestNotificationGroupPages(t *testing.T) {
	g := newRig(t, time.Now)
	b := newTab(t, g)
	h := g.host(saba.Host{Name: "web-1", Roles: shopWeb})
	ch := g.channel(saba.Channel{Type: saba.ChannelWebhook, Name: "ops", URL: "https://example.com/"}, true)
	busy := g.monitor(saba.Monitor{Type: saba.MonitorHost, Name: "busy", Metric: "cpu%", Operator: ">", Warning: new(80.0), Duration: 3})
	gone := g.monitor(saba.Monitor{Type: saba.MonitorConnectivity, Name: "gone"})
	if err := g.records.ReportChecks(t.Context(), g.org.ID, []saba.CheckReport{{Host: h.ID, Name: "disk", Status: saba.CheckOK, OccurredAt: g.now().Unix()}}, newID); err != nil {
		t.Fatal(err)
	}
	checks, err := g.records.Checks(t.Context(), g.org.ID, h.ID)
	if err != nil || len(checks) != 1 {
		t.Fatal(checks, err)
	}
	inner := saba.NotificationGroup{ID: g.id(), Name: "night shift", Level: saba.NotifyCritical}
	if err := g.records.CreateNotificationGroup(t.Context(), g.org.ID, inner); err != nil {
		t.Fatal(err)
	}
	full := saba.NotificationGroup{
		ID: g.id(), Name: "web team", Level: saba.NotifyCritical, Groups: []string{inner.ID}, Channels: []string{ch.ID}, Services: []saba.NotificationService{{Name: "shop"}},
		Monitors: []saba.NotificationMonitor{{ID: busy.ID}, {ID: checks[0].ID}, {ID: gone.ID, SkipDefault: true}},
	}
	if err := g.records.CreateNotificationGroup(t.Context(), g.org.ID, full); err != nil {
		t.Fatal(err)
	}
	// Saving without a change changes nothing, of the default group as well.
	for _, group := range g.groups() {
		b.Open("/notification-groups/" + group.ID)
		js[bool](b, `document.querySelector('form.declared button').click(), true`)
		b.Until(`location.search === '?saved=1'`)
		for _, is := range g.groups() {
			if is.ID == group.ID && !sameGroup(is, group) {
				t.Errorf("%s after saving:\n%+v, want\n%+v", group.Name, is, group)
			}
		}
	}
	c := g.signedIn()
	_, _, body := g.get(c, "/notification-groups")
	contains(t, body, "everything that no other group has for itself", "from CRITICAL on", `>gone</a> <span class="not">alone</span>`, ">check disk</a>", ">group night shift</a>", ">ops</a>")
	def := g.groups()[0]
	if strings.Contains(body, def.ID+"/delete") {
		t.Error("the list offers to delete the default group")
	}
	_, _, body = g.get(c, "/notification-groups/"+full.ID+"/delete")
	contains(t, body, "Of 1 monitor that it has for itself, the group Default is told then")
	for _, tt := range []struct {
		path string
		form url.Values
		code int
		says string
	}{
		{"/notification-groups/new", url.Values{"notificationLevel": {"all"}}, 400, "Name is required"},
		{"/notification-groups/new", url.Values{"name": {"x"}, "notificationLevel": {"some"}}, 400, "Is told must be one of"},
		{"/notification-groups/new", url.Values{"name": {"x"}, "notificationLevel": {"all"}, "monitors": {busy.ID}, "only": {busy.ID}}, 400, "choose it once"},
		{"/notification-groups/new", url.Values{"name": {"x"}, "notificationLevel": {"all"}, "childChannelIds": {"none"}}, 400, "does not exist"},
		{"/notification-groups/" + full.ID, url.Values{"name": {"x"}, "notificationLevel": {"all"}, "childNotificationGroupIds": {full.ID}}, 400, "names the group itself"},
		{"/notification-groups/none", url.Values{"name": {"x"}, "notificationLevel": {"all"}}, 404, "no such notification group"},
		{"/notification-groups/" + def.ID + "/delete", nil, 400, "default notification group cannot be deleted"},
		{"/notification-groups/new", url.Values{"name": {"new"}, "notificationLevel": {"all"}, "services": {"shop"}, "only": {gone.ID}}, 200, "Saved."},
		{"/notification-groups/" + full.ID + "/delete", nil, 200, "night shift"},
	} {
		if code, _, body := g.post(c, tt.path, tt.form); code != tt.code || !strings.Contains(body, tt.says) {
			t.Errorf("POST %s of %v answered %d, without %q:\n%s", tt.path, tt.form, code, tt.says, body)
		}
	}
	all := g.groups()
	want := saba.NotificationGroup{ID: all[len(all)-1].ID, Name: "new", Level: saba.NotifyAll, Services: []saba.NotificationService{{Name: "shop"}}, Monitors: []saba.NotificationMonitor{{ID: gone.ID, SkipDefault: true}}}
	if len(all) != 3 || !reflect.DeepEqual(all[2], want) {
		t.Errorf("there are %+v, the last should be %+v", all, want)
	}
}

// sameGroup says whether two groups are the same but for the order of monitors.
func sameGroup(a, b saba.NotificationGroup) bool {
	as, bs := map[saba.NotificationMonitor]bool{}, map[saba.NotificationMonitor]bool{}
	for _, m := range a.Monitors {
		as[m] = true
	}
	for _, m := range b.Monitors {
		bs[m] = true
	}
	a.Monitors, b.Monitors = nil, nil
	return reflect.DeepEqual(a, b) && reflect.DeepEqual(as, bs)
}

// tellers makes channels, of which some cannot be reached, and groups as an organization has them, and returns a channel that is suspended.
func (g *rig) tellers() saba.Channel {
	g.t.Helper()
	ctx, now := context.Background(), g.now().Unix()
	all := g.fullChannels()
	for i, c := range all {
		c.Name = []string{"ops", "Everybody who is on call", "deploy-bot", "Platform", "night-shift", "war-room", "pager", "On-call chat", "phones", "ticket system"}[i]
		if _, err := g.records.UpdateChannel(ctx, g.org.ID, c.ID, func(saba.Channel) (saba.Channel, error) { return c, nil }); err != nil {
			g.t.Fatal(err)
		}
	}
	group := saba.NotificationGroup{ID: g.id(), Name: "Database team", Level: saba.NotifyCritical, Channels: []string{all[0].ID, all[6].ID}, Services: []saba.NotificationService{{Name: "shop"}}}
	monitors, err := g.records.Monitors(ctx, g.org.ID)
	if err != nil {
		g.t.Fatal(err)
	}
	for i, m := range monitors {
		group.Monitors = append(group.Monitors, saba.NotificationMonitor{ID: m.ID, SkipDefault: i%2 == 0})
	}
	if err := g.records.CreateNotificationGroup(ctx, g.org.ID, group); err != nil {
		g.t.Fatal(err)
	}
	_, err = g.records.UpdateNotificationGroup(ctx, g.org.ID, g.groups()[0].ID, func(def saba.NotificationGroup) (saba.NotificationGroup, error) {
		def.Channels, def.Groups = []string{all[0].ID, all[1].ID, all[4].ID, all[7].ID}, []string{group.ID}
		return def, nil
	})
	if err != nil {
		g.t.Fatal(err)
	}
	g.tellOf(saba.Verdict{Silence: saba.SilenceNobody, Detail: "before"})
	g.host(saba.Host{Name: "tells-1"})
	seq := g.tellOf(saba.Verdict{Notifications: []saba.Notification{{Channel: all[0].ID, State: saba.NotificationWaiting}, {Channel: all[4].ID, State: saba.NotificationWaiting}}})[0]
	for _, n := range []saba.Notification{
		{Event: seq, Channel: all[0].ID, State: saba.NotificationSent, Attempts: 1, DoneAt: now - 200},
		{Event: seq, Channel: all[4].ID, State: saba.NotificationWaiting, Attempts: 5, FirstTry: now - 1200, NextTry: now + 60, Detail: "its service answered 429 Too Many Requests: {\"message\": \"You are being rate limited.\", \"retry_after\": 64.57, \"global\": false}"},
	} {
		if err := g.records.SetNotification(ctx, g.org.ID, n); err != nil {
			g.t.Fatal(err)
		}
	}
	if err := g.records.SuspendChannel(ctx, g.org.ID, all[7].ID, now-90_000, "it was tried for a day"); err != nil {
		g.t.Fatal(err)
	}
	return all[7]
}

// Viewers read all of it, and change nothing.
func TestViewersAndChannels(t *testing.T) {
	g := newRig(t, time.Now)
	g.session()
	c := g.signedInAs(saba.Viewer)
	ch := g.channel(saba.Channel{Type: saba.ChannelSlack, Name: "ops", URL: "https://hooks.example/of-slack", Events: []string{"alert", "hostRegister"}}, true)
	def := g.groups()[0]
	for path, says := range map[string]string{
		"/channels": "Is told of alerts and new hosts.", "/channels/" + ch.ID: "alerts and new hosts", "/notification-groups": ">ops</a>", "/notification-groups/" + def.ID: ">ops</a>",
	} {
		code, _, body := g.get(c, path)
		if code != 200 {
			t.Errorf("GET %s answered %d", path, code)
		}
		contains(t, body, says)
		if strings.Contains(body, "of-slack") || strings.Contains(body, `method="post" action="/channels`) || strings.Contains(body, "/delete") || strings.Contains(body, "/new\"") {
			t.Errorf("%s shows viewers what they may not use:\n%s", path, body)
		}
	}
	for _, path := range []string{"/channels/new", "/channels/" + ch.ID, "/channels/" + ch.ID + "/test", "/channels/" + ch.ID + "/release", "/channels/" + ch.ID + "/delete",
		"/notification-groups/new", "/notification-groups/" + def.ID, "/notification-groups/" + def.ID + "/delete"} {
		if code, _, _ := g.post(c, path, nil); code != 403 {
			t.Errorf("POST %s answered %d, want 403", path, code)
		}
	}
	if len(g.tester.tried) != 0 {
		t.Error("a viewer has tried a channel")
	}
}

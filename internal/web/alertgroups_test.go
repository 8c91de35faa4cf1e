package web

import (
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/saba-monitor/saba"
)

func (g *rig) alertGroups() []saba.AlertGroupSetting {
	g.t.Helper()
	all, err := g.records.AlertGroupSettings(g.t.Context(), g.org.ID)
	if err != nil {
		g.t.Fatal(err)
	}
	return all
}

// An alert group is made, saved without a change, which changes nothing, and deleted, in a real browser.
func TestAlertGroupPages(t *testing.T) {
	g := newRig(t, time.Now)
	g.host(saba.Host{Name: "web-1", Roles: shopWeb})
	m := g.monitor(saba.Monitor{Type: saba.MonitorHost, Name: "busy", Metric: "cpu%", Operator: ">", Warning: new(80.0), Duration: 3})
	b := newTab(t, g)
	b.Open("/alert-groups")
	b.Do(chromedp.Click(chromedp.CSS(`.empty a.button`)), chromedp.WaitVisible(chromedp.CSS(`#f-name`)), chromedp.SetValue(chromedp.CSS(`#f-name`), "The shop"),
		chromedp.SetValue(chromedp.CSS(`#f-notificationInterval`), "90"), chromedp.SetValue(chromedp.CSS(`#f-memo`), "call <b>them"))
	js[bool](b, `document.querySelectorAll('input[name="scopes"], input[name="monitorScopes"]').forEach(i => { i.checked = true; }), true`)
	b.Do(chromedp.Click(chromedp.CSS(`form.declared button`)))
	b.Until(`location.search === '?saved=1' && document.readyState === 'complete'`)
	all := g.alertGroups()
	if len(all) != 1 {
		t.Fatalf("there are %d", len(all))
	}
	s := all[0]
	web := saba.Scope{Service: "shop", Role: "web"}
	monitors := js[[]string](b, `[...document.querySelectorAll('input[name="monitorScopes"]')].map(i => i.value)`)
	want := saba.AlertGroupSetting{ID: s.ID, Name: "The shop", Memo: "call <b>them", ServiceScopes: []string{"shop"}, RoleScopes: []saba.Scope{web}, MonitorScopes: monitors, NotificationInterval: new(int64(90))}
	if !reflect.DeepEqual(s, want) || !strings.Contains(strings.Join(monitors, " "), m.ID) {
		t.Errorf("made was %+v, want %+v", s, want)
	}
	b.Open("/alert-groups/" + s.ID)
	b.Do(chromedp.Click(chromedp.CSS(`form.declared button`)))
	b.Until(`location.search === '?saved=1'`)
	if is := g.alertGroups()[0]; !reflect.DeepEqual(is, want) {
		t.Errorf("after saving it is %+v, want %+v", is, want)
	}

	c := g.signedIn()
	_, _, body := g.get(c, "/alert-groups")
	contains(t, body, ">The shop</a>", "call &lt;b&gt;them", ">shop:web</a>", "and of", ">busy</a>", "every 1 h 30 min")
	for _, tt := range []struct {
		path string
		form url.Values
		code int
		says string
	}{
		{"/alert-groups/new", url.Values{}, 400, "Name is required"},
		{"/alert-groups/new", url.Values{"name": {"x"}, "notificationInterval": {"5"}}, 400, "The interval must be 10 or more"},
		{"/alert-groups/new", url.Values{"name": {"x"}, "notificationInterval": {"soon"}}, 400, `value="soon"`},
		{"/alert-groups/new", url.Values{"name": {"x"}, "scopes": {"nowhere"}}, 400, "The choice names the service"},
		{"/alert-groups/new", url.Values{"name": {"x"}, "monitorScopes": {"none"}}, 400, "does not exist"},
		{"/alert-groups/none", url.Values{"name": {"x"}}, 404, ""},
		{"/alert-groups/none/delete", nil, 404, ""},
	} {
		if code, _, body := g.post(c, tt.path, tt.form); code != tt.code || !strings.Contains(body, tt.says) {
			t.Errorf("POST %s of %v answered %d, without %q:\n%s", tt.path, tt.form, code, tt.says, body)
		}
	}
	viewer := g.signedInAs(saba.Viewer)
	for _, path := range []string{"/alert-groups", "/alert-groups/" + s.ID} {
		_, _, body := g.get(viewer, path)
		contains(t, body, "every 1 h 30 min", ">busy</a>")
		if strings.Contains(body, "/delete") || strings.Contains(body, `method="post" action="/alert-groups`) {
			t.Errorf("%s offers viewers to change it", path)
		}
	}
	if code, _, _ := g.post(viewer, "/alert-groups/"+s.ID+"/delete", nil); code != 403 {
		t.Errorf("a viewer who deletes it is answered %d", code)
	}
	b.Open("/alert-groups/" + s.ID + "/delete")
	b.Do(chromedp.Click(chromedp.CSS(`button.danger`)), chromedp.WaitVisible(chromedp.CSS(`.empty`)))
	if all := g.alertGroups(); len(all) != 0 {
		t.Errorf("after deleting there are %+v", all)
	}
}

package web

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"github.com/saba-monitor/saba"
)

// notificationGroupsPage is page/notification-groups.html.
type notificationGroupsPage struct {
	layout
	Rows []notificationGroupRow
}

// A notificationGroupRow is a notification group in a list.
type notificationGroupRow struct {
	saba.NotificationGroup
	URL   string
	Of    []roleLink // what it is told of, for those that are told of some
	Only  []roleLink // monitors of which nobody else is told
	Tells []roleLink // channels and groups
}

// Grave says whether the group is told from CRITICAL on.
func (r notificationGroupRow) Grave() bool { return r.Level == saba.NotifyCritical }

// A notificationGroupForm is a notification group as its form has it.
type notificationGroupForm struct {
	ID                         string
	Default                    bool
	Name, Level                string
	Channels, Groups, Services []string
	Monitors, Only             []string // ids: of those that others are told of as well, and of those that they are not
}

// notificationGroupFields declares the fields of a notification group.
var notificationGroupFields = []field[notificationGroupForm]{
	{name: "name", label: "Name", part: partTells, input: inputLine, required: true, hint: "Database team", only: notDefault, of: func(g *notificationGroupForm) any { return &g.Name }},
	{name: "notificationLevel", label: "Is told", part: partTells, input: inputOneOf, choices: []choice{{Value: "all", Label: "of everything"}, {Value: "critical", Label: "from CRITICAL on"}},
		help: "From CRITICAL on: of CRITICAL and UNKNOWN, and of the end of such alerts.", of: func(g *notificationGroupForm) any { return &g.Level }},
	{name: "childChannelIds", label: "Channels", noun: "The choice", part: partTells, input: inputPicks, from: "channels", of: func(g *notificationGroupForm) any { return &g.Channels }},
	{name: "childNotificationGroupIds", label: "Other groups", noun: "The choice", part: partTells, input: inputPicks, from: "groups", help: "They are told along.",
		of: func(g *notificationGroupForm) any { return &g.Groups }},
	{name: "services", label: "Services", noun: "The choice", part: partOf, input: inputPicks, from: "services", help: "Their metrics, and the hosts in them.", only: notDefault,
		of: func(g *notificationGroupForm) any { return &g.Services }},
	{name: "monitors", label: "Monitors", noun: "The choice", part: partOf, input: inputPicks, from: "monitors", only: notDefault, of: func(g *notificationGroupForm) any { return &g.Monitors }},
	{name: "only", label: "Monitors for this group alone", noun: "The choice", part: partOf, input: inputPicks, from: "monitors",
		help: "Of these only the groups that list them are told, and not the group " + saba.DefaultGroupName + ".", only: notDefault, of: func(g *notificationGroupForm) any { return &g.Only }},
}

// The headings of a notification group's form.
const (
	partTells = "Who is told"
	partOf    = "Of what"
)

func notDefault(g *notificationGroupForm) bool { return !g.Default }

func formOfNotificationGroup(g saba.NotificationGroup) notificationGroupForm {
	f := notificationGroupForm{ID: g.ID, Default: g.Default, Name: g.Name, Level: string(g.Level), Channels: g.Channels, Groups: g.Groups}
	for _, s := range g.Services {
		f.Services = append(f.Services, s.Name)
	}
	for _, m := range g.Monitors {
		if m.SkipDefault {
			f.Only = append(f.Only, m.ID)
		} else {
			f.Monitors = append(f.Monitors, m.ID)
		}
	}
	return f
}

// group reads the form. The error is a FieldError.
func (f notificationGroupForm) group() (saba.NotificationGroup, error) {
	g := saba.NotificationGroup{ID: f.ID, Default: f.Default, Name: f.Name, Level: saba.NotificationLevel(f.Level), Groups: f.Groups, Channels: f.Channels}
	for _, s := range f.Services {
		g.Services = append(g.Services, saba.NotificationService{Name: s})
	}
	for _, id := range f.Monitors {
		if slices.Contains(f.Only, id) {
			return g, saba.Invalidf("only", "names a monitor that is also among those that others are told of: choose it once")
		}
		g.Monitors = append(g.Monitors, saba.NotificationMonitor{ID: id})
	}
	for _, id := range f.Only {
		g.Monitors = append(g.Monitors, saba.NotificationMonitor{ID: id, SkipDefault: true})
	}
	return g, g.Check()
}

// notificationGroupRows returns groups as lists show them.
func (c *console) notificationGroupRows(ctx context.Context, org string, all []saba.NotificationGroup) ([]notificationGroupRow, error) {
	channels, err := c.Store.Channels(ctx, org)
	if err != nil {
		return nil, fmt.Errorf("list channels: %w", err)
	}
	var watched []string
	for _, g := range all {
		for _, m := range g.Monitors {
			watched = append(watched, m.ID)
		}
	}
	names, err := c.ruleNames(ctx, org, watched)
	if err != nil {
		return nil, err
	}
	tellers := map[string]roleLink{}
	for _, ch := range channels {
		tellers[ch.ID] = roleLink{ch.Name, "/channels/" + url.PathEscape(ch.ID)}
	}
	for _, g := range all {
		tellers[g.ID] = roleLink{"group " + g.Name, "/notification-groups/" + url.PathEscape(g.ID)}
	}
	rows := make([]notificationGroupRow, len(all))
	for i, g := range all {
		row := notificationGroupRow{NotificationGroup: g, URL: "/notification-groups/" + url.PathEscape(g.ID)}
		for _, s := range g.Services {
			row.Of = append(row.Of, roleLink{s.Name, "/services/" + url.PathEscape(s.Name)})
		}
		for _, m := range g.Monitors {
			link, known := names[m.ID]
			if !known {
				link = roleLink{"a deleted monitor", "/monitors"}
			}
			if m.SkipDefault {
				row.Only = append(row.Only, link)
			} else {
				row.Of = append(row.Of, link)
			}
		}
		for _, id := range slices.Concat(g.Channels, g.Groups) {
			if link, known := tellers[id]; known {
				row.Tells = append(row.Tells, link)
			}
		}
		rows[i] = row
	}
	return rows, nil
}

func (c *console) notificationGroupList(w http.ResponseWriter, r *http.Request, v visitor) error {
	all, err := c.Store.NotificationGroups(r.Context(), v.Org)
	if err != nil {
		return fmt.Errorf("list notification groups: %w", err)
	}
	p := notificationGroupsPage{layout: layoutFor(v, "channels", "Notification groups")}
	if p.Rows, err = c.notificationGroupRows(r.Context(), v.Org, all); err != nil {
		return err
	}
	return c.render(w, r, http.StatusOK, "notification-groups", p)
}

// notificationGroupPage is page/notification-group.html.
type notificationGroupPage struct {
	layout
	Row    notificationGroupRow
	New    bool
	Action string
	Parts  []formPart
	Error  string
	Wrong  bool
	Saved  bool
}

// notificationGroup returns a group of the visitor's organization, and all of them.
func (c *console) notificationGroup(r *http.Request, v visitor) (g saba.NotificationGroup, all []saba.NotificationGroup, err error) {
	if all, err = c.Store.NotificationGroups(r.Context(), v.Org); err != nil {
		return g, nil, fmt.Errorf("list notification groups: %w", err)
	}
	i := slices.IndexFunc(all, func(g saba.NotificationGroup) bool { return g.ID == r.PathValue("id") })
	if i < 0 {
		return g, nil, saba.Errorf(saba.ErrNotFound, "There is no such notification group: it may have been deleted already.")
	}
	return all[i], all, nil
}

func (c *console) notificationGroupNew(w http.ResponseWriter, r *http.Request, v visitor) error {
	return c.showNotificationGroup(w, r, v, http.StatusOK, notificationGroupForm{Level: string(saba.NotifyAll)}, nil)
}

func (c *console) notificationGroupShow(w http.ResponseWriter, r *http.Request, v visitor) error {
	g, _, err := c.notificationGroup(r, v)
	if err != nil {
		return err
	}
	return c.showNotificationGroup(w, r, v, http.StatusOK, formOfNotificationGroup(g), nil)
}

// showNotificationGroup shows the form of a notification group. The ID of a new one is "".
func (c *console) showNotificationGroup(w http.ResponseWriter, r *http.Request, v visitor, code int, values notificationGroupForm, wrong faults) error {
	ctx := r.Context()
	p := notificationGroupPage{New: values.ID == "", Error: wrong[""], Wrong: code != http.StatusOK, Saved: r.URL.Query().Get("saved") != ""}
	all, err := c.Store.NotificationGroups(ctx, v.Org)
	if err != nil {
		return fmt.Errorf("list notification groups: %w", err)
	}
	title := cmp.Or(values.Name, "Notification group")
	p.Action = "/notification-groups/" + url.PathEscape(values.ID)
	if p.New {
		title, p.Action = "New notification group", "/notification-groups/new"
	} else {
		rows, err := c.notificationGroupRows(ctx, v.Org, all)
		if err != nil {
			return err
		}
		for _, row := range rows {
			if row.ID == values.ID {
				p.Row, title = row, row.Name
			}
		}
	}
	p.layout = layoutFor(v, "channels", title)
	if v.Write {
		f := form[notificationGroupForm]{fields: notificationGroupFields, lists: map[string][]group{}}
		if err := c.offerRules(ctx, v.Org, f.lists, slices.Concat(values.Monitors, values.Only)); err != nil {
			return err
		}
		channels, err := c.Store.Channels(ctx, v.Org)
		if err != nil {
			return fmt.Errorf("list channels: %w", err)
		}
		var tells, others group
		for _, ch := range channels {
			tells.Choices = append(tells.Choices, choice{Value: ch.ID, Label: ch.Name})
		}
		for _, g := range all {
			if g.ID != values.ID {
				others.Choices = append(others.Choices, choice{Value: g.ID, Label: g.Name})
			}
		}
		f.lists["channels"], f.lists["groups"] = []group{tells}, []group{others}
		p.Parts = f.draw(&values, nil, wrong)
	}
	return c.render(w, r, code, "notification-group", p)
}

// offerRules adds to the lists of a form what may be watched: services, services with their roles, and monitors with those checks that are
// among what is chosen.
func (c *console) offerRules(ctx context.Context, org string, lists map[string][]group, chosen []string) error {
	services, err := c.Store.Services(ctx, org)
	if err != nil {
		return fmt.Errorf("list services: %w", err)
	}
	monitors, err := c.Store.Monitors(ctx, org)
	if err != nil {
		return fmt.Errorf("list monitors: %w", err)
	}
	checks, err := c.checksOf(ctx, org, chosen, func(id string) bool {
		return !slices.ContainsFunc(monitors, func(m saba.Monitor) bool { return m.ID == id })
	})
	if err != nil {
		return err
	}
	lists["services"], lists["scopes"], lists["monitors"] = serviceList(services), scopeList(services), watchedList(monitors, checks)
	return nil
}

func (c *console) notificationGroupSave(w http.ResponseWriter, r *http.Request, v visitor) error {
	ctx := r.Context()
	var old notificationGroupForm
	if r.PathValue("id") != "" {
		g, _, err := c.notificationGroup(r, v)
		if err != nil {
			return err
		}
		old = formOfNotificationGroup(g)
	}
	if err := r.ParseForm(); err != nil {
		return badForm(err)
	}
	f := form[notificationGroupForm]{fields: notificationGroupFields}
	values := old // of the default group, what its form does not have stays
	var g saba.NotificationGroup
	wrong, err := f.save(&values, r.PostForm, func() (err error) {
		g, err = values.group()
		return err
	}, func() (err error) {
		if old.ID != "" {
			_, err = c.Store.UpdateNotificationGroup(ctx, v.Org, old.ID, func(saba.NotificationGroup) (saba.NotificationGroup, error) { return g, nil })
		} else if g.ID, err = c.newID(); err == nil {
			err = c.Store.CreateNotificationGroup(ctx, v.Org, g)
		}
		return err
	})
	if err != nil {
		return err
	}
	if len(wrong) > 0 {
		return c.showNotificationGroup(w, r, v, http.StatusBadRequest, values, wrong)
	}
	c.Log.Info("a notification group was saved", "group", g.ID, "name", g.Name, "new", old.ID == "", "by", v.User)
	http.Redirect(w, r, "/notification-groups/"+url.PathEscape(g.ID)+"?saved=1", http.StatusSeeOther)
	return nil
}

func (c *console) notificationGroupDelete(w http.ResponseWriter, r *http.Request, v visitor) error {
	g, all, err := c.notificationGroup(r, v)
	if err != nil {
		return err
	}
	rows, err := c.notificationGroupRows(r.Context(), v.Org, all)
	if err != nil {
		return err
	}
	at := "/notification-groups/" + url.PathEscape(g.ID)
	p := confirmPage{
		layout: layoutFor(v, "channels", "Delete "+g.Name+"?"), Crumbs: []crumb{{"Notification groups", "/notification-groups"}, {g.Name, at}},
		Text: []string{"Its channels stay, and are told of what other groups tell them."}, Action: at + "/delete", Do: "Delete this group", Back: at,
	}
	for _, row := range rows {
		if row.ID == g.ID && len(row.Only) > 0 {
			p.Text = append(p.Text, fmt.Sprintf("Of %s that it has for itself, the group %s is told then, unless another group keeps them.", count(len(row.Only), "monitor"), saba.DefaultGroupName))
		}
	}
	return c.render(w, r, http.StatusOK, "confirm", p)
}

func (c *console) notificationGroupDeleteDo(w http.ResponseWriter, r *http.Request, v visitor) error {
	g, err := c.Store.DeleteNotificationGroup(r.Context(), v.Org, r.PathValue("id"))
	if err != nil {
		return err
	}
	c.Log.Info("a notification group was deleted", "group", g.ID, "name", g.Name, "by", v.User)
	http.Redirect(w, r, "/notification-groups", http.StatusSeeOther)
	return nil
}

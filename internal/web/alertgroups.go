package web

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/saba-monitor/saba"
)

// alertGroupsPage is page/alert-groups.html.
type alertGroupsPage struct {
	layout
	Rows []alertGroupRow
}

// An alertGroupRow is a setting of alert groups in a list.
type alertGroupRow struct {
	saba.AlertGroupSetting
	URL   string
	In    []roleLink // services and roles whose alerts it collects
	Of    []roleLink // monitors
	Again string     // when an open group is told again, in words
}

// An alertGroupForm is a setting of alert groups as its form has it: with services and roles in one list.
type alertGroupForm struct {
	saba.AlertGroupSetting
	Scopes []saba.Scope
}

// alertGroupFields declares the fields of a setting of alert groups.
var alertGroupFields = []field[alertGroupForm]{
	{name: "name", label: "Name", input: inputLine, required: true, hint: "The shop", of: func(g *alertGroupForm) any { return &g.Name }},
	{name: "scopes", label: "Services and roles", noun: "The choice", part: partCollects, input: inputPicks, from: "scopes", help: "Alerts of their hosts, and of the metrics of the services.",
		of: func(g *alertGroupForm) any { return &g.Scopes }},
	{name: "monitorScopes", label: "Monitors", noun: "The choice", part: partCollects, input: inputPicks, from: "monitors",
		help: "With services or roles chosen as well, only what is of both is collected. Nothing chosen at all collects nothing.", of: func(g *alertGroupForm) any { return &g.MonitorScopes }},
	{name: "notificationInterval", label: "Told again every", noun: "The interval", part: partGroupTold, input: inputWhole, unit: "minutes", least: "10", hint: "never",
		help: "While the group is open.", of: func(g *alertGroupForm) any { return &g.NotificationInterval }},
	{name: "memo", label: "Memo", part: partGroupTold, input: inputText, hint: "What to do", of: func(g *alertGroupForm) any { return &g.Memo }},
}

// The headings of the form.
const (
	partCollects  = "Whose alerts it collects"
	partGroupTold = "How it is told"
)

// alertGroupName is the field of the form that a field of a setting is in.
var alertGroupName = strings.NewReplacer("serviceScopes", "scopes", "roleScopes", "scopes")

func formOfAlertGroup(s saba.AlertGroupSetting) alertGroupForm {
	f := alertGroupForm{AlertGroupSetting: s}
	for _, name := range s.ServiceScopes {
		f.Scopes = append(f.Scopes, saba.Scope{Service: name})
	}
	f.Scopes = append(f.Scopes, s.RoleScopes...)
	return f
}

// setting reads the form. The error is a FieldError whose field is that of a setting.
func (f alertGroupForm) setting() (saba.AlertGroupSetting, error) {
	s := f.AlertGroupSetting
	s.ServiceScopes, s.RoleScopes = nil, nil
	for _, scope := range f.Scopes {
		if scope.Role == "" {
			s.ServiceScopes = append(s.ServiceScopes, scope.Service)
		} else {
			s.RoleScopes = append(s.RoleScopes, scope)
		}
	}
	return s, s.Check()
}

func (c *console) alertGroupRows(ctx context.Context, org string, all []saba.AlertGroupSetting) ([]alertGroupRow, error) {
	var named []string
	for _, s := range all {
		named = append(named, s.MonitorScopes...)
	}
	names, err := c.ruleNames(ctx, org, named)
	if err != nil {
		return nil, err
	}
	rows := make([]alertGroupRow, len(all))
	for i, s := range all {
		row := alertGroupRow{AlertGroupSetting: s, URL: "/alert-groups/" + url.PathEscape(s.ID), In: scopeLinks(formOfAlertGroup(s).Scopes)}
		for _, id := range s.MonitorScopes {
			link, known := names[id]
			if !known {
				link = roleLink{"a deleted monitor", "/monitors"}
			}
			row.Of = append(row.Of, link)
		}
		if s.NotificationInterval != nil {
			row.Again = "every " + minutesWords(*s.NotificationInterval)
		}
		rows[i] = row
	}
	return rows, nil
}

func (c *console) alertGroupList(w http.ResponseWriter, r *http.Request, v visitor) error {
	all, err := c.Store.AlertGroupSettings(r.Context(), v.Org)
	if err != nil {
		return fmt.Errorf("list alert group settings: %w", err)
	}
	p := alertGroupsPage{layout: layoutFor(v, "channels", "Alert groups")}
	if p.Rows, err = c.alertGroupRows(r.Context(), v.Org, all); err != nil {
		return err
	}
	return c.render(w, r, http.StatusOK, "alert-groups", p)
}

// alertGroupPage is page/alert-group.html.
type alertGroupPage struct {
	layout
	Row    alertGroupRow
	New    bool
	Action string
	Parts  []formPart
	Error  string
	Wrong  bool
	Saved  bool
}

func (c *console) alertGroupNew(w http.ResponseWriter, r *http.Request, v visitor) error {
	return c.showAlertGroup(w, r, v, http.StatusOK, saba.AlertGroupSetting{}, alertGroupForm{}, nil, nil)
}

func (c *console) alertGroupShow(w http.ResponseWriter, r *http.Request, v visitor) error {
	s, err := c.Store.AlertGroupSetting(r.Context(), v.Org, r.PathValue("id"))
	if err != nil {
		return err
	}
	return c.showAlertGroup(w, r, v, http.StatusOK, s, formOfAlertGroup(s), nil, nil)
}

// showAlertGroup shows the form of a setting. old is the setting itself; its ID is "" for a new one.
func (c *console) showAlertGroup(w http.ResponseWriter, r *http.Request, v visitor, code int, old saba.AlertGroupSetting, values alertGroupForm, typed url.Values, wrong faults) error {
	ctx := r.Context()
	p := alertGroupPage{New: old.ID == "", Error: wrong[""], Wrong: code != http.StatusOK, Saved: r.URL.Query().Get("saved") != "", Action: "/alert-groups/" + url.PathEscape(old.ID)}
	title := old.Name
	if p.New {
		title, p.Action = "New alert group", "/alert-groups/new"
	}
	p.layout = layoutFor(v, "channels", title)
	rows, err := c.alertGroupRows(ctx, v.Org, []saba.AlertGroupSetting{old})
	if err != nil {
		return err
	}
	p.Row = rows[0]
	if v.Write {
		f := form[alertGroupForm]{fields: alertGroupFields, lists: map[string][]group{}}
		if err := c.offerRules(ctx, v.Org, f.lists, values.MonitorScopes); err != nil {
			return err
		}
		p.Parts = f.draw(&values, typed, wrong)
	}
	return c.render(w, r, code, "alert-group", p)
}

func (c *console) alertGroupSave(w http.ResponseWriter, r *http.Request, v visitor) error {
	ctx := r.Context()
	var old saba.AlertGroupSetting
	if id := r.PathValue("id"); id != "" {
		var err error
		if old, err = c.Store.AlertGroupSetting(ctx, v.Org, id); err != nil {
			return err
		}
	}
	if err := r.ParseForm(); err != nil {
		return badForm(err)
	}
	f := form[alertGroupForm]{fields: alertGroupFields}
	values := alertGroupForm{AlertGroupSetting: saba.AlertGroupSetting{ID: old.ID}}
	var s saba.AlertGroupSetting
	wrong, err := f.save(&values, r.PostForm, func() (err error) {
		s, err = values.setting()
		return renamed(err, alertGroupName)
	}, func() (err error) {
		if old.ID != "" {
			_, err = c.Store.UpdateAlertGroupSetting(ctx, v.Org, old.ID, func(saba.AlertGroupSetting) (saba.AlertGroupSetting, error) { return s, nil })
		} else if s.ID, err = c.newID(); err == nil {
			err = c.Store.CreateAlertGroupSetting(ctx, v.Org, s)
		}
		return renamed(err, alertGroupName)
	})
	if err != nil {
		return err
	}
	if len(wrong) > 0 {
		return c.showAlertGroup(w, r, v, http.StatusBadRequest, old, values, r.PostForm, wrong)
	}
	c.Log.Info("an alert group setting was saved", "setting", s.ID, "name", s.Name, "new", old.ID == "", "by", v.User)
	http.Redirect(w, r, "/alert-groups/"+url.PathEscape(s.ID)+"?saved=1", http.StatusSeeOther)
	return nil
}

func (c *console) alertGroupDelete(w http.ResponseWriter, r *http.Request, v visitor) error {
	s, err := c.Store.AlertGroupSetting(r.Context(), v.Org, r.PathValue("id"))
	if err != nil {
		return err
	}
	at := "/alert-groups/" + url.PathEscape(s.ID)
	return c.render(w, r, http.StatusOK, "confirm", confirmPage{
		layout: layoutFor(v, "channels", "Delete "+s.Name+"?"), Crumbs: []crumb{{"Alert groups", "/alert-groups"}, {s.Name, at}},
		Text: []string{"Its alerts stay, and alerts that open from then on are told one by one."}, Action: at + "/delete", Do: "Delete this alert group", Back: at,
	})
}

func (c *console) alertGroupDeleteDo(w http.ResponseWriter, r *http.Request, v visitor) error {
	s, err := c.Store.DeleteAlertGroupSetting(r.Context(), v.Org, r.PathValue("id"))
	if err != nil {
		return err
	}
	c.Log.Info("an alert group setting was deleted", "setting", s.ID, "name", s.Name, "by", v.User)
	http.Redirect(w, r, "/alert-groups", http.StatusSeeOther)
	return nil
}

package api

import (
	"net/http"

	"github.com/saba-monitor/saba"
)

type alertGroupIn struct {
	Name                 string   `json:"name"`
	Memo                 string   `json:"memo"`
	ServiceScopes        []string `json:"serviceScopes"`
	RoleScopes           []string `json:"roleScopes"`
	MonitorScopes        []string `json:"monitorScopes"`
	NotificationInterval *int64   `json:"notificationInterval"`
}

// readAlertGroup reads the body that makes or replaces an alert group setting.
func (c *call) readAlertGroup() (g saba.AlertGroupSetting, err error) {
	var in alertGroupIn
	if err := c.decode(&in); err != nil {
		return g, err
	}
	if in.NotificationInterval != nil && *in.NotificationInterval == 0 { // clients send 0 for none
		in.NotificationInterval = nil
	}
	g = saba.AlertGroupSetting{Name: in.Name, Memo: in.Memo, ServiceScopes: in.ServiceScopes, MonitorScopes: in.MonitorScopes, NotificationInterval: in.NotificationInterval}
	if g.RoleScopes, err = parseScopes("roleScopes", in.RoleScopes); err != nil {
		return g, err
	}
	return g, g.Check()
}

type alertGroupOut struct {
	saba.AlertGroupSetting
	RoleScopes []string `json:"roleScopes,omitempty"` // "service: role", with a blank
}

func newAlertGroupOut(g saba.AlertGroupSetting) alertGroupOut {
	return alertGroupOut{g, spaced(g.RoleScopes)}
}

func (s *server) alertGroupList(w http.ResponseWriter, c *call) error {
	all, err := s.store.AlertGroupSettings(c.Context(), c.org)
	return listed(s, w, c, "alertGroupSettings", all, err, newAlertGroupOut)
}

func (s *server) alertGroupShow(w http.ResponseWriter, c *call) error {
	g, err := s.store.AlertGroupSetting(c.Context(), c.org, c.PathValue("alertGroup"))
	return shown(s, w, c, g, err, newAlertGroupOut)
}

func (s *server) alertGroupCreate(w http.ResponseWriter, c *call) error {
	g, err := c.readAlertGroup()
	if err != nil {
		return err
	}
	if g.ID, err = s.newID(); err != nil {
		return err
	}
	return shown(s, w, c, g, s.store.CreateAlertGroupSetting(c.Context(), c.org, g), newAlertGroupOut)
}

func (s *server) alertGroupUpdate(w http.ResponseWriter, c *call) error {
	g, err := c.readAlertGroup()
	if err != nil {
		return err
	}
	g, err = s.store.UpdateAlertGroupSetting(c.Context(), c.org, c.PathValue("alertGroup"), func(old saba.AlertGroupSetting) (saba.AlertGroupSetting, error) {
		g.ID = old.ID
		return g, nil
	})
	return shown(s, w, c, g, err, newAlertGroupOut)
}

func (s *server) alertGroupDelete(w http.ResponseWriter, c *call) error {
	g, err := s.store.DeleteAlertGroupSetting(c.Context(), c.org, c.PathValue("alertGroup"))
	return shown(s, w, c, g, err, newAlertGroupOut)
}

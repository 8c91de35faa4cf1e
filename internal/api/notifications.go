package api

import (
	"net/http"

	"github.com/saba-monitor/saba"
)

type notificationGroupIn struct {
	Name     string                     `json:"name"`
	Level    saba.NotificationLevel     `json:"notificationLevel"`
	Groups   []string                   `json:"childNotificationGroupIds"`
	Channels []string                   `json:"childChannelIds"`
	Monitors []saba.NotificationMonitor `json:"monitors"`
	Services []saba.NotificationService `json:"services"`
}

// readNotificationGroup reads the body that makes or replaces a notification group.
func (c *call) readNotificationGroup() (g saba.NotificationGroup, err error) {
	var in notificationGroupIn
	if err := c.decode(&in); err != nil {
		return g, err
	}
	if in.Level == "" {
		in.Level = saba.NotifyAll
	}
	g = saba.NotificationGroup{Name: in.Name, Level: in.Level, Groups: in.Groups, Channels: in.Channels, Monitors: in.Monitors, Services: in.Services}
	return g, g.Check()
}

type notificationGroupOut struct {
	ID       string                     `json:"id"`
	Type     string                     `json:"type"`
	Name     string                     `json:"name"`
	Level    saba.NotificationLevel     `json:"notificationLevel"`
	Groups   []string                   `json:"childNotificationGroupIds"` // both lists are always there
	Channels []string                   `json:"childChannelIds"`
	Monitors []saba.NotificationMonitor `json:"monitors,omitempty"`
	Services []saba.NotificationService `json:"services,omitempty"`
}

func newNotificationGroupOut(g saba.NotificationGroup) notificationGroupOut {
	out := notificationGroupOut{
		ID: g.ID, Type: "group", Name: g.Name, Level: g.Level,
		Groups: append([]string{}, g.Groups...), Channels: append([]string{}, g.Channels...), Monitors: g.Monitors, Services: g.Services,
	}
	if g.Default {
		out.Type = "group-default"
	}
	return out
}

func (s *server) notificationGroupList(w http.ResponseWriter, c *call) error {
	all, err := s.store.NotificationGroups(c.Context(), c.org)
	return listed(s, w, c, "notificationGroups", all, err, newNotificationGroupOut)
}

func (s *server) notificationGroupCreate(w http.ResponseWriter, c *call) error {
	g, err := c.readNotificationGroup()
	if err != nil {
		return err
	}
	if g.ID, err = s.newID(); err != nil {
		return err
	}
	return shown(s, w, c, g, s.store.CreateNotificationGroup(c.Context(), c.org, g), newNotificationGroupOut)
}

func (s *server) notificationGroupUpdate(w http.ResponseWriter, c *call) error {
	g, err := c.readNotificationGroup()
	if err != nil {
		return err
	}
	g, err = s.store.UpdateNotificationGroup(c.Context(), c.org, c.PathValue("group"), func(old saba.NotificationGroup) (saba.NotificationGroup, error) {
		g.ID = old.ID
		return g, nil
	})
	return shown(s, w, c, g, err, newNotificationGroupOut)
}

func (s *server) notificationGroupDelete(w http.ResponseWriter, c *call) error {
	g, err := s.store.DeleteNotificationGroup(c.Context(), c.org, c.PathValue("group"))
	return shown(s, w, c, g, err, newNotificationGroupOut)
}

package api

import (
	"net/http"

	"github.com/saba-monitor/saba"
)

type downtimeIn struct {
	Name                 string           `json:"name"`
	Memo                 string           `json:"memo"`
	Start                *int64           `json:"start"`
	Duration             int64            `json:"duration"` // minutes
	Recurrence           *saba.Recurrence `json:"recurrence"`
	Timezone             *string          `json:"timezone"` // absent keeps what was: clients of the protocol do not know it
	ServiceScopes        []string         `json:"serviceScopes"`
	ServiceExcludeScopes []string         `json:"serviceExcludeScopes"`
	RoleScopes           []string         `json:"roleScopes"`
	RoleExcludeScopes    []string         `json:"roleExcludeScopes"`
	MonitorScopes        []string         `json:"monitorScopes"`
	MonitorExcludeScopes []string         `json:"monitorExcludeScopes"`
}

// readDowntime reads the body that makes a downtime.
func (c *call) readDowntime() (d saba.Downtime, err error) {
	var in downtimeIn
	if err := c.decode(&in); err != nil {
		return d, err
	}
	return in.downtime(nil)
}

// downtime makes a downtime of the fields. old is the one that it replaces, nil when it is new.
func (in downtimeIn) downtime(old *saba.Downtime) (d saba.Downtime, err error) {
	if in.Start == nil {
		return d, saba.Invalidf("start", "is required: a time in Unix seconds")
	}
	d = saba.Downtime{
		Name: in.Name, Memo: in.Memo, Start: *in.Start, Duration: in.Duration, Recurrence: in.Recurrence,
		ServiceScopes: in.ServiceScopes, ServiceExcludeScopes: in.ServiceExcludeScopes,
		MonitorScopes: in.MonitorScopes, MonitorExcludeScopes: in.MonitorExcludeScopes,
	}
	if old != nil {
		d.ID, d.Timezone = old.ID, old.Timezone
	}
	if in.Timezone != nil {
		d.Timezone = *in.Timezone
	}
	if d.RoleScopes, err = parseScopes("roleScopes", in.RoleScopes); err != nil {
		return d, err
	}
	if d.RoleExcludeScopes, err = parseScopes("roleExcludeScopes", in.RoleExcludeScopes); err != nil {
		return d, err
	}
	return d, d.Check()
}

// A downtime is read as it is kept: its roles have no blank after the colon, unlike those of monitors,
// since clients compare them with what they sent.
func downtimeOut(d saba.Downtime) saba.Downtime { return d }

func (s *server) downtimeList(w http.ResponseWriter, c *call) error {
	all, err := s.store.Downtimes(c.Context(), c.org)
	return listed(s, w, c, "downtimes", all, err, downtimeOut)
}

func (s *server) downtimeCreate(w http.ResponseWriter, c *call) error {
	d, err := c.readDowntime()
	if err != nil {
		return err
	}
	if d.ID, err = s.newID(); err != nil {
		return err
	}
	return shown(s, w, c, d, s.store.CreateDowntime(c.Context(), c.org, d), downtimeOut)
}

func (s *server) downtimeUpdate(w http.ResponseWriter, c *call) error {
	var in downtimeIn
	if err := c.decode(&in); err != nil {
		return err
	}
	d, err := s.store.UpdateDowntime(c.Context(), c.org, c.PathValue("downtime"), func(old saba.Downtime) (saba.Downtime, error) {
		return in.downtime(&old)
	})
	return shown(s, w, c, d, err, downtimeOut)
}

func (s *server) downtimeDelete(w http.ResponseWriter, c *call) error {
	d, err := s.store.DeleteDowntime(c.Context(), c.org, c.PathValue("downtime"))
	return shown(s, w, c, d, err, downtimeOut)
}

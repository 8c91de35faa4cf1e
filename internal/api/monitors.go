package api

import (
	"net/http"

	"github.com/saba-monitor/saba"
)

// monitorIn is a monitor as clients send it: of every field, null is the same as absent.
type monitorIn struct {
	Type                            saba.MonitorType   `json:"type"`
	Name                            string             `json:"name"`
	Memo                            string             `json:"memo"`
	NotificationInterval            *int64             `json:"notificationInterval"`
	Mute                            bool               `json:"isMute"`
	MuteUntil                       *int64             `json:"muteUntil"` // absent keeps what was: clients of the protocol do not know it
	Scopes                          []string           `json:"scopes"`
	ExcludeScopes                   []string           `json:"excludeScopes"`
	Metric                          string             `json:"metric"`
	Operator                        string             `json:"operator"`
	Warning                         *float64           `json:"warning"`
	Critical                        *float64           `json:"critical"`
	Duration                        int64              `json:"duration"`
	MaxCheckAttempts                *int64             `json:"maxCheckAttempts"`
	AlertStatusOnGone               saba.CheckStatus   `json:"alertStatusOnGone"`
	GoneAfter                       *int64             `json:"goneAfter"` // absent keeps what was, as of muteUntil
	Service                         string             `json:"service"`
	MissingDurationWarning          *int64             `json:"missingDurationWarning"`
	MissingDurationCritical         *int64             `json:"missingDurationCritical"`
	URL                             string             `json:"url"`
	Method                          string             `json:"method"`
	ResponseTimeWarning             *float64           `json:"responseTimeWarning"`
	ResponseTimeCritical            *float64           `json:"responseTimeCritical"`
	ResponseTimeDuration            *int64             `json:"responseTimeDuration"`
	ContainsString                  string             `json:"containsString"`
	CertificationExpirationWarning  *int64             `json:"certificationExpirationWarning"`
	CertificationExpirationCritical *int64             `json:"certificationExpirationCritical"`
	SkipCertificateVerification     bool               `json:"skipCertificateVerification"`
	ExpectedStatusCode              *int64             `json:"expectedStatusCode"`
	Headers                         *[]saba.HTTPHeader `json:"headers"` // absent is not []
	RequestBody                     string             `json:"requestBody"`
	FollowRedirect                  bool               `json:"followRedirect"`
	Dualstack                       string             `json:"dualstack"`
	Expression                      string             `json:"expression"`
	EvaluateBackwardMinutes         *int64             `json:"evaluateBackwardMinutes"`
	WarningSensitivity              string             `json:"warningSensitivity"`
	CriticalSensitivity             string             `json:"criticalSensitivity"`
	TrainingPeriodFrom              *int64             `json:"trainingPeriodFrom"`
	Query                           string             `json:"query"`
	Legend                          string             `json:"legend"`
}

// monitor makes a monitor of the fields that belong to its type, with their usual values for what is missing.
// old is the monitor that it replaces, nil when it is new.
func (in monitorIn) monitor(old *saba.Monitor, now int64) (m saba.Monitor, err error) {
	if old != nil && in.Type != old.Type {
		return m, saba.Invalidf("type", "must stay %s, not become %q: delete the monitor and make another", old.Type, clip(string(in.Type)))
	}
	m = saba.Monitor{Type: in.Type, Name: in.Name, Memo: in.Memo, NotificationInterval: in.NotificationInterval, Mute: in.Mute}
	if old != nil {
		m.ID, m.MuteUntil = old.ID, old.MuteUntil
	}
	if in.MuteUntil != nil {
		m.MuteUntil = *in.MuteUntil
	}
	if in.MaxCheckAttempts != nil {
		if m.MaxCheckAttempts = *in.MaxCheckAttempts; m.MaxCheckAttempts == 0 {
			return m, saba.Invalidf("maxCheckAttempts", "must be from 1 to 10, not 0")
		}
	}
	threshold := func() { m.Operator, m.Warning, m.Critical = in.Operator, in.Warning, in.Critical }
	switch in.Type {
	case saba.MonitorHost, saba.MonitorConnectivity, saba.MonitorAnomaly:
		if m.Scopes, err = parseScopes("scopes", in.Scopes); err != nil {
			return m, err
		}
		if m.ExcludeScopes, err = parseScopes("excludeScopes", in.ExcludeScopes); err != nil {
			return m, err
		}
	}
	switch in.Type {
	case saba.MonitorHost:
		threshold()
		m.Metric, m.Duration = in.Metric, in.Duration
	case saba.MonitorConnectivity:
		m.MaxCheckAttempts = 0
		if m.AlertStatusOnGone = in.AlertStatusOnGone; m.AlertStatusOnGone == "" && old != nil {
			m.AlertStatusOnGone = old.AlertStatusOnGone
		}
		if old != nil {
			m.GoneAfter = old.GoneAfter
		}
		if in.GoneAfter != nil {
			m.GoneAfter = *in.GoneAfter
		}
	case saba.MonitorService:
		threshold()
		m.Metric, m.Duration, m.Service = in.Metric, in.Duration, in.Service
		m.MissingDurationWarning, m.MissingDurationCritical = in.MissingDurationWarning, in.MissingDurationCritical
	case saba.MonitorExternal:
		m.URL, m.Method, m.Service = in.URL, in.Method, in.Service
		m.ResponseTimeWarning, m.ResponseTimeCritical = in.ResponseTimeWarning, in.ResponseTimeCritical
		if in.ResponseTimeDuration != nil && *in.ResponseTimeDuration != 0 { // clients send 0 for none
			m.ResponseTimeDuration = in.ResponseTimeDuration
		}
		m.ContainsString, m.RequestBody, m.FollowRedirect, m.Dualstack = in.ContainsString, in.RequestBody, in.FollowRedirect, in.Dualstack
		m.CertificationExpirationWarning, m.CertificationExpirationCritical = in.CertificationExpirationWarning, in.CertificationExpirationCritical
		m.SkipCertificateVerification, m.ExpectedStatusCode = in.SkipCertificateVerification, in.ExpectedStatusCode
		switch {
		case in.Headers != nil:
			m.Headers = append([]saba.HTTPHeader{}, *in.Headers...)
		case old != nil:
			m.Headers = append([]saba.HTTPHeader{}, old.Headers...)
		}
	case saba.MonitorExpression:
		threshold()
		m.MaxCheckAttempts = 0
		m.Expression, m.EvaluateBackwardMinutes = in.Expression, in.EvaluateBackwardMinutes
	case saba.MonitorQuery:
		threshold()
		m.MaxCheckAttempts = 0
		m.Query, m.Legend, m.EvaluateBackwardMinutes = in.Query, in.Legend, in.EvaluateBackwardMinutes
	case saba.MonitorAnomaly:
		m.ExcludeScopes = nil
		m.WarningSensitivity, m.CriticalSensitivity = in.WarningSensitivity, in.CriticalSensitivity
		if in.TrainingPeriodFrom != nil {
			m.TrainingPeriodFrom = *in.TrainingPeriodFrom
		}
	}
	m.Default()
	return m, m.Check(now)
}

// monitorOut is a monitor as clients read it: lists that its type has are always there, others never are.
type monitorOut struct {
	saba.Monitor
	Scopes        *[]string          `json:"scopes,omitzero"` // "service: role", with a blank
	ExcludeScopes *[]string          `json:"excludeScopes,omitzero"`
	Headers       *[]saba.HTTPHeader `json:"headers,omitzero"`
}

func newMonitorOut(m saba.Monitor) monitorOut {
	out := monitorOut{Monitor: m}
	switch m.Type {
	case saba.MonitorHost, saba.MonitorConnectivity:
		out.Scopes, out.ExcludeScopes = new(spaced(m.Scopes)), new(spaced(m.ExcludeScopes))
	case saba.MonitorAnomaly:
		out.Scopes = new(spaced(m.Scopes))
	case saba.MonitorExternal:
		out.Headers = new(append([]saba.HTTPHeader{}, m.Headers...))
	}
	return out
}

type monitorAnswer struct {
	Monitor monitorOut `json:"monitor"`
}

func (s *server) monitorList(w http.ResponseWriter, c *call) error {
	all, err := s.store.Monitors(c.Context(), c.org)
	return listed(s, w, c, "monitors", all, err, newMonitorOut)
}

func (s *server) monitorShow(w http.ResponseWriter, c *call) error {
	m, err := s.store.Monitor(c.Context(), c.org, c.PathValue("monitor"))
	return shown(s, w, c, m, err, func(m saba.Monitor) monitorAnswer { return monitorAnswer{newMonitorOut(m)} })
}

// monitorOf is monitorIn.monitor, with its query read as PromQL.
func (s *server) monitorOf(in monitorIn, old *saba.Monitor, now int64) (saba.Monitor, error) {
	m, err := in.monitor(old, now)
	if err == nil && m.Type == saba.MonitorQuery && s.checkQuery != nil {
		err = s.checkQuery(m.Query)
	}
	return m, err
}

func (s *server) monitorCreate(w http.ResponseWriter, c *call) error {
	var in monitorIn
	if err := c.decode(&in); err != nil {
		return err
	}
	m, err := s.monitorOf(in, nil, s.now().Unix())
	if err != nil {
		return err
	}
	if m.ID, err = s.newID(); err != nil {
		return err
	}
	return shown(s, w, c, m, s.store.CreateMonitor(c.Context(), c.org, m), newMonitorOut)
}

func (s *server) monitorUpdate(w http.ResponseWriter, c *call) error {
	var in monitorIn
	if err := c.decode(&in); err != nil {
		return err
	}
	now := s.now().Unix()
	m, err := s.store.UpdateMonitor(c.Context(), c.org, c.PathValue("monitor"), now, func(old saba.Monitor) (saba.Monitor, error) {
		return s.monitorOf(in, &old, now)
	})
	return shown(s, w, c, m, err, newMonitorOut)
}

func (s *server) monitorDelete(w http.ResponseWriter, c *call) error {
	m, err := s.store.DeleteMonitor(c.Context(), c.org, c.PathValue("monitor"), s.now().Unix())
	return shown(s, w, c, m, err, newMonitorOut)
}

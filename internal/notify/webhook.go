package notify

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/saba-monitor/saba"
)

// webhook posts JSON to an address of the user's. The shapes are those of the protocol (monitoring semantics, section 13.1); what receivers
// know of it they find unchanged. Events that only saba has are of the kinds "channel" and "alertHandling" and, of an alert that is told
// again, have the trigger "still".
type webhook struct{ service }

// Send implements Sender.
func (w webhook) Send(ctx context.Context, c saba.Channel, m Message) error {
	body, err := json.Marshal(payload(&m, c.EnabledGraphImage))
	if err != nil {
		return Final(err)
	}
	_, err = w.ask(ctx, request{url: c.URL, body: body, header: http.Header{"Idempotency-Key": {m.Key}}})
	return err
}

type payloadOut struct {
	Org      string  `json:"orgName"`
	Event    string  `json:"event"`
	ImageURL *string `json:"imageUrl"`
	Type     string  `json:"type,omitempty"`
	Message  *string `json:"message,omitempty"`
	Memo     *string `json:"memo,omitempty"`

	Alert    *alertOut         `json:"alert,omitempty"`
	Handling *handlingOut      `json:"handling,omitempty"`
	Group    *groupOut         `json:"alertGroup,omitempty"`
	Trigger  saba.AlertTrigger `json:"trigger,omitempty"` // "still" of a group that is told again
	Setting  *groupSettingOut  `json:"alertGroupSetting,omitempty"`
	Host     *hostOut          `json:"host,omitempty"`
	Service  *serviceOut       `json:"service,omitempty"`
	From     saba.HostStatus   `json:"fromStatus,omitempty"`
	Monitor  *saba.Monitor     `json:"monitor,omitempty"`
	Metric   *saba.AlertSeries `json:"metric,omitempty"`
	Channel  *channelOut       `json:"channel,omitempty"`
	User     json.RawMessage   `json:"user,omitempty"` // null unless a person did it
}

type alertOut struct {
	ID              string            `json:"id"`
	URL             string            `json:"url"`
	Status          string            `json:"status"` // lower case
	Open            bool              `json:"isOpen"`
	Trigger         saba.AlertTrigger `json:"trigger"`
	OpenedAt        int64             `json:"openedAt"`
	ClosedAt        *int64            `json:"closedAt"`
	StatusChangedAt int64             `json:"statusChangedAt"`
	CreatedAt       int64             `json:"createdAt"` // milliseconds
	MonitorName     string            `json:"monitorName"`

	MetricLabel string   `json:"metricLabel,omitempty"`
	MetricValue *float64 `json:"metricValue,omitempty"`
	Critical    *float64 `json:"criticalThreshold,omitempty"`
	Warning     *float64 `json:"warningThreshold,omitempty"`
	Operator    string   `json:"monitorOperator,omitempty"`
	Duration    int64    `json:"duration,omitempty"`
}

// handlingOut is what somebody does about an alert, which only saba tells of.
type handlingOut struct {
	Action   saba.EventAction `json:"action"`
	Who      string           `json:"name"`           // of the account that the action is about
	AckedBy  string           `json:"acknowledgedBy"` // id of an account; "" for nobody
	Assignee string           `json:"assignedTo"`     // id of an account; "" for nobody
}

type groupOut struct {
	ID        string `json:"id"`
	URL       string `json:"url"`
	Status    string `json:"status"` // upper case
	CreatedAt int64  `json:"createdAt"`
	ClosedAt  *int64 `json:"closedAt"`

	Alerts []groupAlertOut `json:"alerts"` // the worst of the open ones first
	Count  int             `json:"alertCount"`
}

// groupAlertOut is an alert of a group, which only saba tells of.
type groupAlertOut struct {
	ID       string           `json:"id"`
	URL      string           `json:"url"`
	Status   saba.CheckStatus `json:"status"` // upper case, as that of the group
	Open     bool             `json:"isOpen"`
	Monitor  string           `json:"monitorName"`
	HostID   string           `json:"hostId,omitempty"`
	HostName string           `json:"hostName,omitempty"`
	Message  string           `json:"message"`
	OpenedAt int64            `json:"openedAt"`
	ClosedAt *int64           `json:"closedAt"`
}

type groupSettingOut struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	Memo string `json:"memo"`
	URL  string `json:"url"`
}

type hostOut struct {
	ID      string          `json:"id"`
	Name    string          `json:"name"`
	URL     string          `json:"url"`
	Type    string          `json:"type"`
	Status  saba.HostStatus `json:"status"`
	Memo    string          `json:"memo"`
	Retired bool            `json:"isRetired"`
	Roles   []roleOut       `json:"roles"`
}

type roleOut struct {
	Full       string `json:"fullname"`
	Service    string `json:"serviceName"`
	ServiceURL string `json:"serviceUrl"`
	Role       string `json:"roleName"`
	RoleURL    string `json:"roleUrl"`
}

type serviceOut struct {
	ID    string    `json:"id"`
	Name  string    `json:"name"`
	Memo  string    `json:"memo"`
	Org   string    `json:"orgId"`
	Roles []roleOut `json:"roles"`
}

type channelOut struct {
	ID      string           `json:"id"`
	Name    string           `json:"name"`
	Type    saba.ChannelType `json:"type"`
	Trouble string           `json:"trouble"` // "" when it can be reached again
}

// triggers are the words of the protocol for what moved an alert.
func trigger(t saba.AlertTrigger) saba.AlertTrigger {
	switch t {
	case saba.TriggerMonitoring:
		return "monitor"
	case saba.TriggerManual:
		return "manual close"
	case saba.TriggerMonitorDelete:
		return "delete monitor"
	case saba.TriggerHostRetire:
		return "retire host"
	case saba.TriggerServiceDelete:
		return "delete service"
	case saba.TriggerRetraining:
		return "anomaly detection manually retraining"
	case saba.TriggerServiceChange:
		return "attach external monitoring to a different service"
	}
	return t
}

// payload returns the body of a message.
func payload(m *Message, picture bool) payloadOut {
	out := payloadOut{Org: m.Org.Name, Event: string(m.Kind)}
	if picture && m.Picture != "" {
		out.ImageURL = &m.Picture
	}
	if m.Host != nil && m.Group == nil {
		out.Host = newHostOut(m)
	}
	switch m.Kind {
	case saba.EventAlert, saba.EventHandling:
		out.Type, out.Message, out.Memo, out.User = m.Alert.Type, new(m.Text()), &m.Memo, user(m)
		out.Alert = newAlertOut(m)
		if m.Service != nil {
			out.Service = &serviceOut{ID: m.Service.Name, Name: m.Service.Name, Memo: m.Service.Memo, Org: m.Org.ID, Roles: roles(m, m.Service.Name, m.Service.Roles)}
		}
		if m.Alert.Type == string(saba.MonitorQuery) {
			out.Metric = &m.Alert.Series
		}
		if m.Kind == saba.EventHandling {
			out.Message, out.Handling = new(m.Title()), &handlingOut{Action: m.Action, Who: m.Who, AckedBy: m.Alert.Handling.AckedBy, Assignee: m.Alert.Handling.Assignee}
		}
	case saba.EventAlertGroup:
		out.Group = &groupOut{ID: m.Group.ID, URL: m.Link(), Status: string(m.Group.Status), CreatedAt: m.Group.OpenedAt, ClosedAt: ended(m.Group.ClosedAt),
			Alerts: []groupAlertOut{}, Count: len(m.Group.Alerts)}
		for _, a := range m.GroupAlerts {
			out.Group.Alerts = append(out.Group.Alerts, groupAlertOut{ID: a.ID, URL: m.page("/alerts/", a.ID), Status: a.Status, Open: a.ClosedAt == 0, Monitor: a.Rule,
				HostID: a.Host, HostName: a.HostName, Message: a.Message, OpenedAt: a.OpenedAt, ClosedAt: ended(a.ClosedAt)})
		}
		if m.Trigger == saba.TriggerStill {
			out.Trigger = m.Trigger
		}
		out.Setting = &groupSettingOut{m.Setting.ID, m.Setting.Name, m.Setting.Memo, m.Link()}
	case saba.EventHostStatus:
		out.From, out.User = m.From, user(m)
	case saba.EventHostRegister, saba.EventHostRetire:
		out.User = user(m)
	case saba.EventMonitor:
		out.Event += strings.ToUpper(string(m.Action[:1])) + string(m.Action[1:])
		out.Monitor, out.User = withoutSecrets(m.Monitor), user(m)
	case saba.EventChannel:
		out.Message = new(m.Title())
		out.Channel = &channelOut{m.Channel.ID, m.Channel.Name, m.Channel.Type, m.Trouble}
	default:
		out.Event, out.Message = "sample", new(m.Title())
	}
	return out
}

func newAlertOut(m *Message) *alertOut {
	a := m.Alert
	out := &alertOut{
		ID: a.ID, URL: m.Link(), Status: strings.ToLower(string(a.Status)), Open: a.Open(), Trigger: trigger(m.Trigger),
		OpenedAt: a.OpenedAt, ClosedAt: ended(a.ClosedAt), StatusChangedAt: cmp.Or(m.Since, m.At), CreatedAt: a.OpenedAt * 1000, MonitorName: m.Rule(),
	}
	r := m.Monitor
	if r == nil || r.Operator == "" {
		return out
	}
	out.MetricLabel, out.Critical, out.Warning, out.Operator, out.Duration = r.Metric, r.Critical, r.Warning, r.Operator, max(r.Duration, 1)
	if r.Metric == "" {
		out.MetricLabel = r.Expression + r.Query
	}
	if m.Trigger != saba.TriggerManual {
		out.MetricValue = a.Value
	}
	return out
}

// ended returns a time that may not have come: null for 0.
func ended(at int64) *int64 {
	if at == 0 {
		return nil
	}
	return &at
}

func newHostOut(m *Message) *hostOut {
	h := m.Host
	out := &hostOut{
		ID: h.ID, Name: h.Name, URL: m.HostURL(h.ID), Type: "unknown", Status: h.Status, Memo: h.Memo, Retired: h.Retired() && m.Kind != saba.EventHostRetire,
		Roles: []roleOut{},
	}
	for _, r := range h.Roles {
		out.Roles = append(out.Roles, roles(m, r.Service, []string{r.Role})...)
	}
	return out
}

func roles(m *Message, service string, names []string) []roleOut {
	out := []roleOut{}
	for _, n := range names {
		link := m.ServiceURL(service)
		out = append(out, roleOut{service + ": " + n, service, link, n, link + "#role=" + n})
	}
	return out
}

// user returns who did it; null when no person did.
func user(m *Message) json.RawMessage {
	if m.User == "" {
		return json.RawMessage("null")
	}
	b, err := json.Marshal(map[string]string{"id": m.User, "screenName": cmp.Or(m.Who, m.User)})
	if err != nil {
		panic(err) // it is two strings
	}
	return b
}

// withoutSecrets returns a monitor without what a receiver must not learn: values of headers, and the user in an address.
func withoutSecrets(m *saba.Monitor) *saba.Monitor {
	c := *m
	c.Headers = nil
	for _, h := range m.Headers {
		c.Headers = append(c.Headers, saba.HTTPHeader{Name: h.Name, Value: "…"})
	}
	if i, j := strings.Index(c.URL, "://"), strings.LastIndex(c.URL, "@"); i >= 0 && j > i {
		c.URL = c.URL[:i+3] + c.URL[j+1:]
	}
	return &c
}

package notify

import (
	"cmp"
	"fmt"
	"net/url"
	"strconv"
	"time"

	"github.com/saba-monitor/saba"
)

// What every channel says, in the same words. Nothing here is escaped for any markup: senders do that.

// Title returns the one line that says it all: "CRITICAL: cpu on web1".
func (m *Message) Title() string {
	switch m.Kind {
	case saba.EventAlert, saba.EventHandling:
		title := m.Word() + ": " + m.Rule()
		if m.Host != nil {
			title += " on " + m.Host.Label()
		} else if m.Service != nil {
			title += " of " + m.Service.Name
		}
		if m.Kind == saba.EventHandling {
			title += " - " + m.handling()
		}
		return title
	case saba.EventAlertGroup:
		return fmt.Sprintf("%s: %s (%s)", m.Word(), m.Setting.Name, count(len(m.Group.Alerts), "alert"))
	case saba.EventHostStatus:
		return fmt.Sprintf("%s is %s now, was %s", m.Host.Label(), m.Host.Status, m.From)
	case saba.EventHostRegister:
		return m.Host.Label() + " was registered"
	case saba.EventHostRetire:
		return m.Host.Label() + " was retired"
	case saba.EventMonitor:
		return fmt.Sprintf("the monitor %s was %sd", m.Monitor.Name, m.Action)
	case saba.EventChannel:
		if m.Trouble == "" {
			return fmt.Sprintf("the channel %s can be reached again", m.Channel.Name)
		}
		return fmt.Sprintf("the channel %s cannot be reached", m.Channel.Name)
	}
	return "a test from saba: this channel works"
}

// handling says what somebody does about the alert, or no longer does: "acknowledged by ann".
func (m *Message) handling() string {
	who := cmp.Or(m.Who, "somebody who is no member any more")
	switch m.Action {
	case saba.ActionAcknowledge:
		return "acknowledged by " + who
	case saba.ActionTakeBack:
		return "no longer acknowledged by " + who
	case saba.ActionAssign:
		return "assigned to " + who
	}
	return "no longer assigned to " + who
}

// timeLayout is how messages and reasons write a time: always with its zone, as readers are in several.
const timeLayout = "2006-01-02 15:04 MST"

// Word returns what the state of the alert or group is called: OK, WARNING, CRITICAL, UNKNOWN; with "still " before it when nothing
// has changed. It is "" for what has no state.
func (m *Message) Word() string {
	if m.Trigger == saba.TriggerStill {
		return "still " + string(m.Status())
	}
	return string(m.Status())
}

// Status returns the state of the alert or group; "" for what has none.
func (m *Message) Status() saba.CheckStatus {
	switch {
	case m.Group != nil:
		return m.Group.Status
	case m.Alert != nil:
		return m.Alert.Status
	}
	return ""
}

// Rule returns the name of the monitor or check; its id where it is gone.
func (m *Message) Rule() string {
	switch {
	case m.Check != "":
		return m.Check
	case m.Monitor != nil && m.Alert != nil:
		return m.Monitor.NameFor(m.Alert.Series)
	case m.Monitor != nil:
		return m.Monitor.Name
	case m.Alert != nil:
		return m.Alert.Monitor
	}
	return ""
}

// Text returns what the alert says of itself: "loadavg5 3.2 > 2". For other events it says what Title does not.
func (m *Message) Text() string {
	switch {
	case m.Alert != nil:
		text := m.Alert.Message
		if m.Check != "" && text != "" {
			text = m.Check + " - " + text
		}
		if m.Alert.Type == string(saba.MonitorConnectivity) && m.Depends > 0 && m.Alert.Status != saba.CheckOK {
			text += fmt.Sprintf("; %s that %s on this host %s silent", count(m.Depends, "monitor or check", "monitors and checks"), depend(m.Depends), are(m.Depends))
		}
		return text
	case m.Kind == saba.EventChannel:
		return m.Trouble
	}
	return ""
}

func depend(n int) string {
	if n == 1 {
		return "depends"
	}
	return "depend"
}

func are(n int) string {
	if n == 1 {
		return "is"
	}
	return "are"
}

// count returns a number with its noun: "1 alert", "3 alerts". A noun whose plural is not made by an s has it as the second.
func count(n int, noun ...string) string {
	switch {
	case n == 1:
		return "1 " + noun[0]
	case len(noun) > 1:
		return strconv.Itoa(n) + " " + noun[1]
	}
	return strconv.Itoa(n) + " " + noun[0] + "s"
}

// A Fact is one line of a message: what it is, and a link where there is a page about it.
type Fact struct{ Name, Value, Link string }

// Facts returns the lines of a message about an alert, the most telling first: host, roles, value against threshold, since when, by whom, memo.
func (m *Message) Facts() (facts []Fact) {
	add := func(name, value, link string) {
		if value != "" {
			facts = append(facts, Fact{name, value, link})
		}
	}
	if m.Group != nil {
		for i, a := range m.GroupAlerts {
			if i == listedAlerts {
				add("Alerts", fmt.Sprintf("and %d more", len(m.Group.Alerts)-i), "")
				break
			}
			add("Alerts", groupAlertTitle(a), m.page("/alerts/", a.ID))
		}
		add("Since", time.Unix(m.Group.OpenedAt, 0).In(m.Zone).Format(timeLayout), "")
		add("Memo", m.Setting.Memo, "")
		return facts
	}
	if h := m.Host; h != nil {
		add("Host", h.Label(), m.HostURL(h.ID))
		for _, r := range h.Roles {
			add("Role", r.String(), m.ServiceURL(r.Service))
		}
	}
	if s := m.Service; s != nil {
		add("Service", s.Name, m.ServiceURL(s.Name))
	}
	if a := m.Alert; a != nil {
		add("Value", m.Value(), "")
		add("On the host", m.busiest(), "")
		add("Since", time.Unix(a.OpenedAt, 0).In(m.Zone).Format(timeLayout), "")
		if a.ClosedAt != 0 {
			add("Lasted", lasted(a.ClosedAt-a.OpenedAt), "")
		} else if m.At-a.OpenedAt >= 60 {
			add("For", lasted(m.At-a.OpenedAt), "")
		}
		add("Reason", a.Reason, "")
	}
	add("Memo", m.Memo, "")
	return facts
}

// listedAlerts is how many alerts of a group a message lists.
const listedAlerts = 10

// groupAlertTitle is Title for an alert of a group.
func groupAlertTitle(a saba.GroupAlert) string {
	title := string(a.Status) + ": " + cmp.Or(a.Rule, "a rule that is gone")
	if a.HostName != "" {
		title += " on " + a.HostName
	}
	return title
}

// Value returns the judged value against the threshold: "91.2 > 80"; "" where there is none.
func (m *Message) Value() string {
	if m.Alert == nil || m.Alert.Value == nil {
		return ""
	}
	text := saba.FormatValue(*m.Alert.Value)
	limit := m.Threshold()
	if limit == nil {
		return text
	}
	operator := m.Monitor.Operator
	if m.Alert.Status == saba.CheckOK {
		operator = "against"
	}
	return text + " " + operator + " " + saba.FormatValue(*limit)
}

// Threshold returns the threshold that the state of the alert is about: the critical one, or the warning one; nil for none.
func (m *Message) Threshold() *float64 {
	switch {
	case m.Monitor == nil || m.Alert == nil || m.Monitor.Operator == "":
		return nil
	case m.Alert.Status == saba.CheckCritical, m.Monitor.Warning == nil:
		return m.Monitor.Critical
	}
	return m.Monitor.Warning
}

// Link returns the page that the message is about; "" where the address of the console is unknown.
func (m *Message) Link() string {
	switch {
	case m.URL == "":
		return ""
	case m.Group == nil && m.Alert != nil:
		return m.URL + "/alerts/" + url.PathEscape(m.Alert.ID)
	case m.Group != nil:
		return m.URL + "/alerts"
	case m.Host != nil:
		return m.HostURL(m.Host.ID)
	case m.Monitor != nil && m.Action != saba.ActionDelete:
		return m.URL + "/monitors/" + url.PathEscape(m.Monitor.ID)
	case m.Channel != nil:
		return m.URL + "/channels/" + url.PathEscape(m.Channel.ID)
	}
	return m.URL + "/"
}

// HostURL returns the page of a host; "" where the address of the console is unknown. ServiceURL does so for a service.
func (m *Message) HostURL(id string) string { return m.page("/hosts/", id) }

// ServiceURL returns the page of a service.
func (m *Message) ServiceURL(name string) string { return m.page("/services/", name) }

func (m *Message) page(path, name string) string {
	if m.URL == "" {
		return ""
	}
	return m.URL + path + url.PathEscape(name)
}

// Colour returns the colour of the message's state as #rrggbb, dark enough to be read on white and bright enough on black.
func (m *Message) Colour() string {
	switch m.Status() {
	case saba.CheckOK:
		return "#2e9e5b"
	case saba.CheckWarning:
		return "#d99000"
	case saba.CheckCritical:
		return "#d63a3a"
	case saba.CheckUnknown:
		return "#7a6ad8"
	}
	return "#3b82c4"
}

// lasted writes a number of seconds as people say it: "2 h 5 min".
func lasted(seconds int64) string {
	d, h, m := seconds/86_400, seconds/3600%24, seconds/60%60
	switch {
	case d > 0:
		return fmt.Sprintf("%d d %d h", d, h)
	case h > 0:
		return fmt.Sprintf("%d h %d min", h, m)
	case m > 0:
		return fmt.Sprintf("%d min", m)
	}
	return fmt.Sprintf("%d s", seconds)
}

package saba

// An EventKind says what happened.
type EventKind string

// The kinds of events. All but EventChannel are the names that a channel lists to be told of them.
const (
	EventAlert        EventKind = "alert"         // an alert opened, moved, closed, or is still open
	EventHandling     EventKind = "alertHandling" // somebody has acknowledged an alert, was given it, or is no longer in charge of it
	EventAlertGroup   EventKind = "alertGroup"    // a group of alerts did
	EventHostStatus   EventKind = "hostStatus"    // a host's status was changed
	EventHostRegister EventKind = "hostRegister"  // a host was registered
	EventHostRetire   EventKind = "hostRetire"    // a host was retired
	EventMonitor      EventKind = "monitor"       // a monitor was made, changed or deleted
	EventChannel      EventKind = "channel"       // a channel cannot be reached, or can again: told to all others that are told of alerts
	EventTest         EventKind = "test"          // somebody tries a channel; it is not kept
)

// An Event is something that people may be told of. It is kept in the transaction of the change that it is about, and
// holds all that a message says, as it was then: what it names may be gone when the message leaves. Fields that do
// not belong to its kind are zero. Kept events are JSON with these names.
type Event struct {
	Seq     int64     `json:"-"` // numbers the events of a database from 1, in the order in which they happened
	Kind    EventKind `json:"-"`
	Subject string    `json:"-"` // id of the alert, group of alerts, host, monitor or channel
	At      int64     `json:"-"` // Unix seconds

	Alert       *Alert             `json:",omitzero"` // as it is after the change
	Since       int64              `json:",omitzero"` // Unix seconds since when Alert has its status; 0 where that was not kept
	Trigger     AlertTrigger       `json:",omitzero"` // what changed the alert; TriggerStill when nothing did
	Monitor     *Monitor           `json:",omitzero"` // the rule; nil for a check, and for a rule that is gone
	Check       string             `json:",omitzero"` // name of the check that is the rule
	Memo        string             `json:",omitzero"` // of the rule
	Host        *Host              `json:",omitzero"` // without Meta and Interfaces
	Service     *Service           `json:",omitzero"` // of the rule
	Group       *AlertGroup        `json:",omitzero"` // as it is after the change; then Alert is the one that changed it
	Setting     *AlertGroupSetting `json:",omitzero"` // that made Group
	GroupAlerts []GroupAlert       `json:",omitzero"` // alerts of Group: the worst of those that are open first, MaxGroupAlerts at most
	From        HostStatus         `json:",omitzero"` // the status before
	Action      EventAction        `json:",omitzero"` // done to Monitor, or by who handles Alert
	Channel     *Channel           `json:",omitzero"` // the one that cannot be reached, without its secrets
	Trouble     string             `json:",omitzero"` // why Channel cannot be reached; "" when it can again
	User        string             `json:",omitzero"` // id of the account that did it; "" when none did
	Who         string             `json:",omitzero"` // of EventHandling: name of the account that handles Alert, or did
	Depends     int                `json:",omitzero"` // as Alert.Depends, which events of before that was kept do not have

	Culprits *Culprits `json:",omitzero"` // of an alert that is open: what went on on its host when it opened, a few of each list
}

// An EventAction says what was done to a monitor, or by whoever handles an alert.
type EventAction string

// The actions.
const (
	ActionCreate EventAction = "create"
	ActionUpdate EventAction = "update"
	ActionDelete EventAction = "delete"

	ActionAcknowledge EventAction = "acknowledge" // somebody has acknowledged the alert
	ActionTakeBack    EventAction = "takeBack"    // and that was taken back
	ActionAssign      EventAction = "assign"      // somebody is to take care of the alert
	ActionUnassign    EventAction = "unassign"    // nobody is any more
)

// TriggerStill is the trigger of an event of an alert that is open as it was before: it is told again after its monitor's
// interval, or once when what kept it quiet has ended. It is no step of the alert, and no log has it.
const TriggerStill AlertTrigger = "still"

// Roles returns the roles by which the event is matched to scopes: those of its host.
func (e *Event) Roles() []RoleName {
	if e.Host == nil {
		return nil
	}
	return e.Host.Roles
}

// ServiceName returns the service that the event is about besides those of its host; "" when there is none.
func (e *Event) ServiceName() string {
	if e.Service == nil {
		return ""
	}
	return e.Service.Name
}

// Rule returns the id of the monitor or check that the event is about; "" when there is none.
func (e *Event) Rule() string {
	switch {
	case e.Alert != nil:
		return e.Alert.Monitor
	case e.Monitor != nil:
		return e.Monitor.ID
	}
	return ""
}

// An AlertGroup is what an AlertGroupSetting made of alerts that were open at the same time.
type AlertGroup struct {
	ID       string
	Setting  string      // id
	Status   CheckStatus // the worst of its open alerts; OK when all are closed
	Worst    CheckStatus // the worst that one of its alerts has been
	OpenedAt int64       // Unix seconds
	ClosedAt int64       // Unix seconds; 0 while it is open
	Alerts   []string    // ids of all alerts that it has held, oldest first
}

// MaxGroupAlerts is how many alerts of a group an event describes.
const MaxGroupAlerts = 50

// A GroupAlert is an alert of a group, as a message about the group lists it.
type GroupAlert struct {
	ID       string
	Status   CheckStatus
	Rule     string // name of the monitor or check; "" when it is gone
	Host     string // id; "" when the alert is about no host
	HostName string // what people call the host
	Message  string
	OpenedAt int64 // Unix seconds
	ClosedAt int64 // Unix seconds; 0 while it is open
}

// A Silence says why nobody was told of an event, or one channel was not.
type Silence string

// The silences. SilenceNone means that the event is told.
const (
	SilenceNone     Silence = ""
	SilenceMuted    Silence = "muted"    // the monitor, or the alert for a while
	SilenceDowntime Silence = "downtime" // one is under way
	SilenceParent   Silence = "parent"   // the host is down, which is told instead
	SilenceStatus   Silence = "status"   // the host is in standby, maintenance or poweroff
	SilenceUnheard  Silence = "unheard"  // of the alert that closed nobody was told
	SilenceHandled  Silence = "handled"  // somebody has acknowledged the alert: it is not told again
	SilenceRetired  Silence = "retired"  // the alert closed because its host was retired
	SilenceGrouped  Silence = "grouped"  // the group of alerts is told instead
	SilenceLevel    Silence = "level"    // the notification group is told from CRITICAL on
	SilenceEvents   Silence = "events"   // the channel is not told of such events
	SilenceStopped  Silence = "stopped"  // the channel is suspended
	SilenceNobody   Silence = "nobody"   // no notification group has a channel for it
	SilenceGone     Silence = "gone"     // the channel was deleted before its turn came
)

// Passing says whether the silence ends by itself: an alert that is still bad then is told once.
func (s Silence) Passing() bool {
	return s == SilenceMuted || s == SilenceDowntime || s == SilenceParent
}

// A NotificationState says what became of a notification.
type NotificationState string

// The states.
const (
	NotificationWaiting NotificationState = "waiting" // to be sent, or to be tried again
	NotificationSent    NotificationState = "sent"    // the channel's service has confirmed it
	NotificationFailed  NotificationState = "failed"  // it was given up
	NotificationLeft    NotificationState = "left"    // it was decided not to send it
)

// A Notification is an event on its way to a channel.
type Notification struct {
	Event    int64  // Seq
	Channel  string // id
	State    NotificationState
	Silence  Silence // of one that was left
	Detail   string  // why it was left, or what went wrong at the last try: a sentence without names of secrets
	Attempts int64
	FirstTry int64 // Unix seconds; 0 before the first
	NextTry  int64 // Unix seconds, of one that waits
	DoneAt   int64 // Unix seconds, of one that does not
}

// A Verdict says who is told of an event.
type Verdict struct {
	Silence       Silence // why nobody is told; SilenceNone when somebody is
	Detail        string  // in words: `downtime "night"`
	Notifications []Notification
}

// A Routing is what was decided about one event.
type Routing struct {
	Event int64 // its Seq
	Verdict
}

// AlertNews is what an alert's newest event is, and what became of it.
type AlertNews struct {
	At      int64 // Unix seconds
	Status  CheckStatus
	Trigger AlertTrigger
	Silence Silence
	Heard   bool // somebody was told of the alert, now or before
}

// A Told is an event of an alert with what was decided about it and what became of that.
type Told struct {
	Event
	Routed bool // it was decided
	Verdict
}

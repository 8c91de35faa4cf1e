package saba

// A NotificationGroup says who is told of what. An organization has exactly one default group, which
// is told everything; others are told of their services and monitors. The JSON keys are the protocol's,
// and part of the schema in which groups are kept.
type NotificationGroup struct {
	ID       string                `json:"id"`
	Default  bool                  `json:"default,omitzero"`
	Name     string                `json:"name"`
	Level    NotificationLevel     `json:"notificationLevel"`
	Groups   []string              `json:"childNotificationGroupIds,omitempty"` // ids of groups that are told along
	Channels []string              `json:"childChannelIds,omitempty"`           // ids
	Monitors []NotificationMonitor `json:"monitors,omitempty"`
	Services []NotificationService `json:"services,omitempty"`
}

// A NotificationLevel says from which level on a group is told.
type NotificationLevel string

// The levels of notification.
const (
	NotifyAll      NotificationLevel = "all"
	NotifyCritical NotificationLevel = "critical" // CRITICAL and UNKNOWN, and the end of such alerts
)

// A NotificationMonitor is a monitor of which a group is told.
type NotificationMonitor struct {
	ID          string `json:"id"`
	SkipDefault bool   `json:"skipDefault"` // nobody but the groups that list the monitor is told
}

// A NotificationService is a service of which a group is told.
type NotificationService struct {
	Name string `json:"name"`
}

// DefaultGroupName is what an organization's default group is called.
const DefaultGroupName = "Default"

// Check checks a group field by field. Whether what it names exists is not its matter. The error is a FieldError.
func (g *NotificationGroup) Check() error {
	monitors, services := make([]string, len(g.Monitors)), make([]string, len(g.Services))
	for i, m := range g.Monitors {
		if monitors[i] = m.ID; m.ID == "" {
			return Invalidf("monitors["+itoa(i)+"].id", "is required: the id of a monitor")
		}
	}
	for i, s := range g.Services {
		if services[i] = s.Name; !ValidName(s.Name) {
			return Invalidf("services["+itoa(i)+"].name", "must be the name of a service, not %q", short(s.Name))
		}
	}
	return firstError(
		checkLine("name", g.Name, 1, MaxObjectName),
		checkOneOf("notificationLevel", g.Level, NotifyAll, NotifyCritical),
		checkIDs("childNotificationGroupIds", g.Groups), checkIDs("childChannelIds", g.Channels),
		checkOnce("monitors", monitors), checkOnce("services", services))
}

package saba

import "slices"

// An AlertGroupSetting collects alerts of some services, roles and monitors into one that is told. The
// JSON keys are the protocol's, and part of the schema in which settings are kept.
type AlertGroupSetting struct {
	ID                   string   `json:"id"`
	Name                 string   `json:"name"`
	Memo                 string   `json:"memo,omitzero"`
	ServiceScopes        []string `json:"serviceScopes,omitempty"` // service names
	RoleScopes           []Scope  `json:"roleScopes,omitempty"`
	MonitorScopes        []string `json:"monitorScopes,omitempty"`       // monitor ids
	NotificationInterval *int64   `json:"notificationInterval,omitzero"` // minutes until an open group is told again; nil means never
}

// Collects says whether the setting is for alerts of a rule and what it is about: the roles of a host, or a service; neither for a
// rule that is about none. Of services and roles any counts, of monitors too; where both are named, both have to match. A setting
// that names nothing collects nothing.
func (s *AlertGroupSetting) Collects(monitor string, roles []RoleName, service string) bool {
	places := len(s.ServiceScopes)+len(s.RoleScopes) > 0
	here := slices.ContainsFunc(s.ServiceScopes, func(n string) bool { return n == service || (Scope{Service: n}).Holds(roles) }) ||
		slices.ContainsFunc(s.RoleScopes, func(r Scope) bool { return r.Holds(roles) })
	named := slices.Contains(s.MonitorScopes, monitor)
	switch {
	case places && len(s.MonitorScopes) > 0:
		return here && named
	case places:
		return here
	}
	return named
}

// Check checks a setting field by field. Whether what its scopes name exists is not its matter. The error
// is a FieldError.
func (s *AlertGroupSetting) Check() error {
	return firstError(
		checkLine("name", s.Name, 1, MaxObjectName),
		checkText("memo", s.Memo, MaxObjectMemo),
		checkNames("serviceScopes", s.ServiceScopes),
		checkRoles("roleScopes", s.RoleScopes),
		checkIDs("monitorScopes", s.MonitorScopes),
		checkOptional("notificationInterval", s.NotificationInterval, 10, maxInterval))
}

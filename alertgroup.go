package saba

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

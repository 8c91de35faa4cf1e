package saba

// A GraphAnnotation is a remark on the graphs of a service, or of some of its roles. The JSON keys are the
// protocol's, and part of the schema in which annotations are kept.
type GraphAnnotation struct {
	ID          string   `json:"id"`
	Title       string   `json:"title"`
	Description string   `json:"description,omitzero"`
	From        int64    `json:"from"` // Unix seconds
	To          int64    `json:"to"`   // Unix seconds, not before From
	Service     string   `json:"service"`
	Roles       []string `json:"roles,omitempty"` // role names of Service; none means the service as a whole
}

// Limits on annotations, in characters.
const (
	maxAnnotationTitle       = 250
	maxAnnotationDescription = 1024
)

// Check checks an annotation field by field. Whether its service and roles exist is not its matter. The
// error is a FieldError.
func (a *GraphAnnotation) Check() error {
	for i, r := range a.Roles {
		if !ValidName(r) {
			return Invalidf("roles["+itoa(i)+"]", "must be the name of a role, not %q", short(r))
		}
	}
	if a.From > a.To {
		return Invalidf("to", "must not be before from (%d), not %d", a.From, a.To)
	}
	return firstError(
		checkLine("title", a.Title, 1, maxAnnotationTitle),
		checkText("description", a.Description, maxAnnotationDescription),
		checkBetween("from", a.From, 0, maxTime), checkBetween("to", a.To, 0, maxTime),
		checkLine("service", a.Service, 1, MaxObjectName), checkOnce("roles", a.Roles))
}

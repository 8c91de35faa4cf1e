package saba

// A Drain takes log lines in, and makes service metrics of them. The JSON keys are those of the API, and part of the schema in which drains
// are kept.
type Drain struct {
	ID           string `json:"id"`
	Name         string `json:"name"`                  // for people
	Service      string `json:"service"`               // whose metrics they become
	Prefix       string `json:"prefix,omitzero"`       // goes before the names of metrics, with a dot between
	SourcePrefix string `json:"sourcePrefix,omitzero"` // goes before sources, likewise
	CreatedAt    int64  `json:"createdAt"`             // Unix seconds

	Rules []LineRule `json:"rules,omitempty"` // for lines that say something in words of their own; every one reads every line

	// Dismissed are the keys of the suggested monitors that nobody wants.
	Dismissed []string `json:"dismissedSuggestions,omitzero"`
}

// Limits on drains.
const (
	MaxDrains      = 1000
	maxDrainPrefix = 63

	MaxDismissed = 500 // suggestions of a drain
)

// Check checks a drain field by field. Whether its service exists is not its matter. The error is a FieldError.
func (d *Drain) Check() error {
	if err := checkLine("name", d.Name, 1, MaxObjectName); err != nil {
		return err
	}
	if !ValidName(d.Service) {
		return Invalidf("service", "must be the name of a service, not %q", short(d.Service))
	}
	return firstError(checkDrainPrefix("prefix", d.Prefix), checkDrainPrefix("sourcePrefix", d.SourcePrefix), checkLineRules(d.Rules))
}

func checkDrainPrefix(field, s string) error {
	if s == "" {
		return nil
	}
	if len(s) > maxDrainPrefix || !ValidMetricName(s) || s[0] == '.' || s[len(s)-1] == '.' {
		return Invalidf(field, "must be up to %d letters, digits, dots, underscores and hyphens, without a dot at an end, not %q", maxDrainPrefix, short(s))
	}
	return nil
}

// A DrainBatch is what the lines of one request came to, as it is kept until its metrics are stored.
type DrainBatch struct {
	Seq   int64  // from 1, in the order of arrival over all drains
	Drain string // id
	At    int64  // Unix seconds of its arrival
	Cells []byte // JSON; empty when only the frame id is remembered
}

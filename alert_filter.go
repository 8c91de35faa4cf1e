package saba

import "strings"

// An AlertFilter selects alerts. What is zero selects all.
type AlertFilter struct {
	OnlyOpen   bool
	OnlyClosed bool
	Since      int64       // Unix seconds: those that were open then or later
	Until      int64       // Unix seconds: those that were open then or before; 0 means now
	Monitor    string      // id of a monitor or check
	Host       string      // id or a name of a host, in any case, which may be retired
	Service    string      // of a monitor, or one that the host has a role in now
	Status     CheckStatus // of an open one; of a closed one the worst that it was
	Text       string      // words, each of which is in a name of the rule, the host or its roles, or in a text of the alert
}

// HasWords says whether a text has every word of a search, in any case.
func HasWords(text, search string) bool {
	text = strings.ToLower(text)
	for word := range strings.FieldsSeq(strings.ToLower(search)) {
		if !strings.Contains(text, word) {
			return false
		}
	}
	return true
}

package saba

// ValidLogplexToken says whether s is what Heroku calls the token of a drain: d. and a UUID. Heroku makes it, and messages of its drains by syslog
// bear it in the place of a host.
func ValidLogplexToken(s string) bool {
	if len(s) != len("d.00000000-0000-0000-0000-000000000000") || s[:2] != "d." {
		return false
	}
	for i, c := range []byte(s[2:]) {
		switch hyphen := i == 8 || i == 13 || i == 18 || i == 23; {
		case hyphen && c != '-':
			return false
		case !hyphen && !('0' <= c && c <= '9' || 'a' <= c && c <= 'f'):
			return false
		}
	}
	return true
}

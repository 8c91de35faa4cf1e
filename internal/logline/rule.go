package logline

// Rules read lines in people's own ways.
type Rules []Rule

// A Rule is a pattern for lines, and what becomes of those that it fits.
type Rule struct{}

func (rules Rules) read(*Line, *output) {}

package saba

// A Replay is what a monitor would have done over a time that has passed.
type Replay struct {
	From, To int64 // Unix seconds
	Targets  int   // how many hosts, or series, were judged; 1 of what is about neither
	Alerts   []ReplayedAlert
	Cut      bool // there are more alerts, or steps of alerts, than are counted
	Messages []ReplayedMessages
}

// A ReplayedAlert is an alert that would have opened. Status is that at the end of the replay: OK of one that closed. Value and Message are those
// at its opening.
type ReplayedAlert struct {
	Alert
	Label string      // what it is about, for people: a host or a series; "" when it is about neither
	Steps []AlertMove // all that it went through, the opening first
}

// ReplayedMessages says how many messages a channel would have got.
type ReplayedMessages struct {
	Channel string // id
	Name    string
	Count   int
}

// MaxReplayDays is how many days a replay goes back at most.
const MaxReplayDays = 30

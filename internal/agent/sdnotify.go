package agent

import (
	"log/slog"
	"net"
	"strconv"
	"strings"
)

// A Notifier tells the service manager how the agent is, as systemd's sd_notify(3) has it: one
// datagram with lines of NAME=value. A nil *Notifier tells nobody.
type Notifier struct {
	address  string
	watchdog bool
	log      *slog.Logger
}

// NewNotifier returns the Notifier of the service that getenv describes; nil when no manager
// listens. pid is this process: a watchdog that is meant for another one is left alone.
func NewNotifier(getenv func(string) string, pid int, log *slog.Logger) *Notifier {
	address := getenv("NOTIFY_SOCKET")
	if !strings.HasPrefix(address, "/") && !strings.HasPrefix(address, "@") {
		return nil // systemd knows other families too, for virtual machines and not for us
	}
	n := &Notifier{address: address, log: log}
	if usec, err := strconv.ParseUint(getenv("WATCHDOG_USEC"), 10, 63); err == nil && usec > 0 {
		whose := getenv("WATCHDOG_PID")
		n.watchdog = whose == "" || whose == strconv.Itoa(pid)
	}
	return n
}

// Ready says that the agent is at work: after its start, and after a reload.
func (n *Notifier) Ready() { n.tell("READY=1") }

// Reloading says that the agent reads its configuration anew; Ready must follow.
func (n *Notifier) Reloading() { n.tell("RELOADING=1") }

// Stopping says that the agent says its farewell.
func (n *Notifier) Stopping() { n.tell("STOPPING=1") }

// Alive feeds the watchdog, if there is one: without it, the manager restarts the agent. It is
// called each minute by the schedule, so that one which hangs is found out.
func (n *Notifier) Alive() {
	if n != nil && n.watchdog {
		n.tell("WATCHDOG=1")
	}
}

// tell sends one datagram. Net takes a leading @ as the sign of an abstract name, as systemd does.
func (n *Notifier) tell(state string) {
	if n == nil {
		return
	}
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: n.address, Net: "unixgram"})
	if err == nil {
		_, err = c.Write([]byte(state))
		c.Close()
	}
	if err != nil {
		n.log.Warn("the service manager could not be told how the agent is", "state", state, "error", err)
	}
}

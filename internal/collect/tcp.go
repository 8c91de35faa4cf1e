package collect

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"github.com/saba-monitor/saba"
)

// TCP reports the states of connections and what goes wrong with them, of the network
// namespace that it runs in. The zero value asks the host.
type TCP struct {
	Proc    fs.FS                                           // procfs to read; nil means the host's own
	Sockets func(ctx context.Context) (SocketStates, error) // nil asks the kernel
	Watch   *Watch                                          // nil means the host's

	last baseline[counts]
}

var tcpGraphs = []saba.GraphDef{
	graph("tcp_states", "Linux TCP Connections", saba.UnitInteger,
		area("established", "Established"), area("syn_sent", "Syn sent"), area("syn_recv", "Syn received"), area("fin_wait1", "Fin wait 1"),
		area("fin_wait2", "Fin wait 2"), area("time_wait", "Time wait"), area("close_wait", "Close wait"), area("last_ack", "Last ack"),
		area("closing", "Closing"), area("listen", "Listening")),
	graph("tcp_sockets", "Linux TCP Sockets", saba.UnitInteger, line("connected", "Connected"), line("allocated", "Allocated"), line("orphaned", "Orphaned")),
	graph("tcp_segments", "Linux TCP Segments (per second)", saba.UnitFloat,
		line("received", "Received"), line("sent", "Sent"), line("retransmitted", "Sent again")),
	graph("tcp_faults", "Linux TCP Faults (per second)", saba.UnitFloat,
		line("listen_overflows", "Refused, queue full"), line("listen_drops", "Dropped before accept"), line("attempt_fails", "Failed to connect"),
		line("resets_sent", "Resets sent"), line("established_resets", "Established ones reset"), line("timeouts", "Timeouts"), line("in_errors", "Broken segments")),
}

var tcpCounters = []counter{
	{"InSegs", "tcp_segments.received"}, {"OutSegs", "tcp_segments.sent"}, {"RetransSegs", "tcp_segments.retransmitted"},
	{"ListenOverflows", "tcp_faults.listen_overflows"}, {"ListenDrops", "tcp_faults.listen_drops"}, {"AttemptFails", "tcp_faults.attempt_fails"},
	{"OutRsts", "tcp_faults.resets_sent"}, {"EstabResets", "tcp_faults.established_resets"}, {"TCPTimeouts", "tcp_faults.timeouts"},
	{"InErrs", "tcp_faults.in_errors"},
}

// Collect returns how many connections are in each state (custom.linux.tcp_states), how many
// sockets there are (tcp_sockets), and segments and faults a second (tcp_segments, tcp_faults).
//
// Connected ones (established, or closed by the other end only) and those in TIME_WAIT are
// numbers that the kernel keeps. The other states are counted by going through all sockets,
// up to a limit: a host with 100,000 connections does not pay for each of them every minute,
// and has the other numbers only. Connections that wait for a last FIN in the kernel's short
// form count under time_wait, too.
func (t *TCP) Collect(ctx context.Context) ([]saba.Value, error) {
	proc := procOrHost(t.Proc)
	now := counts{}
	var errs []error
	for _, f := range []struct{ file, protocol string }{{"net/snmp", "Tcp"}, {"net/netstat", "TcpExt"}} {
		text, err := readText(proc, f.file)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		parseSNMP(text, f.protocol, now)
	}
	var values []saba.Value
	sockets, err := readText(proc, "net/sockstat")
	if err != nil {
		errs = append(errs, err)
	}
	stat := parseSockstat(sockets, "TCP")
	for _, s := range []struct{ key, metric string }{{"tw", "tcp_states.time_wait"}, {"alloc", "tcp_sockets.allocated"}, {"orphan", "tcp_sockets.orphaned"}} {
		if n, ok := stat[s.key]; ok {
			values = append(values, gauge(s.metric, float64(n)))
		}
	}
	if n, ok := now["CurrEstab"]; ok {
		values = append(values, gauge("tcp_sockets.connected", float64(n)))
	}
	states, err := t.sockets(ctx, stat)
	if err != nil {
		errs = append(errs, err)
	} else {
		values = append(values, stateValues(states, now)...)
	}
	if len(now) == 0 {
		return values, errors.Join(errs...)
	}
	prev, elapsed, ok, err := t.last.next(now, t.Watch)
	if ok {
		values = append(values, rates(tcpCounters, prev, now, elapsed)...)
	}
	return values, errors.Join(append(errs, err)...)
}

// sockets asks for the sockets in passing states, unless there are very many in all.
func (t *TCP) sockets(ctx context.Context, stat counts) (s SocketStates, err error) {
	ask := t.Sockets
	if ask == nil {
		ask = hostSockets
	}
	// Allocated ones are those of all network namespaces: more to be gone through, or as many.
	if err = errTooManySockets; stat["alloc"]+stat["tw"] <= maxSockets {
		s, err = ask(ctx)
	}
	if err != nil {
		return s, fmt.Errorf("states of sockets: %w", err)
	}
	return s, nil
}

// stateValues names the counted states. The kernel keeps the number of established
// connections together with that of those whose other end has closed (CurrEstab).
func stateValues(s SocketStates, now counts) []saba.Value {
	var values []saba.Value
	if n, ok := now["CurrEstab"]; ok {
		// Both numbers are of slightly different moments.
		values = append(values, gauge("tcp_states.established", max(0, float64(n)-float64(s[tcpCloseWait]))))
	}
	for _, state := range []struct {
		metric string
		number int
	}{
		{"syn_sent", tcpSynSent}, {"syn_recv", tcpSynRecv}, {"fin_wait1", tcpFinWait1}, {"fin_wait2", tcpFinWait2},
		{"close_wait", tcpCloseWait}, {"last_ack", tcpLastAck}, {"closing", tcpClosing}, {"listen", tcpListen},
	} {
		values = append(values, gauge("tcp_states."+state.metric, float64(s[state.number])))
	}
	return values
}

// parseSNMP adds the numbers of one protocol to into, by name. /proc/net/snmp and netstat
// have two lines of each, one of names and one of numbers (net/ipv4/proc.c). MaxConn may be
// -1, which is none.
func parseSNMP(text, protocol string, into counts) {
	var names []string
	for line := range strings.Lines(text) {
		rest, ok := strings.CutPrefix(line, protocol+":")
		if !ok {
			continue
		}
		if names == nil {
			names = strings.Fields(rest)
			continue
		}
		i := 0
		for f := range strings.FieldsSeq(rest) {
			if i == len(names) {
				break
			}
			if n, err := strconv.ParseUint(f, 10, 64); err == nil {
				into[names[i]] = n
			}
			i++
		}
		return
	}
}

// parseSockstat returns the numbers of a line of /proc/net/sockstat, by name:
// "TCP: inuse 27 orphan 0 tw 5 alloc 30 mem 3".
func parseSockstat(text, protocol string) counts {
	c := counts{}
	for line := range strings.Lines(text) {
		rest, ok := strings.CutPrefix(line, protocol+":")
		if !ok {
			continue
		}
		name := ""
		for f := range strings.FieldsSeq(rest) {
			if name == "" {
				name = f
				continue
			}
			if n, err := strconv.ParseUint(f, 10, 64); err == nil {
				c[name] = n
			}
			name = ""
		}
	}
	return c
}

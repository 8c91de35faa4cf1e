package collect

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// SocketStates are how many TCP sockets of this network namespace are in each state, by the
// kernel's numbers for states (include/net/tcp_states.h).
type SocketStates [13]int

// The states that are asked for. Established and closed-but-remembered connections
// (TIME_WAIT) are the many, and are counted by the kernel itself.
const (
	tcpSynSent   = 2
	tcpSynRecv   = 3
	tcpFinWait1  = 4
	tcpFinWait2  = 5
	tcpCloseWait = 8
	tcpLastAck   = 9
	tcpListen    = 10
	tcpClosing   = 11

	tcpPassing = 1<<tcpSynSent | 1<<tcpSynRecv | 1<<tcpFinWait1 | 1<<tcpFinWait2 | 1<<tcpCloseWait | 1<<tcpLastAck | 1<<tcpListen | 1<<tcpClosing
)

// maxSockets is how many sockets there may be for them to be gone through one by one. That
// takes the kernel about half a microsecond each, and more of them than this are a very busy
// host, a fault or an attack, where counting must not add to the load.
const maxSockets = 20000

var errTooManySockets = fmt.Errorf("there are more than %d: they are not gone through one by one", maxSockets)

// The parts of the messages of sock_diag(7), in the byte order of the machine. This is its
// first form, which asks for both versions of IP at once.
const (
	netlinkHeader   = 16
	netlinkError    = 2
	netlinkDone     = 3
	netlinkDump     = 0x301 // a request for all that match
	tcpDiagSockets  = 18
	diagRequestSize = netlinkHeader + 60
)

// diagRequest asks for all TCP sockets that are in passing states.
func diagRequest() []byte {
	b := make([]byte, diagRequestSize)
	binary.NativeEndian.PutUint32(b[0:], diagRequestSize)
	binary.NativeEndian.PutUint16(b[4:], tcpDiagSockets)
	binary.NativeEndian.PutUint16(b[6:], netlinkDump)
	// Of the body (struct inet_diag_req of linux/inet_diag.h) only the states count in a dump.
	binary.NativeEndian.PutUint32(b[netlinkHeader+52:], tcpPassing)
	return b
}

// add counts the sockets of one datagram of answers. done says that it was the last.
func (s *SocketStates) add(b []byte) (done bool, err error) {
	for len(b) >= netlinkHeader {
		size := int(binary.NativeEndian.Uint32(b))
		if size < netlinkHeader || size > len(b) {
			return true, fmt.Errorf("a message of %d bytes in %d bytes of answer about sockets", size, len(b))
		}
		body := b[netlinkHeader:size]
		switch binary.NativeEndian.Uint16(b[4:]) {
		case netlinkDone:
			return true, nil
		case netlinkError:
			if len(body) < 4 {
				return true, errors.New("the kernel refused to tell about sockets")
			}
			return true, fmt.Errorf("the kernel refused to tell about sockets: error %d", -int32(binary.NativeEndian.Uint32(body)))
		case tcpDiagSockets: // family, state, …
			if len(body) >= 2 && int(body[1]) < len(s) {
				s[body[1]]++
			}
		}
		b = b[min(len(b), (size+3)&^3):]
	}
	return false, nil
}

func (s *SocketStates) total() int {
	n := 0
	for _, c := range s {
		n += c
	}
	return n
}

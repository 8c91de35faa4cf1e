// Package body reads the bodies of requests: inflated, within limits of size and of what all of them take in memory at once, and so that
// a sender whose body is refused finds the answer. It imports the root package alone. Start with Room.
package body

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/saba-monitor/saba"
)

// The kinds of failure besides those of package saba.
var (
	ErrTimeout  = errors.New("too slow")         // the body did not arrive in time
	ErrEncoding = errors.New("unknown encoding") // it is compressed in a way that is not known here
	ErrBusy     = errors.New("busy")             // nothing is wrong, there is only too much at once
)

// What of request bodies is in memory at once, in bytes. A body is there from its first byte until
// its call is answered, and costs about three times its size together with what is made of it.
// Small and large bodies have a budget each, so that a minute of an agent never waits for somebody's
// backlog. A request takes from the budgets in the order in which they stand here and never goes
// back, so that no two can wait for each other.
const (
	Free        = 64 << 10 // of each body, and what it may cost to decode: not counted; an agent's minute is a tenth of it
	Small       = 1 << 20  // the largest of the small bodies
	smallBodies = 16 << 20
	largeBodies = 32 << 20 // of those above Small: two of the largest
	Decoding    = 32 << 20 // what bodies become that are decoded whole
)

// Wait is how long a request waits for its share. Senders of points give up after 30 seconds
// as a rule, so the answer has to come before.
const Wait = 10 * time.Second

// A Room is what there is for the bodies of all requests. It is safe for concurrent use.
type Room struct {
	small, large, decoding *budget

	// Memory that requests use one after the other: without it, most of the garbage of a server at work would be that of
	// reading the minutes of agents.
	buffers   sync.Pool // of *[]byte
	unzippers sync.Pool // of *gzip.Reader
}

// NewRoom returns a room in which a request waits so long for its share.
func NewRoom(wait time.Duration) *Room {
	return &Room{
		small: newBudget(smallBodies, wait), large: newBudget(largeBodies, wait), decoding: newBudget(Decoding, wait),
		buffers:   sync.Pool{New: func() any { return new([]byte) }},
		unzippers: sync.Pool{New: func() any { return &gzip.Reader{} }},
	}
}

// A Body is that of one request, which is used by one goroutine.
type Body struct {
	room    *Room
	w       http.ResponseWriter
	r       *http.Request
	limit   int64 // bytes that it may have, inflated
	share   share
	decoded share
	buffer  *[]byte // nil while it was not read
}

// Of returns the body of a request, of at most limit bytes when it is inflated. Its Release must be called.
func (room *Room) Of(w http.ResponseWriter, r *http.Request, limit int64) Body {
	return Body{room: room, w: w, r: r, limit: limit}
}

// Release gives back what the body took. Nothing of it may be in use any more.
func (b *Body) Release() {
	b.share.release()
	b.decoded.release()
	if b.buffer == nil {
		return
	}
	if cap(*b.buffer) > Free+1 {
		*b.buffer = nil
	}
	b.room.buffers.Put(b.buffer)
	b.buffer = nil
}

// Decode takes room for what the body is decoded to, of about n bytes and at most Decoding. The error matches ErrBusy when there was none in time.
func (b *Body) Decode(n int64) error {
	if n <= Free {
		return nil
	}
	return b.decoded.of(b.r.Context(), b.room.decoding, n)
}

// Read returns the body, inflated if it came as gzip; it may be used until Release. The errors
// match saba.ErrTooLarge and saba.ErrInvalid, ErrEncoding, ErrTimeout, or ErrBusy when there was no room for it in time.
func (b *Body) Read() ([]byte, error) {
	b.w.Header().Set("Accept-Encoding", "gzip") // in requests: RFC 7694, section 3
	switch encoding := strings.ToLower(strings.TrimSpace(b.r.Header.Get("Content-Encoding"))); encoding {
	case "", "identity":
		return b.read(false)
	case "gzip", "x-gzip":
		return b.read(true)
	default:
		return nil, saba.Errorf(ErrEncoding, "the request body has Content-Encoding %q: send it plain or as gzip", clip(encoding))
	}
}

// ReadSent is Read of a body as it was sent, whatever it is compressed with.
func (b *Body) ReadSent() ([]byte, error) { return b.read(false) }

func (b *Body) read(zipped bool) ([]byte, error) {
	if b.r.ContentLength > b.limit {
		if strings.EqualFold(b.r.Header.Get("Expect"), "100-continue") { // it waits for leave to send
			b.w.Header().Set("Connection", "close")
			return nil, b.tooLarge()
		}
		return nil, b.refuseRest()
	}
	length := b.r.ContentLength // below 0 when it is not known before the end
	var r io.Reader = http.MaxBytesReader(b.w, b.r.Body, b.limit)
	if zipped {
		z := b.room.unzippers.Get().(*gzip.Reader)
		defer b.room.unzippers.Put(z)
		if err := z.Reset(r); err != nil {
			return nil, b.readError(err)
		}
		// The limit is on what comes out: a small body may inflate to a thousand times its size.
		r, length = io.LimitReader(z, b.limit+1), -1
	}
	first := int64(4 << 10)
	if length >= 0 {
		first = min(length, Free)
	}
	b.buffer = b.room.buffers.Get().(*[]byte)
	buf := (*b.buffer)[:0]
	if int64(cap(buf)) <= first {
		buf = make([]byte, 0, first+1) // one more, where the end shows
	}
	defer func() { *b.buffer = buf }()
	for {
		if len(buf) == cap(buf) {
			larger, err := b.larger(int64(len(buf)), length)
			if err != nil {
				return nil, err
			}
			buf = append(make([]byte, 0, larger+1), buf...)
		}
		n, err := r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		switch {
		case int64(len(buf)) > b.limit:
			return nil, b.refuseRest()
		case errors.Is(err, io.EOF):
			return buf, nil
		case err != nil:
			return nil, b.readError(err)
		}
	}
}

// A body that is refused for its size is still read so far. Most clients send all before they read, and would see a broken
// connection in place of the sentence that says what to do.
const (
	refusedBody = 32 << 20 // bytes
	refusedTime = 5 * time.Second
)

// refuseRest reads what is left of a body that is too large, as far as that is worth it, and returns tooLarge.
func (b *Body) refuseRest() error {
	b.w.Header().Set("Connection", "close") // what is beyond is not read
	// Without a deadline of its own (a recorder in a test has none) that of the server stands. It is the time of the network, not of the data.
	_ = http.NewResponseController(b.w).SetReadDeadline(time.Now().Add(refusedTime))
	_, _ = io.CopyN(io.Discard, b.r.Body, refusedBody) // that it cannot be read is of no interest any more
	return b.tooLarge()
}

func (b *Body) tooLarge() error {
	return saba.Errorf(saba.ErrTooLarge, "the request body is larger than %s: send it in parts", Size(b.limit))
}

// larger waits until there is room for more of a body of which have bytes are there, and returns how
// many it may have then. A length is only a promise, so it counts from the first bytes above
// Free on; without one the body goes on from step to step.
func (b *Body) larger(have, length int64) (int64, error) {
	var larger int64
	switch {
	case have <= Free/2:
		return min(2*have, Free), nil
	case have < Free:
		return Free, nil
	case length >= 0:
		larger = length
	case have <= Small:
		larger = min(Small, b.limit)
	default:
		larger = b.limit
	}
	from := b.room.large
	if larger <= Small {
		from = b.room.small
	}
	if err := b.share.of(b.r.Context(), from, larger); err != nil {
		if errors.Is(err, ErrBusy) {
			// Most clients send all before they read, and would see a broken connection in place of
			// the answer. That the rest cannot be read either is of no interest any more.
			_, _ = io.CopyN(io.Discard, b.r.Body, b.limit)
		}
		return 0, err
	}
	return larger, nil
}

// readError words a failure to read the body.
func (b *Body) readError(err error) error {
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return b.refuseRest()
	case b.r.Context().Err() != nil:
		return b.r.Context().Err()
	case errors.Is(err, os.ErrDeadlineExceeded):
		return saba.Errorf(ErrTimeout, "the request body did not arrive in time")
	case b.r.Header.Get("Content-Encoding") != "":
		return saba.Errorf(saba.ErrInvalid, "the request body is not the gzip that its Content-Encoding promises: %v", err)
	}
	return saba.Errorf(saba.ErrInvalid, "the request body could not be read to its end: %v", err)
}

// Size writes a number of bytes for people.
func Size(n int64) string {
	if n >= 1<<20 && n%(1<<20) == 0 {
		return fmt.Sprintf("%d MiB", n>>20)
	}
	return fmt.Sprintf("%d KiB", n>>10)
}

// clip shortens a stranger's text for a message.
func clip(s string) string {
	const most = 80
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "…"
	}
	return s
}

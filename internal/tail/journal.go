package tail

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A Journal is systemd's, read by its own program (journalctl: its files have no format for others).
type Journal struct {
	Command string   // "journalctl" outside of tests
	Args    []string // which entries: --unit=…, --identifier=…, --directory=…
}

// An entry is a line of the journal.
type entry struct {
	cursor          string
	at              time.Time
	host, app, proc string
	text            []byte
}

// A journalReader reads a journal on goroutines of its own.
type journalReader struct {
	entries chan entry
	done    sync.WaitGroup
}

func (j *journalReader) wait() { j.done.Wait() }

// start reads entries after a cursor; without one from now on, or from the beginning.
func (j *Journal) start(ctx context.Context, cursor string, fromNow bool, log *slog.Logger) *journalReader {
	r := &journalReader{entries: make(chan entry, 100)}
	r.done.Go(func() {
		wait := leastWait
		for {
			began := cursor
			err := j.read(ctx, &cursor, fromNow, r.entries)
			if ctx.Err() != nil {
				return
			}
			fromNow = false // nothing was read, perhaps; what comes meanwhile is not to be lost
			if cursor != began {
				wait = leastWait
			}
			log.Warn("the journal cannot be read; the next try goes on where it stopped", "in", wait, "error", err)
			timer := time.NewTimer(wait)
			select {
			case <-ctx.Done():
				timer.Stop()
				return
			case <-timer.C:
			}
			wait = min(wait*2, mostWait)
		}
	})
	return r
}

// again knows how far each journal was read: entries of one, which is one machine's, have numbers that grow (systemd.journal-fields(7), __CURSOR). journalctl may print some
// a second time when another journal appears beside those that it follows.
type again map[string]uint64

// seen says whether an entry is not behind all those before it, and notes it.
func (a again) seen(cursor string) bool {
	var journal string
	var number uint64
	for field := range strings.SplitSeq(cursor, ";") {
		switch key, value, _ := strings.Cut(field, "="); key {
		case "s":
			journal = value
		case "i":
			number, _ = strconv.ParseUint(value, 16, 64) // 0, which no entry has, when there is none
		}
	}
	if journal == "" || number == 0 {
		return false
	}
	last, known := a[journal]
	if known && number <= last {
		return true
	}
	if len(a) >= 1000 {
		clear(a)
	}
	a[journal] = number
	return false
}

// maxEntry bounds an entry in bytes; the text of a longer one is lost, and counted by nobody.
const maxEntry = 1 << 20

// read runs journalctl until it or ctx ends. cursor is moved on with what was passed on.
func (j *Journal) read(ctx context.Context, cursor *string, fromNow bool, entries chan<- entry) (err error) {
	args := append([]string{"--follow", "--output=json", "--no-pager", "--all"}, j.Args...)
	switch {
	case *cursor != "":
		args = append(args, "--no-tail", "--after-cursor="+*cursor)
	case fromNow:
		args = append(args, "--lines=0")
	default:
		args = append(args, "--no-tail")
	}
	cmd := exec.CommandContext(ctx, j.Command, args...)
	cmd.WaitDelay = 5 * time.Second
	var said bytes.Buffer
	cmd.Stderr = &limited{w: &said, left: 500}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	defer func() {
		if waitErr := cmd.Wait(); err == nil || errors.Is(err, io.EOF) {
			err = errors.Join(waitErr, errors.New("journalctl ended: "+string(bytes.TrimSpace(said.Bytes()))))
		}
	}()
	lines := bufio.NewReaderSize(out, 64<<10)
	last := again{}
	last.seen(*cursor)
	for {
		line, err := lines.ReadSlice('\n')
		whole := append([]byte(nil), line...)
		for errors.Is(err, bufio.ErrBufferFull) {
			line, err = lines.ReadSlice('\n')
			if len(whole) < maxEntry {
				whole = append(whole, line...)
			}
		}
		if err != nil {
			return err
		}
		e, ok := entryOf(whole)
		if !ok || last.seen(e.cursor) {
			continue
		}
		select {
		case entries <- e:
			*cursor = e.cursor
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// entryOf reads an entry as journalctl prints it (systemd.journal-fields(7), Journal JSON Format).
func entryOf(line []byte) (e entry, ok bool) {
	var in struct {
		Cursor     string          `json:"__CURSOR"`
		Time       string          `json:"__REALTIME_TIMESTAMP"` // Unix microseconds
		Host       string          `json:"_HOSTNAME"`
		Identifier string          `json:"SYSLOG_IDENTIFIER"`
		Unit       string          `json:"_SYSTEMD_UNIT"`
		PID        string          `json:"_PID"`
		Message    json.RawMessage `json:"MESSAGE"` // a text, or a list of bytes where it is none
	}
	var odd *json.UnmarshalTypeError // a field that an entry has several times is a list
	if err := json.Unmarshal(line, &in); err != nil && !errors.As(err, &odd) || in.Cursor == "" {
		return entry{}, false
	}
	us, err := strconv.ParseInt(in.Time, 10, 64)
	if err != nil {
		return entry{}, false
	}
	e = entry{cursor: in.Cursor, at: time.UnixMicro(us), host: in.Host, app: in.Identifier, proc: in.PID}
	if e.app == "" {
		e.app = in.Unit
	}
	var text string
	if json.Unmarshal(in.Message, &text) == nil {
		e.text = []byte(text)
	} else {
		var octets []int
		if json.Unmarshal(in.Message, &octets) == nil {
			for _, o := range octets {
				e.text = append(e.text, byte(o))
			}
		}
	}
	e.text = bytes.ReplaceAll(e.text, []byte("\n"), []byte(" ")) // one entry is one line
	return e, true
}

// limited keeps the first bytes that are written to it.
type limited struct {
	w    io.Writer
	left int
}

func (l *limited) Write(p []byte) (int, error) {
	n := min(len(p), l.left)
	l.left -= n
	if _, err := l.w.Write(p[:n]); err != nil {
		return 0, err
	}
	return len(p), nil
}

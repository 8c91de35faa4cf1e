// Package tail sends the lines of log files and of systemd's journal on to a drain of a server, which makes metrics of them (docs/logs.md).
//
// Lines leave in batches, one at a time. A batch is written into the state file together with the places behind it, sent under a frame id until the server has
// taken it, and only then forgotten: over kills, restarts and outages each line is sent, and counts once, for as long as its file is there. Files that are rotated meanwhile
// are read to their end (package follow). A server that does not answer makes it wait and never end. Start with Run.
package tail

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/follow"
	"github.com/saba-monitor/saba/internal/statefile"
)

// Options say what is sent where. All but Files, Journal and Match are needed; of Files and Journal, one is.
type Options struct {
	Drain   string         // address of the drain, with its token
	Files   []string       // patterns of package follow
	Journal *Journal       // nil leaves it out
	Whole   bool           // files that are read for the first time are sent whole, in the first run too
	Match   *regexp.Regexp // only lines that it matches; nil for all
	Host    string         // what the lines say that they are of
	State   string         // file that keeps what was read and not sent
	Client  *http.Client   // whose time-out bounds a request
	Now     func() time.Time
	Random  io.Reader // for frame ids
	Zone    *time.Location
	Log     *slog.Logger

	poll time.Duration // in place of pollEvery, for tests
}

const (
	pollEvery  = 3 * time.Second // minutes are written ten seconds after their end
	batchBytes = 256 << 10
	longest    = 64<<10 + 1 // bytes of a line that are sent: one more than a drain takes, which counts it
	leastWait  = time.Second
	mostWait   = time.Minute
)

// state is what outlives a process.
type state struct {
	Files  follow.State `json:"files"`
	Known  bool         `json:"known"`            // there was a run before
	Cursor string       `json:"cursor,omitzero"`  // of the journal's last entry that was read
	Frame  string       `json:"frame,omitzero"`   // the id of Body
	Count  int          `json:"count,omitzero"`   // lines in Body
	Body   []byte       `json:"body,omitempty"`   // a batch on its way, gzip
	Newest int64        `json:"newest,omitempty"` // Unix seconds at which the server took the last one
}

// Run sends until ctx ends, and returns nil then. The error is a sentence about the state file, or what Options should not be.
func Run(ctx context.Context, o Options) (err error) {
	unlock, err := lock(o.State)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	t := tail{Options: o}
	b, err := statefile.Read(o.State)
	if err != nil {
		return fmt.Errorf("read what was sent so far: %w", err)
	}
	if b != nil {
		if err := json.Unmarshal(b, &t.state); err != nil {
			return saba.Errorf(saba.ErrInvalid, "the state file %s is damaged (%v): delete it, and reading goes on from the ends of the files", o.State, err)
		}
	}
	if err := t.save(); err != nil { // better now than after the first batch
		return err
	}
	var entries <-chan entry
	if o.Journal != nil {
		jctx, cancel := context.WithCancel(ctx)
		defer cancel()
		j := o.Journal.start(jctx, t.state.Cursor, !t.state.Known && !o.Whole, o.Log)
		defer j.wait()
		defer cancel()
		entries = j.entries
	}
	return t.run(ctx, entries)
}

// A tail is a run.
type tail struct {
	Options
	state   state
	batch   batch
	problem map[string]time.Time // when a trouble was told of last
}

func (t *tail) run(ctx context.Context, entries <-chan entry) error {
	poll := time.NewTimer(0)
	defer poll.Stop()
	for {
		if err := t.deliver(ctx); err != nil || ctx.Err() != nil {
			return err
		}
		// What is there first; then wait for the journal or the next look at the files.
		t.readFiles(ctx)
		t.readJournal(entries)
		if !t.state.Known && ctx.Err() == nil { // where files end is known now, and what comes after that is not to be lost
			t.state.Known = true
			if err := t.save(); err != nil {
				return err
			}
		}
		if t.batch.lines == 0 {
			poll.Reset(cmp.Or(t.poll, pollEvery))
			select {
			case <-ctx.Done():
				return nil
			case <-poll.C:
			case e := <-entries:
				t.take(e)
				t.readJournal(entries)
			}
		}
		if err := t.pack(); err != nil {
			return err
		}
	}
}

// readFiles adds what is new in files to the batch.
func (t *tail) readFiles(ctx context.Context) {
	if len(t.Files) == 0 {
		return
	}
	paths, err := follow.Find(ctx, t.Files, "", nil)
	if err != nil && ctx.Err() == nil {
		t.tell(err)
	}
	now := t.Now()
	var last time.Time
	long := false // in a line that is too long: its beginning was sent, so that the drain counts it
	reader := follow.Reader{Now: now, Whole: t.Whole, Problem: t.tell, Line: func(path string, line []byte, more bool) bool {
		rest := long
		if long = more; rest {
			return more || !t.batch.full()
		}
		if t.Match == nil || t.Match.Match(line) {
			at, ok := stamp(line, now, t.Zone)
			if !ok { // of a line that goes on: with the one before it
				at = last
				if at.IsZero() {
					at = now
				}
			}
			last = at
			t.batch.add(at, t.Host, base(path), "", line)
		}
		return more || !t.batch.full()
	}}
	after := reader.Follow(ctx, paths, t.state.Files, t.state.Known)
	if ctx.Err() != nil && t.batch.lines == 0 {
		return
	}
	t.state.Files = after
}

// readJournal adds what the journal has said to the batch.
func (t *tail) readJournal(entries <-chan entry) {
	for !t.batch.full() {
		select {
		case e := <-entries:
			t.take(e)
		default:
			return
		}
	}
}

func (t *tail) take(e entry) {
	t.state.Cursor = e.cursor
	if t.Match == nil || t.Match.Match(e.text) {
		host := e.host
		if host == "" {
			host = t.Host
		}
		t.batch.add(e.at, host, e.app, e.proc, e.text)
	}
}

// pack writes the batch into the state file, from where it is sent.
func (t *tail) pack() error {
	if t.batch.lines == 0 {
		return nil
	}
	var id [16]byte
	if _, err := io.ReadFull(t.Random, id[:]); err != nil {
		return fmt.Errorf("make the id of a batch: %w", err)
	}
	var body bytes.Buffer
	z := gzip.NewWriter(&body)
	if _, err := z.Write(t.batch.body); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	t.state.Frame, t.state.Count, t.state.Body = hex.EncodeToString(id[:]), t.batch.lines, body.Bytes()
	t.batch.body, t.batch.lines = t.batch.body[:0], 0
	return t.save()
}

func (t *tail) save() error {
	b, err := json.Marshal(t.state)
	if err != nil {
		return err
	}
	if err := statefile.Write(t.State, b); err != nil {
		return fmt.Errorf("keep what was sent so far: %w", err)
	}
	return nil
}

// deliver sends the batch that is on its way until the server has taken it, or ctx ends.
func (t *tail) deliver(ctx context.Context) error {
	wait := leastWait
	for t.state.Body != nil {
		err := t.send(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil:
			t.state.Newest = t.Now().Unix()
		case errors.Is(err, saba.ErrInvalid):
			t.Log.Error("lines were thrown away: the server will never take them", "lines", t.state.Count, "error", err)
		default:
			t.tell(err)
			timer := time.NewTimer(wait)
			select {
			case <-ctx.Done():
				timer.Stop()
				return nil
			case <-timer.C:
			}
			wait = min(wait*2, mostWait)
			continue
		}
		t.state.Frame, t.state.Count, t.state.Body = "", 0, nil
		return t.save()
	}
	return nil
}

// send sends the batch once. The error matches saba.ErrInvalid when there is no use in another try.
func (t *tail) send(ctx context.Context) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, t.Drain, bytes.NewReader(t.state.Body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/logplex-1")
	r.Header.Set("Content-Encoding", "gzip")
	r.Header.Set("Logplex-Frame-Id", t.state.Frame)
	r.Header.Set("Logplex-Msg-Count", fmt.Sprint(t.state.Count))
	r.Header.Set("User-Agent", "saba-agent/"+saba.Version)
	resp, err := t.Client.Do(r)
	if err != nil {
		return fmt.Errorf("the server did not take lines, which are kept: %w", withoutAddress(err))
	}
	defer resp.Body.Close()
	said, _ := io.ReadAll(io.LimitReader(resp.Body, 500)) // it is for people; without it the status says enough
	switch code := resp.StatusCode; {
	case code/100 == 2:
		return nil
	case code == http.StatusBadRequest, code == http.StatusRequestEntityTooLarge, code == http.StatusUnsupportedMediaType:
		return saba.Errorf(saba.ErrInvalid, "the server answered %s: %s", resp.Status, strings.TrimSpace(string(said)))
	default:
		return fmt.Errorf("the server did not take lines, which are kept: it answered %s: %s", resp.Status, strings.TrimSpace(string(said)))
	}
}

// withoutAddress takes the address, which holds the token, out of an error of package http.
func withoutAddress(err error) error {
	for {
		inner := errors.Unwrap(err)
		if inner == nil || !strings.Contains(err.Error(), "/drains/") {
			return err
		}
		err = inner
	}
}

// tell logs a trouble, the same one once a minute.
func (t *tail) tell(err error) {
	now := t.Now()
	text := err.Error()
	if at, ok := t.problem[text]; ok && now.Sub(at) < time.Minute && !now.Before(at) {
		return
	}
	if t.problem == nil || len(t.problem) > 100 {
		t.problem = map[string]time.Time{}
	}
	t.problem[text] = now
	t.Log.Warn(text)
}

// A batch is lines as octet-counted messages, as a drain takes them.
type batch struct {
	body  []byte
	lines int
	one   []byte
}

func (b *batch) full() bool { return len(b.body) >= batchBytes }

// add adds a line. What a header's field may not hold becomes _.
func (b *batch) add(at time.Time, host, app, proc string, line []byte) {
	line = line[:min(len(line), longest)]
	b.one = append(b.one[:0], "<190>1 "...)
	b.one = at.UTC().AppendFormat(b.one, "2006-01-02T15:04:05.999999Z07:00")
	for _, field := range []string{host, app, proc} {
		b.one = append(append(b.one, ' '), headerField(field)...)
	}
	b.one = append(append(append(b.one, " - "...), line...), '\n')
	b.body = fmt.Appendf(b.body, "%d ", len(b.one))
	b.body = append(b.body, b.one...)
	b.lines++
}

// headerField returns a text as a field of a header (RFC 5424, section 6): visible ASCII, - for none.
func headerField(s string) string {
	if s == "" {
		return "-"
	}
	return strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' {
			return '_'
		}
		return r
	}, s[:min(len(s), 48)])
}

// base returns the name that lines of a file have: app of /var/log/app.log.
func base(path string) string {
	name := path[strings.LastIndexByte(path, '/')+1:]
	name, _, _ = strings.Cut(name, ".")
	return name
}

package agent

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/saba-monitor/saba"
)

// The kinds of sources that a Recorder tells apart: a name is unique in its kind.
const (
	KindHost     = "host"     // a family of host metrics
	KindMetrics  = "metrics"  // a metric plugin
	KindCheck    = "check"    // a check plugin
	KindMetadata = "metadata" // a metadata plugin
)

// Limits on what a Recorder keeps, whatever strangers print.
const (
	maxRecorded   = 4096      // sources
	maxOwners     = 50_000    // metric names whose source is known
	maxStderr     = 1024      // bytes of a source's stderr: the end, where the reason is
	maxErrorText  = 1024      // bytes of an error: the beginning
	recentTrouble = time.Hour // how long points that were lost or refused count as a problem
)

// clockTolerance is how far this machine's clock may be from the server's before somebody is told.
const clockTolerance = time.Minute

// A Recorder remembers how the parts of an agent fare, for people: "saba agent status" and the
// agent's own metrics read it. The parts only tell it things, and it decides nothing. It is
// safe for use by several goroutines; a nil *Recorder remembers nothing.
type Recorder struct {
	log     *slog.Logger
	started time.Time
	seed    maphash.Seed

	mu      sync.Mutex
	about   Status // the parts of it that do not change by themselves
	queue   func() QueueStatus
	checks  func() VerdictStatus
	clock   announcer
	dates   func(server time.Time) // is told what the server's clock shows; may be nil
	sources map[sourceKey]*sourceRecord
	owners  map[uint64]*sourceRecord // by hash of custom identifier and metric name
	totals  totals
}

type sourceKey struct{ kind, name string }

// totals count since the start of the process.
type totals struct {
	overruns, timeouts, failures   int64 // of sources
	postsOK, postsFailed           int64 // requests with values
	pointsSent, refused, discarded int64
}

// NewRecorder returns a Recorder of an agent that starts now. revision is the commit of the binary.
func NewRecorder(log *slog.Logger, revision string, now time.Time) *Recorder {
	return &Recorder{
		log: log, started: now, seed: maphash.MakeSeed(), clock: announcer{log: log},
		about:   Status{Version: saba.Version, Revision: revision, PID: os.Getpid(), Started: now, Host: HostState{State: Registering}},
		sources: map[sourceKey]*sourceRecord{}, owners: map[uint64]*sourceRecord{},
	}
}

// Configured notes which file was loaded at now ("" when there is none), and what it says.
func (r *Recorder) Configured(file string, c Config, now time.Time) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.about.Config = ConfigState{File: file, Loaded: now}
	r.about.Root = c.Root
	if u, err := url.Parse(c.APIBase); err == nil {
		r.about.Server.Base = u.Redacted()
	}
}

// ConfigRefused notes that a reload at now found a configuration that cannot be used, so that
// the one before goes on.
func (r *Recorder) ConfigRefused(err error, now time.Time) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.about.Config.Refused, r.about.Config.RefusedAt = head(err.Error(), maxErrorText), now
}

// host notes what the server says about this host; id may be "", err nil.
func (r *Recorder) host(state Registration, id string, err error) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	h := HostState{State: state, ID: id}
	if err != nil {
		h.Error = head(err.Error(), maxErrorText)
	}
	r.about.Host = h
}

// queueFrom says whom to ask about the queue. f must not call the Recorder.
func (r *Recorder) queueFrom(f func() QueueStatus) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.queue = f
}

// checksFrom says whom to ask about the verdicts of checks that wait. f must not call the Recorder.
func (r *Recorder) checksFrom(f func() VerdictStatus) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.checks = f
}

// datesTo says who is told what the server's clock shows, at once after each answer that says so. f may not call the Recorder.
func (r *Recorder) datesTo(f func(server time.Time)) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.dates = f
}

// discarded notes n points that were given up before the server took them.
func (r *Recorder) discarded(n int, now time.Time) {
	if r == nil || n == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.totals.discarded += int64(n)
	r.about.LastDiscarded = now
}

// posted notes batches that have left the queue, and the points in them that the server does
// not take. hosts are those whose ids the refused points have.
func (r *Recorder) posted(batches []batch, guilty []refusal, hosts *hostIDs, now time.Time) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, b := range batches {
		r.totals.pointsSent += int64(len(b.Readings))
		for _, reading := range b.Readings {
			if s := r.owners[r.owner(b.Identifier, reading.Name)]; s != nil {
				s.status.Sent++
			}
		}
	}
	for _, g := range guilty {
		r.totals.pointsSent--
		r.totals.refused++
		r.about.LastRefused = now
		for _, b := range batches {
			if id, ok := hosts.get(b.Identifier); !ok || id != g.point.Host {
				continue
			}
			if s := r.owners[r.owner(b.Identifier, g.point.Name)]; s != nil {
				s.status.Sent--
				s.status.Refused++
				s.status.LastRefusal = head(fmt.Sprintf("%s: %v", g.point.Name, g.err), maxErrorText)
			}
			break
		}
	}
}

// owner returns the key of a metric in r.owners. Two that share one only blur a count.
func (r *Recorder) owner(identifier, name string) uint64 {
	var h maphash.Hash
	h.SetSeed(r.seed)
	h.WriteString(identifier)
	h.WriteByte(0)
	h.WriteString(name)
	return h.Sum64()
}

// serverTime notes that a server's clock showed t when ours showed now, and says so when they
// are too far apart: points of a wrong minute are drawn there, and of a wrong day dropped.
func (r *Recorder) serverTime(t, now time.Time) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	ahead := now.Sub(t)
	seconds := ahead.Seconds()
	r.about.Server.ClockAhead = &seconds
	if r.dates != nil {
		r.dates(t.Add(time.Since(now)))
	}
	if ahead.Abs() > clockTolerance {
		way := "ahead of"
		if ahead < 0 {
			way = "behind"
		}
		what := ": points are drawn at the wrong minute until one of them is set"
		if refused(now.Unix(), t.Unix()) {
			what = ", by more than it takes: values wait, for a day at most, until one of them is set"
		}
		r.clock.say(slog.LevelWarn, way+what, "this machine's clock is "+way+" the server's"+what, "by", ahead.Abs().Round(time.Second))
		return
	}
	r.clock.over("this machine's clock agrees with the server's again")
}

// Transport returns base with each exchange noted: the last answer, the server's clock, and
// the success of posts.
func (r *Recorder) Transport(base http.RoundTripper) http.RoundTripper {
	if r == nil {
		return base
	}
	return &noted{base, r}
}

type noted struct {
	base http.RoundTripper
	r    *Recorder
}

// RoundTrip is that of the base.
func (n *noted) RoundTrip(req *http.Request) (*http.Response, error) {
	asked := time.Now()
	res, err := n.base.RoundTrip(req)
	now := time.Now()
	status, took := 0, now.Sub(asked)
	if err == nil {
		status = res.StatusCode
		// A cached answer is as old as its Age, and a slow one may be dated at either end.
		if t, dateErr := http.ParseTime(res.Header.Get("Date")); dateErr == nil && res.Header.Get("Age") == "" && took < 10*time.Second {
			// The header is cut to seconds, and was written about midway.
			n.r.serverTime(t.Add(500*time.Millisecond), asked.Add(took/2))
		}
	}
	if !errors.Is(err, context.Canceled) { // which is our own doing
		n.r.replied(req.Method+" "+req.URL.Path, status, err, now)
	}
	return res, err
}

// CloseIdleConnections is that of the base.
func (n *noted) CloseIdleConnections() {
	if c, ok := n.base.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// replied notes the outcome of one call: an HTTP status, or an error when there was no answer.
func (r *Recorder) replied(call string, status int, err error, now time.Time) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	s := &r.about.Server
	s.LastCall, s.LastReply, s.LastStatus, s.LastError = call, now, status, ""
	if err != nil {
		s.LastError = head(err.Error(), maxErrorText)
	}
	ok := status >= 200 && status < 300
	if ok {
		s.LastSuccess = now
	}
	if strings.HasPrefix(call, "POST ") && strings.HasSuffix(call, "/tsdb") {
		if ok {
			r.totals.postsOK++
		} else {
			r.totals.postsFailed++
		}
	}
}

// declare says which sources of a kind there are: new ones are listed from now on, others forgotten.
func (r *Recorder) declare(kind string, names []string) {
	if r == nil {
		return
	}
	r.mu.Lock()
	gone := map[*sourceRecord]bool{}
	for k, s := range r.sources {
		if k.kind == kind && !slices.Contains(names, k.name) {
			gone[s] = true
			delete(r.sources, k)
		}
	}
	for k, s := range r.owners {
		if gone[s] {
			delete(r.owners, k)
		}
	}
	r.mu.Unlock()
	for _, name := range names {
		r.source(kind, name)
	}
}

// source returns the record of one source, which it makes when there is none. It returns nil,
// on which every method may be called, when there are too many.
func (r *Recorder) source(kind, name string) *sourceRecord {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	k := sourceKey{kind, name}
	s := r.sources[k]
	if s == nil && len(r.sources) < maxRecorded {
		s = &sourceRecord{r: r, status: SourceStatus{Kind: kind, Name: name}}
		r.sources[k] = s
	}
	return s
}

// A sourceRecord is what is known of one source. A nil one takes everything and keeps nothing.
type sourceRecord struct {
	r      *Recorder
	status SourceStatus // guarded by r.mu
}

// A run is one turn of a source that has ended.
type run struct {
	at     time.Time // its start
	took   time.Duration
	points int // that it brought
	err    error
}

// ran notes a run. A failure may have brought points.
func (s *sourceRecord) ran(x run) {
	if s == nil {
		return
	}
	s.r.mu.Lock()
	defer s.r.mu.Unlock()
	st, t := &s.status, &s.r.totals
	st.Runs++
	st.LastRun, st.TookSeconds = x.at, x.took.Seconds()
	st.LastPoints, st.Points = x.points, st.Points+int64(x.points)
	st.Behind, st.Failing = 0, x.err != nil
	if x.err == nil {
		return
	}
	st.LastError, st.LastErrorAt = head(x.err.Error(), maxErrorText), x.at.Add(x.took)
	st.Failures++
	t.failures++
	if _, ok := errors.AsType[*TimeoutError](x.err); ok || errors.Is(x.err, context.DeadlineExceeded) {
		st.Timeouts++
		t.timeouts++
	}
}

// exited notes how the program of a source ended, before its run is noted: its exit code, and
// what it wrote to stderr, of which the end is kept.
func (s *sourceRecord) exited(code int, stderr []byte) {
	if s == nil {
		return
	}
	text := tail(stderr, maxStderr)
	s.r.mu.Lock()
	defer s.r.mu.Unlock()
	s.status.ExitCode, s.status.Stderr = &code, text
}

// overran notes a turn that was left out since the one before has not ended.
func (s *sourceRecord) overran() {
	if s == nil {
		return
	}
	s.r.mu.Lock()
	defer s.r.mu.Unlock()
	s.status.Overruns++
	s.status.Behind++
	s.r.totals.overruns++
}

// caughtUp notes that a source whose runs are not noted has ended one: those of its parts are.
func (r *Recorder) caughtUp(kind, name string) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.sources[sourceKey{kind, name}]; s != nil {
		s.status.Behind = 0
	}
}

// owns notes whose the metrics of readings are, so that what becomes of them is counted.
func (s *sourceRecord) owns(identifier string, readings []reading) {
	if s == nil {
		return
	}
	s.r.mu.Lock()
	defer s.r.mu.Unlock()
	if len(s.r.owners)+len(readings) > maxOwners {
		clear(s.r.owners) // names come and go; those in use find their way back
	}
	for _, reading := range readings {
		if len(s.r.owners) == maxOwners {
			return
		}
		s.r.owners[s.r.owner(identifier, reading.Name)] = s
	}
}

// head returns the first n bytes of s as clean text.
func head(s string, n int) string {
	if len(s) > n {
		s = s[:n] + "…"
	}
	return clean(s)
}

// tail returns the last n bytes of b as clean text.
func tail(b []byte, n int) string {
	s := strings.TrimSpace(string(b[max(0, len(b)-4*n):]))
	if len(s) > n {
		s = "…" + s[len(s)-n:]
	}
	return clean(s)
}

// clean makes text safe to show on a terminal: a plugin must not be able to move its cursor.
func clean(s string) string {
	return strings.Map(func(c rune) rune {
		if c == '\n' || c == '\t' {
			return c
		}
		if unicode.IsControl(c) {
			return -1
		}
		return c
	}, strings.ToValidUTF8(s, "?"))
}

// Registration says where an agent stands with its server.
type Registration string

// The states of a registration.
const (
	Registering Registration = "registering" // the host's id is not known yet
	Registered  Registration = "registered"
	Unaccepted  Registration = "refused" // only a person can mend it: retired, not known, another machine's id
)

// A Status is what an agent tells about itself. Times are zero where there was none.
type Status struct {
	Version  string      `json:"version"`
	Revision string      `json:"revision"`
	PID      int         `json:"pid"`
	Started  time.Time   `json:"started"`
	Now      time.Time   `json:"now"` // when this was said
	Root     string      `json:"root"`
	Config   ConfigState `json:"config"`
	Host     HostState   `json:"host"`
	Server   ServerState `json:"server"`
	Queue    QueueStatus `json:"queue"`
	// Verdicts are those of checks that wait for the server, in a queue of their own.
	Verdicts VerdictStatus `json:"verdicts"`
	// Points since the start: taken by the server, refused by it, and given up in the queue.
	Sent          int64     `json:"pointsSent"`
	Refused       int64     `json:"pointsRefused"`
	Discarded     int64     `json:"pointsDiscarded"`
	LastRefused   time.Time `json:"lastRefused,omitzero"`
	LastDiscarded time.Time `json:"lastDiscarded,omitzero"`
	// Sources has those with problems first, then by kind and name.
	Sources  []SourceStatus `json:"sources"`
	Problems []string       `json:"problems"` // sentences; none when all is well
}

// A ConfigState says which configuration an agent runs.
type ConfigState struct {
	File      string    `json:"file"` // "" is none: flags and environment
	Loaded    time.Time `json:"loaded"`
	Refused   string    `json:"refused,omitempty"` // why a later reload was not taken
	RefusedAt time.Time `json:"refusedAt,omitzero"`
}

// A HostState says what the server thinks of this host.
type HostState struct {
	ID    string       `json:"id"`
	State Registration `json:"state"`
	Error string       `json:"error,omitempty"`
}

// A ServerState is what is known of the server.
type ServerState struct {
	Base        string    `json:"base"` // without its password
	LastCall    string    `json:"lastCall,omitempty"`
	LastReply   time.Time `json:"lastReply,omitzero"`   // when it answered, or did not
	LastStatus  int       `json:"lastStatus,omitempty"` // HTTP; 0 when it did not answer
	LastError   string    `json:"lastError,omitempty"`
	LastSuccess time.Time `json:"lastSuccess,omitzero"`
	// ClockAhead is how far this machine's clock is ahead of the server's, in seconds; nil when not known.
	ClockAhead  *float64 `json:"clockAheadSeconds"`
	PostsOK     int64    `json:"postsOK"` // requests with values, since the start
	PostsFailed int64    `json:"postsFailed"`
}

// A QueueStatus is what waits for the server.
type QueueStatus struct {
	Points int       `json:"points"`
	Bytes  int64     `json:"bytes"`           // on disk
	Oldest time.Time `json:"oldest,omitzero"` // the minute of the oldest point; zero when it is not known
}

// A VerdictStatus is what checks have found and the server has not taken.
type VerdictStatus struct {
	Waiting int       `json:"waiting"`
	Oldest  time.Time `json:"oldest,omitzero"` // when the oldest of them was found; zero when none waits
}

// A SourceStatus says how one source fares. Counts are since the start.
type SourceStatus struct {
	Kind        string    `json:"kind"`
	Name        string    `json:"name"`
	Runs        int64     `json:"runs"`
	LastRun     time.Time `json:"lastRun,omitzero"`
	TookSeconds float64   `json:"tookSeconds"`
	ExitCode    *int      `json:"exitCode"`         // nil when it is no program, or has not ended
	Stderr      string    `json:"stderr,omitempty"` // the end of it, at most 1 KiB
	LastPoints  int       `json:"lastPoints"`       // that the last run brought
	Points      int64     `json:"points"`
	Sent        int64     `json:"sent"` // points that the server took
	Refused     int64     `json:"refused"`
	LastRefusal string    `json:"lastRefusal,omitempty"`
	Overruns    int64     `json:"overruns"` // turns left out since an earlier run had not ended
	Behind      int64     `json:"behind"`   // of them in a row until now
	Timeouts    int64     `json:"timeouts"`
	Failures    int64     `json:"failures"` // runs that ended with an error, timeouts too
	Failing     bool      `json:"failing"`  // the last run did
	LastError   string    `json:"lastError,omitempty"`
	LastErrorAt time.Time `json:"lastErrorAt,omitzero"`
}

// unwell says whether somebody should look at the source.
func (s SourceStatus) unwell() bool { return s.Failing || s.Behind > 0 }

// Status returns what is known at now.
func (r *Recorder) Status(now time.Time) Status {
	r.mu.Lock()
	s := r.about
	queue, checks := r.queue, r.checks
	s.Now = now
	s.Sent, s.Refused, s.Discarded = r.totals.pointsSent, r.totals.refused, r.totals.discarded
	s.Server.PostsOK, s.Server.PostsFailed = r.totals.postsOK, r.totals.postsFailed
	s.Sources = make([]SourceStatus, 0, len(r.sources))
	for _, x := range r.sources {
		s.Sources = append(s.Sources, x.status)
	}
	r.mu.Unlock()
	if queue != nil {
		s.Queue = queue()
	}
	if checks != nil {
		s.Verdicts = checks()
	}
	slices.SortFunc(s.Sources, func(a, b SourceStatus) int {
		rank := func(x SourceStatus) int {
			if x.unwell() {
				return 0
			}
			return 1
		}
		return cmp.Or(rank(a)-rank(b), strings.Compare(a.Kind, b.Kind), strings.Compare(a.Name, b.Name))
	})
	s.Problems = s.problems()
	return s
}

// problems says in sentences what is not as it should be.
func (s Status) problems() []string {
	p := []string{}
	add := func(format string, args ...any) { p = append(p, fmt.Sprintf(format, args...)) }
	switch {
	case s.Host.State == Unaccepted:
		add("the server does not accept this host: %s", s.Host.Error)
	case s.Host.State != Registered && s.Host.Error != "":
		add("this host is not registered yet: %s", s.Host.Error)
	case s.Host.State != Registered && s.Now.Sub(s.Started) > time.Minute:
		add("this host is not registered yet")
	}
	switch v := s.Server; {
	case v.LastReply.IsZero():
	case v.LastStatus == 0:
		add("the server does not answer: %s: %s", v.LastCall, v.LastError)
	case v.LastStatus >= 300:
		add("the server refused the last request: %s: %d %s", v.LastCall, v.LastStatus, strings.ToLower(http.StatusText(v.LastStatus)))
	}
	if c := s.Server.ClockAhead; c != nil && (*c > clockTolerance.Seconds() || *c < -clockTolerance.Seconds()) {
		add("this machine's clock is %+.0f s off the server's", *c)
	}
	// A batch waits some seconds as a rule.
	if q := s.Queue; q.Points > 0 && !q.Oldest.IsZero() && s.Now.Sub(q.Oldest) > 3*time.Minute {
		add("%d points wait for the server, the oldest for %s", q.Points, ago(q.Oldest, s.Now))
	}
	if v := s.Verdicts; v.Waiting > 0 && s.Now.Sub(v.Oldest) > 3*time.Minute {
		add("%d verdicts of checks wait for the server, the oldest for %s", v.Waiting, ago(v.Oldest, s.Now))
	}
	if s.Discarded > 0 && s.Now.Sub(s.LastDiscarded) < recentTrouble {
		add("%d points were given up before the server took them", s.Discarded)
	}
	if s.Refused > 0 && s.Now.Sub(s.LastRefused) < recentTrouble {
		add("the server refused %d points", s.Refused)
	}
	if s.Config.Refused != "" {
		add("the configuration was not reloaded: %s", s.Config.Refused)
	}
	for _, x := range s.Sources {
		switch {
		case x.Behind > 0:
			add("%s %s has not ended, and was left out of the last turns: %d", x.Kind, x.Name, x.Behind)
		case x.Failing:
			add("%s %s: %s", x.Kind, x.Name, x.LastError)
		}
	}
	return p
}

// Write prints the status for people: problems first, then the agent, then one line a source.
func (s Status) Write(w io.Writer) error {
	var b strings.Builder
	for _, p := range s.Problems {
		fmt.Fprintf(&b, "PROBLEM  %s\n", strings.ReplaceAll(p, "\n", "\n         "))
	}
	if len(s.Problems) == 0 {
		b.WriteString("All is well.\n")
	}
	b.WriteByte('\n')
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) { fmt.Fprintf(t, "%s\t%s\n", name, fmt.Sprintf(format, args...)) }
	row("agent", "%s (rev %s), pid %d, up %s", s.Version, s.Revision, s.PID, ago(s.Started, s.Now))
	row("host", "%s, %s", cmp.Or(s.Host.ID, "no id yet"), s.Host.State)
	row("server", "%s", s.Server.line(s.Now))
	clock := "not known"
	if c := s.Server.ClockAhead; c != nil {
		if clock = fmt.Sprintf("%.1f s ahead of the server's", *c); *c < 0 {
			clock = fmt.Sprintf("%.1f s behind the server's", -*c)
		}
	}
	row("clock", "%s", clock)
	queue := "empty"
	if q := s.Queue; q.Points > 0 {
		queue = fmt.Sprintf("%d points, %d bytes", q.Points, q.Bytes)
		if !q.Oldest.IsZero() {
			queue += fmt.Sprintf(", the oldest %s old", ago(q.Oldest, s.Now))
		}
	}
	row("queue", "%s", queue)
	verdicts := "none wait"
	if v := s.Verdicts; v.Waiting > 0 {
		verdicts = fmt.Sprintf("%d of checks wait, the oldest %s old", v.Waiting, ago(v.Oldest, s.Now))
	}
	row("verdicts", "%s", verdicts)
	row("points", "%d sent, %d refused, %d given up", s.Sent, s.Refused, s.Discarded)
	row("config", "%s, loaded %s ago", cmp.Or(s.Config.File, "no file"), ago(s.Config.Loaded, s.Now))
	row("root", "%s", s.Root)
	if err := t.Flush(); err != nil {
		return err
	}
	b.WriteByte('\n')
	fmt.Fprintln(t, "\tSOURCE\tLAST RUN\tTOOK\tEXIT\tPOINTS\tSENT\tREFUSED\tLEFT OUT\tTIMEOUTS\tFAILURES")
	for _, x := range s.Sources {
		mark, last, took, exit := "", "never", "-", "-"
		if x.unwell() {
			mark = "!"
		}
		if !x.LastRun.IsZero() {
			last = ago(x.LastRun, s.Now) + " ago"
			took = (time.Duration(x.TookSeconds * float64(time.Second))).Round(100 * time.Microsecond).String()
		}
		if x.ExitCode != nil {
			exit = fmt.Sprint(*x.ExitCode)
		}
		fmt.Fprintf(t, "%s\t%s %s\t%s\t%s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\n", mark, x.Kind, x.Name, last, took, exit, x.LastPoints, x.Sent, x.Refused, x.Overruns, x.Timeouts, x.Failures)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, x := range s.Sources {
		if x.unwell() && x.Stderr != "" {
			fmt.Fprintf(&b, "\nstderr of %s %s:\n  %s\n", x.Kind, x.Name, strings.ReplaceAll(x.Stderr, "\n", "\n  "))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (v ServerState) line(now time.Time) string {
	if v.LastReply.IsZero() {
		return v.Base + ", not asked yet"
	}
	answer := fmt.Sprintf("%d", v.LastStatus)
	if v.LastStatus == 0 {
		answer = "no answer"
	}
	line := fmt.Sprintf("%s, %s %s ago (%s)", v.Base, answer, ago(v.LastReply, now), v.LastCall)
	if v.LastSuccess != v.LastReply {
		if v.LastSuccess.IsZero() {
			return line + ", no success yet"
		}
		line += fmt.Sprintf(", last success %s ago", ago(v.LastSuccess, now))
	}
	return line
}

// ago returns the time from t to now as people say it: "12s", "5m3s", "3h12m", "2d4h".
func ago(t, now time.Time) string {
	d := max(0, now.Sub(t)).Truncate(time.Second)
	switch {
	case d < time.Hour:
		return d.String()
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh%dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd%dh", int(d.Hours())/24, int(d.Hours())%24)
}

// socketFile is the socket in the agent's folder that answers with its Status.
const socketFile = "agent.sock"

// The limits of a conversation on the socket.
const (
	socketTimeout = 2 * time.Second
	maxStatus     = 32 << 20 // bytes: maxRecorded sources with all their texts
)

// listenStatus makes the socket on which an agent tells its Status: whoever connects is sent it as one
// line of JSON. Only the agent's user and root can connect, for what plugins write to stderr
// may hold secrets. The socket of an agent that has died is replaced; that of one that lives
// is an error, as is a folder whose name is too long for a socket.
func listenStatus(ctx context.Context, path string) (net.Listener, error) {
	if err := clearSocket(ctx, path); err != nil {
		return nil, err
	}
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		// Before it has a name: there is no moment at which others could connect (Linux gives
		// the file the socket's mode, net/unix/af_unix.c).
		if e := c.Control(func(fd uintptr) { err = syscall.Fchmod(int(fd), 0o600) }); e != nil {
			return e
		}
		return err
	}}
	l, err := lc.Listen(ctx, "unix", path)
	if err != nil {
		const longest = 100 // unix(7): 108 bytes on Linux, 104 elsewhere
		if len(path) > longest {
			return nil, fmt.Errorf("the status socket %s cannot be made: its name is longer than a socket's may be: %w", path, err)
		}
		return nil, fmt.Errorf("the status socket %s cannot be made: %w", path, err)
	}
	if err := os.Chmod(path, 0o600); err != nil { // for kernels that do not
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// serve answers on l until ctx ends, and closes it.
func (r *Recorder) serve(ctx context.Context, l net.Listener) {
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	for {
		c, err := l.Accept()
		switch {
		case err == nil:
			r.answer(c)
		case ctx.Err() != nil, !sleep(ctx, time.Second): // out of file descriptors, say
			return
		}
	}
}

// clearSocket removes the socket of an agent that has died.
func clearSocket(ctx context.Context, path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("the status socket cannot be made: %s is in its place: remove it", path)
	}
	d := net.Dialer{Timeout: socketTimeout}
	c, err := d.DialContext(ctx, "unix", path)
	if err == nil {
		c.Close()
		return fmt.Errorf("another agent answers on %s: is one running in this folder?", path)
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("the status socket cannot be made: %w", err)
	}
	return os.Remove(path)
}

// answer sends the status on c. One connection at a time, each with a deadline: nobody can make
// the agent hold more than one.
func (r *Recorder) answer(c net.Conn) {
	defer c.Close()
	b, err := json.Marshal(r.Status(time.Now()))
	if err == nil {
		err = c.SetDeadline(time.Now().Add(socketTimeout))
	}
	if err == nil {
		_, err = c.Write(append(b, '\n'))
	}
	if err != nil {
		r.log.Debug("somebody asked for the status and did not get it", "error", err)
	}
}

// ReadStatus asks the agent of the folder root for its Status. The error matches
// saba.ErrNotFound when none is running.
func ReadStatus(ctx context.Context, root string) (Status, error) {
	path := filepath.Join(root, socketFile)
	d := net.Dialer{Timeout: socketTimeout}
	c, err := d.DialContext(ctx, "unix", path)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ENOTDIR):
		return Status{}, saba.Errorf(saba.ErrNotFound, "no agent is running in %s (another folder is named by --root)", root)
	case errors.Is(err, fs.ErrPermission):
		return Status{}, fmt.Errorf("the status of the agent in %s may be read by root and by the agent's own user only", root)
	case err != nil:
		return Status{}, fmt.Errorf("ask the agent: %w", err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return Status{}, err
	}
	var s Status
	if err := json.NewDecoder(io.LimitReader(c, maxStatus)).Decode(&s); err != nil {
		return Status{}, fmt.Errorf("the agent in %s did not tell its status: %w", root, err)
	}
	return s, nil
}

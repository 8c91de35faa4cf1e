package agent

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/saba-monitor/saba"
)

// The limits of checks and their actions.
const (
	checksAtOnce     = 16
	actionsAtOnce    = 16
	firstCheckWithin = time.Minute
	// maxVerdictAhead is how far the time of a check's newest verdict may be from now, in seconds,
	// for the next to be put behind it. A clock that was off by more is not followed.
	maxVerdictAhead = 2 * 60 * 60
	// maxActionMessage bounds the message in an action's environment, in bytes: execve takes no
	// string of 128 KiB (MAX_ARG_STRLEN in the kernel's binfmts.h).
	maxActionMessage = 64 << 10
)

// The environment of an action, as the protocol names it.
const (
	statusVariable   = "MACKEREL_STATUS"
	previousVariable = "MACKEREL_PREVIOUS_STATUS" // empty before the first verdict
	messageVariable  = "MACKEREL_CHECK_MESSAGE"
)

// checkOptions are what checks need. All fields without a stated default are required.
type checkOptions struct {
	Checks []CheckPlugin
	Root   string // the agent's folder; "" when it has none
	// Kept holds the verdicts that the configuration before left, where there is no folder for them; nil when there are none.
	Kept    *checkQueue
	Seed    string // differs from host to host, so that their checks do not run at the same moments
	API     checkAPI
	Hosts   hostLookup
	Environ []string // that commands inherit
	Log     *slog.Logger
	Random  func() float64 // in [0, 1)
	// Run runs a command; nil means runCommand.
	Run      func(ctx context.Context, c Command, environ []string) (Result, error)
	Recorder *Recorder // is told of each run; may be nil
}

// checks runs every check at its own interval and reports what they find.
type checks struct {
	o       checkOptions
	queue   *checkQueue
	sender  *checkSender
	checks  []*check
	slots   chan struct{} // of checks that run
	actions sync.WaitGroup
	busy    chan struct{} // slots of actions
}

// newChecks returns the checks, with what an earlier life of the agent left below o.Root.
func newChecks(o checkOptions) *checks {
	if o.Run == nil {
		o.Run = runCommand
	}
	q, dir := o.Kept, ""
	if o.Root != "" {
		dir = filepath.Join(o.Root, "checks")
	}
	if q != nil {
		q.keepOnly(o.Checks)
	} else {
		q = openCheckQueue(dir, o.Checks, time.Now, o.Log)
	}
	s := &checks{
		o: o, queue: q, sender: newCheckSender(o, q),
		slots: make(chan struct{}, checksAtOnce), busy: make(chan struct{}, actionsAtOnce),
	}
	names := make([]string, len(o.Checks))
	for i, p := range o.Checks {
		names[i] = p.Name
		log := o.Log.With("check", p.Name)
		s.checks = append(s.checks, &check{CheckPlugin: p, all: s, log: log, say: announcer{log: log}, limitSay: announcer{log: log}, actionSay: announcer{log: log}})
	}
	o.Recorder.declare(KindCheck, names)
	return s
}

// inherit lets checks go on where those of the configuration before were, as far as they are the same. Those have ended,
// but for runs that nothing ends.
func (s *checks) inherit(before []*check) {
	for _, c := range s.checks {
		for _, old := range before {
			if c.Name == old.Name && slices.Equal(c.Bundled, old.Bundled) && reflect.DeepEqual(c.Command, old.Command) {
				c.runner, c.left, c.acts = old.runner, old.left, old.acts
			}
		}
	}
}

// run runs the checks and posts their verdicts until ctx ends, and everything that it started
// has: a check that runs then is ended, and says nothing.
func (s *checks) run(ctx context.Context) {
	var parts sync.WaitGroup
	for _, c := range s.checks {
		parts.Go(func() { c.run(ctx) })
	}
	parts.Go(func() { s.sender.run(ctx) })
	written := make(chan struct{})
	go func() {
		s.queue.write(ctx)
		close(written)
	}()
	parts.Wait()
	s.actions.Wait()
	select {
	case <-written:
	case <-time.After(stragglers):
		s.o.Log.Warn("the disk does not answer: what writes the verdicts of checks is left behind")
	}
}

// flush posts what is left after run has returned, until ctx ends, and writes the rest to the disk, which it gives time
// of its own: a server that never answers took all of ctx's.
func (s *checks) flush(ctx context.Context) {
	s.sender.flush(ctx)
	written := make(chan bool, 1)
	go func() { written <- s.queue.persist() }() // left behind only by a disk that hangs
	onDisk := false
	select {
	case onDisk = <-written:
	case <-time.After(stragglers):
	}
	if n, _ := s.queue.count(); n > 0 && onDisk {
		s.o.Log.Info("the agent stops, and verdicts of checks wait on disk for its next start", "verdicts", n)
	} else if n > 0 {
		s.o.Log.Warn("the agent stops and could not send or keep every verdict of a check: these are lost", "verdicts", n)
	}
}

// waiting returns what waits for the server.
func (s *checks) waiting() VerdictStatus {
	n, oldest := s.queue.count()
	if n == 0 {
		return VerdictStatus{}
	}
	return VerdictStatus{Waiting: n, Oldest: time.Unix(oldest, 0)}
}

// checkDeclarations returns the checks of the agent's own host, as the server is told of them:
// those that are about another host are not among them. It is never nil, since an empty list
// says something too.
func checkDeclarations(c Config) []saba.CheckDeclaration {
	all := []saba.CheckDeclaration{}
	for _, p := range c.Checks {
		if p.CustomIdentifier == "" {
			all = append(all, saba.CheckDeclaration{Name: p.Name, Memo: p.Memo})
		}
	}
	return all
}

// A check is a check plugin at work.
type check struct {
	CheckPlugin
	all      *checks
	log      *slog.Logger
	say      announcer       // of its runs
	left     <-chan struct{} // of the last run that nothing could end, closed when it did end; nil when there was none
	acts     []time.Time     // of an hour, when its action was called; kept only where their number is limited
	limitSay announcer       // of those
	reported bool            // a verdict was reported, or was not to be, since the start

	mu        sync.Mutex
	acting    bool        // its action is at work
	next      *actionCall // to follow
	actionSay announcer
}

// run runs the check until ctx ends.
func (c *check) run(ctx context.Context) {
	next := time.Now().Add(firstWait(c.all.o.Seed, c.Name))
	for sleep(ctx, time.Until(next)) {
		select {
		case c.all.slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		c.turn(ctx)
		<-c.all.slots
		next = c.all.o.Recorder.source(KindCheck, c.Name).following(next, time.Now(), c.Interval)
	}
}

// firstWait returns how long after the start a check runs first: the same each time, and
// different from check to check and from host to host.
func firstWait(seed, name string) time.Duration {
	h := fnv.New32a()
	_, _ = h.Write([]byte(seed + "\x00" + name))
	return time.Duration(h.Sum32()%uint32(firstCheckWithin/time.Millisecond)) * time.Millisecond
}

// following returns the first time after now that is whole intervals after planned: turns that
// a long run has missed are left out, not made up for.
func following(planned, now time.Time, interval time.Duration) time.Time {
	missed := max(now.Sub(planned), 0) / interval
	return planned.Add((missed + 1) * interval)
}

// following is the function of that name; it notes the turns that are left out.
func (s *sourceRecord) following(planned, now time.Time, interval time.Duration) time.Time {
	next := following(planned, now, interval)
	for t := planned.Add(interval); t.Before(next); t = t.Add(interval) {
		s.overran()
	}
	return next
}

// ended notes a run of a command. runErr is that of running it, err what was wrong in all.
func (s *sourceRecord) ended(start time.Time, r Result, runErr, err error) {
	if _, timeout := errors.AsType[*TimeoutError](runErr); runErr == nil || timeout {
		s.exited(r.ExitCode, r.Stderr)
	}
	s.ran(run{at: start, took: time.Since(start), err: err})
}

// turn runs the check once, and reports what it found as far as that is to be reported.
func (c *check) turn(ctx context.Context) {
	start := time.Now()
	r, err := c.execute(ctx)
	if ctx.Err() != nil {
		return // ended with the agent, which says nothing about what is checked
	}
	c.all.o.Recorder.source(KindCheck, c.Name).ended(start, r, err, err)
	c.logRun(r, err)
	status, message := c.judge(r, err)
	before, known := c.all.queue.last(c.Name)
	v := verdict{Check: c.Name, Identifier: c.CustomIdentifier, Status: status, Message: cutMessage(message),
		At: start.Unix(), Notify: c.NotificationInterval, Attempts: c.MaxCheckAttempts}
	if ahead := before.At - v.At; ahead >= 0 && ahead <= maxVerdictAhead {
		// The clock was set back, or this is a restart within the second. The server goes by the
		// times: of two that are the same it takes one, and an older one changes nothing.
		v.At = before.At + 1
	}
	unheard := !c.reported || c.all.queue.isUnheard(c.Name)
	switch report, urgent := reportable(before, known, v, c.PreventAutoClose, unheard); {
	case report:
		c.all.queue.add(v, urgent)
	case v.Status != before.Status || v.Message != before.Message:
		c.all.queue.remember(v)
	}
	c.reported = true
	if c.Action != nil && c.actsNow(start, status, before.Status) {
		c.act(ctx, actionCall{status: status, previous: before.Status, message: message})
	}
}

// reportable says whether a verdict is reported, and whether that is urgent. before is the one
// before it, if one is known, perhaps of an earlier life of the agent. unheard means that the
// server may not know it: none was reported since the start, or the newest was given up.
func reportable(before verdict, known bool, v verdict, preventAutoClose, unheard bool) (report, urgent bool) {
	changed := !known || v.Status != before.Status
	switch {
	case v.Status != saba.CheckOK:
		return true, changed
	case preventAutoClose:
		return false, false
	}
	return changed || v.Message != before.Message || unheard, changed && known
}

// execute runs the command, or the check that is part of this program, unless an earlier run
// still hangs.
func (c *check) execute(ctx context.Context) (r Result, err error) {
	if c.left != nil {
		select {
		case <-c.left:
			c.left = nil
		default:
			return Result{ExitCode: exitCannotStart}, errors.New("an earlier run hangs, and nothing ends it")
		}
	}
	if len(c.Bundled) > 0 {
		r, err = runInside(ctx, c.runBundled, c.Bundled, c.Command, c.all.o.Environ)
	} else {
		r, err = c.all.o.Run(ctx, c.Command, c.all.o.Environ)
	}
	if t, ok := errors.AsType[*TimeoutError](err); ok {
		c.left = t.Left
	}
	return r, err
}

// runBundled runs the check that is part of this program; its words were given to Bundle.
func (c *check) runBundled(ctx context.Context, words, environ []string) (Result, error) {
	if c.runner == nil {
		return Result{ExitCode: exitNotFound}, fmt.Errorf("this agent has no check %q in it", words[0])
	}
	status, output := c.runner.Run(ctx, environ)
	return Result{ExitCode: slices.Index(saba.CheckStatuses, status), Stdout: []byte(output)}, nil
}

// timeout is how long a run of c may take before it is asked to end.
func (c *check) timeout() time.Duration {
	if c.Command.Timeout == 0 {
		return DefaultCommandTimeout
	}
	return c.Command.Timeout
}

// judge returns what a run means: the status and the message, as long as it is. The exit code
// is the verdict, all of stdout the message; of a run that did not begin, or that was ended
// at its timeout, the message says so.
func (c *check) judge(r Result, err error) (saba.CheckStatus, string) {
	if _, ok := errors.AsType[*TimeoutError](err); ok {
		// Without the time that it took, which differs from run to run.
		return saba.CheckUnknown, fmt.Sprintf("the check did not end within %v and was stopped", c.timeout())
	}
	if err != nil {
		return saba.CheckUnknown, "the check could not be run: " + err.Error()
	}
	switch r.ExitCode {
	case 0:
		return saba.CheckOK, string(r.Stdout)
	case 1:
		return saba.CheckWarning, string(r.Stdout)
	case 2:
		return saba.CheckCritical, string(r.Stdout)
	}
	return saba.CheckUnknown, string(r.Stdout)
}

// cutMessage returns a message as the server is told: its first characters, without what JSON
// or a database cannot hold. Blanks and newlines at its ends stay.
func cutMessage(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	return firstRunes(strings.ReplaceAll(s, "\x00", "\uFFFD"), saba.MaxCheckMessage)
}

// logRun logs what is wrong with a run besides its verdict, when it begins, changes and ends.
func (c *check) logRun(r Result, err error) {
	if problem := runProblem(r, err); problem != "" {
		c.say.say(slog.LevelWarn, problem, "a run of the check was not as it should be", "problem", problem)
		return
	}
	c.say.over("the check runs as it should again")
}

// runProblem returns what a person should know about the run of a check or an action, besides
// its exit code; "" when there is nothing.
func runProblem(r Result, err error) string {
	var problems []string
	if t, ok := errors.AsType[*TimeoutError](err); ok && t.Left != nil {
		problems = append(problems, "not even SIGKILL ended it at its timeout")
	} else if ok {
		problems = append(problems, "it was stopped at its timeout")
	} else if err != nil {
		problems = append(problems, err.Error())
	}
	if r.Cut {
		problems = append(problems, fmt.Sprintf("it printed more than %d bytes", maxOutput))
	}
	if r.Left {
		problems = append(problems, "it left processes behind, which were ended")
	}
	if r.Held {
		problems = append(problems, "it left a process behind that holds its output open")
	}
	if r.Group != 0 {
		problems = append(problems, fmt.Sprintf("something lives in its process group %d that SIGKILL does not end", r.Group))
	}
	if s := excerpt(r.Stderr, maxLogged); s != "" {
		problems = append(problems, "it wrote to stderr: "+s)
	}
	return strings.Join(problems, "; ")
}

// An actionCall is what an action is told.
type actionCall struct {
	status   saba.CheckStatus
	previous saba.CheckStatus
	message  string
}

// actsNow says whether the action runs after a run with that verdict, and counts it when it does.
func (c *check) actsNow(now time.Time, status, previous saba.CheckStatus) bool {
	when := c.ActWhen
	switch {
	case len(when.On) > 0 && !slices.Contains(when.On, status):
		return false
	case when.OnChange && (status == previous || previous == "" && status == saba.CheckOK):
		return false
	case when.PerHour == 0:
		return true
	}
	c.acts = slices.DeleteFunc(c.acts, func(t time.Time) bool { return now.Sub(t) >= time.Hour })
	if int64(len(c.acts)) >= when.PerHour {
		c.limitSay.say(slog.LevelWarn, "limit", "the check's action has run max_per_hour times within an hour and is left out until that is over", "max_per_hour", when.PerHour)
		return false
	}
	c.limitSay.over("the check's action runs again after it was left out")
	c.acts = append(c.acts, now)
	return true
}

// act runs the check's action in the background. One that is still at work is not joined by a
// second: the newest call follows it, with the status from before those that were left out.
func (c *check) act(ctx context.Context, call actionCall) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.acting {
		if c.next != nil {
			call.previous = c.next.previous
		}
		c.next = &call
		return
	}
	c.acting = true
	c.all.actions.Go(func() {
		for call := &call; call != nil; call = c.nextCall() {
			if !c.runAction(ctx, *call) {
				return
			}
		}
	})
}

// nextCall returns the call that came while the action was at work, nil when there is none.
func (c *check) nextCall() *actionCall {
	c.mu.Lock()
	defer c.mu.Unlock()
	call := c.next
	c.next, c.acting = nil, call != nil
	return call
}

// runAction runs the action once, and says whether ctx goes on.
func (c *check) runAction(ctx context.Context, call actionCall) bool {
	select {
	case c.all.busy <- struct{}{}:
	case <-ctx.Done():
		return false
	}
	command := *c.Action
	message := strings.ReplaceAll(call.message, "\x00", "\uFFFD") // which ends a string there
	if len(message) > maxActionMessage {
		message = strings.ToValidUTF8(message[:maxActionMessage], "\uFFFD")
	}
	command.Env = append(append([]string{}, command.Env...),
		statusVariable+"="+string(call.status), previousVariable+"="+string(call.previous), messageVariable+"="+message)
	r, err := c.all.o.Run(ctx, command, c.all.o.Environ)
	<-c.all.busy
	if ctx.Err() != nil {
		return false
	}
	problem := runProblem(r, err)
	if problem == "" && r.ExitCode != 0 {
		problem = fmt.Sprintf("it ended with exit status %d", r.ExitCode)
	}
	if problem != "" {
		c.actionSay.say(slog.LevelWarn, problem, "the check's action was not as it should be", "problem", problem)
	} else {
		c.actionSay.over("the check's action is well again")
	}
	if t, ok := errors.AsType[*TimeoutError](err); ok && t.Left != nil {
		select {
		case <-t.Left: // until then, another one would only hang beside it
		case <-ctx.Done():
			return false
		}
	}
	return true
}

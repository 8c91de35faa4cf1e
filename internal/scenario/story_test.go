package scenario

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/absent"
	"github.com/saba-monitor/saba/internal/dial"
	"github.com/saba-monitor/saba/internal/drain"
	"github.com/saba-monitor/saba/internal/monitor"
	"github.com/saba-monitor/saba/internal/notify"
	"github.com/saba-monitor/saba/internal/promapi"
	"github.com/saba-monitor/saba/internal/sqldb"
	"github.com/saba-monitor/saba/internal/tsdb"
)

// The stories of testdata run on the real engines, in a time of their own that goes from minute to minute; each minute
// ends with a round. A line is one of
//
//	host NAME [SERVICE:ROLE…]           service NAME
//	monitor NAME JSON                   edit NAME JSON          delete NAME
//	post HOST METRIC VALUE…             one value a minute; - for a minute without
//	all HOST METRIC=VALUE…              several metrics in one minute
//	serve SERVICE METRIC VALUE…         as post, of a service
//	late HOST METRIC MINUTES VALUE…     at once, the last of them so many minutes ago
//	lateservice SERVICE METRIC MINUTES VALUE…
//	aheadof HOST METRIC MINUTES VALUE…  one value a minute, by a clock that is so many minutes ahead
//	with HOST METRIC VALUE              in the minute of what follows; of a service: within SERVICE METRIC VALUE
//	wait MINUTES                        skip MINUTES            as wait, with one round at the end
//	status HOST STATUS                  retire HOST             restart
//	downtime NAME IN MINUTES JSON       begins in so many minutes
//	close MONITOR TARGET                by a person
//	open MONITOR TARGET STATUS MESSAGE  must be open; TARGET is a host, a series of a query, or - for none
//	well [MONITOR TARGET]               nothing may be open
//	log MONITOR TARGET STATUS…          all that the alerts of a target went through
//	channel NAME EVENT…                 of the default group; a real server receives what it is told
//	lone NAME EVENT…                    as channel, of no group
//	slack NAME EVENT…                   as channel, which tells Slack: of that, told wants the title
//	pager NAME EVENT…                   as channel, which tells PagerDuty: of that, told wants the action
//	group NAME JSON                     of notification
//	collect NAME JSON                   a setting of alert groups
//	receiver NAME DEED                  works, fails, hangs, refuses (400), or asks for 10 minutes (429)
//	told NAME WORDS…                    the next message: event, status, rule and host or service of an alert; see words
//	body NAME PATH JSON                 what the newest message that arrived has at a path
//	suspended NAME                      must be, after a day without an answer
//	release NAME                        one that is suspended
//	silent [NAME]                       no message is left that was not asked for
//	why MONITOR TARGET SILENCE          why nobody was told of the newest event
//	ack MONITOR TARGET                  unack MONITOR TARGET       mute MONITOR TARGET MINUTES
//	assign MONITOR TARGET ACCOUNT
//	report HOST CHECK STATUS [MESSAGE]  by its agent
//
// and those of site_test.go, drain_test.go, container_test.go and usual_test.go. An asterisk in MESSAGE stands for anything.
func TestStories(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no stories", err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for story := range strings.SplitSeq(string(b), "\nstory: ") {
			title, text, _ := strings.Cut(strings.TrimPrefix(story, "story: "), "\n")
			t.Run(title, func(t *testing.T) {
				t.Parallel()
				tell(t, text)
			})
		}
	}
}

type story struct {
	*testing.T
	now       time.Time
	org       string
	records   *sqldb.DB
	samples   *tsdb.DB
	drains    *drain.Drains
	evaluator *monitor.Evaluator
	notifier  *notify.Notifier
	receivers map[string]*receiver // by the name of their channel
	reports   int                  // of checks, so far
	site      storySite
	sweeper   *absent.Sweeper // nil while nobody wants silent containers retired
	usual     storyUsual
}

func tell(t *testing.T, text string) {
	s := newStory(t)
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		if err := s.do(words, strings.TrimSpace(line)); err != nil {
			t.Fatalf("%s %s: %v", s.now.UTC().Format("15:04"), strings.TrimSpace(line), err)
		}
	}
}

func newStory(t *testing.T) *story {
	s := &story{T: t, now: time.Date(2026, 3, 10, 12, 0, 5, 0, time.UTC), org: "org"}
	dir := t.TempDir()
	var err error
	if s.records, err = sqldb.Open(t.Context(), filepath.Join(dir, "saba.db")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.records.Close() })
	if _, err := s.records.EnsureOrg(t.Context(), saba.Org{ID: s.org, Name: "test"}); err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	now := func() time.Time { return s.now }
	// The engine looks at the time on goroutines of its own: it gets one that stands still.
	begin := s.now
	s.samples, err = tsdb.Open(t.Context(), tsdb.Options{Dir: filepath.Join(dir, "samples"), Log: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(), Now: func() time.Time { return begin }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.samples.Close() })
	s.receivers = map[string]*receiver{}
	s.drains = s.newDrains(log)
	anywhere := dial.Dialer{Allowed: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
	s.notifier = notify.New(notify.Options{
		Org: s.org, Store: s.records, Client: anywhere.Client(dial.Options{Timeout: receiverTimeout}), URL: "https://saba.example", Zone: time.UTC, Now: now,
		Random: rand.Reader, Log: log,
	})
	s.evaluator = monitor.New(monitor.Options{Org: s.org, Store: s.records, Samples: s.samples, Queries: promapi.NewQueries(s.records, s.samples), Dial: s.site.dialer(now), Zone: time.UTC, Now: now, Random: rand.Reader, Log: log})
	return s
}

// minute lets a minute pass, which ends with a round.
func (s *story) minute() error {
	s.drains.Round(s.Context())
	if err := s.sweep(); err != nil {
		return err
	}
	if err := s.evaluator.Round(s.Context()); err != nil {
		return err
	}
	// The second round tells what came of the first: that a channel does not answer.
	for range 2 {
		if err := s.notifier.Round(s.Context()); err != nil {
			return err
		}
		s.notifier.Wait()
	}
	s.now = s.now.Add(time.Minute)
	return nil
}

func (s *story) keep(series saba.Series, at time.Time, value string) error {
	v, err := strconv.ParseFloat(value, 64)
	if err != nil {
		return err
	}
	_, err = s.samples.Append(s.Context(), s.now, []saba.Point{{Series: series, Sample: saba.Sample{Time: at.Unix(), Value: v}}})
	return err
}

func (s *story) each(series saba.Series, values []string) error {
	for _, v := range values {
		if v != "-" {
			if err := s.keep(series, s.now, v); err != nil {
				return err
			}
		}
		if err := s.minute(); err != nil {
			return err
		}
	}
	return nil
}

// rest returns what stands after the first n words of a line.
func rest(line string, n int) string {
	for range n {
		_, line, _ = strings.Cut(strings.TrimSpace(line), " ")
	}
	return strings.TrimSpace(line)
}

func hostOf(word string) string {
	if word == "-" {
		return ""
	}
	return word
}

// about returns what an alert is about: a host, a series, or nothing.
func about(a saba.Alert) string { return a.Host + a.Series.String() }

func (s *story) do(w []string, line string) error {
	ctx := s.Context()
	switch w[0] {
	case "host":
		h := saba.Host{ID: w[1], Org: s.org, Name: w[1], Status: saba.Working, CreatedAt: s.now.Unix(), Meta: json.RawMessage("{}")}
		for _, name := range w[2:] {
			role, err := saba.ParseRoleName(name)
			if err != nil {
				return err
			}
			h.Roles = append(h.Roles, role)
		}
		return s.records.CreateHost(ctx, h, nil, nil)
	case "service":
		return s.records.CreateService(ctx, s.org, saba.Service{Name: w[1]})
	case "monitor":
		m := saba.Monitor{ID: w[1], Name: w[1]}
		if err := json.Unmarshal([]byte(s.site.fill(s.T, rest(line, 2), s.now)), &m); err != nil {
			return err
		}
		m.Default()
		if err := m.Check(s.now.Unix()); err != nil {
			return err
		}
		return s.records.CreateMonitor(ctx, s.org, m)
	case "edit":
		_, err := s.records.UpdateMonitor(ctx, s.org, w[1], s.now.Unix(), func(m saba.Monitor) (saba.Monitor, error) {
			return m, json.Unmarshal([]byte(s.site.fill(s.T, rest(line, 2), s.now)), &m)
		})
		return err
	case "delete":
		_, err := s.records.DeleteMonitor(ctx, s.org, w[1], s.now.Unix())
		return err
	case "post":
		return s.each(saba.Series{Org: s.org, Host: w[1], Name: w[2]}, w[3:])
	case "serve":
		return s.each(saba.Series{Org: s.org, Service: w[1], Name: w[2]}, w[3:])
	case "with":
		return s.keep(saba.Series{Org: s.org, Host: w[1], Name: w[2]}, s.now, w[3])
	case "within":
		return s.keep(saba.Series{Org: s.org, Service: w[1], Name: w[2]}, s.now, w[3])
	case "all":
		for _, pair := range w[2:] {
			name, value, _ := strings.Cut(pair, "=")
			if err := s.keep(saba.Series{Org: s.org, Host: w[1], Name: name}, s.now, value); err != nil {
				return err
			}
		}
		return s.minute()
	case "aheadof":
		ahead, err := strconv.Atoi(w[3])
		if err != nil {
			return err
		}
		for _, v := range w[4:] {
			if err := s.keep(saba.Series{Org: s.org, Host: w[1], Name: w[2]}, s.now.Add(time.Duration(ahead)*time.Minute), v); err != nil {
				return err
			}
			if err := s.minute(); err != nil {
				return err
			}
		}
		return nil
	case "late", "lateservice":
		ago, err := strconv.Atoi(w[3])
		if err != nil {
			return err
		}
		of := saba.Series{Org: s.org, Host: w[1], Name: w[2]}
		if w[0] == "lateservice" {
			of.Host, of.Service = "", w[1]
		}
		for i, v := range w[4:] {
			at := s.now.Add(-time.Duration(ago+len(w)-5-i) * time.Minute)
			if err := s.keep(of, at, v); err != nil {
				return err
			}
		}
		return s.minute()
	case "wait":
		n, err := strconv.Atoi(w[1])
		for range n {
			err = s.minute()
		}
		return err
	case "skip":
		n, err := strconv.Atoi(w[1])
		if err != nil {
			return err
		}
		s.now = s.now.Add(time.Duration(n) * time.Minute)
		return s.minute()
	case "retire":
		return s.records.RetireHosts(ctx, s.org, []string{w[1]}, s.now.Unix())
	case "suspended":
		channels, err := s.records.Channels(ctx, s.org)
		for _, c := range channels {
			if c.ID == w[1] && c.SuspendedAt == 0 {
				return fmt.Errorf("it is not")
			}
		}
		return err
	case "release":
		return s.records.SuspendChannel(ctx, s.org, w[1], 0, "")
	case "status":
		return s.records.SetHostStatus(ctx, s.org, []string{w[1]}, saba.HostStatus(w[2]))
	case "restart":
		s.evaluator = monitor.New(s.evaluator.Options)
		s.notifier = notify.New(s.notifier.Options)
		s.drains = drain.New(s.drains.Options)
		if s.sweeper != nil {
			s.sweeper = absent.New(s.sweeper.Options)
		}
		return nil
	case "downtime":
		in, err := strconv.Atoi(w[2])
		if err != nil {
			return err
		}
		d := saba.Downtime{ID: w[1], Name: w[1], Start: s.now.Unix() + int64(in)*60}
		if err := json.Unmarshal([]byte(rest(line, 3)), &d); err != nil {
			return err
		}
		if err := d.Check(); err != nil {
			return err
		}
		return s.records.CreateDowntime(ctx, s.org, d)
	case "close":
		a, err := s.openOne(ctx, w[1], hostOf(w[2]))
		if err == nil {
			_, err = s.records.MoveAlert(ctx, s.org, a.ID, saba.AlertMove{At: s.now.Unix(), Status: saba.CheckOK, Trigger: saba.TriggerManual})
		}
		return err
	case "open":
		a, err := s.openOne(ctx, w[1], hostOf(w[2]))
		if err != nil {
			return err
		}
		if want := rest(line, 4); string(a.Status) != w[3] || !alike(a.Message, want) {
			return fmt.Errorf("it is %s %q", a.Status, a.Message)
		}
		return nil
	case "well":
		alerts, err := s.records.Alerts(ctx, s.org, saba.AlertPage{Limit: 100})
		for _, a := range alerts {
			if len(w) == 1 || a.Monitor == w[1] && about(a) == hostOf(w[2]) {
				return fmt.Errorf("open is %s of %q: %s %q", a.Monitor, a.Host, a.Status, a.Message)
			}
		}
		return err
	case "channel", "lone":
		return s.channel(ctx, saba.ChannelWebhook, w[1], w[2:], w[0] == "channel")
	case "slack":
		return s.channel(ctx, saba.ChannelSlack, w[1], w[2:], true)
	case "pager":
		return s.channel(ctx, saba.ChannelPagerDuty, w[1], w[2:], true)
	case "collect":
		a := saba.AlertGroupSetting{ID: w[1], Name: w[1]}
		if err := json.Unmarshal([]byte(rest(line, 2)), &a); err != nil {
			return err
		}
		if err := a.Check(); err != nil {
			return err
		}
		return s.records.CreateAlertGroupSetting(ctx, s.org, a)
	case "group":
		g := saba.NotificationGroup{ID: w[1], Name: w[1], Level: saba.NotifyAll}
		if err := json.Unmarshal([]byte(rest(line, 2)), &g); err != nil {
			return err
		}
		if err := g.Check(); err != nil {
			return err
		}
		return s.records.CreateNotificationGroup(ctx, s.org, g)
	case "receiver":
		r := s.receivers[w[1]]
		r.mu.Lock()
		defer r.mu.Unlock()
		r.deed = w[2]
		return nil
	case "told":
		return s.receivers[w[1]].next(strings.Join(w[2:], " "))
	case "body":
		return s.receivers[w[1]].holds(w[2], rest(line, 3))
	case "silent":
		for name, r := range s.receivers {
			if len(w) == 1 || w[1] == name {
				if err := r.next(""); err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
			}
		}
		return nil
	case "why":
		return s.why(ctx, w[1], hostOf(w[2]), saba.Silence(w[3]))
	case "ack", "unack", "assign", "mute":
		a, err := s.openOne(ctx, w[1], hostOf(w[2]))
		if err != nil {
			return err
		}
		until := int64(0)
		if w[0] == "mute" {
			n, err := strconv.Atoi(w[3])
			if err != nil {
				return err
			}
			until = s.now.Unix() + int64(n)*60
		}
		_, err = s.records.HandleAlert(ctx, s.org, a.ID, func(h saba.Handling) saba.Handling {
			switch w[0] {
			case "mute":
				h.MutedUntil = until
			case "assign":
				h.Assignee = w[3]
			case "unack":
				h.AckedBy, h.AckedAt = "", 0
			default:
				h.AckedBy, h.AckedAt = "me", s.now.Unix()
			}
			return h
		})
		return err
	case "report":
		r := saba.CheckReport{Host: w[1], Name: w[2], Status: saba.CheckStatus(w[3]), Message: rest(line, 4), OccurredAt: s.now.Unix(), MaxCheckAttempts: 1}
		// A check has its name as its id, so that stories can name it.
		return s.records.ReportChecks(ctx, s.org, []saba.CheckReport{r}, func() (string, error) {
			s.reports++
			if s.reports == 1 || !s.known(ctx, w[2]) {
				return w[2], nil
			}
			return fmt.Sprintf("%s-%d", w[2], s.reports), nil
		})
	case "log":
		got, err := s.history(ctx, w[1], hostOf(w[2]))
		if err == nil && got != strings.Join(w[3:], " ") {
			err = fmt.Errorf("it is %s", got)
		}
		return err
	}
	if known, err := s.doDrain(w, line); known {
		return err
	}
	switch w[0] {
	case "container", "sweep", "alive", "retired", "revive":
		return s.doContainer(w)
	}
	return s.doUsual(w, line)
}

// known says whether there is a check with an id.
func (s *story) known(ctx context.Context, id string) bool {
	_, err := s.records.Check(ctx, s.org, id)
	return err == nil
}

func (s *story) openOne(ctx context.Context, monitor, host string) (saba.Alert, error) {
	alerts, err := s.records.Alerts(ctx, s.org, saba.AlertPage{Limit: 100})
	for _, a := range alerts {
		if a.Monitor == monitor && about(a) == host {
			return a, nil
		}
	}
	if err == nil {
		err = fmt.Errorf("no such alert is open, of %d", len(alerts))
	}
	return saba.Alert{}, err
}

// history returns the statuses that the alerts of a target went through, oldest first.
func (s *story) history(ctx context.Context, monitor, host string) (string, error) {
	alerts, err := s.records.Alerts(ctx, s.org, saba.AlertPage{Limit: 100, Closed: true})
	if err != nil {
		return "", err
	}
	var words []string
	for _, a := range alerts { // newest first
		if a.Monitor != monitor || about(a) != host {
			continue
		}
		logs, err := s.records.AlertLogs(ctx, s.org, a.ID, "", 100)
		if err != nil {
			return "", err
		}
		for _, l := range logs {
			words = append([]string{string(l.Status)}, words...)
		}
	}
	return strings.Join(words, " "), nil
}

func TestAQueryOfTooManySeriesIsUnknown(t *testing.T) {
	s := newStory(t)
	var points []saba.Point
	for i := range 1001 {
		points = append(points, saba.Point{Series: saba.Series{Org: s.org, Service: "shop", Name: fmt.Sprintf(`errors{n="%d"}`, i)}, Sample: saba.Sample{Time: s.now.Unix(), Value: 9}})
	}
	if _, err := s.samples.Append(t.Context(), s.now, points); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		`service shop`, `monitor all {"type":"query","query":"errors","operator":">","warning":2}`, `monitor some {"type":"query","query":"errors{n=~\"1[0-9]\"}","operator":">","warning":2}`,
		`wait 1`, `open all - UNKNOWN all cannot be evaluated: it finds 1001 series: at most 1000 are allowed`, `open some errors{n="17",service="shop"} WARNING errors{n="17",service="shop"} 9 > 2`,
	} {
		if err := s.do(strings.Fields(line), line); err != nil {
			t.Fatal(line, err)
		}
	}
}

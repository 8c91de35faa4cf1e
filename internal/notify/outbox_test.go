package notify

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/sqldb"
)

// A post is a service that is told things: what it does with each is the test's.
type post struct {
	send func(ctx context.Context, c saba.Channel, m Message) error

	mu  sync.Mutex
	got []string // titles by channel, of what was confirmed
}

func (p *post) Send(ctx context.Context, c saba.Channel, m Message) error {
	if p.send != nil {
		if err := p.send(ctx, c, m); err != nil {
			return err
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.got = append(p.got, c.ID+": "+m.Title())
	return nil
}

func (p *post) told() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.got)
}

const outboxOrg = "org"

// outbox opens a database with channels of the default group, and a notifier that tells them by p.
func outbox(t testing.TB, p *post, now func() time.Time, channels ...string) (*sqldb.DB, *Notifier) {
	t.Helper()
	db, err := sqldb.Open(t.Context(), filepath.Join(t.TempDir(), "saba.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	if _, err := db.EnsureOrg(t.Context(), saba.Org{ID: outboxOrg, Name: "acme"}); err != nil {
		t.Fatal(err)
	}
	for _, id := range channels {
		c := saba.Channel{ID: id, Name: id, Type: saba.ChannelWebhook, URL: "https://example.com/", Events: saba.ChannelEvents}
		if err := db.CreateChannel(t.Context(), outboxOrg, c, true); err != nil {
			t.Fatal(err)
		}
	}
	n := New(Options{Org: outboxOrg, Store: db, Zone: time.UTC, Now: now, Log: slog.New(slog.DiscardHandler)})
	n.senders = map[saba.ChannelType]Sender{saba.ChannelWebhook: p}
	return db, n
}

// register lets a host be registered, which every channel is told.
func register(t testing.TB, db *sqldb.DB, name string) {
	t.Helper()
	h := &saba.Host{ID: name, Name: name, Status: saba.Working}
	if err := db.AddEvent(t.Context(), outboxOrg, saba.Event{Kind: saba.EventHostRegister, Subject: name, Host: h}); err != nil {
		t.Fatal(err)
	}
}

// became returns what became of the newest event of a subject, by channel.
func became(t *testing.T, db *sqldb.DB, subject string) map[string]saba.Notification {
	t.Helper()
	told, err := db.EventsOf(context.WithoutCancel(t.Context()), outboxOrg, subject, 1)
	if err != nil || len(told) != 1 {
		t.Fatal(told, err)
	}
	all := map[string]saba.Notification{}
	for _, n := range told[0].Notifications {
		all[n.Channel] = n
	}
	return all
}

// A channel that does not answer is tried at growing distances for a day; the others hear of it once, and of its return. After a release it
// begins anew, and so does what they hear.
func TestAChannelThatDoesNotAnswer(t *testing.T) {
	now := time.Unix(opened, 0)
	broken := true
	var tries []time.Duration
	p := &post{send: func(_ context.Context, c saba.Channel, _ Message) error {
		if c.ID != "broken" || !broken {
			return nil
		}
		tries = append(tries, now.Sub(time.Unix(opened, 0)))
		return errors.New("its service is away")
	}}
	db, n := outbox(t, p, func() time.Time { return now }, "broken", "well")
	// until goes from try to try, up to a time.
	until := func(end time.Time) {
		t.Helper()
		for ; !now.After(end); now = now.Add(5 * time.Second) {
			if err := n.Round(t.Context()); err != nil {
				t.Fatal(err)
			}
			n.Wait()
			next, err := db.NextNotifications(t.Context(), outboxOrg)
			if err != nil {
				t.Fatal(err)
			}
			if len(next) == 1 && next[0].NextTry > now.Unix()+5 {
				now = time.Unix(next[0].NextTry-5, 0)
			}
		}
	}
	register(t, db, "web1")
	until(now.Add(25 * time.Hour))
	want := []time.Duration{0, 5, 20, 50, 110, 230, 530, 830, 1130}
	for i := range want {
		want[i] *= time.Second
	}
	if len(tries) < 280 || !slices.Equal(tries[:len(want)], want) || tries[len(tries)-1] < 24*time.Hour || tries[len(tries)-2] >= 24*time.Hour {
		t.Errorf("it was tried %d times, at %v … %v", len(tries), tries[:min(len(tries), len(want))], tries[len(tries)-1])
	}
	if got, want := p.told(), []string{"well: web1 was registered", "well: the channel broken cannot be reached"}; !slices.Equal(got, want) {
		t.Errorf("the other one was told %q, want %q", got, want)
	}
	if got := became(t, db, "web1")["broken"]; got.State != saba.NotificationFailed || got.Detail != "it was tried for a day: its service is away" {
		t.Errorf("the message became %+v", got)
	}
	register(t, db, "web2")
	until(now.Add(time.Minute))
	if got := became(t, db, "web2")["broken"]; got.State != saba.NotificationLeft || got.Silence != saba.SilenceStopped {
		t.Errorf("a message to the suspended channel became %+v", got)
	}

	if err := db.SuspendChannel(t.Context(), outboxOrg, "broken", 0, ""); err != nil {
		t.Fatal(err)
	}
	broken, p.got = false, nil
	register(t, db, "web3")
	until(now.Add(time.Minute))
	broken = true
	register(t, db, "web4")
	until(now.Add(20 * time.Minute))
	got := p.told()
	slices.Sort(got)
	if want := []string{"broken: web3 was registered", "well: the channel broken can be reached again", "well: the channel broken cannot be reached", "well: web3 was registered", "well: web4 was registered"}; !slices.Equal(got, want) {
		t.Errorf("after its release they were told %q, want %q", got, want)
	}
}

// run runs a notifier in a bubble until the returned function stops it, which waits for it.
func run(t *testing.T, n *Notifier) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); n.Run(ctx) }()
	return func() { cancel(); <-done }
}

// A channel that hangs delays no other one.
func TestAChannelThatHangsDelaysNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &post{send: func(ctx context.Context, c saba.Channel, _ Message) error {
			if c.ID != "c3" {
				return nil
			}
			<-ctx.Done()
			return ctx.Err()
		}}
		var channels []string
		for i := range 10 {
			channels = append(channels, fmt.Sprint("c", i))
		}
		db, n := outbox(t, p, time.Now, channels...)
		stop := run(t, n)
		for i := range 3 {
			register(t, db, fmt.Sprint("web", i))
			time.Sleep(2 * time.Second)
			synctest.Wait()
			if got := len(p.told()); got != 9*(i+1) {
				t.Errorf("%d s on, %d messages were confirmed, want %d", 2*(i+1), got, 9*(i+1))
			}
		}
		time.Sleep(SendTimeout)
		synctest.Wait()
		if got := became(t, db, "web0")["c3"]; got.Attempts != 1 || got.State != saba.NotificationWaiting {
			t.Errorf("what hung became %+v", got)
		}
		began := time.Now()
		stop()
		if took := time.Since(began); took > stopTimeout {
			t.Errorf("it stopped within %v", took)
		}
	})
}

// A stop lets a try end, and keeps what it came to; one that takes too long is cut off and is no fault of the channel's.
func TestAStopWhileATryIsUnderWay(t *testing.T) {
	for name, tt := range map[string]struct {
		takes time.Duration
		want  saba.NotificationState
		tries int64
	}{
		"confirmed in time": {stopTimeout - time.Second, saba.NotificationSent, 1},
		"not in time":       {stopTimeout + time.Second, saba.NotificationWaiting, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := make(chan struct{}, 10)
				p := &post{send: func(ctx context.Context, _ saba.Channel, _ Message) error {
					began <- struct{}{}
					select {
					case <-time.After(tt.takes):
						return nil
					case <-ctx.Done():
						return ctx.Err()
					}
				}}
				db, n := outbox(t, p, time.Now, "hook")
				register(t, db, "web1")
				register(t, db, "web2")
				stop := run(t, n)
				<-began
				stop()
				if got := became(t, db, "web1")["hook"]; got.State != tt.want || got.Attempts != tt.tries {
					t.Errorf("it became %+v, want %s after %d tries", got, tt.want, tt.tries)
				}
				if got := became(t, db, "web2")["hook"]; got.State != saba.NotificationWaiting || len(began) > 0 {
					t.Errorf("the next message was begun after the stop: %+v", got)
				}
			})
		})
	}
}

// A looking store counts how often it is asked what waits.
type looking struct {
	*sqldb.DB
	looks int
}

func (c *looking) NextNotifications(ctx context.Context, org string) ([]saba.Notification, error) {
	c.looks++
	return c.DB.NextNotifications(ctx, org)
}

// While nothing changes and nothing waits, no round asks the database what waits; the first change is told all the same, and what waits
// for its time is.
func TestAnIdleNotifierDoesNotAsk(t *testing.T) {
	now := time.Unix(opened, 0)
	fails := true
	p := &post{send: func(context.Context, saba.Channel, Message) error {
		if fails {
			return errors.New("no")
		}
		return nil
	}}
	db, n := outbox(t, p, func() time.Time { return now }, "hook")
	c := &looking{DB: db}
	n.Store = c
	rounds := func(times int) (looks int) {
		before := c.looks
		for range times {
			if err := n.Round(t.Context()); err != nil {
				t.Fatal(err)
			}
			n.Wait()
			now = now.Add(time.Second)
		}
		return c.looks - before
	}
	rounds(2)
	if got := rounds(10); got != 0 {
		t.Errorf("10 idle rounds asked %d times", got)
	}
	register(t, db, "web1")
	if rounds(1); became(t, db, "web1")["hook"].Attempts != 1 {
		t.Error("the first event after it was not told at once")
	}
	fails = false
	if rounds(10); len(p.told()) != 1 {
		t.Error("what waited was not tried again")
	}
	rounds(1)
	if got := rounds(10); got != 0 {
		t.Errorf("when all was told, 10 idle rounds asked %d times", got)
	}
}

// What waits for a channel that is deleted is left, and says so.
func TestADeletedChannel(t *testing.T) {
	now := time.Unix(opened, 0)
	p := &post{send: func(context.Context, saba.Channel, Message) error { return errors.New("no") }}
	db, n := outbox(t, p, func() time.Time { return now }, "hook")
	register(t, db, "web1")
	for range 2 {
		if err := n.Round(t.Context()); err != nil {
			t.Fatal(err)
		}
		n.Wait()
		now = now.Add(time.Minute)
		if _, err := db.DeleteChannel(t.Context(), outboxOrg, "hook"); err != nil && !errors.Is(err, saba.ErrNotFound) {
			t.Fatal(err)
		}
	}
	if got := became(t, db, "web1")["hook"]; got.State != saba.NotificationLeft || got.Silence != saba.SilenceGone || got.Attempts != 1 {
		t.Errorf("it became %+v", got)
	}
}

// What is refused for good is given up after three tries, and the next message goes on; others hear of it.
func TestAMessageThatIsRefused(t *testing.T) {
	now := time.Unix(opened, 0)
	p := &post{send: func(_ context.Context, c saba.Channel, m Message) error {
		switch {
		case c.ID == "hook" && m.Subject == "web1":
			return Final(errors.New("it is no good"))
		case c.ID == "hook" && m.Subject == "web2":
			return Partly(errors.New("not everybody"))
		}
		return nil
	}}
	db, n := outbox(t, p, func() time.Time { return now }, "hook", "other")
	register(t, db, "web1")
	register(t, db, "web2")
	register(t, db, "web3")
	for range 10 {
		if err := n.Round(t.Context()); err != nil {
			t.Fatal(err)
		}
		n.Wait()
		now = now.Add(10 * time.Second)
	}
	if got := became(t, db, "web1")["hook"]; got.State != saba.NotificationFailed || got.Attempts != finalTries || got.Detail != "it is no good" {
		t.Errorf("what was refused became %+v", got)
	}
	if got := became(t, db, "web2")["hook"]; got.State != saba.NotificationSent || got.Attempts != 1 || got.Detail != "not everybody" {
		t.Errorf("what was told in part became %+v", got)
	}
	if got, want := p.told(), "hook: web3 was registered"; !slices.Contains(got, want) || !slices.Contains(got, "other: the channel hook cannot be reached") {
		t.Errorf("told was %q", got)
	}
}

// BenchmarkStorm decides about 10,000 hosts at once that are told to a channel, and looks for what is due, as each second does.
func BenchmarkStorm(b *testing.B) {
	const hosts = 10_000
	now := time.Unix(opened, 0)
	hang := make(chan struct{})
	for b.Loop() {
		db, n := outbox(b, &post{send: func(context.Context, saba.Channel, Message) error { <-hang; return errors.New("no") }}, func() time.Time { return now }, "hook")
		for i := range hosts {
			register(b, db, fmt.Sprint("web", i))
		}
		began := time.Now()
		if err := n.route(b.Context()); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(time.Since(began).Microseconds())/hosts, "us/event")
		began = time.Now()
		for range 10 {
			if _, err := db.NextNotifications(b.Context(), outboxOrg); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(time.Since(began).Microseconds())/10, "us/look")
	}
}

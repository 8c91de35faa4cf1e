package syslog

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/drain"
)

// A shelf is a drain d1, opened by saba_one, and a default drain d0. It keeps what it takes while it works.
type shelf struct {
	mu     sync.Mutex
	lines  []string // "DRAIN HOST TEXT"
	takes  int
	broken error
}

func (s *shelf) Take(_ context.Context, _ string, d saba.Drain, lot drain.Lot) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.takes++
	if s.broken != nil {
		return s.broken
	}
	for _, l := range lot.Lines {
		s.lines = append(s.lines, d.ID+" "+l.Host+" "+string(l.Text))
	}
	for _, r := range lot.Refused {
		s.lines = append(s.lines, d.ID+" ! "+string(r.Reason))
	}
	return nil
}

func (s *shelf) Drain(_ context.Context, _, id string) (saba.Drain, error) {
	if id != "d0" {
		return saba.Drain{}, saba.Errorf(saba.ErrNotFound, "no drain %q", id)
	}
	return saba.Drain{ID: id}, nil
}

func (s *shelf) DrainByHash(_ context.Context, hash string) (string, saba.Drain, error) {
	for _, token := range []string{"saba_one", "d.8f0e2c4a-1b2c-4d3e-8f9a-0b1c2d3e4f5a"} {
		if hash == saba.HashSecret(token) {
			return "org1", saba.Drain{ID: "d1"}, nil
		}
	}
	return "", saba.Drain{}, saba.Errorf(saba.ErrNotFound, "no such drain")
}

func (s *shelf) breakDown(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.broken = err
}

// want checks what is kept, in whatever order, and forgets it.
func (s *shelf) want(t *testing.T, want ...string) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	slices.Sort(s.lines)
	slices.Sort(want)
	if !slices.Equal(s.lines, want) {
		t.Errorf("kept\n%s\nwant\n%s", strings.Join(s.lines, "\n"), strings.Join(want, "\n"))
	}
	s.lines = nil
}

// serverOn returns a Server that keeps in a shelf.
func serverOn(t *testing.T, s *shelf, settings Settings) *Server {
	return New(Options{
		Listeners: &Listeners{settings: settings}, Org: "org1", Drains: s, Store: s, Zone: time.UTC, Now: time.Now,
		Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Registerer: prometheus.NewRegistry(),
	})
}

// connect serves one connection in virtual time, and returns its other end. It ends when stop is called or the test does.
func connect(t *testing.T, server *Server) (sender net.Conn, over <-chan struct{}, stop func()) {
	ctx, stop := context.WithCancel(t.Context())
	t.Cleanup(stop)
	sender, ours := net.Pipe()
	t.Cleanup(func() { sender.Close() })
	done := make(chan struct{})
	go func() {
		defer close(done)
		c := connection{server: server, way: wayTCP, conn: ours, opened: time.Now()}
		c.serve(ctx, context.WithoutCancel(ctx))
	}()
	return sender, done, stop
}

func send(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatalf("send %.40q: %v", text, err)
	}
}

// message is one for the drain d1.
func message(text string) string {
	return "<13>1 2000-01-01T00:00:00Z saba_one app 1 - - " + text + "\n"
}

func isOver(over <-chan struct{}) bool {
	synctest.Wait()
	select {
	case <-over:
		return true
	default:
		return false
	}
}

func TestMessagesAreKeptWithinASecondOrWhenTheyAreMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kept := &shelf{}
		sender, over, _ := connect(t, serverOn(t, kept, Settings{}))
		send(t, sender, message("one"))
		time.Sleep(gather - time.Millisecond)
		send(t, sender, message("two"))
		synctest.Wait()
		kept.want(t)
		time.Sleep(time.Millisecond)
		synctest.Wait()
		kept.want(t, "d1  one", "d1  two")
		send(t, sender, strings.Repeat(message("x"), batchLines))
		synctest.Wait()
		if len(kept.lines) < batchLines/2 || kept.takes < 2 {
			t.Errorf("%d of %d lines are kept without a second", len(kept.lines), batchLines)
		}
		sender.Close()
		if !isOver(over) || len(kept.lines) != batchLines {
			t.Errorf("at the end %d lines of %d are kept", len(kept.lines), batchLines)
		}
	})
}

func TestWhatWasReadIsKeptAtTheStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kept := &shelf{}
		sender, over, stop := connect(t, serverOn(t, kept, Settings{}))
		send(t, sender, message("one")+message("two")+"<13>1 2000-01-01T00:00:00Z saba_one app 1 - - half")
		synctest.Wait()
		stop()
		synctest.Wait()
		send(t, sender, " of it") // was under way
		time.Sleep(lastRead)
		if !isOver(over) {
			t.Fatal("the connection goes on after the stop")
		}
		kept.want(t, "d1  one", "d1  two", "d1  half of it")
	})
}

func TestASenderWaitsWhileNothingCanBeKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kept := &shelf{broken: errors.New("the disk is full")}
		server := serverOn(t, kept, Settings{})
		sender, over, _ := connect(t, server)
		var want []string
		sent := make(chan struct{})
		go func() {
			defer close(sent)
			for i := range 3 * batchLines {
				text := fmt.Sprint("line ", i)
				want = append(want, "d1  "+text)
				if _, err := io.WriteString(sender, message(text)); err != nil {
					t.Error(err)
				}
			}
		}()
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		select {
		case <-sent:
			t.Fatal("the sender was not held up")
		default:
		}
		if kept.takes < 10 || kept.takes > 200 {
			t.Errorf("%d tries in ten minutes", kept.takes)
		}
		// Another sender has its own time, and the next drain that works takes what it sends.
		kept.breakDown(nil)
		<-sent
		sender.Close()
		time.Sleep(mostPause)
		if !isOver(over) {
			t.Fatal("the connection does not end")
		}
		kept.want(t, want...)
	})
}

func TestASenderThatHangsIsLetGo(t *testing.T) {
	for name, tt := range map[string]struct {
		send  string
		after time.Duration
		want  []string
	}{
		"nothing at all":                {"", strangerIdle, nil},
		"an unknown token":              {strings.Replace(message("a"), "saba_one", "saba_two", 1), strangerIdle, nil},
		"half a message":                {message("a") + "<13>1 2000-01-01T00:00:00Z saba_one app 1 - - half", messageWithin, []string{"d1  a", "d1  half"}},
		"half a counted message":        {frame(message("a")) + "90 <13>1 2000", messageWithin, []string{"d1  a", "d1 ! bad frame"}},
		"one that is known may rest":    {message("a"), idle, []string{"d1  a"}},
		"the first byte of a handshake": {"\x16", messageWithin, nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				kept := &shelf{}
				sender, over, _ := connect(t, serverOn(t, kept, Settings{}))
				if tt.send != "" {
					send(t, sender, tt.send)
				}
				time.Sleep(tt.after - time.Millisecond)
				if isOver(over) {
					t.Error("it was let go too early")
				}
				time.Sleep(time.Millisecond)
				if !isOver(over) {
					t.Error("it was not let go")
				}
				kept.want(t, tt.want...)
			})
		})
	}
}

func TestAHandshakeThatHangsIsLetGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := serverOn(t, &shelf{}, Settings{})
		sender, ours := net.Pipe()
		defer sender.Close()
		done := make(chan struct{})
		go func() {
			defer close(done)
			secure := tls.Server(ours, &tls.Config{GetCertificate: (&keyPair{}).get})
			(&connection{server: server, way: wayTLS, conn: secure, handshake: secure.HandshakeContext}).serve(t.Context(), t.Context())
		}()
		send(t, sender, "\x16\x03\x01")
		time.Sleep(handshakeWithin - time.Millisecond)
		if isOver(done) {
			t.Error("it was let go too early")
		}
		time.Sleep(time.Millisecond)
		if !isOver(done) {
			t.Error("it was not let go")
		}
	})
}

// A byte now and then does not make a message live for ever.
func TestAMessageThatComesTooSlowlyIsLetGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kept := &shelf{}
		sender, over, _ := connect(t, serverOn(t, kept, Settings{}))
		text := strings.TrimSuffix(message(strings.Repeat("x", 500)), "\n")
		begin := time.Now()
		for i := range text {
			if _, err := io.WriteString(sender, text[i:i+1]); err != nil {
				break
			}
			time.Sleep(time.Second)
		}
		if took := time.Since(begin); !isOver(over) || took > messageWithin+2*time.Second {
			t.Errorf("it was let go after %v", took)
		}
	})
}

func TestMessagesFindTheirDrain(t *testing.T) {
	const at = "2000-01-01T00:00:00Z"
	for name, tt := range map[string]struct {
		message string
		want    string // "" when it belongs to none
	}{
		"the token as host":               {"<13>1 " + at + " saba_one app 1 - - a", "d1  a"},
		"the token as program":            {"<13>1 " + at + " web1 saba_one 1 - - a", "d1 web1 a"},
		"in structured data":              {"<13>1 " + at + ` web1 app 1 - [origin ip="192.0.2.1"][saba@0 token="saba_one"] a`, "d1 web1 a"},
		"as the tag of RFC 3164":          {"<13>Jan  1 00:00:00 web1 saba_one: a", "d1 web1 a"},
		"as the tag, with a process":      {"<13>Jan  1 00:00:00 web1 saba_one[12]: a", "d1 web1 a"},
		"as host of RFC 3164":             {"<13>Jan  1 00:00:00 saba_one app: a", "d1  a"},
		"of Heroku":                       {"<13>1 " + at + " d.8f0e2c4a-1b2c-4d3e-8f9a-0b1c2d3e4f5a app web.1 - - a", "d1  a"},
		"none":                            {"<13>1 " + at + " web1 app 1 - - a", "d0 web1 a"},
		"one that opens nothing":          {"<13>1 " + at + " saba_two app 1 - - a", ""},
		"one of Heroku that opens none":   {"<13>1 " + at + " d.00000000-1b2c-4d3e-8f9a-0b1c2d3e4f5a app web.1 - - a", ""},
		"in the text it is none":          {"<13>1 " + at + ` web1 app 1 - - [saba@0 token="saba_one"] a`, `d0 web1 [saba@0 token="saba_one"] a`},
		"structured data counts":          {"<13>1 " + at + ` saba_two app 1 - [saba@0 token="saba_one"] a`, "d1 saba_two a"},
		"what is no message":              {"hello", "d0 ! bad header"},
		"no message behind that of saba_": {message("a") + "hello", "d1  a\nd1 ! bad header"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				kept := &shelf{}
				server := serverOn(t, kept, Settings{Drain: "d0"})
				sender, over, _ := connect(t, server)
				send(t, sender, tt.message+"\n")
				sender.Close()
				if !isOver(over) {
					t.Fatal("the connection goes on")
				}
				var want []string
				if tt.want != "" {
					want = strings.Split(tt.want, "\n")
				} else if n := testutil.ToFloat64(server.refusals.WithLabelValues(wayTCP, unknownToken)); n != 1 {
					t.Errorf("%v messages of unknown tokens are counted, want 1", n)
				}
				kept.want(t, want...)
			})
		})
	}
}

func TestMessagesWithoutADrainAreCountedAndToldOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kept := &shelf{}
		server := serverOn(t, kept, Settings{})
		var log strings.Builder
		server.Log = slog.New(slog.NewTextHandler(&log, nil))
		sender, over, _ := connect(t, server)
		const secret = "saba_wrong"
		for range 100 {
			send(t, sender, "<13>1 2000-01-01T00:00:00Z "+secret+" app 1 - - a\n<13>1 2000-01-01T00:00:00Z web1 app 1 - - a\n")
			time.Sleep(3 * time.Second)
		}
		sender.Close()
		isOver(over)
		for _, reason := range []string{unknownToken, noToken} {
			if n := testutil.ToFloat64(server.refusals.WithLabelValues(wayTCP, reason)); n != 100 {
				t.Errorf("%v messages are counted as %q, want 100", n, reason)
			}
		}
		if n := strings.Count(log.String(), "belong to no drain"); n < 4 || n > 6 {
			t.Errorf("%d lines of log in five minutes:\n%s", n, log.String())
		}
		if strings.Contains(log.String(), secret) {
			t.Errorf("the log holds a token:\n%s", log.String())
		}
	})
}

func TestTooManyConnectionsCostStrangersFirst(t *testing.T) {
	r := room{}
	closed := 0
	enter := func(known bool) (*connection, bool, bool) {
		ours, theirs := net.Pipe()
		t.Cleanup(func() { ours.Close(); theirs.Close() })
		c := &connection{conn: countClose{ours, &closed}, opened: time.Unix(int64(len(r.all)), 0)}
		c.known.Store(known)
		crowded, entered := r.enter(c)
		return c, crowded, entered
	}
	for i := range maxConnections {
		if _, crowded, entered := enter(i%2 == 0); crowded || !entered {
			t.Fatalf("the %dth was not let in", i)
		}
	}
	for range maxConnections / 2 {
		if _, crowded, entered := enter(true); !crowded || !entered {
			t.Fatalf("crowded %v, entered %v; want one that is known in the place of a stranger", crowded, entered)
		}
	}
	if closed != maxConnections/2 || len(r.all) != maxConnections {
		t.Errorf("%d strangers had to go, %d connections are left", closed, len(r.all))
	}
	if _, _, entered := enter(true); entered {
		t.Errorf("there is no stranger left, and one was let in")
	}
}

type countClose struct {
	net.Conn
	n *int
}

func (c countClose) Close() error { *c.n++; return c.Conn.Close() }

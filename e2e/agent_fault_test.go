package e2e

import (
	"context"
	"net/http"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// command returns a binary of ours with arguments.
func command(ctx context.Context, binary string, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, filepath.Join(binaries, binary), args...)
}

// first lets f deal with the first n posts of values.
func first(n int, f fault) fault {
	return func(x *exchange) bool { return x.n > 0 && x.n <= n && f(x) }
}

// answers answers with a status and a body, and headers in pairs.
func answers(status int, body any, headers ...string) fault {
	return func(x *exchange) bool {
		x.read()
		for i := 0; i < len(headers); i += 2 {
			x.w.Header().Set(headers[i], headers[i+1])
		}
		return x.answer(status, body)
	}
}

// Whatever a server does to the posts of an agent, and however it does it: once it behaves, every value is there
// once, and right, of one host.
func TestTheAgentLosesNothingToAFault(t *testing.T) {
	t.Parallel()
	const page = "<html><body><h1>Bad things happen</h1></body></html>"
	bad := pointID{name: "custom.numbered.m7"} // of every minute
	begun := map[string]func(*testing.T){}
	for name, tt := range map[string]struct {
		fault fault
		says  string  // what the log says, as a regular expression
		but   pointID // what may be missing
		after func(t *testing.T, s *testServer)
	}{
		"it accepts and never answers": {
			fault: first(1, func(x *exchange) bool { x.read(); x.wait(0); return true }),
		},
		"its header is late": {
			fault: first(2, func(x *exchange) bool {
				x.wait(2 * time.Second)
				status, answer := x.act()
				return x.answer(status, answer)
			}),
		},
		"its body is late": {
			fault: first(2, func(x *exchange) bool {
				x.read()
				_, _ = x.act()
				x.w.Header().Set("Content-Length", "16")
				x.w.WriteHeader(http.StatusOK)
				x.w.Write([]byte(`{"succ`))
				x.w.(http.Flusher).Flush()
				x.wait(2 * time.Second)
				x.w.Write([]byte(`ess":true}`))
				return true
			}),
		},
		"it refuses one metric": {
			fault: func(x *exchange) bool {
				if x.n == 0 {
					return false
				}
				for _, p := range x.points() {
					if p.Name == bad.name {
						return x.answer(http.StatusBadRequest, failure("I do not like m7"))
					}
				}
				return false
			},
			says: `the server refuses a value, which was dropped.*custom\.numbered\.m7 .*I do not like m7`,
			but:  bad,
			after: func(t *testing.T, s *testServer) {
				for id := range s.stored {
					if id.name == bad.name {
						t.Errorf("%v was stored: the test shows nothing", id)
					}
				}
			},
		},
		"its proxy answers 400 with a page": {fault: first(2, answers(400, page)), says: `could not be posted.*400`},
		"its proxy answers 502 with a page": {fault: first(2, answers(502, page)), says: `could not be posted.*502`},
		"a portal answers 200 with a page":  {fault: first(2, answers(200, page)), says: `could not be posted.*not JSON`},
		"it answers 401":                    {fault: first(1, answers(401, failure("who?"))), says: `refuses the API key`},
		"it answers 403":                    {fault: first(1, answers(403, failure("no"))), says: `refuses the API key`},
		"it answers 404":                    {fault: first(1, answers(404, failure("where?"))), says: `does not know this host, or apibase`},
		"it answers 500":                    {fault: first(2, answers(500, failure("oh"))), says: `could not be posted.*500`},
		"it takes a hundred values a request": {
			fault: func(x *exchange) bool {
				return x.n > 0 && len(x.points()) > 100 && x.answer(http.StatusRequestEntityTooLarge, failure("too large"))
			},
			after: func(t *testing.T, s *testServer) {
				for _, p := range s.posts {
					if !p.faulty && p.points > 100 {
						t.Errorf("%d values were taken at once", p.points)
					}
				}
			},
		},
		"it answers 429 and when to come back": {fault: first(1, answers(429, failure("slowly"), "Retry-After", "2")), says: `asks to post later`, after: waited(2 * time.Second)},
		"it answers 503 and when to come back": {fault: first(1, answers(503, page, "Retry-After", "2")), says: `asks to post later`, after: waited(2 * time.Second)},
		"the connection breaks in the request": {
			// Two are one try: the first repetition is at once.
			fault: first(4, func(x *exchange) bool {
				x.r.Body.Read(make([]byte, 200))
				return x.cut("", true)
			}),
			says: `could not be posted`,
		},
		"the connection breaks in the answer": {
			fault: first(4, func(x *exchange) bool {
				x.act()
				return x.cut("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 16\r\n\r\n{\"succ", true)
			}),
			says: `could not be posted`, after: twice,
		},
		"the answer is lost": {
			fault: first(4, func(x *exchange) bool { x.act(); return x.cut("", false) }),
			says:  `could not be posted`, after: twice,
		},
		"it redirects": {
			fault: func(x *exchange) bool {
				if x.r.URL.Path == "/elsewhere" {
					x.s.oddity("a request where it had redirected to")
				}
				return first(2, answers(307, page, "Location", "/elsewhere"))(x)
			},
			says: `could not be posted.*redirects to .*/elsewhere`,
		},
		"it takes gzip no more": {
			fault: func(x *exchange) bool {
				x.w.Header().Set("Accept-Encoding", "gzip")
				return x.packed && x.answer(http.StatusUnsupportedMediaType, failure("no gzip"))
			},
		},
	} {
		// All run at once, since some of them wait for half a minute; each is looked at when all have begun.
		s := startTestServer(t, tt.fault)
		a := newTestAgent(t, s, "")
		a.start()
		begun[name] = func(t *testing.T) {
			s.t, a.t, a.process.t = t, t, t
			eventually(t, "every value", func() bool { return a.numbered.missing(s, "host1", tt.but) == "" })
			if tt.says != "" {
				a.match(tt.says)
			}
			a.queued(false)
			a.stop()
			s.sound()
			s.check(func() {
				if s.met == 0 {
					t.Error("the fault was not met: the test shows nothing")
				}
				if tt.after != nil {
					tt.after(t, s)
				}
			})
		}
	}
	for name, look := range begun {
		t.Run(name, look)
	}
	t.Run("nobody listens", func(t *testing.T) {
		t.Parallel()
		s := newTestServer(t)
		a := newTestAgent(t, s, "")
		a.start()
		a.match(`could not register this host.*connection refused`)
		a.queued(true)
		s.listen()
		eventually(t, "every value", func() bool { return a.numbered.missing(s, "host1", pointID{}) == "" })
		a.stop()
		s.sound()
	})
}

// waited returns a check that no post followed a faulty one before d had passed.
func waited(d time.Duration) func(t *testing.T, s *testServer) {
	return func(t *testing.T, s *testServer) {
		for i, p := range s.posts[:len(s.posts)-1] {
			if gap := s.posts[i+1].at.Sub(p.at); p.faulty && gap < d {
				t.Errorf("post %d came %v after the one that was told to wait for %v", i+2, gap, d)
			}
		}
	}
}

// twice checks that values which the server had stored came again, as they must when the answer is lost.
func twice(t *testing.T, s *testServer) {
	for _, n := range s.taken {
		if n > 1 {
			return
		}
	}
	t.Error("no value came twice: the test shows nothing")
}

// A registration whose answer is lost, or that is answered late by somebody else, makes no second host.
func TestALostAnswerToARegistrationMakesNoSecondHost(t *testing.T) {
	for name, lose := range map[string]fault{
		"the answer is lost":         func(x *exchange) bool { x.act(); return x.cut("", false) },
		"a proxy gives up before it": func(x *exchange) bool { x.act(); return x.answer(504, "<html>gateway timeout</html>") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startTestServer(t, nil)
			lost := 0
			s.misbehave(func(x *exchange) bool {
				if x.r.Method != http.MethodPost || x.r.URL.Path != "/api/v0/hosts" {
					return false
				}
				x.s.mu.Lock()
				lost++
				mine := lost == 1
				x.s.mu.Unlock()
				return mine && lose(x)
			})
			a := newTestAgent(t, s, "")
			a.start()
			eventually(t, "every value", func() bool { return a.numbered.missing(s, "host1", pointID{}) == "" || hostsMade(s) > 1 })
			a.stop()
			s.sound()
		})
	}
}

func hostsMade(s *testServer) (n int) {
	s.check(func() { n = s.created })
	return n
}

package agent

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/client"
)

// A fakeDocuments is the server's side of metadata. on, where set, says what it answers.
type fakeDocuments struct {
	mu   sync.Mutex
	on   func() error
	puts []put // those that were taken
	all  int
}

type put struct {
	at                        time.Time
	host, namespace, document string
}

func (f *fakeDocuments) PutMetadata(_ context.Context, o saba.MetadataOwner, namespace string, value json.RawMessage) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.all++
	if f.on != nil {
		if err := f.on(); err != nil {
			return err
		}
	}
	f.puts = append(f.puts, put{time.Now(), o.Host, namespace, string(value)})
	return nil
}

func (f *fakeDocuments) answer(on func() error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.on = on
}

// take returns what was put since the last call, as "host namespace document", and the number
// of requests.
func (f *fakeDocuments) take() (taken []string, requests int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range f.puts {
		taken = append(taken, p.host+" "+p.namespace+" "+p.document)
	}
	requests = f.all
	f.puts, f.all = nil, 0
	return taken, requests
}

// A metadataRig is what metadata plugins need in a test, in which nothing is a process.
type metadataRig struct {
	api   *fakeDocuments
	hosts *fakeHosts
	log   *logBuffer
	o     metadataOptions

	mu     sync.Mutex
	result Result
	err    error
	runs   int
}

func newMetadataRig(t *testing.T, plugins ...MetadataPlugin) *metadataRig {
	t.Helper()
	r := &metadataRig{api: &fakeDocuments{}, hosts: knownHosts(), log: &logBuffer{}}
	for i := range plugins {
		if plugins[i].Interval == 0 {
			plugins[i].Interval = 10 * time.Minute
		}
	}
	r.o = metadataOptions{
		Plugins: plugins, Root: t.TempDir(), Seed: "seed", API: r.api, Hosts: r.hosts,
		Log: slog.New(slog.NewTextHandler(r.log, nil)), Random: func() float64 { return 0.5 },
		Run: func(context.Context, Command, []string) (Result, error) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.runs++
			return r.result, r.err
		},
	}
	return r
}

func (r *metadataRig) prints(document string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.result = Result{Stdout: []byte(document)}
}

func (r *metadataRig) start(t *testing.T) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		runMetadata(ctx, r.o)
		close(done)
	}()
	return func() {
		cancel()
		<-done
	}
}

func TestADocument(t *testing.T) {
	_, want, err := parseDocument(Result{Stdout: []byte(`{"a":1,"b":[9007199254740993]}`)})
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		out  string
		same bool // as the one above
	}{
		"another order and blanks": {"{ \"b\" : [9007199254740993],\n\"a\":1}\n", true},
		"a digit beyond a float64": {`{"a":1,"b":[9007199254740992]}`, false},
		"a string":                 {`"x"`, false},
		"null":                     {"null\n", false},
		"a number":                 {"3", false},
	} {
		document, hash, err := parseDocument(Result{Stdout: []byte(tt.out)})
		if err != nil || string(document) != tt.out || (hash == want) != tt.same {
			t.Errorf("%s: parseDocument = %q, %v, the same %v; want every byte, and the same %v", name, document, err, hash == want, tt.same)
		}
	}
	for name, r := range map[string]Result{
		"that fails":             {Stdout: []byte("{}"), ExitCode: 1},
		"of nothing":             {Stdout: []byte(" \n")},
		"that is no JSON":        {Stdout: []byte("{a: 1}")},
		"that is half":           {Stdout: []byte(`{"a":`)},
		"with something behind":  {Stdout: []byte("{} {}")},
		"with rubbish behind":    {Stdout: []byte("{}\x00")},
		"that is too long":       {Stdout: []byte(`"` + strings.Repeat("a", saba.MaxMetadataSize) + `"`)},
		"that was cut":           {Stdout: []byte("1"), Cut: true},
		"that is far too nested": {Stdout: []byte(strings.Repeat("[", 50_000) + strings.Repeat("]", 50_000))},
	} {
		if document, _, err := parseDocument(r); err == nil {
			t.Errorf("a document %s: parseDocument = %.40q, want an error", name, document)
		}
	}
}

// Whatever a plugin prints, only JSON passes, byte for byte; its hash is that of its meaning.
func FuzzDocument(f *testing.F) {
	f.Add([]byte(`{"a": [1, 2.5e3, "x", null, true], "b": {}}`))
	f.Add([]byte("null"))
	f.Fuzz(func(t *testing.T, b []byte) {
		document, hash, err := parseDocument(Result{Stdout: b})
		if (err == nil) != (json.Valid(b) && len(b) <= saba.MaxMetadataSize) {
			t.Fatalf("parseDocument(%q) = %v, and its being JSON is %v", b, err, json.Valid(b))
		}
		if err != nil {
			return
		}
		if string(document) != string(b) {
			t.Errorf("parseDocument(%q) = %q", b, document)
		}
		if _, again, err := parseDocument(Result{Stdout: append(append([]byte("\n "), b...), ' ')}); err == nil && again != hash {
			t.Errorf("blanks around %q change its hash", b)
		}
	})
}

func TestADocumentIsSentWhenItChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newMetadataRig(t, MetadataPlugin{Name: "facts"})
		take := func(what string, want ...string) {
			t.Helper()
			got, _ := r.api.take()
			equal(t, what, got, want)
		}
		r.prints(`{"n": 9007199254740993}`)
		stop := r.start(t)
		time.Sleep(metadataAfter + time.Minute)
		take("the first", `host1 facts {"n": 9007199254740993}`)
		time.Sleep(24 * time.Hour)
		take("the same, for a day")
		r.prints("null")
		time.Sleep(11 * time.Minute)
		take("another", "host1 facts null")
		stop()
		if r.runs < 145 || r.runs > 147 {
			t.Errorf("%d runs in a day and 12 minutes, want one every 10 minutes", r.runs)
		}
		stop = r.start(t)
		time.Sleep(time.Hour)
		take("the same after a restart")
		r.hosts.set("", "host2")
		synctest.Wait()
		take("another host, at once", "host2 facts null")
		stop()
		// A plugin that was gone meanwhile does not trust what was.
		gone := newMetadataRig(t, MetadataPlugin{Name: "other"})
		gone.o.Root = r.o.Root
		gone.hosts.set("", "host2")
		gone.prints("1")
		stop = gone.start(t)
		time.Sleep(time.Hour)
		stop()
		stop = r.start(t)
		time.Sleep(time.Hour)
		stop()
		take("after an hour without the plugin", "host2 facts null")
		if n := r.log.String(); n != "" {
			t.Errorf("log = %s, want none", n)
		}
	})
}

func TestADocumentWaitsForAServer(t *testing.T) {
	for name, tt := range map[string]struct {
		err         error
		most, least int           // requests in an hour
		within      time.Duration // of the server's return; 0 is never
	}{
		"without a network":    {networkError(), 30, 12, 5 * time.Minute},
		"that is broken":       {apiError(500), 30, 12, 5 * time.Minute},
		"that asks to wait":    {&client.Error{Status: 503, JSON: true, RetryAfter: 40 * time.Minute}, 2, 2, 40 * time.Minute},
		"that refuses the key": {apiError(401), 21, 10, 5 * time.Minute},
		"that knows no host":   {apiError(404), 21, 10, 5 * time.Minute},
		"behind a proxy":       {&client.Error{Status: 400}, 30, 12, 5 * time.Minute},
		"that refuses it":      {apiError(400), 1, 1, 0},
		"that it is too large": {apiError(413), 1, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newMetadataRig(t, MetadataPlugin{Name: "facts"})
				r.api.answer(func() error { return tt.err })
				r.prints("1")
				stop := r.start(t)
				time.Sleep(time.Hour + metadataAfter + time.Minute)
				if _, n := r.api.take(); n > tt.most || n < tt.least {
					t.Errorf("%d requests in an hour, want %d to %d", n, tt.least, tt.most)
				}
				r.api.answer(nil)
				time.Sleep(tt.within)
				if got, _ := r.api.take(); (len(got) == 1) != (tt.within > 0) {
					t.Errorf("%v after the server's return it has %q", tt.within, got)
				}
				r.prints("2")
				time.Sleep(10 * time.Minute)
				if got, _ := r.api.take(); len(got) != 1 || got[0] != "host1 facts 2" {
					t.Errorf("after a change the server was given %q, want 2", got)
				}
				stop()
				if n := strings.Count(r.log.String(), "level=WARN") + strings.Count(r.log.String(), "level=ERROR"); n != 1 {
					t.Errorf("%d warnings, want 1:\n%s", n, r.log)
				}
			})
		})
	}
}

func TestOfADocumentThatCouldNotBeSentTheNewestIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newMetadataRig(t, MetadataPlugin{Name: "facts"})
		r.hosts.ids = map[string]string{}
		r.prints("1")
		stop := r.start(t)
		time.Sleep(15 * time.Minute)
		r.prints("2")
		time.Sleep(10 * time.Minute)
		if _, n := r.api.take(); n != 0 {
			t.Errorf("%d requests before the host is known", n)
		}
		r.hosts.set("", "host1")
		synctest.Wait()
		got, _ := r.api.take()
		equal(t, "sent when it is", got, []string{"host1 facts 2"})
		stop()
	})
}

func TestAPluginThatGivesNoDocumentIsSaidOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newMetadataRig(t, MetadataPlugin{Name: "facts"})
		r.err = errors.New("it does not start")
		r.o.Recorder = NewRecorder(r.o.Log, "abc1234", time.Now())
		stop := r.start(t)
		time.Sleep(time.Hour)
		if got := r.o.Recorder.Status(time.Now()).Sources; len(got) != 1 || got[0].Kind != KindMetadata || got[0].Failures < 5 || got[0].LastError != "it does not start" {
			t.Errorf("status = %+v, want the failures", got)
		}
		if _, n := r.api.take(); n != 0 || strings.Count(r.log.String(), "level=WARN") != 1 {
			t.Errorf("%d requests; log, which should have one warning:\n%s", n, r.log)
		}
		r.mu.Lock()
		r.err, r.result = nil, Result{Stdout: []byte("{}")}
		r.mu.Unlock()
		time.Sleep(10 * time.Minute)
		stop()
		if got, _ := r.api.take(); len(got) != 1 || !strings.Contains(r.log.String(), "gives documents again") {
			t.Errorf("sent %q; log:\n%s", got, r.log)
		}
	})
}

func TestWhatTheServerHasIsForgottenWithADamagedFile(t *testing.T) {
	for name, content := range map[string]string{"empty": "", "zeros": "\x00\x00\x00", "another kind": "[1]", "half": `{"host":"host1","se`} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newMetadataRig(t, MetadataPlugin{Name: "facts"})
				if err := os.WriteFile(filepath.Join(r.o.Root, sentFile), []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
				r.prints("1")
				for range 2 { // the second time the file is whole
					stop := r.start(t)
					time.Sleep(15 * time.Minute)
					stop()
				}
				if got, _ := r.api.take(); len(got) != 1 || strings.Count(r.log.String(), "level=WARN") != 1 {
					t.Errorf("sent %q, want it once; log, which should have one warning:\n%s", got, r.log)
				}
			})
		})
	}
}

// A real process, with its environment and a stderr that is not part of the document.
func TestAMetadataPluginThatIsAProcess(t *testing.T) {
	r := newMetadataRig(t)
	r.o.Environ = []string{"PATH=" + os.Getenv("PATH")}
	m := &metadata{o: r.o, slots: make(chan struct{}, 1), log: r.o.Log, runSay: announcer{log: r.o.Log},
		MetadataPlugin: MetadataPlugin{Name: "facts", Command: Command{Args: []string{"sh", "-c", `echo no >&2; printf '{"user":"%s"}\n' "$WHO"`}, Env: []string{"WHO=me"}}}}
	m.o.Run = runCommand
	m.turn(t.Context())
	if string(m.document) != "{\"user\":\"me\"}\n" {
		t.Errorf("document = %q; log:\n%s", m.document, r.log)
	}
}

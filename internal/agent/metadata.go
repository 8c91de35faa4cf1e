package agent

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/client"
)

// How metadata plugins run.
const (
	metadataAtOnce     = 2                // runs at the same time: facts are in no hurry
	metadataAfter      = 10 * time.Second // the first runs begin then, each at a moment of its own
	metadataRetryLeast = time.Second
	metadataRetryMost  = 5 * time.Minute
)

// sentFile holds which documents the server has, below the agent's folder: a JSON object of
// the host's id ("host") and the hash of the document of each namespace ("sent").
const sentFile = "metadata-sent"

// A metadataAPI is what metadata plugins ask of a server.
type metadataAPI interface {
	PutMetadata(ctx context.Context, o saba.MetadataOwner, namespace string, value json.RawMessage) error
}

// metadataOptions are what metadata plugins need. All fields without a stated default are required.
type metadataOptions struct {
	Plugins []MetadataPlugin
	Root    string // the agent's folder; "" when it has none
	Seed    string // differs from host to host, so that they do not run at the same moments
	API     metadataAPI
	Hosts   hostLookup
	Environ []string // that commands inherit
	Log     *slog.Logger
	Random  func() float64 // in [0, 1)
	// Run runs a command; nil means runCommand.
	Run func(ctx context.Context, c Command, environ []string) (Result, error)
	// Bundled runs a plugin that is part of this program, given its name and arguments; nil
	// when there are none.
	Bundled  func(ctx context.Context, words, environ []string) (Result, error)
	Recorder *Recorder // is told of each run; may be nil
}

// runMetadata runs every metadata plugin at its own interval, and sends a document when it is
// another than the one that the server has, until ctx ends and every run with it.
func runMetadata(ctx context.Context, o metadataOptions) {
	if o.Run == nil {
		o.Run = runCommand
	}
	if o.Bundled == nil {
		o.Bundled = func(context.Context, []string, []string) (Result, error) {
			return Result{ExitCode: exitNotFound}, errors.New("this program has no bundled metadata plugins")
		}
	}
	file := ""
	if o.Root != "" {
		file = filepath.Join(o.Root, sentFile)
	}
	sent := openSentDocuments(file, o.Plugins, o.Log)
	slots := make(chan struct{}, metadataAtOnce)
	var all sync.WaitGroup
	names := make([]string, len(o.Plugins))
	for i, p := range o.Plugins {
		names[i] = p.Name
	}
	o.Recorder.declare(KindMetadata, names)
	for _, p := range o.Plugins {
		log := o.Log.With("metadata", p.Name)
		m := &metadata{MetadataPlugin: p, o: o, sent: sent, slots: slots, log: log,
			runSay: announcer{log: log}, sendSay: announcer{log: log},
			retry: backoff{least: metadataRetryLeast, most: metadataRetryMost}, barred: backoff{least: refusedLeast, most: refusedMost}}
		all.Go(func() { m.run(ctx) })
	}
	all.Wait()
}

// A metadata is a metadata plugin at work.
type metadata struct {
	MetadataPlugin
	o       metadataOptions
	sent    *sentDocuments
	slots   chan struct{}
	log     *slog.Logger
	runSay  announcer
	sendSay announcer
	retry   backoff
	barred  backoff         // while a person must act
	left    <-chan struct{} // of the last run that nothing could end, closed when it did end; nil when there was none

	document []byte // the newest; nil before the first
	hash     string // of it
	refused  string // hash of a document that the server will not take
}

// run runs the plugin, and sends what it printed, until ctx ends. A document that could not be
// sent is tried again, until there is a newer one.
func (m *metadata) run(ctx context.Context) {
	next := time.Now().Add(metadataAfter + firstWait(m.o.Seed, m.Name))
	var again time.Time // when to try to send again; the zero time is never
	for {
		changes := m.o.Hosts.changes() // taken before looking, so that no change is missed
		if !time.Now().Before(next) {
			m.turn(ctx)
			next = m.o.Recorder.source(KindMetadata, m.Name).following(next, time.Now(), m.Interval)
			if again.IsZero() {
				again = time.Now()
			}
		}
		if !again.IsZero() && !time.Now().Before(again) {
			again = m.send(ctx)
		}
		if m.document == nil {
			changes = nil // there is nothing to send to a new host
		}
		wake := next
		if !again.IsZero() && again.Before(wake) {
			wake = again
		}
		select {
		case <-ctx.Done():
			return
		case <-changes:
			if again.IsZero() {
				again = time.Now()
			}
		case <-time.After(time.Until(wake)):
		}
	}
}

// turn runs the plugin once and keeps its document, if it printed one.
func (m *metadata) turn(ctx context.Context) {
	select {
	case m.slots <- struct{}{}:
		defer func() { <-m.slots }()
	case <-ctx.Done():
		return
	}
	start := time.Now()
	r, err := m.execute(ctx)
	if ctx.Err() != nil {
		return
	}
	runErr := err
	document, hash, err := parseDocument(r)
	if runErr != nil {
		err = runErr
	}
	m.o.Recorder.source(KindMetadata, m.Name).ended(start, r, runErr, err)
	if err != nil {
		m.runSay.say(slog.LevelWarn, err.Error(), "the metadata plugin gives no document", "error", err, "stderr", excerpt(r.Stderr, maxLogged))
		return
	}
	m.runSay.over("the metadata plugin gives documents again")
	m.document, m.hash = document, hash
}

// execute runs the command, or the plugin that is part of this program, unless an earlier run
// still hangs.
func (m *metadata) execute(ctx context.Context) (r Result, err error) {
	if m.left != nil {
		select {
		case <-m.left:
			m.left = nil
		default:
			return r, errors.New("an earlier run hangs, and nothing ends it")
		}
	}
	if len(m.Bundled) > 0 {
		r, err = runInside(ctx, m.o.Bundled, m.Bundled, m.Command, m.o.Environ)
	} else {
		r, err = m.o.Run(ctx, m.Command, m.o.Environ)
	}
	if t, ok := errors.AsType[*TimeoutError](err); ok {
		m.left = t.Left
	}
	return r, err
}

// runInside runs a plugin that is part of this program, with the environment and the timeout of
// c, as runCommand runs a process: a panic is an error, and one that does not return is left behind.
func runInside(ctx context.Context, run func(ctx context.Context, words, environ []string) (Result, error), words []string, c Command, environ []string) (Result, error) {
	timeout := c.Timeout
	if timeout == 0 {
		timeout = DefaultCommandTimeout
	}
	var r Result
	_, err := runBundled(ctx, timeout, func(ctx context.Context) answer {
		var err error
		r, err = run(ctx, words, append(append([]string{}, environ...), c.Env...))
		return answer{err: err}
	})
	if t, ok := errors.AsType[*TimeoutError](err); ok && t.Left != nil {
		return Result{}, err // r is still its own
	}
	return r, err
}

// parseDocument returns the JSON that a metadata plugin printed, byte for byte, and a hash that
// does not change with blanks and the order of an object's keys.
func parseDocument(r Result) (document []byte, hash string, err error) {
	switch {
	case r.ExitCode != 0:
		return nil, "", fmt.Errorf("it ended with exit status %d", r.ExitCode)
	case r.Cut || len(r.Stdout) > saba.MaxMetadataSize:
		return nil, "", fmt.Errorf("it printed more than %d bytes, which servers refuse", saba.MaxMetadataSize)
	case len(bytes.TrimSpace(r.Stdout)) == 0:
		return nil, "", errors.New("it printed nothing: a document is JSON, null if there is nothing to say")
	}
	d := json.NewDecoder(bytes.NewReader(r.Stdout))
	d.UseNumber() // which keeps every digit
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, "", fmt.Errorf("what it printed is not JSON: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, "", errors.New("what it printed is not JSON alone: something follows")
	}
	plain, err := json.Marshal(v)
	if err != nil {
		return nil, "", err
	}
	sum := sha256.Sum256(plain)
	return r.Stdout, hex.EncodeToString(sum[:]), nil
}

// send sends the newest document unless the server has it, and returns when to try again: the
// zero time is when there is a newer one, or a host.
func (m *metadata) send(ctx context.Context) (again time.Time) {
	id, known := m.o.Hosts.hostID("")
	if m.document == nil || !known || m.hash == m.refused || m.sent.has(id, m.Name, m.hash) || ctx.Err() != nil {
		return again
	}
	err := m.o.API.PutMetadata(ctx, saba.MetadataOwner{Host: id}, m.Name, m.document)
	now := time.Now()
	refused, _ := refusedFor(err)
	switch {
	case ctx.Err() != nil && err != nil:
		return again
	case err == nil:
		m.retry.reset()
		m.barred.reset()
		m.sendSay.over("the server takes the metadata again")
		if err := m.sent.set(id, m.Name, m.hash); err != nil {
			m.log.Warn("it could not be kept that the server has the metadata: the next start sends it again", "error", err)
		}
		return again
	case refused:
		m.refused = m.hash
		m.sendSay.say(slog.LevelError, err.Error(), "the server refuses the metadata: it is sent again when it changes", "error", err)
		return again
	case errors.Is(err, saba.ErrUnauthorized) || errors.Is(err, saba.ErrForbidden) || errors.Is(err, saba.ErrNotFound):
		m.sendSay.say(slog.LevelError, "person", "the server refuses the metadata, but not for what it is: it will be tried again now and then", "error", err)
		return now.Add(m.barred.next(m.o.Random))
	}
	m.sendSay.say(slog.LevelWarn, "fails", "the metadata could not be sent: it is kept and sent later", "error", err)
	return now.Add(max(m.retry.next(m.o.Random), min(client.RetryAfter(err), mostRetryAfter)))
}

// sentDocuments knows which documents the server has acknowledged, across restarts. It is safe
// for use by several goroutines.
type sentDocuments struct {
	file  string
	names map[string]bool // of the plugins that there are

	mu   sync.Mutex
	host string
	sent map[string]string // hash by namespace
}

// openSentDocuments reads the file. One that cannot be read costs a repetition, not more. Without a name there is none.
func openSentDocuments(file string, plugins []MetadataPlugin, log *slog.Logger) *sentDocuments {
	d := &sentDocuments{file: file, names: map[string]bool{}, sent: map[string]string{}}
	for _, p := range plugins {
		d.names[p.Name] = true
	}
	if file == "" {
		return d
	}
	b, err := readEnd(file, maxVerdictFile)
	var kept struct {
		Host string            `json:"host"`
		Sent map[string]string `json:"sent"`
	}
	if err == nil {
		err = json.Unmarshal(b, &kept)
	}
	switch {
	case err == nil && kept.Sent != nil:
		d.host, d.sent = kept.Host, kept.Sent
	case err != nil && !errors.Is(err, os.ErrNotExist):
		log.Warn("what metadata the server has is not known: all of it is sent again", "error", err)
	}
	return d
}

func (d *sentDocuments) has(host, namespace, hash string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.host == host && d.sent[namespace] == hash
}

// set notes that a host has a document, in memory even when it returns an error.
func (d *sentDocuments) set(host, namespace, hash string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.host != host {
		d.host, d.sent = host, map[string]string{}
	}
	d.sent[namespace] = hash
	// A plugin that comes back may find another document on the server.
	maps.DeleteFunc(d.sent, func(name, _ string) bool { return !d.names[name] })
	if d.file == "" {
		return nil
	}
	b, err := json.Marshal(map[string]any{"host": d.host, "sent": d.sent})
	if err != nil {
		return err
	}
	return replaceFile(d.file, b, 0o644) // hashes are no secret
}

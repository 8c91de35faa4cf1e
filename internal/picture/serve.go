package picture

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/saba-monitor/saba"
)

const (
	// keepFor is how long a picture is kept that was drawn: a chat fetches one for each of its members that opens it.
	keepFor = 5 * time.Minute
	// keepMost bounds how many are kept; each is below 200 KiB.
	keepMost = 64
	// patience is how long a request waits for its turn and its picture.
	patience = 20 * time.Second
)

// A cache keeps pictures by their addresses for a while. The zero value is empty.
type cache struct {
	mu     sync.Mutex
	byPath map[string]kept
}

type kept struct {
	png   []byte
	tag   string // for If-None-Match
	drawn time.Time
}

func (c *cache) get(path string, now time.Time) (kept, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k, ok := c.byPath[path]
	return k, ok && now.Sub(k.drawn) < keepFor
}

func (c *cache) put(path string, k kept) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byPath == nil {
		c.byPath = map[string]kept{}
	}
	for p, old := range c.byPath {
		if k.drawn.Sub(old.drawn) >= keepFor {
			delete(c.byPath, p)
		}
	}
	for len(c.byPath) >= keepMost { // the oldest goes
		oldest := ""
		for p, old := range c.byPath {
			if oldest == "" || old.drawn.Before(c.byPath[oldest].drawn) {
				oldest = p
			}
		}
		delete(c.byPath, oldest)
	}
	c.byPath[path] = k
}

// ServeHTTP answers the paths that URL returns, to everybody who has one: no session, no key, from every network, since the servers of
// a chat fetch them. Every other path below Prefix, and one that has expired, is not found, and costs one decryption.
func (m *Maker) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Robots-Tag", "noindex")
	h.Set("Cross-Origin-Resource-Policy", "cross-origin") // chats and mail in a browser show it
	h.Set("Cache-Control", "no-store")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.Set("Allow", "GET, HEAD")
		http.Error(w, "This address takes GET, HEAD only.", http.StatusMethodNotAllowed)
		return
	}
	s, ok := m.links.open(r.URL.Path, m.Now())
	if !ok {
		notFound(w)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	k, err := m.picture(ctx, r.URL.Path, s)
	switch {
	case ctx.Err() != nil: // whoever asked has gone, or too many have asked
		h.Set("Retry-After", "60")
		http.Error(w, "The picture was not drawn in time.", http.StatusServiceUnavailable)
		return
	case errors.Is(err, saba.ErrNotFound):
		notFound(w)
		return
	case err != nil:
		m.Log.Error("a picture for a message could not be drawn", "error", err)
		http.Error(w, "The picture could not be drawn.", http.StatusInternalServerError)
		return
	}
	h.Set("Content-Type", "image/png")
	h.Set("Cache-Control", fmt.Sprintf("private, max-age=%d", int(keepFor/time.Second))) // not for caches that others read
	h.Set("ETag", k.tag)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(k.png))
}

func notFound(w http.ResponseWriter) {
	http.Error(w, "There is no picture at this address, or there is none any more.", http.StatusNotFound)
}

// picture returns the picture of an address, drawn now or a few minutes ago.
func (m *Maker) picture(ctx context.Context, path string, s subject) (kept, error) {
	if k, ok := m.kept.get(path, m.Now()); ok {
		return k, nil
	}
	if err := m.turn(ctx); err != nil {
		return kept{}, err
	}
	defer m.done()
	if k, ok := m.kept.get(path, m.Now()); ok { // drawn meanwhile, for another request
		return k, nil
	}
	png, err := m.draw(ctx, s)
	if err != nil {
		return kept{}, err
	}
	sum := sha256.Sum256(png)
	k := kept{png, `"` + hex.EncodeToString(sum[:12]) + `"`, m.Now()}
	m.kept.put(path, k)
	return k, nil
}

package agent

import (
	"log/slog"
	"net/http"
	"sync"
	"time"
)

// rereadKeyEvery is how often the file with the API key is looked at, at most, while the server refuses the key.
const rereadKeyEvery = 10 * time.Second

// FreshKey returns base with the API key of the file that c names, when it names one: if the server answers 401 and
// the file holds another key by then, the request is made again with that one, which all later requests have. So a
// key can be replaced without a word to the agent.
func FreshKey(c Config, log *slog.Logger, base http.RoundTripper) http.RoundTripper {
	if c.APIKeyFile == "" {
		return base
	}
	return &freshKey{base: base, file: c.APIKeyFile, say: announcer{log: log}, key: c.APIKey}
}

type freshKey struct {
	base http.RoundTripper
	file string

	mu   sync.Mutex
	key  string
	read time.Time // when the file was last
	say  announcer
}

// RoundTrip is that of the base, a second time perhaps.
func (f *freshKey) RoundTrip(req *http.Request) (*http.Response, error) {
	f.mu.Lock()
	key := f.key
	f.mu.Unlock()
	res, err := f.base.RoundTrip(withKey(req, key))
	if err != nil || res.StatusCode != http.StatusUnauthorized {
		return res, err
	}
	fresh := f.other(key)
	if fresh == key || req.Body != nil && req.GetBody == nil {
		return res, nil
	}
	again := withKey(req, fresh)
	if req.GetBody != nil {
		if again.Body, err = req.GetBody(); err != nil {
			return res, nil // which says what there is to say
		}
	}
	_ = res.Body.Close() // of a refusal that nobody reads
	return f.base.RoundTrip(again)
}

// withKey returns a copy of req with that key: a RoundTripper may not change the one it was given.
func withKey(req *http.Request, key string) *http.Request {
	again := req.Clone(req.Context())
	again.Header.Set("X-Api-Key", key)
	return again
}

// other returns the key to use in place of one that was refused: the newer one, or the same when there is none.
func (f *freshKey) other(refused string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.key != refused || !f.read.IsZero() && time.Since(f.read) < rereadKeyEvery {
		return f.key
	}
	f.read = time.Now()
	key, _, err := readKeyFile(f.file)
	switch {
	case err != nil:
		f.say.say(slog.LevelWarn, err.Error(), "the server refuses the API key, and its file has no other: apikey_file "+err.Error())
	case key != f.key:
		f.key = key
		f.say.last = ""
		f.say.log.Info("the server refuses the API key, and its file has another one, which is used from now on", "file", f.file)
	}
	return f.key
}

// CloseIdleConnections is that of the base.
func (f *freshKey) CloseIdleConnections() {
	if c, ok := f.base.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

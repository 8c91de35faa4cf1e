package web

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// failures counts failed logins by account and by address and says when there were too many.
// It is bounded: when it is full, the entry that was used longest ago is forgotten.
type failures struct {
	mu      sync.Mutex
	buckets map[string]*bucket
}

type bucket struct {
	limiter *rate.Limiter
	used    time.Time
}

// Ten failures in a row, then one more every twenty seconds: a person who mistypes is not
// locked out, a program gets about four thousand tries a day.
const (
	failureBurst = 10
	failureEvery = 20 * time.Second
	maxBuckets   = 10_000
)

func newFailures() *failures { return &failures{buckets: map[string]*bucket{}} }

// tooMany says whether any of the keys has failed too often to try again at now.
func (f *failures) tooMany(now time.Time, keys ...string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, k := range keys {
		if b := f.buckets[k]; b != nil && b.limiter.TokensAt(now) < 1 {
			return true
		}
	}
	return false
}

// failed counts one failure for each of the keys.
func (f *failures) failed(now time.Time, keys ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, k := range keys {
		b := f.buckets[k]
		if b == nil {
			if len(f.buckets) >= maxBuckets {
				f.forgetOldest()
			}
			b = &bucket{limiter: rate.NewLimiter(rate.Every(failureEvery), failureBurst)}
			f.buckets[k] = b
		}
		b.used = now
		b.limiter.AllowN(now, 1)
	}
}

// forgetOldest walks the whole map: it is only full under attack, and then each new entry
// costs an attacker a password hash, which is far dearer.
func (f *failures) forgetOldest() {
	var oldest string
	var at time.Time
	for k, b := range f.buckets {
		if oldest == "" || b.used.Before(at) {
			oldest, at = k, b.used
		}
	}
	delete(f.buckets, oldest)
}

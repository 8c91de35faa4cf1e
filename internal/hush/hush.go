// Package hush keeps a fault that every request meets, such as a full disk, from filling the log, and with it the disk. It
// imports nothing of saba.
package hush

import (
	"sync"
	"time"
)

// quiet is the shortest time between two lines.
const quiet = time.Minute

// A Hush lets one line a minute through and counts the others. The zero value is ready. It is safe for concurrent use.
type Hush struct {
	mu     sync.Mutex
	at     time.Time // of the last line
	silent int       // calls since, without a line
}

// Count says whether a line may be written at now, and how many calls it stands for: this one, and those without a line before it.
func (h *Hush) Count(now time.Time) (n int, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.silent++
	if now.Before(h.at.Add(quiet)) && !now.Before(h.at) { // a clock set back must not silence us
		return 0, false
	}
	n = h.silent
	h.at, h.silent = now, 0
	return n, true
}

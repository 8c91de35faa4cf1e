package sqldb

import "sync"

// A cache remembers rows that nearly every request asks for, until anything at all is changed in the database: a
// key that was revoked is unknown when the call that revoked it returns. It holds nothing that is not there, so it
// is no larger than a table. The zero value is ready.
type cache[K comparable, V any] struct {
	mu    sync.RWMutex
	after int64 // the number of changes when the rows were read
	rows  map[K]V
}

// get returns a row that was read after so many changes.
func (c *cache[K, V]) get(after int64, key K) (row V, ok bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.after == after {
		row, ok = c.rows[key]
	}
	return row, ok
}

// put remembers a row. after is the number of changes before it was read: one that ended meanwhile makes it old.
func (c *cache[K, V]) put(after int64, key K, row V) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.after > after {
		return
	}
	if c.after < after || c.rows == nil {
		c.after = after
		if c.rows == nil {
			c.rows = map[K]V{}
		}
		clear(c.rows)
	}
	c.rows[key] = row
}

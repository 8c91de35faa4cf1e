package mount

import (
	"context"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/saba-monitor/saba/internal/inturn"
)

// A Usage says how full a file system is.
type Usage struct {
	BlockSize uint64 // bytes
	Blocks    uint64 // in all
	Free      uint64 // blocks, those kept for root included
	Available uint64 // blocks that an ordinary user can still write
	Files     uint64 // inodes in all; 0 where they are made as needed
	FreeFiles uint64 // inodes
}

// Used returns how many blocks are used.
func (u Usage) Used() uint64 { return u.Blocks - min(u.Free, u.Blocks) }

// Writable returns how many blocks an ordinary user can still write. Where more than that
// is used of what is kept for root, some file systems tell a number below zero: it is none.
func (u Usage) Writable() uint64 {
	if u.Available > math.MaxInt64 {
		return 0
	}
	return u.Available
}

// Limit is how long a file system may take to say how full it is.
const Limit = 3 * time.Second

// A Prober asks file systems how full they are and never waits long: a call to a dead disk
// can hang in the kernel for ever, where no signal reaches it. The zero value asks the host.
type Prober struct {
	Stat func(mountPoint string) (Usage, error) // nil means statfs(2)

	mu    sync.Mutex
	stuck map[string]int // calls that missed their limit and have not returned, by mount point
}

// A probe is one call to one file system. Its fields are guarded by Prober.mu.
type probe struct {
	usage Usage
	err   error
	begun bool
	done  bool
	late  bool // the limit has passed
}

// All returns the usage of each mount, nil where there is none, and why there is none. A mount
// that did not answer in time has an error once; after that it has neither usage nor error,
// and is not asked again, until its call has returned.
func (p *Prober) All(ctx context.Context, mounts []Mount) ([]*Usage, []error) {
	limit := Limit
	if deadline, ok := ctx.Deadline(); ok {
		limit = min(limit, time.Until(deadline)/2) // what did answer must still be told in time
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	probes := make([]*probe, len(mounts))
	for i, m := range mounts {
		if !p.isStuck(m.Point) {
			probes[i] = &probe{}
		}
	}
	// A call that misses the limit outlives this function, at most one a mount and caller.
	inturn.Do(ctx, len(mounts), func(i int) {
		c, point := probes[i], mounts[i].Point
		if c == nil || !p.begin(c) {
			return
		}
		u, err := p.call(point)
		p.finish(point, c, u, err)
	})
	usages := make([]*Usage, len(mounts))
	errs := make([]error, len(mounts))
	for i, c := range probes {
		if c == nil {
			continue
		}
		switch c := p.giveUp(mounts[i].Point, c); {
		case c.late && c.begun:
			errs[i] = fmt.Errorf("the file system on %s did not answer within %v: left out until it does", mounts[i].Point, limit.Round(time.Millisecond))
		case c.late:
			errs[i] = fmt.Errorf("the file system on %s was not asked: others took the whole of %v", mounts[i].Point, limit.Round(time.Millisecond))
		case c.err != nil:
			errs[i] = c.err
		default:
			usages[i] = &c.usage
		}
	}
	return usages, errs
}

func (p *Prober) isStuck(point string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stuck[point] > 0
}

// begin says whether c may still be asked.
func (p *Prober) begin(c *probe) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	c.begun = !c.late
	return c.begun
}

// finish notes that a call has returned. The caller of All reads c only if it was in time.
func (p *Prober) finish(point string, c *probe, u Usage, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !c.late {
		c.usage, c.err, c.done = u, err, true
		return
	}
	if p.stuck[point]--; p.stuck[point] == 0 {
		delete(p.stuck, point)
	}
}

// giveUp stops waiting for a call, and returns how it stands: it is late if it has not returned.
func (p *Prober) giveUp(point string, c *probe) probe {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c.done {
		return *c
	}
	c.late = true
	if c.begun {
		if p.stuck == nil {
			p.stuck = map[string]int{}
		}
		p.stuck[point]++
	}
	return *c
}

func (p *Prober) call(point string) (Usage, error) {
	if p.Stat != nil {
		return p.Stat(point)
	}
	return hostStat(point)
}

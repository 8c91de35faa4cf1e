package tsdb

import (
	"context"
	"fmt"
	"math"
	"math/bits"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/tsdb/index"

	"github.com/saba-monitor/saba"
)

// keepNewest is how long Latest knows the sample of a series that gets no more. A host is
// remembered for as long as its samples are kept.
const keepNewest = 48 * time.Hour

// never is the time of an entry without a sample.
const never = math.MinInt64

// An owner is what series belong to: one host, or one service, of an organization.
type owner struct{ org, host, service string }

func ownerOf(s *saba.Series) owner { return owner{s.Org, s.Host, s.Service} }

// newest holds the newest sample of every series, and the engine's reference to it. Only the
// appender changes it; all others read it with mu held. The zero value holds none.
type newest struct {
	mu     sync.RWMutex
	owners map[owner]*owned
	names  names // metric names: 1,000 hosts share one string for each
}

// owned are the series of one owner. There are many, and most of them get a sample each minute, in one order, so
// they lie side by side in the order in which they came, without a pointer for the garbage collector to follow.
type owned struct {
	seen   int64   // Unix milliseconds of the newest sample of all, or never
	heard  int64   // Unix seconds when a sample came last; 0 when none has since the start
	plain  int     // how many of series have no labels of their own
	series []entry // those that were forgotten are taken out: an index is good until the next prune
	places []int32 // a hash table: 1 + index in series, by the number of the name; 0 is free
}

// An entry is what is known of a series.
type entry struct {
	at     int64 // Unix milliseconds of the newest sample as the engine has it, or never
	value  float64
	ref    storage.SeriesRef // 0 when it must be asked for
	commit uint32            // the commit that last wrote to the series
	name   uint32            // its number in names
}

// find returns the index of the series with a name, or -1.
func (o *owned) find(name uint32) int32 {
	if len(o.places) == 0 {
		return -1
	}
	for slot := firstSlot(name, len(o.places)); ; slot = (slot + 1) & (len(o.places) - 1) {
		i := o.places[slot] - 1
		if i < 0 || o.series[i].name == name {
			return i
		}
	}
}

// add adds a series without a sample and returns its index. There must be none with its name.
func (o *owned) add(name uint32) int32 {
	o.series = append(o.series, entry{at: never, name: name})
	if 4*len(o.series) > 3*len(o.places) {
		o.number()
	} else {
		o.place(int32(len(o.series) - 1))
	}
	return int32(len(o.series) - 1)
}

// number makes places anew.
func (o *owned) number() {
	size := 0
	if n := len(o.series); n > 0 {
		size = 1 << bits.Len(uint(4*n/3))
	}
	o.places = make([]int32, size)
	for i := range o.series {
		o.place(int32(i))
	}
}

func (o *owned) place(i int32) {
	slot := firstSlot(o.series[i].name, len(o.places))
	for o.places[slot] != 0 {
		slot = (slot + 1) & (len(o.places) - 1)
	}
	o.places[slot] = i + 1
}

// firstSlot returns where in a hash table of size slots, a power of two, to look for a number first. Numbers that
// follow each other are spread (Knuth, TAOCP 3, 6.4: by the golden ratio).
func firstSlot(n uint32, size int) int {
	const golden = 0x9e3779b1
	return int(n*golden>>16) & (size - 1)
}

// fit gives the room back that series has to spare, where it is much.
func (o *owned) fit() {
	if cap(o.series) > len(o.series)+len(o.series)/4 {
		o.series = append(make([]entry, 0, len(o.series)), o.series...)
	}
}

// names numbers strings, and keeps one copy of each.
type names struct {
	all     []string
	numbers map[string]uint32
}

// number returns the number of s, which is a new one if s is new. s is not retained.
func (n *names) number(s string) uint32 {
	i, ok := n.numbers[s]
	if !ok {
		if n.numbers == nil {
			n.numbers = map[string]uint32{}
		}
		i = uint32(len(n.all))
		s = strings.Clone(s)
		n.all, n.numbers[s] = append(n.all, s), i
	}
	return i
}

// shared returns the one copy of s.
func (n *names) shared(s string) string { return n.all[n.number(s)] }

// find returns the entry of s; nil if there is none. n.mu must be held, and the entry is good for as long.
func (n *newest) find(s *saba.Series) *entry {
	o := n.owners[ownerOf(s)]
	if o == nil {
		return nil
	}
	name, ok := n.names.numbers[s.Name]
	if !ok {
		return nil
	}
	if i := o.find(name); i >= 0 {
		return &o.series[i]
	}
	return nil
}

// minuteOf floors Unix milliseconds to the minute, in Unix seconds. never stays before every minute.
func minuteOf(ms int64) int64 {
	s := ms / 1000
	if ms%1000 < 0 {
		s--
	}
	return saba.Minute(s)
}

// Latest returns the newest sample of s, from memory. It knows the series that had a sample in
// the last 48 hours. After a restart it knows those of the last hours before the stop, and
// those that a silent host had at its end.
func (db *DB) Latest(s saba.Series) (saba.Sample, bool) {
	n := &db.newest
	n.mu.RLock()
	defer n.mu.RUnlock()
	if e := n.find(&s); e != nil && e.at != never {
		return saba.Sample{Time: minuteOf(e.at), Value: e.value}, true
	}
	return saba.Sample{}, false
}

// LastSeen returns the time of the newest sample over all metrics of a host, in Unix seconds,
// from memory. It knows every host that has samples, restarts or not.
func (db *DB) LastSeen(org, host string) (int64, bool) {
	n := &db.newest
	n.mu.RLock()
	defer n.mu.RUnlock()
	if o := n.owners[owner{org: org, host: host}]; o != nil && o.seen != never {
		return minuteOf(o.seen), true
	}
	return 0, false
}

// Heard returns when a sample of a host came last, in Unix seconds, whatever minute it was of: clocks of hosts go wrong. ok is false when
// none has come since db was opened.
func (db *DB) Heard(org, host string) (at int64, ok bool) {
	n := &db.newest
	n.mu.RLock()
	defer n.mu.RUnlock()
	if o := n.owners[owner{org: org, host: host}]; o != nil && o.heard != 0 {
		return o.heard, true
	}
	return 0, false
}

// entry returns the owner of s and the index of its entry there; a new one without a sample where there is none. n.mu
// must be held for writing. The strings of s are not retained: they may be parts of a whole request.
func (n *newest) entry(s *saba.Series) (*owned, int32) {
	o := n.owner(s)
	name := n.names.number(s.Name)
	i := o.find(name)
	if i < 0 {
		i = o.add(name)
		if !isLabelled(s.Name) {
			o.plain++
		}
	}
	return o, i
}

// owner returns the owner of s, as entry does.
func (n *newest) owner(s *saba.Series) *owned {
	o := n.owners[ownerOf(s)]
	if o == nil {
		if n.owners == nil {
			n.owners = map[owner]*owned{}
		}
		o = &owned{seen: never}
		n.owners[owner{n.names.shared(s.Org), strings.Clone(s.Host), strings.Clone(s.Service)}] = o
	}
	return o
}

// saw records that the owner of s has a sample at ms.
func (n *newest) saw(s *saba.Series, ms int64) {
	o := n.owner(s)
	o.seen = max(o.seen, ms)
}

// learn records that s has a sample at ms.
func (n *newest) learn(s *saba.Series, ms int64, v float64) {
	o, i := n.entry(s)
	if e := &o.series[i]; ms > e.at {
		e.at, e.value = ms, v
	}
	o.seen = max(o.seen, ms)
}

// prune forgets the series without a sample since keepNewest, and the hosts whose samples are
// all deleted: containers come and go, and each has names of its own. Those that stay get new numbers.
func (n *newest) prune(now time.Time, retention time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	oldest, first := now.Add(-keepNewest).UnixMilli(), now.Add(-retention).UnixMilli()
	var kept names
	for k, o := range n.owners {
		o.series = slices.DeleteFunc(o.series, func(e entry) bool {
			old := e.at < oldest
			if old && !isLabelled(n.names.all[e.name]) {
				o.plain--
			}
			return old
		})
		if len(o.series) == 0 && (o.seen < first || k.host == "") {
			delete(n.owners, k)
			continue
		}
		for i := range o.series {
			o.series[i].name = kept.number(n.names.all[o.series[i].name])
		}
		o.fit()
		o.number()
		kept.number(k.org)
	}
	n.names = kept
}

// rebuild learns everything from the engine: the newest samples from its head, which holds the
// last half an hour to hour and a half before the stop, and, for the hosts that are silent there, when they
// were last seen, from the blocks.
func (n *newest) rebuild(ctx context.Context, db *tsdb.DB) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.owners, n.names = nil, names{}
	defer n.fit()
	head := db.Head()
	if err := n.inOrder(ctx, head); err != nil {
		return err
	}
	// Late points are kept apart. They are the newest of a series that is catching up. Of series that have nothing else in the head the newest sample may
	// be in any block: it is looked for when their next point comes.
	if from, to := head.MinOOOTime(), head.MaxOOOTime(); from <= to {
		if err := n.fill(ctx, db, true, from, to, everything); err != nil {
			return err
		}
	}
	blocks := db.Blocks()
	// And some may be in blocks already, while other series of their host are in the head: theirs was catching up at a stop.
	for _, b := range blocks {
		if m := b.Meta(); m.Compaction.FromOutOfOrder() && m.MaxTime > head.MinTime() {
			if err := n.fill(ctx, queried{b}, true, m.MinTime, m.MaxTime-1, everything); err != nil {
				return fmt.Errorf("block %s: %w", m.ULID, err)
			}
		}
	}
	slices.SortFunc(blocks, func(a, b *tsdb.Block) int { return int(min(1, max(-1, b.MaxTime()-a.MaxTime()))) })
	silent := map[owner]int64{}
	for _, b := range blocks {
		if err := n.hostsOf(ctx, b, silent); err != nil {
			return fmt.Errorf("block %s: %w", b.Meta().ULID, err)
		}
	}
	var newestOfAll int64 = never
	for _, o := range n.owners {
		newestOfAll = max(newestOfAll, o.seen)
	}
	for _, seen := range silent {
		newestOfAll = max(newestOfAll, seen)
	}
	for k, seen := range silent {
		if seen < newestOfAll-keepNewest.Milliseconds() {
			if n.owners == nil {
				n.owners = map[owner]*owned{}
			}
			n.owners[k] = &owned{seen: seen}
			continue
		}
		if err := n.fill(ctx, db, false, seen-(2*time.Hour).Milliseconds(), seen, ownedBy(k)...); err != nil {
			return err
		}
	}
	return nil
}

// fit gives the room back that was taken ahead.
func (n *newest) fit() {
	for _, o := range n.owners {
		o.fit()
	}
}

// everything matches every series: each has an organization.
var everything = labels.MustNewMatcher(labels.MatchNotEqual, orgLabel, "")

// inOrder learns the newest samples that came in order. It decodes one chunk a series, which the
// engine's queries would do several times slower: a start waits for this.
func (n *newest) inOrder(ctx context.Context, head *tsdb.Head) error {
	ix, err := head.Index()
	if err != nil {
		return err
	}
	defer ix.Close()
	cr, err := head.Chunks()
	if err != nil {
		return err
	}
	defer cr.Close()
	name, value := index.AllPostingsKey()
	ps, err := ix.Postings(ctx, name, value)
	if err != nil {
		return err
	}
	var (
		builder labels.ScratchBuilder
		chks    []chunks.Meta
		it      chunkenc.Iterator
	)
	for ps.Next() {
		if err := ix.Series(ps.At(), &builder, &chks); err != nil {
			return err
		}
		if len(chks) == 0 {
			continue // it has late points only
		}
		c, _, err := cr.ChunkOrIterable(chks[len(chks)-1])
		if err != nil {
			return err
		}
		it = c.Iterator(it)
		at, v := int64(never), 0.0
		for it.Next() == chunkenc.ValFloat {
			at, v = it.At()
		}
		if err := it.Err(); err != nil {
			return err
		}
		if at != never {
			s := seriesOf(builder.Labels())
			n.learn(&s, at, v)
		}
	}
	return ps.Err()
}

// fill learns the last sample in [mint, maxt] of the series that match, if it is newer than what is known. With known, series of which nothing is known
// stay so, and only count as seen.
func (n *newest) fill(ctx context.Context, db storage.Queryable, known bool, mint, maxt int64, ms ...*labels.Matcher) error {
	q, err := db.Querier(mint, maxt)
	if err != nil {
		return err
	}
	defer q.Close()
	set := q.Select(ctx, false, nil, ms...)
	var it chunkenc.Iterator
	for set.Next() {
		series := set.At()
		s := seriesOf(series.Labels())
		e := n.find(&s)
		if e != nil && e.at >= maxt {
			continue
		}
		it = series.Iterator(it)
		at, v := int64(never), 0.0
		for it.Next() == chunkenc.ValFloat {
			at, v = it.At()
		}
		if err := it.Err(); err != nil {
			return err
		}
		switch {
		case at == never:
		case known && (e == nil || e.at == never):
			n.saw(&s, at)
		default:
			n.learn(&s, at, v)
		}
	}
	return set.Err()
}

// A queried is a block that is read alone.
type queried struct{ *tsdb.Block }

// Querier implements storage.Queryable.
func (b queried) Querier(mint, maxt int64) (storage.Querier, error) {
	return tsdb.NewBlockQuerier(b.Block, mint, maxt)
}

// hostsOf adds to silent the hosts of a block that were last seen there, for all that is known.
func (n *newest) hostsOf(ctx context.Context, b *tsdb.Block, silent map[owner]int64) error {
	ix, err := b.Index()
	if err != nil {
		return err
	}
	defer ix.Close()
	orgs, err := ix.LabelValues(ctx, orgLabel, nil)
	if err != nil {
		return err
	}
	for _, org := range orgs {
		// Per organization, as two may have a host of one id.
		hosts, err := ix.LabelValues(ctx, hostLabel, nil, equal(orgLabel, org), labels.MustNewMatcher(labels.MatchNotEqual, hostLabel, ""))
		if err != nil {
			return err
		}
		for _, host := range hosts {
			k := owner{org: org, host: host}
			// A block ends before its MaxTime, and late points make blocks overlap: an
			// older one may still hold the newer sample.
			if o := n.owners[k]; o != nil && o.seen >= b.MaxTime()-1 || silent[k] >= b.MaxTime()-1 {
				continue
			}
			at, err := lastOf(ctx, ix, k)
			if err != nil {
				return err
			}
			if o := n.owners[k]; o != nil {
				o.seen = max(o.seen, at)
			} else if old, ok := silent[k]; at != never && (!ok || at > old) {
				delete(silent, k)
				silent[owner{org: strings.Clone(org), host: strings.Clone(host)}] = at
			}
		}
	}
	return nil
}

// lastOf returns the time of the newest sample of an owner in a block, without reading samples.
func lastOf(ctx context.Context, ix tsdb.IndexReader, k owner) (int64, error) {
	ps, err := tsdb.PostingsForMatchers(ctx, ix, ownedBy(k)...)
	if err != nil {
		return 0, err
	}
	var builder labels.ScratchBuilder
	var chks []chunks.Meta
	at := int64(never)
	for ps.Next() {
		if err := ix.Series(ps.At(), &builder, &chks); err != nil {
			return 0, err
		}
		for _, c := range chks {
			at = max(at, c.MaxTime)
		}
	}
	return at, ps.Err()
}

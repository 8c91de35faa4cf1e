package agent

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/saba-monitor/saba"
)

// The bounds of the verdicts that wait for the server, and of the file that keeps them.
const (
	maxVerdicts      = 2000
	maxVerdictBytes  = 4 << 20   // of messages
	maxUnwritten     = 1 << 20   // bytes; more than that, and the file is written anew
	rewriteVerdicts  = 256 << 10 // bytes; a smaller file is not worth writing anew
	maxVerdictFile   = 8 << 20   // bytes that are read, from the end; far above what is ever written
	verdictDiskRetry = time.Minute
	// gatherVerdicts is how long a verdict that changes nothing waits for others of the kind.
	gatherVerdicts = 5 * time.Second
)

// verdictFile holds the verdicts below the folder of the checks. Its name has the version of
// its form, so that agents of two versions leave each other's file alone.
//
// It is text, a record a line: the CRC-32C (Castagnoli) of the rest of the line in eight hex
// digits, a blank, and a JSON object without a newline in it. A line whose sum is wrong was
// torn or damaged, and costs only itself. Of three kinds, in the order in which things happened:
//
//	{"seq":7,"check":"ssh","status":"CRITICAL","message":"refused","at":1767225605}
//	{"seq":0,"check":"ssh","status":"OK","at":1767225665}
//	{"done":[7]}
//
// The first is the newest verdict of a check, and waits for the server under its number. The
// second is the newest verdict too, and waits for nothing. The third says which verdicts wait
// no longer. "host" is the custom identifier of a host other than the agent's own, "notify"
// and "attempts" are what the server is told besides. The file is appended to; when little of
// it still counts it is replaced by a new one as a whole.
const verdictFile = "verdicts-1"

// verdictMode keeps the file to the agent's user: what checks print may be secret.
const verdictMode = 0o600

// A verdict is what one run of a check came to.
type verdict struct {
	Check      string           `json:"check"`
	Identifier string           `json:"host,omitempty"` // custom identifier of the host; "" is the agent's own
	Status     saba.CheckStatus `json:"status"`
	Message    string           `json:"message,omitempty"` // at most saba.MaxCheckMessage characters
	At         int64            `json:"at"`                // Unix seconds: when the run began
	Notify     int64            `json:"notify,omitempty"`  // minutes; saba.CheckReport has the meaning of both
	Attempts   int64            `json:"attempts,omitempty"`
}

// A queuedVerdict waits for the server.
type queuedVerdict struct {
	verdict
	seq uint64
	due time.Time // when it is to be posted; the zero time is at once
}

// A checkQueue keeps the newest verdict of every check, and the verdicts that the server has not
// taken yet: of those of one status in a row, the first few and the newest. Memory is what
// counts; the file follows it (write), so that no check ever waits for a disk. It is safe for
// use by several goroutines.
type checkQueue struct {
	dir   string
	now   func() time.Time
	log   *slog.Logger
	wake  chan struct{} // receives when there is something to write
	added chan struct{} // receives after an add that is to be posted

	mu      sync.Mutex
	seq     uint64
	waiting []queuedVerdict // by seq
	size    int             // bytes of their messages
	latest  map[string]verdict
	unheard map[string]bool // checks whose newest verdict was given up before the server took it
	lost    int             // verdicts that were given up, since they were last asked for
	lines   []byte          // not written yet
	sync    bool            // among them is a change of status
	anew    bool            // the file is to be written anew

	disk   sync.Mutex // held while the file is written
	broken announcer
	length int64 // of the file
	live   int64 // its length when it was last written anew
}

// openCheckQueue returns the queue that is kept in dir. It never fails: what is damaged is
// skipped, and what cannot be kept on disk is kept in memory, both with a line in the log.
// Verdicts of checks other than those given are forgotten: reporting them would bring back,
// on the server, checks that nobody runs. An empty dir keeps nothing.
func openCheckQueue(dir string, checks []CheckPlugin, now func() time.Time, log *slog.Logger) *checkQueue {
	q := &checkQueue{
		dir: dir, now: now, log: log, wake: make(chan struct{}, 1), added: make(chan struct{}, 1),
		latest: map[string]verdict{}, unheard: map[string]bool{}, anew: true, broken: announcer{log: log},
	}
	if dir == "" {
		return q
	}
	// What a crash has left half written. The pattern is always one.
	halves, _ := filepath.Glob(filepath.Join(dir, "."+verdictFile+"-*"))
	for _, f := range halves {
		_ = os.Remove(f) // else the next start tries again
	}
	b, err := readEnd(filepath.Join(dir, verdictFile), maxVerdictFile)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		log.Warn("the kept verdicts of checks could not be read: each check begins as if it were new", "error", err)
	}
	records, damaged := parseVerdicts(b)
	if damaged > 0 {
		log.Warn("some kept verdicts of checks were damaged and are skipped", "file", filepath.Join(dir, verdictFile), "lines", damaged)
	}
	host := map[string]string{}
	for _, c := range checks {
		host[c.Name] = c.CustomIdentifier
	}
	for _, r := range records {
		q.seq = max(q.seq, r.Seq)
		for _, seq := range r.Done {
			q.seq = max(q.seq, seq)
			q.remove(seq)
		}
		if identifier, ok := host[r.Check]; !ok || identifier != r.Identifier {
			continue
		}
		q.latest[r.Check] = r.verdict
		if r.Seq > 0 {
			q.push(queuedVerdict{verdict: r.verdict, seq: r.Seq})
		}
	}
	return q
}

// keepOnly forgets the verdicts of other checks than those given.
func (q *checkQueue) keepOnly(checks []CheckPlugin) {
	q.mu.Lock()
	defer q.mu.Unlock()
	runs := func(v verdict) bool {
		return slices.ContainsFunc(checks, func(c CheckPlugin) bool { return c.Name == v.Check && c.CustomIdentifier == v.Identifier })
	}
	maps.DeleteFunc(q.latest, func(_ string, v verdict) bool { return !runs(v) })
	q.waiting = slices.DeleteFunc(q.waiting, func(w queuedVerdict) bool {
		if runs(w.verdict) {
			return false
		}
		q.size -= len(w.Message)
		return true
	})
}

// last returns the newest verdict of a check, of this or an earlier life of the agent.
func (q *checkQueue) last(check string) (verdict, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	v, ok := q.latest[check]
	return v, ok
}

// isUnheard says whether the newest verdict of a check was given up before the server took it.
func (q *checkQueue) isUnheard(check string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.unheard[check]
}

// remember keeps the newest verdict of a check, without reporting it.
func (q *checkQueue) remember(v verdict) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.latest[v.Check] = v
	q.line(verdictRecord{verdict: v}, true)
}

// add keeps the newest verdict of a check for the server: at once when that is urgent, else
// within gatherVerdicts.
func (q *checkQueue) add(v verdict, urgent bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.seq++
	w := queuedVerdict{verdict: v, seq: q.seq}
	if !urgent {
		w.due = q.now().Add(gatherVerdicts)
	}
	changed := q.latest[v.Check].Status != v.Status
	q.latest[v.Check] = v
	delete(q.unheard, v.Check)
	q.push(w)
	q.line(verdictRecord{Seq: w.seq, verdict: v}, changed)
	signal(q.added)
}

// push appends w and lets go of what the bounds have no room for. q.mu is held.
func (q *checkQueue) push(w queuedVerdict) {
	q.waiting = append(q.waiting, w)
	q.size += len(w.Message)
	q.squeeze()
	for len(q.waiting) > maxVerdicts || q.size > maxVerdictBytes {
		i := q.oldestBefore()
		if i < 0 {
			return // the newest of each check, which are as many as somebody configured
		}
		q.lost++
		q.cut(i)
	}
}

// squeeze lets go of a verdict between two of the same check and status: of a row of them, as
// many as the server counts before it opens an alert tell the same as all, and the newest
// says that it is still so. q.mu is held.
func (q *checkQueue) squeeze() {
	newest := len(q.waiting) - 1
	row, before := int64(0), -1
	for i := newest - 1; i >= 0; i-- {
		if q.waiting[i].Check != q.waiting[newest].Check {
			continue
		}
		if q.waiting[i].Status != q.waiting[newest].Status {
			break
		}
		if before < 0 {
			before = i
		}
		row++
	}
	if row > max(1, q.waiting[newest].Attempts) {
		q.cut(before)
	}
}

// oldestBefore returns the index of the oldest verdict of which there is a newer one by the
// same check, -1 when there is none. q.mu is held.
func (q *checkQueue) oldestBefore() int {
	oldest, seen := -1, map[string]bool{}
	for i, w := range slices.Backward(q.waiting) {
		if seen[w.Check] {
			oldest = i
		}
		seen[w.Check] = true
	}
	return oldest
}

// cut removes the verdict at index i. q.mu is held.
func (q *checkQueue) cut(i int) {
	q.size -= len(q.waiting[i].Message)
	q.waiting = slices.Delete(q.waiting, i, i+1)
}

// remove removes the verdict of a number, if it still waits. q.mu is held.
func (q *checkQueue) remove(seq uint64) (v verdict, ok bool) {
	i, ok := slices.BinarySearchFunc(q.waiting, seq, func(w queuedVerdict, seq uint64) int {
		switch {
		case w.seq < seq:
			return -1
		case w.seq > seq:
			return 1
		}
		return 0
	})
	if ok {
		v = q.waiting[i].verdict
		q.cut(i)
	}
	return v, ok
}

// due returns when the next verdict about each host is to be posted, by custom identifier.
func (q *checkQueue) due() map[string]time.Time {
	q.mu.Lock()
	defer q.mu.Unlock()
	due := map[string]time.Time{}
	for _, w := range q.waiting {
		if t, ok := due[w.Identifier]; !ok || w.due.Before(t) {
			due[w.Identifier] = w.due
		}
	}
	return due
}

// next returns the oldest verdicts about one host, most at the most. They stay in the queue.
func (q *checkQueue) next(identifier string, most int) []queuedVerdict {
	q.mu.Lock()
	defer q.mu.Unlock()
	var out []queuedVerdict
	for _, w := range q.waiting {
		if w.Identifier == identifier && len(out) < most {
			out = append(out, w)
		}
	}
	return out
}

// done removes verdicts that the server has taken.
func (q *checkQueue) done(taken []queuedVerdict) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.forget(taken)
}

// giveUp removes verdicts that the server will not take. A check whose newest verdict is among
// them is to report the next one, whatever that is: else a recovery could stay unheard for good.
func (q *checkQueue) giveUp(refused []queuedVerdict) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.abandon(refused)
}

// dropOld gives up what is older than the server takes.
func (q *checkQueue) dropOld() {
	q.mu.Lock()
	defer q.mu.Unlock()
	oldest := q.now().Unix() - saba.MaxCheckLate
	var old []queuedVerdict
	for _, w := range q.waiting {
		if w.At <= oldest {
			old = append(old, w)
		}
	}
	if len(old) > 0 {
		q.lost += len(old)
		q.abandon(old)
	}
}

// abandon is giveUp. q.mu is held.
func (q *checkQueue) abandon(ws []queuedVerdict) {
	q.forget(ws)
	for _, w := range ws {
		if !slices.ContainsFunc(q.waiting, func(x queuedVerdict) bool { return x.Check == w.Check && x.seq > w.seq }) {
			q.unheard[w.Check] = true
		}
	}
}

// forget removes verdicts. q.mu is held.
func (q *checkQueue) forget(ws []queuedVerdict) {
	seqs := make([]uint64, len(ws))
	for i, w := range ws {
		seqs[i] = w.seq
		q.remove(w.seq)
	}
	q.line(verdictRecord{Done: seqs}, false)
}

// count returns how many verdicts wait, and the time of the oldest in Unix seconds.
func (q *checkQueue) count() (n int, oldest int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i, w := range q.waiting {
		if i == 0 || w.At < oldest {
			oldest = w.At
		}
	}
	return len(q.waiting), oldest
}

// dropped returns how many verdicts were given up for their age or number since the last call.
func (q *checkQueue) dropped() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := q.lost
	q.lost = 0
	return n
}

// line notes r for the file. q.mu is held.
func (q *checkQueue) line(r verdictRecord, sync bool) {
	q.sync = q.sync || sync
	if !q.anew {
		q.lines = r.append(q.lines)
	}
	if len(q.lines) > maxUnwritten {
		q.anew, q.lines = true, nil // the disk does not keep up, and memory has it all
	}
	signal(q.wake)
}

// write keeps the file up to date until ctx ends.
func (q *checkQueue) write(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-q.wake:
		}
		if !q.persist() {
			signal(q.wake) // for the next turn
			if !sleep(ctx, verdictDiskRetry) {
				return
			}
		}
	}
}

// persist brings the file up to date, and says whether it is. A failure is logged once.
func (q *checkQueue) persist() bool {
	if q.dir == "" {
		q.mu.Lock()
		q.lines = nil
		q.mu.Unlock()
		return false
	}
	q.disk.Lock()
	defer q.disk.Unlock()
	q.mu.Lock()
	lines, sync, anew := q.lines, q.sync, q.anew
	if anew = anew || q.length > rewriteVerdicts && q.length > 2*q.live; anew {
		lines = q.snapshot()
	}
	q.lines, q.sync, q.anew = nil, false, false
	q.mu.Unlock()
	if len(lines) == 0 {
		return true
	}
	err := os.MkdirAll(q.dir, 0o700)
	file := filepath.Join(q.dir, verdictFile)
	if err == nil && anew {
		if err = replaceFile(file, lines, verdictMode); err == nil {
			q.length, q.live = int64(len(lines)), int64(len(lines))
		}
	} else if err == nil {
		if err = appendFile(file, lines, sync); err == nil {
			q.length += int64(len(lines))
		}
	}
	if err != nil {
		q.mu.Lock()
		q.anew, q.lines = true, nil // half a line may stand there
		q.mu.Unlock()
		q.broken.say(slog.LevelError, "disk", "verdicts of checks cannot be kept on disk: they are kept in memory, and lost when the agent ends before the server takes them", "error", err)
		return false
	}
	q.broken.over("verdicts of checks are kept on disk again")
	return true
}

// snapshot returns the content of a new file. q.mu is held.
func (q *checkQueue) snapshot() []byte {
	var b []byte
	for _, w := range q.waiting {
		b = verdictRecord{Seq: w.seq, verdict: w.verdict}.append(b)
	}
	// Behind those that wait, which are not newer.
	for _, name := range slices.Sorted(maps.Keys(q.latest)) {
		b = verdictRecord{verdict: q.latest[name]}.append(b)
	}
	return b
}

// A verdictRecord is a line of the file.
type verdictRecord struct {
	Seq uint64 `json:"seq"`
	verdict
	Done []uint64 `json:"done,omitempty"`
}

// append appends the line of r to b.
func (r verdictRecord) append(b []byte) []byte {
	var v any = r
	if len(r.Done) > 0 {
		v = struct {
			Done []uint64 `json:"done"`
		}{r.Done}
	}
	line, err := json.Marshal(v)
	if err != nil {
		return b // not possible of strings and numbers
	}
	return fmt.Appendf(b, "%08x %s\n", crc32.Checksum(line, castagnoli()), line)
}

// parseVerdicts reads the lines of a file, and counts those that it skips.
func parseVerdicts(b []byte) (records []verdictRecord, damaged int) {
	for line := range bytes.Lines(b) {
		r, err := parseVerdict(line)
		if err != nil {
			damaged++
			continue
		}
		records = append(records, r)
	}
	return records, damaged
}

var errDamagedLine = errors.New("the line is damaged")

func parseVerdict(line []byte) (r verdictRecord, err error) {
	line, whole := bytes.CutSuffix(line, []byte("\n"))
	if !whole || len(line) < 9 || line[8] != ' ' {
		return r, errDamagedLine
	}
	sum, err := strconv.ParseUint(string(line[:8]), 16, 32)
	if err != nil || uint32(sum) != crc32.Checksum(line[9:], castagnoli()) {
		return r, errDamagedLine
	}
	if err := json.Unmarshal(line[9:], &r); err != nil {
		return r, err
	}
	if len(r.Done) == 0 && (r.Check == "" || !r.Status.Valid()) || len(r.Done) > 0 && r.Check != "" {
		return r, errDamagedLine
	}
	r.Message = firstRunes(r.Message, saba.MaxCheckMessage)
	return r, nil
}

// readEnd returns a file's content, of a large one the last bytes, from the beginning of a line on.
func readEnd(file string, most int64) (b []byte, err error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	r := bufio.NewReader(f)
	if info.Size() > most {
		if _, err := f.Seek(-most, io.SeekEnd); err != nil {
			return nil, err
		}
		if _, err := r.ReadSlice('\n'); err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return nil, err
		}
	}
	return io.ReadAll(io.LimitReader(r, most))
}

// appendFile appends b to a file that exists.
func appendFile(file string, b []byte, sync bool) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil && sync {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// signal wakes the one that receives from c, which has room for one value.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

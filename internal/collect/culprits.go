package collect

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/saba-monitor/saba"
)

// A host is strained above or below these. docs/agent.md has them too.
const (
	strainedCPU      = 70               // percent of all processors that is neither idle nor waits for a disk
	strainedLoad     = 2                // tasks for each processor, the mean of a minute
	strainedMemory   = 15               // percent of memory that is available
	strainedPressure = 20               // percent of the last minute in which a task waited for a resource
	bootTime         = 10 * time.Minute // after the start
)

// When a host that is strained is looked at.
const (
	strainNew  = 10 * time.Minute               // a strain that began so recently is looked at each turn
	strainRest = 3*time.Minute + 30*time.Second // between two looks at one that lasts: every fourth turn, within saba.CulpritsWithin
	strainGap  = 50 * time.Second               // between any two looks
)

// Limits of a look.
const (
	maxProcesses  = 4000 // of which the top ones are chosen
	listedAtOnce  = 512  // entries of /proc
	culpritWindow = time.Second
	culpritLimit  = 15 * time.Second
)

// Culprits tells who may be to blame when the host is strained. While it is not, a turn costs three small files (PSI). The zero value reads
// the host.
type Culprits struct {
	Proc  fs.FS // procfs to read; nil means the host's own
	Root  fs.FS // for the names of users; nil means the host's own
	Clock Clock // nil means the host's

	vigil      vigil
	noPressure atomic.Bool // the kernel does not tell it, and will not
}

// Culprits returns what looks for culprits on the host of the set.
func (s *Set) Culprits() *Culprits {
	return &Culprits{Proc: s.opts.Proc, Root: s.opts.Root, Clock: s.opts.Clock}
}

// Strained says why it is time to look for culprits, given what the other collectors brought this turn. It is nil while all is well, and
// when it was looked a moment ago. One call at a time, also beside Look.
func (c *Culprits) Strained(values []saba.Value) []saba.Strain {
	up, err := c.now()
	if err != nil {
		return nil // no Linux
	}
	why := strains(values, c.pressure(), up)
	if !c.vigil.due(why, up) {
		return nil
	}
	return why
}

func (c *Culprits) now() (sinceBoot time.Duration, err error) {
	if c.Clock != nil {
		return c.Clock()
	}
	return hostClock()
}

// strains says what of a host is strained.
func strains(values []saba.Value, p *saba.PressureShares, up time.Duration) (why []saba.Strain) {
	var all, idle, load, total float64
	available := math.NaN()
	for _, v := range values {
		switch {
		case v.Name == "loadavg1":
			load = v.Value
		case v.Name == "memory.total":
			total = v.Value
		case v.Name == "memory.mem_available":
			available = v.Value
		case strings.HasPrefix(v.Name, "cpu."):
			all += v.Value
			if v.Name == "cpu.idle.percentage" || v.Name == "cpu.iowait.percentage" {
				idle += v.Value
			}
		}
	}
	processors := math.Round(all / 100)
	if all > 0 && 100*(all-idle)/all > strainedCPU {
		why = append(why, saba.StrainCPU)
	}
	if processors > 0 && load > strainedLoad*processors {
		why = append(why, saba.StrainLoad)
	}
	if total > 0 && 100*available/total < strainedMemory { // not a number is less than nothing
		why = append(why, saba.StrainMemory)
	}
	if p != nil && max(p.CPU, p.Memory, p.IO) > strainedPressure {
		why = append(why, saba.StrainPressure)
	}
	if up < bootTime {
		why = append(why, saba.StrainBoot)
	}
	return why
}

// A vigil decides when a host that is strained is looked at: often while a strain is new, else rarely, as a host can be short of memory for
// years. The zero value has seen none.
type vigil struct {
	since  map[saba.Strain]time.Duration // of those that there were at the last turn
	looked time.Duration                 // of the last look; 0 before the first
}

// due says whether it is time, at so long since the boot.
func (v *vigil) due(why []saba.Strain, now time.Duration) bool {
	since, fresh := make(map[saba.Strain]time.Duration, len(why)), false
	for _, s := range why {
		began, before := v.since[s]
		if !before {
			began = now
		}
		since[s] = began
		fresh = fresh || now-began < strainNew
	}
	v.since = since
	rest := strainRest
	if fresh {
		rest = strainGap
	}
	if len(why) == 0 || v.looked != 0 && now-v.looked < rest {
		return false
	}
	v.looked = now
	return true
}

// pressure returns the shares of the last minute, nil when the kernel does not tell them.
func (c *Culprits) pressure() *saba.PressureShares {
	if c.noPressure.Load() {
		return nil
	}
	var p saba.PressureShares
	for resource, into := range map[string]*float64{"cpu": &p.CPU, "memory": &p.Memory, "io": &p.IO} {
		text, err := readText(procOrHost(c.Proc), "pressure/"+resource)
		if err == nil {
			*into, err = parsePressureMinute(text)
		}
		if err != nil { // before Linux 4.20, or off since the boot
			c.noPressure.Store(errors.Is(err, fs.ErrNotExist) || errors.Is(err, errors.ErrUnsupported))
			return nil
		}
	}
	return &p
}

// parsePressureMinute returns avg60 of the line "some avg10=0.00 avg60=0.00 avg300=0.00 total=0" (Documentation/accounting/psi.rst).
func parsePressureMinute(text string) (percent float64, err error) {
	for line := range strings.Lines(text) {
		rest, some := strings.CutPrefix(line, "some ")
		_, rest, found := strings.Cut(rest, "avg60=")
		if !some || !found {
			continue
		}
		share, _, _ := strings.Cut(rest, " ")
		if v, err := strconv.ParseFloat(share, 64); err == nil && v >= 0 && v <= 100 {
			return v, nil
		}
	}
	return 0, errors.New("pressure: no line some with a share avg60")
}

// Look returns who uses the most CPU time, over a second, and the most memory, at a time. A process that cannot be read costs only itself.
func (c *Culprits) Look(ctx context.Context, why []saba.Strain, at time.Time) (saba.Culprits, error) {
	ctx, cancel := context.WithTimeout(ctx, culpritLimit)
	defer cancel()
	var before []process
	began, err := c.now()
	if err == nil {
		_, err = c.processes(ctx, func(p process) { before = append(before, process{pid: p.pid, ticks: p.ticks, start: p.start}) })
	}
	if err != nil {
		return saba.Culprits{}, fmt.Errorf("look for culprits: %w", err)
	}
	slices.SortFunc(before, byPID)
	select {
	case <-ctx.Done():
		return saba.Culprits{}, ctx.Err()
	case <-time.After(culpritWindow):
	}
	out := saba.Culprits{At: at.Unix() + int64(culpritWindow/time.Second), Why: why, Pressure: c.pressure()}
	var cpu, memory top
	now, err := c.now()
	if err == nil {
		out.Partial, err = c.processes(ctx, func(p process) {
			out.Seen++
			p.spent = p.since(before, began)
			if p.spent > 0 {
				cpu.offer(p, p.spent)
			}
			if p.pages > 0 { // a thread of the kernel has none
				memory.offer(p, p.pages)
			}
		})
	}
	if err != nil {
		return saba.Culprits{}, fmt.Errorf("look for culprits: %w", err)
	}
	if out.Seen == 0 {
		return saba.Culprits{}, errors.New("look for culprits: no process can be read")
	}
	out.Uptime = int64(now / time.Second)
	users := &users{root: c.Root}
	out.CPU, out.Memory = c.describe(cpu, now-began, users), c.describe(memory, now-began, users)
	return out, nil
}

// A process is what /proc/<pid>/stat says of one.
type process struct {
	pid   int
	name  string
	ticks uint64 // of CPU time since it began
	start uint64 // ticks after the boot
	pages uint64 // in main memory
	spent uint64 // ticks since the reading before
}

func byPID(a, b process) int { return cmp.Compare(a.pid, b.pid) }

// since returns the ticks that p spent since a reading before, sorted by id, which began at a time after the boot. A process that began
// since then has spent all of its ticks; of one that is only not in that reading nothing is known.
func (p process) since(before []process, began time.Duration) uint64 {
	i, found := slices.BinarySearchFunc(before, p, byPID)
	switch {
	case found && before[i].start == p.start: // else another one has the id now
		return p.ticks - min(before[i].ticks, p.ticks)
	case p.start >= uint64(began.Seconds()*userHZ):
		return p.ticks
	}
	return 0
}

// processes calls each for every process that can be read, maxProcesses at most; more says whether there are others. Unlike package process
// of plugins and checks it keeps nothing of most processes, has a limit, and never reads arguments.
func (c *Culprits) processes(ctx context.Context, each func(process)) (more bool, err error) {
	proc := procOrHost(c.Proc)
	folder, err := proc.Open(".")
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, folder.Close()) }()
	list, ok := folder.(fs.ReadDirFile)
	if !ok {
		return false, errors.New("the processes cannot be listed")
	}
	for n := 0; ; {
		entries, err := list.ReadDir(listedAtOnce)
		for _, e := range entries {
			pid, notPID := strconv.Atoi(e.Name())
			if notPID != nil || pid <= 0 {
				continue
			}
			if n++; n > maxProcesses {
				return true, nil
			}
			if err := ctx.Err(); err != nil {
				return false, err
			}
			text, err := readText(proc, e.Name()+"/stat")
			if err != nil {
				continue // it has ended
			}
			if p, err := parseProcess(text); err == nil {
				p.pid = pid
				each(p)
			}
		}
		if errors.Is(err, io.EOF) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
	}
}

// parseProcess reads "7 (name) S …" (proc_pid_stat(5)). The name may have blanks and parentheses in it.
func parseProcess(text string) (p process, err error) {
	_, rest, found := strings.Cut(text, "(")
	end := strings.LastIndexByte(rest, ')')
	if !found || end < 0 {
		return p, errors.New("stat of a process: no name in parentheses")
	}
	p.name = rest[:end]
	fields := strings.Fields(rest[end+1:]) // from the state on, which is the third of the line
	const user, system, start, pages = 14 - 3, 15 - 3, 22 - 3, 24 - 3
	if len(fields) <= pages {
		return p, fmt.Errorf("stat of a process: %d fields after its name", len(fields))
	}
	for i, into := range map[int]*uint64{user: &p.ticks, system: &p.spent, start: &p.start, pages: &p.pages} {
		n, err := strconv.ParseUint(fields[i], 10, 64)
		if err != nil || n > math.MaxInt64>>1 {
			return p, fmt.Errorf("stat of a process: %.40q is no number", fields[i])
		}
		*into = n
	}
	p.ticks += p.spent
	p.spent = 0
	return p, nil
}

// A top is the few processes with the most of something, the most first.
type top struct {
	all  []process
	much []uint64
}

func (t *top) offer(p process, much uint64) {
	i := len(t.all)
	for i > 0 && t.much[i-1] < much {
		i--
	}
	if i < saba.MaxCulprits {
		t.all, t.much = slices.Insert(t.all, i, p), slices.Insert(t.much, i, much)
		n := min(len(t.all), saba.MaxCulprits)
		t.all, t.much = t.all[:n], t.much[:n]
	}
}

// describe returns the processes of a list with what is only asked of a few.
func (c *Culprits) describe(t top, elapsed time.Duration, users *users) []saba.Culprit {
	out := make([]saba.Culprit, 0, len(t.all))
	for _, p := range t.all {
		text, _ := readText(procOrHost(c.Proc), strconv.Itoa(p.pid)+"/status") // it may have ended meanwhile
		uid, rss := parseProcessStatus(text)
		if rss == 0 {
			rss = int64(p.pages) * int64(os.Getpagesize())
		}
		share := 0.0
		if elapsed > 0 {
			share = 100 * float64(p.spent) / userHZ / elapsed.Seconds()
		}
		out = append(out, saba.NewCulprit(p.name, users.name(uid), int64(p.pid), math.Round(share*10)/10, rss))
	}
	return out
}

// parseProcessStatus returns the effective user, "" when it is not told, and the main memory in bytes (proc_pid_status(5)).
func parseProcessStatus(text string) (uid string, rss int64) {
	for line := range strings.Lines(text) {
		key, rest, _ := strings.Cut(line, ":")
		fields := strings.Fields(rest)
		switch {
		case key == "Uid" && len(fields) > 1:
			uid = fields[1]
		case key == "VmRSS" && len(fields) > 0:
			if kb, err := strconv.ParseInt(fields[0], 10, 64); err == nil && kb >= 0 && kb < 1<<50 {
				rss = kb << 10
			}
		}
	}
	return uid, rss
}

// users knows the names of users, as /etc/passwd has them. It is read when the first is asked for.
type users struct {
	root  fs.FS
	names map[string]string // by number
}

// name returns the name of a user, or the number of one who has none.
func (u *users) name(uid string) string {
	if uid == "" {
		return ""
	}
	if u.names == nil {
		u.names = map[string]string{}
		text, _ := readText(rootOrHost(u.root), "etc/passwd") // without it there are numbers
		for line := range strings.Lines(text) {
			if f := strings.SplitN(line, ":", 4); len(f) == 4 && u.names[f[2]] == "" {
				u.names[f[2]] = f[0]
			}
		}
	}
	return cmp.Or(u.names[uid], uid)
}

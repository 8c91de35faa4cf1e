// Package sidekiq is the plugin that watches Sidekiq, versions 6 to 8, through its Redis. Read
// sidekiq.go first; l2met.go is its other output.
package sidekiq

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/plugin"
	"github.com/saba-monitor/saba/plugin/target"
)

// Plugin reports the jobs, queues and processes of one Sidekiq.
var Plugin = plugin.Plugin{
	Name:  "sidekiq",
	Short: "jobs, queues and processes of a Sidekiq",
	Graphs: []plugin.Graph{
		{Name: "ProcessedANDFailed", Label: "processed and failed count", Unit: saba.UnitInteger, Metrics: []plugin.Metric{
			{Name: "processed", Label: "Processed", Counter: true},
			{Name: "failed", Label: "Failed", Counter: true},
		}},
		{Name: "Stats", Label: "stats", Unit: saba.UnitInteger, Metrics: []plugin.Metric{
			{Name: "busy", Label: "Busy"},
			{Name: "enqueued", Label: "Enqueued"},
			{Name: "schedule", Label: "Schedule"},
			{Name: "retry", Label: "Retry"},
			{Name: "dead", Label: "Dead"},
		}},
		{Name: "QueueLatency", Label: "queue latency", Unit: saba.UnitSeconds, Metrics: []plugin.Metric{
			{Name: "*", Label: "%1"}, // for how long the oldest job has waited
		}},
		{Name: "QueueSize", Label: "queue size", Unit: saba.UnitInteger, Metrics: []plugin.Metric{
			{Name: "*", Label: "%1"},
		}},
		{Name: "Processes", Label: "processes", Unit: saba.UnitInteger, Metrics: []plugin.Metric{
			{Name: "processes", Label: "Processes"},
			{Name: "quiet", Label: "Quiet"}, // take no more jobs
			{Name: "threads", Label: "Threads"},
		}},
		{Name: "Utilization", Label: "utilization", Unit: saba.UnitPercentage, Metrics: []plugin.Metric{
			{Name: "threads", Label: "Busy threads"}, // no value without a thread
		}},
	},
	New: func(fs *flag.FlagSet) plugin.Collector {
		c := &collector{}
		c.server.AddFlags(fs, "SIDEKIQ_PASSWORD")
		c.server.AddURLFlags(fs, "REDIS_URL")
		fs.StringVar(&c.namespace, "redis-namespace", "", "`namespace` of the keys, of Sidekiq before 7")
		c.l2met.addFlags(fs)
		return c
	},
}

type collector struct {
	server    target.Redis
	namespace string

	// Names of an earlier turn: they are asked about together with their lists.
	queues, processes []string

	l2met l2met
}

// CheckFlags says what is wrong with the flags.
func (c *collector) CheckFlags() error {
	return errors.Join(c.server.CheckFlags(), c.l2met.check())
}

// Collect asks in one round trip. Queues and processes that were not there a turn ago, as all
// are in the first one, take a second.
func (c *collector) Collect(ctx context.Context) ([]saba.Value, error) {
	r, err := c.read(ctx)
	if r == nil {
		return nil, err
	}
	values, wrong := r.values()
	return values, errors.Join(err, wrong)
}

// read asks for everything. A reading and an error come together when a part is missing.
func (c *collector) read(ctx context.Context) (*reading, error) {
	r, err := c.ask(ctx)
	if err != nil {
		err = fmt.Errorf("ask %s: %w", c.server.Name(), err)
	}
	return r, err
}

// maxNames bounds how many queues, and how many processes, are asked about.
const maxNames = 1000

func (c *collector) ask(ctx context.Context) (*reading, error) {
	k := c.key
	commands := [][]string{
		{"GET", k("stat:processed")}, {"GET", k("stat:failed")},
		{"ZCARD", k("schedule")}, {"ZCARD", k("retry")}, {"ZCARD", k("dead")},
		{"SMEMBERS", k("queues")}, {"SMEMBERS", k("processes")},
	}
	fixed := len(commands)
	answers, err := c.server.Ask(ctx, c.about(commands, c.queues, c.processes)...)
	if err != nil {
		return nil, err
	}
	r := &reading{queues: map[string]queue{}, figures: map[string]float64{}}
	errs := []error{
		r.addTotal("processed", answers[0]), r.addTotal("failed", answers[1]),
		r.addCount("schedule", answers[2]), r.addCount("retry", answers[3]), r.addCount("dead", answers[4]),
	}
	queues, err := names(answers[5])
	r.known.queues = err == nil
	errs = append(errs, sayOf("queues", err))
	processes, err := names(answers[6])
	r.known.processes = err == nil
	errs = append(errs, sayOf("processes", err))

	now := time.Now()
	errs = append(errs, r.addAll(answers[fixed:], c.queues, c.processes, queues, processes, now))
	newQueues, newProcesses := without(queues, c.queues), without(processes, c.processes)
	c.queues, c.processes = queues, processes
	if len(newQueues)+len(newProcesses) > 0 {
		more, err := c.server.Ask(ctx, c.about(nil, newQueues, newProcesses)...)
		if err != nil {
			return nil, err
		}
		errs = append(errs, r.addAll(more, newQueues, newProcesses, queues, processes, time.Now()))
	}
	if err := errors.Join(errs...); err != nil {
		return r, err
	}
	if answers[0] == nil && answers[1] == nil && len(queues)+len(r.live) == 0 && r.figures["schedule"] == 0 {
		return nil, errors.New("no Sidekiq has ever worked in this database: look at -db and -redis-namespace")
	}
	return r, nil
}

// key returns a key in the namespace.
func (c *collector) key(name string) string {
	if c.namespace == "" {
		return name
	}
	return c.namespace + ":" + name
}

// about adds two commands for each queue and one for each process to commands.
func (c *collector) about(commands [][]string, queues, processes []string) [][]string {
	for _, q := range queues {
		key := c.key("queue:" + q)
		commands = append(commands, []string{"LLEN", key}, []string{"LINDEX", key, "-1"}) // jobs are pushed on the left
	}
	for _, p := range processes {
		commands = append(commands, []string{"HMGET", c.key(p), "busy", "concurrency", "quiet", "info"})
	}
	return commands
}

// names returns the members of a set, sorted.
func names(answer any) ([]string, error) {
	members, err := target.RedisAnswer[[]any](answer)
	if err != nil {
		return nil, err
	}
	if len(members) > maxNames {
		return nil, fmt.Errorf("there are %d, which is more than %d", len(members), maxNames)
	}
	all := make([]string, len(members))
	for i, m := range members {
		if all[i], err = target.RedisAnswer[string](m); err != nil {
			return nil, err
		}
	}
	slices.Sort(all)
	return all, nil
}

// without returns the names that are not among known, which is sorted.
func without(all, known []string) []string {
	var others []string
	for _, name := range all {
		if _, ok := slices.BinarySearch(known, name); !ok {
			others = append(others, name)
		}
	}
	return others
}

// sayOf says in an error what it is about.
func sayOf(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}

// A reading is what was read at one time.
type reading struct {
	figures map[string]float64 // processed, failed, schedule, retry, dead
	queues  map[string]queue   // by name
	live    []process          // those that have said so in the last minute
	known   struct{ queues, processes bool }
	partial struct{ queues, processes bool } // one could not be read: sums are not known
}

type queue struct {
	size     float64
	latency  float64 // in seconds
	noLength bool    // size is not known
	noTime   bool    // latency is not known
}

type process struct {
	busy, threads float64
	noThreads     bool // threads is not known
	quiet         bool
}

// addTotal adds a counter, which is not there until a job was done.
func (r *reading) addTotal(name string, answer any) error {
	if answer == nil {
		r.figures[name] = 0
		return nil
	}
	text, err := target.RedisAnswer[string](answer)
	if err != nil {
		return sayOf(name, err)
	}
	n, err := number(text)
	if err != nil {
		return sayOf(name, err)
	}
	r.figures[name] = n
	return nil
}

func (r *reading) addCount(name string, answer any) error {
	n, err := target.RedisAnswer[int64](answer)
	if err != nil {
		return sayOf(name, err)
	}
	r.figures[name] = float64(n)
	return nil
}

// number reads a count.
func number(s string) (float64, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("%.40q is no count", s)
	}
	return float64(n), nil
}

// addAll adds the answers to what about asks of asked queues and processes, those that are
// still there.
func (r *reading) addAll(answers []any, askedQueues, askedProcesses, queues, processes []string, now time.Time) error {
	var errs []error
	for i, name := range askedQueues {
		if _, there := slices.BinarySearch(queues, name); there {
			q, err := readQueue(answers[2*i], answers[2*i+1], now)
			r.queues[name] = q
			r.partial.queues = r.partial.queues || q.noLength
			errs = append(errs, sayOf(fmt.Sprintf("queue %q", name), err))
		}
	}
	answers = answers[2*len(askedQueues):]
	for i, name := range askedProcesses {
		if _, there := slices.BinarySearch(processes, name); !there {
			continue
		}
		p, live, err := readProcess(answers[i])
		if live {
			r.live = append(r.live, p)
		}
		r.partial.processes = r.partial.processes || err != nil
		errs = append(errs, sayOf(fmt.Sprintf("process %q", name), err))
	}
	return errors.Join(errs...)
}

// readQueue reads the answers of one queue: its length and its oldest job.
func readQueue(length, oldest any, now time.Time) (queue, error) {
	var q queue
	n, err := target.RedisAnswer[int64](length)
	if err != nil {
		return queue{noLength: true, noTime: true}, err
	}
	q.size = float64(n)
	if oldest == nil {
		return q, nil // nobody waits
	}
	job, err := target.RedisAnswer[string](oldest)
	if err == nil {
		q.latency, err = latency(job, now)
	}
	q.noTime = err != nil
	return q, err
}

// latency returns for how many seconds a job has waited. Sidekiq wrote seconds as floats until
// version 7 and writes whole milliseconds since 8, and some other clients did before; a queue
// may have both. A clock that is ahead makes no negative one.
func latency(job string, now time.Time) (float64, error) {
	var times struct {
		Enqueued *float64 `json:"enqueued_at"`
		Created  *float64 `json:"created_at"`
	}
	if err := json.Unmarshal([]byte(job), &times); err != nil {
		return 0, errors.New("its oldest job cannot be read") // it may hold anything, and is not shown
	}
	since := times.Enqueued
	if since == nil {
		since = times.Created
	}
	if since == nil {
		return 0, errors.New("its oldest job does not say since when it waits")
	}
	seconds := *since
	const milliseconds = 1e11 // as seconds, the year 5138; as milliseconds, 1973
	if seconds >= milliseconds {
		seconds /= 1000
	}
	return max(0, float64(now.UnixMicro())/1e6-seconds), nil
}

// readProcess reads the fields busy, concurrency, quiet and info of a process, and whether it
// lives: one that died is in the list until another one tidies up, but its fields expire.
func readProcess(answer any) (p process, live bool, err error) {
	fields, err := target.RedisAnswer[[]any](answer)
	if err != nil {
		return p, false, err
	}
	texts := make([]string, 4)
	for i, f := range fields {
		if s, ok := f.(string); ok && i < len(texts) {
			texts[i] = s
		}
	}
	if texts[0] == "" {
		return p, false, nil
	}
	if p.busy, err = number(texts[0]); err != nil {
		return p, false, sayOf("busy", err)
	}
	p.quiet = texts[2] == "true"
	// Versions before 8 say the number of threads in info alone.
	var info struct {
		Concurrency *float64 `json:"concurrency"`
	}
	if n, err := number(texts[1]); err == nil {
		p.threads = n
	} else if json.Unmarshal([]byte(texts[3]), &info) == nil && info.Concurrency != nil {
		p.threads = *info.Concurrency
	} else {
		p.noThreads = true
	}
	return p, true, nil
}

// values returns what a reading says. What is not known has no value.
func (r *reading) values() ([]saba.Value, error) {
	var values []saba.Value
	add := func(name string, v float64) { values = append(values, saba.Value{Name: name, Value: v}) }
	for _, f := range []struct{ graph, name string }{
		{"ProcessedANDFailed", "processed"}, {"ProcessedANDFailed", "failed"}, {"Stats", "schedule"}, {"Stats", "retry"}, {"Stats", "dead"},
	} {
		if v, ok := r.figures[f.name]; ok {
			add(f.graph+"."+f.name, v)
		}
	}
	enqueued := 0.0
	merged := map[string]queue{}
	for _, name := range slices.Sorted(maps.Keys(r.queues)) {
		q := r.queues[name]
		enqueued += q.size
		segment := plain(name)
		if m, ok := merged[segment]; ok { // "a.b" and "a_b" make one series
			q = queue{m.size + q.size, max(m.latency, q.latency), m.noLength || q.noLength, m.noTime || q.noTime}
		}
		merged[segment] = q
	}
	for _, name := range slices.Sorted(maps.Keys(merged)) {
		q := merged[name]
		if !q.noLength {
			add("QueueSize."+name, q.size)
		}
		if !q.noTime {
			add("QueueLatency."+name, q.latency)
		}
	}
	if r.known.queues && !r.partial.queues {
		add("Stats.enqueued", enqueued)
	}
	if r.known.processes && !r.partial.processes {
		r.addProcesses(add)
	}
	for _, v := range values {
		if math.IsInf(v.Value, 0) {
			return nil, fmt.Errorf("%s is not finite", v.Name)
		}
	}
	return values, nil
}

func (r *reading) addProcesses(add func(name string, v float64)) {
	busy, threads, quiet, all := 0.0, 0.0, 0.0, true
	for _, p := range r.live {
		busy, threads = busy+p.busy, threads+p.threads
		all = all && !p.noThreads
		if p.quiet {
			quiet++
		}
	}
	add("Stats.busy", busy)
	add("Processes.processes", float64(len(r.live)))
	add("Processes.quiet", quiet)
	if all {
		add("Processes.threads", threads)
	}
	if all && threads > 0 {
		add("Utilization.threads", 100*busy/threads)
	}
}

// plain makes a segment of a metric's name of the name of a queue.
func plain(name string) string {
	return strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' {
			return c
		}
		return '_'
	}, name)
}

package servercli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/client"
	"github.com/saba-monitor/saba/internal/cli"
	"github.com/saba-monitor/saba/internal/server"
)

var benchCmd = cli.Command{
	Name:  "bench",
	Short: "put load on a server, as many agents would: saba bench agents",
	Run: func(ctx context.Context, env *cli.Env, args []string) error {
		fs := env.Flags("agents")
		l := load{key: env.Getenv("SABA_API_KEY"), now: time.Now}
		fs.StringVar(&l.base, "server", "http://"+server.DefaultListen, "the `address` of the server; its API key comes from SABA_API_KEY")
		fs.IntVar(&l.hosts, "hosts", 100, "how many hosts send")
		fs.IntVar(&l.metrics, "metrics", 150, "how many metrics each of them has")
		fs.DurationVar(&l.length, "for", 5*time.Minute, "how `long` they send")
		fs.DurationVar(&l.interval, "interval", time.Minute, "the `time` between two requests of a host")
		fs.DurationVar(&l.backlog, "backlog", 0, "first send the minutes of so much `time` before now, at full speed")
		fs.BoolVar(&l.keep, "keep", false, "leave the hosts there; else they are retired in the end")
		what, err := operand(env, fs, args, "agents", "what puts the load on: agents")
		if err != nil {
			return err
		}
		if what != "agents" {
			return saba.Errorf(saba.ErrInvalid, "there is no load %q: agents is the only one", what)
		}
		if err := l.valid(); err != nil {
			return err
		}
		return l.run(ctx, env.Stdout)
	},
}

// setUpAtOnce is how many requests are under way while hosts are made, retired, or send their backlog.
const setUpAtOnce = 16

// A load is many agents of one process. Each has its connection, its host, its metrics and its second of the minute.
type load struct {
	base, key string
	hosts     int
	metrics   int
	length    time.Duration
	interval  time.Duration
	backlog   time.Duration
	keep      bool
	now       func() time.Time
}

func (l *load) valid() error {
	switch {
	case l.hosts < 1 || l.hosts > 100_000:
		return saba.Errorf(saba.ErrInvalid, "--hosts takes 1 to 100000, not %d", l.hosts)
	case l.metrics < 1 || l.metrics > 10_000:
		return saba.Errorf(saba.ErrInvalid, "--metrics takes 1 to 10000, not %d", l.metrics)
	case l.length < 0 || l.interval <= 0:
		return saba.Errorf(saba.ErrInvalid, "--for and --interval take a time above 0, such as 5m")
	case l.backlog < 0 || l.backlog > saba.MaxLate:
		return saba.Errorf(saba.ErrInvalid, "--backlog takes at most %v: older points are not taken", saba.MaxLate)
	case l.key == "":
		return saba.Errorf(saba.ErrInvalid, "set SABA_API_KEY to a key of the server with read and write permission")
	}
	return nil
}

// A benchHost is one of the agents. It is used by one goroutine at a time.
type benchHost struct {
	id      string
	api     *client.Client
	points  []saba.Point
	random  *rand.Rand
	offset  time.Duration   // of its requests within the interval
	latency []time.Duration // of requests that were answered with 200
	errors  int
	first   error // the first of the errors
}

func (l *load) run(ctx context.Context, out io.Writer) (err error) {
	fmt.Fprintf(out, "making %d hosts with %d metrics each\n", l.hosts, l.metrics)
	hosts := make([]*benchHost, l.hosts)
	defer func() {
		if !l.keep {
			err = errors.Join(err, l.retire(context.WithoutCancel(ctx), hosts))
		}
	}()
	if err := atOnce(ctx, hosts, func(ctx context.Context, i int) (err error) {
		hosts[i], err = l.host(ctx, i)
		return err
	}); err != nil {
		return err
	}
	if l.backlog > 0 {
		if err := l.measured(ctx, out, hosts, fmt.Sprintf("the last %v, at full speed over %d connections", l.backlog, min(setUpAtOnce, l.hosts)), l.sendBacklog); err != nil {
			return err
		}
	}
	if l.length == 0 {
		return nil
	}
	return l.measured(ctx, out, hosts, fmt.Sprintf("each host every %v at its own moment, for %v", l.interval, l.length), l.sendPresent)
}

// atOnce calls f for every host, a few at a time.
func atOnce(ctx context.Context, hosts []*benchHost, f func(ctx context.Context, i int) error) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(setUpAtOnce)
	for i := range hosts {
		g.Go(func() error { return f(ctx, i) })
	}
	return g.Wait()
}

// host makes the i-th host, or finds the one that an earlier run kept.
func (l *load) host(ctx context.Context, i int) (*benchHost, error) {
	api, err := client.New(client.Options{Base: l.base, Key: l.key, UserAgent: "saba-bench/" + saba.Version,
		HTTP: &http.Client{Timeout: client.DefaultTimeout, Transport: &http.Transport{}}}) // one connection a host, as agents have
	if err != nil {
		return nil, err
	}
	h := &benchHost{api: api, random: rand.New(rand.NewPCG(uint64(i), 0)), offset: l.interval * time.Duration(i) / time.Duration(l.hosts)}
	identifier := fmt.Sprintf("saba-bench-%06d", i)
	found, err := api.HostByCustomIdentifier(ctx, identifier)
	switch {
	case err == nil:
		h.id = found.ID
	case errors.Is(err, saba.ErrNotFound):
		if h.id, err = api.CreateHost(ctx, client.HostParam{Name: fmt.Sprintf("bench-%06d", i), CustomIdentifier: identifier, Meta: json.RawMessage("{}")}); err != nil {
			return nil, fmt.Errorf("make a host: %w", err)
		}
	default:
		return nil, fmt.Errorf("look for a host: %w", err)
	}
	for m := range l.metrics {
		h.points = append(h.points, saba.Point{
			Series: saba.Series{Host: h.id, Name: fmt.Sprintf("custom.bench%d.metric%d.value", m/10, m)},
			Sample: saba.Sample{Value: float64(h.random.IntN(1000))},
		})
	}
	return h, nil
}

func (l *load) retire(ctx context.Context, hosts []*benchHost) error {
	return atOnce(ctx, hosts, func(ctx context.Context, i int) error {
		if hosts[i] == nil {
			return nil
		}
		if err := hosts[i].api.RetireHost(ctx, hosts[i].id); err != nil {
			return fmt.Errorf("retire host %s: %w", hosts[i].id, err)
		}
		return nil
	})
}

// send posts the points of one minute. Values move as measured ones do: some stay, some count, some wander.
func (h *benchHost) send(ctx context.Context, at time.Time) error {
	for i := range h.points {
		s := &h.points[i].Sample
		s.Time = at.Unix()
		switch i % 4 {
		case 0: // stays
		case 1:
			s.Value += float64(h.random.IntN(100))
		default:
			s.Value = max(0, s.Value+h.random.NormFloat64())
		}
	}
	began := time.Now()
	err := h.api.PostHostMetrics(ctx, h.points)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		h.errors++
		if h.first == nil {
			h.first = err
		}
	default:
		h.latency = append(h.latency, time.Since(began))
	}
	return nil
}

// sendBacklog sends the minutes before now, oldest first and every host in each, so that none is late.
func (l *load) sendBacklog(ctx context.Context, hosts []*benchHost) error {
	now := l.now()
	for at := now.Add(-l.backlog).Truncate(time.Minute); at.Before(now); at = at.Add(time.Minute) {
		if err := atOnce(ctx, hosts, func(ctx context.Context, i int) error { return hosts[i].send(ctx, at) }); err != nil {
			return err
		}
	}
	return nil
}

// sendPresent sends as agents do, until the time is over.
func (l *load) sendPresent(ctx context.Context, hosts []*benchHost) error {
	begin := l.now()
	end := begin.Add(l.length)
	g, ctx := errgroup.WithContext(ctx)
	for _, h := range hosts {
		g.Go(func() error {
			for at := begin.Add(h.offset); at.Before(end); at = at.Add(l.interval) {
				wait := time.NewTimer(at.Sub(l.now()))
				select {
				case <-ctx.Done():
					wait.Stop()
					return ctx.Err()
				case <-wait.C:
				}
				if err := h.send(ctx, l.now()); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// measured prints what f did, and what it cost the server.
func (l *load) measured(ctx context.Context, out io.Writer, hosts []*benchHost, title string, f func(context.Context, []*benchHost) error) error {
	for _, h := range hosts {
		h.latency, h.errors, h.first = nil, 0, nil
	}
	before, costErr := l.cost(ctx)
	began := time.Now()
	err := f(ctx, hosts)
	took := time.Since(began)
	after, afterErr := l.cost(context.WithoutCancel(ctx))

	var all []time.Duration
	var first error
	failed := 0
	for _, h := range hosts {
		all = append(all, h.latency...)
		failed += h.errors
		if first == nil {
			first = h.first
		}
	}
	slices.Sort(all)
	points := len(all) * l.metrics
	fmt.Fprintf(out, "\n%s\n", title)
	fmt.Fprintf(out, "  requests   %d in %v, %d points, %.0f points a second\n", len(all)+failed, took.Round(time.Millisecond), points, float64(points)/took.Seconds())
	fmt.Fprintf(out, "  errors     %d", failed)
	if first != nil {
		fmt.Fprintf(out, " (the first: %v)", first)
	}
	fmt.Fprintf(out, "\n  latency    %s\n", percentiles(all))
	if costErr = errors.Join(costErr, afterErr); costErr != nil {
		fmt.Fprintf(out, "  server     its /metrics cannot be read: %v\n", costErr)
	} else {
		cpu := after.cpu - before.cpu
		fmt.Fprintf(out, "  server     %.2f s of CPU time, %.2f %% of a core", cpu, 100*cpu/took.Seconds())
		if points > 0 {
			fmt.Fprintf(out, ", %.2f s a million points", cpu/float64(points)*1e6)
		}
		fmt.Fprintf(out, "; %s resident\n", size(int64(after.rss)))
	}
	return err
}

// percentiles words sorted latencies.
func percentiles(sorted []time.Duration) string {
	if len(sorted) == 0 {
		return "of no request"
	}
	at := func(p float64) time.Duration {
		return sorted[min(len(sorted)-1, int(p*float64(len(sorted))))].Round(10 * time.Microsecond)
	}
	return fmt.Sprintf("p50 %v, p90 %v, p99 %v, p99.9 %v, slowest %v", at(0.5), at(0.9), at(0.99), at(0.999), at(1))
}

// A cost is what the server's process has needed.
type cost struct {
	cpu float64 // seconds since its start
	rss float64 // bytes
}

// cost asks the server for what it has needed: on this machine anybody may, elsewhere the key opens it.
func (l *load) cost(ctx context.Context) (c cost, err error) {
	ctx, cancel := context.WithTimeout(ctx, client.DefaultTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimRight(l.base, "/")+"/metrics", nil)
	if err != nil {
		return c, err
	}
	req.Header.Set("Authorization", "Bearer "+l.key)
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		return c, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return c, fmt.Errorf("it answers %s", resp.Status)
	}
	return parseCost(resp.Body)
}

func parseCost(r io.Reader) (c cost, err error) {
	lines := bufio.NewScanner(r)
	found := 0
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), " ")
		to := map[string]*float64{"process_cpu_seconds_total": &c.cpu, "process_resident_memory_bytes": &c.rss}[name]
		if to == nil {
			continue
		}
		if *to, err = strconv.ParseFloat(value, 64); err != nil {
			return c, fmt.Errorf("%s: %w", name, err)
		}
		found++
	}
	if err := lines.Err(); err != nil {
		return c, err
	}
	if found != 2 {
		return c, errors.New("it does not say what its process has needed")
	}
	return c, nil
}

package main

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A growth is what a server with so many hosts costs.
type growth struct {
	hosts int

	saba8, saba64, prometheus8 float64 // CPU seconds a million points at full speed; 0 where it was not measured
	core                       float64 // percent of a core at the pace of agents
	resident                   float64 // MiB, after that
	p99                        time.Duration
	list, page, query          cost // the list of hosts, the charts of one, a query over all
}

// A cost is what one request takes.
type cost struct{ cpu, wall time.Duration }

func (c cost) String() string {
	return fmt.Sprintf("%.1f ms (%.1f ms until it is there)", c.cpu.Seconds()*1000, c.wall.Seconds()*1000)
}

// serverFigures prints what servers with several numbers of hosts cost, beside Prometheus, and draws it into a file.
func serverFigures(bin, sizes, drawing string, minutes int, keep bool) error {
	bin, err := filepath.Abs(bin)
	if err != nil {
		return err
	}
	p := plan{saba: filepath.Join(bin, "saba")}
	if p.work, err = os.MkdirTemp("", "saba-bench-"); err != nil {
		return err
	}
	if !keep {
		defer os.RemoveAll(p.work)
	}
	out := newTable(os.Stdout)
	var all []growth
	for size := range strings.SplitSeq(sizes, ",") {
		hosts, err := strconv.Atoi(size)
		if err != nil || hosts < 1 {
			return fmt.Errorf("-server takes numbers of hosts, such as 100,1000, not %q", sizes)
		}
		g, err := p.grow(out, hosts, minutes)
		if err != nil {
			return fmt.Errorf("with %d hosts: %w", hosts, err)
		}
		all = append(all, g)
	}
	if drawing == "" {
		return nil
	}
	return os.WriteFile(drawing, []byte(draw(all, fmt.Sprintf("%d processors, %s/%s", runtime.NumCPU(), runtime.GOOS, runtime.GOARCH))), 0o644)
}

// metricsAHost is what an agent with a few plugins sends each minute.
const metricsAHost = 150

func (p *plan) grow(out *table, hosts, minutes int) (g growth, err error) {
	g.hosts = hosts
	out.title(fmt.Sprintf("%d hosts with %d metrics each", hosts, metricsAHost))
	if err := p.fullSpeed(out, &g); err != nil {
		return g, err
	}
	if err := p.prometheus(out, &g); err != nil {
		fmt.Println("without Prometheus:", err)
	} else {
		out.row("ratio to it, 8 connections", fmt.Sprintf("%.2f", g.saba8/g.prometheus8), "0.25")
	}
	if err := p.pace(out, &g, minutes); err != nil {
		return g, err
	}
	return g, p.reads(out, &g)
}

// freshServer starts a server on an empty folder.
func (p *plan) freshServer() (*subject, error) {
	if err := os.RemoveAll(filepath.Join(p.work, "server")); err != nil {
		return nil, err
	}
	return p.startServer()
}

// between runs f and returns what a process has used of the CPU meanwhile.
func between(s *subject, f func() error) (time.Duration, error) {
	before, err := cpuClock(s.cmd.Process.Pid)
	if err != nil {
		return 0, err
	}
	if err := f(); err != nil {
		return 0, err
	}
	after, err := cpuClock(s.cmd.Process.Pid)
	return after - before, err
}

// measured is how many points are sent at full speed, after a minute that makes the series.
const measuredPoints = 3_000_000

func (s *site) rounds() int64 { return max(1, measuredPoints/int64(s.hosts*s.metrics)) }

// perMillion is CPU seconds a million points.
func (s *site) perMillion(cpu time.Duration) float64 {
	return cpu.Seconds() / float64(s.rounds()*int64(s.hosts*s.metrics)) * 1e6
}

// fullSpeed measures POST /tsdb with bodies as agents send them, each synced before its answer.
func (p *plan) fullSpeed(out *table, g *growth) error {
	for _, connections := range []int{8, 64} {
		server, err := p.freshServer()
		if err != nil {
			return err
		}
		defer server.cmd.Process.Kill()
		s := &site{hosts: g.hosts, metrics: metricsAHost}
		if err := s.register(p.base); err != nil {
			return err
		}
		from := time.Now().Unix()/60 - s.rounds() - 1
		send := func(from, to int64) error {
			return s.send(p.base+"/api/v0/tsdb", connections, from, to, s.plain, sabaHeader())
		}
		if err := send(from, from+1); err != nil {
			return err
		}
		begun := time.Now()
		cpu, err := between(server, func() error { return send(from+1, from+1+s.rounds()) })
		if err != nil {
			return err
		}
		took := time.Since(begun)
		to, goal := &g.saba8, "1.0"
		if connections == 64 {
			to, goal = &g.saba64, "0.61"
		}
		*to = s.perMillion(cpu)
		out.row(fmt.Sprintf("CPU s a million points, %d connections", connections), fmt.Sprintf("%.2f, %.0f points a second", *to, measuredPoints/took.Seconds()), goal)
		if _, err := server.stop(); err != nil {
			return err
		}
	}
	return nil
}

// prometheus measures the same samples by remote write into Debian's Prometheus, which answers before it has synced.
func (p *plan) prometheus(out *table, g *growth) error {
	bin, err := exec.LookPath("prometheus")
	if err != nil {
		return err
	}
	folder := filepath.Join(p.work, "prometheus")
	if err := os.RemoveAll(folder); err != nil {
		return err
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	conf := filepath.Join(folder, "prometheus.yml")
	if err := os.WriteFile(conf, []byte("global: {}\n"), 0o644); err != nil {
		return err
	}
	port, err := freePort()
	if err != nil {
		return err
	}
	server, err := start("prometheus", folder, nil, bin, "--config.file="+conf, "--storage.tsdb.path="+filepath.Join(folder, "data"),
		"--web.listen-address=127.0.0.1:"+port, "--web.enable-remote-write-receiver", "--log.level=warn")
	if err != nil {
		return err
	}
	defer server.cmd.Process.Kill()
	base := "http://127.0.0.1:" + port
	for range 500 {
		resp, err := http.Get(base + "/-/ready")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				break
			}
		}
		time.Sleep(20 * time.Millisecond)
	}
	s := &site{hosts: g.hosts, metrics: metricsAHost}
	header := http.Header{"Content-Encoding": {"snappy"}, "Content-Type": {"application/x-protobuf"}, "X-Prometheus-Remote-Write-Version": {"0.1.0"}}
	send := func(from, to int64) error {
		return s.send(base+"/api/v1/write", 8, from, to, s.remoteWrite, header)
	}
	from := time.Now().Unix()/60 - s.rounds() - 1
	if err := send(from, from+1); err != nil {
		return err
	}
	cpu, err := between(server, func() error { return send(from+1, from+1+s.rounds()) })
	if err != nil {
		return err
	}
	g.prometheus8 = s.perMillion(cpu)
	out.row("the same into Prometheus by remote write", fmt.Sprintf("%.2f", g.prometheus8), "")
	_, err = server.stop()
	return err
}

var (
	coreShare = regexp.MustCompile(`([\d.]+) % of a core`)
	latency99 = regexp.MustCompile(`p99 ([^,]+),`)
)

// pace measures agents that send at their own moments, by saba bench agents.
func (p *plan) pace(out *table, g *growth, minutes int) error {
	server, err := p.freshServer()
	if err != nil {
		return err
	}
	defer server.cmd.Process.Kill()
	load := func(length time.Duration) (string, error) {
		cmd := exec.Command(p.saba, "bench", "agents", "--server", p.base, "--hosts", fmt.Sprint(g.hosts), "--metrics", fmt.Sprint(metricsAHost), "--for", length.String(), "--keep")
		cmd.Env = append(os.Environ(), "SABA_API_KEY="+apiKey)
		b, err := cmd.CombinedOutput()
		if err != nil {
			return "", fmt.Errorf("saba bench agents: %w: %s", err, b)
		}
		return string(b), nil
	}
	if _, err := load(time.Minute); err != nil { // which makes hosts and series
		return err
	}
	said, err := load(time.Duration(minutes) * time.Minute)
	if err != nil {
		return err
	}
	core, p99 := coreShare.FindStringSubmatch(said), latency99.FindStringSubmatch(said)
	if core == nil || p99 == nil {
		return fmt.Errorf("saba bench agents says %q", said)
	}
	if g.core, err = strconv.ParseFloat(core[1], 64); err != nil {
		return err
	}
	if g.p99, err = time.ParseDuration(p99[1]); err != nil {
		return err
	}
	size, err := readSize(server.cmd.Process.Pid)
	if err != nil {
		return err
	}
	g.resident = float64(size.resident) / (1 << 20)
	goal := func(s string) string { // set for 1,000 hosts
		if g.hosts == 1000 {
			return s
		}
		return ""
	}
	out.row("at the pace of agents", fmt.Sprintf("%.2f %% of a core", g.core), goal("3 %"))
	out.row("99 of 100 requests are answered within", g.p99.String(), "20 ms")
	out.row("resident, and the most so far", mib(size.resident)+", "+mib(size.highest), goal("200 MiB"))
	_, err = server.stop()
	return err
}

// reads measures what pages and monitors ask for: 24 hours of the charts of one host, six of one metric of all.
func (p *plan) reads(out *table, g *growth) error {
	server, err := p.freshServer()
	if err != nil {
		return err
	}
	defer server.cmd.Process.Kill()
	s := &site{hosts: g.hosts, metrics: 1}
	if err := s.register(p.base); err != nil {
		return err
	}
	const graphs = 20
	one := &site{hosts: 1, metrics: graphs, ids: s.ids}
	const together = 1000 // hosts in a request: what is measured comes later
	groups := &site{hosts: (g.hosts + together - 1) / together}
	group := func(b []byte, n int, minute int64) []byte {
		return s.several(b, n*together, min((n+1)*together, g.hosts), minute)
	}
	now := time.Now().Unix() / 60
	for from := now - 23*60 - 50; from < now; from += 60 { // oldest first, as they would have come
		to := min(from+60, now)
		if err := one.send(p.base+"/api/v0/tsdb", 1, from, to, one.plain, sabaHeader()); err != nil {
			return err
		}
		if from < now-6*60 {
			continue
		}
		if err := groups.send(p.base+"/api/v0/tsdb", 2, from, to, group, sabaHeader()); err != nil {
			return err
		}
	}
	request := func(path string, q url.Values) func() error {
		return func() error {
			req, err := http.NewRequest(http.MethodGet, p.base+path+"?"+q.Encode(), nil)
			if err != nil {
				return err
			}
			req.Header = sabaHeader()
			req.Header.Set("Authorization", "Bearer "+apiKey)
			_, err = do(http.DefaultClient, req)
			return err
		}
	}
	all := func(fs ...func() error) func() error {
		return func() error {
			for _, f := range fs {
				if err := f(); err != nil {
					return err
				}
			}
			return nil
		}
	}
	var page []func() error
	for m := range graphs {
		page = append(page, request("/api/v0/hosts/"+s.ids[0]+"/metrics", url.Values{"name": {metricName(m)}, "from": {fmt.Sprint(now*60 - 24*3600)}, "to": {fmt.Sprint(now * 60)}}))
	}
	list := []func() error{request("/api/v0/hosts", nil)}
	for ids := range slices.Chunk(s.ids, together) { // as many as an address has room for
		list = append(list, request("/api/v0/tsdb/latest", url.Values{"hostId": ids, "name": {metricName(0)}}))
	}
	query := url.Values{"query": {fmt.Sprintf("avg by (role) ({%q})", metricName(0))}, "start": {fmt.Sprint(now*60 - 6*3600)}, "end": {fmt.Sprint(now * 60)}, "step": {"300"}}
	for _, r := range []struct {
		name string
		f    func() error
		to   *cost
		goal string
	}{
		{"20 charts of a host over 24 h", all(page...), &g.page, "30 ms"},
		{"list of hosts with a latest value each", all(list...), &g.list, "50 ms"},
		{"PromQL: mean by role over 6 h, 73 steps", request("/api/prom/v1/query_range", query), &g.query, ""},
	} {
		if *r.to, err = costOf(server, r.f); err != nil {
			return err
		}
		goal := r.goal
		if g.hosts != 1000 {
			goal = ""
		}
		out.row(r.name, r.to.String(), goal)
	}
	_, err = server.stop()
	return err
}

// costOf runs f several times and returns the mean of the server's CPU time, and the middle of the time that it took.
func costOf(server *subject, f func() error) (c cost, err error) {
	const times = 20
	if err := f(); err != nil {
		return c, err
	}
	var each []time.Duration
	cpu, err := between(server, func() error {
		for range times {
			begun := time.Now()
			if err := f(); err != nil {
				return err
			}
			each = append(each, time.Since(begun))
		}
		return nil
	})
	slices.Sort(each)
	return cost{cpu / times, each[len(each)/2]}, err
}

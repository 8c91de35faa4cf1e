// Command bench prints what the agent costs: CPU time of its whole process tree, memory, system calls and
// wake-ups, beside its peers of the same minutes, and how soon it begins, catches up and stops. With -server it
// prints what servers of several sizes cost, beside Prometheus with the same samples (server.go); with -lines what log
// lines cost, beside rsyslog (lines.go).
//
// It starts the binaries that make build has left in bin/ and looks at them from outside, on Linux. Everything
// runs at once, so that all meet the same noise. README.md says how to read the figures.
package main

import (
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

const (
	apiKey = "bench-key-0123456789"
	// settle is where in a minute the readings are taken: all has been collected and sent by then.
	settle = 25 * time.Second
)

func main() {
	minutes := flag.Int("minutes", 3, "how many minutes to measure")
	bin := flag.String("bin", "../bin", "folder of the binaries")
	only := flag.String("only", "", "measure only the subjects whose names contain this word")
	keep := flag.Bool("keep", false, "leave the folder with all output behind")
	server := flag.String("server", "", "measure servers with these numbers of `hosts` in place of agents, such as 100,1000,5000")
	lines := flag.Int("lines", 0, "measure log lines in place of agents, at their pace for so many `seconds`")
	drawing := flag.String("drawing", "", "draw what -server measured into this `file`, as SVG")
	flag.Parse()
	var err error
	if *lines > 0 {
		err = lineFigures(*bin, *lines, *keep)
	} else if *server != "" {
		err = serverFigures(*bin, *server, *drawing, *minutes, *keep)
	} else {
		err = run(*minutes, *bin, *only, *keep)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// A plan is where everything stands.
type plan struct {
	saba, agent string   // binaries
	work        string   // folder of all that is written
	base        string   // address of the saba server
	targetPort  string   // what the bundled plugins ask
	redisPort   string   // "" without Redis
	nginxPort   string   // "" without nginx
	mysqlPort   string   // "" without MariaDB
	pgPort      string   // "" without PostgreSQL
	ends        []func() // of what else was started
}

func run(minutes int, bin, only string, keep bool) (err error) {
	bin, err = filepath.Abs(bin)
	if err != nil {
		return err
	}
	p := plan{saba: filepath.Join(bin, "saba"), agent: filepath.Join(bin, "saba-agent")}
	if p.work, err = os.MkdirTemp("", "saba-bench-"); err != nil {
		return err
	}
	if keep {
		fmt.Println("everything is kept in", p.work)
	} else {
		defer os.RemoveAll(p.work)
	}
	info, err := os.Stat(p.agent)
	if err != nil {
		return err
	}
	out := newTable(os.Stdout)
	out.title("saba-agent from its start")
	out.row("size of saba-agent", mib(info.Size()), "16 MiB")
	if err := p.beginnings(out); err != nil {
		return err
	}

	port, endTarget, err := serveTarget()
	if err != nil {
		return err
	}
	defer endTarget()
	p.targetPort = port
	server, err := p.startServer()
	if err != nil {
		return err
	}
	defer server.stop()
	if redis, err := p.startRedis(); err != nil {
		fmt.Println("without Redis:", err)
	} else {
		defer redis.stop()
		if err := p.fillRedis(); err != nil {
			return err
		}
	}
	if mariadb, err := p.startMariaDB(); err != nil {
		fmt.Println("without MariaDB:", err)
	} else {
		defer mariadb.stop()
	}
	if postgres, err := p.startPostgreSQL(); err != nil {
		fmt.Println("without PostgreSQL:", err)
	} else {
		defer postgres.stop()
	}
	if nginx, err := p.startNginx(); err != nil {
		fmt.Println("without nginx:", err)
	} else {
		defer nginx.stop()
	}
	if err := p.processes(out); err != nil {
		return err
	}

	subjects, err := p.subjects(only)
	defer func() {
		for _, end := range p.ends {
			end()
		}
	}()
	defer func() {
		for _, s := range subjects {
			if s.cmd.ProcessState == nil {
				_, _ = s.stop()
			}
		}
	}()
	if err != nil {
		return err
	}
	outages := &outages{}
	if only == "" {
		if outages, err = p.startOutages(); err != nil {
			return err
		}
		defer outages.end()
	}

	// A whole minute passes first, in which all register and read their counters.
	from := time.Now().Truncate(time.Minute).Add(time.Minute + settle)
	if time.Until(from) < 40*time.Second {
		from = from.Add(time.Minute)
	}
	var away sync.WaitGroup
	away.Go(func() { outages.run(from, from.Add(time.Duration(minutes)*time.Minute)) })
	for i := range minutes + 1 {
		time.Sleep(time.Until(from.Add(time.Duration(i) * time.Minute)))
		for _, s := range subjects {
			if err := s.note(); err != nil {
				return err
			}
			if s.minute != nil {
				if err := s.minute(); err != nil {
					return fmt.Errorf("ask %s: %w", s.name, err)
				}
			}
		}
	}
	to := from.Add(time.Duration(minutes) * time.Minute)
	for _, s := range subjects {
		if _, err := s.stop(); err != nil {
			return err
		}
	}
	away.Wait()

	out.title(fmt.Sprintf("CPU time, scaled from %d minutes to an hour; memory and wake-ups", minutes))
	compare(out, subjects)
	p.inside(out, subjects)
	if err := p.calls(out, from, to, minutes); err != nil {
		return err
	}
	outages.print(out)
	return nil
}

// beginnings prints how long after the start of its process the agent asks and sends first.
func (p *plan) beginnings(out *table) error {
	const tries = 3
	var requests, metrics []time.Duration
	for i := range tries {
		e, err := newEndpoint()
		if err != nil {
			return err
		}
		// The agent leaves the last seconds of a minute to the turn that follows.
		if now := time.Now(); now.Second() > 50 {
			time.Sleep(time.Until(now.Truncate(time.Minute).Add(61 * time.Second)))
		}
		begun := time.Now()
		s, err := p.startAgent(fmt.Sprintf("start %d", i), "http://"+e.address, "")
		if err != nil {
			return err
		}
		var request, metric time.Time
		for time.Since(begun) < 15*time.Second && metric.IsZero() {
			time.Sleep(time.Millisecond)
			request, metric = e.beginnings()
		}
		if _, err := s.stop(); err != nil {
			return err
		}
		e.down()
		if metric.IsZero() {
			return fmt.Errorf("the agent has sent nothing for 15 s: see %s", s.folder)
		}
		requests, metrics = append(requests, request.Sub(begun)), append(metrics, metric.Sub(begun))
	}
	out.row("start until the first request", durations(requests), "50 ms")
	out.row("start until the first metrics", durations(metrics), "5 s")
	return nil
}

// startAgent starts an agent that sends to base, with more lines of configuration.
func (p *plan) startAgent(name, base, more string, before ...string) (*subject, error) {
	folder := filepath.Join(p.work, strings.NewReplacer(" ", "-", ",", "").Replace(name))
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, err
	}
	conf := filepath.Join(folder, "agent.toml")
	text := fmt.Sprintf("apikey = %q\napibase = %q\nroot = %q\n%s", apiKey, base, filepath.Join(folder, "root"), more)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		return nil, err
	}
	return start(name, folder, nil, append(before, p.agent, "agent", "--conf", conf)...)
}

// startServer starts the server that the agents send to.
func (p *plan) startServer() (*subject, error) {
	folder := filepath.Join(p.work, "server")
	s, err := start("server", folder, []string{"SABA_API_KEY=" + apiKey}, p.saba, "server", "--listen", "127.0.0.1:0", "--data", filepath.Join(folder, "data"))
	if err != nil {
		return nil, err
	}
	for range 6000 { // a minute: other work may keep the machine busy
		b, err := os.ReadFile(filepath.Join(folder, "out"))
		if err != nil {
			return s, err
		}
		for line := range strings.Lines(string(b)) {
			if f := strings.Fields(line); len(f) == 2 && f[0] == "Console" {
				p.base = f[1]
				return s, nil
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
	return s, fmt.Errorf("the server does not say where it serves: see %s", folder)
}

// startRedis starts the Redis that the bundled plugin watches.
func (p *plan) startRedis() (*subject, error) {
	if _, err := exec.LookPath("redis-server"); err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	s, err := start("redis", filepath.Join(p.work, "redis"), nil, "redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no")
	if err == nil {
		p.redisPort = port
	}
	return s, err
}

func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, err
}

// The script is what people write: a list of files, a sum and the date, which is one process.
const script = `#!/bin/sh
if [ "$MACKEREL_AGENT_PLUGIN_META" = 1 ]; then
	echo '# mackerel-agent-plugin'
	echo '{"graphs":{"procs":{"label":"Processes","unit":"integer","metrics":[{"name":"count","label":"Count"}]}}}'
	exit
fi
printf . >>runs
set -- /proc/[0-9]*
printf 'procs.count\t%d\t%d\n' $# $(date +%s)
`

// subjects starts all that is measured over minutes.
func (p *plan) subjects(only string) (all []*subject, err error) {
	bundled := fmt.Sprintf("[plugin.metrics.gostats]\nplugin = \"gostats -port %s\"\n[plugin.metrics.json]\nplugin = \"json -url http://127.0.0.1:%s/numbers -prefix doc\"\n", p.targetPort, p.targetPort)
	if p.redisPort != "" {
		bundled += fmt.Sprintf("[plugin.metrics.redis]\nplugin = \"redis -port %s\"\n", p.redisPort)
	}
	if p.mysqlPort != "" {
		bundled += fmt.Sprintf("[plugin.metrics.mysql]\nplugin = \"mysql -host 127.0.0.1 -port %s\"\n", p.mysqlPort)
	}
	wide := filepath.Join(p.work, "wide.sh")
	var values strings.Builder
	for i := range 10_000 {
		fmt.Fprintf(&values, "wide.group%d.metric%d\t%d\t0\n", i/100, i%100, i)
	}
	if err := os.WriteFile(filepath.Join(p.work, "values"), []byte(values.String()), 0o644); err != nil {
		return nil, err
	}
	cat := fmt.Sprintf("#!/bin/sh\n[ -z \"$MACKEREL_AGENT_PLUGIN_META\" ] || exit 0\nprintf . >>runs\nexec cat %s\n", filepath.Join(p.work, "values"))
	for file, text := range map[string]string{wide: cat, filepath.Join(p.work, "script.sh"): script} {
		if err := os.WriteFile(file, []byte(text), 0o755); err != nil {
			return nil, err
		}
	}
	plugin := func(name, file string) string {
		return fmt.Sprintf("[plugin.metrics.%s]\ncommand = %q\n", name, file)
	}
	add := func(name string, make func() (*subject, error)) {
		if err != nil || only != "" && !strings.Contains(name, only) {
			return
		}
		var s *subject
		if s, err = make(); s != nil {
			all = append(all, s)
		}
	}
	agent := func(name, more string, before ...string) {
		add(name, func() (*subject, error) { return p.startAgent(name, p.base, more, before...) })
	}
	agent(defaultAgent, "")
	agent("agent, bundled plugins", bundled)
	agent("agent, bundled plugins and a script", bundled+plugin("script", filepath.Join(p.work, "script.sh")))
	agent("agent, 10000 metrics of a plugin", plugin("wide", wide))
	for _, pods := range []int{30, 110} { // 110 is the most that a node has unless told otherwise
		name := fmt.Sprintf("container agent, json, a node of %d Pods", pods)
		add(name, func() (*subject, error) { return p.startContainer(name, pods) })
	}
	for _, b := range p.bundled() {
		if b.prefix != "" {
			agent(insideName(b), insideConfig(b))
		}
	}
	if _, err := exec.LookPath("strace"); err == nil {
		agent(tracedAgent, "", "strace", "-f", "-qq", "-ttt", "-o", filepath.Join(p.work, "trace"))
	} else {
		fmt.Println("without system calls:", err)
	}
	for _, peer := range []func() (*subject, error){p.nodeExporter, p.collectd} {
		s, err := peer()
		if err != nil {
			fmt.Println("without a peer:", err)
			continue
		}
		if only == "" || strings.Contains(s.name, only) {
			all = append(all, s)
		} else if _, err := s.stop(); err != nil {
			return all, err
		}
	}
	return all, err
}

const (
	defaultAgent = "agent, default metrics"
	tracedAgent  = "agent under strace"
)

// nodeExporter starts Prometheus' node_exporter as Debian configures it, asked once a minute.
func (p *plan) nodeExporter() (*subject, error) {
	bin, err := exec.LookPath("prometheus-node-exporter")
	if err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	s, err := start("prometheus-node-exporter", filepath.Join(p.work, "exporter"), nil, bin, "--web.listen-address=127.0.0.1:"+port)
	if err != nil {
		return nil, err
	}
	s.minute = func() error {
		resp, err := http.Get("http://127.0.0.1:" + port + "/metrics")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		_, err = io.Copy(io.Discard, resp.Body)
		return err
	}
	return s, nil
}

// collectd starts collectd with the plugins that Debian turns on, each minute, into files.
func (p *plan) collectd() (*subject, error) {
	bin, err := exec.LookPath("collectd")
	if err != nil {
		if bin, err = exec.LookPath("/usr/sbin/collectd"); err != nil {
			return nil, err
		}
	}
	folder := filepath.Join(p.work, "collectd")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, err
	}
	conf := fmt.Sprintf("Hostname \"bench\"\nFQDNLookup false\nInterval 60\nBaseDir %q\nPIDFile %q\n", folder, filepath.Join(folder, "pid"))
	for _, name := range []string{"battery", "cpu", "df", "disk", "entropy", "interface", "irq", "load", "memory", "processes", "swap", "users", "csv"} {
		conf += "LoadPlugin " + name + "\n"
	}
	conf += fmt.Sprintf("<Plugin csv>\n  DataDir %q\n</Plugin>\n", filepath.Join(folder, "csv"))
	file := filepath.Join(folder, "collectd.conf")
	if err := os.WriteFile(file, []byte(conf), 0o644); err != nil {
		return nil, err
	}
	return start("collectd", folder, nil, bin, "-f", "-C", file)
}

package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// What a turn of a bundled plugin may cost.
const (
	processGoal = "12 ms, 15 MiB"
	insideGoal  = "1 ms"
)

// copies is how many of one plugin an agent runs, so that what one costs stands out from what it costs besides.
const copies = 10

// A bundled plugin with a target that is there.
type bundled struct {
	name, args string
	prefix     string // flag of the names' prefix; "" measures no agent with it
}

// bundled returns the plugins that are measured. What is missing for one is said.
func (p *plan) bundled() []bundled {
	all := []bundled{
		{"gostats", "-sample 0 -port " + p.targetPort, "-metric-key-prefix"},
		{"inode", "", ""},
		{"json", "-url http://127.0.0.1:" + p.targetPort + "/numbers", "-prefix"},
		{"multicore", "", ""},
		{"proc-fd", "-process saba", ""},
		{"procs", "-pattern saba=saba", ""},
		{"uptime", "", ""},
	}
	if p.redisPort != "" {
		all = append(all, bundled{"redis", "-port " + p.redisPort, "-metric-key-prefix"}, bundled{"sidekiq", "-port " + p.redisPort, "-metric-key-prefix"})
	}
	if p.nginxPort != "" {
		all = append(all, bundled{"nginx", "-port " + p.nginxPort, "-metric-key-prefix"})
	}
	if p.mysqlPort != "" {
		all = append(all, bundled{"mysql", "-host 127.0.0.1 -port " + p.mysqlPort, "-metric-key-prefix"})
	}
	if p.pgPort != "" {
		all = append(all, bundled{"postgres", "-hostname 127.0.0.1 -user postgres -port " + p.pgPort, "-metric-key-prefix"})
	}
	return all
}

// startNginx starts the nginx that the bundled plugin watches.
func (p *plan) startNginx() (*subject, error) {
	const bin = "/usr/sbin/nginx"
	if _, err := os.Stat(bin); err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	folder := filepath.Join(p.work, "nginx")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, err
	}
	conf := filepath.Join(folder, "conf")
	text := fmt.Sprintf("daemon off; master_process off; pid pid; error_log stderr; events {}\nhttp { access_log off; client_body_temp_path a; proxy_temp_path b; fastcgi_temp_path c; uwsgi_temp_path d; scgi_temp_path e; server { listen 127.0.0.1:%s; location = /nginx_status { stub_status; } } }\n", port)
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		return nil, err
	}
	s, err := start("nginx", folder, nil, bin, "-p", folder, "-e", "stderr", "-c", conf)
	if err == nil {
		p.nginxPort = port
		err = answers(port)
	}
	return s, err
}

// startMariaDB starts the MariaDB that the bundled plugin watches, as its user root without a password.
func (p *plan) startMariaDB() (*subject, error) {
	bin, err := exec.LookPath("mariadbd")
	if err != nil {
		bin = "/usr/sbin/mariadbd" // which is not on everybody's path
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	folder := filepath.Join(p.work, "mariadb")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, err
	}
	own := []string{"--no-defaults", "--datadir=" + filepath.Join(folder, "data"), "--tmpdir=" + folder}
	if os.Geteuid() == 0 {
		own = append(own, "--user=root")
	}
	install := exec.Command("mariadb-install-db", append(own, "--auth-root-authentication-method=normal", "--skip-test-db")...)
	if out, err := install.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, out)
	}
	command := append([]string{bin}, own...)
	s, err := start("mariadb", folder, nil, append(command, "--port="+port, "--bind-address=127.0.0.1",
		"--socket="+filepath.Join(folder, "s"), "--pid-file="+filepath.Join(folder, "pid"), "--skip-name-resolve")...)
	if err != nil {
		return nil, err
	}
	if err := answers(port); err != nil {
		_, _ = s.stop()
		return nil, err
	}
	p.mysqlPort = port
	return s, nil
}

// startPostgreSQL starts the PostgreSQL that the bundled plugin watches, as its user postgres without a password. It
// refuses to run as root, and then runs as its own user of the host.
func (p *plan) startPostgreSQL() (*subject, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin") // Debian's, which are on nobody's path
	if err != nil || len(found) == 0 {
		return nil, errors.New("there is none in /usr/lib/postgresql")
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	folder := filepath.Join(p.work, "postgresql")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, err
	}
	var as []string
	if os.Geteuid() == 0 {
		as = []string{"setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"}
		out, err := exec.Command("chown", "postgres", folder).CombinedOutput()
		if err := errors.Join(err, os.Chmod(p.work, 0o711)); err != nil { // that user has to pass through
			return nil, fmt.Errorf("%w: %s", err, out)
		}
	}
	command := func(name string, args ...string) []string {
		return slices.Concat(as, []string{filepath.Join(found[len(found)-1], name)}, args)
	}
	data := filepath.Join(folder, "data")
	initdb := command("initdb", "-D", data, "-U", "postgres", "-A", "trust", "-N")
	if out, err := exec.Command(initdb[0], initdb[1:]...).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, out)
	}
	s, err := start("postgresql", folder, nil, command("postgres", "-D", data, "-p", port, "-k", folder)...)
	if err != nil {
		return nil, err
	}
	ready := command("pg_isready", "-q", "-h", "127.0.0.1", "-p", port)
	for range 1000 {
		if err = exec.Command(ready[0], ready[1:]...).Run(); err == nil {
			p.pgPort = port
			return s, nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	_, _ = s.stop()
	return nil, err
}

// answers waits until something takes connections at a port.
func answers(port string) error {
	var err error
	for range 1000 {
		var c net.Conn
		if c, err = net.Dial("tcp", "127.0.0.1:"+port); err == nil {
			return c.Close()
		}
		time.Sleep(10 * time.Millisecond)
	}
	return err
}

// fillRedis makes the Redis one that a Sidekiq has worked in, with ten queues.
func (p *plan) fillRedis() error {
	if err := answers(p.redisPort); err != nil {
		return err
	}
	c, err := net.Dial("tcp", "127.0.0.1:"+p.redisPort)
	if err != nil {
		return err
	}
	defer c.Close()
	lines := []string{"SET stat:processed 1000", "SET stat:failed 10"}
	for i := range 10 {
		lines = append(lines, fmt.Sprintf("SADD queues q%d", i), fmt.Sprintf("LPUSH queue:q%d {\"enqueued_at\":%d}", i, time.Now().Unix()))
	}
	if _, err := fmt.Fprintf(c, "%s\r\nQUIT\r\n", strings.Join(lines, "\r\n")); err != nil {
		return err
	}
	buf := make([]byte, 4096)
	for { // until it has done all and hangs up
		if _, err := c.Read(buf); err != nil {
			return nil
		}
	}
}

// processes prints what the bundled plugins cost as processes of their own.
func (p *plan) processes(out *table) error {
	out.title("bundled plugins, each as a process")
	for _, b := range p.bundled() {
		const tries = 11
		var times []time.Duration
		var most int64
		for i := range tries + 1 {
			cpu, highest, err := measure(append([]string{p.agent, "plugin", b.name}, strings.Fields(b.args)...), filepath.Join(p.work, "state"))
			if err != nil {
				return err
			}
			if i == 0 {
				continue // it may have read the program from the disk
			}
			times, most = append(times, cpu), max(most, highest)
		}
		slices.Sort(times)
		ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
		out.row(b.name, fmt.Sprintf("%.1f ms CPU (%.1f to %.1f), %s", ms(times[tries/2]), ms(times[0]), ms(times[tries-1]), mib(most)), processGoal)
	}
	return nil
}

// measure runs a command and returns its CPU time and the most memory that it held at once. It
// looks at the process when that has ended and its memory is still there: the kernel's own account of the
// most memory begins with what we hold, as the child shares that until it becomes the command.
func measure(command []string, folder string) (cpu time.Duration, highest int64, err error) {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return 0, 0, err
	}
	var stderr strings.Builder
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stderr = &stderr
	cmd.Env = append(os.Environ(), "MACKEREL_PLUGIN_WORKDIR="+folder)
	cmd.SysProcAttr = &syscall.SysProcAttr{Ptrace: true}
	runtime.LockOSThread() // only the thread that traces may ask
	defer runtime.UnlockOSThread()
	if err := cmd.Start(); err != nil {
		return 0, 0, err
	}
	pid := cmd.Process.Pid
	const traceExit = 0x40                                                  // PTRACE_O_TRACEEXIT
	const exitEvent = syscall.WaitStatus(syscall.SIGTRAP<<8 | 6<<16 | 0x7f) // PTRACE_EVENT_EXIT
	var status syscall.WaitStatus
	var usage syscall.Rusage
	for first := true; ; first = false {
		if _, err := syscall.Wait4(pid, &status, 0, &usage); err != nil {
			return 0, 0, err
		}
		if status.Exited() || status.Signaled() {
			break
		}
		signal := 0
		switch {
		case first:
			err = syscall.PtraceSetOptions(pid, traceExit)
		case status == exitEvent:
			var s size
			s, err = readSize(pid)
			highest = s.highest
		default:
			signal = int(status.StopSignal())
		}
		if err != nil {
			return 0, 0, err
		}
		if err := syscall.PtraceCont(pid, signal); err != nil {
			return 0, 0, err
		}
	}
	_ = cmd.Wait() // it is reaped; the copy of stderr ends
	if status.ExitStatus() != 0 {
		return 0, 0, fmt.Errorf("%s: exit code %d: %s", strings.Join(command, " "), status.ExitStatus(), stderr.String())
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()), highest, nil
}

// insideName names the agent that runs copies of a plugin.
func insideName(b bundled) string { return "agent, " + strconv.Itoa(copies) + " times " + b.name }

// insideConfig is what makes an agent run copies of a plugin.
func insideConfig(b bundled) string {
	var text strings.Builder
	for i := range copies {
		fmt.Fprintf(&text, "[plugin.metrics.p%d]\nplugin = \"%s %s %s copy%d\"\n", i, b.name, b.args, b.prefix, i)
	}
	return text.String()
}

// inside prints what a turn of each plugin costs an agent, sent and kept: what its minutes took beyond those of
// an agent without plugins.
func (p *plan) inside(out *table, subjects []*subject) {
	minute := map[string]float64{}
	for _, s := range subjects {
		minute[s.name], _, _ = s.perMinute(func(r reading) float64 { return r.cpu.Seconds() * 1000 })
	}
	out.title("a turn of a bundled plugin inside the agent")
	for _, b := range p.bundled() {
		if ms, ok := minute[insideName(b)]; ok && minute[defaultAgent] > 0 {
			out.row(b.name, fmt.Sprintf("%.2f ms CPU", (ms-minute[defaultAgent])/copies), insideGoal)
		}
	}
}

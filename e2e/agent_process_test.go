package e2e

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// hangs is a server that takes posts of values and never answers them.
func hangs(x *exchange) bool {
	if x.n == 0 {
		return false
	}
	x.read()
	x.wait(0)
	return true
}

// posted waits until the server has seen n posts of values.
func (s *testServer) posted(n int) {
	s.t.Helper()
	eventually(s.t, fmt.Sprintf("post %d", n), func() (ok bool) {
		s.check(func() { ok = len(s.posts) >= n })
		return ok
	})
}

// everything waits until the server has all that the agent's plugin has printed.
func (a *testAgent) everything(s *testServer) {
	a.t.Helper()
	missing := ""
	defer func() {
		if missing != "" {
			a.t.Log(missing)
		}
	}()
	eventually(a.t, "every value", func() bool { missing = a.numbered.missing(s, "host1", pointID{}); return missing == "" })
}

// quietPlugin keeps the next start from printing the numbered values of an earlier one again.
func (a *testAgent) quietPlugin() {
	a.t.Helper()
	write(a.t, a.numbered.script, "exit 0\n")
}

// kill -9 while nobody takes the values: the next process sends what that one had.
func TestKillOfTheAgentLosesNothing(t *testing.T) {
	t.Parallel()
	s := newTestServer(t)
	a := newTestAgent(t, s, "")
	a.start()
	a.queued(true)
	a.kill()
	a.quietPlugin()
	a.start()
	a.match(`the queue holds values of an earlier run`)
	a.kill()
	s.listen()
	a.start()
	a.everything(s)
	a.queued(false)
	a.kill()
	a.start()
	a.queued(false)
	a.stop()
	s.sound()
}

// Whatever becomes of the file with the host's id, the machine does not become a second host.
func TestALostIDMakesNoSecondHost(t *testing.T) {
	hasMachineID := false
	if b, err := os.ReadFile("/etc/machine-id"); err == nil {
		hasMachineID = len(strings.TrimSpace(string(b))) == 32
	}
	for name, tt := range map[string]struct {
		spoil func(t *testing.T, root string)
		says  string
		waits bool // for a person
	}{
		"gone":                      {func(t *testing.T, root string) { remove(t, root+"/id") }, `id is gone: the host's id was taken from its copy`, false},
		"empty":                     {func(t *testing.T, root string) { write(t, root+"/id", "") }, `id does not hold an id: the host's id was taken from its copy`, false},
		"full of NULs":              {func(t *testing.T, root string) { write(t, root+"/id", strings.Repeat("\x00", 11)) }, `id does not hold an id: the host's id was taken from its copy`, false},
		"rubbish":                   {func(t *testing.T, root string) { write(t, root+"/id", "a b\nc") }, `id does not hold an id: the host's id was taken from its copy`, false},
		"well, and its copy is not": {func(t *testing.T, root string) { write(t, root+"/host.json", "\x00\x00") }, `the server knows this host`, false},
		"empty, and its copy too":   {func(t *testing.T, root string) { write(t, root+"/id", ""); write(t, root+"/host.json", "") }, `does not hold an id, so nothing is sent`, true},
		"full of NULs, and its copy gone": {func(t *testing.T, root string) {
			write(t, root+"/id", strings.Repeat("\x00", 11))
			remove(t, root+"/host.json")
		}, `does not hold an id, so nothing is sent`, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if name == "gone" && !hasMachineID {
				t.Log("this machine has no id of its own: a lost file cannot be told from one that a person deleted")
				return
			}
			s := startTestServer(t, nil)
			a := newTestAgent(t, s, "")
			a.start()
			a.match(`registered this host`)
			a.everything(s)
			a.stop()
			tt.spoil(t, a.dir+"/root")
			a.start()
			a.match(tt.says)
			if tt.waits {
				st := agentStatus{}
				eventually(t, "a problem in the status", func() bool { st, _ = a.status(); return len(st.Problems) > 0 })
				if st.Host.State == "registered" || !strings.Contains(strings.Join(st.Problems, "\n"), "does not hold an id") {
					t.Errorf("status = %+v", st)
				}
				// The person writes the id, and the agent goes on with the next start.
				a.stop()
				write(t, a.dir+"/root/id", "host1")
				a.start()
			}
			eventually(t, "the host", func() bool { st, ok := a.status(); return ok && st.Host.ID == "host1" && st.Host.State == "registered" })
			a.stop()
			if b, err := os.ReadFile(a.dir + "/root/id"); err != nil || string(b) != "host1" {
				t.Errorf("the id file holds %q afterwards, %v", b, err)
			}
			s.sound()
		})
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

// A manager is the service manager of an agent: it hears what that says.
type manager struct {
	t    *testing.T
	conn *net.UnixConn
	addr string
}

func newManager(t *testing.T, dir string) *manager {
	t.Helper()
	addr := filepath.Join(dir, "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: addr, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &manager{t, conn, addr}
}

// hears waits until the agent has said state.
func (m *manager) hears(state string) {
	m.t.Helper()
	if err := m.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		m.t.Fatal(err)
	}
	b := make([]byte, 256)
	for {
		n, err := m.conn.Read(b)
		if err != nil {
			m.t.Fatalf("the agent did not say %s: %v", state, err)
		}
		if string(b[:n]) == state {
			return
		}
	}
}

func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// A TERM while the server hangs ends the agent by itself, and what it had is sent by the next start.
func TestATermIsNotHeldUpByAServerThatHangs(t *testing.T) {
	t.Parallel()
	s := startTestServer(t, hangs)
	a := newTestAgent(t, s, "")
	a.start()
	s.posted(1)
	began := time.Now()
	a.signal(syscall.SIGTERM)
	if code := a.wait(); code != 0 {
		t.Errorf("exit code %d after a TERM", code)
	}
	// 5 s are promised, and the wait for one answer alone is 30 s.
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("the agent took %v to end", took)
	}
	if out := a.output(); strings.Contains(out, "lost") || strings.Contains(out, "level=ERROR") || !strings.Contains(out, "kept for the next start") {
		t.Errorf("the agent does not say that it keeps everything:\n%s", out)
	}
	a.quietPlugin()
	s.misbehave(nil)
	a.start()
	a.everything(s)
	a.stop()
	s.sound()
}

// A second TERM ends the agent where it stands, which loses nothing either.
func TestASecondTermForces(t *testing.T) {
	t.Parallel()
	s := startTestServer(t, hangs)
	a := newTestAgent(t, s, "")
	m := newManager(t, a.dir)
	a.start("NOTIFY_SOCKET=" + m.addr)
	s.posted(1)
	a.signal(syscall.SIGTERM)
	m.hears("STOPPING=1")
	eventually(t, "the end", func() bool { // a signal that comes within a second of the first is one with it
		a.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-a.exited:
			return true
		default:
			return false
		}
	})
	if ws := a.cmd.ProcessState.Sys().(syscall.WaitStatus); !ws.Signaled() || ws.Signal() != syscall.SIGTERM {
		t.Errorf("the agent ended with %v, want by the second TERM", a.cmd.ProcessState)
	}
	a.quietPlugin()
	s.misbehave(nil)
	a.start()
	a.everything(s)
	a.stop()
	s.sound()
}

// Who sends a TERM to the process and to its group has not asked twice.
func TestTermsOfOneMomentAreOne(t *testing.T) {
	t.Parallel()
	s := startTestServer(t, hangs)
	a := newTestAgent(t, s, "")
	a.start()
	s.posted(1)
	for first := time.Now(); time.Since(first) < 500*time.Millisecond; {
		a.cmd.Process.Signal(syscall.SIGTERM)
		time.Sleep(10 * time.Millisecond)
	}
	if code := a.wait(); code != 0 {
		t.Errorf("the agent ended with %v, want 0", a.cmd.ProcessState)
	}
	a.match(`the agent has stopped`)
}

// HUP takes a new configuration, and keeps the old one when the new one is wrong.
func TestAHangupReloads(t *testing.T) {
	t.Parallel()
	s := startTestServer(t, nil)
	a := newTestAgent(t, s, "")
	m := newManager(t, a.dir)
	a.start("NOTIFY_SOCKET=" + m.addr)
	m.hears("READY=1")
	a.everything(s)
	good, err := os.ReadFile(a.conf)
	if err != nil {
		t.Fatal(err)
	}

	write(t, a.conf, string(good)+"\nthis is [no toml\n")
	a.signal(syscall.SIGHUP)
	m.hears("RELOADING=1")
	m.hears("READY=1")
	a.match(`the configuration was not reloaded: the agent goes on with the one before`)
	st, ok := a.status()
	if !ok || !strings.Contains(st.Config.Refused, "agent.toml:") || len(st.Problems) == 0 {
		t.Errorf("after a wrong configuration the status is %+v, want the file and the line that is wrong", st)
	}
	if len(st.Sources) == 0 || st.Host.State != "registered" {
		t.Errorf("after a wrong configuration the agent does not go on: %+v", st)
	}

	meta := write(t, a.dir+"/drawn.sh", `#!/bin/sh
if [ "$MACKEREL_AGENT_PLUGIN_META" = 1 ]; then
	echo '# mackerel-agent-plugin'
	echo '{"graphs":{"fresh":{"label":"Fresh","metrics":[{"name":"n","label":"N"}]}}}'
	exit 0
fi
printf 'fresh.n\t1\t0\n'
`)
	write(t, a.conf, string(good)+fmt.Sprintf("\n[plugin.metrics.fresh]\ncommand = [\"sh\", %q]\n", meta))
	a.signal(syscall.SIGHUP)
	a.match(`the configuration was reloaded.*plugins=2`)
	eventually(t, "the graph of the new plugin", func() (there bool) {
		s.check(func() { there = strings.Contains(strings.Join(s.defs, "\n"), "custom.fresh") })
		return there
	})
	if st, ok := a.status(); !ok || st.Config.Refused != "" || !strings.Contains(fmt.Sprint(st.Sources), "fresh") {
		t.Errorf("after a good configuration the status is %+v", st)
	}
	a.stop()
	s.sound()
}

// Two agents with one folder would be one host twice: the second refuses, and the first does not notice.
func TestTwoAgentsWithOneFolder(t *testing.T) {
	t.Parallel()
	s := startTestServer(t, nil)
	a := newTestAgent(t, s, "")
	a.start()
	a.everything(s)
	second := start(t, nil, "saba-agent", "agent", "--conf", a.conf)
	if code := second.wait(); code == 0 {
		t.Error("the second agent ended with exit code 0")
	}
	said := regexp.MustCompile(`(?m)^.*level=INFO msg="the agent starts".*\n`).ReplaceAllString(second.output(), "")
	if !strings.Contains(said, "is in use by another agent") || strings.Count(said, "\n") != 1 {
		t.Errorf("the second agent says %q, want one sentence", said)
	}
	if st, ok := a.status(); !ok || st.Host.ID != "host1" {
		t.Errorf("the status of the first agent afterwards is %+v, there: %v", st, ok)
	}
	a.stop()
	s.sound()
}

// A disk on which nothing larger fits: it is said once, and the values reach the server from memory.
func TestAFullDiskCostsNoValue(t *testing.T) {
	t.Parallel()
	s := startTestServer(t, first(2, answers(500, failure("not yet"))))
	a := newTestAgent(t, s, "")
	limited := write(t, a.dir+"/limited.sh", "#!/bin/sh\nulimit -f 1\nexec \"$@\"\n")
	binary, err := filepath.Rel(binaries, limited)
	if err != nil {
		t.Fatal(err)
	}
	// The plugin's ledger is small enough.
	a.process = start(t, nil, binary, filepath.Join(binaries, "saba-agent"), "agent", "--conf", a.conf)
	a.match(`the queue cannot be kept on disk: new values are kept in memory`)
	a.everything(s)
	a.queued(false)
	a.stop()
	if n := strings.Count(a.output(), "cannot be kept on disk"); n != 1 {
		t.Errorf("that the disk is full is said %d times:\n%s", n, a.output())
	}
	s.sound()
}

// A folder that has become read-only costs neither the start nor a value, and makes no second host.
func TestAReadOnlyFolderCostsNoValue(t *testing.T) {
	t.Parallel()
	s := startTestServer(t, nil)
	a := newTestAgent(t, s, "")
	a.start()
	a.everything(s)
	a.stop()
	remove(t, a.numbered.ledger) // the next agent shall bring all of it again
	for path, mode := range map[string]os.FileMode{
		a.dir: 0o777, a.conf: 0o644, a.numbered.script: 0o755, binaries: 0o755, a.dir + "/root": 0o555,
	} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	program := []string{filepath.Join(binaries, "saba-agent"), "agent", "--conf", a.conf}
	if os.Geteuid() == 0 { // whom no mode keeps out
		program = append([]string{"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"}, program...)
	}
	as := write(t, a.dir+"/as.sh", "#!/bin/sh\nexec \"$@\"\n")
	binary, err := filepath.Rel(binaries, as)
	if err != nil {
		t.Fatal(err)
	}
	before := 0
	s.check(func() { before = len(s.posts) })
	a.process = start(t, nil, binary, program...)
	a.match(`nothing can be kept`)
	a.everything(s)
	s.posted(before + 1)
	a.stop()
	if n := hostsMade(s); n != 1 {
		t.Errorf("%d hosts were made, want one", n)
	}
}

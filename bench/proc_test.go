package main

import (
	"os"
	"os/exec"
	"testing"
	"time"
)

func TestParseCall(t *testing.T) {
	for name, tt := range map[string]struct {
		line, want string
	}{
		"a call":               {`12 1700000000.250000 read(3, "", 512) = 0`, "read"},
		"the first of its two": {`12 1700000000.250000 futex(0x55, FUTEX_WAIT_PRIVATE, 0, NULL <unfinished ...>`, "futex"},
		"the second does not":  {`12 1700000000.250000 <... futex resumed>) = 0`, ""},
		"a signal":             {`12 1700000000.250000 --- SIGURG {si_signo=SIGURG} ---`, ""},
		"an exit":              {`12 1700000000.250000 +++ exited with 0 +++`, ""},
		"no time":              {`12 read(3, "", 512) = 0`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			at, got, ok := parseCall(tt.line)
			if got != tt.want || ok != (tt.want != "") {
				t.Errorf("parseCall(%q) = %q, %v; want %q", tt.line, got, ok, tt.want)
			}
			if ok && !at.Equal(time.UnixMilli(1700000000250)) {
				t.Errorf("parseCall(%q) is at %v", tt.line, at)
			}
		})
	}
}

func TestStatusField(t *testing.T) {
	const text = "Name:\tx\nVmRSS:\t  9656 kB\nnonvoluntary_ctxt_switches:\t7\nvoluntary_ctxt_switches:\t42\n"
	for key, want := range map[string]int64{"VmRSS": 9656, "voluntary_ctxt_switches": 42} {
		if got, err := statusField(text, key); err != nil || got != want {
			t.Errorf("statusField(%s) = %d, %v; want %d", key, got, err, want)
		}
	}
	if n, err := statusField(text, "VmHWM"); err == nil {
		t.Errorf("a missing field is %d and no error", n)
	}
}

// The clock of a process that has ended can be read until it is reaped, and its children's is not in it.
func TestClockOfAnEndedProcess(t *testing.T) {
	const spin = "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done"
	cmd := exec.Command("sh", "-c", "sh -c '"+spin+"'; true")
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := finish(cmd.Process.Pid); err != nil {
		t.Fatal(err)
	}
	own, err := cpuClock(cmd.Process.Pid)
	if err != nil || own <= 0 {
		t.Errorf("the clock of a process that has ended = %v, %v", own, err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if all := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(); all < own {
		t.Errorf("the process took %v and its tree %v", own, all)
	}
}

package agent

import (
	"bytes"
	"context"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// buryEvery is how often the first process of a container looks for processes that have ended and that nobody waits for.
const buryEvery = 30 * time.Second

// looksBefore is how many looks in a row find a process that nobody waits for. What the agent itself has started is
// waited for within a moment of its end; two, and it could meet a machine that was paused in this moment.
const looksBefore = 3

// A zombie is a process that has ended and was not waited for. The start tells two of one number apart.
type zombie struct {
	pid   int
	start string // clock ticks since boot
}

// buryOrphans waits for processes that others have left behind: they become children of the first process in a
// container, and each keeps its number until that one waits for it. It returns when ctx ends.
func buryOrphans(ctx context.Context) {
	var seen map[zombie]int
	for sleep(ctx, buryEvery) {
		seen = bury(seen)
	}
}

// bury is one look. seen is how many looks in a row have found which zombie, as the look before returned it.
func bury(seen map[zombie]int) map[zombie]int {
	found := map[zombie]int{}
	for _, z := range zombies(os.Getpid()) {
		if found[z] = seen[z] + 1; found[z] >= looksBefore {
			_, _ = unix.Wait4(z.pid, nil, unix.WNOHANG, nil) // nothing depends on it, and the next look comes
		}
	}
	return found
}

// zombies returns the children of parent that have ended and were not waited for.
func zombies(parent int) []zombie {
	procs, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var found []zombie
	for _, p := range procs {
		pid, err := strconv.Atoi(p.Name())
		if err != nil {
			continue
		}
		stat, err := os.ReadFile("/proc/" + p.Name() + "/stat")
		if err != nil {
			continue // it is gone
		}
		// proc_pid_stat(5): the state (3rd), the parent (4th) … the start (22nd) follow the name, which may hold anything.
		f := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
		if len(f) > 19 && string(f[0]) == "Z" && string(f[1]) == strconv.Itoa(parent) {
			found = append(found, zombie{pid, string(f[19])})
		}
	}
	return found
}

package collect

import (
	"errors"
	"time"
)

// SinceBoot returns the time since the machine was started, suspension included: a clock that nobody sets. While
// a hypervisor pauses the machine it may stand still. It fails on systems other than Linux.
func SinceBoot() (time.Duration, error) { return hostClock() }

// BootID returns what tells this boot of the machine from every other one: random(4), boot_id.
func BootID() (string, error) {
	id, ok := readTrimmed(procOrHost(nil), "sys/kernel/random/boot_id")
	if !ok || id == "" {
		return "", errors.New("the kernel tells no id of its boot")
	}
	return id, nil
}

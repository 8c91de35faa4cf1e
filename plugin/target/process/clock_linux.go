package process

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// hostClock returns the time since boot, suspension included. It is that of Process.Start, also in
// a container with a clock of its own, where /proc/uptime may tell another.
func hostClock() (time.Duration, error) {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return 0, fmt.Errorf("read the clock since boot: %w", err)
	}
	return time.Duration(ts.Nano()), nil
}

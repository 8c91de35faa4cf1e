//go:build !linux

package process

import (
	"errors"
	"fmt"
	"time"
)

func hostClock() (time.Duration, error) {
	return 0, fmt.Errorf("list the processes: %w: only Linux tells them", errors.ErrUnsupported)
}

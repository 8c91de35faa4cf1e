package tail

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// lock keeps a second process from reading with the same state file: each would send what the other does. The lock ends with the process.
func lock(state string) (unlock func() error, err error) {
	f, err := os.OpenFile(state+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("the state file cannot be kept: %w; give another place with --state", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		err = errors.Join(fmt.Errorf("another process sends the same lines, with the state file %s: stop it, or give another file with --state", state), f.Close())
		return nil, err
	}
	return f.Close, nil
}

package server

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// lockFolder makes the data folder if it is missing and holds it for this process until the
// returned function is called. The lock is flock(2): the kernel drops it when the process
// ends in whatever way, so that a kill leaves nothing to clean up.
func lockFolder(dir string) (unlock func() error, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("the data folder %s cannot be made: %w; choose another with --data", dir, reason(err))
	}
	path := filepath.Join(dir, "lock")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("the data folder %s cannot be written: %w; mend its permissions, or choose another with --data", dir, reason(err))
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		owner, _ := os.ReadFile(path) // best effort: the sentence is complete without it
		f.Close()
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("the data folder %s cannot be locked: %w", dir, err)
		}
		who := ""
		if pid := strings.TrimSpace(string(owner)); pid != "" {
			who = " (process " + pid + ")"
		}
		return nil, fmt.Errorf("the data folder %s is in use by another saba%s: stop that one, or choose another folder with --data", dir, who)
	}
	err = f.Truncate(0)
	if err == nil {
		_, err = f.WriteAt(fmt.Appendln(nil, os.Getpid()), 0)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("the data folder %s cannot be written: %w; free some space, or choose another with --data", dir, reason(err))
	}
	return f.Close, nil
}

// reason strips the operation and path from a file error: the sentence around it names them.
func reason(err error) error {
	var pe *os.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// A subject is a process that is measured.
type subject struct {
	name   string
	folder string // its own, where it runs; its children write one byte a run into the file "runs"
	cmd    *exec.Cmd
	minute func() error // what the outside asks of it once a minute; may be nil

	readings []reading // one before the first minute, and one after each
	size     size      // after the last minute
	children time.Duration
	runs     int // of its children, over its whole life
}

// start starts a command in a folder of its own, with its output in the file "out" there.
func start(name, folder string, environ []string, command ...string) (*subject, error) {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, err
	}
	out, err := os.Create(filepath.Join(folder, "out"))
	if err != nil {
		return nil, err
	}
	defer out.Close()
	s := &subject{name: name, folder: folder, cmd: exec.Command(command[0], command[1:]...)}
	s.cmd.Dir, s.cmd.Stdout, s.cmd.Stderr = folder, out, out
	s.cmd.Env = append(os.Environ(), environ...)
	// It ends with us, however we end.
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	return s, nil
}

// note reads what the subject has cost by now.
func (s *subject) note() error {
	r, err := read(s.cmd.Process.Pid)
	if err != nil {
		return fmt.Errorf("%s has ended: see %s: %w", s.name, filepath.Join(s.folder, "out"), err)
	}
	s.readings = append(s.readings, r)
	s.size, err = readSize(s.cmd.Process.Pid)
	return err
}

// stop ends the subject, within 30 s, and returns how long that took. It reads what its children have cost,
// to a microsecond: all that its tree has cost less its own part.
func (s *subject) stop() (time.Duration, error) {
	pid := s.cmd.Process.Pid
	begun := time.Now()
	// The whole group: strace itself leaves a signal to what it traces.
	if err := syscall.Kill(-pid, syscall.SIGTERM); err != nil {
		return 0, fmt.Errorf("end %s: %w", s.name, err)
	}
	deadline := time.AfterFunc(30*time.Second, func() { _ = syscall.Kill(-pid, syscall.SIGKILL) })
	defer deadline.Stop()
	if err := finish(pid); err != nil {
		return 0, err
	}
	took := time.Since(begun)
	own, err := cpuClock(pid)
	if err != nil {
		return took, err
	}
	err = s.cmd.Wait()
	if _, exit := errors.AsType[*exec.ExitError](err); err != nil && !exit {
		return took, err
	}
	s.children = max(s.cmd.ProcessState.UserTime()+s.cmd.ProcessState.SystemTime()-own, 0)
	b, err := os.ReadFile(filepath.Join(s.folder, "runs"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return took, err
	}
	s.runs = len(b)
	return took, nil
}

// perMinute returns the mean, the least and the most of what a minute took of a figure.
func (s *subject) perMinute(figure func(reading) float64) (mean, least, most float64) {
	var each []float64
	for i := range len(s.readings) - 1 {
		each = append(each, figure(s.readings[i+1])-figure(s.readings[i]))
	}
	if len(each) == 0 {
		return 0, 0, 0
	}
	sum := 0.0
	for _, v := range each {
		sum += v
	}
	return sum / float64(len(each)), slices.Min(each), slices.Max(each)
}

// cpuAnHour returns the CPU seconds that an hour takes: by the mean of the minutes, the cheapest and the
// dearest of them, and the part of the children in each. A child runs once a minute.
func (s *subject) cpuAnHour() (mean, least, most, children float64) {
	mean, least, most = s.perMinute(func(r reading) float64 { return r.cpu.Seconds() })
	if s.runs > 0 {
		children = s.children.Seconds() / float64(s.runs)
	}
	return 60 * (mean + children), 60 * (least + children), 60 * (most + children), 60 * children
}

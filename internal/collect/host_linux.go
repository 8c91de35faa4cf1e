package collect

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// A hostFolder is a folder of this host. It reads a file with one open, read to the end and
// close, straight from the kernel: the os package would make a poller watch each file, which
// costs more than the files of /proc do. It may be used from several goroutines.
type hostFolder struct {
	fs.ReadLinkFS // for listing, and links
	dir           string

	mu  sync.Mutex
	buf []byte // of the last reading, for the next; nil while one is under way
}

func hostFS(dir string) fs.FS {
	return &hostFolder{ReadLinkFS: os.DirFS(dir).(fs.ReadLinkFS), dir: dir} // as os.DirFS promises
}

const (
	readBuffer  = 16 << 10 // bytes to begin with: most files of /proc fit
	keptBuffer  = 64 << 10 // bytes that are kept for the next reading, at most
	maxTextFile = 16 << 20 // bytes: a table of mounts can be long, none is longer than this
)

// readText returns a file's text. It blocks for as long as the kernel takes.
func (h *hostFolder) readText(name string) (string, error) {
	path := h.dir + "/" + name
	fd, err := retried(func() (int, error) { return unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0) })
	if err != nil {
		return "", &fs.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	buf := h.takeBuffer()
	defer func() { h.keepBuffer(buf) }()
	for n := 0; ; {
		if n == len(buf) {
			if n >= maxTextFile {
				return "", &fs.PathError{Op: "read", Path: path, Err: unix.EFBIG}
			}
			buf = append(buf, make([]byte, n)...)
		}
		got, err := retried(func() (int, error) { return unix.Read(fd, buf[n:]) })
		if err != nil {
			return "", &fs.PathError{Op: "read", Path: path, Err: err}
		}
		if got == 0 { // the kernel hands out a long file page by page: only nothing is its end
			return string(buf[:n]), nil
		}
		n += got
	}
}

// retried repeats a system call that a signal interrupted.
func retried(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if err != unix.EINTR {
			return n, err
		}
	}
}

func (h *hostFolder) takeBuffer() []byte {
	h.mu.Lock()
	defer h.mu.Unlock()
	buf := h.buf
	if h.buf = nil; buf == nil {
		buf = make([]byte, readBuffer)
	}
	return buf
}

func (h *hostFolder) keepBuffer(buf []byte) {
	if len(buf) > keptBuffer {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.buf = buf
}

// hostClock returns the time since boot, suspension included (clock_gettime(2), CLOCK_BOOTTIME).
func hostClock() (time.Duration, error) {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return 0, fmt.Errorf("read the clock since boot: %w", err)
	}
	return time.Duration(ts.Nano()), nil
}

// hostSockets counts TCP sockets in passing states (sock_diag(7)). The kernel answers within
// the call; a time limit guards against one that does not.
func hostSockets(ctx context.Context) (SocketStates, error) {
	var states SocketStates
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return states, fmt.Errorf("open a netlink socket: %w", err)
	}
	defer unix.Close(fd)
	limit := unix.NsecToTimeval(time.Second.Nanoseconds())
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit); err != nil {
		return states, fmt.Errorf("limit the wait for a netlink socket: %w", err)
	}
	if err := unix.Sendto(fd, diagRequest(), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return states, fmt.Errorf("ask a netlink socket: %w", err)
	}
	buf := make([]byte, 32<<10)
	for {
		if err := ctx.Err(); err != nil {
			return states, err
		}
		n, err := retried(func() (int, error) { return unix.Read(fd, buf) })
		if err != nil {
			return states, fmt.Errorf("read a netlink socket: %w", err)
		}
		if done, err := states.add(buf[:n]); done || err != nil {
			return states, err
		}
		if states.total() > maxSockets { // so many since they were counted
			return states, errTooManySockets
		}
	}
}

// hostUname returns the kernel's name, release, version and machine (uname(2)).
func hostUname() (uname, error) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return uname{}, fmt.Errorf("ask the kernel for its name: %w", err)
	}
	return uname{
		name:    unix.ByteSliceToString(u.Sysname[:]),
		release: unix.ByteSliceToString(u.Release[:]),
		version: unix.ByteSliceToString(u.Version[:]),
		machine: unix.ByteSliceToString(u.Machine[:]),
		os:      "GNU/Linux", // what uname -o prints, a constant of the tools and not of the kernel
	}, nil
}

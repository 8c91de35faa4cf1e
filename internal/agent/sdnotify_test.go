package agent

import (
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A real datagram socket, as the service manager has it, under either kind of name.
func TestNotifierTellsTheServiceManager(t *testing.T) {
	abstract := fmt.Sprintf("@saba-agent-test-%d", time.Now().UnixNano())
	for name, address := range map[string]string{"a path": filepath.Join(t.TempDir(), "n"), "an abstract name": abstract} {
		t.Run(name, func(t *testing.T) {
			l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: address, Net: "unixgram"})
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			environ := map[string]string{"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "180000000", "WATCHDOG_PID": "7"}
			n := NewNotifier(func(k string) string { return environ[k] }, 7, quiet())
			n.Ready()
			n.Alive()
			n.Reloading()
			n.Stopping()
			NewNotifier(func(k string) string { return environ[k] }, 8, quiet()).Alive() // the watchdog of another process
			n.Ready()
			for _, want := range []string{"READY=1", "WATCHDOG=1", "RELOADING=1", "STOPPING=1", "READY=1"} {
				b := make([]byte, 100)
				size, err := l.Read(b)
				if got := string(b[:size]); err != nil || got != want {
					t.Errorf("the manager reads %q, %v, want %q", got, err, want)
				}
			}
		})
	}
}

func TestNotifierWithoutAServiceManagerTellsNobody(t *testing.T) {
	n := NewNotifier(func(string) string { return "" }, 7, quiet())
	n.Ready()
	n.Alive()
	n.Stopping()
	if n != nil {
		t.Errorf("NewNotifier = %+v, want nil", n)
	}
	if n := NewNotifier(func(string) string { return "vsock:2:1234" }, 7, quiet()); n != nil {
		t.Errorf("NewNotifier of another family = %+v, want nil", n)
	}
	// A manager that has gone is no reason to stop.
	log := &logBuffer{}
	gone := filepath.Join(t.TempDir(), "gone")
	NewNotifier(func(k string) string { return map[string]string{"NOTIFY_SOCKET": gone}[k] }, 7, slog.New(slog.NewTextHandler(log, nil))).Ready()
	if !strings.Contains(log.String(), "could not be told") {
		t.Errorf("log = %q", log)
	}
}

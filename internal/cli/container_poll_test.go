package cli

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/saba-monitor/saba"
)

func TestAConfigurationIsLookedAtAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "agent.yaml")
		write := func(text string) {
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		write("memo: a\n")
		changes := make(chan struct{})
		var log strings.Builder
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			poll(ctx, file, 5*time.Minute, changes, slog.New(slog.NewTextHandler(&log, nil)))
			close(done)
		}()
		told := func() bool {
			time.Sleep(5 * time.Minute) // virtual
			synctest.Wait()
			select {
			case <-changes:
				return true
			default:
				return false
			}
		}
		synctest.Wait()
		if told() {
			t.Error("nothing changed, and it is told")
		}
		write("memo: b\n")
		if !told() {
			t.Error("a change is not told")
		}
		if told() {
			t.Error("a change is told twice")
		}
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		if told() {
			t.Error("a file that is gone is told")
		}
		write("memo: b\n") // as it was
		if told() {
			t.Error("the same file again is told")
		}
		cancel()
		<-done
		if !strings.Contains(log.String(), "could not be looked at") {
			t.Errorf("the log is %q", log.String())
		}
	})
}

func TestPollingMinutes(t *testing.T) {
	for text, want := range map[string]time.Duration{"": 0, "0": 0, "-3": 0, "5": 5 * time.Minute} {
		if d, err := pollingOf(func(string) string { return text }); err != nil || d != want {
			t.Errorf("%q is %v, %v; want %v", text, d, err, want)
		}
	}
	for _, text := range []string{"5m", "x", "99999999"} {
		if _, err := pollingOf(func(string) string { return text }); !errors.Is(err, saba.ErrInvalid) || !strings.Contains(err.Error(), "AGENT_CONFIG_POLLING_DURATION_MINUTES") {
			t.Errorf("%q is %v", text, err)
		}
	}
}

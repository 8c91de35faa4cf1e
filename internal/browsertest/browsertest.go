// Package browsertest drives a real Chromium for tests. A page that throws, complains on its
// console or breaks its content security policy fails the test that opened it; a machine
// without Chromium fails it too. It is imported by tests alone.
package browsertest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// patience bounds one wait: long enough for a loaded machine.
const patience = time.Minute

// A Tab is one page of a browser with an empty profile. Its methods fail the test where they cannot go on.
type Tab struct {
	Base string // what Open puts before a path: "http://127.0.0.1:3838"

	t   *testing.T
	ctx context.Context

	mu         sync.Mutex
	complaints []string
	expected   string
}

// ExpectTrouble excuses complaints about addresses that end in suffix: a page that is to be an error.
func (b *Tab) ExpectTrouble(suffix string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.expected = suffix
}

func (b *Tab) complain(what, address string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.expected == "" || !strings.HasSuffix(address, b.expected) {
		b.complaints = append(b.complaints, what+" ("+address+")")
	}
}

// New starts a browser, 1440 pixels wide, that ends with the test.
func New(t *testing.T, base string) *Tab {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatal("these tests need chromium: 'make test' installs it on Debian")
	}
	// Not t.TempDir: the browser's last children may still write there when the test ends.
	profile, err := os.MkdirTemp("", "saba-browser-")
	if err != nil {
		t.Fatal(err)
	}
	opts := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.WindowSize(1440, 900), chromedp.UserDataDir(profile),
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-quic", true),
	)
	alloc, cancelAlloc := chromedp.NewExecAllocator(context.Background(), opts...)
	ctx, cancel := chromedp.NewContext(alloc)
	b := &Tab{Base: base, t: t}
	var cancelTime context.CancelFunc
	b.ctx, cancelTime = context.WithTimeout(ctx, 5*time.Minute)
	t.Cleanup(func() {
		cancelTime()
		cancel()
		cancelAlloc()
		os.RemoveAll(profile) // what a last child leaves behind is the temporary folder's to clean
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, c := range b.complaints {
			t.Errorf("the browser complained: %s", c)
		}
	})
	if err := chromedp.Listen(ctx, func(ev any) {
		switch ev := ev.(type) {
		case *runtime.EventExceptionThrown:
			d := ev.ExceptionDetails
			what := d.Text
			if d.Exception != nil {
				what += " " + d.Exception.Description
			}
			b.complain(what, fmt.Sprintf("%s:%d", d.URL, d.LineNumber+1))
		case *log.EventEntryAdded:
			if ev.Entry.Level == log.EntryLevelError || ev.Entry.Level == log.EntryLevelWarning {
				b.complain(ev.Entry.Text, ev.Entry.URL)
			}
		}
	}); err != nil {
		t.Fatal(err)
	}
	return b
}

// Command sends a command of the browser's protocol.
func Command[P, R any](b *Tab, cmd cdp.Command[P, R], params P) {
	b.t.Helper()
	if _, err := chromedp.Call(b.ctx, cmd, params); err != nil {
		b.t.Fatal(err)
	}
}

// JS evaluates an expression, and waits for it if it is a promise.
func JS[T any](b *Tab, expression string) T {
	b.t.Helper()
	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
	return v
}

// Do does browser actions one after another; a failure shows what the page says.
func (b *Tab) Do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		b.t.Fatalf("in the browser: %v\n%s", err, b.page())
	}
}

// Open goes to a path below Base and waits for its main part.
func (b *Tab) Open(path string) {
	b.t.Helper()
	b.Do(chromedp.Navigate(b.Base+path), chromedp.WaitReady(chromedp.CSS("main")))
}

// Until waits until a JavaScript expression holds, over any number of navigations: a page that
// goes away takes its answer with it, so the next page is asked again.
func (b *Tab) Until(expression string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		holds, err := chromedp.Run(ctx, chromedp.Evaluate[bool](expression))
		if err == nil && holds {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			b.t.Fatalf("%s did not come true: %v\n%s", expression, err, b.page())
		}
	}
}

// Window sets the size of the window in pixels and the color scheme that the system prefers: "light" or "dark".
func (b *Tab) Window(width, height int64, scheme string) {
	b.t.Helper()
	Command(b, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: width, Height: height, DeviceScaleFactor: 1, Mobile: width < 500})
	Command(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
}

// Screenshot returns a picture as PNG: of the whole page, or of what the window shows.
func (b *Tab) Screenshot(whole bool) []byte {
	b.t.Helper()
	take := chromedp.CaptureScreenshot()
	if whole {
		take = chromedp.FullScreenshot(100)
	}
	png, err := chromedp.Run(b.ctx, take)
	if err != nil {
		b.t.Fatal(err)
	}
	return png
}

// page describes where the browser is, for a failure; it works without JavaScript, too.
func (b *Tab) page() string {
	ctx, cancel := context.WithTimeout(b.ctx, 5*time.Second)
	defer cancel()
	at, err := chromedp.Run(ctx, chromedp.Location())
	if err != nil {
		return "(the page does not answer)"
	}
	text, _ := chromedp.Run(ctx, chromedp.TextContent(chromedp.CSS("body"))) // best effort
	return "at " + at + "\n" + text
}

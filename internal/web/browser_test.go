package web

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// shots is where TestLook puts pictures of every page, for people to look at.
var shots = flag.String("shots", "", "`folder` to put pictures of every page into")

// A tab is a page in a real Chromium that is signed in to the rig. A script error or a
// violation of the content security policy fails the test.
type tab struct {
	t    *testing.T
	ctx  context.Context
	base string
}

func newTab(t *testing.T, g *rig) *tab {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatal("these tests need chromium: 'make test' installs it on Debian")
	}
	opts := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.WindowSize(1440, 900),
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true),
	)
	alloc, cancelAlloc := chromedp.NewExecAllocator(t.Context(), opts...)
	ctx, cancel := chromedp.NewContext(alloc)
	var mu sync.Mutex
	var complaints []string
	complain := func(s string) {
		mu.Lock()
		defer mu.Unlock()
		complaints = append(complaints, s)
	}
	if err := chromedp.Listen(ctx, func(ev any) {
		switch ev := ev.(type) {
		case *runtime.EventExceptionThrown:
			d := ev.ExceptionDetails
			complain(fmt.Sprintf("%s at %s:%d: %s", d.Text, d.URL, d.LineNumber+1, describe(d.Exception)))
		case *log.EventEntryAdded:
			if (ev.Entry.Level == log.EntryLevelError || ev.Entry.Level == log.EntryLevelWarning) && !strings.HasSuffix(ev.Entry.URL, "/nowhere") {
				complain(fmt.Sprintf("%s (%s)", ev.Entry.Text, ev.Entry.URL))
			}
		}
	}); err != nil {
		t.Fatal(err)
	}
	b := &tab{t: t, base: g.server.URL}
	var cancelTime context.CancelFunc
	b.ctx, cancelTime = context.WithTimeout(ctx, 4*time.Minute)
	t.Cleanup(func() {
		cancelTime()
		cancel()
		cancelAlloc()
		mu.Lock()
		defer mu.Unlock()
		for _, c := range complaints {
			t.Errorf("the browser complained: %s", c)
		}
	})
	command(b, network.SetCookie, network.SetCookieParams{Name: sessionCookie, Value: g.session(), URL: b.base, HTTPOnly: new(true)})
	return b
}

func describe(o *runtime.RemoteObject) string {
	if o == nil {
		return ""
	}
	return o.Description
}

// command sends a command of the browser's protocol.
func command[P, R any](b *tab, cmd cdp.Command[P, R], params P) {
	b.t.Helper()
	if _, err := chromedp.Call(b.ctx, cmd, params); err != nil {
		b.t.Fatal(err)
	}
}

func (b *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, steps...); err != nil {
		b.t.Fatal(err)
	}
}

func (b *tab) open(path string) {
	b.t.Helper()
	b.do(chromedp.Navigate(b.base+path), chromedp.WaitReady(chromedp.CSS("main")))
}

// window sets the size of the window and what the system prefers.
func (b *tab) window(width int64, scheme string) {
	b.t.Helper()
	command(b, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: width, Height: 900, DeviceScaleFactor: 1, Mobile: width < 500})
	command(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
}

// js evaluates an expression, and waits for it if it is a promise.
func js[T any](b *tab, expression string) T {
	b.t.Helper()
	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
	return v
}

// until waits until an expression holds.
func (b *tab) until(expression string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 30*time.Second)
	defer cancel()
	if _, err := chromedp.Run(ctx, chromedp.Poll[bool](expression, chromedp.WithPollingTimeout(0))); err != nil {
		b.t.Fatalf("%s did not come true: %v\n%s", expression, err, js[string](b, `location.href + "\n" + document.body.innerText`))
	}
}

// drawn waits until the chart of a graph was drawn.
func (b *tab) drawn(graph string) {
	b.t.Helper()
	b.until(fmt.Sprintf(`document.querySelector('[data-graph=%q][data-points]') !== null`, graph))
}

// allDrawn scrolls through the page until every chart was drawn.
func (b *tab) allDrawn() {
	b.t.Helper()
	b.until(`(() => { const next = document.querySelector('[data-graph]:not([data-points]):not([hidden])'); next?.scrollIntoView(); if (!next) scrollTo(0, 0); return !next; })()`)
}

// shoot takes a picture of the whole page when -shots asks for it.
func (b *tab) shoot(name string) {
	b.t.Helper()
	if *shots == "" {
		return
	}
	png, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
	if err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(*shots, strings.ReplaceAll(name, "/", "-")+".png"), png, 0o600); err != nil {
		b.t.Fatal(err)
	}
}

// Every page, wide and narrow, light and dark: none is wider than its window, and with -shots
// each leaves a picture.
func TestLook(t *testing.T) {
	g := newRig(t, time.Now)
	main := g.town()
	b := newTab(t, g)
	host := "/hosts/" + main.ID
	pages := []struct{ name, path string }{
		{"hosts", "/hosts"},
		{"hosts-filtered", "/hosts?q=nothing+has+this+name"},
		{"host", host + "?range=1h"},
		{"host-3d", host + "?range=3d"},
		{"graph", host + "/graphs/cpu?range=6h"},
		{"services", "/services"},
		{"service", "/services/shop?range=12h"},
		{"keys", "/keys"},
		{"new", "/hosts/new"},
		{"retire", host + "/retire"},
		{"lost", "/nowhere"},
	}
	for _, width := range []int64{1440, 390} {
		for _, scheme := range []string{"light", "dark"} {
			b.window(width, scheme)
			for _, p := range pages {
				name := fmt.Sprintf("%s-%d-%s", p.name, width, scheme)
				b.open(p.path)
				b.allDrawn()
				if scroll := js[int64](b, `document.documentElement.scrollWidth`); scroll > width {
					t.Errorf("%s: the page is %d pixels wide", name, scroll)
				}
				b.shoot(name)
			}
		}
	}
}

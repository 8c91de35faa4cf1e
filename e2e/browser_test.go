package e2e

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// browser starts a real Chromium with an empty profile. Whatever the pages throw or complain
// of on the console, violations of the content policy included, fails the test at its end.
func browser(t *testing.T) context.Context {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatal("these tests need chromium: 'make test' installs it on Debian")
	}
	opts := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path),
		chromedp.UserDataDir(t.TempDir()),
		chromedp.NoSandbox,
		chromedp.WindowSize(1440, 900),
		chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-quic", true),
	)
	alloc, cancelAlloc := chromedp.NewExecAllocator(t.Context(), opts...)
	ctx, cancel := chromedp.NewContext(alloc)
	var mu sync.Mutex
	var complaints []string
	complain := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		complaints = append(complaints, fmt.Sprintf(format, args...))
	}
	chromedp.ListenTarget(ctx, func(ev any) {
		switch ev := ev.(type) {
		case *runtime.EventExceptionThrown:
			complain("exception: %s", ev.ExceptionDetails.Error())
		case *log.EventEntryAdded:
			if ev.Entry.Level == log.LevelError || ev.Entry.Level == log.LevelWarning {
				complain("%s: %s (%s)", ev.Entry.Level, ev.Entry.Text, ev.Entry.URL)
			}
		}
	})
	ctx, cancelTime := context.WithTimeout(ctx, 3*patience)
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
	run(t, ctx, log.Enable(), runtime.Enable())
	return ctx
}

// run does browser actions and fails the test with the page's text if one fails.
func run(t *testing.T, ctx context.Context, actions ...chromedp.Action) {
	t.Helper()
	if err := chromedp.Run(ctx, actions...); err != nil {
		var text, at string
		_ = chromedp.Run(ctx, chromedp.Location(&at), chromedp.Text("body", &text, chromedp.ByQuery, chromedp.AtLeast(0)))
		t.Fatalf("in the browser at %s: %v\nthe page says: %s", at, err, text)
	}
}

// setUp opens the set-up link and makes the first account.
func setUp(t *testing.T, ctx context.Context, link string) {
	t.Helper()
	run(t, ctx,
		chromedp.Navigate(link),
		chromedp.SendKeys(`input[name="email"]`, "operator@example.test", chromedp.ByQuery),
		chromedp.SendKeys(`input[name="password"]`, "a long enough password", chromedp.ByQuery),
		chromedp.Submit(`input[name="password"]`, chromedp.ByQuery),
		chromedp.WaitVisible(`main`, chromedp.ByQuery),
	)
	var at string
	run(t, ctx, chromedp.Location(&at))
	if !strings.Contains(at, "/hosts") {
		t.Fatalf("after the set-up the browser is at %s, want the host list", at)
	}
}

// drawn waits until the chart of a graph shows at least one value and returns the last value of its first series.
func drawn(t *testing.T, ctx context.Context, graph string) (last string) {
	t.Helper()
	sel := fmt.Sprintf(`[data-graph=%q][data-points]:not([data-points="0"])`, graph)
	var ok bool
	run(t, ctx,
		chromedp.ScrollIntoView(fmt.Sprintf(`[data-graph=%q]`, graph), chromedp.ByQuery),
		chromedp.WaitVisible(sel, chromedp.ByQuery),
		chromedp.AttributeValue(sel, "data-last", &last, &ok, chromedp.ByQuery),
	)
	if !ok {
		t.Fatalf("the chart %s has no data-last", graph)
	}
	return last
}

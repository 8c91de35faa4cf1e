package e2e

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/saba-monitor/saba/internal/browsertest"
)

// hostLink is the first host of the host list.
var hostLink = chromedp.CSS(`a[data-host-link]`)

// setUp opens the set-up link and makes the first account, which leads to the host list.
func setUp(tab *browsertest.Tab, link string) {
	tab.Do(
		chromedp.Navigate(link),
		chromedp.SendKeys(chromedp.CSS(`input[name="email"]`), "operator@example.test"),
		chromedp.SendKeys(chromedp.CSS(`input[name="password"]`), "a long enough password"),
		chromedp.Submit(chromedp.CSS(`input[name="password"]`)),
		chromedp.WaitVisible(hostLinkOrEmpty),
	)
}

// hostLinkOrEmpty is what the host list shows when it is there: hosts, or how to add one.
var hostLinkOrEmpty = chromedp.CSS(`a[data-host-link], main a[href="/hosts/new"]`)

// drawn waits until the chart of a graph shows at least one value and returns the last value of its first series.
func drawn(tab *browsertest.Tab, graph string) (last string) {
	tab.Until(fmt.Sprintf(`(() => {
		const chart = document.querySelector('[data-graph=%q]');
		chart?.scrollIntoView(); // charts are drawn when they come into view
		return Number(chart?.dataset.points) > 0;
	})()`, graph))
	return browsertest.JS[string](tab, fmt.Sprintf(`document.querySelector('[data-graph=%q]').dataset.last`, graph))
}

// The newcomer's path: one command, the link it prints, and this machine's graphs.
func TestUpShowsThisMachinesGraphs(t *testing.T) {
	data := filepath.Join(t.TempDir(), "saba-data")
	up := start(t, []string{"SABA_API_KEY=" + key}, "saba", "up", "--listen", "127.0.0.1:0", "--data", data)
	base, link := up.consoleURL(), up.setupURL()

	h := firstHost(t, base)
	if name, err := os.Hostname(); err != nil || h.Name != name {
		t.Errorf("the host is called %q, want this machine's name %q (%v)", h.Name, name, err)
	}
	var latest sample
	eventually(t, "the first load average", func() bool {
		s := points(t, base, h.ID, "loadavg5")
		if len(s) > 0 {
			latest = s[len(s)-1]
		}
		return len(s) > 0
	})
	if latest.Time%60 != 0 || time.Since(time.Unix(latest.Time, 0)) > 2*time.Minute {
		t.Errorf("loadavg5 is stamped %d, want this minute's first second", latest.Time)
	}
	// Deltas come with the first samples, out of a first short interval.
	for _, name := range []string{"cpu.user.percentage", "cpu.idle.percentage", "memory.total", "memory.available"} {
		eventually(t, name, func() bool { return len(points(t, base, h.ID, name)) > 0 })
	}

	tab := browsertest.New(t, base)
	setUp(tab, link)
	tab.Do(chromedp.Click(hostLink))
	tab.Until(fmt.Sprintf(`location.pathname === "/hosts/%s"`, h.ID))
	last, err := strconv.ParseFloat(drawn(tab, "loadavg"), 64)
	if err != nil {
		t.Fatal(err)
	}
	one := points(t, base, h.ID, "loadavg1")
	if len(one) == 0 || one[len(one)-1].Value != last {
		t.Errorf("the chart ends at %v, the API's loadavg1 at %v", last, one)
	}
	for _, graph := range []string{"cpu", "memory", "filesystem"} {
		drawn(tab, graph)
	}

	// Another range: it is in the address, and the chart is drawn again.
	tab.Do(chromedp.Click(chromedp.CSS(`a[data-range="6h"]`)))
	tab.Until(`location.search.includes("range=6h")`)
	drawn(tab, "loadavg")
	browsertest.JS[any](tab, `void history.back()`)
	tab.Until(`!location.search.includes("range=6h")`)
	drawn(tab, "loadavg")

	// A link that was used makes no second account.
	resp, err := http.Get(link)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode == http.StatusOK && resp.Request.URL.Path == mustParse(t, link).Path {
		t.Errorf("the set-up link still answers %d after it was used", resp.StatusCode)
	}
	up.stop()
}

func mustParse(t *testing.T, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// Ctrl-C keeps everything that was collected, and the next start goes on with it.
func TestUpGoesOnAfterAStop(t *testing.T) {
	data := t.TempDir()
	args := []string{"up", "--listen", "127.0.0.1:0", "--data", data}
	up := start(t, []string{"SABA_API_KEY=" + key}, "saba", args...)
	base := up.consoleURL()
	h := firstHost(t, base)
	var before []sample
	eventually(t, "a first point", func() bool { before = points(t, base, h.ID, "memory.total"); return len(before) > 0 })
	up.stop()

	again := start(t, nil, "saba", args...) // the key is in the database by now
	base = again.consoleURL()
	if now := firstHost(t, base); now.ID != h.ID {
		t.Errorf("after the second start the host is %s, before it was %s", now.ID, h.ID)
	}
	after := points(t, base, h.ID, "memory.total")
	if len(after) < len(before) || after[0] != before[0] {
		t.Errorf("before the stop memory.total was %v, after it %v", before, after)
	}
	if strings.Contains(again.output(), "API key") {
		t.Errorf("the second start shows a key again:\n%s", again.output())
	}
	again.stop()
}

// A page is whole without JavaScript: the charts are images then.
func TestPagesAreWholeWithoutJavaScript(t *testing.T) {
	up := start(t, []string{"SABA_API_KEY=" + key}, "saba", "up", "--listen", "127.0.0.1:0", "--data", t.TempDir())
	base, link := up.consoleURL(), up.setupURL()
	h := firstHost(t, base)
	eventually(t, "a first point", func() bool { return len(points(t, base, h.ID, "loadavg1")) > 0 })

	tab := browsertest.New(t, base)
	browsertest.Command(tab, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
	setUp(tab, link)
	tab.Do(
		chromedp.Click(hostLink),
		chromedp.WaitVisible(chromedp.CSS(`[data-graph="loadavg"] img`)),
		chromedp.Click(chromedp.CSS(`a[data-range="6h"]`)),
		chromedp.WaitVisible(chromedp.CSS(`[data-graph="loadavg"] img[src*="6h"]`)),
	)
	up.stop()
}

// An agent elsewhere, a plugin that is a shell script, and its graph on the page.
func TestAgentAndServerApart(t *testing.T) {
	server := start(t, []string{"SABA_API_KEY=" + key}, "saba", "server", "--listen", "127.0.0.1:0", "--data", t.TempDir())
	base, link := server.consoleURL(), server.setupURL()

	dir := t.TempDir()
	// Counts processes and zombies in plain sh, as a plugin author's first try would.
	script := write(t, filepath.Join(dir, "procs.sh"), `#!/bin/sh
if [ "$MACKEREL_AGENT_PLUGIN_META" = 1 ]; then
	echo '# mackerel-agent-plugin'
	echo '{"graphs":{"procs":{"label":"Process count","unit":"integer","metrics":[
	  {"name":"all","label":"All processes"},{"name":"zombies","label":"Zombies","stacked":false}]}}}'
	exit 0
fi
all=0 zombies=0
for stat in /proc/[0-9]*/stat; do
	all=$((all + 1))
	case $(cat "$stat" 2>/dev/null) in *') Z '*) zombies=$((zombies + 1)) ;; esac
done
now=$(date +%s)
printf 'procs.all\t%s\t%s\n' "$all" "$now"
printf 'procs.zombies\t%s\t%s\n' "$zombies" "$now"
`)
	conf := write(t, filepath.Join(dir, "agent.toml"), fmt.Sprintf(`
apikey = %q
apibase = %q
root = %q
roles = ["shop:web"]
display_name = "web one"

[plugin.metrics.procs]
command = ["sh", %q]
`, key, base, filepath.Join(dir, "root"), script))
	agent := start(t, nil, "saba-agent", "agent", "--conf", conf)
	h := firstHost(t, base)
	eventually(t, "the plugin's metric", func() bool { return len(points(t, base, h.ID, "custom.procs.all")) > 0 })

	tab := browsertest.New(t, base)
	setUp(tab, link)
	tab.Until(`document.querySelector("a[data-host-link]").textContent.includes("web one")`)
	tab.Do(chromedp.Click(hostLink))
	last := drawn(tab, "custom.procs")
	if n, err := strconv.ParseFloat(last, 64); err != nil || n < 1 {
		t.Errorf("the custom chart ends at %q, want a number of processes", last)
	}
	if title := browsertest.JS[string](tab, `document.querySelector('[data-graph="custom.procs"]').textContent`); !strings.Contains(title, "Process count") {
		t.Errorf("the custom chart says %q, want the title of its definition, Process count", title)
	}
	agent.stop()
	server.stop()
}

// "Add a host" shows a configuration that works as it stands, and turns into the new host's page.
func TestAddAHost(t *testing.T) {
	server := start(t, []string{"SABA_API_KEY=" + key}, "saba", "server", "--listen", "127.0.0.1:0", "--data", t.TempDir())
	base, link := server.consoleURL(), server.setupURL()
	tab := browsertest.New(t, base)
	setUp(tab, link)
	tab.Open("/hosts/new")
	tab.Do(chromedp.Submit(chromedp.CSS(`main form`)), chromedp.WaitVisible(chromedp.CSS(`[data-agent-config]`)))
	config := browsertest.JS[string](tab, `document.querySelector("[data-agent-config]").textContent`)
	dir := t.TempDir()
	conf := write(t, filepath.Join(dir, "agent.toml"), config)
	agent := start(t, nil, "saba-agent", "agent", "--conf", conf, "--root", filepath.Join(dir, "root"))
	h := firstHost(t, base)
	tab.Until(fmt.Sprintf(`location.pathname === "/hosts/%s"`, h.ID))
	drawn(tab, "loadavg")
	agent.stop()
	server.stop()
}

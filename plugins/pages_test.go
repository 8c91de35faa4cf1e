package plugins

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/saba-monitor/saba/internal/pages"
	"github.com/saba-monitor/saba/plugin"
)

var update = flag.Bool("update", false, "write docs/plugins")

// Each plugin has a page, made of what it declares and of what its author has to say: doc.md in
// its folder, which need not be there.
func TestPages(t *testing.T) {
	want := map[string]string{}
	var list [][]string
	for _, p := range All() {
		text, err := os.ReadFile(p.Name + "/doc.md")
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		want[p.Name+".md"] = page(t, p, string(text))
		list = append(list, []string{"[" + p.Name + "](" + p.Name + ".md)", p.Short})
	}
	want["README.md"] = fmt.Sprintf(index, pages.Table("| plugin | reports |", list), commonFlags(t))
	pages.Same(t, "../docs/plugins", want, *update, "go test ./plugins -run TestPages -update")
}

// page returns the page of p with text of its author.
func page(t *testing.T, p plugin.Plugin, text string) string {
	t.Helper()
	if !strings.Contains(text, "```toml") {
		text = fmt.Sprintf("```toml\n[plugin.metrics.%s]\nplugin = \"%[1]s\"\n```\n\n%s", p.Name, text)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n\n%s\n\n%s\n\n## Flags\n\n", p.Name, pages.Sentence(p.Short), strings.TrimSpace(text))

	var rows [][]string
	own := flag.NewFlagSet(p.Name, flag.ContinueOnError)
	p.New(own)
	own.VisitAll(func(f *flag.Flag) {
		kind, usage := flag.UnquoteUsage(f)
		value := f.DefValue
		if value == "false" {
			value = ""
		}
		rows = append(rows, []string{pages.Code(strings.TrimSpace("-" + f.Name + " " + kind)), pages.Code(value), usage})
	})
	if len(rows) > 0 {
		fmt.Fprintf(&b, "Besides [those of every plugin](README.md#flags):\n\n%s", pages.Table("| flag | default | |", rows))
	} else {
		b.WriteString("Those of [every plugin](README.md#flags).\n")
	}

	rows = nil
	defs, err := p.Definitions()
	if err != nil {
		t.Fatal(err)
	}
	for i, def := range defs {
		for j, m := range def.Metrics {
			unit := string(def.Unit)
			if pace := p.Graphs[i].Pace(p.Graphs[i].Metrics[j]); pace != "" {
				unit += ", " + pace
			}
			rows = append(rows, []string{pages.Code(strings.TrimPrefix(m.Name, "custom.")), m.DisplayName, def.DisplayName, unit})
		}
	}
	b.WriteString("\n## Metrics\n\n")
	if len(rows) == 0 {
		b.WriteString("Those that are collected, under the names that they have there.\n")
	}
	b.WriteString(pages.Table("| metric | line | chart | unit |", rows))
	return b.String()
}

// commonFlags returns the part of a help page about the flags of a plugin that has none of its own.
func commonFlags(t *testing.T) string {
	t.Helper()
	var out, errs bytes.Buffer
	p := plugin.Plugin{Name: "name", New: func(*flag.FlagSet) plugin.Collector { return struct{ plugin.OpenCollector }{} }}
	if code := plugin.Run(t.Context(), p, []string{"-h"}, plugin.System{Stdout: &out, Stderr: &errs, Getenv: func(string) string { return "" }}); code != 0 {
		t.Fatalf("-h exits with %d: %s", code, errs.String())
	}
	_, flags, _ := strings.Cut(out.String(), "Flags:\n")
	return flags
}

const index = `# Metric plugins

These are built into both programs; each has a page.

%s
## How one is run

| | |
|---|---|
| inside the agent | ` + "`plugin = \"nginx -port 8081\"`" + ` in a table ` + "`[plugin.metrics.web]`" + ` of its configuration: no process each minute, and connections are kept |
| by hand | ` + "`saba plugin nginx -port 8081 -explain`" + `; ` + "`-h`" + ` lists flags and metrics |
| by any agent of the protocol | ` + "`command = [\"saba-agent\", \"plugin\", \"nginx\"]`" + `, or through a link to either program named ` + "`mackerel-plugin-nginx`" + ` |

Names of metrics, and flags, are those of the plugins of these names that people have already; a page says where a value
means something else here. The agent puts ` + "`custom.`" + ` before each name. A total is shown as its change per minute, or per
second where the page says so, and has no value in the turn after a restart of what is watched: what is not known is left out, and
is never a zero. In a name, ` + "`#`" + ` and ` + "`*`" + ` stand for what is found there, a queue for example, and ` + "`%%1`" + ` in a title for the
first of them.

Of several on one host each gets a ` + "`-metric-key-prefix`" + ` of its own; the titles of its charts follow: with ` + "`redis6380`" + ` they begin
with Redis6380.

A password in an argument is seen by everybody on the host: each can also be in a file or the environment, as its flag says.

## Flags

Every plugin has these; a name may stand with one dash or two, and its value after a blank or ` + "`=`" + `:

` + "```\n%s```" + `

A plugin of your own in Go is a small file: see [examples/spool](../../examples/spool/main.go), or
[examples/sh](../../examples/sh/spool.sh) for one in plain sh.
`

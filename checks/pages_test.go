package checks

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/saba-monitor/saba/check"
	"github.com/saba-monitor/saba/internal/pages"
)

var update = flag.Bool("update", false, "write docs/checks and the table in docs/checks.md")

const writes = "go test ./checks -run TestPages -update"

// Each check has a page, made of what it declares and of what its author has to say: doc.md in its
// folder, which need not be there. docs/checks.md lists them.
func TestPages(t *testing.T) {
	want := map[string]string{}
	var list [][]string
	for _, c := range All() {
		text, err := os.ReadFile(c.Name + "/doc.md")
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		want[c.Name+".md"] = page(c, string(text))
		list = append(list, []string{"[" + c.Name + "](checks/" + c.Name + ".md)", strings.TrimPrefix(c.Short, "whether ")})
	}
	pages.Same(t, "../docs/checks", want, *update, writes)

	const file, head = "../docs/checks.md", "| check | whether |"
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	table := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(head) + `\n(\|.*\n)+`)
	text := table.ReplaceAllLiteralString(string(b), pages.Table(head, list))
	if *update {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if text != string(b) || !table.Match(b) {
		t.Errorf("the table in %s is not what the code says: %q writes it anew", file, writes)
	}
}

// page returns the page of c with text of its author.
func page(c check.Check, text string) string {
	if !strings.Contains(text, "```toml") {
		command := c.Name
		if len(c.Commands) > 0 {
			command += " " + c.Commands[0].Name
		}
		text = fmt.Sprintf("```toml\n[plugin.checks.%s]\nplugin = %q\n```\n\n%s", c.Name, command, text)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n\nSays %s.\n\n%s\n", c.Name, c.Short, strings.TrimSpace(text))
	if c.New != nil {
		b.WriteString("\n## Flags\n\n" + flags(c))
	}
	for _, sub := range c.Commands {
		fmt.Fprintf(&b, "\n## %s %s\n\nSays %s.\n\n%s", c.Name, sub.Name, sub.Short, flags(sub))
	}
	return b.String()
}

// flags returns the flags of a check or a command, in the order in which they are declared.
func flags(c check.Check) string {
	const common = "those of [every check](../checks.md#what-all-of-them-have-in-common)"
	own := pflag.NewFlagSet(c.Name, pflag.ContinueOnError)
	own.SortFlags = false
	c.New(own)
	var rows [][]string
	own.VisitAll(func(f *pflag.Flag) {
		if f.Hidden { // it is there for what people have already
			return
		}
		kind, usage := pflag.UnquoteUsage(f)
		name := "--" + f.Name
		if f.Shorthand != "" {
			name = "-" + f.Shorthand + ", " + name
		}
		value := f.DefValue
		switch value {
		case "false", "0", "0s", "[]": // nothing is said by default
			value = ""
		}
		rows = append(rows, []string{pages.Code(strings.TrimSpace(name + " " + kind)), pages.Code(value), usage})
	})
	var b strings.Builder
	if c.Operands != "" {
		fmt.Fprintf(&b, "After the flags: `%s`.\n\n", c.Operands)
	}
	if len(rows) == 0 {
		return b.String() + pages.Sentence(common) + "\n"
	}
	return b.String() + "Besides " + common + ":\n\n" + pages.Table("| flag | default | |", rows)
}

package plugin

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/argv"
)

// metaVariable tells a plugin what is asked of it: anything but "" asks for its graph definitions.
const metaVariable = "MACKEREL_AGENT_PLUGIN_META"

// The exit codes besides 0.
const (
	exitFailed = 1 // something was not collected, or not kept
	exitUsage  = 2 // an argument
)

// explainGap is the time between the two collections of -explain, so that counters and the like have a rate.
const explainGap = 2 * time.Second

// grace is how long a collector may take to return after its time is over.
const grace = time.Second

// A System is what a plugin may touch of its process.
type System struct {
	Program        string // what the plugin was called as; "" means mackerel-plugin- and its name
	Stdout, Stderr io.Writer
	Getenv         func(string) string
}

// say prints a line of stderr for each line of an error.
func (sys System) say(err error) {
	for line := range strings.SplitSeq(err.Error(), "\n") {
		fmt.Fprintf(sys.Stderr, "%s: %s\n", sys.Program, line)
	}
}

// Main runs p as this process, and ends it.
func Main(p Plugin) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	os.Exit(Run(ctx, p, argv.Clone()[1:], System{Stdout: os.Stdout, Stderr: os.Stderr, Getenv: os.Getenv}))
}

// Run runs p with the arguments after its name and returns the exit code: 0, 1 when something
// was not collected, 2 for a wrong argument. Values go to stdout, one sentence a line about what
// went wrong to stderr.
func Run(ctx context.Context, p Plugin, args []string, sys System) int {
	if sys.Program == "" {
		sys.Program = "mackerel-plugin-" + p.Name
	}
	in, err := p.newInstance(args)
	if in != nil {
		defer in.close()
	}
	switch {
	case errors.Is(err, flag.ErrHelp):
		err = in.usage(sys)
	case err != nil:
		sys.say(fmt.Errorf("%w; -h lists the flags", err))
		return exitUsage
	case in.version:
		_, err = fmt.Fprintf(sys.Stdout, "%s version %s\n", sys.Program, saba.Version)
	case sys.Getenv(metaVariable) != "":
		err = in.printDefinitions(sys.Stdout)
	case in.explain:
		err = in.printExplanation(ctx, sys.Stdout)
	case in.printer != nil:
		err = in.printAgain(ctx, sys)
	default:
		err = in.printValues(ctx, sys)
	}
	if err != nil {
		sys.say(err)
		return exitFailed
	}
	return 0
}

// usage prints the help page.
func (in *instance) usage(sys System) error {
	var b strings.Builder
	fmt.Fprintf(&b, "Prints %s.\n\nUsage:\n  %s [FLAGS]\n\nFlags:\n", in.Short, sys.Program)
	tw := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	in.flags.VisitAll(func(f *flag.Flag) {
		kind, text := flag.UnquoteUsage(f)
		if f.DefValue != "" && f.DefValue != "false" {
			text += " (default " + f.DefValue + ")"
		}
		fmt.Fprintf(tw, "  %s\t%s\n", strings.TrimSpace("-"+f.Name+" "+kind), text)
	})
	_ = tw.Flush() // into a strings.Builder
	if len(in.Graphs) > 0 {
		b.WriteString("\nMetrics:\n")
	}
	in.label = in.title(in.prefix)
	for _, g := range in.Graphs {
		fmt.Fprintf(tw, "%s (%s)\n", in.graphTitle(g), g.unit())
		for _, m := range g.Metrics {
			fmt.Fprintf(tw, "  %s\t%s\n", join(in.prefix, join(g.Name, m.Name)), titlePace(metricTitle(m), g, m))
		}
	}
	_ = tw.Flush()
	_, err := io.WriteString(sys.Stdout, b.String())
	return err
}

// titlePace returns the title of m or of a series of it, and its pace if it has one.
func titlePace(title string, g Graph, m Metric) string {
	if pace := g.Pace(m); pace != "" {
		title += ", " + pace
	}
	return title
}

// printDefinitions prints the graph definitions as agents of the protocol read them.
func (in *instance) printDefinitions(w io.Writer) error {
	type metric struct {
		Name    string `json:"name"`
		Label   string `json:"label"`
		Stacked bool   `json:"stacked"`
	}
	type graph struct {
		Label   string    `json:"label"`
		Unit    saba.Unit `json:"unit"`
		Metrics []metric  `json:"metrics"`
	}
	graphs := map[string]graph{}
	for _, g := range in.Graphs {
		d := graph{Label: in.graphTitle(g), Unit: g.unit()}
		for _, m := range g.Metrics {
			d.Metrics = append(d.Metrics, metric{m.Name, metricTitle(m), m.Stacked})
		}
		graphs[join(in.prefix, g.Name)] = d
	}
	b, err := json.Marshal(map[string]any{"graphs": graphs})
	if err != nil {
		return fmt.Errorf("print the graph definitions: %w", err)
	}
	_, err = fmt.Fprintf(w, "# mackerel-agent-plugin\n%s\n", b)
	return err
}

// collect asks the target, within the timeout. now is when. A collector that does not return though
// its time is over is left behind: some reads, as that of a pipe, nothing breaks off.
func (in *instance) collect(ctx context.Context) (readings []saba.Value, now time.Time, err error) {
	limited, cancel := context.WithTimeout(ctx, in.timeout)
	defer cancel()
	now = time.Now()
	type outcome struct {
		readings []saba.Value
		err      error
	}
	done := make(chan outcome, 1)
	go func() {
		r, err := in.collector.Collect(limited)
		done <- outcome{r, err}
	}()
	var o outcome
	select {
	case o = <-done:
	case <-limited.Done():
		select {
		case o = <-done:
		case <-time.After(grace):
			in.left = true
			o.err = fmt.Errorf("it does not end, though its time is over: %w", limited.Err())
		}
	}
	return o.readings, now, o.err
}

// printValues collects once and prints a line a value. Counters are compared with the run
// before. When nothing was collected, what is kept for the next run stays as it is.
func (in *instance) printValues(ctx context.Context, sys System) error {
	var last memory
	var file string
	var stateErr error
	keeper, keeps := in.collector.(Keeper)
	if in.remembers() {
		file = in.stateFile(sys.Getenv)
		if last, stateErr = readState(file); stateErr == nil && keeps && last.kept != nil {
			stateErr = keeper.Resume(last.kept)
		}
		if stateErr != nil {
			stateErr = fmt.Errorf("what the run before kept is not known: %w", stateErr)
		}
	}
	readings, now, err := in.collect(ctx)
	if err != nil && len(readings) == 0 {
		return err
	}
	t := in.settle(readings, err, last.totals, now)
	var b strings.Builder
	for _, v := range t.values {
		fmt.Fprintf(&b, "%s\t%s\t%d\n", v.name, number(v.value), now.Unix())
	}
	_, writeErr := io.WriteString(sys.Stdout, b.String())
	errs := []error{t.err, stateErr, writeErr}
	if file != "" && writeErr == nil {
		next := memory{totals: t.next}
		var err error
		if keeps {
			next.kept, err = keeper.Keep()
		}
		if err == nil {
			err = writeState(file, next)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("keep what the next run needs: %w", err))
		}
	}
	return errors.Join(errs...)
}

// printAgain prints the plugin's own form, once or until ctx ends. When it goes on, what went
// wrong is said and the next turn comes all the same: nobody starts it again after each outage.
func (in *instance) printAgain(ctx context.Context, sys System) error {
	if in.every == 0 {
		return in.printOwn(ctx, in.timeout, sys.Stdout)
	}
	ticker := time.NewTicker(in.every)
	defer ticker.Stop()
	for {
		if err := in.printOwn(ctx, min(in.timeout, in.every), sys.Stdout); err != nil && ctx.Err() == nil {
			sys.say(err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// printOwn prints the plugin's own form once.
func (in *instance) printOwn(ctx context.Context, timeout time.Duration, w io.Writer) error {
	limited, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	text, err := in.printer.Print(limited)
	_, writeErr := io.WriteString(w, text)
	return errors.Join(err, writeErr)
}

// number writes a value in the fewest digits that read the same, without an exponent, which
// some scripts do not know.
func number(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

// printExplanation collects, twice if one turn says something about the next, and prints what it means.
func (in *instance) printExplanation(ctx context.Context, w io.Writer) error {
	readings, now, err := in.collect(ctx)
	if err != nil && len(readings) == 0 {
		return err
	}
	t := in.settle(readings, err, nil, now)
	if in.remembers() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(explainGap):
		}
		if readings, now, err = in.collect(ctx); err != nil && len(readings) == 0 {
			return err
		}
		t = in.settle(readings, err, t.next, now)
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, g := range in.Graphs {
		fmt.Fprintf(tw, "%s (%s)\n", in.graphTitle(g), g.unit())
		for _, m := range g.Metrics {
			found := false
			for _, v := range t.values {
				if v.graph.Name != g.Name || v.metric != m {
					continue
				}
				found = true
				fmt.Fprintf(tw, "  %s\t%s\t%s\n", v.name, number(v.value), titlePace(seriesTitle(g, m, v.series), g, m))
			}
			if !found {
				fmt.Fprintf(tw, "  %s\tno value\t%s\n", join(in.prefix, join(g.Name, m.Name)), titlePace(metricTitle(m), g, m))
			}
		}
	}
	for _, v := range t.values {
		if len(v.graph.Metrics) == 0 {
			fmt.Fprintf(tw, "%s\t%s%s\n", v.name, number(v.value), titlePace("", v.graph, v.metric))
		}
	}
	return errors.Join(tw.Flush(), t.err)
}

package sidekiq

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// An l2met is the output for log drains: lines of tokens like sample#sidekiq.default.size=3.
type l2met struct {
	format   string
	kind     string
	interval time.Duration
}

func (l *l2met) addFlags(fs *flag.FlagSet) {
	fs.StringVar(&l.format, "format", "plugin", "`form` of the output: plugin, or l2met for log drains, with size and latency of each queue")
	fs.StringVar(&l.kind, "type", "sample", "`type` of the tokens of l2met: sample, measure or count")
	fs.DurationVar(&l.interval, "interval", 0, "print l2met each `time`, like 30s, until ended; 0 prints once")
}

func (l *l2met) on() bool { return l.format == "l2met" }

// check says what is wrong with the flags.
func (l *l2met) check() error {
	switch {
	case l.format != "plugin" && !l.on():
		return fmt.Errorf("-format %q must be plugin or l2met", l.format)
	case !slices.Contains([]string{"sample", "measure", "count"}, l.kind):
		return fmt.Errorf("-type %q must be sample, measure or count", l.kind)
	case l.interval != 0 && !l.on():
		return errors.New("-interval is for -format l2met: other output is printed once")
	case l.interval != 0 && l.interval < time.Second:
		return fmt.Errorf("-interval %v must not be below 1s", l.interval)
	}
	return nil
}

// Printing says whether the output is for log drains, and how often it comes.
func (c *collector) Printing() (on bool, every time.Duration) { return c.l2met.on(), c.l2met.interval }

// Print returns the lines of one turn.
func (c *collector) Print(ctx context.Context) (string, error) {
	r, err := c.read(ctx)
	if r == nil {
		return "", err
	}
	return c.l2met.lines(r), err
}

// maxL2met bounds a line in bytes: drains cut those of more than 10,000.
const maxL2met = 9000

// lines returns the sizes of the queues and then their latencies, by name.
func (l *l2met) lines(r *reading) string {
	var sizes, latencies []string
	for _, name := range slices.Sorted(maps.Keys(r.queues)) {
		q := r.queues[name]
		token := func(what string, v float64) string {
			return l.kind + "#sidekiq." + tokenName(name) + "." + what + "=" + strconv.FormatFloat(v, 'f', -1, 64)
		}
		if !q.noLength {
			sizes = append(sizes, token("size", q.size))
		}
		if !q.noTime {
			latencies = append(latencies, token("latency", q.latency))
		}
	}
	return inLines(sizes) + inLines(latencies)
}

// inLines returns words in lines of at most maxL2met bytes.
func inLines(words []string) string {
	var b strings.Builder
	line := 0
	for i, w := range words {
		switch {
		case i == 0:
		case line+1+len(w) > maxL2met:
			b.WriteByte('\n')
			line = 0
		default:
			b.WriteByte(' ')
			line++
		}
		b.WriteString(w)
		line += len(w)
	}
	if len(words) > 0 {
		b.WriteByte('\n')
	}
	return b.String()
}

// tokenName makes the name of a queue fit into a token, which may have more than a metric's name.
func tokenName(name string) string {
	return strings.Map(func(c rune) rune {
		if c == '.' || c == ':' || plain(string(c)) == string(c) {
			return c
		}
		return '_'
	}, name)
}

package servercli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/cli"
	"github.com/saba-monitor/saba/internal/monitor"
)

var monitorsCmd = cli.Command{
	Name:  "monitors",
	Short: "try monitors on samples of a file, without a server: saba monitors test FILE",
	Run: func(ctx context.Context, env *cli.Env, args []string) error {
		if len(args) > 0 && args[0] == "test" {
			args = args[1:]
		} else if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
			return saba.Errorf(saba.ErrInvalid, "there is no %q: test FILE is the only one", args[0])
		}
		file, err := operand(env, env.Flags("test FILE"), args, "FILE", "the file with monitors, samples and what is expected")
		if err != nil {
			return err
		}
		t, err := readMonitorTest(file)
		if err != nil {
			return err
		}
		return t.run(ctx, env.Stdout)
	},
}

const (
	maxTestFile    = 16 << 20 // bytes, of a test or of recorded samples
	maxTestMinutes = 31 * 24 * 60
	testOrg        = "test"
)

// A monitorTest is what a file of saba monitors test says: docs/monitors.md describes it.
type monitorTest struct {
	file      string
	begin     int64 // Unix seconds of minute 0
	minutes   int64 // from minute 0 on
	hosts     []saba.Host
	services  []saba.Service
	monitors  []saba.Monitor
	downtimes []saba.Downtime
	samples   map[saba.Series][]saba.Sample // by minute since minute 0, until everything is read
	recorded  map[saba.Series][]saba.Sample // by Unix seconds
	expected  map[string][]string           // by monitor: its alerts, as row writes them
}

// readMonitorTest reads a file. Its error names the file and the line.
func readMonitorTest(file string) (*monitorTest, error) {
	b, err := readLimited(file)
	if err != nil {
		return nil, err
	}
	t := &monitorTest{file: file, samples: map[saba.Series][]saba.Sample{}, recorded: map[saba.Series][]saba.Sample{}, expected: map[string][]string{},
		begin: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Unix()}
	n := 0
	for line := range strings.Lines(string(b)) {
		n++
		words := strings.Fields(line)
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		if err := t.line(words, strings.TrimSpace(line)); err != nil {
			return nil, saba.Errorf(saba.ErrInvalid, "%s:%d: %v", file, n, err)
		}
	}
	if len(t.monitors) == 0 {
		return nil, saba.Errorf(saba.ErrInvalid, "%s: it has no monitor: a line begins with the word monitor", file)
	}
	return t, t.settle()
}

func readLimited(file string) ([]byte, error) {
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, saba.Errorf(saba.ErrInvalid, "%v", err)
	} else if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxTestFile+1))
	if err == nil && len(b) > maxTestFile {
		err = saba.Errorf(saba.ErrInvalid, "%s is larger than %d MiB", file, maxTestFile>>20)
	}
	return b, err
}

// after returns what stands behind the first n words of a line.
func after(line string, n int) string {
	for range n {
		_, line, _ = strings.Cut(strings.TrimSpace(line), " ")
	}
	return strings.TrimSpace(line)
}

// into reads JSON, of which every key must be known.
func into(text string, v any) error {
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("not the JSON that belongs here: %s", strings.TrimPrefix(err.Error(), "json: "))
	}
	if d.More() {
		return errors.New("something follows the JSON")
	}
	return nil
}

// forms are the lines of a test, by their first word, and how many words they have at least.
var forms = map[string]struct {
	form string
	n    int
}{
	"host": {"host NAME [SERVICE:ROLE]…", 2}, "service": {"service NAME", 2}, "monitor": {"monitor NAME JSON", 3}, "downtime": {"downtime NAME MINUTE MINUTES [JSON]", 4},
	"post": {"post HOST METRIC VALUE…", 4}, "serve": {"serve SERVICE METRIC VALUE…", 4}, "recorded": {"recorded HOST METRIC FILE", 4},
	"until": {"until MINUTE", 2}, "fires": {"fires MONITOR TARGET STATUS FROM TO", 6}, "quiet": {"quiet MONITOR", 2},
}

// line takes one line of a test.
func (t *monitorTest) line(w []string, line string) error {
	f, ok := forms[w[0]]
	switch {
	case !ok:
		return fmt.Errorf("no line begins with %q", w[0])
	case len(w) < f.n:
		return fmt.Errorf("too few words: the line is %s", f.form)
	}
	switch w[0] {
	case "host":
		return t.host(w[1], w[2:])
	case "service":
		return t.service(w[1])
	case "monitor":
		return t.monitor(w[1], after(line, 2))
	case "downtime":
		return t.downtime(w[1], w[2], w[3], after(line, 4))
	case "post":
		return t.values(saba.Series{Host: w[1], Name: w[2]}, w[3:])
	case "serve":
		return t.values(saba.Series{Service: w[1], Name: w[2]}, w[3:])
	case "recorded":
		return t.record(saba.Series{Host: w[1], Name: w[2]}, w[3])
	case "until":
		at, err := minute(w[1])
		t.minutes = max(t.minutes, at)
		return err
	case "quiet":
		return t.expect(w[1])
	}
	for _, at := range w[4:6] {
		if _, err := minute(at); err != nil && at != "-" {
			return err
		}
	}
	if !slices.Contains(saba.CheckStatuses, saba.CheckStatus(w[3])) || w[3] == string(saba.CheckOK) {
		return fmt.Errorf("the status must be WARNING, CRITICAL or UNKNOWN, not %q", w[3])
	}
	return t.expect(w[1], strings.Join(w[2:6], "\t"))
}

// expect notes an alert that a monitor has to open; none when it must not open any.
func (t *monitorTest) expect(name string, alert ...string) error {
	if !slices.ContainsFunc(t.monitors, func(m saba.Monitor) bool { return m.ID == name }) {
		return fmt.Errorf("no line before this one is of a monitor %q", name)
	}
	t.expected[name] = append(t.expected[name], alert...)
	return nil
}

func minute(s string) (int64, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 || n > maxTestMinutes {
		return 0, fmt.Errorf("a minute is a whole number from 0 to %d, not %q", maxTestMinutes, s)
	}
	return n, nil
}

func (t *monitorTest) host(name string, roles []string) error {
	h := saba.Host{ID: name, Org: testOrg, Name: name, Status: saba.Working}
	for _, r := range roles {
		role, err := saba.ParseRoleName(r)
		if err != nil {
			return err
		}
		h.Roles = append(h.Roles, role)
	}
	t.hosts = append(t.hosts, h)
	return nil
}

func (t *monitorTest) service(name string) error {
	t.services = append(t.services, saba.Service{Name: name, Series: name})
	return nil
}

func (t *monitorTest) monitor(name, text string) error {
	m := saba.Monitor{ID: name, Name: name}
	if err := into(text, &m); err != nil {
		return err
	}
	m.ID = name
	m.Default()
	if err := m.Check(t.begin); err != nil {
		return err
	}
	if m.Type == saba.MonitorQuery {
		return errors.New("queries need a server: POST /api/v0/monitors/preview replays them there")
	}
	t.monitors = append(t.monitors, m)
	return nil
}

func (t *monitorTest) downtime(name, start, length, text string) error {
	var d saba.Downtime
	if text != "" {
		if err := into(text, &d); err != nil {
			return err
		}
	}
	from, err := minute(start)
	if err != nil {
		return err
	}
	long, err := minute(length)
	if err != nil {
		return err
	}
	d.ID, d.Name, d.Start, d.Duration = name, name, from*60+t.begin, long
	if err := d.Check(); err != nil {
		return err
	}
	d.Start -= t.begin // minute 0 may move
	t.downtimes = append(t.downtimes, d)
	return nil
}

// values adds one value a minute to a series: 5 or 5*10 (ten times) or 1..9*10 (in ten steps); - is a minute without.
func (t *monitorTest) values(s saba.Series, words []string) error {
	if err := t.known(s); err != nil {
		return err
	}
	s.Org = testOrg
	key := s
	key.Org = "" // how far the series goes, whatever it has there
	for _, word := range words {
		text, times, repeated := strings.Cut(word, "*")
		n := int64(1)
		if repeated {
			var err error
			if n, err = minute(times); err != nil {
				return err
			}
		}
		low, high, ramp := strings.Cut(text, "..")
		if !ramp {
			high = low
		}
		from, err := strconv.ParseFloat(low, 64)
		to, err2 := strconv.ParseFloat(high, 64)
		if text != "-" && cmp.Or(err, err2) != nil {
			return fmt.Errorf("a value is a number, FROM..TO*TIMES, or - for a minute without one, and *10 repeats it: not %q", word)
		}
		for i := range n {
			next := int64(0)
			if have := t.samples[key]; len(have) > 0 {
				next = have[0].Time
			}
			if next > maxTestMinutes {
				return fmt.Errorf("a series has at most %d minutes", maxTestMinutes)
			}
			if text != "-" {
				t.samples[s] = append(t.samples[s], saba.Sample{Time: next, Value: from + (to-from)*float64(i)/float64(max(n-1, 1))})
			}
			t.samples[key] = []saba.Sample{{Time: next + 1}}
			t.minutes = max(t.minutes, next)
		}
	}
	return nil
}

// known checks that the host or service of a series was named.
func (t *monitorTest) known(s saba.Series) error {
	if s.Host != "" && !slices.ContainsFunc(t.hosts, func(h saba.Host) bool { return h.ID == s.Host }) {
		return fmt.Errorf("no line before this one is of a host %q", s.Host)
	}
	if s.Service != "" && !slices.ContainsFunc(t.services, func(is saba.Service) bool { return is.Name == s.Service }) {
		return fmt.Errorf("no line before this one is of a service %q", s.Service)
	}
	return nil
}

// record reads samples as GET /hosts/<id>/metrics answers them, from a file beside the test.
func (t *monitorTest) record(s saba.Series, file string) error {
	if err := t.known(s); err != nil {
		return err
	}
	if !filepath.IsAbs(file) {
		file = filepath.Join(filepath.Dir(t.file), file)
	}
	b, err := readLimited(file)
	if err != nil {
		return err
	}
	var answer struct {
		Metrics []struct {
			Time  int64   `json:"time"`
			Value float64 `json:"value"`
		} `json:"metrics"`
	}
	if err := json.Unmarshal(b, &answer); err != nil || len(answer.Metrics) == 0 {
		return fmt.Errorf(`%s does not hold samples as {"metrics":[{"time":…,"value":…}]}`, file)
	}
	s.Org = testOrg
	for _, m := range answer.Metrics {
		t.recorded[s] = append(t.recorded[s], saba.Sample{Time: saba.Minute(m.Time), Value: m.Value})
	}
	slices.SortStableFunc(t.recorded[s], func(a, b saba.Sample) int { return cmp.Compare(a.Time, b.Time) })
	return nil
}

// settle gives every sample its time: minute 0 is that of the first recorded one.
func (t *monitorTest) settle() error {
	first := int64(0)
	for _, of := range t.recorded {
		if first == 0 || of[0].Time < first {
			first = of[0].Time
		}
	}
	t.begin = cmp.Or(first, t.begin)
	for s, of := range t.samples {
		if s.Org == "" {
			delete(t.samples, s)
			continue
		}
		for i := range of {
			of[i].Time = t.begin + of[i].Time*60
		}
	}
	for s, of := range t.recorded {
		if len(t.samples[s]) > 0 {
			return saba.Errorf(saba.ErrInvalid, "%s: the metric %s of host %s is both posted and recorded", t.file, s.Name, s.Host)
		}
		t.samples[s] = of
		last := (of[len(of)-1].Time - t.begin) / 60
		if last > maxTestMinutes {
			return saba.Errorf(saba.ErrInvalid, "%s: the recorded samples are %d minutes apart: at most %d are allowed", t.file, last, maxTestMinutes)
		}
		t.minutes = max(t.minutes, last)
	}
	for i := range t.downtimes {
		t.downtimes[i].Start += t.begin
	}
	return nil
}

// run replays every monitor, prints its alerts, and compares them with what was expected.
func (t *monitorTest) run(ctx context.Context, w io.Writer) error {
	past := monitor.Past{Org: testOrg, Records: t, History: t, Zone: time.UTC, Since: t.begin}
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, "MONITOR\tTARGET\tSTATUS\tFROM\tTO\tMESSAGE\t")
	failed := 0
	for _, m := range t.monitors {
		got, err := past.Replay(ctx, m, t.begin, t.begin+t.minutes*60)
		if err != nil {
			return fmt.Errorf("%s: monitor %s: %w", t.file, m.ID, err)
		}
		want, judged := t.expected[m.ID]
		want = slices.Clone(want)
		for _, a := range got.Alerts {
			row, verdict := t.row(a), ""
			if i := slices.Index(want, row); i >= 0 {
				want = slices.Delete(want, i, i+1)
			} else if judged {
				verdict = "NOT EXPECTED"
				failed++
			}
			fmt.Fprintf(out, "%s\t%s\t%s\t%s\n", m.ID, row, a.Message, verdict)
		}
		for _, row := range want {
			fmt.Fprintf(out, "%s\t%s\t\tMISSING\n", m.ID, row)
			failed++
		}
		if len(got.Alerts) == 0 && len(want) == 0 {
			fmt.Fprintf(out, "%s\t-\tOK\t-\t-\t\t\n", m.ID)
		}
	}
	if err := out.Flush(); err != nil {
		return err
	}
	if failed > 0 {
		return fmt.Errorf("%s: %d alerts are not as expected", t.file, failed)
	}
	return nil
}

// row writes an alert as a line "fires" has it: target, worst status, and the minutes from which and to which it is open.
func (t *monitorTest) row(a saba.ReplayedAlert) string {
	to := "-"
	if a.ClosedAt != 0 {
		to = strconv.FormatInt((a.ClosedAt-t.begin)/60, 10)
	}
	return fmt.Sprintf("%s\t%s\t%d\t%s", cmp.Or(a.Label, "-"), a.Worst, (a.OpenedAt-t.begin)/60, to)
}

// Hosts, Services and Downtimes are what a replay asks of the database.
func (t *monitorTest) Hosts(_ context.Context, _ string, f saba.HostFilter) ([]saba.Host, error) {
	return slices.DeleteFunc(slices.Clone(t.hosts), func(h saba.Host) bool {
		return f.Service != "" && !slices.ContainsFunc(h.Roles, func(r saba.RoleName) bool { return r.Service == f.Service && slices.Contains(f.Roles, r.Role) })
	}), nil
}

// Services returns the services of the test.
func (t *monitorTest) Services(context.Context, string) ([]saba.Service, error) {
	return t.services, nil
}

// Downtimes returns the downtimes of the test.
func (t *monitorTest) Downtimes(context.Context, string) ([]saba.Downtime, error) {
	return t.downtimes, nil
}

// HostNames returns the metrics of a host, sorted.
func (t *monitorTest) HostNames(_ context.Context, _, host string) (names []string, err error) {
	for s := range t.samples {
		if s.Host == host {
			names = append(names, s.Name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// Like returns the series of hosts or a service whose names match a pattern, host by host.
func (t *monitorTest) Like(_ context.Context, _ string, hosts []string, service, pattern string, _, _ int64) (found []saba.Series, err error) {
	want := strings.Split(pattern, ".")
	for s := range t.samples {
		has := strings.Split(s.Name, ".")
		if s.Host != "" && !slices.Contains(hosts, s.Host) || s.Host == "" && s.Service != service || len(has) != len(want) {
			continue
		}
		if slices.EqualFunc(want, has, func(w, h string) bool { return w == "*" || w == h }) {
			found = append(found, s)
		}
	}
	slices.SortFunc(found, func(a, b saba.Series) int {
		return cmp.Or(cmp.Compare(slices.Index(hosts, a.Host), slices.Index(hosts, b.Host)), cmp.Compare(a.Name, b.Name))
	})
	return found, nil
}

// Range returns the samples of series from from to to.
func (t *monitorTest) Range(_ context.Context, series []saba.Series, from, to int64) ([][]saba.Sample, error) {
	all := make([][]saba.Sample, len(series))
	for i, s := range series {
		at := func(when int64) int {
			n, _ := slices.BinarySearchFunc(t.samples[s], when, func(s saba.Sample, when int64) int { return cmp.Compare(s.Time, when) })
			return n
		}
		all[i] = slices.Clone(t.samples[s][at(from):at(to+1)])
	}
	return all, nil
}

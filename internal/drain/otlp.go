package drain

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/auth"
	"github.com/saba-monitor/saba/internal/logline"
	"github.com/saba-monitor/saba/internal/otlp"
)

// The paths of OTLP/HTTP, behind the address that a sender is given.
const (
	LogsPath    = "/v1/logs"
	MetricsPath = "/v1/metrics"
)

// Limits of a request of OTLP.
const (
	maxOTLP    = 8 << 20 // bytes, inflated
	otlpWithin = 9 * time.Second
	// maxAttributes is how many attributes tell the series of a gauge apart.
	maxAttributes = 4
	mostReasons   = 5 // sentences of an answer
)

// Logs takes POST /v1/logs: OTLP for senders that are given the address of the server. The token of a drain opens it, as bearer token or with basic authentication; an API
// key with the write flag does too, and then ?drain=ID, or the resource attribute service.name, says which drain is meant.
func (d *Drains) Logs(keys auth.Keys) http.Handler {
	door := auth.Door{Keys: keys, Now: d.Now, Log: d.Log, Basic: true}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), otlpWithin)
		defer cancel()
		err := d.logs(ctx, w, r, door)
		if err != nil {
			d.fail(w, r, err, failOTLP)
		}
	})
}

func (d *Drains) logs(ctx context.Context, w http.ResponseWriter, r *http.Request, door auth.Door) error {
	org, dr, err := d.open(ctx, credentials(r))
	if err == nil {
		return d.otlp(ctx, w, r, LogsPath, d.always(org, dr))
	}
	if !errors.Is(err, saba.ErrUnauthorized) {
		return err
	}
	p, err := door.Principal(r)
	if err != nil {
		return err
	}
	if p.Org == "" {
		return saba.Errorf(saba.ErrUnauthorized, "this takes the token of a drain, or an API key with the write flag, as bearer token")
	}
	if err := p.Authorize(saba.Write); err != nil {
		return err
	}
	if id := r.URL.Query().Get("drain"); id != "" {
		dr, err := d.Store.Drain(ctx, p.Org, id)
		if errors.Is(err, saba.ErrNotFound) {
			return saba.Errorf(saba.ErrInvalid, "there is no drain %q, which the parameter drain names: make it first", logline.Clip([]byte(id)))
		} else if err != nil {
			return err
		}
		return d.otlp(ctx, w, r, LogsPath, d.always(p.Org, dr))
	}
	drains, err := d.Store.Drains(ctx, p.Org)
	if err != nil {
		return err
	}
	return d.otlp(ctx, w, r, LogsPath, func(attributes []otlp.Attribute) (destination, string) {
		service := attribute(attributes, "service.name")
		var found []saba.Drain
		for _, dr := range drains {
			if dr.Service == service {
				found = append(found, dr)
			}
		}
		if len(found) != 1 {
			return destination{}, fmt.Sprintf("%d drains are of the service %q that service.name names, and it must be one: name a drain with ?drain=ID, or use its token", len(found), logline.Clip([]byte(service)))
		}
		return destination{p.Org, found[0]}, ""
	})
}

// Metrics takes those requests of POST /v1/metrics that the token of a drain opens, as bearer token or with basic authentication. All others are next's.
func (d *Drains) Metrics(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		org, dr, err := d.open(r.Context(), credentials(r))
		if err != nil || r.Method != http.MethodPost {
			next.ServeHTTP(w, r) // whatever is wrong, it says so
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), otlpWithin)
		defer cancel()
		if err := d.otlp(ctx, w, r, MetricsPath, d.always(org, dr)); err != nil {
			d.fail(w, r, err, failOTLP)
		}
	})
}

// A destination is a drain of an organization.
type destination struct {
	org   string
	drain saba.Drain
}

// always sends every resource to one drain.
func (d *Drains) always(org string, dr saba.Drain) func([]otlp.Attribute) (destination, string) {
	return func([]otlp.Attribute) (destination, string) { return destination{org, dr}, "" }
}

// failOTLP answers in the encoding of the request, and in JSON when it has none of OTLP.
func failOTLP(w http.ResponseWriter, r *http.Request, code int, message string) {
	encoding, ok := otlp.EncodingOf(r.Header)
	if !ok {
		encoding = otlp.JSON
	}
	otlp.WriteStatus(w, encoding, code, message)
}

// otlp takes in a request of OTLP. to says to which drain what comes from a resource goes, or why to none.
func (d *Drains) otlp(ctx context.Context, w http.ResponseWriter, r *http.Request, path string, to func([]otlp.Attribute) (destination, string)) error {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		return saba.Errorf(errMethod, "%s takes POST, not %s", path, r.Method)
	}
	encoding, ok := otlp.EncodingOf(r.Header)
	if !ok {
		return saba.Errorf(errMediaType, "the body has Content-Type %q: OTLP is application/x-protobuf or application/json", logline.Clip([]byte(r.Header.Get("Content-Type"))))
	}
	at, leave, err := d.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	if err := read(ctx, &at.body, w, r, maxOTLP); err != nil {
		return err
	}
	body := bytes.Clone(at.body.Bytes()) // what is read of it may be part of it
	in := &otlpIntake{now: d.Now(), to: to, lots: map[string]*otlpLot{}, stamped: true}
	name := "rejectedLogRecords"
	if path == LogsPath {
		err = otlp.ReadLogs(body, encoding, in.records)
	} else {
		name = "rejectedDataPoints"
		err = otlp.ReadMetrics(body, encoding, in.metrics)
	}
	if err != nil {
		return err
	}
	// The protocol has no id for a request that is sent again, but that has the same bytes, and where each thing in it has its time no other one does.
	frame := ""
	if in.stamped {
		sum := sha256.Sum256(append([]byte(path+"\n"), body...))
		frame = "otlp " + hex.EncodeToString(sum[:16])
	}
	for _, l := range in.lots {
		l.lot.Frame = frame
		if err := d.Take(ctx, l.org, l.drain, l.lot); errors.Is(err, saba.ErrNotFound) { // deleted since
			return errNoDrain
		} else if err != nil {
			return err
		}
	}
	otlp.WriteAnswer(w, encoding, name, in.rejected, strings.Join(in.why, "; "))
	return nil
}

// An otlpIntake makes lots of what a request says.
type otlpIntake struct {
	now      time.Time
	to       func([]otlp.Attribute) (destination, string)
	lots     map[string]*otlpLot // by the drain's id
	lines    int
	stamped  bool // everything has a time
	rejected int
	why      []string // sentences for the sender, each once
}

type otlpLot struct {
	destination
	reader logline.Reader
	lot    Lot
}

// reject notes that n records or points are not taken, and why.
func (in *otlpIntake) reject(n int, why string) {
	in.rejected += n
	if n > 0 && len(in.why) < mostReasons && !slices.Contains(in.why, why) {
		in.why = append(in.why, why)
	}
}

// lotOf returns the lot of what a resource says; why says that there is none.
func (in *otlpIntake) lotOf(attributes []otlp.Attribute) (l *otlpLot, why string) {
	to, why := in.to(attributes)
	if why != "" {
		return nil, why
	}
	l = in.lots[to.drain.ID]
	if l == nil {
		l = &otlpLot{destination: to, reader: logline.Reader{Prefix: to.drain.Prefix, SourcePrefix: to.drain.SourcePrefix}}
		in.lots[to.drain.ID] = l
	}
	return l, ""
}

// attribute returns the text of the first attribute that there is of some keys; "" for none.
func attribute(all []otlp.Attribute, keys ...string) string {
	for _, key := range keys {
		for _, a := range all {
			if a.Key == key && a.Text != "" {
				return a.Text
			}
		}
	}
	return ""
}

// records makes lines of the log records of a resource. What a record says of itself counts before what its resource says. appname, proc_id and hostname are what
// OpenTelemetry's collector makes of syslog.
func (in *otlpIntake) records(resource []otlp.Attribute) func(*otlp.Record) error {
	l, none := in.lotOf(resource)
	return func(r *otlp.Record) error {
		switch {
		case none != "":
			in.reject(1, none)
			return nil
		case r.Bad != "":
			in.reject(1, r.Bad)
			l.lot.Refuse(logline.NotText, nil)
			return nil
		}
		all := append(slices.Clip(r.Attributes), resource...)
		line := logline.Line{
			Time: in.now, Host: attribute(all, "hostname", "host.name"), App: attribute(all, "appname", "service.name", "heroku.app.name"),
			Proc: attribute(all, "proc_id", "heroku.dyno.name", "service.instance.id"),
		}
		if at := cmp.Or(r.Time, r.Observed); at > 0 && at < 1<<63 {
			line.Time = time.Unix(0, int64(at))
		} else {
			in.stamped = false
		}
		line.App, line.Proc = herokuPart(line.App, line.Proc)
		for text := range bytes.Lines([]byte(r.Body)) {
			if text = bytes.TrimRight(text, "\r\n"); len(text) > 0 {
				line.Text = text
				l.lot.Lines = append(l.lot.Lines, line)
			}
		}
		if in.lines++; in.lines > maxLines || len(l.lot.Lines) > maxLines {
			return saba.Errorf(saba.ErrTooLarge, "the request holds more than %d lines: send them in parts", maxLines)
		}
		return nil
	}
}

// herokuPart returns the names by which the parts of Heroku are known in its logs, for those that go as a service of their own.
func herokuPart(app, proc string) (string, string) {
	switch app {
	case "heroku-router":
		return "heroku", "router"
	case "heroku-postgres", "heroku-redis", "heroku-pgbouncer":
		return "app", app
	}
	return app, proc
}

// metrics makes readings of the metrics of a resource.
func (in *otlpIntake) metrics(resource []otlp.Attribute) func(*otlp.Metric) error {
	l, none := in.lotOf(resource)
	return func(m *otlp.Metric) error {
		if none != "" {
			in.reject(len(m.Points), none)
			return nil
		}
		name := logline.Clean(m.Name)
		if name == "" {
			in.reject(len(m.Points), "a metric has no name")
			l.refuse(len(m.Points), logline.BadName, m.Name)
			return nil
		}
		if m.Temporality == otlp.Unsaid && m.Kind != otlp.Gauge && m.Kind != otlp.Summary && m.Kind != otlp.Nothing {
			in.reject(len(m.Points), fmt.Sprintf("metric %s says neither that it is cumulative nor that it is a delta", name))
			l.refuse(len(m.Points), logline.BadValue, name)
			return nil
		}
		for i := range m.Points {
			p := &m.Points[i]
			in.stamped = in.stamped && p.Time > 0
			if p.Silent {
				continue
			}
			if why := in.point(l, resource, m, name, p); why != "" {
				in.reject(1, "metric "+name+": "+why)
			}
		}
		return nil
	}
}

// counts says whether a metric is what happened, and not how much there is of something.
func counts(m *otlp.Metric) bool {
	switch m.Kind {
	case otlp.Sum:
		return m.Monotonic || m.Temporality == otlp.Delta // the deltas of what goes up and down add up as well
	case otlp.Histogram, otlp.Exponential, otlp.Summary:
		return true
	}
	return false
}

func (l *otlpLot) refuse(n int, reason logline.Reason, text string) {
	for range n {
		l.lot.Refuse(reason, []byte(text))
	}
}

// point makes readings of a data point. why says that it is not taken.
//
// A gauge is a sample; a sum that only grows, and the number and sum of a histogram or a summary, are counts: deltas as they are, totals by what they increased. A sum that
// goes up and down is a sample of its total. Samples have a source that tells instances and attributes apart; counts are of all instances together.
func (in *otlpIntake) point(l *otlpLot, resource []otlp.Attribute, m *otlp.Metric, name string, p *otlp.Point) (why string) {
	if p.Bad != "" {
		l.refuse(1, logline.BadValue, name)
		return p.Bad
	}
	attributes := slices.Clone(p.Attributes)
	slices.SortFunc(attributes, func(a, b otlp.Attribute) int { return cmp.Or(cmp.Compare(a.Key, b.Key), cmp.Compare(a.Text, b.Text)) })
	scale, unit := otlpUnit(m.Unit)
	refuse := func(no logline.Refusal) {
		l.lot.Refuse(no.Reason, []byte(no.Text))
		why = string(no.Reason)
	}
	rd := logline.Reading{Name: name, Time: int64(min(p.Time, 1<<63-1)), Unit: unit}
	put := func(rd logline.Reading) {
		l.reader.Pass(in.now, rd, func(rd logline.Reading) { l.lot.Readings = append(l.lot.Readings, rd) }, refuse)
	}
	count := func(suffix string, value float64, unit saba.Unit) {
		rd := rd
		rd.Kind, rd.Name, rd.Value, rd.Unit = logline.Count, name+suffix, value, unit
		rd.Source = sourceOf("", attributes[:min(len(attributes), maxAttributes)])
		if m.Temporality == otlp.Delta {
			put(rd)
			return
		}
		l.reader.Pass(in.now, rd, func(rd logline.Reading) {
			l.lot.totals = append(l.lot.totals, total{seriesOf(rd.Name, resource, attributes, p.Start), rd})
		}, refuse)
	}
	sample := func(name, suffix string, value float64) {
		if len(attributes) > maxAttributes {
			l.refuse(1, logline.TooMany, name)
			why = fmt.Sprintf("it has %d attributes, and up to %d tell series apart: leave some out", len(attributes), maxAttributes)
			return
		}
		rd := rd
		rd.Kind, rd.Name, rd.Value = logline.Sample, name+suffix, value*scale
		rd.Source = sourceOf(attribute(resource, "heroku.dyno.name", "service.instance.id", "k8s.pod.name", "host.name"), attributes)
		put(rd)
	}
	switch {
	case m.Kind == otlp.Sum && counts(m):
		if unit == saba.UnitFloat {
			unit = saba.UnitInteger
		}
		count("", p.Value*scale, unit)
	case m.Kind == otlp.Gauge, m.Kind == otlp.Sum:
		sample(name, "", p.Value)
	default:
		count(".count", p.Count, saba.UnitInteger)
		if p.HasSum {
			count(".sum", p.Sum*scale, unit)
		}
		for _, q := range p.Quantiles {
			sample(name, ".p"+strings.ReplaceAll(strconv.FormatFloat(q[0]*100, 'g', 6, 64), ".", "_"), q[1])
		}
	}
	return why
}

// sourceOf returns a source of the instance, and the values of attributes in the order of their keys.
func sourceOf(instance string, attributes []otlp.Attribute) string {
	var parts []string
	if instance = logline.Clean(instance); instance != "" {
		parts = append(parts, instance)
	}
	for _, a := range attributes {
		parts = append(parts, cmp.Or(strings.ReplaceAll(logline.Clean(a.Text), ".", "_"), "_"))
	}
	return strings.Join(parts, ".")
}

// seriesOf returns what a counter is known by: one that began anew is another.
func seriesOf(name string, resource, attributes []otlp.Attribute, start uint64) string {
	h := sha256.New()
	fmt.Fprintf(h, "%q %d", name, start)
	for _, all := range [][]otlp.Attribute{resource, attributes} {
		for _, a := range all {
			fmt.Fprintf(h, " %q=%q", a.Key, a.Text)
		}
		fmt.Fprint(h, ";")
	}
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:15])
}

// otlpUnit returns what a value of a unit, which is one of UCUM's, is multiplied by, and its unit then.
func otlpUnit(unit string) (scale float64, to saba.Unit) {
	switch unit {
	case "By":
		return 1, saba.UnitBytes
	case "kBy":
		return 1e3, saba.UnitBytes
	case "MBy":
		return 1e6, saba.UnitBytes
	case "GBy":
		return 1e9, saba.UnitBytes
	case "KiBy":
		return 1 << 10, saba.UnitBytes
	case "MiBy":
		return 1 << 20, saba.UnitBytes
	case "GiBy":
		return 1 << 30, saba.UnitBytes
	case "By/s":
		return 1, saba.UnitBytesPerSec
	case "s":
		return 1e3, saba.UnitMilliseconds
	case "ms":
		return 1, saba.UnitMilliseconds
	case "us":
		return 1e-3, saba.UnitMilliseconds
	case "ns":
		return 1e-6, saba.UnitMilliseconds
	case "%":
		return 1, saba.UnitPercentage
	}
	if strings.HasPrefix(unit, "{") && strings.HasSuffix(unit, "}") { // a number of things
		return 1, saba.UnitInteger
	}
	return 1, saba.UnitFloat
}

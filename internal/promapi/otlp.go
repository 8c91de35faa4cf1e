package promapi

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/otlp"
)

// otlpInflate bounds an OTLP body in bytes when it is inflated.
const otlpInflate = 16 << 20

// otlp takes metrics in by OTLP/HTTP, as protobuf or JSON. The answer is 200 also when points were
// refused: it says then how many, and why (OTLP specification, section Partial Success).
//
// A gauge or a sum becomes a series; cumulative sums are kept as they are, for rate() at query time.
// A histogram becomes NAME_bucket (cumulative, with the label le), NAME_count and NAME_sum; a summary
// NAME (label quantile), NAME_count and NAME_sum. Deltas and exponential histograms are refused.
func (s *server) otlp(w http.ResponseWriter, c *call) error {
	encoding, ok := otlp.EncodingOf(c.Header)
	if !ok {
		return saba.Errorf(errMediaType, "the body has Content-Type %q: OTLP is application/x-protobuf or application/json", clip(c.Header.Get("Content-Type")))
	}
	in, err := s.intake(c)
	if err != nil {
		return err
	}
	sent, err := c.body.Read()
	if err != nil {
		return err
	}
	leave, err := s.intakes.enter(c.Context()) // not before, as a slow sender may take its time
	if err != nil {
		return err
	}
	defer leave()
	o := otlpIntake{intake: in}
	if err := otlp.ReadMetrics(sent, encoding, func(attributes []otlp.Attribute) func(*otlp.Metric) error {
		r := resource(attributes)
		return func(m *otlp.Metric) error { return o.metric(&r, m) }
	}); err != nil {
		return err
	}
	if _, err := in.store(); err != nil {
		return err
	}
	rejected, why := in.refused.Total(), ""
	if rejected > 0 {
		why = in.answer()
	}
	otlp.WriteAnswer(w, encoding, "rejectedDataPoints", rejected, why)
	return nil
}

// failOTLP answers in the encoding of the request, and in JSON when it has none of OTLP.
func failOTLP(w http.ResponseWriter, r *http.Request, code int, why string) {
	encoding, ok := otlp.EncodingOf(r.Header)
	if !ok {
		encoding = otlp.JSON
	}
	otlp.WriteStatus(w, encoding, code, why)
}

// An otlpResource is what the attributes of a resource say about its series.
type otlpResource struct {
	labels        []labels.Label // of each of its series
	host, service string         // what owns them: what the labels of those names would say
}

// otlpIntake takes in what OTLP says.
type otlpIntake struct {
	*intake
	scratch []labels.Label
}

// resource turns attributes of a resource into what its series get. The owner is named by host.id,
// or by service.name; service.instance.id tells the instances of a service apart.
func resource(attributes []otlp.Attribute) (r otlpResource) {
	for _, a := range attributes {
		switch a.Key {
		case "host.id":
			r.host = a.Text
		case "service.name":
			r.service = a.Text
		case "service.instance.id":
			r.labels = append(r.labels, labels.Label{Name: "instance", Value: a.Text})
		case "service.namespace", "deployment.environment.name", "deployment.environment", "host.name", "container.id", "k8s.namespace.name", "k8s.pod.name":
			r.labels = append(r.labels, labels.Label{Name: labelName(a.Key), Value: a.Text})
		}
	}
	return r
}

// labelName makes of an attribute's name one that PromQL takes without quotes.
func labelName(s string) string {
	var b strings.Builder
	for i, c := range s {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', c == '_', '0' <= c && c <= '9' && i > 0:
			b.WriteRune(c)
		case '0' <= c && c <= '9':
			b.WriteByte('_')
			b.WriteRune(c)
		default:
			b.WriteByte('_')
		}
	}
	return b.String()
}

// metricName makes a name of ours of OTLP's: what we do not allow becomes _.
func metricName(s string) string {
	return strings.Map(func(c rune) rune {
		if c < 0x80 && plain(string(c)) {
			return c
		}
		return '_'
	}, s)
}

// metric takes in one metric of a resource.
func (o *otlpIntake) metric(r *otlpResource, m *otlp.Metric) error {
	name := metricName(m.Name)
	switch {
	case m.Kind == otlp.Exponential:
		o.refuse(len(m.Points), dropUnsupported, "metric %s: exponential histograms are not kept: send histograms with explicit bounds", clip(name))
		return o.full()
	case (m.Kind == otlp.Sum || m.Kind == otlp.Histogram) && m.Temporality != otlp.Cumulative:
		o.refuse(len(m.Points), dropUnsupported, "metric %s: deltas are not kept: send cumulative values (OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE=cumulative)", clip(name))
		return o.full()
	}
	types := map[otlp.Kind]string{otlp.Gauge: "gauge", otlp.Sum: "gauge", otlp.Histogram: "histogram", otlp.Summary: "summary"}
	kind := types[m.Kind]
	if m.Kind == otlp.Sum && m.Monotonic {
		kind = "counter"
	}
	before := o.refused.Total()
	for i := range m.Points {
		if err := o.point(r, m.Kind, name, &m.Points[i]); err != nil {
			return err
		}
	}
	if len(m.Points) > 0 && o.refused.Total() == before {
		o.meta.learn(o.org, name, description{Type: kind, Help: m.Help, Unit: m.Unit})
	}
	return o.full()
}

// point takes in one data point, which is one or several samples.
func (o *otlpIntake) point(r *otlpResource, kind otlp.Kind, name string, p *otlp.Point) error {
	switch {
	case p.Bad != "":
		o.refuse(1, saba.DropBadPoint, "metric %s: %s", clip(name), p.Bad)
		return nil
	case p.Silent:
		o.sent++
		o.skipped++
		return nil
	}
	at := int64(p.Time / 1e9)
	add := func(suffix string, v float64, more ...labels.Label) error {
		o.scratch = append(o.scratch[:0], labels.Label{Name: nameLabel, Value: name + suffix})
		if r.host != "" {
			o.merge(hostLabel, r.host)
		}
		if r.service != "" {
			o.merge(serviceLabel, r.service)
		}
		for _, l := range r.labels {
			o.merge(l.Name, l.Value)
		}
		for _, l := range p.Attributes {
			// host and service of a point are not what owns it: that is said by the resource.
			n := labelName(l.Key)
			if n == hostLabel || n == serviceLabel {
				n = exportedPrefix + n
			}
			o.merge(n, l.Text)
		}
		for _, l := range more {
			o.merge(l.Name, l.Value)
		}
		id, err := o.identify(o.scratch)
		if err != nil {
			return err
		}
		o.take(id, []saba.Sample{{Time: at, Value: v}})
		return nil
	}
	switch kind {
	case otlp.Histogram:
		total := 0.0
		for i, n := range p.Buckets {
			le := "+Inf"
			if i < len(p.Bounds) {
				le = strconv.FormatFloat(p.Bounds[i], 'g', -1, 64)
			}
			total += n
			if err := add("_bucket", total, labels.Label{Name: "le", Value: le}); err != nil {
				return err
			}
		}
	case otlp.Summary:
		for _, q := range p.Quantiles {
			if err := add("", q[1], labels.Label{Name: "quantile", Value: strconv.FormatFloat(q[0], 'g', -1, 64)}); err != nil {
				return err
			}
		}
	default:
		return add("", p.Value)
	}
	if p.HasSum {
		if err := add("_sum", p.Sum); err != nil {
			return err
		}
	}
	return add("_count", p.Count)
}

// merge adds a label to scratch. Names that have become the same share one, as Prometheus does it.
func (o *otlpIntake) merge(name, value string) {
	for i := range o.scratch {
		if o.scratch[i].Name == name {
			o.scratch[i].Value += ";" + value
			return
		}
	}
	o.scratch = append(o.scratch, labels.Label{Name: name, Value: value})
}

package promapi

import (
	"encoding/binary"
	"encoding/json"
	"mime"
	"net/http"
	"strconv"
	"strings"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/saba-monitor/saba"
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
	asJSON, err := otlpKind(c.Header)
	if err != nil {
		return err
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
	if asJSON {
		err = o.readJSON(sent)
	} else {
		err = o.request(message{rest: sent})
	}
	if err != nil {
		return err
	}
	if _, err := in.store(); err != nil {
		return err
	}
	rejected, why := in.refused.Total(), ""
	if rejected > 0 {
		why = in.answer()
	}
	writeOTLP(w, asJSON, rejected, why)
	return nil
}

// otlpKind says whether the body is JSON or protobuf.
func otlpKind(h http.Header) (asJSON bool, err error) {
	kind, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	switch {
	case err == nil && kind == "application/json":
		return true, nil
	case err == nil && kind == "application/x-protobuf":
		return false, nil
	}
	return false, saba.Errorf(errMediaType, "the body has Content-Type %q: OTLP is application/x-protobuf or application/json", clip(h.Get("Content-Type")))
}

// writeOTLP answers with an ExportMetricsServiceResponse: partial_success = 1 (rejected_data_points
// = 1, error_message = 2), which is absent when all was taken.
func writeOTLP(w http.ResponseWriter, asJSON bool, rejected int, why string) {
	if asJSON {
		out := map[string]any{}
		if rejected > 0 {
			out["partialSuccess"] = map[string]any{"rejectedDataPoints": strconv.Itoa(rejected), "errorMessage": why}
		}
		writeJSON(w, http.StatusOK, out)
		return
	}
	var out []byte
	if rejected > 0 {
		partial := binary.AppendUvarint([]byte{1<<3 | byte(varint)}, uint64(rejected))
		out = appendBytes(nil, 1, appendBytes(partial, 2, []byte(why)))
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(out) // what fails is the client's connection
}

// appendBytes appends a length-delimited field to a protobuf message.
func appendBytes(to []byte, number byte, b []byte) []byte {
	to = append(to, number<<3|byte(lengthy))
	return append(binary.AppendUvarint(to, uint64(len(b))), b...)
}

// failOTLP answers with a google.rpc.Status (code = 1, message = 2), in the encoding of the request.
func failOTLP(w http.ResponseWriter, r *http.Request, code int, why string) {
	const invalidArgument, unavailable = 3, 14 // of google.rpc.Code: what the HTTP status says already
	status := invalidArgument
	if code >= http.StatusInternalServerError {
		status = unavailable
	}
	if asJSON, err := otlpKind(r.Header); err != nil || asJSON {
		writeJSON(w, code, map[string]any{"code": status, "message": why})
		return
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
	w.WriteHeader(code)
	_, _ = w.Write(appendBytes([]byte{1<<3 | byte(varint), byte(status)}, 2, []byte(why)))
}

// What a data point of OTLP says, in either encoding.
type (
	otlpResource struct {
		labels        []labels.Label // of each of its series
		host, service string         // what owns them: what the labels of those names would say
	}
	otlpMetric struct {
		name, help, unit string
		kind             otlpKindOf
		delta, monotonic bool
		points           []otlpPoint
	}
	otlpPoint struct {
		attributes []labels.Label
		nanos      uint64 // Unix nanoseconds
		silent     bool   // there is no value, on purpose
		value      float64
		count, sum float64
		hasSum     bool
		bounds     []float64 // of the buckets
		buckets    []float64 // one more than bounds
		quantiles  [][2]float64
		bad        string // why it cannot be taken
	}
	otlpKindOf int
)

const (
	otlpNothing otlpKindOf = iota
	otlpGauge
	otlpSum
	otlpHistogram
	otlpExponential
	otlpSummary
)

// otlpIntake takes in what OTLP says.
type otlpIntake struct {
	*intake
	scratch []labels.Label
}

// resource turns attributes of a resource into what its series get. The owner is named by host.id,
// or by service.name; service.instance.id tells the instances of a service apart.
func resource(attributes []labels.Label) (r otlpResource) {
	for _, a := range attributes {
		switch a.Name {
		case "host.id":
			r.host = a.Value
		case "service.name":
			r.service = a.Value
		case "service.instance.id":
			r.labels = append(r.labels, labels.Label{Name: "instance", Value: a.Value})
		case "service.namespace", "deployment.environment.name", "deployment.environment", "host.name", "container.id", "k8s.namespace.name", "k8s.pod.name":
			r.labels = append(r.labels, labels.Label{Name: labelName(a.Name), Value: a.Value})
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
func (o *otlpIntake) metric(r *otlpResource, m *otlpMetric) error {
	name := metricName(m.name)
	switch {
	case m.kind == otlpExponential:
		o.refuse(len(m.points), dropUnsupported, "metric %s: exponential histograms are not kept: send histograms with explicit bounds", clip(name))
		return o.full()
	case m.delta:
		o.refuse(len(m.points), dropUnsupported, "metric %s: deltas are not kept: send cumulative values (OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE=cumulative)", clip(name))
		return o.full()
	}
	types := map[otlpKindOf]string{otlpGauge: "gauge", otlpSum: "gauge", otlpHistogram: "histogram", otlpSummary: "summary"}
	kind := types[m.kind]
	if m.kind == otlpSum && m.monotonic {
		kind = "counter"
	}
	before := o.refused.Total()
	for i := range m.points {
		if err := o.point(r, m.kind, name, &m.points[i]); err != nil {
			return err
		}
	}
	if len(m.points) > 0 && o.refused.Total() == before {
		o.meta.learn(o.org, name, description{Type: kind, Help: m.help, Unit: m.unit})
	}
	return o.full()
}

// point takes in one data point, which is one or several samples.
func (o *otlpIntake) point(r *otlpResource, kind otlpKindOf, name string, p *otlpPoint) error {
	switch {
	case p.bad != "":
		o.refuse(1, saba.DropBadPoint, "metric %s: %s", clip(name), p.bad)
		return nil
	case p.silent:
		o.sent++
		o.skipped++
		return nil
	}
	at := int64(p.nanos / 1e9)
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
		for _, l := range p.attributes {
			// host and service of a point are not what owns it: that is said by the resource.
			n := labelName(l.Name)
			if n == hostLabel || n == serviceLabel {
				n = exportedPrefix + n
			}
			o.merge(n, l.Value)
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
	case otlpHistogram:
		total := 0.0
		for i, n := range p.buckets {
			le := "+Inf"
			if i < len(p.bounds) {
				le = strconv.FormatFloat(p.bounds[i], 'g', -1, 64)
			}
			total += n
			if err := add("_bucket", total, labels.Label{Name: "le", Value: le}); err != nil {
				return err
			}
		}
	case otlpSummary:
		for _, q := range p.quantiles {
			if err := add("", q[1], labels.Label{Name: "quantile", Value: strconv.FormatFloat(q[0], 'g', -1, 64)}); err != nil {
				return err
			}
		}
	default:
		return add("", p.value)
	}
	if p.hasSum {
		if err := add("_sum", p.sum); err != nil {
			return err
		}
	}
	return add("_count", p.count)
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

// otlpText writes the value of an attribute as text; ok is false for what has no text.
func otlpText(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case bool:
		return strconv.FormatBool(v), true
	case int64:
		return strconv.FormatInt(v, 10), true
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64), true
	case []string:
		b, err := json.Marshal(v)
		return string(b), err == nil
	}
	return "", false
}

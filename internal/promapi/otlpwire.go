package promapi

import (
	"math"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/saba-monitor/saba"
)

// request reads an ExportMetricsServiceRequest (opentelemetry-proto, metrics/v1): resource_metrics
// = 1 (resource = 1 (attributes = 1), scope_metrics = 2 (metrics = 2)).
func (o *otlpIntake) request(m message) error {
	for m.next() {
		if !m.is(1, lengthy) {
			continue
		}
		// The resource may stand behind its metrics.
		var attributes []labels.Label
		rm := m.sub()
		for rm.next() {
			if !rm.is(1, lengthy) {
				continue
			}
			res := rm.sub()
			for res.next() {
				if res.is(1, lengthy) {
					l, _, err := keyValue(res.sub())
					if err != nil {
						return badBody(err)
					}
					if len(attributes) < maxWireLabels {
						attributes = append(attributes, l)
					}
				}
			}
			if res.err != nil {
				return badBody(res.err)
			}
		}
		if rm.err != nil {
			return badBody(rm.err)
		}
		r := resource(attributes)
		rm = m.sub()
		for rm.next() {
			if !rm.is(2, lengthy) {
				continue
			}
			scope := rm.sub()
			for scope.next() {
				if scope.is(2, lengthy) {
					metric, err := wireMetric(scope.sub())
					if err != nil {
						return err
					}
					if err := o.metric(&r, metric); err != nil {
						return err
					}
				}
			}
			if scope.err != nil {
				return badBody(scope.err)
			}
		}
		if rm.err != nil {
			return badBody(rm.err)
		}
	}
	if m.err != nil {
		return badBody(m.err)
	}
	return nil
}

// wireMetric reads a Metric: name = 1, description = 2, unit = 3, and one of gauge = 5, sum = 7,
// histogram = 9, exponential_histogram = 10, summary = 11; in these data_points = 1,
// aggregation_temporality = 2, is_monotonic = 3.
func wireMetric(m message) (*otlpMetric, error) {
	out := &otlpMetric{}
	for m.next() {
		switch {
		case m.is(1, lengthy):
			out.name = string(m.bytes)
		case m.is(2, lengthy):
			out.help = string(m.bytes)
		case m.is(3, lengthy):
			out.unit = string(m.bytes)
		case m.is(5, lengthy):
			out.kind = otlpGauge
		case m.is(7, lengthy):
			out.kind = otlpSum
		case m.is(9, lengthy):
			out.kind = otlpHistogram
		case m.is(10, lengthy):
			out.kind = otlpExponential
		case m.is(11, lengthy):
			out.kind = otlpSummary
		}
		if m.number < 5 || m.number > 11 || m.kind != lengthy {
			continue
		}
		temporality := uint64(0)
		data := m.sub()
		for data.next() {
			switch {
			case data.is(1, lengthy):
				if len(out.points) > maxPointsIn/10 {
					return nil, saba.Errorf(saba.ErrTooLarge, "a metric has more than %d data points: send them in parts", maxPointsIn/10)
				}
				p, err := wirePoint(out.kind, data.sub())
				if err != nil {
					return nil, badBody(err)
				}
				out.points = append(out.points, p)
			case data.is(2, varint):
				temporality = data.scalar
			case data.is(3, varint):
				out.monotonic = data.scalar != 0
			}
		}
		if data.err != nil {
			return nil, badBody(data.err)
		}
		out.delta = out.isDelta(temporality == temporalityCumulative)
	}
	if m.err != nil {
		return nil, badBody(m.err)
	}
	return out, nil
}

// Values of AggregationTemporality.
const (
	temporalityDelta      = 1
	temporalityCumulative = 2
)

// isDelta says whether a metric counts anew for each point. What does not say is not taken for cumulative.
func (m *otlpMetric) isDelta(cumulative bool) bool {
	return (m.kind == otlpSum || m.kind == otlpHistogram) && !cumulative
}

// noRecordedValue is the flag of a point that says that there is none.
const noRecordedValue = 1

// wirePoint reads a data point. The kinds number their fields differently: attributes = 7 (9 in a
// histogram), time_unix_nano = 3, flags = 8 (10).
func wirePoint(kind otlpKindOf, m message) (p otlpPoint, err error) {
	attributes, flags := uint64(7), uint64(8)
	if kind == otlpHistogram {
		attributes, flags = 9, 10
	}
	hasValue := kind != otlpGauge && kind != otlpSum
	for m.next() {
		switch {
		case kind == otlpExponential: // refused as a whole
		case m.is(3, fixed64):
			p.nanos = m.scalar
		case m.number == attributes:
			if !m.is(attributes, lengthy) {
				continue
			}
			l, ok, err := keyValue(m.sub())
			if err != nil {
				return p, err
			}
			if !ok {
				p.bad = "the attribute " + clip(l.Name) + " is neither text, a number, true or false, nor a list of these"
			}
			if p.attributes = append(p.attributes, l); len(p.attributes) > maxWireLabels {
				return p, errWire
			}
		case m.number == flags:
			if m.is(flags, varint) {
				p.silent = m.scalar&noRecordedValue != 0
			}
		case kind == otlpHistogram && m.is(4, fixed64), kind == otlpSummary && m.is(4, fixed64):
			p.count = float64(m.scalar)
		case kind == otlpHistogram && m.is(5, fixed64), kind == otlpSummary && m.is(5, fixed64):
			p.sum, p.hasSum = m.float(), true
		case kind == otlpHistogram && m.number == 6:
			m.scalars(6, fixed64, func(v uint64) { p.buckets = append(p.buckets, float64(v)) })
		case kind == otlpHistogram && m.number == 7:
			m.scalars(7, fixed64, func(v uint64) { p.bounds = append(p.bounds, math.Float64frombits(v)) })
		case kind == otlpSummary && m.is(6, lengthy):
			var q [2]float64
			in := m.sub()
			for in.next() {
				if in.is(1, fixed64) {
					q[0] = in.float()
				} else if in.is(2, fixed64) {
					q[1] = in.float()
				}
			}
			if in.err != nil {
				return p, in.err
			}
			p.quantiles = append(p.quantiles, q)
		case kind != otlpHistogram && kind != otlpSummary && m.is(4, fixed64):
			p.value, hasValue = m.float(), true
		case kind != otlpHistogram && kind != otlpSummary && m.is(6, fixed64):
			p.value, hasValue = float64(m.integer()), true
		}
	}
	p.check(kind, hasValue)
	return p, m.err
}

// check notes what makes a point of no use.
func (p *otlpPoint) check(kind otlpKindOf, hasValue bool) {
	switch {
	case p.bad != "" || p.silent || kind == otlpExponential:
	case p.nanos == 0:
		p.bad = "a data point has no time"
	case kind == otlpNothing || !hasValue:
		p.bad = "a data point has no value"
	case kind == otlpHistogram && len(p.buckets) > 0 && len(p.buckets) != len(p.bounds)+1:
		p.bad = "a histogram must have one bucket more than bounds"
	case kind == otlpHistogram && len(p.buckets) > maxBuckets:
		p.bad = "a histogram has too many buckets"
	case kind == otlpSummary && len(p.quantiles) > maxBuckets:
		p.bad = "a summary has too many quantiles"
	}
}

// maxBuckets bounds the series that one histogram or summary becomes.
const maxBuckets = 500

// keyValue reads a KeyValue: key = 1, value = 2. ok is false when the value has no text.
func keyValue(m message) (l labels.Label, ok bool, err error) {
	var value any = ""
	for m.next() {
		switch {
		case m.is(1, lengthy):
			l.Name = string(m.bytes)
		case m.is(2, lengthy):
			if value, err = anyValue(m.sub(), true); err != nil {
				return l, false, err
			}
		}
	}
	l.Value, ok = otlpText(value)
	return l, ok, m.err
}

// anyValue reads an AnyValue: string_value = 1, bool_value = 2, int_value = 3, double_value = 4,
// array_value = 5 (values = 1), kvlist_value = 6, bytes_value = 7. The last two have no text.
func anyValue(m message, lists bool) (v any, err error) {
	v = ""
	for m.next() {
		switch {
		case m.is(1, lengthy):
			v = string(m.bytes)
		case m.is(2, varint):
			v = m.scalar != 0
		case m.is(3, varint):
			v = m.integer()
		case m.is(4, fixed64):
			v = m.float()
		case m.is(5, lengthy) && lists:
			list := []string{}
			in := m.sub()
			for in.next() {
				if in.is(1, lengthy) {
					one, err := anyValue(in.sub(), false)
					if err != nil {
						return nil, err
					}
					text, ok := otlpText(one)
					if !ok || len(list) >= maxWireLabels {
						return nil, nil
					}
					list = append(list, text)
				}
			}
			if in.err != nil {
				return nil, in.err
			}
			v = list
		case m.number >= 5 && m.number <= 7:
			v = nil
		}
	}
	return v, m.err
}

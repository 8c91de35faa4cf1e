package otlp

import (
	"math"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/protowire"
)

// readResources reads a request of either kind (opentelemetry-proto, collector/*/v1): resource_metrics or resource_logs = 1 (resource = 1
// (attributes = 1), scope_metrics or scope_logs = 2 (metrics or log_records = 2)).
func readResources[T any](body []byte, resource func([]Attribute) func(*T) error, read func(protowire.Message) (*T, error)) error {
	m := protowire.Read(body)
	for m.Next() {
		if !m.Is(1, protowire.Lengthy) {
			continue
		}
		// The resource may stand behind what is its own.
		var attributes []Attribute
		rm := m.Sub()
		for rm.Next() {
			if !rm.Is(1, protowire.Lengthy) {
				continue
			}
			res := rm.Sub()
			for res.Next() {
				if res.Is(1, protowire.Lengthy) {
					a, err := keyValue(res.Sub())
					if err != nil {
						return badBody(err)
					}
					if len(attributes) < MaxAttributes {
						attributes = append(attributes, a)
					}
				}
			}
			if res.Err != nil {
				return badBody(res.Err)
			}
		}
		if rm.Err != nil {
			return badBody(rm.Err)
		}
		found := resource(attributes)
		rm = m.Sub()
		for rm.Next() {
			if !rm.Is(2, protowire.Lengthy) {
				continue
			}
			scope := rm.Sub()
			for scope.Next() {
				if scope.Is(2, protowire.Lengthy) {
					one, err := read(scope.Sub())
					if err != nil {
						return err
					}
					if err := found(one); err != nil {
						return err
					}
				}
			}
			if scope.Err != nil {
				return badBody(scope.Err)
			}
		}
		if rm.Err != nil {
			return badBody(rm.Err)
		}
	}
	if m.Err != nil {
		return badBody(m.Err)
	}
	return nil
}

// wireMetric reads a Metric: name = 1, description = 2, unit = 3, and one of gauge = 5, sum = 7,
// histogram = 9, exponential_histogram = 10, summary = 11; in these data_points = 1,
// aggregation_temporality = 2, is_monotonic = 3.
func wireMetric(m protowire.Message) (*Metric, error) {
	out := &Metric{}
	for m.Next() {
		switch {
		case m.Is(1, protowire.Lengthy):
			out.Name = string(m.Bytes)
		case m.Is(2, protowire.Lengthy):
			out.Help = string(m.Bytes)
		case m.Is(3, protowire.Lengthy):
			out.Unit = string(m.Bytes)
		case m.Is(5, protowire.Lengthy):
			out.Kind = Gauge
		case m.Is(7, protowire.Lengthy):
			out.Kind = Sum
		case m.Is(9, protowire.Lengthy):
			out.Kind = Histogram
		case m.Is(10, protowire.Lengthy):
			out.Kind = Exponential
		case m.Is(11, protowire.Lengthy):
			out.Kind = Summary
		}
		if m.Number < 5 || m.Number > 11 || m.Kind != protowire.Lengthy {
			continue
		}
		data := m.Sub()
		for data.Next() {
			switch {
			case data.Is(1, protowire.Lengthy):
				if len(out.Points) >= MaxPoints {
					return nil, saba.Errorf(saba.ErrTooLarge, "a metric has more than %d data points: send them in parts", MaxPoints)
				}
				p, err := wirePoint(out.Kind, data.Sub())
				if err != nil {
					return nil, badBody(err)
				}
				out.Points = append(out.Points, p)
			case data.Is(2, protowire.Varint):
				if t := Temporality(data.Scalar); t == Delta || t == Cumulative {
					out.Temporality = t
				}
			case data.Is(3, protowire.Varint):
				out.Monotonic = data.Scalar != 0
			}
		}
		if data.Err != nil {
			return nil, badBody(data.Err)
		}
	}
	if m.Err != nil {
		return nil, badBody(m.Err)
	}
	return out, nil
}

// noRecordedValue is the flag of a point that says that there is none.
const noRecordedValue = 1

// wirePoint reads a data point. The kinds number their fields differently: start_time_unix_nano = 2, time_unix_nano = 3, attributes = 7 (9
// in a histogram, 1 in an exponential one), flags = 8 (10 in both).
func wirePoint(kind Kind, m protowire.Message) (p Point, err error) {
	attributes, flags := uint64(7), uint64(8)
	switch kind {
	case Histogram:
		attributes, flags = 9, 10
	case Exponential:
		attributes, flags = 1, 10
	}
	numbered := kind != Histogram && kind != Exponential && kind != Summary
	hasValue := kind != Gauge && kind != Sum
	for m.Next() {
		switch {
		case m.Is(2, protowire.Fixed64):
			p.Start = m.Scalar
		case m.Is(3, protowire.Fixed64):
			p.Time = m.Scalar
		case m.Number == attributes:
			if !m.Is(attributes, protowire.Lengthy) {
				continue
			}
			a, err := keyValue(m.Sub())
			if err != nil {
				return p, err
			}
			if p.add(a); len(p.Attributes) > MaxAttributes {
				return p, protowire.ErrBroken
			}
		case m.Number == flags:
			if m.Is(flags, protowire.Varint) {
				p.Silent = m.Scalar&noRecordedValue != 0
			}
		case !numbered && m.Is(4, protowire.Fixed64):
			p.Count = float64(m.Scalar)
		case !numbered && m.Is(5, protowire.Fixed64):
			p.Sum, p.HasSum = m.Float(), true
		case kind == Histogram && m.Number == 6:
			m.Scalars(6, protowire.Fixed64, func(v uint64) { p.Buckets = append(p.Buckets, float64(v)) })
		case kind == Histogram && m.Number == 7:
			m.Scalars(7, protowire.Fixed64, func(v uint64) { p.Bounds = append(p.Bounds, math.Float64frombits(v)) })
		case kind == Summary && m.Is(6, protowire.Lengthy):
			var q [2]float64
			in := m.Sub()
			for in.Next() {
				if in.Is(1, protowire.Fixed64) {
					q[0] = in.Float()
				} else if in.Is(2, protowire.Fixed64) {
					q[1] = in.Float()
				}
			}
			if in.Err != nil {
				return p, in.Err
			}
			p.Quantiles = append(p.Quantiles, q)
		case numbered && m.Is(4, protowire.Fixed64):
			p.Value, hasValue = m.Float(), true
		case numbered && m.Is(6, protowire.Fixed64):
			p.Value, hasValue = float64(m.Integer()), true
		}
	}
	p.check(kind, hasValue)
	return p, m.Err
}

// wireRecord reads a LogRecord: time_unix_nano = 1, body = 5, attributes = 6, observed_time_unix_nano = 11.
func wireRecord(m protowire.Message) (*Record, error) {
	out := &Record{}
	for m.Next() {
		switch {
		case m.Is(1, protowire.Fixed64):
			out.Time = m.Scalar
		case m.Is(11, protowire.Fixed64):
			out.Observed = m.Scalar
		case m.Is(5, protowire.Lengthy):
			v, err := bodyValue(m.Sub(), maxNesting)
			if err != nil {
				return nil, badBody(err)
			}
			out.setBody(v)
		case m.Is(6, protowire.Lengthy):
			a, err := keyValue(m.Sub())
			if err != nil {
				return nil, badBody(err)
			}
			if len(out.Attributes) < MaxAttributes {
				out.Attributes = append(out.Attributes, a)
			}
		}
	}
	if m.Err != nil {
		return nil, badBody(m.Err)
	}
	return out, nil
}

// keyValue reads a KeyValue: key = 1, value = 2.
func keyValue(m protowire.Message) (a Attribute, err error) {
	var value any = ""
	for m.Next() {
		switch {
		case m.Is(1, protowire.Lengthy):
			a.Key = string(m.Bytes)
		case m.Is(2, protowire.Lengthy):
			if value, err = anyValue(m.Sub(), true); err != nil {
				return a, err
			}
		}
	}
	text, ok := textOf(value)
	a.Text, a.Bad = text, !ok
	return a, m.Err
}

// anyValue reads an AnyValue: string_value = 1, bool_value = 2, int_value = 3, double_value = 4,
// array_value = 5 (values = 1), kvlist_value = 6, bytes_value = 7. The last two have no text.
func anyValue(m protowire.Message, lists bool) (v any, err error) {
	v = ""
	for m.Next() {
		switch {
		case m.Is(1, protowire.Lengthy):
			v = string(m.Bytes)
		case m.Is(2, protowire.Varint):
			v = m.Scalar != 0
		case m.Is(3, protowire.Varint):
			v = m.Integer()
		case m.Is(4, protowire.Fixed64):
			v = m.Float()
		case m.Is(5, protowire.Lengthy) && lists:
			list := []string{}
			in := m.Sub()
			for in.Next() {
				if in.Is(1, protowire.Lengthy) {
					one, err := anyValue(in.Sub(), false)
					if err != nil {
						return nil, err
					}
					text, ok := textOf(one)
					if !ok || len(list) >= MaxAttributes {
						return nil, nil
					}
					list = append(list, text)
				}
			}
			if in.Err != nil {
				return nil, in.Err
			}
			v = list
		case m.Number >= 5 && m.Number <= 7:
			v = nil
		}
	}
	return v, m.Err
}

// bodyValue reads the AnyValue of a log record's body, in which maps and bytes have a text too. depth is how far it may be nested.
func bodyValue(m protowire.Message, depth int) (v any, err error) {
	whole := m
	for m.Next() {
		switch {
		case m.Is(6, protowire.Lengthy): // values = 1
			var pairs pairs
			in := m.Sub()
			for in.Next() {
				if !in.Is(1, protowire.Lengthy) {
					continue
				}
				key, value := "", any(nil)
				kv := in.Sub()
				for kv.Next() {
					switch {
					case kv.Is(1, protowire.Lengthy):
						key = string(kv.Bytes)
					case kv.Is(2, protowire.Lengthy) && depth > 0:
						if value, err = bodyValue(kv.Sub(), depth-1); err != nil {
							return nil, err
						}
					}
				}
				if kv.Err != nil {
					return nil, kv.Err
				}
				pairs = append(pairs, pair{key, value})
			}
			return pairs, in.Err
		case m.Is(7, protowire.Lengthy):
			return string(m.Bytes), nil
		}
	}
	if m.Err != nil {
		return nil, m.Err
	}
	return anyValue(whole, true)
}

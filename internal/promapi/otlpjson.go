package promapi

import (
	"cmp"
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"strings"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/saba-monitor/saba"
)

// The JSON encoding of OTLP: protobuf's JSON mapping with lowerCamelCase names, enums as numbers,
// and 64-bit numbers as strings or numbers. Unknown fields are ignored.
type (
	jsonRequest struct {
		ResourceMetrics []struct {
			Resource struct {
				Attributes []jsonKeyValue `json:"attributes"`
			} `json:"resource"`
			ScopeMetrics []struct {
				Metrics []jsonMetric `json:"metrics"`
			} `json:"scopeMetrics"`
		} `json:"resourceMetrics"`
	}
	jsonMetric struct {
		Name        string    `json:"name"`
		Description string    `json:"description"`
		Unit        string    `json:"unit"`
		Gauge       *jsonData `json:"gauge"`
		Sum         *jsonData `json:"sum"`
		Histogram   *jsonData `json:"histogram"`
		Exponential *jsonData `json:"exponentialHistogram"`
		Summary     *jsonData `json:"summary"`
	}
	jsonData struct {
		DataPoints  []jsonPoint     `json:"dataPoints"`
		Temporality jsonTemporality `json:"aggregationTemporality"`
		Monotonic   bool            `json:"isMonotonic"`
	}
	jsonPoint struct {
		Attributes []jsonKeyValue `json:"attributes"`
		Time       jsonNumber     `json:"timeUnixNano"`
		Flags      uint32         `json:"flags"`
		AsDouble   jsonDouble     `json:"asDouble"`
		AsInt      *jsonNumber    `json:"asInt"`
		Count      jsonNumber     `json:"count"`
		Sum        *jsonNumber    `json:"sum"`
		Buckets    []jsonNumber   `json:"bucketCounts"`
		Bounds     []jsonNumber   `json:"explicitBounds"`
		Quantiles  []struct {
			Quantile jsonNumber `json:"quantile"`
			Value    jsonNumber `json:"value"`
		} `json:"quantileValues"`
	}
	jsonKeyValue struct {
		Key   string    `json:"key"`
		Value jsonValue `json:"value"`
	}
	jsonValue struct {
		String *string     `json:"stringValue"`
		Bool   *bool       `json:"boolValue"`
		Int    *jsonNumber `json:"intValue"`
		Double *jsonNumber `json:"doubleValue"`
		Array  *struct {
			Values []json.RawMessage `json:"values"`
		} `json:"arrayValue"`
		Pairs json.RawMessage `json:"kvlistValue"`
		Bytes *string         `json:"bytesValue"`
	}
)

// A jsonNumber is a number, or a string with one in it.
type jsonNumber string

// UnmarshalJSON implements json.Unmarshaler.
func (n *jsonNumber) UnmarshalJSON(b []byte) error {
	s := strings.Trim(string(b), `"`)
	if s == "null" {
		return nil
	}
	if _, err := strconv.ParseFloat(s, 64); err != nil {
		return saba.Errorf(saba.ErrInvalid, "%.80q is no number", s)
	}
	*n = jsonNumber(s)
	return nil
}

// float returns the number, 0 where there was none.
func (n jsonNumber) float() float64 {
	v, _ := strconv.ParseFloat(string(n), 64) // it was read once
	return v
}

// nanos returns a time, 0 where there is none that counts.
func (n jsonNumber) nanos() uint64 {
	if v, err := strconv.ParseUint(string(n), 10, 64); err == nil {
		return v
	}
	if v := n.float(); v > 0 && v < math.MaxInt64 {
		return uint64(v)
	}
	return 0
}

// A jsonDouble is a jsonNumber that may be not a number: JavaScript writes null for it, since JSON has no word for it.
type jsonDouble jsonNumber

// UnmarshalJSON implements json.Unmarshaler.
func (d *jsonDouble) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		*d = "NaN"
		return nil
	}
	return (*jsonNumber)(d).UnmarshalJSON(b)
}

// A jsonTemporality is an enum: its number, or its name, which some senders write.
type jsonTemporality int

// UnmarshalJSON implements json.Unmarshaler.
func (t *jsonTemporality) UnmarshalJSON(b []byte) error {
	switch strings.Trim(string(b), `"`) {
	case "1", "AGGREGATION_TEMPORALITY_DELTA":
		*t = temporalityDelta
	case "2", "AGGREGATION_TEMPORALITY_CUMULATIVE":
		*t = temporalityCumulative
	}
	return nil
}

// readJSON reads an ExportMetricsServiceRequest.
func (o *otlpIntake) readJSON(body []byte) error {
	// A body of tiny values becomes many times its size; what is decoded whole is bounded.
	const most = 200_000
	commas := 0
	for _, c := range body {
		if c == ',' || c == '{' {
			commas++
		}
	}
	if commas > most {
		return saba.Errorf(saba.ErrTooLarge, "the request body holds more than %d values: send it in parts, or as protobuf", most)
	}
	var request jsonRequest
	if err := json.Unmarshal(body, &request); err != nil {
		if kind := (*json.UnmarshalTypeError)(nil); errors.As(err, &kind) { // its text names our types
			return saba.Errorf(saba.ErrInvalid, "the request body is not the JSON of OTLP metrics: %s must not be a JSON %s (at byte %d)", cmp.Or(kind.Field, "the body"), kind.Value, kind.Offset)
		}
		return saba.Errorf(saba.ErrInvalid, "the request body is not the JSON of OTLP metrics: %v", err)
	}
	for _, rm := range request.ResourceMetrics {
		var attributes []labels.Label
		for _, a := range rm.Resource.Attributes {
			l, _ := a.label()
			attributes = append(attributes, l)
		}
		r := resource(attributes)
		for _, scope := range rm.ScopeMetrics {
			for i := range scope.Metrics {
				if err := o.metric(&r, scope.Metrics[i].metric()); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// metric returns what m says.
func (m *jsonMetric) metric() *otlpMetric {
	out := &otlpMetric{name: m.Name, help: m.Description, unit: m.Unit}
	var data *jsonData
	for _, of := range [...]struct {
		kind otlpKindOf
		data *jsonData
	}{{otlpGauge, m.Gauge}, {otlpSum, m.Sum}, {otlpHistogram, m.Histogram}, {otlpExponential, m.Exponential}, {otlpSummary, m.Summary}} {
		if of.data != nil {
			out.kind, data = of.kind, of.data
		}
	}
	if data == nil {
		return out
	}
	out.monotonic = data.Monotonic
	out.delta = out.isDelta(data.Temporality == temporalityCumulative)
	for i := range data.DataPoints {
		out.points = append(out.points, data.DataPoints[i].point(out.kind))
	}
	return out
}

// point returns what p says.
func (p *jsonPoint) point(kind otlpKindOf) (out otlpPoint) {
	out.nanos, out.silent, out.count = p.Time.nanos(), p.Flags&noRecordedValue != 0, p.Count.float()
	for _, a := range p.Attributes {
		l, ok := a.label()
		if !ok {
			out.bad = "the attribute " + clip(l.Name) + " is neither text, a number, true or false, nor a list of these"
		}
		out.attributes = append(out.attributes, l)
	}
	hasValue := kind != otlpGauge && kind != otlpSum
	switch {
	case p.AsDouble != "":
		out.value, hasValue = jsonNumber(p.AsDouble).float(), true
	case p.AsInt != nil:
		out.value, hasValue = p.AsInt.float(), true
	}
	if p.Sum != nil {
		out.sum, out.hasSum = p.Sum.float(), true
	}
	for _, n := range p.Buckets {
		out.buckets = append(out.buckets, n.float())
	}
	for _, n := range p.Bounds {
		out.bounds = append(out.bounds, n.float())
	}
	for _, q := range p.Quantiles {
		out.quantiles = append(out.quantiles, [2]float64{q.Quantile.float(), q.Value.float()})
	}
	out.check(kind, hasValue)
	return out
}

// label returns an attribute as a label; ok is false when its value has no text.
func (a *jsonKeyValue) label() (l labels.Label, ok bool) {
	l.Name = a.Key
	l.Value, ok = a.Value.text()
	return l, ok
}

// text returns a value as text, as anyValue and otlpText have it.
func (v *jsonValue) text() (string, bool) {
	switch {
	case v.String != nil:
		return *v.String, true
	case v.Bool != nil:
		return strconv.FormatBool(*v.Bool), true
	case v.Int != nil:
		return string(*v.Int), true
	case v.Double != nil:
		return otlpText(v.Double.float())
	case v.Array != nil:
		list := []string{}
		for _, raw := range v.Array.Values {
			var one jsonValue
			if json.Unmarshal(raw, &one) != nil || one.Array != nil || len(list) >= maxWireLabels {
				return "", false
			}
			text, ok := one.text()
			if !ok {
				return "", false
			}
			list = append(list, text)
		}
		return otlpText(list)
	case v.Pairs != nil || v.Bytes != nil:
		return "", false
	}
	return "", true
}

package otlp

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"strings"

	"github.com/saba-monitor/saba"
)

// The JSON encoding of OTLP: protobuf's JSON mapping with lowerCamelCase names, enums as numbers,
// and 64-bit numbers as strings or numbers. Unknown fields are ignored.
type (
	jsonMetrics struct {
		ResourceMetrics []struct {
			Resource     jsonResource `json:"resource"`
			ScopeMetrics []struct {
				Metrics []jsonMetric `json:"metrics"`
			} `json:"scopeMetrics"`
		} `json:"resourceMetrics"`
	}
	jsonLogs struct {
		ResourceLogs []struct {
			Resource  jsonResource `json:"resource"`
			ScopeLogs []struct {
				LogRecords []jsonRecord `json:"logRecords"`
			} `json:"scopeLogs"`
		} `json:"resourceLogs"`
	}
	jsonResource struct {
		Attributes []jsonKeyValue `json:"attributes"`
	}
	jsonRecord struct {
		Time       jsonNumber     `json:"timeUnixNano"`
		Observed   jsonNumber     `json:"observedTimeUnixNano"`
		Body       *jsonValue     `json:"body"`
		Attributes []jsonKeyValue `json:"attributes"`
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
		Start      jsonNumber     `json:"startTimeUnixNano"`
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
type jsonTemporality Temporality

// UnmarshalJSON implements json.Unmarshaler.
func (t *jsonTemporality) UnmarshalJSON(b []byte) error {
	switch strings.Trim(string(b), `"`) {
	case "1", "AGGREGATION_TEMPORALITY_DELTA":
		*t = jsonTemporality(Delta)
	case "2", "AGGREGATION_TEMPORALITY_CUMULATIVE":
		*t = jsonTemporality(Cumulative)
	}
	return nil
}

// decode decodes a body, which is one of OTLP's what: "metrics", "logs".
func decode(body []byte, what string, v any) error {
	// A body of tiny values becomes many times its size; what is decoded whole is bounded.
	commas := 0
	for _, c := range body {
		if c == ',' || c == '{' {
			commas++
		}
	}
	if commas > maxJSON {
		return saba.Errorf(saba.ErrTooLarge, "the request body holds more than %d values: send it in parts, or as protobuf", maxJSON)
	}
	err := json.Unmarshal(body, v)
	if kind := (*json.UnmarshalTypeError)(nil); errors.As(err, &kind) { // its text names our types
		return saba.Errorf(saba.ErrInvalid, "the request body is not the JSON of OTLP %s: %s must not be a JSON %s (at byte %d)", what, cmp.Or(kind.Field, "the body"), kind.Value, kind.Offset)
	}
	if err != nil {
		return saba.Errorf(saba.ErrInvalid, "the request body is not the JSON of OTLP %s: %v", what, err)
	}
	return nil
}

// attributes returns what r says.
func (r *jsonResource) attributes() (all []Attribute) {
	for _, a := range r.Attributes {
		all = append(all, a.attribute())
	}
	return all
}

func readMetricsJSON(body []byte, resource func([]Attribute) func(*Metric) error) error {
	var request jsonMetrics
	if err := decode(body, "metrics", &request); err != nil {
		return err
	}
	for _, rm := range request.ResourceMetrics {
		found := resource(rm.Resource.attributes())
		for _, scope := range rm.ScopeMetrics {
			for i := range scope.Metrics {
				if err := found(scope.Metrics[i].metric()); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func readLogsJSON(body []byte, resource func([]Attribute) func(*Record) error) error {
	var request jsonLogs
	if err := decode(body, "logs", &request); err != nil {
		return err
	}
	for _, rl := range request.ResourceLogs {
		found := resource(rl.Resource.attributes())
		for _, scope := range rl.ScopeLogs {
			for i := range scope.LogRecords {
				if err := found(scope.LogRecords[i].record()); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// record returns what r says.
func (r *jsonRecord) record() *Record {
	out := &Record{Time: r.Time.nanos(), Observed: r.Observed.nanos()}
	for _, a := range r.Attributes[:min(len(r.Attributes), MaxAttributes)] {
		out.Attributes = append(out.Attributes, a.attribute())
	}
	if r.Body != nil {
		out.setBody(r.Body.body(maxNesting))
	}
	return out
}

// metric returns what m says.
func (m *jsonMetric) metric() *Metric {
	out := &Metric{Name: m.Name, Help: m.Description, Unit: m.Unit}
	var data *jsonData
	for _, of := range [...]struct {
		kind Kind
		data *jsonData
	}{{Gauge, m.Gauge}, {Sum, m.Sum}, {Histogram, m.Histogram}, {Exponential, m.Exponential}, {Summary, m.Summary}} {
		if of.data != nil {
			out.Kind, data = of.kind, of.data
		}
	}
	if data == nil {
		return out
	}
	out.Monotonic, out.Temporality = data.Monotonic, Temporality(data.Temporality)
	for i := range data.DataPoints {
		out.Points = append(out.Points, data.DataPoints[i].point(out.Kind))
	}
	return out
}

// point returns what p says.
func (p *jsonPoint) point(kind Kind) (out Point) {
	out.Time, out.Start, out.Silent, out.Count = p.Time.nanos(), p.Start.nanos(), p.Flags&noRecordedValue != 0, p.Count.float()
	for _, a := range p.Attributes {
		out.add(a.attribute())
	}
	hasValue := kind != Gauge && kind != Sum
	switch {
	case p.AsDouble != "":
		out.Value, hasValue = jsonNumber(p.AsDouble).float(), true
	case p.AsInt != nil:
		out.Value, hasValue = p.AsInt.float(), true
	}
	if p.Sum != nil {
		out.Sum, out.HasSum = p.Sum.float(), true
	}
	for _, n := range p.Buckets {
		out.Buckets = append(out.Buckets, n.float())
	}
	for _, n := range p.Bounds {
		out.Bounds = append(out.Bounds, n.float())
	}
	for _, q := range p.Quantiles {
		out.Quantiles = append(out.Quantiles, [2]float64{q.Quantile.float(), q.Value.float()})
	}
	out.check(kind, hasValue)
	return out
}

// attribute returns what a says.
func (a *jsonKeyValue) attribute() Attribute {
	text, ok := a.Value.text()
	return Attribute{Key: a.Key, Text: text, Bad: !ok}
}

// text returns a value as text, as anyValue and textOf have it.
func (v *jsonValue) text() (string, bool) {
	switch {
	case v.String != nil:
		return *v.String, true
	case v.Bool != nil:
		return strconv.FormatBool(*v.Bool), true
	case v.Int != nil:
		return string(*v.Int), true
	case v.Double != nil:
		return textOf(v.Double.float())
	case v.Array != nil:
		list := []string{}
		for _, raw := range v.Array.Values {
			var one jsonValue
			if json.Unmarshal(raw, &one) != nil || one.Array != nil || len(list) >= MaxAttributes {
				return "", false
			}
			text, ok := one.text()
			if !ok {
				return "", false
			}
			list = append(list, text)
		}
		return textOf(list)
	case v.Pairs != nil || v.Bytes != nil:
		return "", false
	}
	return "", true
}

// body returns the value of a log record's body, as bodyValue has it.
func (v *jsonValue) body(depth int) any {
	switch {
	case v.Pairs != nil:
		var list struct {
			Values []jsonKeyValue `json:"values"`
		}
		if json.Unmarshal(v.Pairs, &list) != nil {
			return nil
		}
		pairs := pairs{}
		for _, kv := range list.Values {
			var value any
			if depth > 0 {
				value = kv.Value.body(depth - 1)
			}
			pairs = append(pairs, pair{kv.Key, value})
		}
		return pairs
	case v.Bytes != nil:
		b, err := base64.StdEncoding.DecodeString(*v.Bytes)
		if err != nil {
			return nil
		}
		return string(b)
	}
	if text, ok := v.text(); ok {
		return text
	}
	return nil
}

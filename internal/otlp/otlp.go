// Package otlp reads what OpenTelemetry's senders post by OTLP/HTTP, metrics and logs, as protobuf or JSON, and writes the answers of that
// protocol. It owns the wire formats and nothing of what becomes of what it reads: that is its caller's. Start with ReadMetrics and ReadLogs.
package otlp

import (
	"encoding/json"
	"mime"
	"net/http"
	"strconv"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/protowire"
)

// Limits of what is read. A sender that needs more sends it in parts.
const (
	MaxAttributes = 1000   // of a resource, a data point or a log record
	MaxPoints     = 50_000 // of a metric
	MaxBuckets    = 500    // of a histogram, and quantiles of a summary
	maxJSON       = 200_000
	maxNesting    = 5 // of the body of a log record
)

// An Encoding is that of a request, and of its answer.
type Encoding int

// The encodings.
const (
	Protobuf Encoding = iota
	JSON
)

// EncodingOf returns the encoding that the Content-Type of a request names. ok is false when it names none of OTLP.
func EncodingOf(h http.Header) (e Encoding, ok bool) {
	kind, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	switch {
	case err == nil && kind == "application/json":
		return JSON, true
	case err == nil && kind == "application/x-protobuf":
		return Protobuf, true
	}
	return Protobuf, false
}

// An Attribute says something about a resource, a data point or a log record.
type Attribute struct {
	Key  string
	Text string // its value: text, or a number, true, false, or a list of these, written as text
	Bad  bool   // its value has no text, and Text is empty
}

// A Kind is that of a metric.
type Kind int

// The kinds. Nothing is that of a metric without data, or with data that was not known when this was written.
const (
	Nothing Kind = iota
	Gauge
	Sum
	Histogram
	Exponential // a histogram
	Summary
)

// A Temporality says what the numbers of a sum or a histogram count from.
type Temporality int

// The temporalities, as the protocol numbers them. A sender has to say one.
const (
	Unsaid     Temporality = 0
	Delta      Temporality = 1 // from the point before
	Cumulative Temporality = 2 // from a start
)

// A Metric is one metric of a resource, with its points.
type Metric struct {
	Name, Help, Unit string
	Kind             Kind
	Temporality      Temporality // of sums and histograms
	Monotonic        bool        // of sums
	Points           []Point
}

// A Point is one data point.
type Point struct {
	Attributes []Attribute
	Time       uint64       // Unix nanoseconds
	Start      uint64       // Unix nanoseconds at which the counting began; 0 when unsaid
	Silent     bool         // there is no value, on purpose
	Value      float64      // of a gauge or a sum
	Count, Sum float64      // of the others
	HasSum     bool         //
	Bounds     []float64    // of a histogram's buckets
	Buckets    []float64    // one more than bounds, or none
	Quantiles  [][2]float64 // of a summary: from 0 to 1, and the value
	Bad        string       // why it cannot be taken, as a clause; "" when it can
}

// A Record is one log record.
type Record struct {
	Attributes []Attribute
	Time       uint64 // Unix nanoseconds at which it was written; 0 when unsaid
	Observed   uint64 // Unix nanoseconds at which it was collected; 0 when unsaid
	Body       string // the text; a map is written as logfmt, key=value
	Bad        string // why it cannot be taken, as a clause; "" when it can
}

// ReadMetrics reads an ExportMetricsServiceRequest. resource is called for each resource and returns what is to be called for each metric of it.
// An error of that ends the reading and is returned; others match saba.ErrInvalid or saba.ErrTooLarge. What was found before an error stays found.
func ReadMetrics(body []byte, e Encoding, resource func([]Attribute) func(*Metric) error) error {
	if e == JSON {
		return readMetricsJSON(body, resource)
	}
	return readResources(body, resource, wireMetric)
}

// ReadLogs reads an ExportLogsServiceRequest, as ReadMetrics reads its own.
func ReadLogs(body []byte, e Encoding, resource func([]Attribute) func(*Record) error) error {
	if e == JSON {
		return readLogsJSON(body, resource)
	}
	return readResources(body, resource, wireRecord)
}

// check notes what makes a point of no use.
func (p *Point) check(kind Kind, hasValue bool) {
	switch {
	case p.Bad != "" || p.Silent:
	case p.Time == 0:
		p.Bad = "a data point has no time"
	case kind == Nothing || !hasValue:
		p.Bad = "a data point has no value"
	case kind == Histogram && len(p.Buckets) > 0 && len(p.Buckets) != len(p.Bounds)+1:
		p.Bad = "a histogram must have one bucket more than bounds"
	case kind == Histogram && len(p.Buckets) > MaxBuckets:
		p.Bad = "a histogram has too many buckets"
	case kind == Summary && len(p.Quantiles) > MaxBuckets:
		p.Bad = "a summary has too many quantiles"
	}
}

// add adds an attribute of a point.
func (p *Point) add(a Attribute) {
	if a.Bad {
		p.Bad = "the attribute " + clip(a.Key) + " is neither text, a number, true or false, nor a list of these"
	}
	p.Attributes = append(p.Attributes, a)
}

// WriteAnswer answers with an Export…ServiceResponse: partial_success = 1 (rejected = 1, error_message = 2), which is absent when all was
// taken. rejected is how many were not, and jsonName what JSON calls them: rejectedDataPoints, rejectedLogRecords.
func WriteAnswer(w http.ResponseWriter, e Encoding, jsonName string, rejected int, why string) {
	var out []byte
	if e == JSON {
		all := map[string]any{}
		if rejected > 0 {
			all["partialSuccess"] = map[string]any{jsonName: strconv.Itoa(rejected), "errorMessage": why}
		}
		out, _ = json.Marshal(all) // text alone
	} else if rejected > 0 {
		out = protowire.AppendBytes(nil, 1, protowire.AppendBytes(protowire.AppendVarint(nil, 1, uint64(rejected)), 2, []byte(why)))
	}
	write(w, e, http.StatusOK, out)
}

// WriteStatus answers that nothing was taken, with a google.rpc.Status (code = 1, message = 2).
func WriteStatus(w http.ResponseWriter, e Encoding, code int, why string) {
	const invalidArgument, unavailable = 3, 14 // of google.rpc.Code: what the HTTP status says already
	status := invalidArgument
	if code >= http.StatusInternalServerError {
		status = unavailable
	}
	var out []byte
	if e == JSON {
		out, _ = json.Marshal(map[string]any{"code": status, "message": why}) // text alone
	} else {
		out = protowire.AppendBytes(protowire.AppendVarint(nil, 1, uint64(status)), 2, []byte(why))
	}
	write(w, e, code, out)
}

func write(w http.ResponseWriter, e Encoding, code int, body []byte) {
	kind := "application/x-protobuf"
	if e == JSON {
		kind = "application/json"
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_, _ = w.Write(body) // what fails is the client's connection
}

// textOf writes the value of an attribute as text; ok is false for what has no text.
func textOf(v any) (string, bool) {
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

func badBody(err error) error {
	return saba.Errorf(saba.ErrInvalid, "the request body cannot be read: %v", err)
}

// clip shortens a stranger's text for a message.
func clip(s string) string {
	const most = 200
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "…"
	}
	return s
}

package promapi

import (
	"encoding/binary"
	"mime"
	"net/http"
	"strconv"
	"strings"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/util/compression"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/protowire"
)

// Limits of a written body in bytes, as sent and inflated. A Prometheus sends some hundred KiB at once.
const (
	writeBody    = 4 << 20
	writeInflate = 16 << 20
)

// The messages of the protocol, as Content-Type names them.
const (
	message1 = "prometheus.WriteRequest"
	message2 = "io.prometheus.write.v2.Request"
)

// remoteWrite takes samples in, by version 1.0 or 2.0 of the remote write protocol. The answer is
// 204 when all were taken, 400 with a sentence when some were not (the others are stored, and the
// sender goes on with the next ones), and 5xx when the sender shall send the same again.
func (s *server) remoteWrite(w http.ResponseWriter, c *call) error {
	version, err := writeVersion(c.Header)
	if err != nil {
		return err
	}
	in, err := s.intake(c)
	if err != nil {
		return err
	}
	zipped, err := c.body.ReadSent()
	if err != nil {
		return err
	}
	size, err := snappySize(zipped)
	if err != nil {
		return err
	}
	if err := c.body.Decode(size); err != nil {
		return err
	}
	leave, err := s.intakes.enter(c.Context()) // not before, as a slow sender may take its time
	if err != nil {
		return err
	}
	defer leave()
	message, err := unsnappy(zipped, size)
	if err != nil {
		return err
	}
	if version == 1 {
		err = in.write1(message)
	} else {
		err = in.write2(message)
	}
	written := 0
	if err == nil {
		written, err = in.store()
	}
	if version == 2 { // in every answer, so that the sender knows that it was understood
		h := w.Header()
		h.Set("X-Prometheus-Remote-Write-Samples-Written", strconv.Itoa(written))
		h.Set("X-Prometheus-Remote-Write-Histograms-Written", "0")
		h.Set("X-Prometheus-Remote-Write-Exemplars-Written", "0")
	}
	if err != nil {
		return err
	}
	if len(in.refused) > 0 {
		return saba.Errorf(saba.ErrInvalid, "%s", in.answer())
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// writeVersion reads from the headers which version of the protocol a request speaks.
func writeVersion(h http.Header) (int, error) {
	// Some senders do not name the encoding, and Prometheus takes it for the only one there is.
	if e := h.Get("Content-Encoding"); e != "" && !strings.EqualFold(e, "snappy") {
		return 0, saba.Errorf(errMediaType, "the body has Content-Encoding %q: remote write is compressed as snappy", clip(e))
	}
	kind, params, err := mime.ParseMediaType(h.Get("Content-Type"))
	if h.Get("Content-Type") != "" && (err != nil || kind != "application/x-protobuf") {
		return 0, saba.Errorf(errMediaType, "the body has Content-Type %q: remote write is application/x-protobuf", clip(h.Get("Content-Type")))
	}
	switch params["proto"] {
	case "", message1: // 1.0 has no parameter
		return 1, nil
	case message2:
		return 2, nil
	}
	return 0, saba.Errorf(errMediaType, "the body is a message %q: %s and %s are understood", clip(params["proto"]), message1, message2)
}

// snappySize returns how many bytes a body has when it is inflated, as its beginning says.
func snappySize(zipped []byte) (int64, error) {
	size, n := binary.Uvarint(zipped)
	switch {
	case n <= 0:
		return 0, saba.Errorf(saba.ErrInvalid, "the request body is not snappy in its block format")
	case size > writeInflate:
		return 0, saba.Errorf(saba.ErrTooLarge, "the request body is larger than %d MiB when it is inflated: send it in parts", writeInflate>>20)
	}
	return int64(size), nil
}

// unsnappy inflates a body to size bytes.
func unsnappy(zipped []byte, size int64) ([]byte, error) {
	if size == 0 {
		return nil, nil
	}
	body, err := compression.Decode(compression.Snappy, zipped, nil)
	if err != nil {
		return nil, saba.Errorf(saba.ErrInvalid, "the request body is not snappy in its block format: %v", err)
	}
	return body, nil
}

// failText answers a sender, which puts the first line into its log.
func failText(w http.ResponseWriter, _ *http.Request, code int, message string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(code)
	_, _ = w.Write([]byte(strings.ReplaceAll(message, "\n", " ") + "\n")) // what fails is the client's connection
}

// full says whether a series holds more than it may, before it takes much memory.
func (t *wireSeries) full() error {
	switch {
	case len(t.labels) > maxWireLabels || len(t.refs) > 2*maxWireLabels:
		return saba.Errorf(saba.ErrInvalid, "a series has more than %d labels: at most %d are allowed", maxWireLabels, maxLabels)
	case len(t.samples) > maxPointsIn:
		return saba.Errorf(saba.ErrTooLarge, "the request holds more than %d samples: send it in parts", maxPointsIn)
	}
	return nil
}

// maxWireLabels is where the reading of a series stops; beyond maxLabels only the series is refused.
const maxWireLabels = 1000

func badBody(err error) error {
	return saba.Errorf(saba.ErrInvalid, "the request body cannot be read: %v", err)
}

// wireSeries is a series of either version, reused from one to the next.
type wireSeries struct {
	labels     []labels.Label
	refs       []uint64
	samples    []saba.Sample
	histograms int
	meta       description
}

func (t *wireSeries) reset() {
	*t = wireSeries{labels: t.labels[:0], refs: t.refs[:0], samples: t.samples[:0]}
}

// add takes in the series that t holds.
func (in *intake) add(t *wireSeries) error {
	name := ""
	for _, l := range t.labels {
		if l.Name == nameLabel {
			name = l.Value
		}
	}
	id, err := in.identify(t.labels)
	if err != nil {
		return err
	}
	in.take(id, t.samples)
	in.refuse(t.histograms, dropUnsupported, "metric %s: native histograms are not kept: send classic ones, with buckets", clip(name))
	if id.reason == "" && t.meta != (description{}) {
		in.meta.learn(in.org, name, t.meta)
	}
	return in.full()
}

// write1 reads a prometheus.WriteRequest: timeseries = 1 (labels = 1 (name = 1, value = 2),
// samples = 2, exemplars = 3, histograms = 4), metadata = 3 (type = 1, metric_family_name = 2,
// help = 4, unit = 5).
func (in *intake) write1(body []byte) error {
	var t wireSeries
	request := protowire.Read(body)
	for n := 0; request.Next(); {
		switch {
		case request.Is(1, protowire.Lengthy):
			t.reset()
			series := request.Sub()
			for series.Next() {
				if err := t.full(); err != nil {
					return err
				}
				switch {
				case series.Is(1, protowire.Lengthy):
					l, err := wireLabel(series.Sub())
					if err != nil {
						return badBody(err)
					}
					t.labels = append(t.labels, l)
				case series.Is(2, protowire.Lengthy):
					p, err := wireSample(series.Sub())
					if err != nil {
						return badBody(err)
					}
					t.samples = append(t.samples, p)
				case series.Is(4, protowire.Lengthy):
					t.histograms++
				}
			}
			if series.Err != nil {
				return badBody(series.Err)
			}
			if n++; n > maxSeriesIn {
				return saba.Errorf(saba.ErrTooLarge, "the request holds more than %d series: send it in parts", maxSeriesIn)
			}
			if err := in.add(&t); err != nil {
				return err
			}
		case request.Is(3, protowire.Lengthy):
			var name string
			var d description
			m := request.Sub()
			for m.Next() {
				switch {
				case m.Is(1, protowire.Varint):
					d.Type = metricType(m.Scalar)
				case m.Is(2, protowire.Lengthy):
					name = string(m.Bytes)
				case m.Is(4, protowire.Lengthy):
					d.Help = string(m.Bytes)
				case m.Is(5, protowire.Lengthy):
					d.Unit = string(m.Bytes)
				}
			}
			if m.Err != nil {
				return badBody(m.Err)
			}
			in.meta.learn(in.org, name, d)
		}
	}
	if request.Err != nil {
		return badBody(request.Err)
	}
	return nil
}

// metricType names a MetricType of either version: both number them alike.
func metricType(n uint64) string {
	names := [...]string{"unknown", "counter", "gauge", "histogram", "gaugehistogram", "summary", "info", "stateset"}
	if n < uint64(len(names)) {
		return names[n]
	}
	return names[0]
}

func wireLabel(m protowire.Message) (l labels.Label, err error) {
	for m.Next() {
		switch {
		case m.Is(1, protowire.Lengthy):
			l.Name = string(m.Bytes)
		case m.Is(2, protowire.Lengthy):
			l.Value = string(m.Bytes)
		}
	}
	return l, m.Err
}

// wireSample reads value = 1 and timestamp = 2, in milliseconds, which both versions have.
func wireSample(m protowire.Message) (p saba.Sample, err error) {
	for m.Next() {
		switch {
		case m.Is(1, protowire.Fixed64):
			p.Value = m.Float()
		case m.Is(2, protowire.Varint):
			p.Time = floorSeconds(m.Integer())
		}
	}
	return p, m.Err
}

// floorSeconds turns milliseconds into seconds.
func floorSeconds(ms int64) int64 {
	s := ms / 1000
	if ms%1000 < 0 {
		s--
	}
	return s
}

// write2 reads an io.prometheus.write.v2.Request: symbols = 4, timeseries = 5 (labels_refs = 1,
// samples = 2, histograms = 3, exemplars = 4, metadata = 5 (type = 1, help_ref = 3, unit_ref = 4)).
func (in *intake) write2(body []byte) error {
	var symbols []string
	for request := protowire.Read(body); ; { // all symbols first: nothing says that they stand before the series
		if !request.Next() {
			if request.Err != nil {
				return badBody(request.Err)
			}
			break
		}
		if request.Is(4, protowire.Lengthy) {
			if len(symbols) == maxSymbols {
				return saba.Errorf(saba.ErrTooLarge, "the request holds more than %d symbols: send it in parts", maxSymbols)
			}
			symbols = append(symbols, string(request.Bytes))
		}
	}
	symbol := func(ref uint64) (string, bool) {
		if ref >= uint64(len(symbols)) {
			return "", false
		}
		return symbols[ref], true
	}
	var t wireSeries
	request := protowire.Read(body)
	for n := 0; request.Next(); {
		if !request.Is(5, protowire.Lengthy) {
			continue
		}
		t.reset()
		var broken error
		series := request.Sub()
		for series.Next() {
			if err := t.full(); err != nil {
				return err
			}
			switch {
			case series.Number == 1:
				series.Scalars(1, protowire.Varint, func(ref uint64) {
					if len(t.refs) <= 2*maxWireLabels {
						t.refs = append(t.refs, ref)
					}
				})
			case series.Is(2, protowire.Lengthy):
				p, err := wireSample(series.Sub())
				if err != nil {
					return badBody(err)
				}
				t.samples = append(t.samples, p)
			case series.Is(3, protowire.Lengthy):
				t.histograms++
			case series.Is(5, protowire.Lengthy):
				m := series.Sub()
				for m.Next() {
					var ok = true
					switch {
					case m.Is(1, protowire.Varint):
						t.meta.Type = metricType(m.Scalar)
					case m.Is(3, protowire.Varint):
						t.meta.Help, ok = symbol(m.Scalar)
					case m.Is(4, protowire.Varint):
						t.meta.Unit, ok = symbol(m.Scalar)
					}
					if !ok {
						broken = protowire.ErrBroken
					}
				}
				broken = firstError(broken, m.Err)
			}
		}
		if err := firstError(series.Err, broken); err != nil {
			return badBody(err)
		}
		if err := t.full(); err != nil {
			return err
		}
		if len(t.refs)%2 != 0 {
			return saba.Errorf(saba.ErrInvalid, "a series has an odd number of references to label names and values")
		}
		for i := 0; i < len(t.refs); i += 2 {
			name, ok1 := symbol(t.refs[i])
			value, ok2 := symbol(t.refs[i+1])
			if !ok1 || !ok2 {
				return saba.Errorf(saba.ErrInvalid, "a series refers to a symbol beyond the %d of the request", len(symbols))
			}
			t.labels = append(t.labels, labels.Label{Name: name, Value: value})
		}
		if n++; n > maxSeriesIn {
			return saba.Errorf(saba.ErrTooLarge, "the request holds more than %d series: send it in parts", maxSeriesIn)
		}
		if err := in.add(&t); err != nil {
			return err
		}
	}
	if request.Err != nil {
		return badBody(request.Err)
	}
	return nil
}

// maxSymbols bounds the different texts of one request.
const maxSymbols = 500_000

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

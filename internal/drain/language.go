package drain

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"mime"
	"net/http"
	"slices"
	"strings"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/logline"
)

// Limits of a request of language metrics. The runtime of Go sends seven of them in 250 bytes.
const (
	maxLanguageBody    = 1 << 20
	maxLanguageMetrics = 5000
)

// language takes in language metrics, as Heroku's packages for Go, Ruby and the JVM post them every 10 or 20 seconds to what HEROKU_METRICS_URL names:
//
//	{"counters":{"go.gc.collections":2},"gauges":{"go.memory.heap.bytes":5242880}}
//
// Counters are what was counted since the request before. ?source= tells processes apart, whose gauges would else be one. The packages take 200 for success alone.
func (d *Drains) language(ctx context.Context, w http.ResponseWriter, r *http.Request, org string, dr saba.Drain) error {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return saba.Errorf(errMediaType, "language metrics are application/json, not %q", logline.Clip([]byte(r.Header.Get("Content-Type"))))
	}
	at, leave, err := d.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	if err := read(ctx, &at.body, w, r, maxLanguageBody); err != nil {
		return err
	}
	var in struct {
		Counters map[string]json.RawMessage `json:"counters"`
		Gauges   map[string]json.RawMessage `json:"gauges"`
	}
	if err := json.Unmarshal(at.body.Bytes(), &in); err != nil {
		return saba.Errorf(saba.ErrInvalid, `the body is not the JSON of language metrics, {"counters":{…},"gauges":{…}} with a number for each name: %v`, err)
	}
	if n := len(in.Counters) + len(in.Gauges); n > maxLanguageMetrics {
		return saba.Errorf(saba.ErrTooLarge, "the request holds %d metrics, and may %d: send them in parts", n, maxLanguageMetrics)
	}
	lot := Lot{}
	now := d.Now()
	reader := logline.Reader{Prefix: dr.Prefix, SourcePrefix: dr.SourcePrefix}
	source := logline.Clean(r.URL.Query().Get("source"))
	for _, of := range []struct {
		kind logline.Kind
		all  map[string]json.RawMessage
	}{{logline.Count, in.Counters}, {logline.Sample, in.Gauges}} {
		for _, key := range slices.Sorted(maps.Keys(of.all)) {
			var value *float64
			if err := json.Unmarshal(of.all[key], &value); err != nil {
				lot.Refuse(logline.BadValue, []byte(key+"="+string(of.all[key])))
				continue
			}
			name, scale, unit := languageUnit(logline.Clean(key), of.kind)
			switch {
			case value == nil: // the runtime does not know: silence
			case name == "":
				lot.Refuse(logline.BadName, []byte(key))
			default:
				reader.Pass(now, logline.Reading{Kind: of.kind, Name: name, Source: source, Value: *value * scale, Unit: unit, Time: now.UnixNano()},
					func(rd logline.Reading) { lot.Readings = append(lot.Readings, rd) },
					func(no logline.Refusal) { lot.Refuse(no.Reason, []byte(no.Text)) })
			}
		}
	}
	if err := d.Take(ctx, org, dr, lot); errors.Is(err, saba.ErrNotFound) { // deleted since
		return errNoDrain
	} else if err != nil {
		return err
	}
	w.Header().Set("Content-Length", "0")
	w.WriteHeader(http.StatusOK)
	return nil
}

// languageUnit tells the unit of a metric by its name, what its values are multiplied by, and its name then: nanoseconds become milliseconds, which graphs have.
func languageUnit(name string, kind logline.Kind) (as string, scale float64, unit saba.Unit) {
	switch stem, last := cutLast(name); {
	case last == "ns" && stem != "":
		return stem + ".ms", 1e-6, saba.UnitMilliseconds
	case last == "ms":
		return name, 1, saba.UnitMilliseconds
	case strings.HasSuffix(name, "bytes"), name == "go.gc.goal":
		return name, 1, saba.UnitBytes
	case kind == logline.Count:
		return name, 1, saba.UnitInteger
	}
	return name, 1, saba.UnitFloat
}

// cutLast cuts off what follows the last dot of a name.
func cutLast(name string) (stem, last string) {
	if i := strings.LastIndexByte(name, '.'); i >= 0 {
		return name[:i], name[i+1:]
	}
	return "", name
}

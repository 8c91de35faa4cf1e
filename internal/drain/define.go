package drain

import (
	"strings"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/logline"
)

// A unit is what is known of a metric whose graph is not defined yet.
type unit struct {
	key  logline.Key // without a minute
	unit saba.Unit
}

// definitions returns how metrics are drawn: a sample or a count by its source, a measure's statistics together, and their number apart, since it
// has another unit.
func definitions(units []unit) (defs []saba.GraphDef) {
	for _, u := range units {
		behind := ""
		if u.key.Source != "" {
			behind = strings.Repeat(".*", 1+strings.Count(u.key.Source, "."))
		}
		if u.key.Kind != logline.Measure {
			if u.unit == saba.UnitFloat || behind == "" { // one graph for each name up to the last dot, as it is without a definition
				continue
			}
			defs = append(defs, saba.GraphDef{Name: u.key.Name, DisplayName: u.key.Name, Unit: u.unit, Metrics: []saba.GraphDefMetric{{Name: u.key.Name + behind}}})
			continue
		}
		values := saba.GraphDef{Name: u.key.Name, DisplayName: u.key.Name, Unit: u.unit}
		for _, s := range []string{"median", "mean", "p95", "p99", "min", "max"} {
			values.Metrics = append(values.Metrics, saba.GraphDefMetric{Name: u.key.Name + "." + s + behind})
		}
		number := saba.GraphDef{Name: u.key.Name + ".count", DisplayName: u.key.Name + ": how often", Unit: saba.UnitInteger,
			Metrics: []saba.GraphDefMetric{{Name: u.key.Name + ".count" + behind}}}
		sum := saba.GraphDef{Name: u.key.Name + ".sum", DisplayName: u.key.Name + ": sum", Unit: u.unit,
			Metrics: []saba.GraphDefMetric{{Name: u.key.Name + ".sum" + behind}}}
		defs = append(defs, values, number, sum)
	}
	return defs
}

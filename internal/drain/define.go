package drain

import (
	"slices"
	"strings"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/logline"
)

// A named is what is known of a metric, which is a logline.Key without a minute.
type named struct {
	unit    saba.Unit
	defined bool // its graph is
}

// mostLines is how many lines a graph is given that is made of all metrics with something in common.
const mostLines = 100

// definitions returns how metrics are drawn, all of which stand in names: what platforms say as it is known, else a sample or a count by its source, or together with others
// of its unit and of the same name up to the last dot, and a measure's statistics together, with their number and sum apart, since those have other units.
func definitions(fresh []logline.Key, names map[logline.Key]named) (defs []saba.GraphDef) {
	groups := map[[2]string][]saba.GraphDefMetric{} // by the name up to the last dot, and unit
	for _, key := range fresh {
		unit := names[key].unit
		behind := ""
		if key.Source != "" {
			behind = strings.Repeat(".*", 1+strings.Count(key.Source, "."))
		}
		known := logline.Graphs(key)
		defs = append(defs, known...)
		if key.Kind == logline.Measure {
			if known == nil {
				values := saba.GraphDef{Name: key.Name, DisplayName: key.Name, Unit: unit}
				for _, s := range []string{"median", "mean", "p95", "p99", "min", "max"} {
					values.Metrics = append(values.Metrics, saba.GraphDefMetric{Name: key.Name + "." + s + behind})
				}
				defs = append(defs, values)
			}
			defs = append(defs,
				saba.GraphDef{Name: key.Name + ".count", DisplayName: key.Name + ": how often", Unit: saba.UnitInteger,
					Metrics: []saba.GraphDefMetric{{Name: key.Name + ".count" + behind}}},
				saba.GraphDef{Name: key.Name + ".sum", DisplayName: key.Name + ": sum", Unit: unit,
					Metrics: []saba.GraphDefMetric{{Name: key.Name + ".sum" + behind}}})
			continue
		}
		switch {
		case known != nil, unit == saba.UnitFloat: // without a definition: one graph for each name up to the last dot
		case behind != "":
			defs = append(defs, saba.GraphDef{Name: key.Name, DisplayName: key.Name, Unit: unit, Metrics: []saba.GraphDefMetric{{Name: key.Name + behind}}})
		default:
			groups[[2]string{upToLastDot(key.Name), string(unit)}] = nil
		}
	}
	if len(groups) == 0 {
		return defs
	}
	for key, n := range names {
		if key.Kind == logline.Measure || key.Source != "" || logline.Graphs(key) != nil {
			continue
		}
		group := [2]string{upToLastDot(key.Name), string(n.unit)}
		if metrics, wanted := groups[group]; wanted {
			groups[group] = append(metrics, saba.GraphDefMetric{Name: key.Name})
		}
	}
	for group, metrics := range groups {
		slices.SortFunc(metrics, func(a, b saba.GraphDefMetric) int { return strings.Compare(a.Name, b.Name) })
		metrics = slices.Compact(metrics) // a sample and a count of one name
		defs = append(defs, saba.GraphDef{Name: group[0] + "." + strings.ReplaceAll(group[1], "/", "-"), DisplayName: group[0], Unit: saba.Unit(group[1]),
			Metrics: metrics[:min(len(metrics), mostLines)]})
	}
	return defs
}

func upToLastDot(name string) string {
	if i := strings.LastIndexByte(name, '.'); i > 0 {
		return name[:i]
	}
	return name
}

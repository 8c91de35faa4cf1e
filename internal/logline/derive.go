package logline

// A derivation makes metrics of several cells of a minute when it is written, so that they are right too when lines come late.
type derivation struct {
	on    string // the name of the cell with which the others come: they are derived when it is written
	graph string // on which they are drawn
	make  func(cell func(kind Kind, name string) *Cell, put func(name string, value float64))
}

// derivations are the metrics of requests under the names that are in use for web servers elsewhere.
var derivations = []derivation{
	{"access_num.2xx_count", "error_access_rate", func(cell func(Kind, string) *Cell, put func(string, float64)) {
		all := cell(Count, "router.requests")
		if all == nil || all.Sum < 1 {
			return
		}
		for _, class := range []string{"4xx", "5xx"} {
			if c := cell(Count, "access_num."+class+"_count"); c != nil {
				put("error_access_rate."+class+"_percentage", 100*c.Sum/all.Sum)
			}
		}
	}},
	{"router.service", "access_latency", func(cell func(Kind, string) *Cell, put func(string, float64)) {
		c := cell(Measure, "router.service")
		if c == nil || c.Count == 0 {
			return
		}
		put("access_latency.avg", c.Sum/float64(c.Count))
		if 2*c.Lost <= c.Count {
			put("access_latency.percentile_90", c.Spread.Quantile(0.9))
			put("access_latency.percentile_99", c.Spread.Quantile(0.99))
		}
	}},
}

// Derive calls yield for each metric that is made of the cell of a key and of others of the same minute. cell returns those, nil where there is none.
func Derive(key Key, cell func(Key) *Cell, yield func(name string, value float64)) {
	if key.Source != "" {
		return
	}
	for i := range derivations {
		d := &derivations[i]
		for prefix, name := range prefixes(key.Name) {
			if name != d.on {
				continue
			}
			d.make(func(kind Kind, name string) *Cell {
				return cell(Key{Kind: kind, Name: prefix + name, Minute: key.Minute})
			}, func(name string, value float64) {
				if finite(value) == value { // neither NaN nor beyond all numbers
					yield(prefix+name, value)
				}
			})
		}
	}
}

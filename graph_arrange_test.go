package saba_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/saba-monitor/saba"
)

// draw writes graphs as text, a line a graph: `name "title" unit: label=metric label=metric*`,
// where * marks a stacked series.
func draw(graphs []saba.Graph) []string {
	var lines []string
	for _, g := range graphs {
		line := fmt.Sprintf("%s %q %s:", g.Name, g.Title, g.Unit)
		for _, s := range g.Series {
			line += " " + strings.ReplaceAll(s.FullLabel(), " ", "_") + "=" + s.Metric
			if s.Stacked {
				line += "*"
			}
		}
		lines = append(lines, line)
	}
	return lines
}

func def(name, title string, unit saba.Unit, metrics ...saba.GraphDefMetric) saba.GraphDef {
	return saba.GraphDef{Name: name, DisplayName: title, Unit: unit, Metrics: metrics}
}

func metric(name, label string) saba.GraphDefMetric {
	return saba.GraphDefMetric{Name: name, DisplayName: label}
}

func TestHostGraphs(t *testing.T) {
	stacked := func(name, label string) saba.GraphDefMetric {
		return saba.GraphDefMetric{Name: name, DisplayName: label, Stacked: true}
	}
	for name, tt := range map[string]struct {
		names []string
		defs  []saba.GraphDef
		want  []string
	}{
		"no metrics, no graphs": {nil, []saba.GraphDef{def("custom.a", "A", saba.UnitFloat, metric("custom.a.b", ""))}, nil},
		"the order of the names does not matter, and a name counts once": {
			[]string{"loadavg15", "loadavg1", "loadavg5", "loadavg1"}, nil,
			[]string{`loadavg "Load average" float: 1_minute=loadavg1 5_minutes=loadavg5 15_minutes=loadavg15`},
		},
		"a missing state of the CPU leaves no hole": {
			[]string{"cpu.idle.percentage", "cpu.user.percentage", "cpu.system.percentage", "cpu.iowait.percentage"}, nil,
			[]string{`cpu "CPU" percentage: user=cpu.user.percentage* iowait=cpu.iowait.percentage* system=cpu.system.percentage* idle=cpu.idle.percentage*`},
		},
		"what the server derived replaces what the agent sent": {
			[]string{"memory.total", "memory.used", "memory.mem_available", "memory.available", "memory.swap_total", "memory.swap_free", "memory.swap_used", "memory.swap_cached"}, nil,
			[]string{`memory "Memory" bytes: used=memory.used* available=memory.available* total=memory.total swap_total=memory.swap_total swap_used=memory.swap_used swap_cached=memory.swap_cached`},
		},
		"without derived metrics the agent's own are drawn": {
			[]string{"memory.used", "memory.mem_available", "memory.swap_free"}, nil,
			[]string{`memory "Memory" bytes: used=memory.used* available=memory.mem_available* swap_free=memory.swap_free`},
		},
		"an old kernel has buffers, cached and free": {
			[]string{"memory.used", "memory.buffers", "memory.cached", "memory.free"}, nil,
			[]string{`memory "Memory" bytes: used=memory.used* buffers=memory.buffers* cached=memory.cached* free=memory.free*`},
		},
		"Windows has a queue and a page file": {
			[]string{"processor_queue_length", "memory.free", "memory.used", "memory.pagefile_total", "memory.pagefile_free"}, nil,
			[]string{
				`processor_queue_length "Processor queue length" integer: length=processor_queue_length`,
				`memory "Memory" bytes: used=memory.used* free=memory.free* page_file_total=memory.pagefile_total page_file_free=memory.pagefile_free`,
			},
		},
		"devices share a graph, in the order in which people count": {
			[]string{"disk.sda.reads.delta", "disk.sda.writes.delta", "interface.eth10.rxBytes.delta", "interface.eth2.txBytes.delta", "interface.eth2.rxBytes.delta", "filesystem.vda1.size", "filesystem.vda1.used"}, nil,
			[]string{
				`disk "Disk I/O" iops: sda_reads=disk.sda.reads.delta sda_writes=disk.sda.writes.delta`,
				`interface "Network" bytes/sec: eth2_received=interface.eth2.rxBytes.delta eth2_sent=interface.eth2.txBytes.delta eth10_received=interface.eth10.rxBytes.delta`,
				`filesystem "Filesystem" bytes: vda1_used=filesystem.vda1.used vda1_size=filesystem.vda1.size`,
			},
		},
		"a definition gives title, unit, labels, order and stacks": {
			[]string{"custom.queue.failed", "custom.queue.ready"},
			[]saba.GraphDef{def("custom.queue", "Job queue", saba.UnitInteger, stacked("custom.queue.ready", "Ready"), metric("custom.queue.failed", ""))},
			[]string{`custom.queue "Job queue" integer: Ready=custom.queue.ready* failed=custom.queue.failed`},
		},
		"a definition without a title has one made of its name, and no unit is float": {
			[]string{"custom.redis.cluster_stats.sent"},
			[]saba.GraphDef{def("custom.redis.cluster_stats", "", "", metric("custom.redis.cluster_stats.sent", "Sent"))},
			[]string{`custom.redis.cluster_stats "Redis Cluster Stats" float: Sent=custom.redis.cluster_stats.sent`},
		},
		"a definition without metrics names what comes": {
			[]string{"custom.up.seconds"}, []saba.GraphDef{def("custom.up", "Uptime", saba.UnitSeconds)},
			[]string{`custom.up "Uptime" seconds: seconds=custom.up.seconds`},
		},
		"a definition without a matching metric is left out": {
			[]string{"custom.b.x"}, []saba.GraphDef{def("custom.a", "A", saba.UnitFloat, metric("custom.a.*", ""))},
			[]string{`custom.b "B" float: x=custom.b.x`},
		},
		"* in the graph's name makes one graph, its instances told apart": {
			[]string{"custom.docker.web.user", "custom.docker.db.user", "custom.docker.db.system"},
			[]saba.GraphDef{def("custom.docker.*", "Docker CPU", saba.UnitPercentage, stacked("custom.docker.*.user", "User"), stacked("custom.docker.*.system", "System"))},
			[]string{`custom.docker.* "Docker CPU" percentage: db_User=custom.docker.db.user* web_User=custom.docker.web.user* db_System=custom.docker.db.system*`},
		},
		"# groups by what it stands for": {
			[]string{"custom.docker.web.user", "custom.docker.db.user", "custom.docker.db.system"},
			[]saba.GraphDef{def("custom.docker.#", "Docker CPU", saba.UnitPercentage, stacked("custom.docker.#.user", "User"), stacked("custom.docker.#.system", "System"))},
			[]string{`custom.docker.# "Docker CPU" percentage: db_User=custom.docker.db.user* db_System=custom.docker.db.system* web_User=custom.docker.web.user*`},
		},
		"%1 and %2 in a label are what the wildcards stand for": {
			[]string{"custom.a.x.b.y.size"},
			[]saba.GraphDef{def("custom.a.*.b.*", "", saba.UnitBytes, metric("custom.a.*.b.*.size", "%2 of %1, 100%3 %"))},
			[]string{`custom.a.*.b.* "A B" bytes: y_of_x,_100%3_%=custom.a.x.b.y.size`},
		},
		"a * as the last segment labels by itself": {
			[]string{"custom.conn.tcp", "custom.conn.udp"},
			[]saba.GraphDef{def("custom.conn", "Connections", saba.UnitInteger, metric("custom.conn.*", ""))},
			[]string{`custom.conn "Connections" integer: tcp=custom.conn.tcp udp=custom.conn.udp`},
		},
		"a wildcard stands for one segment, and the name is anchored": {
			[]string{"custom.a.b.c.d", "custom.a.b", "xcustom.a.b.c", "custom.a..c"},
			[]saba.GraphDef{def("custom.a.*", "A", saba.UnitFloat, metric("custom.a.*.c", ""))},
			[]string{
				`custom.a "A" float: b=custom.a.b`,
				`custom.a. "A" float: c=custom.a..c`,
				`custom.a.b.c "A B C" float: d=custom.a.b.c.d`,
				`xcustom.a.b "Xcustom A B" float: c=xcustom.a.b.c`,
			},
		},
		"an exact name beats a wildcard, fewer wildcards beat more": {
			[]string{"custom.a.b.c", "custom.a.x.c", "custom.y.x.c"},
			[]saba.GraphDef{
				def("custom.*.*", "Both", saba.UnitFloat, metric("custom.*.*.c", "c")),
				def("custom.a.*", "One", saba.UnitFloat, metric("custom.a.*.c", "c")),
				def("custom.a.b", "Exact", saba.UnitFloat, metric("custom.a.b.c", "c")),
			},
			[]string{
				`custom.*.* "Both" float: y_x_c=custom.y.x.c`,
				`custom.a.* "One" float: x_c=custom.a.x.c`,
				`custom.a.b "Exact" float: c=custom.a.b.c`,
			},
		},
		"the first by name breaks a tie": {
			[]string{"custom.a.b.c"},
			[]saba.GraphDef{
				def("custom.a.*", "Second", saba.UnitFloat, metric("custom.a.*.c", "")),
				def("custom.*.b", "First", saba.UnitFloat, metric("custom.*.b.c", "")),
			},
			[]string{`custom.*.b "First" float: a_c=custom.a.b.c`},
		},
		"what a definition forgot joins its graph": {
			[]string{"custom.a.x", "custom.a.y"},
			[]saba.GraphDef{def("custom.a", "A", saba.UnitInteger, stacked("custom.a.x", "X"))},
			[]string{`custom.a "A" integer: X=custom.a.x* y=custom.a.y`},
		},
		"two series that read the same are called by their names": {
			[]string{"custom.a.x", "custom.a.y"},
			[]saba.GraphDef{def("custom.a", "A", saba.UnitInteger, metric("custom.a.x", "Same"), metric("custom.a.y", "Same"))},
			[]string{`custom.a "A" integer: custom.a.x=custom.a.x custom.a.y=custom.a.y`},
		},
		"an unknown metric of the system has a place too": {
			[]string{"memory.hugepages", "memory.used", "temperature"}, nil,
			[]string{`memory "Memory" bytes: used=memory.used* hugepages=memory.hugepages`, `temperature "Temperature" float: temperature=temperature`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got := draw(saba.HostGraphs(tt.names, tt.defs)); !slices.Equal(got, tt.want) {
				t.Errorf("HostGraphs(%q) =\n  %s\nwant\n  %s", tt.names, strings.Join(got, "\n  "), strings.Join(tt.want, "\n  "))
			}
		})
	}
}

func TestHostGraphsPutTheSystemFirst(t *testing.T) {
	names := []string{
		"custom.a.b", "custom.zoo.b", "container.memory.app.usage", "container.cpu.app.usage", "container.cpu.app.limit",
		"filesystem.vda1.used", "interface.eth0.rxBytes.delta", "disk.vda.reads.delta", "memory.used", "cpu.user.percentage", "loadavg5",
	}
	defs := []saba.GraphDef{def("custom.zoo", "Zoo", saba.UnitFloat, metric("custom.zoo.b", ""))}
	var got []string
	for _, g := range saba.HostGraphs(names, defs) {
		got = append(got, g.Name)
	}
	want := []string{"loadavg", "cpu", "memory", "disk", "interface", "filesystem", "container.cpu", "container.memory", "custom.zoo", "custom.a"}
	if !slices.Equal(got, want) {
		t.Errorf("graphs %q, want %q", got, want)
	}
}

func TestServiceGraphsKnowNoSystem(t *testing.T) {
	got := draw(saba.ServiceGraphs([]string{"loadavg5", "sales.eu", "sales.us", "custom.q.x"},
		[]saba.GraphDef{def("custom.q", "Queue", saba.UnitInteger, metric("custom.q.x", "X"))}))
	want := []string{
		`custom.q "Queue" integer: X=custom.q.x`,
		`loadavg5 "Loadavg5" float: loadavg5=loadavg5`,
		`sales "Sales" float: eu=sales.eu us=sales.us`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("ServiceGraphs = %q, want %q", got, want)
	}
}

func TestHostGraphsLeaveTheirArgumentsAlone(t *testing.T) {
	names := []string{"loadavg5", "cpu.user.percentage"}
	defs := []saba.GraphDef{def("custom.b", "", ""), def("custom.a", "", "")}
	saba.HostGraphs(names, defs)
	if names[0] != "loadavg5" || defs[0].Name != "custom.b" {
		t.Errorf("names are now %q, definitions %v", names, defs)
	}
}

func TestGraphSeriesFullLabel(t *testing.T) {
	for want, s := range map[string]saba.GraphSeries{
		"reads":     {Label: "reads"},
		"sda reads": {Label: "reads", Group: "sda"},
		"a reads":   {Label: "reads", Group: "a"}, // a letter of the label is not the group
		"web: user": {Label: "web: user", Group: "web:"},
	} {
		if got := s.FullLabel(); got != want {
			t.Errorf("%+v: full label %q, want %q", s, got, want)
		}
	}
}

// Whatever strangers name, every metric stands in one graph and once, no two graphs share a
// name, none is empty, and the order of the arguments does not matter.
func FuzzHostGraphs(f *testing.F) {
	f.Add("loadavg1 custom.a.b custom.a.c memory.mem_available", "custom.a custom.a.b:%1 custom.a.*:")
	f.Add("custom. . .. custom..a a. .a custom", "custom.# custom.#.:%0%9% custom.*.*:")
	f.Add("custom.web.eth10.x custom.web.eth2.x custom.web.eth02.x", "custom.*.# custom.*.#.x:%2%1 custom.#.*.x:")
	f.Add("disk..reads.delta disk.a.b.reads.delta cpu cpu.x memory.x memory.available", "cpu cpu.x: memory memory.*:")
	f.Fuzz(func(t *testing.T, namesText, defsText string) {
		names := strings.Fields(namesText)
		var defs []saba.GraphDef
		for _, word := range strings.Fields(defsText) { // a word without : begins a definition
			name, label, isMetric := strings.Cut(word, ":")
			if !isMetric {
				defs = append(defs, saba.GraphDef{Name: name})
			} else if len(defs) > 0 {
				d := &defs[len(defs)-1]
				d.Metrics = append(d.Metrics, metric(name, label))
			}
		}
		graphs := saba.HostGraphs(names, defs)
		count, graphNames := map[string]int{}, map[string]bool{}
		for _, g := range graphs {
			if graphNames[g.Name] || len(g.Series) == 0 || g.Title == "" && g.Name != "" || !g.Unit.Valid() {
				t.Errorf("graph %+v is empty, untitled, without a unit or there twice", g)
			}
			graphNames[g.Name] = true
			for _, s := range g.Series {
				count[s.Metric]++
				if s.Label == "" {
					t.Errorf("series %q has no label", s.Metric)
				}
			}
		}
		for _, n := range names {
			hidden := n == "memory.mem_available" && slices.Contains(names, "memory.available") ||
				n == "memory.swap_free" && slices.Contains(names, "memory.swap_used")
			if count[n] != 1 && !hidden {
				t.Errorf("metric %q stands in %d places", n, count[n])
			}
			delete(count, n)
			count[n] = 1
		}
		slices.Reverse(names)
		if again := saba.HostGraphs(names, defs); !reflect.DeepEqual(graphs, again) {
			t.Errorf("names in another order: %v, before %v", again, graphs)
		}
	})
}

// BenchmarkHostGraphs arranges 5,000 metrics of one host with 200 definitions, half of them
// with wildcards.
func BenchmarkHostGraphs(b *testing.B) {
	var names []string
	var defs []saba.GraphDef
	for d := range 200 {
		name := fmt.Sprintf("custom.plugin%d.#", d)
		if d%2 == 0 {
			name = fmt.Sprintf("custom.plugin%d.main", d)
		}
		g := saba.GraphDef{Name: name, Unit: saba.UnitInteger}
		for m := range 5 {
			g.Metrics = append(g.Metrics, metric(fmt.Sprintf("%s.m%d", name, m), "%1 metric"))
		}
		defs = append(defs, g)
	}
	for i := range 5000 {
		names = append(names, fmt.Sprintf("custom.plugin%d.instance%d.m%d", i%250, i/250, i%7))
	}
	b.ReportAllocs()
	for b.Loop() {
		saba.HostGraphs(names, defs)
	}
}

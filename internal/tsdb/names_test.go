package tsdb

import (
	"fmt"
	"slices"
	"testing"

	"github.com/saba-monitor/saba"
)

func TestLikeFindsWhatAPatternMeans(t *testing.T) {
	db := openFor(t, Options{Dir: t.TempDir()})
	of := func(host, service, name string) saba.Series {
		return saba.Series{Org: "o", Host: host, Service: service, Name: name}
	}
	all := []saba.Series{
		of("h1", "", "custom.queue.a.ready"), of("h1", "", "custom.queue.b.ready"), of("h1", "", "custom.queue.b.c.ready"), of("h1", "", "custom.queue.ready"),
		of("h1", "", "custom.queuex.a.ready"), of("h1", "", `custom.queue.x.ready{a="b"}`), of("h2", "", "custom.queue.a.ready"), of("", "h1", "custom.queue.a.ready"),
		{Org: "other", Host: "h1", Name: "custom.queue.z.ready"},
	}
	var points []saba.Point
	for _, s := range all {
		points = append(points, point(s, start, 1))
	}
	var many []string
	for i := range 100 {
		many = append(many, fmt.Sprint("n", i))
	}
	put(t, db, start, points...)
	for name, tt := range map[string]struct {
		hosts            []string
		service, pattern string
		from, to         int64
		want             []saba.Series
	}{
		"one segment of one host":     {[]string{"h1"}, "", "custom.queue.*.ready", start, start, []saba.Series{all[0], all[1]}},
		"of hosts, by host":           {[]string{"h2", "h1"}, "", "custom.*.a.*", start, start, []saba.Series{all[0], all[4], all[6]}},
		"of more hosts than a list":   {append(many, "h2"), "", "custom.queue.*.ready", start, start, all[6:7]},
		"of a service":                {nil, "h1", "custom.queue.*.ready", start, start, all[7:8]},
		"two segments":                {[]string{"h1"}, "", "*.queue.*.*.ready", start, start, all[2:3]},
		"no wildcard":                 {[]string{"h1"}, "", "custom.queue.ready", start, start, all[3:4]},
		"a part of a segment is none": {[]string{"h1"}, "", "custom.que*.ready", start, start, nil},
		"long before":                 {[]string{"h1"}, "", "custom.queue.*.ready", start - 9e6, start - 8e6, nil},
		"of nobody":                   {nil, "", "custom.queue.*.ready", start, start, nil},
	} {
		got, err := db.Like(t.Context(), "o", tt.hosts, tt.service, tt.pattern, tt.from, tt.to)
		if err != nil || !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v, %v; want %v", name, got, err, tt.want)
		}
	}
}

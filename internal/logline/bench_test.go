package logline

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/saba-monitor/saba"
)

// benchLines are lines as an application and its platform write them: of a hundred, five hold metrics.
func benchLines(n int) []byte {
	at := noon.Add(-time.Second).Format("2006-01-02T15:04:05.000000+00:00")
	var b strings.Builder
	for i := range n {
		app, proc, text := "app", fmt.Sprintf("web.%d", i%4+1), ""
		switch i % 100 {
		case 10, 60:
			text = fmt.Sprintf("measure#job.time=%dms count#job.done source=%s", i%777, []string{"mail", "report"}[i%2])
		case 30:
			text = fmt.Sprintf("sample#sidekiq.default.size=%d sample#sidekiq.default.latency=%d.5 sample#sidekiq.mailers.size=3 sample#sidekiq.mailers.latency=0.0", i%50, i%30)
		case 50:
			app, proc, text = "heroku", "web.1", fmt.Sprintf("source=web.1 dyno=heroku.2808254.d97d0ea7 sample#memory_total=%d.00MB sample#memory_rss=210.22MB sample#memory_pgpgin=348836pages", i%512)
		case 80:
			app, proc, text = "heroku", "router", fmt.Sprintf(`at=info method=GET path="/carts/%d" host=example.com request_id=8601b555-6a83-4c12-8269-97c8e32cdb22 fwd="203.0.113.7" dyno=%s connect=1ms service=%dms status=200 bytes=1842 protocol=https tls=true`, i, proc, i%300)
		default:
			text = fmt.Sprintf(`method=GET path=/carts/%d format=html controller=CartsController action=show status=200 duration=%d.42 view=10.11 db=1.18 request_id=8601b555-6a83-4c12`, i, i%90)
		}
		m := fmt.Sprintf("<190>1 %s host %s %s - %s\n", at, app, proc, text)
		fmt.Fprintf(&b, "%d %s", len(m), m)
	}
	return []byte(b.String())
}

// BenchmarkLines reads frames, headers and metrics to cells: everything but what is kept. Of the lines 5 % hold metrics.
func BenchmarkLines(b *testing.B) {
	rules, err := Compile([]saba.LineRule{
		{Name: "time", Type: saba.RuleTiming, Match: `duration=(?P<ms>[\d.]+)`, Metric: "time", Value: "ms"},
		{Name: "status", Type: saba.RuleCounter, Key: "status", Metric: "status.${status}"},
		{Name: "errors", Type: saba.RuleCounter, Match: `Completed (?P<status>\d+) .*Error`, Metric: "errors"},
	})
	if err != nil {
		b.Fatal(err)
	}
	for name, reader := range map[string]*Reader{"no rules": {}, "three rules, of which two read most lines": {Rules: rules}} {
		b.Run(name, func(b *testing.B) {
			const n = 10_000
			body := benchLines(n)
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			readings := 0
			var cells Cells
			var l Line
			found := func(r Reading) { cells.Add(r); readings++ }
			refuse := func(no Refusal) { b.Fatalf("refused %+v", no) }
			for b.Loop() {
				cells = Cells{}
				readings = 0
				for rest := body; len(rest) > 0; {
					var message []byte
					message, rest, _, _ = Frame(rest)
					var ok bool
					if l, ok = Logplex(message); !ok {
						b.Fatalf("no header in %q", message)
					}
					reader.Read(noon, &l, found, refuse)
				}
			}
			lines := float64(b.N) * n
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/lines, "ns/line")
			b.ReportMetric(lines/b.Elapsed().Seconds(), "lines/s")
			b.ReportMetric(float64(readings)/n, "readings/line")
		})
	}
}

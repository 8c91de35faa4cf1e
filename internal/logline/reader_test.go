package logline

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// vectors are frames as a platform sends them; the third has a character of three bytes.
const vectors = "123 <190>1 2026-01-02T03:04:05.678901+00:00 host app web.1 - sample#sidekiq.default.size=3 sample#sidekiq.default.latency=12.5\n" +
	"137 <134>1 2026-01-02T03:04:06+00:00 host app heroku-redis - source=REDIS addon=redis-x-1 sample#memory-total=16167800kB sample#hit-rate=0.5\n" +
	"101 <190>1 2026-01-02T03:04:07.000001+00:00 host app worker.1 - 鯖 measure#job.time=40ms count#job.done\n"

func TestReadFrames(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 10, 0, time.UTC)
	var got []string
	for body := []byte(vectors); len(body) > 0; {
		message, rest, _, ok := Frame(body)
		if !ok {
			t.Fatalf("no frame at the beginning of %q", body)
		}
		body = rest
		line, ok := Logplex(message)
		if !ok {
			t.Fatalf("no header in %q", message)
		}
		(&Reader{}).Read(now, &line, func(r Reading) {
			got = append(got, fmt.Sprintf("%s %s[%s]=%v %s", r.Kind, r.Name, r.Source, r.Value, r.Unit))
		}, func(r Refusal) { t.Errorf("refused: %v", r) })
	}
	want := []string{
		"sample sidekiq.default.size[]=3 float", "sample sidekiq.default.latency[]=12.5 float",
		"sample memory-total[REDIS]=1.65558272e+10 bytes", "sample hit-rate[REDIS]=0.5 float",
		"measure job.time[]=40 milliseconds", "count job.done[]=1 float",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

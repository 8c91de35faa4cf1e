package api

import (
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/saba-monitor/saba/internal/ingest"
)

// BenchmarkPostTSDB takes one minute of one host with 150 metrics, from the request's head to
// its answer, with the real engines: key and host are looked up, and the points are on disk.
func BenchmarkPostTSDB(b *testing.B) {
	r := newRig(b)
	id := r.register(`{"name":"a","meta":{}}`)
	now := func() time.Time { return time.Unix(r.clock.Load(), 0) }
	log := slog.New(slog.DiscardHandler)
	h := New(Options{
		Store: r.store, Samples: r.samples, Now: now, Random: rand.Reader, Log: log,
		Ingest: ingest.New(ingest.Options{Hosts: r.store, Samples: r.samples, Log: log, Now: now}),
	})
	body := strings.ReplaceAll(string(batch(1, 150, false)), "5wAAbbCC000", id)
	b.ReportAllocs()
	for minute := int64(1); b.Loop(); minute++ {
		at := start + 60*minute
		r.clock.Store(at)
		req := httptest.NewRequest(http.MethodPost, "/api/v0/tsdb", strings.NewReader(strings.ReplaceAll(body, "1767225600", fmt.Sprint(at))))
		req.Header.Set("X-Api-Key", keyBoth)
		w := httptest.NewRecorder()
		if h.ServeHTTP(w, req); w.Code != http.StatusOK {
			b.Fatal(w.Code, w.Body)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/150, "ns/sample")
}

// BenchmarkHostList lists 1,000 hosts with a role each.
func BenchmarkHostList(b *testing.B) {
	r := newRig(b)
	for i := range 1000 {
		r.register(fmt.Sprintf(`{"name":"host%d","meta":{"kernel":{"name":"Linux"}},"roleFullnames":["shop:web"],"interfaces":[{"name":"eth0","ipv4Addresses":["192.0.2.1"]}]}`, i))
	}
	b.ReportAllocs()
	for b.Loop() {
		r.get("/hosts")
	}
}

package api

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/saba-monitor/saba"
)

func TestABudgetIsNeverOverdrawn(t *testing.T) {
	b := newBudget(100, time.Minute)
	var mu sync.Mutex
	var taken, most int64
	var wg sync.WaitGroup
	for i := range int64(64) {
		wg.Go(func() {
			n := 1 + i*37%100
			for range 50 {
				if err := b.take(t.Context(), n); err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				taken += n
				most = max(most, taken)
				mu.Unlock()
				mu.Lock()
				taken -= n
				mu.Unlock()
				b.give(n)
			}
		})
	}
	wg.Wait()
	if most > 100 || b.free != 100 || len(b.queue) != 0 {
		t.Errorf("at most %d of 100 were taken, %d are free at the end, %d wait", most, b.free, len(b.queue))
	}
}

func TestAClaimThatIsNotServedIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(10, maxWait)
		if err := b.take(t.Context(), 8); err != nil {
			t.Fatal(err)
		}
		refused := make(chan error)
		go func() { refused <- b.take(t.Context(), 5) }()
		left, leave := context.WithCancel(t.Context())
		gone := make(chan error)
		go func() { gone <- b.take(left, 5) }()
		served := make(chan error)
		time.Sleep(maxWait / 2)
		go func() { served <- b.take(t.Context(), 2) }() // would fit, and waits for its turn
		synctest.Wait()
		select {
		case err := <-served:
			t.Fatalf("a later claim overtook the others: %v", err)
		default:
		}
		leave()
		if err := <-gone; !errors.Is(err, context.Canceled) {
			t.Errorf("a request that left got %v", err)
		}
		if err := <-refused; !errors.Is(err, errBusy) {
			t.Errorf("a claim that was never served got %v, want %v", err, errBusy)
		}
		if err := <-served; err != nil {
			t.Errorf("when those before had left, a small claim got %v", err)
		}
		b.give(2)
		b.give(8)
		if b.free != 10 || len(b.queue) != 0 {
			t.Errorf("at the end %d of 10 are free and %d wait", b.free, len(b.queue))
		}
	})
}

// holding is an ingest that keeps every batch until it is told to go on.
type holding chan held

type held struct {
	points int
	goOn   chan struct{}
}

func (h holding) HostPoints(ctx context.Context, _ string, points []saba.Point) (saba.Drops, error) {
	batch := held{len(points), make(chan struct{})}
	select {
	case h <- batch:
		<-batch.goOn
		return nil, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (h holding) ServicePoints(context.Context, string, string, []saba.Point) (saba.Drops, error) {
	return nil, nil
}

func (h holding) Refuse(string, int, string) {}

// manyPoints returns a body of at least n bytes.
func manyPoints(n int) string {
	var b strings.Builder
	b.WriteByte('[')
	for b.Len() < n {
		fmt.Fprintf(&b, `{"hostId":"h","name":"custom.m","time":%d,"value":1},`, start)
	}
	return strings.TrimSuffix(b.String(), ",") + "]"
}

func TestLargeBodiesWaitForEachOtherAndSmallOnesDoNot(t *testing.T) {
	h := make(holding)
	r := newRig(t, func(o *Options) { o.Ingest, o.wait = h, time.Second })
	zip := func(body string) string {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		if _, err := io.WriteString(z, body); err != nil {
			t.Fatal(err)
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	large := manyPoints(10 << 20)
	zipped := zip(manyPoints(2 << 20)) // small on the wire; nothing says beforehand how large it becomes
	answers := make(chan answer)
	send := func(body string, headers ...string) {
		go func() { answers <- r.send(http.MethodPost, "/tsdb", keyBoth, body, headers...) }()
	}
	// Three of 10 MiB fit into 32 MiB; whatever comes after them waits.
	var first []held
	for range 3 {
		send(large)
		first = append(first, <-h)
	}
	send(large)
	send(zipped, "Content-Encoding", "gzip")
	// Meanwhile an agent's minute, and a large part of its backlog, come through.
	for _, body := range []string{manyPoints(100), manyPoints(900 << 10)} {
		send(body)
		close((<-h).goOn)
		if a := <-answers; a.status != http.StatusOK {
			t.Errorf("while large bodies wait, %d bytes got %d %s", len(body), a.status, a.body)
		}
	}
	// Those that wait are told when to come again.
	for range 2 {
		a := <-answers
		r.wantError(a, http.StatusServiceUnavailable, "large requests", "a body for which there is no room")
		if a.header.Get("Retry-After") == "" {
			t.Error("503 without Retry-After")
		}
	}
	// When there is room again, they are taken.
	for _, batch := range first {
		close(batch.goOn)
		if a := <-answers; a.status != http.StatusOK {
			t.Errorf("a large body got %d %s", a.status, a.body)
		}
	}
	for _, body := range []string{large, zipped} {
		if body == zipped {
			send(body, "Content-Encoding", "gzip")
		} else {
			send(body)
		}
		close((<-h).goOn)
		if a := <-answers; a.status != http.StatusOK {
			t.Errorf("with room again, a large body got %d %s", a.status, a.body)
		}
	}
	if strings.Contains(r.log.String(), "level=ERROR") {
		t.Errorf("too much at once is no error of ours:\n%s", r.log)
	}
}

// `{"reports":[{},{},…` takes fifty times its size when it is decoded.
func TestABodyOfCountlessValuesIsRefused(t *testing.T) {
	r := newRig(t)
	body := "[" + strings.Repeat("{},", 1_000_000) + "{}]"
	for _, path := range []string{"/graph-defs/create", "/monitoring/checks/report"} {
		r.wantError(r.send(http.MethodPost, path, keyBoth, body), http.StatusRequestEntityTooLarge, "values", path)
	}
	r.wantError(r.send(http.MethodPost, "/graph-defs/create", keyBoth, "["+strings.Repeat("{},", 50_000)+"{}]"), http.StatusBadRequest, "graph definitions", "what fits is decoded")
}

func TestBodiesOfEverySizeArriveWhole(t *testing.T) {
	h := make(holding)
	r := newRig(t, func(o *Options) { o.Ingest = h })
	for _, n := range []int{2, 4 << 10, freeBody - 10, freeBody, freeBody + 60, smallBody - 60, smallBody, smallBody + 60, 3 << 20} {
		body := manyPoints(n)
		want := strings.Count(body, "{")
		for _, known := range []bool{true, false} {
			req, err := http.NewRequest(http.MethodPost, r.url+"/api/v0/tsdb", strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			if !known {
				req.ContentLength = -1
			}
			req.Header.Set("X-Api-Key", keyBoth)
			got := 0
			done := make(chan struct{})
			go func() {
				defer close(done)
				batch := <-h
				got = batch.points
				close(batch.goOn)
			}()
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			<-done
			if got != want || resp.StatusCode != http.StatusOK {
				t.Errorf("of %d bytes (length known: %v) %d points arrived with %d, want %d", len(body), known, got, resp.StatusCode, want)
			}
		}
	}
}

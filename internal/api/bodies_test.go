package api

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/body"
)

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
	r := newRig(t, func(o *Options) { o.Ingest, o.Bodies = h, body.NewRoom(time.Second) })
	zip := func(plain string) string {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		if _, err := io.WriteString(z, plain); err != nil {
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
	send := func(sent string, headers ...string) {
		go func() { answers <- r.send(http.MethodPost, "/tsdb", keyBoth, sent, headers...) }()
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
	for _, sent := range []string{manyPoints(100), manyPoints(900 << 10)} {
		send(sent)
		close((<-h).goOn)
		if a := <-answers; a.status != http.StatusOK {
			t.Errorf("while large bodies wait, %d bytes got %d %s", len(sent), a.status, a.body)
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
	for _, sent := range []string{large, zipped} {
		if sent == zipped {
			send(sent, "Content-Encoding", "gzip")
		} else {
			send(sent)
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
	values := "[" + strings.Repeat("{},", 1_000_000) + "{}]"
	for _, path := range []string{"/graph-defs/create", "/monitoring/checks/report"} {
		r.wantError(r.send(http.MethodPost, path, keyBoth, values), http.StatusRequestEntityTooLarge, "values", path)
	}
	r.wantError(r.send(http.MethodPost, "/graph-defs/create", keyBoth, "["+strings.Repeat("{},", 50_000)+"{}]"), http.StatusBadRequest, "graph definitions", "what fits is decoded")
}

func TestBodiesOfEverySizeArriveWhole(t *testing.T) {
	h := make(holding)
	r := newRig(t, func(o *Options) { o.Ingest = h })
	for _, n := range []int{2, 4 << 10, body.Free - 10, body.Free, body.Free + 60, body.Small - 60, body.Small, body.Small + 60, 3 << 20} {
		sent := manyPoints(n)
		want := strings.Count(sent, "{")
		for _, known := range []bool{true, false} {
			req, err := http.NewRequest(http.MethodPost, r.url+"/api/v0/tsdb", strings.NewReader(sent))
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
				t.Errorf("of %d bytes (length known: %v) %d points arrived with %d, want %d", len(sent), known, got, resp.StatusCode, want)
			}
		}
	}
}

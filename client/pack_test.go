package client

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// What compresses one request is used for the next, by one at a time, and nothing of the one before is in it.
func TestPack(t *testing.T) {
	c, err := New(Options{Base: "http://127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	text := func(n int) string { return strings.Repeat(fmt.Sprintf("%d-", n), 5000+1000*n) }
	check := func(n int) {
		packed, err := c.pack([]byte(text(n)))
		if err != nil {
			t.Errorf("pack: %v", err)
			return
		}
		z, err := gzip.NewReader(bytes.NewReader(packed))
		if err != nil {
			t.Errorf("what pack made: %v", err)
			return
		}
		if got, err := io.ReadAll(z); err != nil || string(got) != text(n) || len(packed) > len(got)/5 {
			t.Errorf("pack made %d bytes of %d, which read %d, %v", len(packed), len(text(n)), len(got), err)
		}
	}
	for n := range 10 {
		check(9 - n)
	}
	var all sync.WaitGroup
	for n := range 10 {
		all.Go(func() { check(n) })
	}
	all.Wait()
	b := []byte(text(1))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range 10 {
		if _, err := c.pack(b); err != nil {
			t.Fatal(err)
		}
	}
	runtime.ReadMemStats(&after)
	if each := (after.TotalAlloc - before.TotalAlloc) / 10; each > 100<<10 {
		t.Errorf("it takes %d bytes of memory anew each time, want less than 100 KiB", each)
	}
}

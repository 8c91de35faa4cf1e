package api

import (
	"bytes"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
)

// BenchmarkPostTSDB takes a minute of 100 hosts with 150 metrics each, over 8 connections, from the request's head to
// its answer, with the real engines: key and host are looked up, and the points are on disk. Allocations are those
// of the server, but for a few.
func BenchmarkPostTSDB(b *testing.B) {
	const hosts, connections = 100, 8
	r := newRig(b)
	requests := make([][]byte, hosts) // whole, but for the time
	const anyTime = "1767225600"
	for h := range requests {
		id := r.register(fmt.Sprintf(`{"name":"host%d","meta":{}}`, h))
		body := bytes.ReplaceAll(batch(1, 150, false), []byte("5wAAbbCC000"), []byte(id))
		requests[h] = fmt.Appendf(nil, "POST /api/v0/tsdb HTTP/1.1\r\nHost: saba\r\nX-Api-Key: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", keyBoth, len(body), body)
	}
	var conns [connections]net.Conn
	for c := range conns {
		conn, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
		if err != nil {
			b.Fatal(err)
		}
		defer conn.Close()
		conns[c] = conn
	}
	b.ReportAllocs()
	last := []byte(anyTime)
	for minute := int64(1); b.Loop(); minute++ {
		r.clock.Store(start + 60*minute)
		now := []byte(fmt.Sprint(start + 60*minute))
		var work sync.WaitGroup
		for c, conn := range conns {
			work.Go(func() {
				var answer [1 << 10]byte
				for h := c; h < hosts; h += connections {
					for rest := requests[h]; ; {
						i := bytes.Index(rest, last)
						if i < 0 {
							break
						}
						rest = rest[i+copy(rest[i:], now):]
					}
					if _, err := conn.Write(requests[h]); err != nil {
						b.Error(err)
						return
					}
					if n, err := conn.Read(answer[:]); err != nil || !bytes.HasPrefix(answer[:n], []byte("HTTP/1.1 200 OK")) {
						b.Errorf("the answer is %q, %v", answer[:n], err)
						return
					}
				}
			})
		}
		work.Wait()
		last = now
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/hosts/150, "ns/sample")
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

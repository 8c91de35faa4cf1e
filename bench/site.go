package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// A site is hosts with metrics, whose values are the same for whoever gets them.
type site struct {
	hosts, metrics int
	ids            []string // of the hosts, at saba
}

func metricName(m int) string { return fmt.Sprintf("custom.bench%d.metric%d.value", m/10, m) }

// value is what a metric of a host has in a minute: a quarter of the metrics stays, a quarter counts, the others wander.
func value(h, m int, minute int64) float64 {
	switch m % 4 {
	case 0:
		return float64((h*7 + m) % 1000)
	case 1:
		return float64(minute % 100_000 * int64(1+m%7))
	case 2:
		return math.Round(1000*(50+40*math.Sin(float64(minute)/37+float64(m)))) / 1000
	}
	return 50 + 40*math.Sin(float64(minute)/29+float64(h+m))
}

// plain appends the minute of one host as agents send it to saba.
func (s *site) plain(b []byte, h int, minute int64) []byte { return s.several(b, h, h+1, minute) }

// several appends the minute of the hosts from one up to another, as one request.
func (s *site) several(b []byte, from, to int, minute int64) []byte {
	for h := from; h < to; h++ {
		b = s.points(b, h, minute)
	}
	b[0] = '['
	return append(b, ']')
}

func (s *site) points(b []byte, h int, minute int64) []byte {
	for m := range s.metrics {
		b = append(b, `,{"hostId":"`...)
		b = append(b, s.ids[h]...)
		b = append(b, `","name":"`...)
		b = append(b, metricName(m)...)
		b = append(b, `","time":`...)
		b = strconv.AppendInt(b, minute*60, 10)
		b = append(b, `,"value":`...)
		b = strconv.AppendFloat(b, value(h, m, minute), 'f', -1, 64)
		b = append(b, '}')
	}
	return b
}

// remoteWrite appends the same as a request of Prometheus remote write 1.0.
func (s *site) remoteWrite(b []byte, h int, minute int64) []byte {
	field := func(b []byte, number int, content []byte) []byte { // a length-delimited field of protobuf
		b = append(b, byte(number<<3|2))
		b = binary.AppendUvarint(b, uint64(len(content)))
		return append(b, content...)
	}
	label := func(b []byte, name, value string) []byte {
		return field(b, 1, field(field(nil, 1, []byte(name)), 2, []byte(value)))
	}
	var body []byte
	for m := range s.metrics {
		// Names as this old version takes them.
		series := label(nil, "__name__", fmt.Sprintf("custom_bench%d_metric%d_value", m/10, m))
		series = label(series, "host", fmt.Sprintf("host%06d", h))
		sample := binary.LittleEndian.AppendUint64([]byte{1<<3 | 1}, math.Float64bits(value(h, m, minute)))
		sample = binary.AppendUvarint(append(sample, 2<<3), uint64(minute*60_000))
		body = field(body, 1, field(series, 2, sample))
	}
	return snappyPlain(b, body)
}

// snappyPlain appends a block of snappy that holds b as it is, without compression, which is the cheapest to read.
func snappyPlain(to, b []byte) []byte {
	to = binary.AppendUvarint(to, uint64(len(b)))
	for len(b) > 0 {
		n := min(len(b), 1<<16)
		to = append(to, 61<<2) // a literal whose length, less one, follows in two bytes
		to = binary.LittleEndian.AppendUint16(to, uint16(n-1))
		to = append(to, b[:n]...)
		b = b[n:]
	}
	return to
}

// send posts the minutes of all hosts, one host a request, over so many connections. Every minute is sent before the next one begins.
func (s *site) send(url string, connections int, from, to int64, body func(b []byte, h int, minute int64) []byte, header http.Header) error {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: connections}, Timeout: time.Minute}
	defer client.CloseIdleConnections()
	for minute := from; minute < to; minute++ {
		var next atomic.Int64
		errs := make([]error, connections)
		var work sync.WaitGroup
		for c := range connections {
			work.Go(func() {
				var b []byte
				for {
					h := int(next.Add(1)) - 1
					if h >= s.hosts || errs[c] != nil {
						return
					}
					b = body(b[:0], h, minute)
					errs[c] = post(client, url, b, header)
				}
			})
		}
		work.Wait()
		for _, err := range errs {
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func post(client *http.Client, url string, body []byte, header http.Header) error {
	req, err := http.NewRequest(http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header = header
	_, err = do(client, req)
	return err
}

// do returns the body of an answer that must be a success.
func do(client *http.Client, req *http.Request) ([]byte, error) {
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode/100 != 2 {
		err = fmt.Errorf("%s %s answered %s: %.200s", req.Method, req.URL.Path, resp.Status, b)
	}
	return b, err
}

// register makes the hosts of the site at saba.
func (s *site) register(base string) error {
	s.ids = make([]string, s.hosts)
	for h := range s.hosts {
		req, err := http.NewRequest(http.MethodPost, base+"/api/v0/hosts", bytes.NewReader([]byte(fmt.Sprintf(
			`{"name":"host%06d","meta":{"kernel":{"name":"Linux","release":"6.1"},"memory":{"total":"16384000kB"}},"roleFullnames":["shop:web%d"],"interfaces":[{"name":"eth0","ipv4Addresses":["192.0.2.1"]}]}`, h, h%10))))
		if err != nil {
			return err
		}
		req.Header = sabaHeader()
		b, err := do(http.DefaultClient, req)
		if err != nil {
			return err
		}
		var r struct{ ID string }
		if err := json.Unmarshal(b, &r); err != nil {
			return fmt.Errorf("registering answered %q: %w", b, err)
		}
		s.ids[h] = r.ID
	}
	return nil
}

func sabaHeader() http.Header {
	return http.Header{"X-Api-Key": {apiKey}, "Content-Type": {"application/json"}}
}

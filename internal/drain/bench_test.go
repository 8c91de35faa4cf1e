package drain

import (
	"fmt"
	"testing"
)

// BenchmarkPost takes requests of a thousand lines, of which 5 % hold metrics, from the body to the disk.
func BenchmarkPost(b *testing.B) {
	const n = 1000
	r := newRig(b)
	var messages []string
	for i := range n {
		text := fmt.Sprintf("method=GET path=/carts/%d format=html controller=CartsController action=show status=200 duration=%d.42 view=10.11 db=1.18", i, i%90)
		if i%20 == 0 {
			text = fmt.Sprintf("measure#job.time=%dms count#job.done sample#queue.size=%d source=%s", i, i, []string{"mail", "report"}[i/20%2])
		}
		messages = append(messages, line(begin, text))
	}
	body := framed(messages...)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	frame := 0
	for b.Loop() {
		frame++
		r.wantStatus(r.postBody(fmt.Sprint(frame), body), 204)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/line")
}

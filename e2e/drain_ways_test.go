package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// What a drain was sent by OpenTelemetry is kept when it is answered, and the totals of counters with it: a kill right behind the answer loses nothing.
// So is what came by syslog once the connection has ended.
func TestKillLosesNoFigureOfADrain(t *testing.T) {
	t.Parallel()
	args := []string{"server", "--listen", "127.0.0.1:0", "--data", t.TempDir(), "--syslog-tcp", "127.0.0.1:0"}
	env := []string{"SABA_API_KEY=" + key}
	server := start(t, env, "saba", args...)
	path := makeDrain(t, server.consoleURL(), "shop")
	first := time.Now().Unix()/60*60 - 10*60
	const rounds = 3
	for round := range rounds {
		base, at := server.consoleURL(), first+int64(round)*60
		for call, body := range map[string]string{
			"/v1/logs":    fmt.Sprintf(`{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"timeUnixNano":"%d000000000","body":{"stringValue":"count#logs"}}]}]}]}`, at),
			"/v1/metrics": fmt.Sprintf(`{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"total","sum":{"aggregationTemporality":2,"isMonotonic":true,"dataPoints":[{"timeUnixNano":"%d000000000","asInt":"%d"}]}}]}]}]}`, at, 100*round),
		} {
			resp, err := http.Post(base+path+call, "application/json", bytes.NewReader([]byte(body)))
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				t.Fatalf("POST %s is answered with %d", call, resp.StatusCode)
			}
		}
		c, err := net.Dial("tcp", server.match(`Syslog\s+(\S+) over TCP`)[1])
		if err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Fprintf(c, "<13>1 %s %s app - - - count#syslog\n", time.Unix(at, 0).Format(time.RFC3339), strings.TrimPrefix(path, "/drains/")); err != nil {
			t.Fatal(err)
		}
		if err := c.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, c) // until the server ends the connection
		_ = c.Close()
		server.kill()
		server = start(t, env, "saba", args...)
	}
	base := server.consoleURL()
	total := func(name string, from, to int64) (sum float64) {
		for _, s := range serviceMetric(t, base, "shop", name, from, to) {
			sum += s.Value
		}
		return sum
	}
	eventually(t, "every figure in its minute", func() bool {
		now := time.Now().Unix()
		return total("logs", first, now) == rounds && total("syslog", first, now) == rounds && total("total", first, now) == 100*(rounds-1)
	})
	server.stop()
}

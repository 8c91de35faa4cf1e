package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// The lines of this measurement are those of an application and its platform; 5 of 100 hold metrics. Both ways in get the same ones, in octet-counted frames.
const (
	measuredLines = 1_000_000
	linesABody    = 500 // about 100 KiB, as Logplex sends them
	linesASecond  = 20_000
)

// lineFigures prints what a server makes of log lines a second, and what it costs, beside rsyslog with the same lines.
func lineFigures(bin string, seconds int, keep bool) error {
	bin, err := filepath.Abs(bin)
	if err != nil {
		return err
	}
	p := plan{saba: filepath.Join(bin, "saba")}
	if p.work, err = os.MkdirTemp("", "saba-bench-"); err != nil {
		return err
	}
	if !keep {
		defer os.RemoveAll(p.work)
	}
	out := newTable(os.Stdout)
	out.title(fmt.Sprintf("%d log lines, of which 5 %% hold metrics", measuredLines))
	saba, err := p.drainLines(out, seconds)
	if err != nil {
		return err
	}
	rsyslog, err := p.rsyslogLines(out)
	if err != nil {
		fmt.Println("without rsyslog:", err)
		return nil
	}
	out.row("ratio of CPU time, saba to rsyslog", fmt.Sprintf("%.2f", saba.Seconds()/rsyslog.Seconds()), "")
	return nil
}

// logLine appends line number i, as it is written now. data is the field of structured data, which Logplex leaves out.
func logLine(b []byte, i int, data string) []byte {
	app, proc, text := "app", "web."+string('1'+rune(i%4)), ""
	switch i % 100 {
	case 10, 60:
		text = fmt.Sprintf("measure#job.time=%dms count#job.done source=%s", i%777, []string{"mail", "report"}[i/50%2])
	case 30:
		text = fmt.Sprintf("sample#sidekiq.default.size=%d sample#sidekiq.default.latency=%d.5 sample#sidekiq.mailers.size=3 sample#sidekiq.mailers.latency=0.0", i%50, i%30)
	case 50:
		app, proc, text = "heroku", "web.1", fmt.Sprintf("source=web.1 dyno=heroku.2808254.d97d0ea7 sample#memory_total=%d.00MB sample#memory_rss=210.22MB sample#memory_pgpgin=348836pages", i%512)
	case 80:
		app, text = "heroku", fmt.Sprintf(`at=info method=GET path="/carts/%d" host=example.com request_id=8601b555-6a83-4c12-8269-97c8e32cdb22 fwd="203.0.113.7" dyno=%s connect=1ms service=%dms status=200 bytes=1842 protocol=https`, i, proc, i%300)
		proc = "router"
	default:
		text = fmt.Sprintf("method=GET path=/carts/%d format=html controller=CartsController action=show status=200 duration=%d.42 view=10.11 db=1.18 request_id=8601b555-6a83-4c12", i, i%90)
	}
	message := fmt.Sprintf("<190>1 %s host %s %s - %s%s\n", time.Now().UTC().Format("2006-01-02T15:04:05.000000+00:00"), app, proc, data, text)
	return fmt.Appendf(b, "%d %s", len(message), message)
}

// drainLines sends the lines to a drain of a fresh server, one request at a time as Logplex does, first as fast as it answers, then at a pace.
func (p *plan) drainLines(out *table, seconds int) (cpu time.Duration, err error) {
	server, err := p.freshServer()
	if err != nil {
		return 0, err
	}
	defer server.stop()
	address, err := p.makeDrain()
	if err != nil {
		return 0, err
	}
	body := make([]byte, 0, linesABody*300)
	number := 0
	send := func() error {
		body = body[:0]
		for range linesABody {
			body = logLine(body, number, "")
			number++
		}
		req, err := http.NewRequest(http.MethodPost, address, bytes.NewReader(body))
		if err != nil {
			return err
		}
		req.Header.Set("Content-Type", "application/logplex-1")
		req.Header.Set("Logplex-Msg-Count", fmt.Sprint(linesABody))
		req.Header.Set("Logplex-Frame-Id", fmt.Sprintf("%032x", number))
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusNoContent {
			return fmt.Errorf("a drain answered %s", resp.Status)
		}
		return nil
	}
	if err := send(); err != nil { // what is made once
		return 0, err
	}
	begun := time.Now()
	var sizes []string
	for range 4 {
		part, err := between(server, func() error {
			for range measuredLines / 4 / linesABody {
				if err := send(); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return 0, err
		}
		cpu += part
		size, err := readSize(server.cmd.Process.Pid)
		if err != nil {
			return 0, err
		}
		sizes = append(sizes, mib(size.resident))
	}
	took := time.Since(begun)
	out.row("saba, each answered when it is on the disk", fmt.Sprintf("%.0f lines a second, one sender", measuredLines/took.Seconds()), "")
	out.row("saba, CPU s a million lines", fmt.Sprintf("%.2f", cpu.Seconds()*1e6/measuredLines), "50, which is 20,000 a second on a core")
	out.row("resident memory after each quarter", strings.Join(sizes, ", "), "flat")

	begun = time.Now()
	paced, err := between(server, func() error {
		for i := range seconds * linesASecond / linesABody {
			time.Sleep(time.Until(begun.Add(time.Duration(i) * time.Second * linesABody / linesASecond)))
			if err := send(); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	took = time.Since(begun)
	size, err := readSize(server.cmd.Process.Pid)
	if err != nil {
		return 0, err
	}
	out.row(fmt.Sprintf("at %d lines a second", linesASecond), fmt.Sprintf("%.1f %% of a core, %s, sent at %.0f a second", 100*paced.Seconds()/took.Seconds(), mib(size.resident),
		float64(seconds*linesASecond)/took.Seconds()), "")
	return cpu, nil
}

// makeDrain makes a service with a drain, and returns where its lines are posted.
func (p *plan) makeDrain() (address string, err error) {
	for _, call := range []struct{ path, body string }{{"/api/v0/services", `{"name":"shop","memo":""}`}, {"/api/v0/drains", `{"name":"shop","service":"shop"}`}} {
		req, err := http.NewRequest(http.MethodPost, p.base+call.path, strings.NewReader(call.body))
		if err != nil {
			return "", err
		}
		req.Header.Set("X-Api-Key", apiKey)
		req.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return "", err
		}
		b, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK {
			return "", fmt.Errorf("%s: %s %s %v", call.path, resp.Status, b, err)
		}
		var made struct{ Path string }
		if err := json.Unmarshal(b, &made); err != nil {
			return "", err
		}
		address = p.base + made.Path
	}
	return address, nil
}

// rsyslogLines sends the lines to rsyslogd over TCP. It reads the headers, looks for # in each line, takes the kind, name and value of the first metric out of those that have one by
// regular expression, and writes them to a file with time and process: it adds nothing up, and syncs nothing.
func (p *plan) rsyslogLines(out *table) (cpu time.Duration, err error) {
	bin, err := exec.LookPath("rsyslogd")
	if err != nil {
		if bin, err = exec.LookPath("/usr/sbin/rsyslogd"); err != nil {
			return 0, err
		}
	}
	port, err := freePort()
	if err != nil {
		return 0, err
	}
	folder := filepath.Join(p.work, "rsyslog")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return 0, err
	}
	found, conf := filepath.Join(folder, "found"), filepath.Join(folder, "conf")
	text := fmt.Sprintf(`global(workDirectory=%q)
main_queue(queue.timeoutEnqueue="60000")
module(load="imtcp")
input(type="imtcp" address="127.0.0.1" port=%q)
template(name="found" type="string" string="%%timestamp:::date-rfc3339%% %%procid%% %%$.kind%% %%$.name%% %%$.value%%\n")
if $msg contains "#" then {
	set $.kind = re_extract($msg, "(sample|measure|count)#([A-Za-z0-9._-]+)=([0-9.]+)", 0, 1, "");
	set $.name = re_extract($msg, "(sample|measure|count)#([A-Za-z0-9._-]+)=([0-9.]+)", 0, 2, "");
	set $.value = re_extract($msg, "(sample|measure|count)#([A-Za-z0-9._-]+)=([0-9.]+)", 0, 3, "");
	action(type="omfile" file=%q template="found" asyncWriting="off" flushOnTXEnd="on")
}
stop
`, folder, port, found)
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		return 0, err
	}
	s, err := start("rsyslog", folder, nil, bin, "-n", "-f", conf, "-i", filepath.Join(folder, "pid"))
	if err != nil {
		return 0, err
	}
	defer s.stop()
	var conn net.Conn
	for range 500 {
		if conn, err = net.Dial("tcp", "127.0.0.1:"+port); err == nil {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if err != nil {
		return 0, fmt.Errorf("rsyslogd does not listen: see %s: %w", folder, err)
	}
	defer conn.Close()
	begun := time.Now()
	cpu, err = between(s, func() error {
		body := make([]byte, 0, linesABody*300)
		for number := 0; number < measuredLines; {
			body = body[:0]
			for range linesABody {
				body = logLine(body, number, "- ")
				number++
			}
			if _, err := conn.Write(body); err != nil {
				return err
			}
		}
		// All is read when all is written: of each hundred lines four hold a # (the router's has none).
		want := measuredLines / 100 * 4
		for time.Since(begun) < 5*time.Minute {
			b, err := os.ReadFile(found)
			if err == nil && bytes.Count(b, []byte("\n")) >= want {
				return nil
			}
			time.Sleep(50 * time.Millisecond)
		}
		return fmt.Errorf("rsyslogd has not written %d lines within 5 minutes: see %s", want, folder)
	})
	if err != nil {
		return 0, err
	}
	out.row("rsyslog, which only takes metrics out", fmt.Sprintf("%.0f lines a second, one sender", measuredLines/time.Since(begun).Seconds()), "")
	out.row("rsyslog, CPU s a million lines", fmt.Sprintf("%.2f", cpu.Seconds()*1e6/measuredLines), "")
	size, err := readSize(s.cmd.Process.Pid)
	if err != nil {
		return 0, err
	}
	out.row("its resident memory", mib(size.resident), "")
	return cpu, nil
}

package api

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"strings"
	"testing"
	"time"
)

// A client that sends all of its body before it reads finds the answer, and not a broken connection.
func TestABodyThatIsTooLargeIsReadOn(t *testing.T) {
	r := newRig(t)
	plain := strings.Repeat(" ", 30<<20) // more behind the limit than buffers of sockets hold
	for name, tt := range map[string]struct {
		headers string
		body    io.Reader
	}{
		"its length is known": {fmt.Sprintf("Content-Length: %d\r\n", len(plain)), strings.NewReader(plain)},
		"in pieces":           {"Transfer-Encoding: chunked\r\n", pieces(plain)},
		"it inflates to too much, and more follows": {
			fmt.Sprintf("Content-Encoding: gzip\r\nContent-Length: %d\r\n", len(zip(t, plain))+30<<20), strings.NewReader(zip(t, plain) + plain)},
	} {
		t.Run(name, func(t *testing.T) {
			conn := dial(t, r)
			if _, err := fmt.Fprintf(conn, "POST /api/v0/tsdb HTTP/1.1\r\nHost: saba\r\nX-Api-Key: %s\r\n%s\r\n", keyBoth, tt.headers); err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(conn, tt.body); err != nil {
				t.Fatalf("the body was not read to its end: %v", err)
			}
			wantTooLarge(t, conn)
		})
	}
}

// A client that asks first is answered at once, and sends nothing.
func TestABodyThatIsTooLargeIsNotAskedFor(t *testing.T) {
	r := newRig(t)
	conn := dial(t, r)
	if _, err := fmt.Fprintf(conn, "POST /api/v0/tsdb HTTP/1.1\r\nHost: saba\r\nX-Api-Key: %s\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n", keyBoth, 24<<20); err != nil {
		t.Fatal(err)
	}
	wantTooLarge(t, conn)
}

func dial(t *testing.T, r *rig) net.Conn {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(r.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	return conn
}

func pieces(body string) io.Reader {
	pr, pw := io.Pipe()
	go func() { // ends when the reader has all, or is closed
		w := httputil.NewChunkedWriter(pw)
		_, err := io.WriteString(w, body)
		if err == nil {
			err = w.Close()
		}
		if err == nil {
			_, err = io.WriteString(pw, "\r\n")
		}
		pw.CloseWithError(err)
	}()
	return pr
}

func wantTooLarge(t *testing.T, conn net.Conn) {
	t.Helper()
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusRequestEntityTooLarge || !strings.Contains(string(b), "larger than 16 MiB: send it in parts") || !resp.Close {
		t.Errorf("%d %s (close: %v), want 413 that says what to do, and the end of the connection", resp.StatusCode, b, resp.Close)
	}
}

package target

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"net"
	"strings"
	"testing"
)

func TestAskEndsWithItsContext(t *testing.T) {
	a, b := net.Pipe()
	defer a.Close()
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		_, _ = b.Read(make([]byte, 100))
		cancel()
	}()
	if _, err := newRedisConn(a).ask(ctx, []string{"PING"}); !errors.Is(err, context.Canceled) {
		t.Errorf("ask = %v, want context.Canceled", err)
	}
}

// Many answers that are each allowed may be too much together.
func TestAllAnswersTogetherAreBounded(t *testing.T) {
	one := "$5\r\nhello\r\n"
	r := bufio.NewReaderSize(strings.NewReader("*3\r\n"+strings.Repeat(one, 3)), maxRedisLine)
	left := 14
	if v, err := readRedis(r, &left, 0); err == nil || !strings.Contains(err.Error(), "longer than") {
		t.Errorf("readRedis = %v, %v, want that it is too long", v, err)
	}
}

// Whatever a server answers, reading it never panics and costs no more than was sent, or allowed.
func FuzzReadRedis(f *testing.F) {
	f.Add([]byte("$5\r\nhello\r\n"))
	f.Add([]byte("*2\r\n:1\r\n*1\r\n-ERR no\r\n"))
	f.Add([]byte("$-1\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		left := 1 << 10
		v, err := readRedis(bufio.NewReaderSize(bytes.NewReader(b), maxRedisLine), &left, 0)
		if s, ok := v.(string); err == nil && ok && len(s) > len(b) {
			t.Errorf("readRedis(%q) = %q", b, s)
		}
		if left < 0 {
			t.Errorf("readRedis(%q) took %d bytes more than allowed", b, -left)
		}
	})
}

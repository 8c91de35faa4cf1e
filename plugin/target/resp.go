package target

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

// Bounds on what a Redis may answer.
const (
	maxRedisString = 4 << 20  // bytes
	maxRedisTrip   = 32 << 20 // bytes of all answers of one round trip
	maxRedisArray  = 10_000
	maxRedisLine   = 4 << 10
	maxRedisDepth  = 8
)

// A RedisError is an answer that says no: "NOAUTH Authentication required."
type RedisError string

func (e RedisError) Error() string { return string(e) }

// A redisConn speaks the protocol of Redis, version 2.
type redisConn struct {
	net.Conn
	r *bufio.Reader
}

func newRedisConn(c net.Conn) *redisConn {
	return &redisConn{c, bufio.NewReaderSize(c, maxRedisLine)}
}

// ask sends commands in one piece and returns an answer for each: a string, an int64, a []any,
// nil or a RedisError. The error is about the connection, which is of no more use then.
func (c *redisConn) ask(ctx context.Context, commands ...[]string) ([]any, error) {
	// The zero time takes an earlier deadline away.
	deadline, _ := ctx.Deadline()
	if err := c.SetDeadline(deadline); err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	answers, err := c.roundTrip(commands)
	switch {
	case err != nil && ctx.Err() != nil:
		err = ctx.Err()
	case errors.Is(err, os.ErrDeadlineExceeded): // a moment before ctx's own timer
		err = context.DeadlineExceeded
	}
	return answers, err
}

func (c *redisConn) roundTrip(commands [][]string) ([]any, error) {
	var b strings.Builder
	for _, args := range commands {
		fmt.Fprintf(&b, "*%d\r\n", len(args))
		for _, a := range args {
			fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(a), a)
		}
	}
	if _, err := io.WriteString(c, b.String()); err != nil {
		return nil, err
	}
	answers := make([]any, len(commands))
	left := maxRedisTrip
	for i := range answers {
		var err error
		if answers[i], err = readRedis(c.r, &left, 0); err != nil {
			return nil, err
		}
	}
	return answers, nil
}

var errNotRedis = errors.New("it does not speak the protocol of Redis")

// readRedis reads one answer. r has a buffer of maxRedisLine bytes, left is how many bytes of
// strings there may still be.
func readRedis(r *bufio.Reader, left *int, depth int) (any, error) {
	line, err := r.ReadSlice('\n')
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return nil, errNotRedis
	case errors.Is(err, io.EOF):
		return nil, fmt.Errorf("it closed the connection: %w", io.ErrUnexpectedEOF)
	case err != nil:
		return nil, err
	case len(line) < 3 || line[len(line)-2] != '\r':
		return nil, errNotRedis
	}
	kind, text := line[0], string(line[1:len(line)-2])
	switch kind {
	case '+':
		return text, nil
	case '-':
		return RedisError(text), nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return nil, errNotRedis
	}
	switch {
	case kind == ':':
		return n, nil
	case (kind == '$' || kind == '*') && n == -1:
		return nil, nil
	case kind == '$' && n > maxRedisString, kind == '$' && n > int64(*left):
		return nil, errors.New("its answer is longer than any of Redis that is of use here")
	case kind == '$' && n >= 0:
		*left -= int(n)
		b := make([]byte, n+2)
		if _, err := io.ReadFull(r, b); err != nil {
			return nil, fmt.Errorf("its answer breaks off: %w", err)
		}
		if string(b[n:]) != "\r\n" {
			return nil, errNotRedis
		}
		return string(b[:n]), nil
	case kind == '*' && n >= 0 && n <= maxRedisArray && depth < maxRedisDepth:
		var a []any
		for range n {
			v, err := readRedis(r, left, depth+1)
			if err != nil {
				return nil, err
			}
			a = append(a, v)
		}
		return a, nil
	}
	return nil, errNotRedis
}

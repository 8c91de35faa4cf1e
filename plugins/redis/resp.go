package redis

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

// Bounds on what a server may answer.
const (
	maxBulk  = 4 << 20 // bytes of a string
	maxArray = 10_000
	maxLine  = 4 << 10
	maxDepth = 8
)

// A serverError is an answer that says no: "NOAUTH Authentication required."
type serverError string

func (e serverError) Error() string { return string(e) }

// A conn speaks the protocol of Redis, version 2.
type conn struct {
	net.Conn
	r *bufio.Reader
}

func newConn(c net.Conn) *conn { return &conn{c, bufio.NewReaderSize(c, maxLine)} }

// ask sends commands in one piece and returns an answer for each: a string, an int64, a []any,
// nil or a serverError. The error is about the connection, which is of no more use then.
func (c *conn) ask(ctx context.Context, commands ...[]string) ([]any, error) {
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

func (c *conn) roundTrip(commands [][]string) ([]any, error) {
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
	for i := range answers {
		var err error
		if answers[i], err = readAnswer(c.r, 0); err != nil {
			return nil, err
		}
	}
	return answers, nil
}

var errProtocol = errors.New("it does not speak the protocol of Redis")

// readAnswer reads one answer. r has a buffer of maxLine bytes.
func readAnswer(r *bufio.Reader, depth int) (any, error) {
	line, err := r.ReadSlice('\n')
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return nil, errProtocol
	case errors.Is(err, io.EOF):
		return nil, fmt.Errorf("it closed the connection: %w", io.ErrUnexpectedEOF)
	case err != nil:
		return nil, err
	case len(line) < 3 || line[len(line)-2] != '\r':
		return nil, errProtocol
	}
	kind, text := line[0], string(line[1:len(line)-2])
	switch kind {
	case '+':
		return text, nil
	case '-':
		return serverError(text), nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return nil, errProtocol
	}
	switch {
	case kind == ':':
		return n, nil
	case (kind == '$' || kind == '*') && n == -1:
		return nil, nil
	case kind == '$' && n >= 0 && n <= maxBulk:
		b := make([]byte, n+2)
		if _, err := io.ReadFull(r, b); err != nil {
			return nil, fmt.Errorf("its answer breaks off: %w", err)
		}
		if string(b[n:]) != "\r\n" {
			return nil, errProtocol
		}
		return string(b[:n]), nil
	case kind == '*' && n >= 0 && n <= maxArray && depth < maxDepth:
		var a []any
		for range n {
			v, err := readAnswer(r, depth+1)
			if err != nil {
				return nil, err
			}
			a = append(a, v)
		}
		return a, nil
	}
	return nil, errProtocol
}

package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
)

// probeTCP connects to a port, of this network unless there is a host, which says ready by taking the connection.
func probeTCP(l *loader, path []string, m map[string]any) func(ctx context.Context) error {
	var host, port string
	before := len(l.mistakes)
	l.section(path, m, []key{value("host", asString, &host), value("port", asPort, &port)})
	if len(l.mistakes) > before {
		return nil
	}
	if port == "" {
		l.mistake(path, "%s has no port", shown(path))
		return nil
	}
	address := net.JoinHostPort(host, port)
	return func(ctx context.Context) error {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
		if err != nil {
			return fmt.Errorf("no connection to %s: %w", address, err)
		}
		return conn.Close()
	}
}

// value returns a key whose value is kept in to.
func value[T any](name string, read func(v any) (T, error), to *T) key {
	return key{name, func(_ *loader, _ []string, v any) (err error) {
		*to, err = read(v)
		return err
	}}
}

// asPort reads a port, as a number or a string of one.
func asPort(v any) (string, error) {
	s, err := asString(v)
	if n, ok := plain(v).(int64); ok {
		s, err = strconv.FormatInt(n, 10), nil
	}
	if err != nil {
		return "", wrongType("a port", v)
	}
	if n, err := strconv.ParseUint(s, 10, 16); err != nil || n == 0 {
		return "", errors.New("must be a port from 1 to 65535, not " + strconv.Quote(s))
	}
	return s, nil
}

package sqldb

import (
	"context"
	"database/sql/driver"
	"errors"
)

// maxStatements bounds the prepared statements that a connection keeps, at a few KB each. The
// statements of this package are fewer; those whose length varies fill the rest.
const maxStatements = 96

// A preparing connector makes connections that keep their statements prepared. To parse a
// statement costs SQLite more than to run most of ours, and database/sql keeps statements only
// for callers who prepare them outside of transactions.
type preparing struct{ driver.Connector }

func (p preparing) Connect(ctx context.Context) (driver.Conn, error) {
	c, err := p.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	dc, ok := c.(engineConn)
	if !ok {
		return nil, errors.Join(errors.New("the database driver lacks a method that saba needs"), c.Close())
	}
	return &conn{engineConn: dc, idle: map[string]engineStmt{}}, nil
}

// engineConn is what the driver's connections can do and this package uses.
type engineConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.SessionResetter
	driver.Validator
}

type engineStmt interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

// A conn is a connection with its idle prepared statements by their text. A statement that is
// in use is not in the map, so two uses at once have one each. Like every driver.Conn, it is
// used by one goroutine at a time.
type conn struct {
	engineConn
	idle map[string]engineStmt // nil when the connection is closed
}

func (c *conn) take(ctx context.Context, query string) (engineStmt, error) {
	if s, ok := c.idle[query]; ok {
		delete(c.idle, query)
		return s, nil
	}
	s, err := c.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	es, ok := s.(engineStmt)
	if !ok {
		return nil, errors.Join(errors.New("the database driver lacks a method that saba needs"), s.Close())
	}
	return es, nil
}

// giveBack keeps a statement for its next use. One that failed is closed instead.
func (c *conn) giveBack(query string, s engineStmt, failed bool) error {
	if _, ok := c.idle[query]; ok || failed || c.idle == nil || len(c.idle) >= maxStatements {
		return s.Close()
	}
	c.idle[query] = s
	return nil
}

// ExecContext makes conn a driver.ExecerContext.
func (c *conn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	s, err := c.take(ctx, query)
	if err != nil {
		return nil, err
	}
	result, err := s.ExecContext(ctx, args)
	if closeErr := c.giveBack(query, s, err != nil); err == nil {
		err = closeErr
	}
	return result, err
}

// QueryContext makes conn a driver.QueryerContext.
func (c *conn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	s, err := c.take(ctx, query)
	if err != nil {
		return nil, err
	}
	r, err := s.QueryContext(ctx, args)
	if err != nil {
		_ = c.giveBack(query, s, true) // err says more than a second error could
		return nil, err
	}
	return &rows{Rows: r, conn: c, query: query, stmt: s}, nil
}

func (c *conn) CheckNamedValue(v *driver.NamedValue) error { return checkArgument(v) }

func (c *conn) Close() error {
	var errs []error
	for _, s := range c.idle {
		errs = append(errs, s.Close())
	}
	c.idle = nil
	return errors.Join(append(errs, c.engineConn.Close())...)
}

// rows gives its statement back when it is closed.
type rows struct {
	driver.Rows
	conn  *conn
	query string
	stmt  engineStmt // nil after Close
}

func (r *rows) Close() error {
	if r.stmt == nil {
		return nil
	}
	s := r.stmt
	r.stmt = nil
	err := r.Rows.Close()
	return errors.Join(err, r.conn.giveBack(r.query, s, err != nil))
}

package sqldb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/saba-monitor/saba"
)

const (
	// maxPostgresReaders is how many connections read. With the one that writes and the lock's they are 10 of
	// the 100 that PostgreSQL allows by default.
	maxPostgresReaders = 8
	// connectTimeout is for a connection to one address; the URL may set another.
	connectTimeout = 5 * time.Second
	// statementTimeout bounds a statement, and a whole transaction: a request must not hang because the
	// network swallows what is sent.
	statementTimeout = 15 * time.Second
	// connectionLifetime is how long a connection is used. A new one finds the host that has become the primary meanwhile,
	// and the one that writes looks whether the lock is still held.
	connectionLifetime = 5 * time.Minute
	// How often and how long a start looks for the lock: the last statement of a server that was killed may still run, and
	// PostgreSQL sees its end only after that.
	lockTries = 20
	lockPause = 100 * time.Millisecond
)

// postgresMark is the comment on the table of versions, by which a database is known as saba's.
const postgresMark = "saba: the versions of its schema"

var postgresDialect = dialect{
	// Other programs may write too (a person with psql): what was read must still hold when what was made
	// of it is written.
	change: &sql.TxOptions{Isolation: sql.LevelSerializable},
	view:   &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true},
	mark:   `COMMENT ON TABLE migrations IS '` + postgresMark + `'`,
	// Bytes decide the order of texts, whatever language the database was made for.
	script: func(s string) string { return textType.ReplaceAllString(s, `TEXT COLLATE "C"`) },
}

var textType = regexp.MustCompile(`\bTEXT\b`)

// isPostgres says whether target names a PostgreSQL database; otherwise it is the path of a file.
func isPostgres(target string) bool {
	return strings.HasPrefix(target, "postgres://") || strings.HasPrefix(target, "postgresql://")
}

// CheckURL returns an error matching saba.ErrInvalid if url cannot be that of a PostgreSQL database.
func CheckURL(url string) error {
	if !isPostgres(url) { // not shown: who knows what was put there by mistake
		return saba.Errorf(saba.ErrInvalid, "the URL of the database must begin with postgres://")
	}
	_, err := parseURL(url)
	return err
}

// Name returns target as it may be shown: a URL without user, password and options.
func Name(target string) string {
	if !isPostgres(target) {
		return target
	}
	config, err := parseURL(target)
	if err != nil {
		return "postgres://…"
	}
	return postgresName(config)
}

func postgresName(config *pgx.ConnConfig) string {
	return "postgres://" + net.JoinHostPort(config.Host, strconv.Itoa(int(config.Port))) + "/" + config.Database
}

// parseURL reads the URL of a database. Its error does not quote it, since it may hold a password.
func parseURL(target string) (*pgx.ConnConfig, error) {
	config, err := pgx.ParseConfig(target)
	var file *fs.PathError
	switch {
	case errors.As(err, &file):
		return nil, saba.Errorf(saba.ErrInvalid, "the URL of the database names a file that cannot be read: %v", file)
	case err != nil:
		return nil, saba.Errorf(saba.ErrInvalid, "the URL of the database cannot be read: it has the form postgres://user:password@host:5432/database?sslmode=verify-full, with %%2F for a / in the password and the like")
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = connectTimeout
	}
	if config.RuntimeParams["application_name"] == "" {
		config.RuntimeParams["application_name"] = "saba"
	}
	return config, nil
}

// openPostgres opens the database at a URL for this process alone, and brings its schema up to date.
func openPostgres(ctx context.Context, target string) (*DB, error) {
	config, err := parseURL(target)
	if err != nil {
		return nil, err
	}
	if _, err := checkPostgres(ctx, config); err != nil {
		return nil, err
	}
	db := &DB{dialect: postgresDialect, lock: &lock{config: config}}
	if err := db.lock.hold(ctx, lockTries); err != nil {
		return nil, fmt.Errorf("database %s cannot be used: %w", postgresName(config), err)
	}
	// A migration takes the time that it takes.
	patient := postgresPool(config, 1, 0, nil)
	err = migrate(ctx, patient, db.dialect)
	if err := errors.Join(err, patient.Close()); err != nil {
		return nil, errors.Join(fmt.Errorf("database %s: %w", postgresName(config), err), db.lock.close())
	}
	db.writer = postgresPool(config, 1, statementTimeout, func(ctx context.Context) error { return db.lock.hold(ctx, 1) })
	db.reader = postgresPool(config, maxPostgresReaders, statementTimeout, nil)
	return db, nil
}

// postgresPool opens at most n connections, once one is needed. limit bounds statements and transactions; 0 for no
// limit. before is called before each connection is made; nil for nothing.
func postgresPool(config *pgx.ConnConfig, n int, limit time.Duration, before func(context.Context) error) *sql.DB {
	pool := sql.OpenDB(&postgresConnector{Connector: stdlib.GetConnector(*config, stdlib.OptionAfterConnect(prepareConnection)), limit: limit, before: before})
	pool.SetMaxOpenConns(n)
	pool.SetMaxIdleConns(n)
	pool.SetConnMaxLifetime(connectionLifetime)
	return pool
}

// prepareConnection lets PostgreSQL find out soon that this process is gone, also when its machine lost power: until
// then, locks are held.
func prepareConnection(ctx context.Context, c *pgx.Conn) error {
	_, err := c.Exec(ctx, `SET tcp_keepalives_idle = 30; SET tcp_keepalives_interval = 10; SET tcp_keepalives_count = 3;
		SET idle_in_transaction_session_timeout = '60s'`)
	return err
}

// checkPostgres is check for PostgreSQL.
func checkPostgres(ctx context.Context, config *pgx.ConnConfig) (filled bool, err error) {
	err = viewPostgres(ctx, config, statementTimeout, func(tx *sql.Tx) error {
		filled, err = lookAtPostgres(ctx, tx)
		return err
	})
	return filled, err
}

// viewPostgres runs fn in a transaction that sees one state of the database, on a connection of its own. Errors are
// sentences that name the database.
func viewPostgres(ctx context.Context, config *pgx.ConnConfig, limit time.Duration, fn func(tx *sql.Tx) error) error {
	pool := postgresPool(config, 1, limit, nil)
	err := errors.Join(transact(ctx, pool, postgresDialect.view, fn), pool.Close())
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("read database %s: %w", postgresName(config), ctx.Err())
	case errors.As(err, new(*notOurs)):
		return fmt.Errorf("database %s holds tables of another program: nothing was changed; make a database for saba alone (CREATE DATABASE)", postgresName(config))
	}
	return fmt.Errorf("database %s cannot be used: %w", postgresName(config), explain(err))
}

func lookAtPostgres(ctx context.Context, tx *sql.Tx) (filled bool, err error) {
	var encoding string
	if err := tx.QueryRowContext(ctx, `SHOW server_encoding`).Scan(&encoding); err != nil {
		return false, err
	}
	if encoding != "UTF8" {
		return false, saba.Errorf(saba.ErrInvalid, "it keeps texts as %s, which cannot hold every letter: make one with CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0", encoding)
	}
	var tables, versions int
	if err := tx.QueryRowContext(ctx, `SELECT count(*), count(CASE WHEN relname = 'migrations' AND obj_description(oid, 'pg_class') = ? THEN 1 END)
		FROM pg_class WHERE relnamespace = to_regnamespace(quote_ident(current_schema())) AND relkind IN ('r', 'p')`, postgresMark).Scan(&tables, &versions); err != nil {
		return false, err
	}
	if tables == 0 {
		return false, nil
	}
	if versions == 0 {
		return false, &notOurs{}
	}
	_, err = knownVersion(ctx, tx)
	return err == nil, err
}

// A lock keeps other servers away from a database. PostgreSQL gives it free when its connection ends, in whatever way.
type lock struct {
	config *pgx.ConnConfig
	mu     sync.Mutex
	conn   *pgx.Conn // nil while it is not held
}

// hold takes the lock, unless it is held. The error matches saba.ErrUnavailable.
func (l *lock) hold(ctx context.Context, tries int) error {
	ctx, cancel := context.WithTimeout(ctx, statementTimeout)
	defer cancel()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conn != nil {
		// An interruption closes a connection of pgx: a request that is broken off must not cost the lock.
		ping, done := context.WithTimeout(context.WithoutCancel(ctx), statementTimeout)
		defer done()
		if l.conn.Ping(ping) == nil {
			return nil
		}
		_ = l.conn.Close(ping) // it is lost
		l.conn = nil
	}
	conn, err := pgx.ConnectConfig(ctx, l.config)
	if err != nil {
		return explain(err)
	}
	if err := take(ctx, conn, tries); err != nil {
		_ = conn.Close(ctx) // err says more
		return explain(err)
	}
	l.conn = conn
	return nil
}

func take(ctx context.Context, conn *pgx.Conn, tries int) error {
	if err := prepareConnection(ctx, conn); err != nil {
		return err
	}
	var standby bool
	if err := conn.QueryRow(ctx, `SELECT pg_is_in_recovery()`).Scan(&standby); err != nil {
		return err
	}
	if standby {
		return saba.Errorf(saba.ErrUnavailable, "it is a standby, which takes no changes: name the primary, or several with ?target_session_attrs=read-write")
	}
	again := time.NewTicker(lockPause)
	defer again.Stop()
	for range tries {
		var taken bool
		if err := conn.QueryRow(ctx, `SELECT pg_try_advisory_lock($1)`, applicationID).Scan(&taken); err != nil || taken {
			return err
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	var who string
	err := conn.QueryRow(ctx, `SELECT coalesce(host(client_addr), 'the machine of the database') FROM pg_locks JOIN pg_stat_activity USING (pid)
		WHERE locktype = 'advisory' AND classid = 0 AND objid = $1 AND pg_locks.database = (SELECT oid FROM pg_database WHERE datname = current_database())`, applicationID).Scan(&who)
	if err != nil {
		who = "somewhere" // it has just ended, or is another user's: the sentence is complete without
	}
	return saba.Errorf(saba.ErrUnavailable, "it is in use by another saba (at %s): stop that one, or give this one a database of its own", who)
}

func (l *lock) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conn == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), connectTimeout)
	defer cancel()
	_ = l.conn.Close(ctx) // a connection that is lost already holds nothing
	l.conn = nil
	return nil
}

// A postgresConnector makes connections that understand the statements of this package.
type postgresConnector struct {
	driver.Connector
	limit  time.Duration
	before func(context.Context) error

	mu     sync.Mutex
	silent error     // why the last connection was not made, after a wait
	until  time.Time // the end of silence
}

// silence is both: how long a connection takes before its failure counts as no answer, and how long others are then told so
// without a try of their own. Else the callers who queue for a connection would wait one after the other.
const silence = time.Second

func (p *postgresConnector) Connect(ctx context.Context) (driver.Conn, error) {
	began := time.Now()
	p.mu.Lock()
	known := p.silent
	if began.After(p.until) {
		known = nil
	}
	p.mu.Unlock()
	if known != nil {
		return nil, known
	}
	c, err := p.connect(ctx)
	if now := time.Now(); err != nil && ctx.Err() == nil && now.Sub(began) >= silence {
		p.mu.Lock()
		p.silent, p.until = err, now.Add(silence)
		p.mu.Unlock()
	}
	return c, err
}

func (p *postgresConnector) connect(ctx context.Context) (driver.Conn, error) {
	if p.before != nil {
		if err := p.before(ctx); err != nil {
			return nil, err
		}
	}
	c, err := p.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return &postgresConn{Conn: c.(*stdlib.Conn), limit: p.limit}, nil
}

// A postgresConn numbers arguments, and bounds how long it waits.
type postgresConn struct {
	*stdlib.Conn
	limit time.Duration
	inTx  bool
	until time.Time // when the transaction under way has to be done, if there is a limit
}

// within returns a context that ends with the limit.
func (c *postgresConn) within(ctx context.Context) (context.Context, context.CancelFunc) {
	switch {
	case c.limit == 0:
		return ctx, func() {}
	case c.inTx:
		return context.WithDeadline(ctx, c.until)
	}
	return context.WithTimeout(ctx, c.limit)
}

func (c *postgresConn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	ctx, cancel := c.within(ctx)
	tx, err := c.Conn.BeginTx(ctx, opts)
	if err != nil {
		err = c.stale(ctx, err)
		cancel()
		return nil, err
	}
	c.inTx = true
	c.until, _ = ctx.Deadline()
	return boundedTx{tx, c, cancel}, nil
}

func (c *postgresConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	ctx, cancel := c.within(ctx)
	defer cancel()
	return c.Conn.ExecContext(ctx, numbered(query), args)
}

func (c *postgresConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	ctx, cancel := c.within(ctx)
	rows, err := c.Conn.QueryContext(ctx, numbered(query), args)
	if err != nil {
		if !c.inTx { // statements without a transaction only read
			err = c.stale(ctx, err)
		}
		cancel()
		return nil, err
	}
	return boundedRows{rows, cancel}, nil
}

// stale returns driver.ErrBadConn in the place of err if the connection turned out to be dead, as those of a PostgreSQL that
// was started anew are: then package sql takes another one. It is for what harms nothing when it is done twice.
func (c *postgresConn) stale(ctx context.Context, err error) error {
	if ctx.Err() == nil && c.Conn.Conn().IsClosed() {
		return driver.ErrBadConn
	}
	return err
}

func (c *postgresConn) CheckNamedValue(v *driver.NamedValue) error { return checkArgument(v) }

type boundedTx struct {
	driver.Tx
	conn *postgresConn
	done context.CancelFunc
}

func (t boundedTx) Commit() error {
	defer t.end()
	return t.Tx.Commit()
}

func (t boundedTx) Rollback() error {
	defer t.end()
	return t.Tx.Rollback()
}

func (t boundedTx) end() {
	t.conn.inTx = false
	t.done()
}

type boundedRows struct {
	driver.Rows
	done context.CancelFunc
}

func (r boundedRows) Close() error {
	defer r.done()
	return r.Rows.Close()
}

// numbered puts $1, $2, … in the place of each ? that does not stand in quotes.
func numbered(query string) string {
	if !strings.Contains(query, "?") {
		return query
	}
	b := make([]byte, 0, len(query)+32)
	n, quoted := 0, false
	for i := range len(query) {
		switch c := query[i]; {
		case c == '?' && !quoted:
			n++
			b = strconv.AppendInt(append(b, '$'), int64(n), 10)
			continue
		case c == '\'':
			quoted = !quoted
		}
		b = append(b, query[i])
	}
	return string(b)
}

// postgresCode returns the SQLSTATE of err, "" if it has none.
func postgresCode(err error) string {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

// mustRunAgain says whether err broke a transaction off because of others at the same time: to do it anew is right.
func mustRunAgain(err error) bool {
	code := postgresCode(err)
	return code == "40001" || code == "40P01" // serialization_failure, deadlock_detected
}

// explainPostgres gives errors that an operator can do something about, or that pass, their words; nil for others. Codes: appendix A of
// PostgreSQL's manual.
func explainPostgres(err error) error {
	var e *pgconn.PgError
	if !errors.As(err, &e) {
		if errors.As(err, new(*pgconn.ConnectError)) || errors.As(err, new(net.Error)) || errors.Is(err, context.DeadlineExceeded) ||
			errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, driver.ErrBadConn) || pgconn.SafeToRetry(err) {
			return saba.Errorf(saba.ErrUnavailable, "the database does not answer: %s", oneLine(err))
		}
		return nil
	}
	kind, what := saba.ErrUnavailable, ""
	switch {
	case e.Code == "28P01" || e.Code == "28000": // invalid_password, invalid_authorization_specification
		kind, what = saba.ErrInvalid, "the database does not let saba in; look at user and password, and at its pg_hba.conf"
	case e.Code == "3D000": // invalid_catalog_name
		kind, what = saba.ErrInvalid, "the server has no such database; make it with CREATE DATABASE"
	case e.Code == "42501" || e.Code == "3F000": // insufficient_privilege, invalid_schema_name
		kind, what = saba.ErrInvalid, "the user of the database lacks a right; make it the database's owner"
	case e.Code == "25006": // read_only_sql_transaction
		what = "the database takes no changes"
	case e.Code == "53100": // disk_full
		what = "the disk of the database is full"
	case mustRunAgain(err):
		what = "too many changes of the same records at once"
	case strings.HasPrefix(e.Code, "08"), strings.HasPrefix(e.Code, "53"), strings.HasPrefix(e.Code, "57P"), e.Code == "57014", e.Code == "25P03":
		what = "the database cannot do this at the moment"
	case e.Code == "XX001", e.Code == "XX002", e.Code == "58030", e.Code == "58P01": // data_corrupted, index_corrupted, io_error, undefined_file
		return fmt.Errorf("the database is damaged; look into the log of PostgreSQL, and restore a backup: %w", err)
	default:
		return nil
	}
	return saba.Errorf(kind, "%s: %s", what, oneLine(e))
}

// oneLine words err on one line. An address that was tried with TLS and without gives the same line twice.
func oneLine(err error) string {
	lines := strings.Split(err.Error(), "\n")
	for i, line := range lines {
		lines[i] = strings.TrimSpace(line)
	}
	return strings.TrimSpace(strings.Join(slices.Compact(lines), " "))
}

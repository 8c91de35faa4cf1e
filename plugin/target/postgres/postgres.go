// Package postgres asks PostgreSQL servers for plugins and checks. It stands apart from package
// target, so that only those that ask such a server link its driver.
package postgres

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// A Server is one PostgreSQL, of version 10 at least, with the connection to it, which is kept
// from turn to turn. It is for one goroutine at a time. What is empty is as for PostgreSQL's own
// programs: PGHOST and the other variables, a password file, and at last their defaults.
type Server struct {
	DSN string // postgres://user:password@host:5432/database or host=… user=…; "" means that the rest says it

	Host, Port, User, Database string // Host may be a folder with a unix socket
	Password                   string
	SSLMode                    string        // one of SSLModes
	SSLRootCert                string        // file of certificates (PEM) that the server's is verified with
	ConnectTimeout             time.Duration // 0 means that only the context ends the attempt

	conn *pgconn.PgConn // from an earlier turn; nil when there is none
}

// SSLModes returns the ways to speak TLS or not, as PostgreSQL calls them.
func SSLModes() []string {
	return []string{"disable", "allow", "prefer", "require", "verify-ca", "verify-full"}
}

// A Query is one statement, in which $1 stands for the first of Args.
type Query struct {
	SQL  string
	Args []string
}

// A Answer is what the server says to a query.
type Answer struct {
	Rows [][]string // a value is "" for NULL
	Err  error      // why there are no rows: a Error
}

// A Error is what a server says in place of an answer.
type Error struct {
	Code    string // SQLSTATE: "42501"
	Message string // one line
}

func (e Error) Error() string { return e.Message + " (SQLSTATE " + e.Code + ")" }

// Denied says whether a right is missing.
func (e Error) Denied() bool { return e.Code == "42501" }

// Unsupported says whether the server does without what is asked for, as services do that are
// PostgreSQL but for their storage.
func (e Error) Unsupported() bool { return e.Code == "0A000" }

// The bounds of what a server may answer.
const (
	maxMessage = 1 << 20  // bytes of one row
	maxAnswers = 16 << 20 // bytes of all rows of a turn
)

// config returns what the fields say. The error shows no secret.
func (s *Server) config() (*pgconn.Config, error) {
	dsn := s.DSN
	if dsn == "" {
		for _, setting := range []struct{ name, value string }{
			{"host", s.Host}, {"port", s.Port}, {"user", s.User}, {"database", s.Database}, {"sslmode", s.SSLMode}, {"sslrootcert", s.SSLRootCert},
		} {
			if setting.value != "" {
				dsn += setting.name + "='" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(setting.value) + "' "
			}
		}
	}
	config, err := pgconn.ParseConfig(dsn)
	switch {
	case err != nil && s.DSN != "": // the error may show a part of it
		return nil, errors.New("the name of the database (-dsn) is not like postgres://user:password@host:5432/database")
	case err != nil:
		return nil, fmt.Errorf("what names the server is wrong: %w", cmp.Or(errors.Unwrap(err), err))
	}
	if s.Password != "" {
		config.Password = s.Password
	}
	if s.ConnectTimeout > 0 {
		config.ConnectTimeout = s.ConnectTimeout
	}
	if config.RuntimeParams["application_name"] == "" {
		config.RuntimeParams["application_name"] = "saba" // for whoever looks at the server's connections
	}
	config.MaxProtocolMessageBodyLen = maxMessage
	return config, nil
}

// Check says what is wrong with the fields; nil when nothing is.
func (s *Server) Check() error {
	_, err := s.config()
	return err
}

// Name names the server, without secrets.
func (s *Server) Name() string {
	config, err := s.config()
	switch {
	case err != nil:
		return "PostgreSQL"
	case strings.HasPrefix(config.Host, "/"):
		return fmt.Sprintf("PostgreSQL at %s/.s.PGSQL.%d", config.Host, config.Port)
	}
	return "PostgreSQL at " + net.JoinHostPort(config.Host, strconv.Itoa(int(config.Port)))
}

// Ask sends queries in one round trip, each in a transaction of its own, on the connection of
// the turn before if it still works, and returns an answer for each. The error is about the
// server as a whole and does not name it; then there are the answers that came before it.
func (s *Server) Ask(ctx context.Context, queries ...Query) ([]Answer, error) {
	if s.conn != nil && !s.conn.IsClosed() {
		answers, err := ask(ctx, s.conn, queries)
		if err == nil || ctx.Err() != nil {
			return answers, inTime(ctx, err)
		}
	}
	s.Close(ctx)
	config, err := s.config()
	if err != nil {
		return nil, err
	}
	if s.conn, err = pgconn.ConnectConfig(ctx, config); err != nil {
		return nil, inTime(ctx, notConnected(err, config.ConnectTimeout))
	}
	answers, err := ask(ctx, s.conn, queries)
	return answers, inTime(ctx, err)
}

// Close gives the connection up, if there is one, and waits until it is.
func (s *Server) Close(ctx context.Context) {
	if s.conn == nil {
		return
	}
	// At worst the server sees the connection end without a farewell.
	_ = s.conn.Close(ctx)
	select { // one that failed is being closed behind our back
	case <-s.conn.CleanupDone():
	case <-ctx.Done():
	}
	s.conn = nil
}

// inTime returns the end of ctx in place of what it did to the connection.
func inTime(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// notConnected returns what a person needs of the many words about a failed connection, which
// are about each address of a host and each way to speak TLS.
func notConnected(err error, timeout time.Duration) error {
	if no, ok := answered(err); ok {
		if no.Code == "3D000" {
			return fmt.Errorf("%w: name a database that is there", no)
		}
		return no
	}
	if bad, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return fmt.Errorf("%w; name its authority with sslrootcert", bad)
	}
	if timeout > 0 && pgconn.Timeout(err) {
		return fmt.Errorf("no answer within %v", timeout)
	}
	if e, ok := errors.AsType[*net.OpError](err); ok {
		return e.Err // the address is in our own words
	}
	if e, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		err = e.Unwrap()
	}
	return errors.New(oneLine(err.Error()))
}

// answered returns what the server says, if an error is that.
func answered(err error) (Error, bool) {
	no, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return Error{}, false
	}
	return Error{no.Code, oneLine(no.Message)}, true
}

// oneLine bounds what others say.
func oneLine(s string) string { return fmt.Sprintf("%.300s", strings.Join(strings.Fields(s), " ")) }

// ask sends queries in one round trip.
func ask(ctx context.Context, conn *pgconn.PgConn, queries []Query) ([]Answer, error) {
	pipeline := conn.StartPipeline(ctx)
	defer func() { _ = pipeline.Close() }() // which repeats the error there was
	for _, q := range queries {
		args := make([][]byte, len(q.Args))
		for i, a := range q.Args {
			args[i] = []byte(a)
		}
		pipeline.SendQueryParams(q.SQL, args, nil, nil, nil)
		pipeline.SendPipelineSync() // so that an error is this query's alone
	}
	if err := pipeline.Flush(); err != nil {
		return nil, err
	}
	var answers []Answer
	left := maxAnswers
	for range queries {
		var a Answer
		for synced := false; !synced; {
			results, err := pipeline.GetResults()
			switch results := results.(type) { // nil when there is an error
			case *pgconn.PipelineSync:
				synced = true
			case *pgconn.ResultReader:
				for results.NextRow() {
					row := make([]string, len(results.Values()))
					for i, v := range results.Values() {
						row[i] = string(v)
						left -= len(v)
					}
					if left -= 64; left < 0 { // a row that is empty costs memory too
						_ = conn.Close(ctx)
						return answers, fmt.Errorf("it answers with more than %d MiB", maxAnswers>>20)
					}
					a.Rows = append(a.Rows, row)
				}
				_, err = results.Close()
			}
			if err == nil && results == nil {
				err = errors.New("it ends in the middle of an answer")
			}
			if err == nil {
				continue
			}
			no, ok := answered(err)
			if ok && conn.IsClosed() { // it said farewell
				return answers, no
			}
			if !ok {
				return answers, errors.New(oneLine(err.Error()))
			}
			a = Answer{Err: no}
		}
		answers = append(answers, a)
	}
	return answers, nil
}

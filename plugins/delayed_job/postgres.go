package delayedjob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

// A postgresDB is a PostgreSQL, of version 10 at least.
type postgresDB struct {
	config *pgconn.Config
}

// maxPostgres bounds a message of the server in bytes.
const maxPostgres = 1 << 20

// openPostgres reads postgres://user:password@host:5432/database or host=… user=…
func openPostgres(dsn string) (database, error) {
	config, err := pgconn.ParseConfig(dsn)
	if err != nil { // which may show a part of dsn
		return nil, errors.New("the name of the database (-dsn) is not like postgres://user:password@host:5432/database")
	}
	config.BuildFrontend = func(r io.Reader, w io.Writer) *pgproto3.Frontend {
		f := pgproto3.NewFrontend(r, w)
		f.SetMaxBodyLen(maxPostgres)
		return f
	}
	return postgresDB{config}, nil
}

func (p postgresDB) String() string {
	if strings.HasPrefix(p.config.Host, "/") {
		return fmt.Sprintf("PostgreSQL at %s/.s.PGSQL.%d", p.config.Host, p.config.Port)
	}
	return "PostgreSQL at " + net.JoinHostPort(p.config.Host, strconv.Itoa(int(p.config.Port)))
}

func (p postgresDB) ask(ctx context.Context, schema, table string, localTime bool) ([][columns]string, error) {
	conn, err := pgconn.ConnectConfig(ctx, p.config)
	if err != nil {
		if connect, ok := errors.AsType[*pgconn.ConnectError](err); ok && connect.Unwrap() != nil {
			err = connect.Unwrap() // the server is in our own words
		}
		return nil, err
	}
	// At worst the server sees a connection end without a farewell.
	defer func() { _ = conn.Close(ctx) }()
	now, name := "(now() AT TIME ZONE 'UTC')", quotePostgres(table)
	if localTime {
		now = "LOCALTIMESTAMP"
	}
	if schema != "" {
		name = quotePostgres(schema) + "." + name
	}
	// One statement, so that no job comes or goes between the count and the rows. A sequence
	// that was never used has no last value; one that this user may not read has none either,
	// and is told apart by the privilege.
	statement := "SELECT CASE WHEN has_sequence_privilege(s.id, 'SELECT, USAGE') THEN COALESCE(pg_sequence_last_value(s.id) - d.seqstart + d.seqincrement, 0) END, d.seqincrement, j.* FROM " +
		"(SELECT pg_get_serial_sequence($1, 'id')::regclass AS id) s LEFT JOIN pg_sequence d ON d.seqrelid = s.id LEFT JOIN (" +
		aggregate(name, now, "EXTRACT(EPOCH FROM ("+now+" - %s))") + ") j ON TRUE"
	reader := conn.ExecParams(ctx, statement, [][]byte{[]byte(name)}, nil, nil, nil)
	var all [][columns]string
	for len(all) <= maxRows && reader.NextRow() {
		cells := reader.Values()
		if len(cells) != columns {
			return nil, fmt.Errorf("it answers with %d columns in place of %d", len(cells), columns)
		}
		var row [columns]string
		for i, cell := range cells {
			row[i] = string(cell)
		}
		all = append(all, row)
	}
	_, err = reader.Close()
	return all, err
}

func quotePostgres(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

package delayedjob

import (
	"context"
	"fmt"
	"strings"

	"github.com/saba-monitor/saba/plugin/target/postgres"
)

// A postgresDB is a PostgreSQL, of version 10 at least.
type postgresDB struct {
	server *postgres.Server
}

// openPostgres reads postgres://user:password@host:5432/database or host=… user=…
func openPostgres(dsn string) (database, error) {
	server := &postgres.Server{DSN: dsn}
	if err := server.Check(); err != nil {
		return nil, err
	}
	return postgresDB{server}, nil
}

func (p postgresDB) String() string { return p.server.Name() }

func (p postgresDB) ask(ctx context.Context, schema, table string, localTime bool) ([][columns]string, error) {
	defer p.server.Close(ctx)
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
	answers, err := p.server.Ask(ctx, postgres.Query{SQL: statement, Args: []string{name}})
	if err == nil {
		err = answers[0].Err
	}
	if err != nil {
		return nil, err
	}
	var all [][columns]string
	for _, row := range answers[0].Rows {
		if len(row) != columns {
			return nil, fmt.Errorf("it answers with %d columns in place of %d", len(row), columns)
		}
		all = append(all, [columns]string(row))
	}
	return all, nil
}

func quotePostgres(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

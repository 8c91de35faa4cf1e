package delayedjob

import (
	"context"
	"database/sql"
	"errors"
	"net"
	"net/url"
	"strings"

	"github.com/go-sql-driver/mysql"
)

// A mysqlDB is a MySQL or MariaDB.
type mysqlDB struct {
	config *mysql.Config
}

// openMySQL reads user:password@tcp(host:3306)/database.
func openMySQL(dsn string) (database, error) {
	config, err := mysql.ParseDSN(dsn)
	if err != nil { // which may show a part of dsn
		return nil, errors.New("the name of the database (-dsn) is not like user:password@tcp(host:3306)/database")
	}
	return mysqlDB{config}, nil
}

// mysqlURL reads mysql2://user:password@host:3306/database, as Rails has it.
func mysqlURL(u *url.URL) (database, error) {
	config := mysql.NewConfig()
	config.User = u.User.Username()
	config.Passwd, _ = u.User.Password()
	config.Net, config.Addr = "tcp", net.JoinHostPort(u.Hostname(), "3306")
	if u.Hostname() == "" {
		config.Addr = "localhost:3306"
	}
	if u.Port() != "" {
		config.Addr = u.Host
	}
	config.DBName = strings.Trim(u.Path, "/")
	q := u.Query()
	if socket := q.Get("socket"); socket != "" {
		config.Net, config.Addr = "unix", socket
	}
	switch q.Get("ssl_mode") {
	case "", "disabled":
	case "preferred":
		config.TLSConfig = "preferred"
	case "required", "verify_ca":
		config.TLSConfig = "skip-verify"
	default:
		config.TLSConfig = "true"
	}
	// What the driver checks and completes when it reads a name of its own form.
	return openMySQL(config.FormatDSN())
}

func (m mysqlDB) String() string { return "MySQL at " + m.config.Addr }

// mysqlSession keeps MySQL 8 from answering with a count that is up to a day old, and ends a
// statement whose asker has left. Each kind of server skips what is meant for the other.
const mysqlSession = "SET SESSION wait_timeout = 60 /*!80000 , SESSION information_schema_stats_expiry = 0, SESSION max_execution_time = 30000 */ /*M!100100 , SESSION max_statement_time = 30 */"

func (m mysqlDB) ask(ctx context.Context, schema, table string, localTime bool) ([][columns]string, error) {
	config := m.config.Clone()
	config.Logger = &mysql.NopLogger{}
	config.InterpolateParams = true // one round trip, and no statement is prepared
	connector, err := mysql.NewConnector(config)
	if err != nil {
		return nil, err
	}
	db := sql.OpenDB(connector)
	defer db.Close()
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if _, err := conn.ExecContext(ctx, mysqlSession); err != nil {
		return nil, err
	}
	now, name := "UTC_TIMESTAMP(6)", quoteMySQL(table)
	if localTime {
		now = "NOW(6)"
	}
	if schema != "" {
		name = quoteMySQL(schema) + "." + name
	}
	// One statement, so that no job comes or goes between the count and the rows.
	rows, err := conn.QueryContext(ctx, "SELECT c.entered, @@auto_increment_increment, j.* FROM "+
		"(SELECT AUTO_INCREMENT - 1 AS entered FROM information_schema.TABLES WHERE TABLE_SCHEMA = COALESCE(NULLIF(?, ''), DATABASE()) AND TABLE_NAME = ?) c LEFT JOIN ("+
		aggregate(name, now, "TIMESTAMPDIFF(MICROSECOND, %s, "+now+") / 1000000")+") j ON TRUE", schema, table)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all [][columns]string
	for rows.Next() && len(all) <= maxRows {
		var cells [columns]sql.NullString
		to := make([]any, columns)
		for i := range cells {
			to[i] = &cells[i]
		}
		if err := rows.Scan(to...); err != nil {
			return nil, err
		}
		var row [columns]string
		for i, cell := range cells {
			row[i] = cell.String
		}
		all = append(all, row)
	}
	return all, rows.Err()
}

func quoteMySQL(name string) string { return "`" + strings.ReplaceAll(name, "`", "``") + "`" }

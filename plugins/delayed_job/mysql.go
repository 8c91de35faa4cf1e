package delayedjob

import (
	"context"
	"fmt"
	"strings"

	"github.com/saba-monitor/saba/plugin/target/mysql"
)

// A mysqlDB is a MySQL or MariaDB.
type mysqlDB struct {
	mysql.DSN
}

// openMySQL takes what read the name of a database.
func openMySQL(dsn mysql.DSN, err error) (database, error) { return mysqlDB{dsn}, err }

// mysqlSession keeps MySQL 8 from answering with a count that is up to a day old, and ends a
// statement whose asker has left. Each kind of server skips what is meant for the other.
const mysqlSession = "SET SESSION wait_timeout = 60 /*!80000 , SESSION information_schema_stats_expiry = 0, SESSION max_execution_time = 30000 */ /*M!100100 , SESSION max_statement_time = 30 */"

func (m mysqlDB) ask(ctx context.Context, schema, table string, localTime bool) ([][columns]string, error) {
	conn, err := m.Connect(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if err := conn.Exec(ctx, mysqlSession); err != nil {
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
	_, rows, err := conn.Rows(ctx, maxRows+1, "SELECT c.entered, @@auto_increment_increment, j.* FROM "+
		"(SELECT AUTO_INCREMENT - 1 AS entered FROM information_schema.TABLES WHERE TABLE_SCHEMA = COALESCE(NULLIF(?, ''), DATABASE()) AND TABLE_NAME = ?) c LEFT JOIN ("+
		aggregate(name, now, "TIMESTAMPDIFF(MICROSECOND, %s, "+now+") / 1000000")+") j ON TRUE", schema, table)
	var all [][columns]string
	for _, row := range rows {
		if len(row) != columns {
			return nil, fmt.Errorf("it answers with %d columns in place of %d", len(row), columns)
		}
		all = append(all, [columns]string(row))
	}
	return all, err
}

func quoteMySQL(name string) string { return "`" + strings.ReplaceAll(name, "`", "``") + "`" }

// Package postgresql is the check of a PostgreSQL server: whether it lets clients in, and has
// room for more.
package postgresql

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/saba-monitor/saba/check"
	"github.com/saba-monitor/saba/plugin/target/postgres"
)

// Check says whether a PostgreSQL server is well.
var Check = check.Check{
	Name:    "postgresql",
	Short:   "whether a PostgreSQL server takes connections, and has few",
	Title:   "PostgreSQL",
	Timeout: 5 * time.Second,
	Commands: []check.Check{{
		Name:  "connection",
		Short: "whether a server has few connections",
		New: func(fs *check.FlagSet) check.Checker {
			c := &connection{}
			fs.StringVarP(&c.Host, "host", "H", "localhost", "`host` of the server, or the folder of its unix socket")
			fs.StringVarP(&c.Port, "port", "p", "5432", "`port` of the server")
			fs.StringVarP(&c.User, "user", "u", "postgres", "`user` to log in as")
			c.password.AddFlags(fs, "password", "P", "PGPASSWORD")
			fs.StringVarP(&c.Database, "database", "d", "", "`database` to log in to; \"\": the one named like the user")
			fs.StringVarP(&c.SSLMode, "sslmode", "s", "disable", "`mode`: "+strings.Join(postgres.SSLModes(), ", "))
			fs.StringVar(&c.SSLRootCert, "sslrootcert", "", "`file` of certificates (PEM) that the server's is verified with")
			fs.Uint64VarP(&c.warning, "warning", "w", 70, "WARNING with more than this `number` of connections")
			fs.Uint64VarP(&c.critical, "critical", "c", 90, "CRITICAL with more than this `number` of connections")
			fs.BoolVar(&c.percent, "percent", false, "--warning and --critical are percent of max_connections")
			return c
		},
	}},
}

type connection struct {
	postgres.Server
	password          check.Secret
	warning, critical uint64 // connections, or percent of those that may be
	percent           bool
}

// CheckFlags says what is wrong with the flags.
func (c *connection) CheckFlags() error {
	if port, err := strconv.ParseUint(c.Port, 10, 16); err != nil || port == 0 {
		return fmt.Errorf("--port %q must be a number from 1 to 65535", c.Port)
	}
	if !slices.Contains(postgres.SSLModes(), c.SSLMode) {
		return fmt.Errorf("--sslmode %q must be one of %s", c.SSLMode, strings.Join(postgres.SSLModes(), ", "))
	}
	return nil
}

// count counts the connections of clients, and not the server's own processes. Of whom a user
// may see little, whatever has a user and a database is one.
const count = "SELECT COUNT(*), current_setting('max_connections') FROM pg_stat_activity " +
	"WHERE backend_type = 'client backend' OR backend_type IS NULL AND datid IS NOT NULL AND usesysid IS NOT NULL"

// tooMany is the SQLSTATE of a server that has no connection left.
const tooMany = "53300"

// Check counts the connections, the one that asks included. Where none is left it is CRITICAL.
func (c *connection) Check(ctx context.Context) check.Result {
	var err error
	if c.Password, err = c.password.Read(ctx); err != nil {
		return check.Unknown("%v", err)
	}
	defer c.Close(ctx)
	answers, err := c.Ask(ctx, postgres.Query{SQL: count})
	if no, ok := errors.AsType[postgres.Error](err); ok && no.Code == tooMany {
		return check.Critical("log in to %s: %v", c.Name(), no)
	}
	if err == nil {
		err = answers[0].Err
	}
	if err != nil {
		return check.Unknown("ask %s: %v", c.Name(), check.Reason(ctx, err))
	}
	rows := answers[0].Rows
	if len(rows) != 1 || len(rows[0]) != 2 {
		return check.Unknown("ask %s: it does not say how many connections it has", c.Name())
	}
	n, err1 := strconv.ParseUint(rows[0][0], 10, 32)
	most, err2 := strconv.ParseUint(rows[0][1], 10, 32)
	if err1 != nil || err2 != nil || most == 0 {
		return check.Unknown("ask %s: it answers %.20q and %.20q where numbers belong", c.Name(), rows[0][0], rows[0][1])
	}
	return c.judge(n, most)
}

// judge returns the verdict about n connections of most that may be.
func (c *connection) judge(n, most uint64) check.Result {
	has := fmt.Sprintf("%s has %d connections, %.3g%% of %d", c.Name(), n, 100*float64(n)/float64(most), most)
	over := func(limit uint64) bool {
		if c.percent {
			return float64(n)*100 > float64(limit)*float64(most)
		}
		return n > limit
	}
	unit := ""
	if c.percent {
		unit = "%"
	}
	switch {
	case over(c.critical):
		return check.Critical("%s: more than %d%s", has, c.critical, unit)
	case over(c.warning):
		return check.Warning("%s: more than %d%s", has, c.warning, unit)
	}
	return check.OK("%s", has)
}

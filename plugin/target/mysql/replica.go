package mysql

import (
	"context"
	"fmt"
	"strings"
)

// maxSources bounds of how many servers a replica may be one. MySQL allows 256.
const maxSources = 1000

// A Source is a server that a replica follows, as the replica sees it.
type Source struct {
	Name string // of MySQL's channel or MariaDB's connection; "" is the one that needs no name
	Host string
	Port string
	IO   string // the thread that fetches: Yes, No, Connecting, Preparing
	SQL  string // the thread that applies: Yes, No
	Lag  string // in whole seconds; "" when the replica does not know
	// Error is what the replica says of why a thread does not run or connect; "" is nothing.
	Error string
}

// Running says whether both threads run.
func (s Source) Running() bool { return s.IO == "Yes" && s.SQL == "Yes" }

// Sources returns the servers that this one is a replica of, none if it is none. version is
// what the server calls its own: "8.0.36", "10.11.6-MariaDB-log".
func (c *Conn) Sources(ctx context.Context, version string) ([]Source, error) {
	statement := replicaStatement(version)
	columns, rows, err := c.Rows(ctx, maxSources, statement)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", statement, err)
	}
	sources := make([]Source, len(rows))
	for i, row := range rows {
		sources[i] = readSource(columns, row)
	}
	return sources, nil
}

// replicaStatement returns how a server of that version is asked. MariaDB understands MySQL's
// words too, but speaks of one connection only then; MySQL took new words in 8.0.22 and let go
// of the old ones in 8.4.
func replicaStatement(version string) string {
	if strings.Contains(version, "MariaDB") {
		return "SHOW ALL SLAVES STATUS"
	}
	var major, minor, patch int
	_, _ = fmt.Sscanf(version, "%d.%d.%d", &major, &minor, &patch) // what is not said is 0
	if major > 8 || major == 8 && (minor > 0 || patch >= 22) {
		return "SHOW REPLICA STATUS"
	}
	return "SHOW SLAVE STATUS"
}

// readSource reads a row by the names of its columns, of which versions have each their own.
func readSource(columns, row []string) Source {
	var s Source
	var ioError, sqlError string
	for i, column := range columns {
		to, ok := map[string]*string{
			"Channel_Name": &s.Name, "Connection_name": &s.Name,
			"Source_Host": &s.Host, "Master_Host": &s.Host,
			"Source_Port": &s.Port, "Master_Port": &s.Port,
			"Replica_IO_Running": &s.IO, "Slave_IO_Running": &s.IO,
			"Replica_SQL_Running": &s.SQL, "Slave_SQL_Running": &s.SQL,
			"Seconds_Behind_Source": &s.Lag, "Seconds_Behind_Master": &s.Lag,
			"Last_IO_Error": &ioError, "Last_SQL_Error": &sqlError,
		}[column]
		if ok {
			*to = row[i]
		}
	}
	s.Error = sqlError // nothing that is fetched is of use when it cannot be applied
	if s.Error == "" {
		s.Error = ioError
	}
	return s
}

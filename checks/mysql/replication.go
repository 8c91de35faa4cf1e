package mysql

import (
	"context"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/check"
	"github.com/saba-monitor/saba/plugin/target/mysql"
)

type replication struct {
	server
	warning, critical uint64 // seconds
}

// Check asks a replica how it is with each of its sources, of which the worst decides. A server
// that is no replica is OK.
func (c *replication) Check(ctx context.Context) check.Result {
	return c.ask(ctx, func(conn *mysql.Conn) (check.Result, error) {
		version, err := variable(ctx, conn, "SHOW GLOBAL VARIABLES LIKE 'version'")
		if err != nil {
			return check.Result{}, err
		}
		sources, err := conn.Sources(ctx, version)
		if mysql.Refused(err) {
			err = fmt.Errorf("%w; grant REPLICATION CLIENT ON *.*, from MariaDB 10.5 on SLAVE MONITOR ON *.*", err)
		}
		if err != nil {
			return check.Result{}, err
		}
		now := time.Now()
		since, err := keep(ctx, sources, now)
		if len(sources) == 0 {
			return check.OK("%s is no replica", c.Name()), nil
		}
		return c.judge(sources, since, err, now), nil
	})
}

// connecting says whether a replica has no connection to a source and tries to have one.
func connecting(s mysql.Source) bool { return s.IO != "Yes" && s.IO != "No" }

func title(s mysql.Source) string {
	at := net.JoinHostPort(s.Host, s.Port)
	if s.Name != "" {
		return s.Name + " (" + at + ")"
	}
	return at
}

// keep remembers from run to run since when (Unix seconds) a replica has been connecting to
// sources, by their title. The error says why the next run will not know.
func keep(ctx context.Context, sources []mysql.Source, now time.Time) (map[string]int64, error) {
	var state check.State
	var before map[string]int64
	if _, err := state.Load(ctx, &before); err != nil {
		before = map[string]int64{"": 0} // to be replaced
	}
	since := map[string]int64{}
	for _, s := range sources {
		if !connecting(s) {
			continue
		}
		at, known := before[title(s)]
		if !known || at > now.Unix() {
			at = now.Unix()
		}
		since[title(s)] = at
	}
	if maps.Equal(before, since) {
		return since, nil
	}
	return since, state.Save(ctx, since)
}

// judge returns the verdict on a replica. since says from when on (Unix seconds) it has been
// connecting to which of its sources, unkept why that is not known from run to run.
func (c *replication) judge(sources []mysql.Source, since map[string]int64, unkept error, now time.Time) check.Result {
	worst := check.OK("")
	var all []string
	for _, s := range sources {
		r := c.judgeSource(s, now.Unix()-since[title(s)], unkept)
		if slices.Index(severity, r.Status) > slices.Index(severity, worst.Status) {
			worst = r
		}
		all = append(all, r.Message)
	}
	worst.Message = strings.Join(all, "; ")
	return worst
}

// severity lists what a source may be, from best to worst: one that is known to be lost is worse
// than one of which nothing is known.
var severity = []saba.CheckStatus{saba.CheckOK, saba.CheckWarning, saba.CheckUnknown, saba.CheckCritical}

// judgeSource returns the verdict on one source. connects is for how many seconds the replica has
// been connecting to it, if it is.
//
// While a replica connects, nobody knows how far it is behind, but the loss of a connection for a
// moment, which it mends itself, is no outage: that is a WARNING, and CRITICAL when it lasts for
// longer than the replica may be behind.
func (c *replication) judgeSource(s mysql.Source, connects int64, unkept error) check.Result {
	because := ""
	if s.Error != "" {
		because = ": " + s.Error
	}
	switch {
	case s.SQL != "Yes":
		return check.Critical("what comes from %s is not applied%s", title(s), because)
	case s.IO == "No":
		return check.Critical("nothing is fetched from %s%s", title(s), because)
	case connecting(s) && unkept != nil:
		return check.Warning("connecting to %s, for how long is not known (%v)%s", title(s), unkept, because)
	case connecting(s) && uint64(max(0, connects)) > c.critical:
		return check.Critical("connecting to %s for %d seconds, more than %d%s", title(s), connects, c.critical, because)
	case connecting(s):
		return check.Warning("connecting to %s for %d seconds%s", title(s), connects, because)
	}
	lag, err := strconv.ParseUint(s.Lag, 10, 64)
	switch {
	case err != nil: // NULL
		return check.Unknown("how far it is behind %s is not known", title(s))
	case lag > c.critical:
		return check.Critical("%d seconds behind %s, more than %d", lag, title(s), c.critical)
	case lag > c.warning:
		return check.Warning("%d seconds behind %s, more than %d", lag, title(s), c.warning)
	}
	return check.OK("%d seconds behind %s", lag, title(s))
}

// Package checks lists the checks that are part of saba: one folder and one line each.
package checks

import (
	"github.com/saba-monitor/saba/check"
	"github.com/saba-monitor/saba/checks/cert"
	"github.com/saba-monitor/saba/checks/disk"
	"github.com/saba-monitor/saba/checks/http"
	"github.com/saba-monitor/saba/checks/load"
	"github.com/saba-monitor/saba/checks/log"
	"github.com/saba-monitor/saba/checks/mysql"
	"github.com/saba-monitor/saba/checks/postgresql"
	"github.com/saba-monitor/saba/checks/procs"
	"github.com/saba-monitor/saba/checks/redis"
	"github.com/saba-monitor/saba/checks/tcp"
	"github.com/saba-monitor/saba/checks/uptime"
)

// All returns every check, by name.
func All() []check.Check {
	return []check.Check{
		cert.Check,
		disk.Check,
		http.Check,
		load.Check,
		log.Check,
		mysql.Check,
		postgresql.Check,
		procs.Check,
		redis.Check,
		tcp.Check,
		uptime.Check,
	}
}

// Find returns the check of that name, and whether there is one. Two that other packs of checks
// have are one here.
func Find(name string) (check.Check, bool) {
	if name == "cert-file" || name == "ssl-cert" {
		name = cert.Check.Name
	}
	for _, c := range All() {
		if c.Name == name {
			return c, true
		}
	}
	return check.Check{}, false
}

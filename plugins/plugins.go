// Package plugins lists the metric plugins that are part of saba: one folder and one line each.
package plugins

import (
	"github.com/saba-monitor/saba/plugin"
	delayedjob "github.com/saba-monitor/saba/plugins/delayed_job"
	"github.com/saba-monitor/saba/plugins/gostats"
	"github.com/saba-monitor/saba/plugins/inode"
	"github.com/saba-monitor/saba/plugins/json"
	"github.com/saba-monitor/saba/plugins/multicore"
	"github.com/saba-monitor/saba/plugins/mysql"
	"github.com/saba-monitor/saba/plugins/nginx"
	"github.com/saba-monitor/saba/plugins/postgres"
	procfd "github.com/saba-monitor/saba/plugins/proc-fd"
	"github.com/saba-monitor/saba/plugins/procs"
	"github.com/saba-monitor/saba/plugins/redis"
	"github.com/saba-monitor/saba/plugins/sidekiq"
	"github.com/saba-monitor/saba/plugins/uptime"
)

// All returns every plugin, by name.
func All() []plugin.Plugin {
	return []plugin.Plugin{
		delayedjob.Plugin,
		gostats.Plugin,
		inode.Plugin,
		json.Plugin,
		multicore.Plugin,
		mysql.Plugin,
		nginx.Plugin,
		postgres.Plugin,
		procfd.Plugin,
		procs.Plugin,
		redis.Plugin,
		sidekiq.Plugin,
		uptime.Plugin,
	}
}

// Find returns the plugin of that name, and whether there is one.
func Find(name string) (plugin.Plugin, bool) {
	for _, p := range All() {
		if p.Name == name {
			return p, true
		}
	}
	return plugin.Plugin{}, false
}

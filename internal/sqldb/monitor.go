package sqldb

import (
	"cmp"
	"context"
	"database/sql"
	"slices"

	"github.com/saba-monitor/saba"
)

var monitors = shelfOf[saba.Monitor]{"monitors", "monitor", 10_000}

// Monitors returns the monitors of an organization by type, in the order of saba.MonitorTypes, then by name.
func (db *DB) Monitors(ctx context.Context, org string) ([]saba.Monitor, error) {
	all, err := allOf(ctx, db, monitors, org)
	slices.SortStableFunc(all, func(a, b saba.Monitor) int {
		return cmp.Or(cmp.Compare(slices.Index(saba.MonitorTypes, a.Type), slices.Index(saba.MonitorTypes, b.Type)), cmp.Compare(a.Name, b.Name))
	})
	return all, err
}

// Monitor returns the monitor with an id.
func (db *DB) Monitor(ctx context.Context, org, id string) (saba.Monitor, error) {
	return oneOf(ctx, db, monitors, org, id)
}

// CreateMonitor keeps a new monitor, whose ID the caller chose. A service or role that does not exist, and a role
// that another monitor of anomalies has already, are errors matching saba.ErrInvalid.
func (db *DB) CreateMonitor(ctx context.Context, org string, m saba.Monitor) error {
	return db.change(ctx, "create a monitor", func(tx *sql.Tx) error {
		if err := checkMonitor(ctx, tx, org, m); err != nil {
			return err
		}
		if err := monitors.insert(ctx, tx, org, m.ID, m, ""); err != nil {
			return err
		}
		return addMonitorEvent(ctx, tx, org, m, saba.ActionCreate, 0)
	})
}

// UpdateMonitor replaces a monitor by what change makes of it, at a time in Unix seconds, and returns that. Open alerts stay
// as they are, but for an external monitor's whose service becomes another one, and for a monitor of anomalies that learns from another time on:
// that closes them.
func (db *DB) UpdateMonitor(ctx context.Context, org, id string, at int64, change func(old saba.Monitor) (saba.Monitor, error)) (saba.Monitor, error) {
	var was saba.Monitor
	remember := func(old saba.Monitor) (saba.Monitor, error) {
		was = old
		return change(old)
	}
	return updateOne(ctx, db, monitors, org, id, remember, "", func(tx *sql.Tx, m saba.Monitor) ([]any, error) {
		if err := checkMonitor(ctx, tx, org, m); err != nil {
			return nil, err
		}
		if err := addMonitorEvent(ctx, tx, org, m, saba.ActionUpdate, at); err != nil {
			return nil, err
		}
		var why saba.AlertTrigger
		switch {
		case m.Type == saba.MonitorExternal && m.Service != was.Service:
			why = saba.TriggerServiceChange
		case m.Type == saba.MonitorAnomaly && m.TrainingPeriodFrom != was.TrainingPeriodFrom:
			why = saba.TriggerRetraining
		default:
			return nil, nil
		}
		return nil, closeAlerts(ctx, tx, saba.AlertMove{At: at, Status: saba.CheckOK, Trigger: why}, org, "monitor", id)
	})
}

func checkMonitor(ctx context.Context, tx *sql.Tx, org string, m saba.Monitor) error {
	if m.Service != "" {
		if ok, err := exists(ctx, tx, `SELECT count(*) FROM services WHERE org = ? AND name = ?`, org, m.Service); err != nil {
			return err
		} else if !ok {
			return saba.Invalidf("service", "names the service %q, which does not exist", m.Service)
		}
	}
	if err := checkScopes(ctx, tx, org, "scopes", m.Scopes); err != nil {
		return err
	}
	if err := checkScopes(ctx, tx, org, "excludeScopes", m.ExcludeScopes); err != nil || m.Type != saba.MonitorAnomaly {
		return err
	}
	all, err := monitors.all(ctx, tx, org)
	if err != nil {
		return err
	}
	for _, other := range all {
		if other.Type != saba.MonitorAnomaly || other.ID == m.ID {
			continue
		}
		for i, s := range m.Scopes {
			if slices.Contains(other.Scopes, s) {
				return saba.Invalidf(element("scopes", i), "names the role %q, which the monitor %q watches already", s.String(), other.ID)
			}
		}
	}
	return nil
}

// DeleteMonitor deletes a monitor, closes its alerts at a time in Unix seconds, takes it out of notification
// groups, and returns it as it was.
func (db *DB) DeleteMonitor(ctx context.Context, org, id string, at int64) (m saba.Monitor, err error) {
	err = db.change(ctx, "delete a monitor", func(tx *sql.Tx) error {
		// The alerts first: what is told of their end names the monitor.
		if err := closeAlerts(ctx, tx, saba.AlertMove{At: at, Status: saba.CheckOK, Trigger: saba.TriggerMonitorDelete}, org, "monitor", id); err != nil {
			return err
		}
		if m, err = monitors.remove(ctx, tx, org, id); err != nil {
			return err
		}
		if err := addMonitorEvent(ctx, tx, org, m, saba.ActionDelete, at); err != nil {
			return err
		}
		return pruneGroups(ctx, tx, org, func(g *saba.NotificationGroup) {
			g.Monitors = slices.DeleteFunc(g.Monitors, func(m saba.NotificationMonitor) bool { return m.ID == id })
		})
	})
	return m, err
}

// forgetService does to monitors what the deletion of a service means: those of its metrics are deleted, those
// whose response time became one of its metrics do without.
func forgetService(ctx context.Context, tx *sql.Tx, org, service string, at int64) error {
	all, err := monitors.all(ctx, tx, org)
	if err != nil {
		return err
	}
	var gone []string
	for _, m := range all {
		if m.Service != service {
			continue
		}
		move := saba.AlertMove{At: at, Status: saba.CheckOK, Trigger: saba.TriggerServiceDelete}
		if err := closeAlerts(ctx, tx, move, org, "monitor", m.ID); err != nil {
			return err
		}
		switch {
		case m.Type == saba.MonitorService:
			gone = append(gone, m.ID)
			if _, err := monitors.remove(ctx, tx, org, m.ID); err != nil {
				return err
			}
		default:
			m.Service, m.ResponseTimeWarning, m.ResponseTimeCritical, m.ResponseTimeDuration = "", nil, nil, nil
			if err := monitors.update(ctx, tx, org, m.ID, m, ""); err != nil {
				return err
			}
		}
	}
	return pruneGroups(ctx, tx, org, func(g *saba.NotificationGroup) {
		g.Services = slices.DeleteFunc(g.Services, func(s saba.NotificationService) bool { return s.Name == service })
		g.Monitors = slices.DeleteFunc(g.Monitors, func(m saba.NotificationMonitor) bool { return slices.Contains(gone, m.ID) })
	})
}

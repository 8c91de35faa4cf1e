package sqldb

import (
	"context"
	"database/sql"
	"encoding/json"
	"slices"

	"github.com/saba-monitor/saba"
)

var groups = shelfOf[saba.NotificationGroup]{"notification_groups", "notification group", 1000}

// NotificationGroups returns the notification groups of an organization, the default one first.
func (db *DB) NotificationGroups(ctx context.Context, org string) (all []saba.NotificationGroup, err error) {
	err = db.view(ctx, "list notification groups", func(tx *sql.Tx) error {
		all, err = list(ctx, tx, groups.scan, `SELECT doc FROM notification_groups WHERE org = ? ORDER BY is_default DESC, id`, org)
		return err
	})
	return all, err
}

// CreateNotificationGroup keeps a new group, whose ID the caller chose. It is not a default one. What it names must
// exist; the error matches saba.ErrInvalid.
func (db *DB) CreateNotificationGroup(ctx context.Context, org string, g saba.NotificationGroup) error {
	g.Default = false
	return db.change(ctx, "create a notification group", func(tx *sql.Tx) error {
		if err := checkGroup(ctx, tx, org, g); err != nil {
			return err
		}
		return groups.insert(ctx, tx, org, g.ID, g, "is_default", 0)
	})
}

// UpdateNotificationGroup replaces a group by what change makes of it, and returns that. The default group stays the
// default one, and keeps its name: another is an error matching saba.ErrInvalid.
func (db *DB) UpdateNotificationGroup(ctx context.Context, org, id string, change func(old saba.NotificationGroup) (saba.NotificationGroup, error)) (saba.NotificationGroup, error) {
	var name string
	return updateOne(ctx, db, groups, org, id, func(old saba.NotificationGroup) (saba.NotificationGroup, error) {
		g, err := change(old)
		g.Default, name = old.Default, old.Name
		return g, err
	}, "", func(tx *sql.Tx, g saba.NotificationGroup) ([]any, error) {
		if g.Default && g.Name != name {
			return nil, saba.Invalidf("name", "of the default notification group is %q and cannot be changed", name)
		}
		return nil, checkGroup(ctx, tx, org, g)
	})
}

// DeleteNotificationGroup deletes a group, takes it out of the others, and returns it as it was. The default group
// cannot be deleted: the error matches saba.ErrInvalid.
func (db *DB) DeleteNotificationGroup(ctx context.Context, org, id string) (g saba.NotificationGroup, err error) {
	err = db.change(ctx, "delete a notification group", func(tx *sql.Tx) error {
		if g, err = groups.remove(ctx, tx, org, id); err != nil {
			return err
		}
		if g.Default {
			return saba.Errorf(saba.ErrInvalid, "the default notification group cannot be deleted: take its channels out instead")
		}
		return pruneGroups(ctx, tx, org, func(other *saba.NotificationGroup) {
			other.Groups = slices.DeleteFunc(other.Groups, func(child string) bool { return child == id })
		})
	})
	return g, err
}

func checkGroup(ctx context.Context, tx *sql.Tx, org string, g saba.NotificationGroup) error {
	if i := slices.Index(g.Groups, g.ID); i >= 0 {
		return saba.Invalidf(element("childNotificationGroupIds", i), "names the group itself")
	}
	if err := checkRecords(ctx, tx, org, "notification_groups", "notification group", "childNotificationGroupIds", g.Groups); err != nil {
		return err
	}
	if err := checkRecords(ctx, tx, org, "channels", "channel", "childChannelIds", g.Channels); err != nil {
		return err
	}
	watched, services := make([]string, len(g.Monitors)), make([]string, len(g.Services))
	for i, m := range g.Monitors {
		watched[i] = m.ID
	}
	for i, s := range g.Services {
		services[i] = s.Name
	}
	if err := checkWatched(ctx, tx, org, "monitors", watched); err != nil {
		return err
	}
	return checkServices(ctx, tx, org, "services", services)
}

// pruneGroups lets prune take things out of every notification group of an organization. A group that
// loses what it is told of is told of less, never of more, so nothing dangling needs to stay.
func pruneGroups(ctx context.Context, tx *sql.Tx, org string, prune func(g *saba.NotificationGroup)) error {
	all, err := groups.all(ctx, tx, org)
	if err != nil {
		return err
	}
	for _, g := range all {
		before, err := json.Marshal(g)
		if err != nil {
			return err
		}
		prune(&g)
		after, err := json.Marshal(g)
		if err != nil {
			return err
		}
		if string(before) == string(after) {
			continue
		}
		if err := groups.update(ctx, tx, org, g.ID, g, ""); err != nil {
			return err
		}
	}
	return nil
}

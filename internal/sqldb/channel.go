package sqldb

import (
	"context"
	"database/sql"
	"slices"

	"github.com/saba-monitor/saba"
)

var channels = shelfOf[saba.Channel]{"channels", "channel", 1000}

// Channels returns the channels of an organization, oldest first.
func (db *DB) Channels(ctx context.Context, org string) ([]saba.Channel, error) {
	return allOf(ctx, db, channels, org)
}

// CreateChannel keeps a new channel, whose ID the caller chose, and adds it to the default notification group
// if toDefault says so. Its accounts must exist; the error matches saba.ErrInvalid.
func (db *DB) CreateChannel(ctx context.Context, org string, c saba.Channel, toDefault bool) error {
	return db.change(ctx, "create a channel", func(tx *sql.Tx) error {
		if err := checkRecords(ctx, tx, org, "users", "account", "userIds", c.UserIDs); err != nil {
			return err
		}
		if err := channels.insert(ctx, tx, org, c.ID, c, ""); err != nil || !toDefault {
			return err
		}
		group, err := one(tx.QueryRowContext(ctx, `SELECT doc FROM notification_groups WHERE org = ? AND is_default = 1`, org), groups.scan,
			"the organization has no default notification group")
		if err != nil {
			return err
		}
		group.Channels = append(group.Channels, c.ID)
		return groups.update(ctx, tx, org, group.ID, group, "")
	})
}

// UpdateChannel replaces a channel by what change makes of it, and returns that.
func (db *DB) UpdateChannel(ctx context.Context, org, id string, change func(old saba.Channel) (saba.Channel, error)) (saba.Channel, error) {
	return updateOne(ctx, db, channels, org, id, change, "", func(tx *sql.Tx, c saba.Channel) ([]any, error) {
		return nil, checkRecords(ctx, tx, org, "users", "account", "userIds", c.UserIDs)
	})
}

// DeleteChannel deletes a channel, takes it out of notification groups, and returns it as it was.
func (db *DB) DeleteChannel(ctx context.Context, org, id string) (c saba.Channel, err error) {
	err = db.change(ctx, "delete a channel", func(tx *sql.Tx) error {
		if c, err = channels.remove(ctx, tx, org, id); err != nil {
			return err
		}
		return pruneGroups(ctx, tx, org, func(g *saba.NotificationGroup) {
			g.Channels = slices.DeleteFunc(g.Channels, func(other string) bool { return other == id })
		})
	})
	return c, err
}

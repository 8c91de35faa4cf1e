package sqldb

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/saba-monitor/saba"
)

// addEvent keeps an event. Where the change that it is about has no time of its own, e.At is 0 until it is routed.
func addEvent(ctx context.Context, tx *sql.Tx, org string, e saba.Event) error {
	if e.Host != nil {
		h := *e.Host
		h.Meta, h.Interfaces = nil, nil
		e.Host = &h
	}
	doc, err := json.Marshal(e)
	if err != nil {
		return err
	}
	status := ""
	if e.Alert != nil {
		status = string(e.Alert.Status)
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO events (seq, org, kind, subject, status, cause, at, doc)
		SELECT coalesce(max(seq), 0) + 1, ?, ?, ?, ?, ?, ?, ? FROM events`,
		org, string(e.Kind), e.Subject, status, string(e.Trigger), e.At, string(doc))
	return err
}

// addAlertEvent keeps the event of a step that an alert has just taken.
func addAlertEvent(ctx context.Context, tx *sql.Tx, org string, a saba.Alert, move saba.AlertMove) error {
	e := saba.Event{Kind: saba.EventAlert, Subject: a.ID, At: move.At, Alert: &a, Trigger: move.Trigger, User: move.By}
	if err := describeAlert(ctx, tx, org, &e); err != nil {
		return fmt.Errorf("describe alert %q: %w", a.ID, err)
	}
	if err := addEvent(ctx, tx, org, e); err != nil || move.Trigger == saba.TriggerStill {
		return err
	}
	return groupAlert(ctx, tx, org, e)
}

// addHandlingEvents keeps the events of what people have just done about an alert that is open.
func addHandlingEvents(ctx context.Context, tx *sql.Tx, org string, a saba.Alert, before saba.Handling) error {
	add := func(now, then string, done, undone saba.EventAction, at int64) error {
		if now == then {
			return nil
		}
		e := saba.Event{Kind: saba.EventHandling, Subject: a.ID, At: at, Alert: &a, Action: done}
		who := now
		if now == "" {
			e.Action, who = undone, then
		}
		if done == saba.ActionAcknowledge && now != "" {
			e.User = now
		}
		var err error
		e.Who, err = one(tx.QueryRowContext(ctx, `SELECT CASE screen_name WHEN '' THEN email ELSE screen_name END FROM users WHERE org = ? AND id = ?`, org, who), scanString, "no account %q", who)
		if err != nil && !errors.Is(err, saba.ErrNotFound) {
			return err
		}
		if err := describeAlert(ctx, tx, org, &e); err != nil {
			return fmt.Errorf("describe alert %q: %w", a.ID, err)
		}
		return addEvent(ctx, tx, org, e)
	}
	if err := add(a.Handling.AckedBy, before.AckedBy, saba.ActionAcknowledge, saba.ActionTakeBack, a.Handling.AckedAt); err != nil {
		return err
	}
	return add(a.Handling.Assignee, before.Assignee, saba.ActionAssign, saba.ActionUnassign, 0)
}

// describeAlert fills in the rule, host and service of an event's alert, as far as they are there.
func describeAlert(ctx context.Context, tx *sql.Tx, org string, e *saba.Event) error {
	a := e.Alert
	if err := tx.QueryRowContext(ctx, `SELECT coalesce(min(created_at), 0) FROM alert_logs WHERE alert = ? AND seq >
		(SELECT coalesce(max(seq), 0) FROM alert_logs WHERE alert = ? AND status <> ?)`, a.ID, a.ID, string(a.Status)).Scan(&e.Since); err != nil {
		return err
	}
	if err := describeCulprits(ctx, tx, e); err != nil {
		return err
	}
	if a.Host != "" {
		h, err := readHost(ctx, tx, org, a.Host)
		if err == nil {
			err = withRoles(ctx, tx, &h)
		}
		if err != nil && !errors.Is(err, saba.ErrNotFound) {
			return err
		}
		if err == nil {
			e.Host = &h
		}
	}
	if a.Type == saba.AlertCheck {
		err := tx.QueryRowContext(ctx, `SELECT name, memo FROM checks WHERE id = ?`, a.Monitor).Scan(&e.Check, &e.Memo)
		if errors.Is(err, sql.ErrNoRows) {
			err = nil
		}
		return err
	}
	m, err := monitors.read(ctx, tx, org, a.Monitor)
	if errors.Is(err, saba.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	e.Monitor, e.Memo = &m, m.Memo
	if m.Service != "" {
		if e.Service, err = describeService(ctx, tx, org, m.Service); err != nil {
			return err
		}
	}
	e.Depends = a.Depends
	return nil
}

// describeService returns a service with its roles; nil when there is none.
func describeService(ctx context.Context, tx *sql.Tx, org, name string) (*saba.Service, error) {
	s := saba.Service{Name: name}
	err := tx.QueryRowContext(ctx, `SELECT memo FROM services WHERE org = ? AND name = ?`, org, name).Scan(&s.Memo)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	s.Roles, err = list(ctx, tx, scanString, `SELECT name FROM roles WHERE org = ? AND service = ? ORDER BY name`, org, name)
	return &s, err
}

func addHostEvent(ctx context.Context, tx *sql.Tx, kind saba.EventKind, h saba.Host, from saba.HostStatus, at int64) error {
	if err := withRoles(ctx, tx, &h); err != nil {
		return err
	}
	return addEvent(ctx, tx, h.Org, saba.Event{Kind: kind, Subject: h.ID, At: at, Host: &h, From: from})
}

func addMonitorEvent(ctx context.Context, tx *sql.Tx, org string, m saba.Monitor, action saba.EventAction, at int64) error {
	return addEvent(ctx, tx, org, saba.Event{Kind: saba.EventMonitor, Subject: m.ID, At: at, Monitor: &m, Action: action})
}

const eventColumns = `seq, kind, subject, at, doc`

func scanEvent(row scanner) (e saba.Event, err error) {
	var doc []byte
	var head saba.Event
	if err := row.Scan(&head.Seq, &head.Kind, &head.Subject, &head.At, &doc); err != nil {
		return e, err
	}
	if err := json.Unmarshal(doc, &e); err != nil {
		return e, fmt.Errorf("event %d as stored: %w", head.Seq, err)
	}
	e.Seq, e.Kind, e.Subject, e.At = head.Seq, head.Kind, head.Subject, head.At
	return e, nil
}

// AddEvent keeps an event of which no other method knows: a channel that cannot be reached, an alert or a group that is told again. An
// event of an alert or a group is kept only while that is open, with what is known of it now.
func (db *DB) AddEvent(ctx context.Context, org string, e saba.Event) error {
	return db.change(ctx, "keep an event", func(tx *sql.Tx) error {
		switch e.Kind {
		case saba.EventAlert:
		case saba.EventAlertGroup:
			g, err := one(tx.QueryRowContext(ctx, `SELECT `+alertGroupColumns+` FROM alert_groups WHERE org = ? AND id = ? AND closed_at = 0`, org, e.Subject), scanAlertGroup, "no open group %q", e.Subject)
			if err == nil {
				_, err = withMembers(ctx, tx, &g)
			}
			if errors.Is(err, saba.ErrNotFound) {
				return nil
			}
			if err != nil {
				return err
			}
			return addGroupEvent(ctx, tx, org, g, e)
		default:
			return addEvent(ctx, tx, org, e)
		}
		a, err := readAlert(ctx, tx, org, e.Subject)
		if err != nil || !a.Open() {
			return err
		}
		return addAlertEvent(ctx, tx, org, a, saba.AlertMove{At: e.At, Trigger: e.Trigger})
	})
}

// UnroutedEvents returns at most limit events of which it was not decided who is told, oldest first.
func (db *DB) UnroutedEvents(ctx context.Context, org string, limit int) (all []saba.Event, err error) {
	err = db.view(ctx, "list events", func(tx *sql.Tx) error {
		all, err = list(ctx, tx, scanEvent, `SELECT `+eventColumns+` FROM events WHERE org = ? AND routed_at = 0 ORDER BY seq LIMIT ?`, org, limit)
		return err
	})
	return all, err
}

// RouteEvents keeps who is told of events, at a time in Unix seconds, above 0: of all of them, or of none. What was decided before stays.
func (db *DB) RouteEvents(ctx context.Context, org string, at int64, decided ...saba.Routing) error {
	return db.change(ctx, "route events", func(tx *sql.Tx) error {
		for _, r := range decided {
			if err := routeEvent(ctx, tx, org, at, r); err != nil {
				return fmt.Errorf("event %d: %w", r.Event, err)
			}
		}
		return nil
	})
}

func routeEvent(ctx context.Context, tx *sql.Tx, org string, at int64, r saba.Routing) error {
	result, err := tx.ExecContext(ctx, `UPDATE events SET routed_at = ?, at = CASE at WHEN 0 THEN ? ELSE at END, silence = ?, detail = ?
			WHERE org = ? AND seq = ? AND routed_at = 0`, at, at, string(r.Silence), r.Detail, org, r.Event)
	if err != nil {
		return err
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		return err
	}
	for _, n := range r.Notifications {
		if _, err := tx.ExecContext(ctx, `INSERT INTO notifications (event, channel, org, state, silence, detail) VALUES (`+marks(6)+`)`,
			r.Event, n.Channel, org, string(n.State), string(n.Silence), n.Detail); err != nil {
			return err
		}
	}
	return nil
}

const notificationColumns = `event, channel, state, silence, detail, attempts, first_try, next_try, done_at`

func scanNotification(row scanner) (n saba.Notification, err error) {
	err = row.Scan(&n.Event, &n.Channel, &n.State, &n.Silence, &n.Detail, &n.Attempts, &n.FirstTry, &n.NextTry, &n.DoneAt)
	return n, err
}

// NextNotifications returns of each channel the oldest notification that waits.
func (db *DB) NextNotifications(ctx context.Context, org string) (all []saba.Notification, err error) {
	err = db.view(ctx, "list waiting notifications", func(tx *sql.Tx) error {
		all, err = list(ctx, tx, scanNotification, `SELECT `+notificationColumns+` FROM notifications WHERE org = ? AND state = 'waiting'
			AND (channel, event) IN (SELECT channel, min(event) FROM notifications WHERE org = ? AND state = 'waiting' GROUP BY channel) ORDER BY event`, org, org)
		return err
	})
	return all, err
}

// NextNotification returns the oldest notification of a channel that waits, with its event. Where there is none, the error matches saba.ErrNotFound.
func (db *DB) NextNotification(ctx context.Context, org, channel string) (n saba.Notification, e saba.Event, err error) {
	err = db.view(ctx, "read a waiting notification", func(tx *sql.Tx) error {
		n, err = one(tx.QueryRowContext(ctx, `SELECT `+notificationColumns+` FROM notifications
			WHERE org = ? AND channel = ? AND state = 'waiting' ORDER BY event LIMIT 1`, org, channel), scanNotification, "nothing waits for channel %q", channel)
		if err != nil {
			return err
		}
		e, err = one(tx.QueryRowContext(ctx, `SELECT `+eventColumns+` FROM events WHERE seq = ?`, n.Event), scanEvent, "no event %d", n.Event)
		return err
	})
	return n, e, err
}

// LastTold returns when each channel was told something last, in Unix seconds, by its id.
func (db *DB) LastTold(ctx context.Context, org string) (map[string]int64, error) {
	all := map[string]int64{}
	err := db.view(ctx, "look up when channels were told last", func(tx *sql.Tx) error {
		clear(all)
		_, err := list(ctx, tx, func(row scanner) (_ struct{}, err error) {
			var id string
			var at int64
			err = row.Scan(&id, &at)
			all[id] = at
			return struct{}{}, err
		}, `SELECT channel, max(done_at) FROM notifications WHERE org = ? AND state = 'sent' GROUP BY channel`, org)
		return err
	})
	return all, err
}

// SetNotification keeps what became of a notification that waits.
func (db *DB) SetNotification(ctx context.Context, org string, n saba.Notification) error {
	return db.change(ctx, "keep what became of a notification", func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE notifications SET state = ?, silence = ?, detail = ?, attempts = ?, first_try = ?, next_try = ?, done_at = ?
			WHERE org = ? AND event = ? AND channel = ? AND state = 'waiting'`,
			string(n.State), string(n.Silence), n.Detail, n.Attempts, n.FirstTry, n.NextTry, n.DoneAt, org, n.Event, n.Channel)
		return err
	})
}

// SuspendChannel stops a channel at a time in Unix seconds, or releases it with 0. What waits for a channel that stops is given
// up, for a reason in words.
func (db *DB) SuspendChannel(ctx context.Context, org, id string, at int64, reason string) error {
	return db.change(ctx, "suspend a channel", func(tx *sql.Tx) error {
		c, err := channels.read(ctx, tx, org, id)
		if err != nil {
			return err
		}
		c.SuspendedAt = at
		if err := channels.update(ctx, tx, org, id, c, ""); err != nil || at == 0 {
			return err
		}
		_, err = tx.ExecContext(ctx, `UPDATE notifications SET state = ?, detail = ?, done_at = ? WHERE org = ? AND channel = ? AND state = 'waiting'`,
			string(saba.NotificationFailed), reason, at, org, id)
		return err
	})
}

// heardStates are the states of a notification whose channel is told, or shall be.
const heardStates = `('sent', 'waiting', 'failed')`

// AlertNews returns of each open alert the newest of its own steps that was routed, by the alert's id: what people do about it is none.
func (db *DB) AlertNews(ctx context.Context, org string) (map[string]saba.AlertNews, error) {
	all := map[string]saba.AlertNews{}
	err := db.view(ctx, "list what was told of alerts", func(tx *sql.Tx) error {
		clear(all)
		_, err := list(ctx, tx, func(row scanner) (_ struct{}, err error) {
			var id string
			var n saba.AlertNews
			var heard int64
			err = row.Scan(&id, &n.At, &n.Status, &n.Trigger, &n.Silence, &heard)
			n.Heard = heard > 0
			all[id] = n
			return struct{}{}, err
		}, `SELECT a.id, e.at, e.status, e.cause, e.silence,
				(SELECT count(*) FROM events h JOIN notifications n ON n.event = h.seq WHERE h.subject = a.id AND n.state IN `+heardStates+`)
			FROM alerts a JOIN events e ON e.seq = (SELECT max(seq) FROM events WHERE subject = a.id AND kind = 'alert' AND routed_at > 0) WHERE a.closed_at = 0 AND a.org = ?`, org)
		return err
	})
	return all, err
}

// Heard says whether somebody was told of an alert, or a group of alerts, open or closed.
func (db *DB) Heard(ctx context.Context, org, subject string) (heard bool, err error) {
	err = db.view(ctx, "look up what was told", func(tx *sql.Tx) error {
		heard, err = exists(ctx, tx, `SELECT count(*) FROM events e JOIN notifications n ON n.event = e.seq WHERE e.org = ? AND e.subject = ? AND n.state IN `+heardStates, org, subject)
		return err
	})
	return heard, err
}

// EventsOf returns at most limit events of an alert, host, monitor or channel, newest first, with what was decided and what became of it.
func (db *DB) EventsOf(ctx context.Context, org, subject string, limit int) (all []saba.Told, err error) {
	err = db.view(ctx, "list what was told", func(tx *sql.Tx) error {
		events, err := list(ctx, tx, scanEvent, `SELECT `+eventColumns+` FROM events WHERE org = ? AND subject = ? ORDER BY seq DESC LIMIT ?`, org, subject, limit)
		if err != nil {
			return err
		}
		all = make([]saba.Told, len(events))
		for i, e := range events {
			all[i].Event = e
			var routed int64
			if err := tx.QueryRowContext(ctx, `SELECT routed_at, silence, detail FROM events WHERE seq = ?`, e.Seq).Scan(&routed, &all[i].Silence, &all[i].Detail); err != nil {
				return err
			}
			all[i].Routed = routed > 0
			if all[i].Notifications, err = list(ctx, tx, scanNotification, `SELECT `+notificationColumns+` FROM notifications WHERE event = ? ORDER BY channel`, e.Seq); err != nil {
				return err
			}
		}
		return nil
	})
	return all, err
}

// DeleteEvents forgets at most limit events of before a time in Unix seconds that have been decided and wait for no channel,
// oldest first, and returns how many there were. The newest event stays, as the next one is numbered after it.
func (db *DB) DeleteEvents(ctx context.Context, org string, before int64, limit int) (n int64, err error) {
	err = db.change(ctx, "forget events", func(tx *sql.Tx) error {
		result, err := tx.ExecContext(ctx, `DELETE FROM events WHERE seq IN (SELECT seq FROM events e WHERE org = ? AND at < ? AND routed_at > 0
			AND seq < (SELECT max(seq) FROM events) AND NOT EXISTS (SELECT 1 FROM notifications n WHERE n.event = e.seq AND n.state = 'waiting') ORDER BY seq LIMIT ?)`, org, before, limit)
		if err != nil {
			return err
		}
		n, err = result.RowsAffected()
		return err
	})
	return n, err
}

// Changes counts what was changed through this DB so far: while it is the same, nothing is new.
func (db *DB) Changes() int64 { return db.changes.Load() }

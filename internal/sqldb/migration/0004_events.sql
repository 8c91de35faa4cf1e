-- What people may be told of, written with the change that it is about.
CREATE TABLE events (
	seq       BIGINT NOT NULL PRIMARY KEY, -- from 1, in the order in which they happened
	org       TEXT   NOT NULL REFERENCES orgs (id),
	kind      TEXT   NOT NULL,
	subject   TEXT   NOT NULL, -- id of the alert, host, monitor… that it is about
	status    TEXT   NOT NULL, -- of the alert after it, '' of other kinds
	cause     TEXT   NOT NULL, -- what changed the alert, '' of other kinds
	at        BIGINT NOT NULL,
	doc       TEXT   NOT NULL, -- JSON of the rest
	routed_at BIGINT NOT NULL DEFAULT 0, -- when it was decided who is told; 0 before
	silence   TEXT   NOT NULL DEFAULT '', -- why nobody is told; '' when somebody is
	detail    TEXT   NOT NULL DEFAULT ''
);
CREATE INDEX events_unrouted ON events (org, seq) WHERE routed_at = 0;
CREATE INDEX events_subject ON events (subject, seq);
CREATE INDEX events_at ON events (org, at);

-- An event on its way to a channel.
CREATE TABLE notifications (
	event     BIGINT NOT NULL REFERENCES events (seq) ON DELETE CASCADE,
	channel   TEXT   NOT NULL, -- id, which may be gone
	org       TEXT   NOT NULL,
	state     TEXT   NOT NULL,
	silence   TEXT   NOT NULL,
	detail    TEXT   NOT NULL,
	attempts  BIGINT NOT NULL DEFAULT 0,
	first_try BIGINT NOT NULL DEFAULT 0,
	next_try  BIGINT NOT NULL DEFAULT 0,
	done_at   BIGINT NOT NULL DEFAULT 0,
	PRIMARY KEY (event, channel)
);
CREATE INDEX notifications_waiting ON notifications (org, channel, event) WHERE state = 'waiting';

-- The worst that an alert has been, and what people do about it.
ALTER TABLE alerts ADD COLUMN worst TEXT NOT NULL DEFAULT '';
ALTER TABLE alerts ADD COLUMN acked_by TEXT NOT NULL DEFAULT '';
ALTER TABLE alerts ADD COLUMN acked_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE alerts ADD COLUMN assignee TEXT NOT NULL DEFAULT '';
ALTER TABLE alerts ADD COLUMN muted_until BIGINT NOT NULL DEFAULT 0;
UPDATE alerts SET worst = coalesce((SELECT CASE max(CASE l.status WHEN 'UNKNOWN' THEN 3 WHEN 'CRITICAL' THEN 2 WHEN 'WARNING' THEN 1 ELSE 0 END)
	WHEN 3 THEN 'UNKNOWN' WHEN 2 THEN 'CRITICAL' WHEN 1 THEN 'WARNING' WHEN 0 THEN 'OK' END FROM alert_logs l WHERE l.alert = alerts.id), status);

-- What alert group settings made of alerts that were open together.
CREATE TABLE alert_groups (
	id        TEXT   NOT NULL PRIMARY KEY,
	org       TEXT   NOT NULL REFERENCES orgs (id),
	setting   TEXT   NOT NULL, -- id, which may be gone
	status    TEXT   NOT NULL,
	opened_at BIGINT NOT NULL,
	closed_at BIGINT NOT NULL -- 0 while it is open
);
CREATE UNIQUE INDEX alert_groups_open ON alert_groups (org, setting) WHERE closed_at = 0;
CREATE TABLE alert_group_alerts (
	alert_group TEXT NOT NULL REFERENCES alert_groups (id) ON DELETE CASCADE,
	alert       TEXT NOT NULL REFERENCES alerts (id) ON DELETE CASCADE,
	PRIMARY KEY (alert_group, alert)
);
CREATE INDEX alert_group_alerts_alert ON alert_group_alerts (alert);

-- What people set up: monitors, channels, dashboards and the like. A record is one JSON document
-- (doc, with the keys of its type in package saba) beside the columns that statements need. What a
-- document names (a service, a monitor, a channel) is checked when it is written; what is deleted later
-- leaves a name that matches nothing, because to take it out of a list of scopes could make the list
-- empty, and an empty list means everything.

CREATE TABLE monitors (
	id  TEXT NOT NULL PRIMARY KEY,
	org TEXT NOT NULL REFERENCES orgs (id),
	doc TEXT NOT NULL
);
CREATE INDEX monitors_org ON monitors (org, id);

CREATE TABLE downtimes (
	id  TEXT NOT NULL PRIMARY KEY,
	org TEXT NOT NULL REFERENCES orgs (id),
	doc TEXT NOT NULL
);
CREATE INDEX downtimes_org ON downtimes (org, id);

CREATE TABLE alert_group_settings (
	id  TEXT NOT NULL PRIMARY KEY,
	org TEXT NOT NULL REFERENCES orgs (id),
	doc TEXT NOT NULL
);
CREATE INDEX alert_group_settings_org ON alert_group_settings (org, id);

CREATE TABLE channels (
	id  TEXT NOT NULL PRIMARY KEY,
	org TEXT NOT NULL REFERENCES orgs (id),
	doc TEXT NOT NULL
);
CREATE INDEX channels_org ON channels (org, id);

CREATE TABLE notification_groups (
	id         TEXT   NOT NULL PRIMARY KEY,
	org        TEXT   NOT NULL REFERENCES orgs (id),
	is_default BIGINT NOT NULL,
	doc        TEXT   NOT NULL
);
CREATE INDEX notification_groups_org ON notification_groups (org, id);
CREATE UNIQUE INDEX notification_groups_default ON notification_groups (org) WHERE is_default = 1;

CREATE TABLE dashboards (
	id       TEXT NOT NULL PRIMARY KEY,
	org      TEXT NOT NULL REFERENCES orgs (id),
	url_path TEXT NOT NULL,
	doc      TEXT NOT NULL,
	UNIQUE (org, url_path)
);

CREATE TABLE graph_annotations (
	id      TEXT   NOT NULL PRIMARY KEY,
	org     TEXT   NOT NULL,
	service TEXT   NOT NULL,
	from_at BIGINT NOT NULL,
	to_at   BIGINT NOT NULL,
	doc     TEXT   NOT NULL,
	FOREIGN KEY (org, service) REFERENCES services (org, name) ON DELETE CASCADE
);
CREATE INDEX graph_annotations_service ON graph_annotations (org, service, from_at);

CREATE TABLE alerts (
	id        TEXT   NOT NULL PRIMARY KEY,
	org       TEXT   NOT NULL REFERENCES orgs (id),
	monitor   TEXT   NOT NULL, -- id of a monitor or check, which may be gone
	type      TEXT   NOT NULL,
	host      TEXT   NOT NULL, -- '' when it is about none
	series    TEXT   NOT NULL, -- JSON of the series of a query, '' otherwise
	status    TEXT   NOT NULL,
	value     DOUBLE PRECISION, -- NULL when there is none
	message   TEXT   NOT NULL,
	reason    TEXT   NOT NULL,
	memo      TEXT   NOT NULL,
	opened_at BIGINT NOT NULL,
	closed_at BIGINT NOT NULL -- 0 while it is open
);
CREATE UNIQUE INDEX alerts_open ON alerts (org, monitor, host, series) WHERE closed_at = 0;
CREATE INDEX alerts_host ON alerts (host) WHERE closed_at = 0;
CREATE INDEX alerts_newest ON alerts (org, opened_at, id);

CREATE TABLE alert_logs (
	alert      TEXT   NOT NULL REFERENCES alerts (id) ON DELETE CASCADE,
	seq        BIGINT NOT NULL, -- from 1
	created_at BIGINT NOT NULL,
	status     TEXT   NOT NULL,
	cause      TEXT   NOT NULL,
	value      DOUBLE PRECISION,
	detail     TEXT   NOT NULL, -- JSON of what a check said, '' otherwise
	PRIMARY KEY (alert, seq)
);

-- Whoever had an account before there were authorities owns the organization.
ALTER TABLE users ADD COLUMN authority TEXT NOT NULL DEFAULT 'owner';
ALTER TABLE users ADD COLUMN screen_name TEXT NOT NULL DEFAULT '';

CREATE TABLE invitations (
	org        TEXT   NOT NULL REFERENCES orgs (id),
	email      TEXT   NOT NULL,
	email_fold TEXT   NOT NULL,
	authority  TEXT   NOT NULL,
	expires_at BIGINT NOT NULL,
	PRIMARY KEY (org, email_fold)
);

CREATE TABLE ip_restrictions (
	org     TEXT NOT NULL REFERENCES orgs (id),
	surface TEXT NOT NULL,
	cidrs   TEXT NOT NULL, -- JSON array
	PRIMARY KEY (org, surface)
);

CREATE TABLE aws_integrations (
	id         TEXT NOT NULL PRIMARY KEY,
	org        TEXT NOT NULL REFERENCES orgs (id),
	name       TEXT NOT NULL,
	secret_key TEXT, -- never leaves the database through the API
	doc        TEXT NOT NULL,
	UNIQUE (org, name)
);

-- Graphs of service metrics that were deleted: hidden until a newer point arrives.
CREATE TABLE hidden_service_graphs (
	org       TEXT   NOT NULL,
	service   TEXT   NOT NULL,
	graph     TEXT   NOT NULL,
	hidden_at BIGINT NOT NULL,
	PRIMARY KEY (org, service, graph),
	FOREIGN KEY (org, service) REFERENCES services (org, name) ON DELETE CASCADE
);

-- What every organization has from the start, under the organization's own id.
INSERT INTO notification_groups (id, org, is_default, doc)
	SELECT id, id, 1, '{"id":"' || id || '","default":true,"name":"Default","notificationLevel":"all"}' FROM orgs;
INSERT INTO monitors (id, org, doc)
	SELECT id, id, '{"id":"' || id || '","type":"connectivity","name":"connectivity","isMute":false,"alertStatusOnGone":"CRITICAL"}' FROM orgs;

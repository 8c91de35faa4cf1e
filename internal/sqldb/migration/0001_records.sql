-- The first schema. Times are Unix seconds; 0 is never a time of interest, so it stands for
-- "not yet". Flags are 0 or 1. Names ending in _fold hold the value in lower case, made by the
-- program, so that comparison without regard to case means the same on every engine. JSON is
-- TEXT, because documents go back to their senders byte for byte. Identity is scoped by org:
-- a statement that reads without it is a mistake.

CREATE TABLE orgs (
	id           TEXT   NOT NULL PRIMARY KEY,
	name         TEXT   NOT NULL,
	display_name TEXT   NOT NULL
);

CREATE TABLE services (
	org  TEXT NOT NULL REFERENCES orgs (id),
	name TEXT NOT NULL,
	memo TEXT NOT NULL,
	PRIMARY KEY (org, name)
);

CREATE TABLE roles (
	org     TEXT NOT NULL,
	service TEXT NOT NULL,
	name    TEXT NOT NULL,
	memo    TEXT NOT NULL,
	PRIMARY KEY (org, service, name),
	FOREIGN KEY (org, service) REFERENCES services (org, name) ON DELETE CASCADE
);

CREATE TABLE hosts (
	id                     TEXT   NOT NULL PRIMARY KEY,
	org                    TEXT   NOT NULL REFERENCES orgs (id),
	name                   TEXT   NOT NULL,
	display_name           TEXT   NOT NULL,
	custom_identifier      TEXT   NOT NULL, -- '' when unset
	custom_identifier_fold TEXT   NOT NULL,
	status                 TEXT   NOT NULL,
	memo                   TEXT   NOT NULL,
	created_at             BIGINT NOT NULL,
	retired_at             BIGINT NOT NULL, -- 0 while the host lives
	meta                   TEXT   NOT NULL, -- JSON object
	interfaces             TEXT   NOT NULL, -- JSON array
	registered_by          TEXT   NOT NULL  -- id of an API key, which may be gone
);
-- Only live hosts claim an identifier: a machine that comes back registers anew.
CREATE UNIQUE INDEX hosts_custom_identifier ON hosts (org, custom_identifier)
	WHERE custom_identifier <> '' AND retired_at = 0;
CREATE INDEX hosts_custom_identifier_fold ON hosts (org, custom_identifier_fold)
	WHERE custom_identifier <> '' AND retired_at = 0;
CREATE INDEX hosts_live ON hosts (org, created_at, id) WHERE retired_at = 0;

CREATE TABLE host_roles (
	host    TEXT NOT NULL REFERENCES hosts (id) ON DELETE CASCADE,
	org     TEXT NOT NULL,
	service TEXT NOT NULL,
	role    TEXT NOT NULL,
	PRIMARY KEY (host, service, role),
	FOREIGN KEY (org, service, role) REFERENCES roles (org, service, name) ON DELETE CASCADE
);
CREATE INDEX host_roles_role ON host_roles (org, service, role, host);

CREATE TABLE checks (
	id           TEXT   NOT NULL PRIMARY KEY,
	org          TEXT   NOT NULL REFERENCES orgs (id),
	host         TEXT   NOT NULL REFERENCES hosts (id) ON DELETE CASCADE,
	name         TEXT   NOT NULL,
	memo         TEXT   NOT NULL,
	report_count BIGINT NOT NULL, -- rows in check_reports
	UNIQUE (host, name)
);
CREATE INDEX checks_org ON checks (org, id);

CREATE TABLE check_reports (
	check_id              TEXT   NOT NULL REFERENCES checks (id) ON DELETE CASCADE,
	occurred_at           BIGINT NOT NULL,
	status                TEXT   NOT NULL,
	message               TEXT   NOT NULL,
	notification_interval BIGINT NOT NULL, -- minutes
	max_check_attempts    BIGINT NOT NULL,
	PRIMARY KEY (check_id, occurred_at)
);

CREATE TABLE graph_defs (
	org          TEXT NOT NULL REFERENCES orgs (id),
	name         TEXT NOT NULL,
	display_name TEXT NOT NULL,
	unit         TEXT NOT NULL,
	metrics      TEXT NOT NULL, -- JSON array, in drawing order
	PRIMARY KEY (org, name)
);

CREATE TABLE host_metadata (
	host       TEXT   NOT NULL REFERENCES hosts (id) ON DELETE CASCADE,
	namespace  TEXT   NOT NULL,
	value      TEXT   NOT NULL,
	updated_at BIGINT NOT NULL,
	PRIMARY KEY (host, namespace)
);

CREATE TABLE service_metadata (
	org        TEXT   NOT NULL,
	service    TEXT   NOT NULL,
	namespace  TEXT   NOT NULL,
	value      TEXT   NOT NULL,
	updated_at BIGINT NOT NULL,
	PRIMARY KEY (org, service, namespace),
	FOREIGN KEY (org, service) REFERENCES services (org, name) ON DELETE CASCADE
);

CREATE TABLE role_metadata (
	org        TEXT   NOT NULL,
	service    TEXT   NOT NULL,
	role       TEXT   NOT NULL,
	namespace  TEXT   NOT NULL,
	value      TEXT   NOT NULL,
	updated_at BIGINT NOT NULL,
	PRIMARY KEY (org, service, role, namespace),
	FOREIGN KEY (org, service, role) REFERENCES roles (org, service, name) ON DELETE CASCADE
);

CREATE TABLE api_keys (
	id         TEXT   NOT NULL PRIMARY KEY,
	org        TEXT   NOT NULL REFERENCES orgs (id),
	name       TEXT   NOT NULL,
	hash       TEXT   NOT NULL UNIQUE,
	can_read   BIGINT NOT NULL,
	can_write  BIGINT NOT NULL,
	created_at BIGINT NOT NULL,
	used_at    BIGINT NOT NULL -- 0 if never
);
CREATE INDEX api_keys_org ON api_keys (org);

CREATE TABLE users (
	id            TEXT   NOT NULL PRIMARY KEY,
	org           TEXT   NOT NULL REFERENCES orgs (id),
	email         TEXT   NOT NULL,
	email_fold    TEXT   NOT NULL UNIQUE,
	password_hash TEXT   NOT NULL,
	created_at    BIGINT NOT NULL
);
CREATE INDEX users_org ON users (org);

CREATE TABLE sessions (
	hash       TEXT   NOT NULL PRIMARY KEY,
	user_id    TEXT   NOT NULL REFERENCES users (id) ON DELETE CASCADE,
	org        TEXT   NOT NULL REFERENCES orgs (id),
	created_at BIGINT NOT NULL,
	expires_at BIGINT NOT NULL
);
CREATE INDEX sessions_expires_at ON sessions (expires_at);
CREATE INDEX sessions_user ON sessions (user_id);

CREATE TABLE setup_tokens (
	org  TEXT NOT NULL PRIMARY KEY REFERENCES orgs (id),
	hash TEXT NOT NULL UNIQUE
);

-- Ways in for log lines.
CREATE TABLE drains (
	id      TEXT NOT NULL PRIMARY KEY,
	org     TEXT NOT NULL REFERENCES orgs (id),
	service TEXT NOT NULL,
	hash    TEXT NOT NULL UNIQUE, -- of its token
	doc     TEXT NOT NULL,        -- JSON; the service in it may be the one that it was made for
	FOREIGN KEY (org, service) REFERENCES services (org, name) ON DELETE CASCADE
);

-- What the lines of a request came to, until its metrics are stored.
CREATE TABLE drain_batches (
	seq   BIGINT NOT NULL PRIMARY KEY, -- from 1, in the order of arrival
	drain TEXT   NOT NULL REFERENCES drains (id) ON DELETE CASCADE,
	frame TEXT,            -- id by which its sender knows the request; NULL for none
	at    BIGINT NOT NULL,
	cells TEXT   NOT NULL, -- JSON; '' when only the frame is remembered
	UNIQUE (drain, frame)
);
CREATE INDEX drain_batches_seq ON drain_batches (drain, seq);

-- How metrics of services are drawn that nobody defined: made from what log lines say.
CREATE TABLE service_graph_defs (
	org          TEXT NOT NULL,
	service      TEXT NOT NULL,
	name         TEXT NOT NULL,
	display_name TEXT NOT NULL,
	unit         TEXT NOT NULL,
	metrics      TEXT NOT NULL, -- JSON
	PRIMARY KEY (org, service, name),
	FOREIGN KEY (org, service) REFERENCES services (org, name) ON DELETE CASCADE
);

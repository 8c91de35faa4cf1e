-- Names under which samples of deleted services lie: the name, and those with a number behind it up to the last one. No other
-- service gets them.
CREATE TABLE gone_services (
	org  TEXT   NOT NULL REFERENCES orgs (id),
	name TEXT   NOT NULL,
	last BIGINT NOT NULL,
	PRIMARY KEY (org, name)
);

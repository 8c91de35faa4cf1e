-- How many monitors and checks depend on the host of an alert that it is unreachable, counted when it opened.
ALTER TABLE alerts ADD COLUMN depends BIGINT NOT NULL DEFAULT 0;

-- 1 while the newest report of a check was left for later: in a downtime, or because of the host's status.
ALTER TABLE checks ADD COLUMN deferred BIGINT NOT NULL DEFAULT 0;
CREATE INDEX checks_deferred ON checks (org, id) WHERE deferred = 1;

-- The name under which the samples of a service are kept, which stays when the service is renamed.
ALTER TABLE services ADD COLUMN series TEXT NOT NULL DEFAULT '';
UPDATE services SET series = name;
CREATE UNIQUE INDEX services_series ON services (org, series);

-- When a metric of a graph definition was last seen, as far as it was looked for; 0 when it never was.
ALTER TABLE graph_defs ADD COLUMN seen_at BIGINT NOT NULL DEFAULT 0;

-- The hash of the token in an invitation's link; '' while nobody made a link.
ALTER TABLE invitations ADD COLUMN hash TEXT NOT NULL DEFAULT '';
CREATE UNIQUE INDEX invitations_hash ON invitations (hash) WHERE hash <> '';

-- Open alerts are counted with every page and every round of monitors, however many were closed.
CREATE INDEX alerts_open_newest ON alerts (org, opened_at, id) WHERE closed_at = 0;

-- What went on on the host of an alert when it opened, as the host's agent said: JSON.
CREATE TABLE alert_culprits (
	alert TEXT NOT NULL PRIMARY KEY REFERENCES alerts (id) ON DELETE CASCADE,
	doc   TEXT NOT NULL
);

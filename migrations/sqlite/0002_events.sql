-- What the provider told us, byte for byte: one row per delivery that was verified and not seen before.
CREATE TABLE events (
    id             INTEGER     NOT NULL PRIMARY KEY AUTOINCREMENT,
    -- The delivery's own key: webhook-id, or for the legacy scheme event id, type and version.
    dedupe_key     TEXT        NOT NULL,
    scheme         TEXT        NOT NULL,
    event_id       TEXT        NOT NULL,
    event_type     TEXT        NOT NULL,
    api_version    TEXT,
    -- The job it became; absent when this release knows no job for the type.
    job            TEXT,
    occurred_at    TEXT,
    received_at    TEXT        NOT NULL,
    headers        TEXT        NOT NULL,
    body           TEXT        NOT NULL,
    correlation_id TEXT        NOT NULL
) STRICT;

CREATE UNIQUE INDEX events_dedupe_key ON events (dedupe_key);
CREATE INDEX events_type ON events (event_type, id);
CREATE INDEX events_unknown ON events (id) WHERE job IS NULL;

-- Where verified deliveries are forwarded to for development, and what came of each.
CREATE TABLE dev_endpoints (
    id         INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    url        TEXT NOT NULL,
    -- JSON: the types of events that are wanted; [] for all.
    types      TEXT NOT NULL,
    created_at TEXT NOT NULL,
    created_by TEXT NOT NULL,
    expires_at TEXT NOT NULL,
    -- The number of the last event that was looked at.
    seen_to    INTEGER NOT NULL,
    ended_at   TEXT,
    ended      TEXT CHECK (ended IN ('removed', 'expired', 'refused'))
) STRICT;

CREATE INDEX dev_endpoints_open ON dev_endpoints (id) WHERE ended_at IS NULL;
CREATE INDEX dev_endpoints_ended ON dev_endpoints (ended_at) WHERE ended_at IS NOT NULL;

-- One row for each delivery and endpoint, written with its task.
CREATE TABLE forwards (
    endpoint_id INTEGER NOT NULL REFERENCES dev_endpoints (id) ON DELETE CASCADE,
    event_id    INTEGER NOT NULL,
    event_type  TEXT NOT NULL,
    state       TEXT NOT NULL CHECK (state IN ('waiting', 'delivered', 'failed', 'refused', 'dropped')),
    tries       INTEGER NOT NULL,
    -- What the endpoint answered last, and how long that took.
    status      INTEGER,
    duration_ms INTEGER,
    error       TEXT,
    created_at  TEXT NOT NULL,
    -- When it was tried last.
    tried_at    TEXT,
    PRIMARY KEY (endpoint_id, event_id)
) STRICT;

CREATE INDEX forwards_created ON forwards (created_at);

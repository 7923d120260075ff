-- Sessions of tunnels: who may follow the deliveries as they came, and until when. Opening one is in the audit.
CREATE TABLE tunnels (
    id         INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    key_id     TEXT NOT NULL,
    -- JSON: the types of events that are wanted; [] for all.
    types      TEXT NOT NULL,
    opened_at  TEXT NOT NULL,
    expires_at TEXT NOT NULL
) STRICT;

CREATE INDEX tunnels_expires ON tunnels (expires_at);

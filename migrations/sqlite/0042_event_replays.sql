-- Events that are done once more at somebody's word. At most one replay is under way, in all processes.
CREATE TABLE event_replays (
    id          INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    state       TEXT        NOT NULL CHECK (state IN ('running', 'complete', 'cancelled', 'failed')),
    -- Who began it, and why.
    actor       TEXT        NOT NULL,
    reason      TEXT,
    -- JSON: which events.
    filter      TEXT        NOT NULL,
    -- Events in a second.
    pace        INTEGER     NOT NULL,
    -- It looks at the events after the first and up to the last; it has seen them up to this one.
    first_event INTEGER     NOT NULL,
    seen_to     INTEGER     NOT NULL,
    last_event  INTEGER     NOT NULL,
    -- How many there were when it began; absent when they were too many to be counted then.
    expected    INTEGER,
    looked      INTEGER     NOT NULL,
    replayed    INTEGER     NOT NULL,
    -- As described, but of types that have no job.
    jobless     INTEGER     NOT NULL,
    -- The next page is not turned before.
    next_at     TEXT        NOT NULL,
    started_at  TEXT        NOT NULL,
    ended_at    TEXT,
    -- Why it failed.
    error       TEXT
) STRICT;

CREATE UNIQUE INDEX event_replays_running ON event_replays (state) WHERE state = 'running';
CREATE INDEX event_replays_ended ON event_replays (ended_at) WHERE ended_at IS NOT NULL;

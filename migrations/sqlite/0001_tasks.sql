-- The durable task table. Numbers are never used twice (AUTOINCREMENT): the ring may still hold an old one.
CREATE TABLE tasks (
    id             INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    kind           TEXT        NOT NULL,
    version        INTEGER     NOT NULL,
    queue          TEXT        NOT NULL,
    priority       INTEGER     NOT NULL CHECK (priority BETWEEN 0 AND 3),
    payload        TEXT        NOT NULL,
    state          TEXT        NOT NULL
                   CHECK (state IN ('pending', 'running', 'done', 'dead', 'cancelled', 'discarded')),
    -- The fencing token: rises with every claim and never falls.
    attempt        INTEGER     NOT NULL DEFAULT 0,
    -- Claims that do not count as a try: snoozed or given back.
    refunds        INTEGER     NOT NULL DEFAULT 0,
    -- Claims that ended with the death of the worker.
    crashes        INTEGER     NOT NULL DEFAULT 0,
    max_attempts   INTEGER     NOT NULL,
    run_at         TEXT        NOT NULL,
    worker         TEXT,
    unique_key     TEXT,
    correlation_id TEXT,
    trace_context  TEXT,
    -- What enqueued it.
    cause          TEXT        NOT NULL,
    created_at     TEXT        NOT NULL,
    started_at     TEXT,
    finished_at    TEXT,
    died_at        TEXT,
    last_error     TEXT
) STRICT;

CREATE INDEX tasks_ready ON tasks (queue, priority, run_at, id) WHERE finished_at IS NULL;
CREATE UNIQUE INDEX tasks_unique_key ON tasks (kind, unique_key)
    WHERE unique_key IS NOT NULL AND finished_at IS NULL;
-- Tasks that were in the hands of two workers when they died.
CREATE INDEX tasks_suspect ON tasks (queue, run_at, id) WHERE crashes >= 2 AND finished_at IS NULL;
CREATE INDEX tasks_dead ON tasks (died_at, id) WHERE died_at IS NOT NULL;
CREATE INDEX tasks_correlation ON tasks (correlation_id) WHERE correlation_id IS NOT NULL;

-- One row for every attempt that did not succeed; success leaves none.
CREATE TABLE task_attempts (
    task_id     INTEGER     NOT NULL REFERENCES tasks (id) ON DELETE CASCADE,
    attempt     INTEGER     NOT NULL,
    worker      TEXT        NOT NULL,
    started_at  TEXT,
    duration_ms INTEGER     NOT NULL,
    verdict     TEXT        NOT NULL,
    error       TEXT,
    PRIMARY KEY (task_id, attempt)
) STRICT;

-- One row per living worker process: its lease on everything it holds.
CREATE TABLE workers (
    id          TEXT        NOT NULL PRIMARY KEY,
    host        TEXT        NOT NULL,
    pid         INTEGER     NOT NULL,
    queues      TEXT        NOT NULL,
    started_at  TEXT        NOT NULL,
    lease_until TEXT        NOT NULL
) STRICT;

-- What jobs and people say about when, in what order and how fast tasks run.

-- Tasks of one ordering key run in the order of their ids, one at a time.
ALTER TABLE tasks ADD COLUMN ordering_key TEXT;
-- Not at the head of its line. Such a task is in no index a claim reads, so a long line costs nothing.
ALTER TABLE tasks ADD COLUMN blocked BOOLEAN NOT NULL DEFAULT FALSE;
-- Tasks of one kind and rate key share a rate.
ALTER TABLE tasks ADD COLUMN rate_key TEXT;
-- When it could have run, had its kind's rate not put it off.
ALTER TABLE tasks ADD COLUMN put_off_from TIMESTAMPTZ;
-- Somebody wants a running task to end; whatever it ends with but success counts as cancelled.
ALTER TABLE tasks ADD COLUMN cancel_requested_at TIMESTAMPTZ;

DROP INDEX tasks_ready;
CREATE INDEX tasks_ready ON tasks (queue, priority, run_at, id) WHERE finished_at IS NULL AND NOT blocked;
CREATE INDEX tasks_blocked ON tasks (queue, id) WHERE blocked AND finished_at IS NULL;
-- The lines. A dead letter stays in its line until a person has decided.
CREATE INDEX tasks_line ON tasks (ordering_key, id)
    WHERE ordering_key IS NOT NULL AND (finished_at IS NULL OR died_at IS NOT NULL);
-- Who waits for a turn of its kind's and key's rate, the last turn at the end.
CREATE INDEX tasks_put_off ON tasks (kind, (COALESCE(rate_key, '')), run_at)
    WHERE put_off_from IS NOT NULL AND finished_at IS NULL;
CREATE INDEX tasks_cancelling ON tasks (id) WHERE cancel_requested_at IS NOT NULL AND finished_at IS NULL;

-- What a running task says of how far it is: the last word of its latest attempt that spoke.
CREATE TABLE task_progress (
    task_id BIGINT      NOT NULL PRIMARY KEY REFERENCES tasks (id) ON DELETE CASCADE,
    attempt INTEGER     NOT NULL,
    at      TIMESTAMPTZ NOT NULL,
    done    BIGINT      NOT NULL,
    -- Absent when nobody knows how much there is.
    total   BIGINT,
    note    TEXT
);

-- Limits of queues and of kinds. No row, no limit. While there is one that concerns a queue, its claims take
-- the slower way that counts.
CREATE TABLE limits (
    -- 'queue:media' or 'kind:media.download'.
    scope          TEXT    NOT NULL PRIMARY KEY,
    -- The queue whose claims it concerns; '*' for a kind, whose tasks can be in any.
    queue          TEXT    NOT NULL,
    paused         BOOLEAN NOT NULL,
    -- Tasks at a time in all processes together.
    max_running    BIGINT,
    -- So many per period, and so many at once after a rest. Of a kind: for each rate key by itself.
    rate_count     BIGINT,
    rate_period_ms BIGINT,
    rate_burst     BIGINT,
    -- 'job' when the job itself declares it; else who set it, and no release changes it any more.
    set_by         TEXT    NOT NULL
);

CREATE INDEX limits_queue ON limits (queue);

-- Who has a place under a limit of tasks at a time. It counts as long as that attempt runs; what is left over is
-- cleared away by the next claim that counts.
CREATE TABLE task_slots (
    scope   TEXT    NOT NULL,
    task_id BIGINT  NOT NULL,
    attempt INTEGER NOT NULL,
    PRIMARY KEY (scope, task_id)
);

-- Rates at work (GCRA): when the next token would be due if none were saved up. No row, a full burst.
CREATE TABLE rates (
    scope TEXT        NOT NULL,
    key   TEXT        NOT NULL,
    tat   TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (scope, key)
);

CREATE INDEX rates_tat ON rates (tat);

-- Keys of tasks that are unique for a period, whether or not the task has ended. One row per key; a later task
-- takes over the row of a period that is past.
CREATE TABLE unique_periods (
    kind       TEXT        NOT NULL,
    unique_key TEXT        NOT NULL,
    until      TEXT        NOT NULL,
    -- Absent only within the transaction that makes the task.
    task_id    INTEGER,
    PRIMARY KEY (kind, unique_key)
) STRICT;

CREATE INDEX unique_periods_until ON unique_periods (until);

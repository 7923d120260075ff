-- What a dead letter died of: a hash of its kind and of its error without the parts that differ from task to
-- task. Set as long as the task is a dead letter.
ALTER TABLE tasks ADD COLUMN fingerprint TEXT;

-- Both hold dead letters only, so that work that goes well does not touch them.
CREATE INDEX tasks_dead_groups ON tasks (fingerprint, kind, died_at, id) WHERE died_at IS NOT NULL;
CREATE INDEX tasks_dead_kinds ON tasks (kind, died_at, id) WHERE died_at IS NOT NULL;

-- How much was done lately, told by each worker every few seconds. Ten seconds a row; old rows go.
CREATE TABLE task_rates (
    bucket TIMESTAMPTZ NOT NULL,
    worker TEXT        NOT NULL,
    kind   TEXT        NOT NULL,
    queue  TEXT        NOT NULL,
    done   BIGINT      NOT NULL,
    failed BIGINT      NOT NULL,
    PRIMARY KEY (bucket, worker, kind)
);

-- How much was done ever, for tables too large to be counted and for tasks that are deleted.
CREATE TABLE task_totals (
    kind   TEXT   NOT NULL PRIMARY KEY,
    done   BIGINT NOT NULL,
    failed BIGINT NOT NULL
);

-- What upkeep did: one row for each run.
CREATE TABLE upkeep_runs (
    id         INTEGER     NOT NULL PRIMARY KEY AUTOINCREMENT,
    job        TEXT        NOT NULL,
    -- Absent when a person ran it.
    task_id    INTEGER    ,
    started_at TEXT        NOT NULL,
    ended_at   TEXT        NOT NULL,
    -- Rows removed, or put right.
    rows       INTEGER     NOT NULL,
    bytes      INTEGER     NOT NULL,
    -- More was left for the next run.
    more       INTEGER     NOT NULL,
    -- JSON: what else there is to say.
    detail     TEXT        NOT NULL
) STRICT;

CREATE INDEX upkeep_runs_job ON upkeep_runs (job, id);

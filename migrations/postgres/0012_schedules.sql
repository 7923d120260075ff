-- Schedules: what every process must agree on. What they say is in their files.
CREATE TABLE schedules (
    name       TEXT        NOT NULL PRIMARY KEY,
    -- Expression and time zone, to notice a change.
    definition TEXT        NOT NULL,
    -- Up to which time its ticks were judged. Taking a tick moves this forward.
    last_tick  TIMESTAMPTZ NOT NULL,
    paused_at  TIMESTAMPTZ,
    -- Switched off in its file.
    disabled   BOOLEAN     NOT NULL
);

-- What became of ticks. One row per tick, or one for several that were skipped together.
CREATE TABLE schedule_ticks (
    schedule TEXT        NOT NULL,
    -- The last of those it stands for.
    tick_at  TIMESTAMPTZ NOT NULL,
    source   TEXT        NOT NULL CHECK (source IN ('cron', 'manual')),
    outcome  TEXT        NOT NULL,
    -- How many it stands for.
    ticks    BIGINT      NOT NULL,
    fired_at TIMESTAMPTZ NOT NULL,
    task_id  BIGINT,
    PRIMARY KEY (schedule, tick_at, source)
);

CREATE INDEX schedule_ticks_tick_at ON schedule_ticks (tick_at);

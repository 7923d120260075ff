-- The to-do items in the provider's app: the last thing told of each.
CREATE TABLE provider_tasks (
    id         TEXT        NOT NULL PRIMARY KEY,
    event_type TEXT        NOT NULL,
    told_at    TEXT        NOT NULL,
    -- JSON, as it came.
    resource   TEXT        NOT NULL
) STRICT;

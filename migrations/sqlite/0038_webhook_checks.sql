-- What the last look at the provider's webhooks came to. One row.
CREATE TABLE webhook_checks (
    id         INTEGER     NOT NULL PRIMARY KEY CHECK (id = 1),
    checked_at TEXT        NOT NULL,
    -- JSON: what is not as it should be.
    findings   TEXT        NOT NULL
) STRICT;

-- What people did, and why. Rows are only ever added, in the transaction of the act itself.
CREATE TABLE audit (
    id      INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    at      TEXT        NOT NULL,
    -- Who: `operator:ana`, `key:…`.
    actor   TEXT        NOT NULL,
    -- What: `task.cancel`, `queue.pause`, …
    action  TEXT        NOT NULL,
    -- To what: `task:17`, `queue:media`, …
    subject TEXT        NOT NULL,
    reason  TEXT,
    -- JSON.
    before  TEXT,
    after   TEXT
) STRICT;

CREATE INDEX audit_subject ON audit (subject, id);
CREATE INDEX audit_at ON audit (at, id);

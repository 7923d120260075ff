-- Figures on calls that stay cheap to read, and indexes for what is looked up.

-- What came of a call, once that is known. The rules are told in jobs/calls/stats/mod.rs.
ALTER TABLE calls ADD COLUMN outcome TEXT GENERATED ALWAYS AS (
    CASE
        WHEN NOT status_final THEN NULL
        WHEN status = 'ai-handled' THEN 'ai_handled'
        WHEN status = 'forwarded' OR forwarded_to IS NOT NULL THEN 'forwarded'
        WHEN status = 'answered' THEN 'answered'
        WHEN status = 'completed' AND (answered_at IS NOT NULL OR answered_by IS NOT NULL) THEN 'answered'
        WHEN direction = 'outgoing' AND status = 'failed' THEN 'failed'
        WHEN direction = 'outgoing' THEN 'unanswered'
        WHEN has_voicemail THEN 'voicemail'
        WHEN status = 'failed' THEN 'failed'
        WHEN status IN ('abandoned', 'canceled') THEN 'abandoned'
        WHEN status = 'missed' OR direction = 'incoming' THEN 'missed'
        ELSE 'other'
    END
) VIRTUAL;

-- The calls that began in one hour of the business's clock, on one number, of one user. Made anew from the calls
-- whenever one of them changes, so lateness and repetition cannot spoil it.
CREATE TABLE call_hours (
    began_at   TEXT    NOT NULL,
    -- The provider's id of our number; '' where nobody told.
    number     TEXT    NOT NULL,
    -- Who answered, or else whose call it was; '' where nobody told.
    user_id    TEXT    NOT NULL,
    total      INTEGER NOT NULL,
    incoming   INTEGER NOT NULL,
    answered   INTEGER NOT NULL,
    missed     INTEGER NOT NULL,
    voicemail  INTEGER NOT NULL,
    abandoned  INTEGER NOT NULL,
    forwarded  INTEGER NOT NULL,
    ai_handled INTEGER NOT NULL,
    unanswered INTEGER NOT NULL,
    failed     INTEGER NOT NULL,
    other      INTEGER NOT NULL,
    -- Conversations whose length was told, and their lengths added up.
    talks      INTEGER NOT NULL,
    talk_ms    INTEGER NOT NULL,
    PRIMARY KEY (began_at, number, user_id)
) STRICT, WITHOUT ROWID;

-- When calls began whose hour must be made anew. Only ever added to by those who keep calls, so they never wait
-- for one another here.
CREATE TABLE call_hour_marks (
    id       INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    began_at TEXT    NOT NULL
) STRICT;

-- One row: how far call_hours is.
CREATE TABLE call_hours_state (
    id            INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    -- Minutes past the full hour of UTC at which hours begin; absent before the first filling.
    shift_minutes INTEGER,
    refreshed_at  TEXT
) STRICT;

INSERT INTO call_hours_state (id) VALUES (1);

-- In the database and not in the program, so that a release before this one marks as well while it still runs.
CREATE TRIGGER calls_inserted AFTER INSERT ON calls
WHEN NEW.outcome IS NOT NULL AND NEW.created_at IS NOT NULL
BEGIN
    INSERT INTO call_hour_marks (began_at) VALUES (NEW.created_at);
END;

CREATE TRIGGER calls_deleted AFTER DELETE ON calls
WHEN OLD.outcome IS NOT NULL AND OLD.created_at IS NOT NULL
BEGIN
    INSERT INTO call_hour_marks (began_at) VALUES (OLD.created_at);
END;

CREATE TRIGGER calls_updated AFTER UPDATE ON calls
WHEN OLD.created_at IS NOT NEW.created_at OR OLD.outcome IS NOT NEW.outcome OR OLD.direction IS NOT NEW.direction
    OR OLD.phone_number_id IS NOT NEW.phone_number_id OR OLD.user_id IS NOT NEW.user_id
    OR OLD.answered_by IS NOT NEW.answered_by OR OLD.duration_ms IS NOT NEW.duration_ms
BEGIN
    INSERT INTO call_hour_marks (began_at)
    SELECT OLD.created_at WHERE OLD.outcome IS NOT NULL AND OLD.created_at IS NOT NULL
    UNION
    SELECT NEW.created_at WHERE NEW.outcome IS NOT NULL AND NEW.created_at IS NOT NULL;
END;

-- The last calls of one of our numbers.
CREATE INDEX calls_line ON calls (phone_number_id, created_at) WHERE phone_number_id IS NOT NULL;

-- Asking the provider for what webhooks missed.

-- One row for each run. At most one is under way, in all processes.
CREATE TABLE reconcile_runs (
    id              INTEGER     NOT NULL PRIMARY KEY AUTOINCREMENT,
    state           TEXT        NOT NULL CHECK (state IN ('running', 'complete', 'failed')),
    -- What began it: a schedule's task or a person.
    cause           TEXT        NOT NULL,
    dry_run         INTEGER     NOT NULL,
    -- Only this number of ours; all of them where absent.
    number          TEXT,
    -- From when on; since each number's mark where absent.
    from_at         TEXT,
    -- How long before the mark it begins all the same, for what came late.
    overlap_minutes INTEGER     NOT NULL,
    to_at           TEXT        NOT NULL,
    started_at      TEXT        NOT NULL,
    ended_at        TEXT,
    -- Why it failed.
    error           TEXT
) STRICT;

CREATE UNIQUE INDEX reconcile_runs_running ON reconcile_runs (state) WHERE state = 'running';
CREATE INDEX reconcile_runs_ended ON reconcile_runs (ended_at) WHERE ended_at IS NOT NULL;

-- What a run has still to ask for, in this order. A page that was read gives way, in one transaction with what it
-- repaired, to the page that follows it and to what it told to ask for.
CREATE TABLE reconcile_pages (
    id              INTEGER     NOT NULL PRIMARY KEY AUTOINCREMENT,
    run_id          INTEGER      NOT NULL REFERENCES reconcile_runs (id) ON DELETE CASCADE,
    kind            TEXT        NOT NULL,
    phone_number_id TEXT,
    number          TEXT,
    conversation_id TEXT,
    -- JSON: everybody else in the conversation.
    others          TEXT,
    call_id         TEXT,
    -- When the call ended.
    at              TEXT,
    since           TEXT,
    -- Where the list goes on; '' at its beginning.
    page_token      TEXT        NOT NULL,
    -- How often the list was begun anew because the provider no longer knew where it had been.
    restarts        INTEGER     NOT NULL
) STRICT;

CREATE INDEX reconcile_pages_run ON reconcile_pages (run_id, id);

CREATE TABLE reconcile_counts (
    run_id   INTEGER NOT NULL REFERENCES reconcile_runs (id) ON DELETE CASCADE,
    kind     TEXT   NOT NULL,
    -- Answers of the provider's API.
    requests INTEGER NOT NULL,
    -- Questions that it refused.
    refused  INTEGER NOT NULL,
    -- What the provider has; of that, what we had not; of that, what was told after all.
    found    INTEGER NOT NULL,
    missing  INTEGER NOT NULL,
    repaired INTEGER NOT NULL,
    PRIMARY KEY (run_id, kind)
) STRICT;

-- Up to when everything of a number was asked for.
CREATE TABLE reconcile_marks (
    phone_number_id TEXT        NOT NULL PRIMARY KEY,
    -- Absent until a run came to its end.
    seen_to         TEXT,
    -- The run that is to move it.
    run_id          INTEGER      NOT NULL
) STRICT;

CREATE INDEX reconcile_marks_run ON reconcile_marks (run_id);

-- Voicemails whose call was not told are known by their own id.
CREATE INDEX voicemails_voicemail ON voicemails (voicemail_id) WHERE voicemail_id IS NOT NULL;

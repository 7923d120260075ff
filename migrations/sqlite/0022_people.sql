-- Those whom campaigns can text, whether they may be texted, and how they came to be here. All of it goes by the
-- number and not by the provider's contacts: an opt-out holds for a number that is in no list yet.

-- One row for each number. Made by imports and by people, never by events.
CREATE TABLE people (
    -- E.164.
    number     TEXT        NOT NULL PRIMARY KEY,
    first_name TEXT,
    last_name  TEXT,
    company    TEXT,
    email      TEXT,
    -- JSON: an object of strings, for templates.
    fields     TEXT        NOT NULL,
    -- As somebody said; without it the area code tells.
    time_zone  TEXT,
    state      TEXT,
    -- `import:17`, `operator:ana`, `seed:1`.
    source     TEXT        NOT NULL,
    -- The import that wrote the row last: the same number twice in one file is told by it.
    import_id  INTEGER,
    created_at TEXT        NOT NULL,
    updated_at TEXT        NOT NULL
) STRICT;

-- Tags are anybody's words, flags are words the program knows.
CREATE TABLE person_labels (
    number TEXT NOT NULL REFERENCES people (number) ON DELETE CASCADE,
    -- `tag` or `flag`.
    kind   TEXT NOT NULL,
    label  TEXT NOT NULL,
    PRIMARY KEY (number, kind, label)
) STRICT;

-- Everyone who has a label, in the order of their numbers.
CREATE UNIQUE INDEX person_labels_label ON person_labels (kind, label, number);

-- Whether a number may be texted. No row: nobody asked to stop. A join: the latest word counts, and of two of one
-- time the one that closes.
CREATE TABLE opt_outs (
    number       TEXT        NOT NULL PRIMARY KEY,
    closed       INTEGER     NOT NULL,
    -- The provider's time of the word that decided, or ours for what people did here.
    at           TEXT        NOT NULL,
    -- The entry in `consents` that decided.
    entry        TEXT        NOT NULL,
    channel      TEXT        NOT NULL,
    -- The one text that says so to the person: `none`, `due` or `taken`.
    confirmation TEXT        NOT NULL
) STRICT;

CREATE INDEX opt_outs_confirmation ON opt_outs (at) WHERE confirmation = 'due';
CREATE INDEX opt_outs_closed ON opt_outs (number) WHERE closed;

-- The ledger: everything anybody said about being texted. Rows are only added, but for the verdict of a review.
CREATE TABLE consents (
    id          INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    -- What told of it, so that telling it twice is telling it once: `message:AC…`, `operator:…`.
    entry       TEXT        NOT NULL UNIQUE,
    number      TEXT        NOT NULL,
    -- `opt_out`, `opt_in`, `consent`, `help`.
    act         TEXT        NOT NULL,
    at          TEXT        NOT NULL,
    -- `text`, `phone`, `email`, `web`, `in_person`, `provider`, `import`.
    channel     TEXT        NOT NULL,
    wording     TEXT,
    message_id  TEXT,
    -- Who wrote it down; absent for what the program heard itself.
    actor       TEXT,
    -- Absent: nobody need look. `open`, then `confirmed` or `reopened`.
    review      TEXT,
    recorded_at TEXT        NOT NULL
) STRICT;

CREATE INDEX consents_number ON consents (number, at);
CREATE INDEX consents_review ON consents (id) WHERE review = 'open';

-- Saved filters over people.
CREATE TABLE segments (
    name       TEXT        NOT NULL PRIMARY KEY,
    filter     TEXT        NOT NULL,
    created_by TEXT        NOT NULL,
    created_at TEXT        NOT NULL
) STRICT;

-- Files on their way into `people`. A row is moved on in the transaction that stores the people it counts.
CREATE TABLE imports (
    id           INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    -- Of the file and of how it is read: the same again goes on where it stopped.
    fingerprint  TEXT        NOT NULL,
    file         TEXT        NOT NULL,
    bytes        INTEGER     NOT NULL,
    -- `running`, `done` or `failed`.
    state        TEXT        NOT NULL,
    -- What stopped it.
    error        TEXT,
    -- Where the next record begins.
    next_byte    INTEGER     NOT NULL,
    next_line    INTEGER     NOT NULL,
    -- How long the report of bad rows was at that time.
    report_bytes INTEGER     NOT NULL,
    added        INTEGER     NOT NULL,
    updated      INTEGER     NOT NULL,
    skipped      INTEGER     NOT NULL,
    bad          INTEGER     NOT NULL,
    actor        TEXT        NOT NULL,
    started_at   TEXT        NOT NULL,
    moved_at     TEXT        NOT NULL
) STRICT;

CREATE UNIQUE INDEX imports_running ON imports (fingerprint) WHERE state = 'running';

-- When somebody texted us last.
CREATE INDEX messages_incoming ON messages (sender, created_at) WHERE direction = 'incoming';

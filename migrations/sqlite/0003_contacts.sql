-- People. Rows here and in the tables after are joins of what events told: each column takes the greater (of
-- times of a beginning: the smaller) of what it holds and what it is told, so that neither order nor repetition
-- of events changes what is left in the end.

-- The provider's address book.
CREATE TABLE contacts (
    id            TEXT        NOT NULL PRIMARY KEY,
    -- Never taken back: an id is not used again.
    deleted       INTEGER     NOT NULL,
    -- The provider's time of what is stored here.
    told_at       TEXT        NOT NULL,
    -- Hash of the record: decides between two that were told at one time.
    fingerprint   TEXT        NOT NULL,
    first_name    TEXT,
    last_name     TEXT,
    company       TEXT,
    role          TEXT,
    location      TEXT,
    -- JSON: a list of strings.
    emails        TEXT        NOT NULL,
    -- JSON: a list of objects.
    custom_fields TEXT        NOT NULL,
    source        TEXT,
    external_id   TEXT,
    created_at    TEXT,
    updated_at    TEXT       
) STRICT;

CREATE TABLE contact_numbers (
    contact_id TEXT NOT NULL REFERENCES contacts (id) ON DELETE CASCADE,
    number     TEXT NOT NULL,
    PRIMARY KEY (contact_id, number)
) STRICT;

CREATE INDEX contact_numbers_number ON contact_numbers (number);

-- Everyone who was ever texted or called, in the address book or not.
CREATE TABLE numbers (
    number        TEXT        NOT NULL PRIMARY KEY,
    first_seen_at TEXT,
    last_seen_at  TEXT       
) STRICT;

CREATE INDEX numbers_last_seen ON numbers (last_seen_at);

-- Our own numbers, as far as events gave them away. In a group thread nothing says which recipient is us, so
-- such a number can be among the others, too. Apart from those, and written once: a row that every event
-- updated would make all jobs of a number wait for one another.
CREATE TABLE workspace_numbers (
    number TEXT NOT NULL PRIMARY KEY
) STRICT;

-- Campaigns, to whom they go, and the ledger of every text of ours.

CREATE TABLE campaigns (
    id            INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    name          TEXT        NOT NULL UNIQUE,
    state         TEXT        NOT NULL
                  CHECK (state IN ('draft', 'scheduled', 'running', 'paused', 'completed', 'cancelled')),
    -- Why it is held or was cancelled.
    reason        TEXT,
    -- JSON.
    plan          TEXT        NOT NULL,
    -- Rises whenever somebody moves the campaign: a pump of an earlier one sends nothing more.
    generation    INTEGER     NOT NULL,
    -- How far its recipients are written down, until frozen_at.
    frozen_to     TEXT,
    frozen_at     TEXT,
    recipients    INTEGER     NOT NULL,
    -- Segments of all texts that were let go.
    segments      INTEGER     NOT NULL,
    -- What the next text waits for, and until when.
    waits_for     TEXT,
    next_at       TEXT,
    scheduled_for TEXT,
    created_by    TEXT        NOT NULL,
    created_at    TEXT        NOT NULL,
    started_at    TEXT,
    ended_at      TEXT
) STRICT;

CREATE TABLE campaign_recipients (
    campaign_id INTEGER     NOT NULL REFERENCES campaigns (id) ON DELETE CASCADE,
    -- The order in which they get their texts.
    position    INTEGER     NOT NULL,
    number      TEXT        NOT NULL,
    variant     TEXT        NOT NULL,
    -- `waiting`; `taken`: there is a row in the ledger, which tells the rest; `refused`: gets no text.
    state       TEXT        NOT NULL CHECK (state IN ('waiting', 'taken', 'refused')),
    -- Why it waits until due_at, or was refused.
    reason      TEXT,
    due_at      TEXT        NOT NULL,
    PRIMARY KEY (campaign_id, position),
    UNIQUE (campaign_id, number)
) STRICT;

CREATE INDEX campaign_recipients_due ON campaign_recipients (campaign_id, due_at, position) WHERE state = 'waiting';
CREATE INDEX campaign_recipients_number ON campaign_recipients (number);

-- One row for each text. It is committed as `intended` before the provider is asked.
CREATE TABLE sends (
    id             INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    -- `campaign`, `reply` or `optout_confirmation`.
    kind           TEXT        NOT NULL,
    campaign_id    INTEGER     REFERENCES campaigns (id),
    variant        TEXT,
    number         TEXT        NOT NULL,
    -- Our number, by the provider's id.
    sender         TEXT        NOT NULL,
    body           TEXT        NOT NULL,
    -- Of the words, without what the provider may spell in another way.
    body_hash      TEXT        NOT NULL,
    segments       INTEGER     NOT NULL,
    state          TEXT        NOT NULL
                   CHECK (state IN ('waiting', 'intended', 'accepted', 'refused', 'unknown', 'unresolved', 'sent',
                                    'delivered', 'failed', 'undelivered')),
    reason         TEXT,
    error_code     TEXT,
    provider_id    TEXT        UNIQUE,
    -- How often it was intended: the token by which an answer that comes late is told from one to another try.
    tries          INTEGER     NOT NULL,
    -- Who intended it.
    task_id        INTEGER,
    attempt        INTEGER,
    -- How often the provider was asked what became of it, and what was found.
    lookups        INTEGER     NOT NULL,
    evidence       TEXT,
    cause          TEXT        NOT NULL,
    correlation_id TEXT,
    created_at     TEXT        NOT NULL,
    intended_at    TEXT,
    state_at       TEXT        NOT NULL,
    UNIQUE (campaign_id, number)
) STRICT;

CREATE INDEX sends_number ON sends (number, intended_at);
CREATE INDEX sends_sender ON sends (sender, intended_at);
CREATE INDEX sends_campaign ON sends (campaign_id, intended_at);
CREATE INDEX sends_open ON sends (state, intended_at) WHERE state IN ('intended', 'unknown', 'unresolved');

-- Calls and what comes of them.
CREATE TABLE calls (
    id              TEXT        NOT NULL PRIMARY KEY,
    conversation_id TEXT        REFERENCES conversations (id) ON DELETE SET NULL,
    phone_number_id TEXT,
    user_id         TEXT,
    direction       TEXT,
    caller          TEXT,
    callee          TEXT,
    created_at      TIMESTAMPTZ,
    answered_at     TIMESTAMPTZ,
    answered_by     TEXT,
    completed_at    TIMESTAMPTZ,
    duration_ms     BIGINT,
    has_voicemail   BOOLEAN     NOT NULL,
    forwarded_from  TEXT,
    forwarded_to    TEXT,
    -- JSON: digit, name and reason of the last choice in a phone menu.
    menu            TEXT,
    menu_at         TIMESTAMPTZ,
    -- These four are one value: the most telling word for how the call ended, or else how far it has come.
    -- 'unknown' where only a recording, voicemail, transcript or summary told of the call so far.
    status          TEXT        NOT NULL,
    status_final    BOOLEAN     NOT NULL,
    status_rank     INTEGER     NOT NULL,
    status_at       TIMESTAMPTZ NOT NULL
);

CREATE INDEX calls_conversation ON calls (conversation_id, created_at);
CREATE INDEX calls_created ON calls (created_at);

CREATE TABLE call_participants (
    call_id TEXT NOT NULL REFERENCES calls (id) ON DELETE CASCADE,
    number  TEXT NOT NULL,
    PRIMARY KEY (call_id, number)
);

CREATE INDEX call_participants_number ON call_participants (number);

CREATE TABLE call_recordings (
    call_id      TEXT        NOT NULL REFERENCES calls (id) ON DELETE CASCADE,
    -- The provider's id, or what stands for it where none is told: the start, or the link without its signature.
    recording    TEXT        NOT NULL,
    started_at   TIMESTAMPTZ,
    duration_ms  BIGINT,
    PRIMARY KEY (call_id, recording)
);

CREATE TABLE voicemails (
    -- 'call:' and the call's id where the call is known, so that all who tell of it meet; else its own id.
    id            TEXT        NOT NULL PRIMARY KEY,
    call_id       TEXT        REFERENCES calls (id) ON DELETE CASCADE,
    -- Its own entry in the conversation.
    activity_id   TEXT,
    -- The provider's id of the voicemail itself.
    voicemail_id  TEXT,
    sender        TEXT,
    recipient     TEXT,
    duration_ms   BIGINT,
    transcript    TEXT,
    transcript_at TIMESTAMPTZ,
    created_at    TIMESTAMPTZ
);

CREATE UNIQUE INDEX voicemails_call ON voicemails (call_id) WHERE call_id IS NOT NULL;
CREATE INDEX voicemails_activity ON voicemails (activity_id) WHERE activity_id IS NOT NULL;

CREATE TABLE call_transcripts (
    call_id     TEXT        NOT NULL PRIMARY KEY REFERENCES calls (id) ON DELETE CASCADE,
    status      TEXT        NOT NULL,
    status_rank INTEGER     NOT NULL,
    told_at     TIMESTAMPTZ NOT NULL,
    duration_ms BIGINT,
    -- JSON: a list of utterances.
    dialogue    TEXT        NOT NULL
);

CREATE TABLE call_summaries (
    call_id     TEXT        NOT NULL PRIMARY KEY REFERENCES calls (id) ON DELETE CASCADE,
    status      TEXT        NOT NULL,
    status_rank INTEGER     NOT NULL,
    told_at     TIMESTAMPTZ NOT NULL,
    -- JSON: lists of strings.
    summary     TEXT        NOT NULL,
    next_steps  TEXT        NOT NULL,
    -- JSON: whatever else the provider's AI made of the call.
    insights    TEXT        NOT NULL
);

-- What happened in a conversation, of either kind.
CREATE VIEW activities AS
SELECT id, 'message' AS type, conversation_id, direction, status, COALESCE(created_at, status_at) AS at FROM messages
UNION ALL
SELECT id, 'call' AS type, conversation_id, direction, status, COALESCE(created_at, status_at) AS at FROM calls;

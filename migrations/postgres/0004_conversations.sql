-- Conversations and their messages.
CREATE TABLE conversations (
    id                TEXT        NOT NULL PRIMARY KEY,
    phone_number_id   TEXT,
    -- Absent while only a transcript or a summary told of it.
    first_activity_at TIMESTAMPTZ,
    last_activity_at  TIMESTAMPTZ
);

CREATE INDEX conversations_last_activity ON conversations (last_activity_at);

-- Both sides: ours are those in workspace_numbers.
CREATE TABLE conversation_participants (
    conversation_id TEXT NOT NULL REFERENCES conversations (id) ON DELETE CASCADE,
    number          TEXT NOT NULL,
    PRIMARY KEY (conversation_id, number)
);

CREATE INDEX conversation_participants_number ON conversation_participants (number);

CREATE TABLE messages (
    id              TEXT        NOT NULL PRIMARY KEY,
    -- Absent until told: webhooks of the v1 API do not say.
    conversation_id TEXT        REFERENCES conversations (id) ON DELETE SET NULL,
    phone_number_id TEXT,
    user_id         TEXT,
    direction       TEXT        NOT NULL,
    sender          TEXT,
    text            TEXT,
    created_at      TIMESTAMPTZ,
    -- These five are one value: the last end there is, or else the last step.
    status          TEXT        NOT NULL,
    status_final    BOOLEAN     NOT NULL,
    status_at       TIMESTAMPTZ NOT NULL,
    status_rank     INTEGER     NOT NULL,
    error_code      TEXT
);

CREATE INDEX messages_conversation ON messages (conversation_id, created_at);
CREATE INDEX messages_created ON messages (created_at);

CREATE TABLE message_recipients (
    message_id TEXT NOT NULL REFERENCES messages (id) ON DELETE CASCADE,
    number     TEXT NOT NULL,
    PRIMARY KEY (message_id, number)
);

CREATE INDEX message_recipients_number ON message_recipients (number);

-- Who may ask this installation what. Only hashes of secrets are kept.
CREATE TABLE access_keys (
    -- The part of a key that is no secret.
    id           TEXT        NOT NULL PRIMARY KEY,
    name         TEXT        NOT NULL,
    -- Joined by blanks: `read pii`.
    scopes       TEXT        NOT NULL,
    -- SHA-256 of the part that is secret.
    secret_hash  TEXT        NOT NULL,
    -- The key this one takes the place of.
    replaces     TEXT,
    created_at   TIMESTAMPTZ NOT NULL,
    created_by   TEXT        NOT NULL,
    -- What it was made for; the end can come sooner.
    lifetime_seconds BIGINT,
    expires_at   TIMESTAMPTZ,
    revoked_at   TIMESTAMPTZ,
    -- To the minute.
    last_used_at TIMESTAMPTZ
);

CREATE INDEX access_keys_created ON access_keys (created_at, id);

-- Browsers that came in with a key. A session ends with its key.
CREATE TABLE access_sessions (
    -- SHA-256 of what the cookie holds.
    token_hash TEXT        NOT NULL PRIMARY KEY,
    key_id     TEXT        NOT NULL REFERENCES access_keys (id),
    created_at TIMESTAMPTZ NOT NULL,
    expires_at TIMESTAMPTZ NOT NULL
);

CREATE INDEX access_sessions_key ON access_sessions (key_id, created_at);
CREATE INDEX access_sessions_expiry ON access_sessions (expires_at);

-- Versions of the secrets that the provider and we share, sealed under a master key that is not in the database.
CREATE TABLE secrets (
    id               INTEGER     NOT NULL PRIMARY KEY AUTOINCREMENT,
    purpose          TEXT        NOT NULL CHECK (purpose IN ('standard', 'legacy', 'api_key')),
    -- Whose it is: the provider's id of a subscription, or a name that a person gave.
    name             TEXT        NOT NULL,
    version          INTEGER     NOT NULL,
    state            TEXT        NOT NULL CHECK (state IN ('incoming', 'active', 'retiring', 'retired')),
    -- Absent before the provider has told it, and after it was retired: what is not needed is not kept.
    sealed           TEXT,
    -- Which master key opens it.
    sealed_with      TEXT,
    -- Tells secrets apart without giving one away.
    fingerprint      TEXT,
    -- Deliveries that were signed with it and, where with several, with none newer.
    deliveries       INTEGER     NOT NULL,
    last_delivery_at TEXT,
    created_at       TEXT        NOT NULL,
    created_by       TEXT        NOT NULL,
    -- When somebody was last about to ask the provider for it.
    announced_at     TEXT,
    activated_at     TEXT,
    retiring_at      TEXT,
    retired_at       TEXT,
    UNIQUE (purpose, name, version),
    CHECK (state IN ('incoming', 'retired') OR sealed IS NOT NULL),
    CHECK (state <> 'retired' OR sealed IS NULL)
) STRICT;

CREATE UNIQUE INDEX secrets_live ON secrets (fingerprint) WHERE state <> 'retired';
CREATE INDEX secrets_retired ON secrets (fingerprint) WHERE state = 'retired';

-- The files behind the provider's links.
CREATE TABLE media (
    id            INTEGER     NOT NULL PRIMARY KEY AUTOINCREMENT,
    owner_type    TEXT        NOT NULL CHECK (owner_type IN ('message', 'recording', 'voicemail')),
    -- A message's id, a voicemail's id, or a call's id and the recording's, joined by a slash.
    owner_id      TEXT        NOT NULL,
    position      INTEGER     NOT NULL,
    -- The last link that was told. It can expire, and whoever has it has the file.
    url           TEXT        NOT NULL,
    told_at       TEXT        NOT NULL,
    -- What the sender says it is; not to be trusted.
    declared_type TEXT,
    state         TEXT        NOT NULL CHECK (state IN ('pending', 'stored', 'failed')),
    -- Why it failed.
    error         TEXT,
    sha256        TEXT,
    size          INTEGER,
    -- What it is, told by its content.
    media_type    TEXT,
    -- Where it is, relative to the store's root.
    path          TEXT,
    created_at    TEXT        NOT NULL,
    stored_at     TEXT       
) STRICT;

CREATE UNIQUE INDEX media_owner ON media (owner_type, owner_id, position);
CREATE INDEX media_waiting ON media (id) WHERE state = 'pending';
CREATE INDEX media_content ON media (sha256) WHERE sha256 IS NOT NULL;

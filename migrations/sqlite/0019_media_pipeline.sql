-- What became of each file: checked, scanned, shown small, kept for a time. New states mean a new table, since SQLite
-- cannot change a CHECK; nothing refers to the old one.
CREATE TABLE media_new (
    id               INTEGER     NOT NULL PRIMARY KEY AUTOINCREMENT,
    owner_type       TEXT        NOT NULL CHECK (owner_type IN ('message', 'recording', 'voicemail')),
    -- A message's id, a voicemail's id, or a call's id and the recording's, joined by a slash.
    owner_id         TEXT        NOT NULL,
    position         INTEGER     NOT NULL,
    -- The last link that was told. It can expire, and whoever has it has the file. Empty once purged.
    url              TEXT        NOT NULL,
    told_at          TEXT        NOT NULL,
    -- What the sender says it is; not to be trusted.
    declared_type    TEXT,
    state            TEXT        NOT NULL CHECK (state IN ('pending', 'stored', 'quarantined', 'failed', 'purged')),
    -- Why it failed.
    error            TEXT,
    -- The content that this row holds on to. A pending row with one has its file, not yet scanned.
    sha256           TEXT,
    size             INTEGER,
    -- What it is, told by its content.
    media_type       TEXT,
    -- Where it is, relative to the store's root.
    path             TEXT,
    created_at       TEXT        NOT NULL,
    stored_at        TEXT       ,
    -- What the host called it; not to be trusted.
    served_type      TEXT,
    -- It is something else than it was said to be.
    type_mismatch    INTEGER     NOT NULL DEFAULT 0,
    -- When the virus scanner last looked. Absent: never.
    scanned_at       TEXT       ,
    -- What the scanner found.
    signature        TEXT,
    thumbnail_sha256 TEXT,
    thumbnail_type   TEXT,
    thumbnail_size   INTEGER,
    -- Why an image has no thumbnail.
    thumbnail_error  TEXT,
    -- Not to be purged, whatever the retention.
    legal_hold       INTEGER     NOT NULL DEFAULT 0,
    purged_at        TEXT       ,
    -- When the provider was last asked for a fresh link.
    asked_at         TEXT       ,
    -- The content that it had before it was purged or quarantined.
    former_sha256    TEXT
) STRICT;

INSERT INTO media_new (id, owner_type, owner_id, position, url, told_at, declared_type, state, error, sha256, size,
    media_type, path, created_at, stored_at)
SELECT id, owner_type, owner_id, position, url, told_at, declared_type, state, error, sha256, size, media_type, path,
    created_at, stored_at
FROM media;
DROP TABLE media;
ALTER TABLE media_new RENAME TO media;

CREATE UNIQUE INDEX media_owner ON media (owner_type, owner_id, position);
CREATE INDEX media_waiting ON media (id) WHERE state = 'pending';
CREATE INDEX media_content ON media (sha256) WHERE sha256 IS NOT NULL;
CREATE INDEX media_thumbnail ON media (thumbnail_sha256) WHERE thumbnail_sha256 IS NOT NULL;
-- What retention looks through, the oldest first.
CREATE INDEX media_expiring ON media (owner_type, stored_at, id) WHERE state = 'stored' AND NOT legal_hold;
CREATE INDEX media_state ON media (state, id);


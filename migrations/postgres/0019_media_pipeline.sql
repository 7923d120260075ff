-- What became of each file: checked, scanned, shown small, kept for a time.
ALTER TABLE media DROP CONSTRAINT media_state_check;
ALTER TABLE media ADD CONSTRAINT media_state_check
    CHECK (state IN ('pending', 'stored', 'quarantined', 'failed', 'purged'));
-- What the host called it; not to be trusted.
ALTER TABLE media ADD COLUMN served_type TEXT;
-- It is something else than it was said to be.
ALTER TABLE media ADD COLUMN type_mismatch BOOLEAN NOT NULL DEFAULT FALSE;
-- When the virus scanner last looked. Absent: never.
ALTER TABLE media ADD COLUMN scanned_at TIMESTAMPTZ;
-- What the scanner found.
ALTER TABLE media ADD COLUMN signature TEXT;
ALTER TABLE media ADD COLUMN thumbnail_sha256 TEXT;
ALTER TABLE media ADD COLUMN thumbnail_type TEXT;
ALTER TABLE media ADD COLUMN thumbnail_size BIGINT;
-- Why an image has no thumbnail.
ALTER TABLE media ADD COLUMN thumbnail_error TEXT;
-- Not to be purged, whatever the retention.
ALTER TABLE media ADD COLUMN legal_hold BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE media ADD COLUMN purged_at TIMESTAMPTZ;
-- When the provider was last asked for a fresh link.
ALTER TABLE media ADD COLUMN asked_at TIMESTAMPTZ;
-- The content that it had before it was purged or quarantined.
ALTER TABLE media ADD COLUMN former_sha256 TEXT;

CREATE INDEX media_thumbnail ON media (thumbnail_sha256) WHERE thumbnail_sha256 IS NOT NULL;
-- What retention looks through, the oldest first.
CREATE INDEX media_expiring ON media (owner_type, stored_at, id) WHERE state = 'stored' AND NOT legal_hold;
CREATE INDEX media_state ON media (state, id);


-- What keeps storing a content in the media store and removing it apart: a row for each content that is there or about
-- to be.
CREATE TABLE media_contents (
    id          INTEGER     NOT NULL PRIMARY KEY AUTOINCREMENT,
    sha256      TEXT        NOT NULL,
    -- When somebody last said that it is about to be named, or named it.
    claimed_at  TEXT        NOT NULL,
    -- It is being removed since then.
    removing_at TEXT
) STRICT;

CREATE UNIQUE INDEX media_contents_sha256 ON media_contents (sha256);
CREATE INDEX media_contents_removing ON media_contents (removing_at) WHERE removing_at IS NOT NULL;

INSERT INTO media_contents (sha256, claimed_at)
SELECT sha256, MAX(COALESCE(stored_at, created_at)) FROM media WHERE sha256 IS NOT NULL GROUP BY sha256;

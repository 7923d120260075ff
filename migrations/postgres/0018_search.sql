-- Full-text search over what people wrote and said.

-- One row for each text that can be found. It goes with what it was made of.
CREATE TABLE search_documents (
    -- The second of its time, then twenty bits that tell those of one second apart: in order of time.
    id            BIGINT NOT NULL PRIMARY KEY,
    -- What it was made of: exactly one of these.
    message_id    TEXT   REFERENCES messages (id) ON DELETE CASCADE,
    transcript_id TEXT   REFERENCES call_transcripts (call_id) ON DELETE CASCADE,
    summary_id    TEXT   REFERENCES call_summaries (call_id) ON DELETE CASCADE,
    voicemail_id  TEXT   REFERENCES voicemails (id) ON DELETE CASCADE,
    -- Hash of its time and terms: tells whether it is up to date.
    fingerprint   BIGINT NOT NULL
);

CREATE UNIQUE INDEX search_documents_message ON search_documents (message_id) WHERE message_id IS NOT NULL;
CREATE UNIQUE INDEX search_documents_transcript ON search_documents (transcript_id) WHERE transcript_id IS NOT NULL;
CREATE UNIQUE INDEX search_documents_summary ON search_documents (summary_id) WHERE summary_id IS NOT NULL;
CREATE UNIQUE INDEX search_documents_voicemail ON search_documents (voicemail_id) WHERE voicemail_id IS NOT NULL;

-- The terms of each document, as the engine searches them. On SQLite an FTS5 table.
CREATE TABLE search_terms (
    rowid BIGINT   NOT NULL PRIMARY KEY REFERENCES search_documents (id) ON DELETE CASCADE,
    terms tsvector NOT NULL
);

-- A search reads the index and the ids, so long terms stay out of their way.
ALTER TABLE search_terms SET (toast_tuple_target = 128);

-- Without a list of changes not yet merged in, which every search would have to read through.
CREATE INDEX search_terms_terms ON search_terms USING gin (terms) WITH (fastupdate = off);

-- Calls in the order they began, those that only a transcript or summary told of among them.
CREATE INDEX calls_began ON calls (COALESCE(created_at, status_at), id);

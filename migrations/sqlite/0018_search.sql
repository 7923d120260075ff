-- Full-text search over what people wrote and said.

-- One row for each text that can be found. It goes with what it was made of.
CREATE TABLE search_documents (
    -- The second of its time, then twenty bits that tell those of one second apart: in order of time.
    id            INTEGER NOT NULL PRIMARY KEY,
    -- What it was made of: exactly one of these.
    message_id    TEXT    REFERENCES messages (id) ON DELETE CASCADE,
    transcript_id TEXT    REFERENCES call_transcripts (call_id) ON DELETE CASCADE,
    summary_id    TEXT    REFERENCES call_summaries (call_id) ON DELETE CASCADE,
    voicemail_id  TEXT    REFERENCES voicemails (id) ON DELETE CASCADE,
    -- Hash of its time and terms: tells whether it is up to date.
    fingerprint   INTEGER NOT NULL
) STRICT;

CREATE UNIQUE INDEX search_documents_message ON search_documents (message_id) WHERE message_id IS NOT NULL;
CREATE UNIQUE INDEX search_documents_transcript ON search_documents (transcript_id) WHERE transcript_id IS NOT NULL;
CREATE UNIQUE INDEX search_documents_summary ON search_documents (summary_id) WHERE summary_id IS NOT NULL;
CREATE UNIQUE INDEX search_documents_voicemail ON search_documents (voicemail_id) WHERE voicemail_id IS NOT NULL;

-- The terms of each document, as the engine searches them. On PostgreSQL a table with a GIN index. What makes a
-- term is decided before they get here, so the tokenizer has only to cut at the blanks.
CREATE VIRTUAL TABLE search_terms USING fts5 (
    terms,
    content = '',
    contentless_delete = 1,
    detail = none,
    tokenize = "ascii tokenchars '_'"
);

CREATE TRIGGER search_documents_removed AFTER DELETE ON search_documents
BEGIN
    DELETE FROM search_terms WHERE rowid = old.id;
END;

-- Calls in the order they began, those that only a transcript or summary told of among them.
CREATE INDEX calls_began ON calls (COALESCE(created_at, status_at), id);

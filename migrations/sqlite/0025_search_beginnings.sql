-- Beginnings of words are found by an index of their own, and a file's row knows which task last tried to fetch it.

-- Documents are indexed anew by upkeep.search: an index without content cannot be copied.
DROP TRIGGER search_documents_removed;
DROP TABLE search_terms;
DELETE FROM search_documents;

-- As before, with the lists of documents for the first three and the first four characters of each term.
CREATE VIRTUAL TABLE search_terms USING fts5 (
    terms,
    content = '',
    contentless_delete = 1,
    detail = none,
    prefix = '3 4',
    tokenize = "ascii tokenchars '_'"
);

CREATE TRIGGER search_documents_removed AFTER DELETE ON search_documents
BEGIN
    DELETE FROM search_terms WHERE rowid = old.id;
END;

-- Absent: it was tried once at the most.
ALTER TABLE media ADD COLUMN task_id INTEGER;

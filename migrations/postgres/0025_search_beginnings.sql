-- Beginnings of words are found by an index of their own (on SQLite; the one that is there serves here), and a file's row
-- knows which task last tried to fetch it.

-- Absent: it was tried once at the most.
ALTER TABLE media ADD COLUMN task_id BIGINT;

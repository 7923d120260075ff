-- Dead letters among other tasks, the newest first: they are few, and a list of them is not to read a million others.
CREATE INDEX tasks_dead_by_id ON tasks (id) WHERE died_at IS NOT NULL;

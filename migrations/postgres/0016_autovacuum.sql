-- Vacuum the task table by how much it churned and not by how much history it keeps: a fiftieth of five million done
-- rows is a hundred thousand dead ones that every look at the ready index reads past.
ALTER TABLE tasks SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000);

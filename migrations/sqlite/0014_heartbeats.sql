-- Leases are watched by whether they are renewed, not by the time of day: clocks of machines differ and jump.
ALTER TABLE workers ADD COLUMN beat INTEGER NOT NULL DEFAULT 0;
-- How long this worker's lease runs. Absent: it is of an older release.
ALTER TABLE workers ADD COLUMN lease_ms INTEGER;

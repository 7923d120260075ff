-- When the provider was first asked what became of this try, by the provider's own clock: no clock of ours, which may be
-- set, decides that a text never arrived.
ALTER TABLE sends ADD COLUMN first_looked_at TIMESTAMPTZ;

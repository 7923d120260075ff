-- What people made of a text of a campaign. It belongs to the last such text they were sent before, until counts_until.
ALTER TABLE sends ADD COLUMN counts_until TIMESTAMPTZ;
-- When the recipient first answered, other than by asking to stop.
ALTER TABLE sends ADD COLUMN replied_at   TIMESTAMPTZ;
-- When the recipient asked to get no more texts.
ALTER TABLE sends ADD COLUMN opted_out_at TIMESTAMPTZ;

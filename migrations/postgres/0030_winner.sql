-- The text that those get who wait, whatever was drawn for them, and when texts were no longer tried.
ALTER TABLE campaigns ADD COLUMN winner      TEXT;
ALTER TABLE campaigns ADD COLUMN promoted_at TIMESTAMPTZ;

CREATE INDEX campaigns_under_way ON campaigns (id) WHERE state IN ('running', 'paused');

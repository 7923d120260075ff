-- Pages of the provider's log of its deliveries.

-- Whose log, by the provider's id; and which delivery of it.
ALTER TABLE reconcile_pages ADD COLUMN webhook_id TEXT;
ALTER TABLE reconcile_pages ADD COLUMN delivery_id TEXT;

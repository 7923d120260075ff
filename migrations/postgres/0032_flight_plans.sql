-- What was foreseen of a campaign when its recipients had been written down: what happens is told beside it.
CREATE TABLE flight_plans (
    campaign_id BIGINT      NOT NULL PRIMARY KEY REFERENCES campaigns (id) ON DELETE CASCADE,
    made_at     TIMESTAMPTZ NOT NULL,
    -- JSON.
    document    TEXT        NOT NULL
);

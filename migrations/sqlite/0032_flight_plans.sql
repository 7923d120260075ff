-- What was foreseen of a campaign when its recipients had been written down: what happens is told beside it.
CREATE TABLE flight_plans (
    campaign_id INTEGER     NOT NULL PRIMARY KEY REFERENCES campaigns (id) ON DELETE CASCADE,
    made_at     TEXT        NOT NULL,
    -- JSON.
    document    TEXT        NOT NULL
) STRICT;

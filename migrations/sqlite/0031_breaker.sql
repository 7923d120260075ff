-- What the breaker stopped, with what it saw. A row is open until a person lets the campaign or the number go on; the window of the
-- latest texts starts anew from then.
CREATE TABLE breaker_trips (
    id          INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    -- One of the two: a campaign that was paused, or a number of ours (by the provider's id) that sends nothing in any campaign.
    campaign_id INTEGER     REFERENCES campaigns (id) ON DELETE CASCADE,
    sender      TEXT,
    cause       TEXT        NOT NULL,
    reason      TEXT        NOT NULL,
    -- JSON: how many texts, how many failed with which codes, and some of them.
    evidence    TEXT        NOT NULL,
    -- The campaign whose texts showed it.
    seen_in     INTEGER     NOT NULL,
    tripped_at  TEXT        NOT NULL,
    released_at TEXT,
    released_by TEXT,
    CHECK ((campaign_id IS NULL) <> (sender IS NULL))
) STRICT;

CREATE UNIQUE INDEX breaker_trips_open_campaign ON breaker_trips (campaign_id) WHERE released_at IS NULL AND campaign_id IS NOT NULL;
CREATE UNIQUE INDEX breaker_trips_open_sender ON breaker_trips (sender) WHERE released_at IS NULL AND sender IS NOT NULL;
CREATE INDEX breaker_trips_campaign ON breaker_trips (campaign_id, id);
CREATE INDEX breaker_trips_sender ON breaker_trips (sender, id);

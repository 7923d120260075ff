-- How often the provider may be asked: one row per API key, shared by all processes. It outlives restarts, so that
-- a start does not begin with a second burst.
CREATE TABLE provider_rates (
    -- The beginning of the key's SHA-256.
    api_key    TEXT        NOT NULL PRIMARY KEY,
    -- JSON: the requests of the last second, as microseconds since 1970, the oldest first.
    taken      TEXT        NOT NULL,
    -- After a 429: how many requests a second were left, and since when. It grows again with time.
    reduced_to INTEGER,
    reduced_at TIMESTAMPTZ,
    -- Nobody asks before this time: the provider said so.
    not_before TIMESTAMPTZ,
    -- The next place in the queue of those who were sent away.
    turn_at    TIMESTAMPTZ
) WITH (fillfactor = 50);

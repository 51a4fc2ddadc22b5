-- The fence: whether a monitor still holds the lease that it was given. Everything that a monitor writes asks this
-- in the same transaction. FOR KEY SHARE: nobody takes the lease over between this look and the commit, since that
-- changes the epoch, which is part of a key; the renewal, which does not, waits for no write.
CREATE OR REPLACE FUNCTION fleet_lease_held(shard smallint, owner uuid, epoch bigint) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM monitor_leases AS lease
        WHERE lease.shard = $1 AND lease.owner = $2 AND lease.epoch = $3 FOR KEY SHARE;
    RETURN FOUND;
END $$
-- next
-- What a monitor says of itself. It is listened to while it holds the lease; the time is given as an age,
-- so that the database's clock tells it, and so is how long it holds verdicts: `hold_seconds` becomes `until`. Only the
-- owner of the tables may call this; a monitor that connects as another role needs GRANT EXECUTE
-- ON FUNCTION fleet_monitor_event(text, jsonb, interval, smallint, uuid, bigint).
CREATE OR REPLACE FUNCTION fleet_monitor_event(
    type text, body jsonb, since_ago interval, shard smallint, owner uuid, epoch bigint)
RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    since CONSTANT timestamptz := clock_timestamp() - since_ago;
BEGIN
    IF type NOT IN ('monitor.isolated', 'monitor.recovered') THEN
        RAISE EXCEPTION 'A monitor has no event % to tell of itself', type;
    END IF;
    IF NOT fleet_lease_held(shard, owner, epoch) THEN
        RETURN false;
    END IF;
    -- Said already: the monitor did not learn of the commit, and says it again.
    PERFORM 1 FROM (SELECT event.type FROM fleet_events AS event WHERE event.type LIKE 'monitor.%'
                    ORDER BY event.seq DESC LIMIT 1) AS last WHERE last.type = $1;
    IF FOUND THEN
        RETURN true;
    END IF;
    IF body ? 'hold_seconds' THEN
        body := body - 'hold_seconds'
            || jsonb_build_object('until', since + make_interval(secs => (body->>'hold_seconds')::float8));
    END IF;
    PERFORM fleet_event_stage(type, NULL, NULL, jsonb_build_object('since', since) || body);
    RETURN true;
END $$
-- next
REVOKE ALL ON FUNCTION fleet_monitor_event(text, jsonb, interval, smallint, uuid, bigint) FROM PUBLIC

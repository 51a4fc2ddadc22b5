-- What runs with the owner's rights finds nothing that a caller made: pg_temp is searched first unless it
-- is named, and "$user" may be the caller's schema. The functions below take this path FROM CURRENT.
SELECT set_config('search_path', quote_ident(current_schema()) || ', pg_temp', true)
-- next
-- What a subscriber may see of a server, less what changes with every check, with its watch, or is a secret. A
-- suspicion has events of its own, and that there is VRAM shows by those of models.
CREATE OR REPLACE FUNCTION fleet_public_server(server ollama_servers) RETURNS jsonb
LANGUAGE sql STABLE AS $$
    SELECT to_jsonb(server) - ARRAY[
        'auth_config', 'updated_at', 'status_changed_at', 'last_checked_at', 'next_check_at', 'latency_ms',
        'models_listed_at', 'check_requested_at', 'check_answered_at', 'check_result',
        'discovery_requested_at', 'discovery_answered_at', 'discovery_result', 'watch_state',
        'suspect_since', 'suspect_reason', 'suspicion_told', 'vram_seen']
$$
-- next
-- Keeps a server's row consistent whoever writes it: the row version counts the operator's edits,
-- a verdict does not outlive the address it was about, nor a suspicion the verdict, and is_available is what status
-- says.
CREATE OR REPLACE FUNCTION fleet_server_before() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    -- Sealed anew with another key it is the same credential.
    config CONSTANT jsonb := CASE WHEN fleet_is_rotation(OLD, NEW) THEN OLD.auth_config ELSE NEW.auth_config END;
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.is_available AND NEW.status = 'unknown' THEN
            NEW.status := 'up';
        END IF;
        NEW.status_changed_at := clock_timestamp();
    ELSE
        IF (NEW.name, NEW.url, NEW.api_version, NEW.auth_type, config, NEW.is_active, NEW.is_default,
            NEW.capabilities, NEW.max_concurrent, NEW.priority, NEW.labels, NEW.check_interval_seconds,
            NEW.check_timeout_seconds, NEW.rise, NEW.fall, NEW.connection_watch, NEW.site)
           IS DISTINCT FROM
           (OLD.name, OLD.url, OLD.api_version, OLD.auth_type, OLD.auth_config, OLD.is_active, OLD.is_default,
            OLD.capabilities, OLD.max_concurrent, OLD.priority, OLD.labels, OLD.check_interval_seconds,
            OLD.check_timeout_seconds, OLD.rise, OLD.fall, OLD.connection_watch, OLD.site) THEN
            NEW.row_version := OLD.row_version + 1;
            NEW.updated_at := clock_timestamp();
        END IF;
        IF (NEW.url, NEW.api_version, NEW.auth_type, config, NEW.is_active)
           IS DISTINCT FROM (OLD.url, OLD.api_version, OLD.auth_type, OLD.auth_config, OLD.is_active) THEN
            NEW.status := 'unknown';
            NEW.status_reason := NULL;
            NEW.status_detail := NULL;
            NEW.flapping_since := NULL;
            NEW.server_version := NULL;
            NEW.last_checked_at := NULL;
            NEW.next_check_at := NULL;
            NEW.latency_ms := NULL;
            NEW.suspect_since := NULL;
            NEW.api_seen := NULL;
        ELSIF NEW.status = OLD.status AND NEW.is_available <> OLD.is_available THEN
            NEW.status := CASE WHEN NEW.is_available THEN 'up' ELSE 'down' END;
            NEW.status_reason := NULL;
            NEW.status_detail := NULL;
        END IF;
        IF NEW.id <> OLD.id THEN
            NEW.vram_seen := false;
        END IF;
        IF NEW.status = 'down' THEN
            NEW.suspect_since := NULL;
        END IF;
        IF NEW.status <> OLD.status THEN
            NEW.status_changed_at := clock_timestamp();
        END IF;
    END IF;
    IF NEW.suspect_since IS NULL THEN
        NEW.suspect_reason := NULL;
        NEW.suspicion_told := false;
    END IF;
    NEW.is_available := NEW.status IN ('up', 'degraded');
    RETURN NEW;
END $$
-- next
-- The condition keeps the function out of the way of unchanged checks.
CREATE TRIGGER fleet_server_before_update BEFORE UPDATE ON ollama_servers
FOR EACH ROW WHEN (
    (OLD.id, OLD.name, OLD.url, OLD.api_version, OLD.auth_type, OLD.auth_config, OLD.is_active, OLD.is_default,
     OLD.capabilities, OLD.max_concurrent, OLD.priority, OLD.labels, OLD.check_interval_seconds,
     OLD.check_timeout_seconds, OLD.rise, OLD.fall, OLD.connection_watch, OLD.site, OLD.suspect_since, OLD.status,
     OLD.is_available)
    IS DISTINCT FROM
    (NEW.id, NEW.name, NEW.url, NEW.api_version, NEW.auth_type, NEW.auth_config, NEW.is_active, NEW.is_default,
     NEW.capabilities, NEW.max_concurrent, NEW.priority, NEW.labels, NEW.check_interval_seconds,
     NEW.check_timeout_seconds, NEW.rise, NEW.fall, NEW.connection_watch, NEW.site, NEW.suspect_since, NEW.status,
     NEW.is_available))
EXECUTE FUNCTION fleet_server_before()
-- next
-- Turns a change of a server into events: one for what was edited or observed, one for the verdict, one for a
-- suspicion that came or went without one.
CREATE OR REPLACE FUNCTION fleet_server_capture() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    changed jsonb;
    begins_to_flap boolean := TG_OP = 'UPDATE' AND OLD.flapping_since IS NULL AND NEW.flapping_since IS NOT NULL;
BEGIN
    IF TG_OP = 'INSERT' THEN
        PERFORM fleet_event_stage('server.created', NEW.id, NULL, fleet_public_server(NEW));
        RETURN NULL;
    ELSIF TG_OP = 'DELETE' THEN
        PERFORM fleet_event_stage(
            'server.deleted', OLD.id, NULL, jsonb_build_object('name', OLD.name, 'url', OLD.url));
        RETURN NULL;
    ELSIF NEW.id <> OLD.id THEN
        -- To a subscriber that is another server.
        PERFORM fleet_event_stage(
            'server.deleted', OLD.id, NULL, jsonb_build_object('name', OLD.name, 'url', OLD.url));
        PERFORM fleet_event_stage('server.created', NEW.id, NULL, fleet_public_server(NEW));
        RETURN NULL;
    END IF;
    -- Most changes are verdicts alone, and many come at once when a rack dies.
    IF (OLD.row_version, OLD.auth_config, OLD.server_version, OLD.flapping_since, OLD.api_seen, OLD.created_at)
       IS NOT DISTINCT FROM
       (NEW.row_version, NEW.auth_config, NEW.server_version, NEW.flapping_since, NEW.api_seen, NEW.created_at)
       AND (NEW.status <> 'unknown' AND NEW.status <> OLD.status
            OR (NEW.status, NEW.status_reason, NEW.status_detail)
               IS NOT DISTINCT FROM (OLD.status, OLD.status_reason, OLD.status_detail)) THEN
        changed := '{}';
    ELSE
        changed := fleet_changed_fields(fleet_public_server(OLD), fleet_public_server(NEW));
    END IF;
    IF NEW.auth_config IS DISTINCT FROM OLD.auth_config AND NOT fleet_is_rotation(OLD, NEW) THEN
        changed := changed || jsonb_build_object('auth_configured', NEW.auth_config <> '{}');
    END IF;
    IF NEW.status <> OLD.status AND NEW.status <> 'unknown' THEN
        changed := changed - ARRAY['status', 'status_reason', 'status_detail', 'is_available'];
    END IF;
    IF begins_to_flap THEN
        changed := changed - 'flapping_since';
    END IF;
    IF changed <> '{}' THEN
        PERFORM fleet_event_stage('server.updated', NEW.id, NULL, changed);
    END IF;
    IF NEW.status <> OLD.status AND NEW.status <> 'unknown' THEN
        PERFORM fleet_event_stage('server.' || NEW.status, NEW.id, NULL, jsonb_build_object(
            'from', OLD.status, 'to', NEW.status, 'reason', NEW.status_reason, 'detail', NEW.status_detail,
            'latency_ms', NEW.latency_ms));
    END IF;
    IF NEW.suspicion_told AND NOT OLD.suspicion_told THEN
        PERFORM fleet_event_stage('server.suspected', NEW.id, NULL, jsonb_build_object(
            'suspect_since', NEW.suspect_since, 'suspect_reason', NEW.suspect_reason));
    ELSIF OLD.suspicion_told AND NOT NEW.suspicion_told AND NEW.status <> 'down' THEN
        PERFORM fleet_event_stage('server.cleared', NEW.id, NULL, jsonb_build_object(
            'suspect_since', NULL, 'suspect_reason', NULL,
            'lasted_seconds', round(extract(epoch FROM clock_timestamp() - OLD.suspect_since)::numeric, 3)));
    END IF;
    IF begins_to_flap THEN
        PERFORM fleet_event_stage(
            'server.flapping', NEW.id, NULL, jsonb_build_object('flapping_since', NEW.flapping_since));
    END IF;
    RETURN NULL;
END $$
-- next
-- Lists every column that an event can tell of; the others (see fleet_public_server) make none.
CREATE TRIGGER fleet_server_capture_update AFTER UPDATE ON ollama_servers
FOR EACH ROW WHEN (
    (OLD.id, OLD.row_version, OLD.auth_config, OLD.status, OLD.status_reason, OLD.status_detail,
     OLD.is_available, OLD.server_version, OLD.flapping_since, OLD.suspicion_told, OLD.api_seen, OLD.created_at)
    IS DISTINCT FROM
    (NEW.id, NEW.row_version, NEW.auth_config, NEW.status, NEW.status_reason, NEW.status_detail,
     NEW.is_available, NEW.server_version, NEW.flapping_since, NEW.suspicion_told, NEW.api_seen, NEW.created_at))
EXECUTE FUNCTION fleet_server_capture()
-- next
-- What a monitor says of itself. It is listened to while it holds the lease; the time is given as an age,
-- so that the database's clock tells it, and so is how long it holds verdicts: `hold_seconds` becomes `until`. Only the owner of the tables may call this; a monitor that connects
-- as another role needs GRANT EXECUTE ON FUNCTION fleet_monitor_event(text, jsonb, interval, uuid, bigint).
CREATE OR REPLACE FUNCTION fleet_monitor_event(type text, body jsonb, since_ago interval, owner uuid, epoch bigint)
RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    since CONSTANT timestamptz := clock_timestamp() - since_ago;
BEGIN
    IF type NOT IN ('monitor.isolated', 'monitor.recovered') THEN
        RAISE EXCEPTION 'A monitor has no event % to tell of itself', type;
    END IF;
    -- FOR SHARE: nobody takes the lease over between this look and the commit.
    PERFORM 1 FROM monitor_leases AS lease
        WHERE lease.shard = 0 AND lease.owner = $4 AND lease.epoch = $5 FOR SHARE;
    IF NOT FOUND THEN
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
-- A suspicion is read by whoever chooses servers, as soon as it comes or goes and whether it is told or not; this
-- only wakes them, once for each transaction.
CREATE FUNCTION fleet_suspicion_announce() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('ollama_fleet_suspicions', '');
    RETURN NULL;
END $$
-- next
CREATE TRIGGER fleet_suspicion_announce AFTER UPDATE ON ollama_servers
FOR EACH ROW WHEN (
    (OLD.suspect_since IS NULL, OLD.suspect_reason) IS DISTINCT FROM (NEW.suspect_since IS NULL, NEW.suspect_reason))
EXECUTE FUNCTION fleet_suspicion_announce()
-- next
CREATE TRIGGER fleet_suspicion_announce_insert AFTER INSERT ON ollama_servers
FOR EACH ROW WHEN (NEW.suspect_since IS NOT NULL) EXECUTE FUNCTION fleet_suspicion_announce()
-- next
-- That a server has VRAM shows by a model that is there, whoever writes it.
CREATE FUNCTION fleet_note_vram() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    UPDATE ollama_servers SET vram_seen = true WHERE id = NEW.server_id AND NOT vram_seen;
    RETURN NULL;
END $$
-- next
REVOKE ALL ON FUNCTION fleet_note_vram() FROM PUBLIC
-- next
CREATE TRIGGER fleet_note_vram_insert AFTER INSERT ON ollama_models
FOR EACH ROW WHEN (NEW.size_vram > 0 AND NEW.removed_at IS NULL) EXECUTE FUNCTION fleet_note_vram()
-- next
CREATE TRIGGER fleet_note_vram_update AFTER UPDATE ON ollama_models
FOR EACH ROW WHEN (NEW.size_vram > 0 AND NEW.removed_at IS NULL
    AND (OLD.id, OLD.server_id, OLD.size_vram, OLD.removed_at)
        IS DISTINCT FROM (NEW.id, NEW.server_id, NEW.size_vram, NEW.removed_at))
EXECUTE FUNCTION fleet_note_vram()

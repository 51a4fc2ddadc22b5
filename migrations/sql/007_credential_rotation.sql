-- What runs with the owner's rights finds nothing that a caller made: pg_temp is searched first unless it
-- is named, and "$user" may be the caller's schema. The functions below take this path FROM CURRENT.
SELECT set_config('search_path', quote_ident(current_schema()) || ', pg_temp', true)
-- next
-- Whether a row only had its credential sealed anew, by the one who says so: that is no edit. What else is stored
-- of the credential must be the same, and that it is the same secret is seen by opening it.
CREATE FUNCTION fleet_is_rotation(before ollama_servers, after ollama_servers) RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT coalesce(current_setting('ollama_fleet.writer', true), '') = 'rotation'
        AND after.auth_type = before.auth_type AND before.auth_config ? 'sealed'
        AND after.auth_config - ARRAY['key', 'sealed'] = before.auth_config - ARRAY['key', 'sealed']
$$
-- next
-- Keeps a server's row consistent whoever writes it: the row version counts the operator's edits,
-- a verdict does not outlive the address it was about, and is_available is what status says.
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
            NEW.check_timeout_seconds, NEW.rise, NEW.fall, NEW.connection_watch)
           IS DISTINCT FROM
           (OLD.name, OLD.url, OLD.api_version, OLD.auth_type, OLD.auth_config, OLD.is_active, OLD.is_default,
            OLD.capabilities, OLD.max_concurrent, OLD.priority, OLD.labels, OLD.check_interval_seconds,
            OLD.check_timeout_seconds, OLD.rise, OLD.fall, OLD.connection_watch) THEN
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
        ELSIF NEW.status = OLD.status AND NEW.is_available <> OLD.is_available THEN
            NEW.status := CASE WHEN NEW.is_available THEN 'up' ELSE 'down' END;
            NEW.status_reason := NULL;
            NEW.status_detail := NULL;
        END IF;
        IF NEW.status <> OLD.status THEN
            NEW.status_changed_at := clock_timestamp();
        END IF;
    END IF;
    NEW.is_available := NEW.status IN ('up', 'degraded');
    RETURN NEW;
END $$
-- next
-- Turns a change of a server into events: one for what was edited or observed, one for the verdict.
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
    changed := fleet_changed_fields(fleet_public_server(OLD), fleet_public_server(NEW));
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
    IF begins_to_flap THEN
        PERFORM fleet_event_stage(
            'server.flapping', NEW.id, NULL, jsonb_build_object('flapping_since', NEW.flapping_since));
    END IF;
    RETURN NULL;
END $$

-- What runs with the owner's rights finds nothing that a caller made: pg_temp is searched first unless it
-- is named, and "$user" may be the caller's schema. The functions below take this path FROM CURRENT.
SELECT set_config('search_path', quote_ident(current_schema()) || ', pg_temp', true)
-- next
-- What a subscriber may see of a server, less what changes with every check or is a secret.
CREATE FUNCTION fleet_public_server(server ollama_servers) RETURNS jsonb
LANGUAGE sql STABLE AS $$
    SELECT to_jsonb(server) - ARRAY[
        'auth_config', 'updated_at', 'status_changed_at', 'last_checked_at', 'next_check_at', 'latency_ms',
        'models_listed_at', 'check_requested_at', 'check_answered_at', 'check_result',
        'discovery_requested_at', 'discovery_answered_at', 'discovery_result']
$$
-- next
-- Keeps a server's row consistent whoever writes it: the row version counts the operator's edits,
-- a verdict does not outlive the address it was about, and is_available is what status says.
CREATE FUNCTION fleet_server_before() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.is_available AND NEW.status = 'unknown' THEN
            NEW.status := 'up';
        END IF;
        NEW.status_changed_at := clock_timestamp();
    ELSE
        IF (NEW.name, NEW.url, NEW.api_version, NEW.auth_type, NEW.auth_config, NEW.is_active, NEW.is_default,
            NEW.capabilities, NEW.max_concurrent, NEW.priority, NEW.labels, NEW.check_interval_seconds,
            NEW.check_timeout_seconds, NEW.rise, NEW.fall)
           IS DISTINCT FROM
           (OLD.name, OLD.url, OLD.api_version, OLD.auth_type, OLD.auth_config, OLD.is_active, OLD.is_default,
            OLD.capabilities, OLD.max_concurrent, OLD.priority, OLD.labels, OLD.check_interval_seconds,
            OLD.check_timeout_seconds, OLD.rise, OLD.fall) THEN
            NEW.row_version := OLD.row_version + 1;
            NEW.updated_at := clock_timestamp();
        END IF;
        IF (NEW.url, NEW.api_version, NEW.auth_type, NEW.auth_config, NEW.is_active)
           IS DISTINCT FROM (OLD.url, OLD.api_version, OLD.auth_type, OLD.auth_config, OLD.is_active) THEN
            NEW.status := 'unknown';
            NEW.status_reason := NULL;
            NEW.status_detail := NULL;
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
CREATE TRIGGER fleet_server_before_insert BEFORE INSERT ON ollama_servers
FOR EACH ROW EXECUTE FUNCTION fleet_server_before()
-- next
-- The condition keeps the function out of the way of unchanged checks.
CREATE TRIGGER fleet_server_before_update BEFORE UPDATE ON ollama_servers
FOR EACH ROW WHEN (
    (OLD.name, OLD.url, OLD.api_version, OLD.auth_type, OLD.auth_config, OLD.is_active, OLD.is_default,
     OLD.capabilities, OLD.max_concurrent, OLD.priority, OLD.labels, OLD.check_interval_seconds,
     OLD.check_timeout_seconds, OLD.rise, OLD.fall, OLD.status, OLD.is_available)
    IS DISTINCT FROM
    (NEW.name, NEW.url, NEW.api_version, NEW.auth_type, NEW.auth_config, NEW.is_active, NEW.is_default,
     NEW.capabilities, NEW.max_concurrent, NEW.priority, NEW.labels, NEW.check_interval_seconds,
     NEW.check_timeout_seconds, NEW.rise, NEW.fall, NEW.status, NEW.is_available))
EXECUTE FUNCTION fleet_server_before()
-- next
-- Turns a change of a server into events: one for what was edited or observed, one for the verdict.
CREATE FUNCTION fleet_server_capture() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    changed jsonb;
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
    IF NEW.auth_config IS DISTINCT FROM OLD.auth_config THEN
        changed := changed || jsonb_build_object('auth_configured', NEW.auth_config <> '{}');
    END IF;
    IF NEW.status <> OLD.status AND NEW.status <> 'unknown' THEN
        changed := changed - ARRAY['status', 'status_reason', 'status_detail', 'is_available'];
    END IF;
    IF changed <> '{}' THEN
        PERFORM fleet_event_stage('server.updated', NEW.id, NULL, changed);
    END IF;
    IF NEW.status <> OLD.status AND NEW.status <> 'unknown' THEN
        PERFORM fleet_event_stage('server.' || NEW.status, NEW.id, NULL, jsonb_build_object(
            'from', OLD.status, 'to', NEW.status, 'reason', NEW.status_reason, 'detail', NEW.status_detail,
            'latency_ms', NEW.latency_ms));
    END IF;
    RETURN NULL;
END $$
-- next
-- A trigger needs no right to fire; who had it could forge events with a table of his own.
REVOKE ALL ON FUNCTION fleet_server_capture() FROM PUBLIC
-- next
CREATE TRIGGER fleet_server_capture AFTER INSERT OR DELETE ON ollama_servers
FOR EACH ROW EXECUTE FUNCTION fleet_server_capture()
-- next
-- Lists every column that an event can tell of; the others (see fleet_public_server) make none.
CREATE TRIGGER fleet_server_capture_update AFTER UPDATE ON ollama_servers
FOR EACH ROW WHEN (
    (OLD.id, OLD.row_version, OLD.auth_config, OLD.status, OLD.status_reason, OLD.status_detail,
     OLD.is_available, OLD.server_version, OLD.created_at)
    IS DISTINCT FROM
    (NEW.id, NEW.row_version, NEW.auth_config, NEW.status, NEW.status_reason, NEW.status_detail,
     NEW.is_available, NEW.server_version, NEW.created_at))
EXECUTE FUNCTION fleet_server_capture()
-- next
-- A request for a check or a discovery is a column; this only wakes the monitor.
CREATE FUNCTION fleet_request_announce() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('ollama_fleet_requests', NEW.id::text);
    RETURN NULL;
END $$
-- next
CREATE TRIGGER fleet_request_announce AFTER UPDATE ON ollama_servers
FOR EACH ROW WHEN (
    (OLD.check_requested_at, OLD.discovery_requested_at)
    IS DISTINCT FROM (NEW.check_requested_at, NEW.discovery_requested_at))
EXECUTE FUNCTION fleet_request_announce()
-- next
-- Keeps a model's row consistent whoever writes it. An edit of is_active or capabilities by anybody
-- but the monitor is the operator's word, and is remembered as such.
CREATE FUNCTION fleet_model_before() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    by_operator boolean := coalesce(current_setting('ollama_fleet.writer', true), '') <> 'monitor';
BEGIN
    IF by_operator AND (CASE TG_OP WHEN 'INSERT' THEN NOT NEW.is_active
                                   ELSE NEW.is_active <> OLD.is_active END) THEN
        IF NEW.is_active THEN
            NEW.disabled_at := NULL;
        ELSE
            NEW.disabled_at := coalesce(NEW.disabled_at, clock_timestamp());
        END IF;
    END IF;
    IF by_operator AND (CASE TG_OP WHEN 'INSERT' THEN NEW.capabilities <> '[]' AND NEW.capabilities_source = 'none'
                                   ELSE NEW.capabilities IS DISTINCT FROM OLD.capabilities
                                        AND NEW.capabilities_source = OLD.capabilities_source END) THEN
        NEW.capabilities_source := 'operator';
    END IF;
    NEW.is_active := NEW.removed_at IS NULL AND NEW.disabled_at IS NULL;
    RETURN NEW;
END $$
-- next
CREATE TRIGGER fleet_model_before BEFORE INSERT OR UPDATE ON ollama_models
FOR EACH ROW EXECUTE FUNCTION fleet_model_before()
-- next
-- Turns a change of a model into events. A tombstone counts as removed, its return as added.
CREATE FUNCTION fleet_model_capture() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    residency CONSTANT text[] := ARRAY['loaded_size_bytes', 'size_vram', 'expires_at'];
    before jsonb;
    after jsonb;
    changed jsonb;
    -- Under another id or server it is another model to a subscriber.
    moved boolean := TG_OP = 'UPDATE' AND (NEW.id, NEW.server_id) IS DISTINCT FROM (OLD.id, OLD.server_id);
BEGIN
    IF TG_OP <> 'INSERT' THEN
        before := to_jsonb(OLD) - ARRAY['last_seen_at', 'expires_at'];
    END IF;
    IF TG_OP = 'DELETE' OR moved OR (TG_OP = 'UPDATE' AND OLD.removed_at IS NULL AND NEW.removed_at IS NOT NULL) THEN
        IF OLD.removed_at IS NULL THEN
            PERFORM fleet_event_stage('model.removed', OLD.server_id, OLD.id,
                jsonb_build_object('model_name', OLD.model_name, 'digest', OLD.digest));
        END IF;
        IF NOT moved THEN
            RETURN NULL;
        END IF;
    END IF;
    after := to_jsonb(NEW) - ARRAY['last_seen_at', 'expires_at'];
    IF NEW.removed_at IS NOT NULL THEN
        RETURN NULL;
    ELSIF TG_OP = 'INSERT' OR moved OR OLD.removed_at IS NOT NULL THEN
        PERFORM fleet_event_stage('model.added', NEW.server_id, NEW.id, after);
        RETURN NULL;
    END IF;
    changed := fleet_changed_fields(before, after);
    IF (OLD.size_vram IS NULL) <> (NEW.size_vram IS NULL) THEN
        PERFORM fleet_event_stage(
            CASE WHEN NEW.size_vram IS NULL THEN 'model.unloaded' ELSE 'model.loaded' END, NEW.server_id, NEW.id,
            jsonb_build_object('model_name', NEW.model_name, 'loaded_size_bytes', NEW.loaded_size_bytes,
                               'size_vram', NEW.size_vram, 'expires_at', NEW.expires_at));
        changed := changed - residency;
    END IF;
    IF changed <> '{}' THEN
        PERFORM fleet_event_stage('model.changed', NEW.server_id, NEW.id,
            jsonb_build_object('model_name', NEW.model_name) || changed);
    END IF;
    RETURN NULL;
END $$
-- next
REVOKE ALL ON FUNCTION fleet_model_capture() FROM PUBLIC
-- next
CREATE TRIGGER fleet_model_capture AFTER INSERT OR UPDATE OR DELETE ON ollama_models
FOR EACH ROW EXECUTE FUNCTION fleet_model_capture()
-- next
-- TRUNCATE would empty a table behind the event log's back.
CREATE FUNCTION fleet_refuse_truncate() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'TRUNCATE of % is refused, because it would leave no events', TG_TABLE_NAME
        USING HINT = 'Use DELETE FROM ' || TG_TABLE_NAME || ' instead.';
END $$
-- next
CREATE TRIGGER fleet_refuse_truncate BEFORE TRUNCATE ON ollama_servers
FOR EACH STATEMENT EXECUTE FUNCTION fleet_refuse_truncate()
-- next
CREATE TRIGGER fleet_refuse_truncate BEFORE TRUNCATE ON ollama_models
FOR EACH STATEMENT EXECUTE FUNCTION fleet_refuse_truncate()

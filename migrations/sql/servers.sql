-- Whether a row only had its secrets sealed anew, by the one who says so: that is no edit. What else is stored
-- of a secret must be the same, and that it is the same secret is seen by opening it.
CREATE OR REPLACE FUNCTION fleet_is_rotation(before ollama_servers, after ollama_servers) RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT coalesce(current_setting('ollama_fleet.writer', true), '') = 'rotation'
        AND after.auth_type = before.auth_type
        AND (before.auth_config = after.auth_config OR before.auth_config ? 'sealed'
             AND after.auth_config - ARRAY['key', 'sealed'] = before.auth_config - ARRAY['key', 'sealed'])
        AND (before.client_key IS NOT DISTINCT FROM after.client_key OR before.client_key ? 'sealed'
             AND after.client_key - ARRAY['key', 'sealed'] = before.client_key - ARRAY['key', 'sealed'])
$$
-- next
-- What events may tell of a server. A suspicion has events of its own, and that there is VRAM shows by those of models.
CREATE OR REPLACE FUNCTION fleet_public_server(server ollama_servers) RETURNS jsonb
LANGUAGE sql STABLE AS $$
    SELECT {servers.told of server as an object}
$$
-- next
-- Keeps a server's row consistent whoever writes it: the row version counts the operator's edits,
-- a verdict does not outlive the address it was about, nor a suspicion the verdict, the API is the one that is pinned, and
-- is_available is what status says.
CREATE OR REPLACE FUNCTION fleet_server_before() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    given ollama_servers := NEW;
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.is_available AND NEW.status = 'unknown' THEN
            NEW.status := 'up';
        END IF;
        NEW.status_changed_at := clock_timestamp();
    ELSE
        IF fleet_is_rotation(OLD, NEW) THEN
            -- Sealed anew with another key they are the same secrets.
            given.auth_config := OLD.auth_config;
            given.client_key := OLD.client_key;
        END IF;
        IF ({servers.edited of given})
           IS DISTINCT FROM
           ({servers.edited of OLD}) THEN
            NEW.row_version := OLD.row_version + 1;
            NEW.updated_at := clock_timestamp();
        END IF;
        IF ({servers.address of given})
           IS DISTINCT FROM ({servers.address of OLD}) THEN
            NEW.status := 'unknown';
            {servers.forgotten of NEW := NULL};
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
    IF NEW.api <> 'auto' THEN
        NEW.api_seen := NEW.api;
    END IF;
    NEW.is_available := NEW.status IN ('up', 'degraded');
    RETURN NEW;
END $$
-- next
CREATE OR REPLACE TRIGGER fleet_server_before_insert BEFORE INSERT ON ollama_servers
FOR EACH ROW EXECUTE FUNCTION fleet_server_before()
-- next
-- The condition keeps the function out of the way of unchanged checks.
CREATE OR REPLACE TRIGGER fleet_server_before_update BEFORE UPDATE ON ollama_servers
FOR EACH ROW WHEN (
    (OLD.id, {servers.edited of OLD}, OLD.suspect_since, OLD.status, OLD.is_available)
    IS DISTINCT FROM
    (NEW.id, {servers.edited of NEW}, NEW.suspect_since, NEW.status, NEW.is_available))
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
    IF ({servers.noticed_beside_status of OLD}, {servers.secret of OLD})
       IS NOT DISTINCT FROM ({servers.noticed_beside_status of NEW}, {servers.secret of NEW})
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
    IF NEW.ca_pem IS DISTINCT FROM OLD.ca_pem THEN
        changed := changed || jsonb_build_object('ca_configured', NEW.ca_pem IS NOT NULL);
    END IF;
    IF (NEW.client_cert, NEW.client_key) IS DISTINCT FROM (OLD.client_cert, OLD.client_key)
       AND NOT fleet_is_rotation(OLD, NEW) THEN
        changed := changed || jsonb_build_object('client_cert_configured', NEW.client_cert IS NOT NULL);
    END IF;
    IF NEW.status <> OLD.status AND NEW.status <> 'unknown' THEN
        changed := changed - ARRAY[{servers.status as texts}];
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
-- A trigger needs no right to fire; who had it could forge events with a table of his own.
REVOKE ALL ON FUNCTION fleet_server_capture() FROM PUBLIC
-- next
CREATE OR REPLACE TRIGGER fleet_server_capture AFTER INSERT OR DELETE ON ollama_servers
FOR EACH ROW EXECUTE FUNCTION fleet_server_capture()
-- next
-- An edit shows by the row version.
CREATE OR REPLACE TRIGGER fleet_server_capture_update AFTER UPDATE ON ollama_servers
FOR EACH ROW WHEN (
    ({servers.noticed of OLD}, {servers.secret of OLD}, OLD.suspicion_told)
    IS DISTINCT FROM
    ({servers.noticed of NEW}, {servers.secret of NEW}, NEW.suspicion_told))
EXECUTE FUNCTION fleet_server_capture()
-- next
-- A request for a check or a discovery is a column; this only wakes the monitor.
CREATE OR REPLACE FUNCTION fleet_request_announce() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('ollama_fleet_requests', NEW.id::text);
    RETURN NULL;
END $$
-- next
CREATE OR REPLACE TRIGGER fleet_request_announce AFTER UPDATE ON ollama_servers
FOR EACH ROW WHEN (
    (OLD.check_requested_at, OLD.discovery_requested_at)
    IS DISTINCT FROM (NEW.check_requested_at, NEW.discovery_requested_at))
EXECUTE FUNCTION fleet_request_announce()
-- next
-- A suspicion is read by whoever chooses servers, as soon as it comes or goes and whether it is told or not; this
-- only wakes them, once for each transaction.
CREATE OR REPLACE FUNCTION fleet_suspicion_announce() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('ollama_fleet_suspicions', '');
    RETURN NULL;
END $$
-- next
CREATE OR REPLACE TRIGGER fleet_suspicion_announce AFTER UPDATE ON ollama_servers
FOR EACH ROW WHEN (
    (OLD.suspect_since IS NULL, OLD.suspect_reason) IS DISTINCT FROM (NEW.suspect_since IS NULL, NEW.suspect_reason))
EXECUTE FUNCTION fleet_suspicion_announce()
-- next
CREATE OR REPLACE TRIGGER fleet_suspicion_announce_insert AFTER INSERT ON ollama_servers
FOR EACH ROW WHEN (NEW.suspect_since IS NOT NULL) EXECUTE FUNCTION fleet_suspicion_announce()

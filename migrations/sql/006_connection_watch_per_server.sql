-- Keeps a server's row consistent whoever writes it: the row version counts the operator's edits,
-- a verdict does not outlive the address it was about, and is_available is what status says.
CREATE OR REPLACE FUNCTION fleet_server_before() RETURNS trigger
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
            NEW.check_timeout_seconds, NEW.rise, NEW.fall, NEW.connection_watch)
           IS DISTINCT FROM
           (OLD.name, OLD.url, OLD.api_version, OLD.auth_type, OLD.auth_config, OLD.is_active, OLD.is_default,
            OLD.capabilities, OLD.max_concurrent, OLD.priority, OLD.labels, OLD.check_interval_seconds,
            OLD.check_timeout_seconds, OLD.rise, OLD.fall, OLD.connection_watch) THEN
            NEW.row_version := OLD.row_version + 1;
            NEW.updated_at := clock_timestamp();
        END IF;
        IF (NEW.url, NEW.api_version, NEW.auth_type, NEW.auth_config, NEW.is_active)
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
-- The condition keeps the function out of the way of unchanged checks.
CREATE TRIGGER fleet_server_before_update BEFORE UPDATE ON ollama_servers
FOR EACH ROW WHEN (
    (OLD.name, OLD.url, OLD.api_version, OLD.auth_type, OLD.auth_config, OLD.is_active, OLD.is_default,
     OLD.capabilities, OLD.max_concurrent, OLD.priority, OLD.labels, OLD.check_interval_seconds,
     OLD.check_timeout_seconds, OLD.rise, OLD.fall, OLD.connection_watch, OLD.status, OLD.is_available)
    IS DISTINCT FROM
    (NEW.name, NEW.url, NEW.api_version, NEW.auth_type, NEW.auth_config, NEW.is_active, NEW.is_default,
     NEW.capabilities, NEW.max_concurrent, NEW.priority, NEW.labels, NEW.check_interval_seconds,
     NEW.check_timeout_seconds, NEW.rise, NEW.fall, NEW.connection_watch, NEW.status, NEW.is_available))
EXECUTE FUNCTION fleet_server_before()

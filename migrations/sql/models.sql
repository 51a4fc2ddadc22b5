-- Whether a model is in memory, for psql and Grafana. What a row says of that is of the last look: not of a server that
-- is down, nor after the time at which the model was to leave. No time is told of one that stays.
CREATE OR REPLACE FUNCTION fleet_is_loaded(model ollama_models) RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT model.size_vram IS NOT NULL AND coalesce(model.expires_at > clock_timestamp(), true)
        AND EXISTS (SELECT FROM ollama_servers AS server WHERE server.id = model.server_id AND server.status <> 'down')
$$
-- next
-- What events may tell of a model.
CREATE OR REPLACE FUNCTION fleet_public_model(model ollama_models) RETURNS jsonb
LANGUAGE sql STABLE AS $$
    SELECT {models.told of model as an object}
$$
-- next
-- Keeps a model's row consistent whoever writes it. An edit of is_active or capabilities by anybody
-- but the monitor is the operator's word, and is remembered as such.
CREATE OR REPLACE FUNCTION fleet_model_before() RETURNS trigger
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
CREATE OR REPLACE TRIGGER fleet_model_before BEFORE INSERT OR UPDATE ON ollama_models
FOR EACH ROW EXECUTE FUNCTION fleet_model_before()
-- next
-- Turns a change of a model into events. A tombstone counts as removed, its return as added.
CREATE OR REPLACE FUNCTION fleet_model_capture() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    residency CONSTANT text[] := ARRAY['loaded_size_bytes', 'size_vram'];
    before jsonb;
    after jsonb;
    changed jsonb;
    -- Under another id or server it is another model to a subscriber.
    moved boolean := TG_OP = 'UPDATE' AND (NEW.id, NEW.server_id) IS DISTINCT FROM (OLD.id, OLD.server_id);
BEGIN
    IF TG_OP <> 'INSERT' THEN
        before := fleet_public_model(OLD);
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
    after := fleet_public_model(NEW);
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
CREATE OR REPLACE TRIGGER fleet_model_capture AFTER INSERT OR UPDATE OR DELETE ON ollama_models
FOR EACH ROW EXECUTE FUNCTION fleet_model_capture()
-- next
-- That a server has VRAM shows by a model that is there, whoever writes it.
CREATE OR REPLACE FUNCTION fleet_note_vram() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    UPDATE ollama_servers SET vram_seen = true WHERE id = NEW.server_id AND NOT vram_seen;
    RETURN NULL;
END $$
-- next
REVOKE ALL ON FUNCTION fleet_note_vram() FROM PUBLIC
-- next
CREATE OR REPLACE TRIGGER fleet_note_vram_insert AFTER INSERT ON ollama_models
FOR EACH ROW WHEN (NEW.size_vram > 0 AND NEW.removed_at IS NULL) EXECUTE FUNCTION fleet_note_vram()
-- next
CREATE OR REPLACE TRIGGER fleet_note_vram_update AFTER UPDATE ON ollama_models
FOR EACH ROW WHEN (NEW.size_vram > 0 AND NEW.removed_at IS NULL
    AND (OLD.id, OLD.server_id, OLD.size_vram, OLD.removed_at)
        IS DISTINCT FROM (NEW.id, NEW.server_id, NEW.size_vram, NEW.removed_at))
EXECUTE FUNCTION fleet_note_vram()

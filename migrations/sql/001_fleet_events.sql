-- What runs with the owner's rights finds nothing that a caller made: pg_temp is searched first unless it
-- is named, and "$user" may be the caller's schema. The functions below take this path FROM CURRENT.
SELECT set_config('search_path', quote_ident(current_schema()) || ', pg_temp', true)
-- next
-- Only for the capture triggers: whoever could call it could forge events.
CREATE FUNCTION fleet_event_stage(type text, server_id uuid, model_id uuid, body jsonb) RETURNS void
LANGUAGE sql AS $$
    INSERT INTO fleet_event_pending (type, server_id, model_id, body) VALUES ($1, $2, $3, $4)
$$
-- next
REVOKE ALL ON FUNCTION fleet_event_stage(text, uuid, uuid, jsonb) FROM PUBLIC
-- next
CREATE FUNCTION fleet_changed_fields(before jsonb, after jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce(jsonb_object_agg(field.key, field.value), '{}')
    FROM jsonb_each(after) AS field WHERE field.value IS DISTINCT FROM before -> field.key
$$
-- next
-- The first call of a transaction publishes all its staged events; the later calls find theirs gone.
-- Own staged rows all have an id from NEW.id on, and no other transaction's are visible.
CREATE FUNCTION fleet_event_publish() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    staged bigint;
    last bigint;
BEGIN
    PERFORM 1 FROM fleet_event_pending WHERE id = NEW.id;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    SELECT count(*) INTO staged FROM fleet_event_pending WHERE id >= NEW.id;
    UPDATE fleet_event_head SET seq = seq + staged RETURNING seq INTO STRICT last;
    INSERT INTO fleet_events (seq, type, server_id, model_id, at, body)
        SELECT last - staged + row_number() OVER (ORDER BY id), type, server_id, model_id, clock_timestamp(), body
        FROM fleet_event_pending WHERE id >= NEW.id;
    DELETE FROM fleet_event_pending WHERE id >= NEW.id;
    PERFORM pg_notify(
        CASE WHEN type LIKE 'model.%' THEN 'ollama_models' ELSE 'ollama_servers' END,
        json_build_object('seq', seq, 'type', type, 'server_id', server_id, 'model_id', model_id)::text)
        FROM fleet_events WHERE seq > last - staged AND seq <= last ORDER BY seq;
    RETURN NULL;
END $$
-- next
-- A trigger needs no right to fire; who had it could put the function on a table of his own.
REVOKE ALL ON FUNCTION fleet_event_publish() FROM PUBLIC
-- next
CREATE CONSTRAINT TRIGGER fleet_event_publish AFTER INSERT ON fleet_event_pending
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION fleet_event_publish()

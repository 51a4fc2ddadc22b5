-- Who makes the change: whom the API or the command line names for its transaction, else the role of the session.
-- Whoever may write the tables by SQL can claim any name; it tells colleagues apart and is no proof.
CREATE OR REPLACE FUNCTION fleet_actor() RETURNS text
LANGUAGE sql STABLE AS $$
    SELECT left(coalesce(nullif(current_setting('ollama_fleet.actor', true), ''), session_user::text), 200)
$$
-- next
-- Whether an operator made the change that an event tells of. Of a server's columns only his make a new row
-- version; of models the monitor says itself that it writes. What was observed has no actor.
CREATE OR REPLACE FUNCTION fleet_is_edit(type text, body jsonb) RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT CASE
        WHEN type IN ('server.created', 'server.deleted') THEN true
        WHEN type = 'server.updated' THEN body ? 'row_version'
        WHEN type IN ('model.added', 'model.changed', 'model.removed')
            THEN coalesce(current_setting('ollama_fleet.writer', true), '') <> 'monitor'
        ELSE false
    END
$$
-- next
-- Only for the capture triggers: whoever could call it could forge events.
CREATE OR REPLACE FUNCTION fleet_event_stage(type text, server_id uuid, model_id uuid, body jsonb) RETURNS void
LANGUAGE sql AS $$
    INSERT INTO fleet_event_pending (type, server_id, model_id, body) VALUES ($1, $2, $3,
        CASE WHEN fleet_is_edit($1, $4) THEN $4 || jsonb_build_object('actor', fleet_actor()) ELSE $4 END)
$$
-- next
REVOKE ALL ON FUNCTION fleet_event_stage(text, uuid, uuid, jsonb) FROM PUBLIC
-- next
CREATE OR REPLACE FUNCTION fleet_changed_fields(before jsonb, after jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce(jsonb_object_agg(field.key, field.value), '{}')
    FROM jsonb_each(after) AS field WHERE field.value IS DISTINCT FROM before -> field.key
$$
-- next
-- The first call of a transaction publishes all its staged events; the later calls find theirs gone.
-- Own staged rows all have an id from NEW.id on, and no other transaction's are visible.
CREATE OR REPLACE FUNCTION fleet_event_publish() RETURNS trigger
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
-- A constraint trigger cannot be replaced.
DROP TRIGGER IF EXISTS fleet_event_publish ON fleet_event_pending
-- next
CREATE CONSTRAINT TRIGGER fleet_event_publish AFTER INSERT ON fleet_event_pending
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION fleet_event_publish()

-- What runs with the owner's rights finds nothing that a caller made: pg_temp is searched first unless it
-- is named, and "$user" may be the caller's schema. The functions below take this path FROM CURRENT.
SELECT set_config('search_path', quote_ident(current_schema()) || ', pg_temp', true)
-- next
-- Who makes the change: whom the API or the command line names for its transaction, else the role of the session.
-- Whoever may write the tables by SQL can claim any name; it tells colleagues apart and is no proof.
CREATE FUNCTION fleet_actor() RETURNS text
LANGUAGE sql STABLE AS $$
    SELECT left(coalesce(nullif(current_setting('ollama_fleet.actor', true), ''), session_user::text), 200)
$$
-- next
-- Whether an operator made the change that an event tells of. Of a server's columns only his make a new row
-- version; of models the monitor says itself that it writes. What was observed has no actor.
CREATE FUNCTION fleet_is_edit(type text, body jsonb) RETURNS boolean
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

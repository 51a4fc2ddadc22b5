-- The columns of ollama_servers that a subscriber may read, for deploy/sql/subscriber_role.sql.
CREATE OR REPLACE FUNCTION fleet_readable_columns() RETURNS text[]
LANGUAGE sql IMMUTABLE AS $$
    SELECT ARRAY[{servers.readable as texts}]
$$

-- TRUNCATE would empty a table behind the event log's back.
CREATE OR REPLACE FUNCTION fleet_refuse_truncate() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'TRUNCATE of % is refused, because it would leave no events', TG_TABLE_NAME
        USING HINT = 'Use DELETE FROM ' || TG_TABLE_NAME || ' instead.';
END $$
-- next
CREATE OR REPLACE TRIGGER fleet_refuse_truncate BEFORE TRUNCATE ON ollama_servers
FOR EACH STATEMENT EXECUTE FUNCTION fleet_refuse_truncate()
-- next
CREATE OR REPLACE TRIGGER fleet_refuse_truncate BEFORE TRUNCATE ON ollama_models
FOR EACH STATEMENT EXECUTE FUNCTION fleet_refuse_truncate()

-- Gives a role what a subscriber of events needs and nothing else; run it again after every upgrade:
--     ollama-fleet db psql -- --set role=fleet_subscriber <subscriber_role.sql
-- Left out, the role is fleet_subscriber, and the database the one of the session. A role that is missing
-- is made, without a password: \password fleet_subscriber gives it one.
-- It fits a role made for this alone: what it had of the fleet's schema before is taken away first.
-- LISTEN needs no grant. NOTIFY cannot be forbidden, which is why a payload is a hint and never the truth.
\set ON_ERROR_STOP on
\if :{?role} \else
    \set role fleet_subscriber
\endif
\if :{?database}
    \connect :"database"
\endif
BEGIN;

SELECT format('CREATE ROLE %I LOGIN', :'role')
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'role') \gexec

-- The schema of the tables, wherever the fleet was put.
SELECT relnamespace::regnamespace AS schema FROM pg_class WHERE oid = 'fleet_events'::regclass \gset

REVOKE ALL ON ALL TABLES IN SCHEMA :schema FROM :"role";
REVOKE ALL ON ALL SEQUENCES IN SCHEMA :schema FROM :"role";
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA :schema FROM :"role";
REVOKE ALL ON SCHEMA :schema FROM :"role";
-- Until PostgreSQL 14 everybody may create in "public"; since 15 this changes nothing.
REVOKE CREATE ON SCHEMA :schema FROM PUBLIC;

GRANT CONNECT ON DATABASE :"DBNAME" TO :"role";
GRANT USAGE ON SCHEMA :schema TO :"role";
GRANT SELECT ON fleet_events, fleet_event_head, ollama_models, fleet_server_history TO :"role";
-- Column by column: the schema knows which ones hold secrets. Hence no SELECT * of this table; name the columns.
SELECT format('GRANT SELECT (%s) ON ollama_servers TO %I', string_agg(quote_ident(name), ', '), :'role')
FROM unnest(fleet_readable_columns()) AS name \gexec

-- A listener that idles in an open transaction keeps PostgreSQL's queue of notifications from being
-- emptied, and a full queue fails every writer's commit. These are defaults, good for honest programs.
ALTER ROLE :"role" IN DATABASE :"DBNAME" SET default_transaction_read_only = on;
ALTER ROLE :"role" IN DATABASE :"DBNAME" SET idle_in_transaction_session_timeout = '1min';
ALTER ROLE :"role" IN DATABASE :"DBNAME" SET statement_timeout = '1min';
COMMIT;

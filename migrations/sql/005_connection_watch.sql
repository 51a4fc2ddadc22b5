-- What a subscriber may see of a server, less what changes with every check, with its watch, or is a secret.
CREATE OR REPLACE FUNCTION fleet_public_server(server ollama_servers) RETURNS jsonb
LANGUAGE sql STABLE AS $$
    SELECT to_jsonb(server) - ARRAY[
        'auth_config', 'updated_at', 'status_changed_at', 'last_checked_at', 'next_check_at', 'latency_ms',
        'models_listed_at', 'check_requested_at', 'check_answered_at', 'check_result',
        'discovery_requested_at', 'discovery_answered_at', 'discovery_result', 'watch_state']
$$

"""The one statement of the schema, as plain data; migrations must agree with it.

A column of `ollama_servers` or `ollama_models` is stated here with its role. From the roles come the triggers' lists,
what events may tell, what REST takes and shows, and what a subscriber may read. Triggers, functions and views are in
`migrations/sql`. Columns that change with every check stand side by side, so that PostgreSQL logs few bytes for them.
"""

from monitor.postgres.columns import (
    Column,
    FactTable,
    Index,
    Table,
    are_texts,
    internal,
    operator,
    record,
    secret,
    verdict,
)

# Alembic's, under a name of our own: in a shared database `alembic_version` may be another program's.
VERSION_TABLE = "ollama_fleet_alembic_version"
EMPTY_OBJECT, EMPTY_ARRAY = "'{}'::jsonb", "'[]'::jsonb"

fleet_event_head = Table(
    "fleet_event_head",
    [
        Column("only_row", "boolean", key=True, default="true"),
        Column("seq", "bigint", default="0"),
    ],
    checks={"one_row": "only_row"},
)

fleet_event_pending = Table(
    "fleet_event_pending",
    [
        Column("id", "bigint", key=True, identity=True),
        Column("type", "text"),
        Column("server_id", "uuid", null=True),
        Column("model_id", "uuid", null=True),
        Column("body", "jsonb"),
    ],
)

fleet_events = Table(
    "fleet_events",
    [
        Column("seq", "bigint", key=True),
        Column("type", "text"),
        Column("server_id", "uuid", null=True),
        Column("model_id", "uuid", null=True),
        Column("at", "timestamptz"),
        Column("body", "jsonb"),
    ],
    indexes=[
        Index(("seq",), name="ix_fleet_events_of_monitors", where="type LIKE 'monitor.%'"),
        Index(
            ("server_id", "seq"),
            name="ix_fleet_events_of_verdicts",
            where="type IN ('server.up', 'server.degraded', 'server.down')",
        ),
    ],
)

ollama_servers = FactTable(
    "ollama_servers",
    [
        record("id", "uuid", key=True, default="gen_random_uuid()"),
        operator("name", "text"),
        operator("url", "text", of_address=True),
        operator("api_version", "text", default="'v1'", of_address=True),
        operator("api", "text", default="'auto'"),
        operator("auth_type", "text", default="'none'", of_address=True),
        secret("auth_config", "jsonb", default=EMPTY_OBJECT, of_address=True),
        operator("is_active", "boolean", default="true", of_address=True),
        operator("is_default", "boolean", default="false"),
        operator("capabilities", "jsonb", default=EMPTY_ARRAY),
        operator("max_concurrent", "integer", default="1"),
        operator("priority", "integer", default="0"),
        operator("labels", "jsonb", default=EMPTY_OBJECT),
        operator("check_interval_seconds", "double precision", null=True),
        operator("check_timeout_seconds", "double precision", null=True),
        operator("rise", "integer", null=True),
        operator("fall", "integer", null=True),
        operator("connection_watch", "boolean", default="true"),
        operator("site", "text", null=True),
        # Long, so no event holds them; that they changed is told by names of its own.
        operator("ca_pem", "text", null=True, told=False, of_address=True),
        operator("client_cert", "text", null=True, told=False, of_address=True),
        secret("client_key", "jsonb", null=True, of_address=True),
        operator("tls_server_name", "text", null=True, of_address=True),
        record("row_version", "integer", default="1"),
        record("created_at", "timestamptz", default="now()"),
        record("updated_at", "timestamptz", default="now()", told=False),
        verdict("status", "text", null=False, default="'unknown'"),
        verdict("status_reason", "text", of_address=True),
        verdict("status_detail", "text", of_address=True),
        verdict("status_changed_at", "timestamptz", told=False),
        verdict("is_available", "boolean", null=False, default="false"),
        verdict("flapping_since", "timestamptz", of_address=True),
        verdict("restarted_at", "timestamptz", of_address=True),
        # A suspicion has events of its own, which tell it once it is worth telling.
        verdict("suspect_since", "timestamptz", told=False, of_address=True),
        verdict("suspect_reason", "text", told=False),
        # What `api` pins, else what it has answered on.
        verdict("api_seen", "text", of_address=True),
        verdict("server_version", "text", of_address=True),
        # Two proxies behind one name may take turns with two certificates: no event for each of them.
        verdict("tls_expires_at", "timestamptz", told=False, of_address=True),
        verdict("last_checked_at", "timestamptz", told=False, of_address=True),
        verdict("next_check_at", "timestamptz", told=False, of_address=True),
        verdict("latency_ms", "double precision", told=False, of_address=True),
        verdict("models_listed_at", "timestamptz", told=False),
        verdict("watch_state", "text", told=False),
        internal("check_requested_at", "timestamptz"),
        internal("check_answered_at", "timestamptz"),
        internal("check_result", "jsonb"),
        internal("discovery_requested_at", "timestamptz"),
        internal("discovery_answered_at", "timestamptz"),
        internal("discovery_result", "jsonb"),
        # Whether the event log says that it is suspect.
        internal("suspicion_told", "boolean", null=False, default="false"),
        # Events of its models tell it.
        internal("vram_seen", "boolean", null=False, default="false"),
    ],
    unique=[("name",), ("url",)],
    checks={
        "name_is_usable": "length(name) BETWEEN 1 AND 200 AND name !~ '[[:cntrl:]]'",
        "url_is_http": "length(url) <= 2048 AND url ~ '^https?://[^[:space:]/?#@]+(/[^[:space:]?#]*)?$'",
        "api_is_known": "api IN ('auto', 'native', 'openai')",
        "auth_type_is_known": "auth_type IN ('none', 'basic', 'bearer', 'api_key')",
        "auth_config_is_object": "jsonb_typeof(auth_config) = 'object'",
        **are_texts("capabilities", kind="array", elements="$[*]"),
        "max_concurrent_is_positive": "max_concurrent > 0",
        **are_texts("labels", kind="object", elements="$.*"),
        "check_interval_is_sane": "check_interval_seconds BETWEEN 0.1 AND 86400",
        "check_timeout_is_sane": "check_timeout_seconds BETWEEN 0.1 AND 300",
        "rise_is_sane": "rise BETWEEN 1 AND 100",
        "fall_is_sane": "fall BETWEEN 1 AND 100",
        "status_is_known": "status IN ('unknown', 'up', 'degraded', 'down')",
        "status_detail_is_short": "length(status_detail) <= 200",
        "site_is_usable": "length(site) BETWEEN 1 AND 200 AND site !~ '[[:cntrl:]]'",
        "ca_pem_is_short": "length(ca_pem) BETWEEN 1 AND 32768",
        "client_cert_is_short": "length(client_cert) BETWEEN 1 AND 32768",
        "client_cert_has_its_key": "(client_cert IS NULL) = (client_key IS NULL)",
        "client_key_is_object": "jsonb_typeof(client_key) = 'object'",
        "tls_server_name_is_usable": "length(tls_server_name) BETWEEN 1 AND 253 AND tls_server_name !~ '[[:cntrl:]]'",
        "api_seen_is_known": "api_seen IN ('native', 'openai')",
        "is_available_follows_status": "is_available = (status IN ('up', 'degraded'))",
    },
    indexes=[Index(("is_default",), name="uq_ollama_servers_one_default", unique=True, where="is_default")],
    # Room on each page for the next version of its rows: checks then touch no index.
    fillfactor=50,
)

ollama_models = FactTable(
    "ollama_models",
    [
        record("id", "uuid", key=True, default="gen_random_uuid()"),
        record("server_id", "uuid", references="ollama_servers.id"),
        operator("name", "text"),
        verdict("model_name", "text", null=False),
        verdict("size_bytes", "bigint"),
        verdict("digest", "text"),
        operator("is_active", "boolean", default="true"),
        operator("capabilities", "jsonb", default=EMPTY_ARRAY),
        record("capabilities_source", "text", default="'none'"),
        verdict("family", "text"),
        verdict("parameter_size", "text"),
        verdict("quantization", "text"),
        verdict("context_length", "bigint"),
        verdict("remote_host", "text"),
        record("disabled_at", "timestamptz", null=True),
        verdict("removed_at", "timestamptz"),
        record("first_seen_at", "timestamptz", default="now()"),
        verdict("last_seen_at", "timestamptz", null=False, default="now()", told=False),
        verdict("loaded_size_bytes", "bigint"),
        verdict("size_vram", "bigint"),
        # An event tells it when the model is loaded, and not with each request that moves it.
        verdict("expires_at", "timestamptz", told=False),
    ],
    unique=[("server_id", "model_name")],
    checks={
        "model_name_is_usable": "length(model_name) BETWEEN 1 AND 512",
        "name_is_usable": "length(name) BETWEEN 1 AND 512",
        "size_is_positive": "size_bytes > 0",
        **are_texts("capabilities", kind="array", elements="$[*]"),
        "capabilities_source_is_known": "capabilities_source IN ('none', 'tags', 'show', 'operator')",
        "is_active_follows_marks": "is_active = (removed_at IS NULL AND disabled_at IS NULL)",
    },
    indexes=[
        Index(("model_name",)),
        # Those in memory alone: few, and asked for every few seconds.
        Index(("expires_at",), where="size_vram IS NOT NULL"),
    ],
)

monitor_leases = Table(
    "monitor_leases",
    [
        Column("shard", "smallint", key=True),
        Column("owner", "uuid", null=True),
        Column("owner_name", "text", null=True),
        Column("epoch", "bigint", default="0"),
        Column("expires_at", "timestamptz", default="'-infinity'"),
        Column("taken_at", "timestamptz", null=True),
    ],
    # So that a change of the epoch is one of a key, which the fence (`fleet_lease_held`) keeps waiting.
    unique=[("shard", "epoch")],
)

# What a monitor counts of its own work, for /metrics. Nothing is lost with it, so it is not logged.
monitor_stats = Table(
    "monitor_stats",
    [
        Column("shard", "smallint", key=True),
        Column("at", "timestamptz"),
        Column("body", "jsonb"),
    ],
    unlogged=True,
)

_PAGE = (
    Column("timeline", "bytea"),
    Column("good", "integer"),
    Column("bad", "integer"),
    Column("latencies", "bytea"),
    Column("medians", "bytea"),
)

# Five minutes a row, for an hour or two. Two monitors may each write the part of one that was theirs.
server_history_recent = Table(
    "server_history_recent",
    [
        Column("server_id", "uuid", key=True, references="ollama_servers.id"),
        Column("start_at", "timestamptz", key=True),
        Column("epoch", "bigint", key=True),
        *_PAGE,
    ],
)

# An hour or a day a row; `span` is seconds. How the bytes are read: monitor/domain/history.py.
server_history = Table(
    "server_history",
    [
        Column("server_id", "uuid", key=True, references="ollama_servers.id"),
        Column("span", "integer", key=True),
        Column("start_at", "timestamptz", key=True),
        *_PAGE,
    ],
)

# Each row is a lock: see `credential_store`.
fleet_locks = Table("fleet_locks", [Column("name", "text", key=True)])

api_tokens = Table(
    "api_tokens",
    [
        Column("id", "uuid", key=True),
        Column("name", "text"),
        Column("digest", "bytea"),
        Column("scopes", "jsonb"),
        Column("created_at", "timestamptz", default="now()"),
        Column("expires_at", "timestamptz", null=True),
        Column("last_used_at", "timestamptz", null=True),
        Column("revoked_at", "timestamptz", null=True),
    ],
    checks={
        "name_is_usable": "name ~ '^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$'",
        "digest_is_sha256": "octet_length(digest) = 32",
        "scopes_are_known": "jsonb_typeof(scopes) = 'array' AND scopes <> '[]' "
        """AND scopes <@ '["read", "write", "credentials", "admin"]'""",
    },
    # A name may be given again once its token is revoked; the old row stays, and with it who that was.
    indexes=[Index(("name",), name="uq_api_tokens_name_in_use", unique=True, where="revoked_at IS NULL")],
)

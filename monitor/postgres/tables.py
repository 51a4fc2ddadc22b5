"""The one statement of the schema, as SQLAlchemy Core tables; migrations must agree with it.

Triggers (events, `row_version`, consistency of `status` and `is_available`) live in the migrations.
Columns that change with every check stand side by side, so that PostgreSQL logs few bytes for them.
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from monitor.postgres.columns import (
    EMPTY_ARRAY,
    EMPTY_OBJECT,
    FALSE,
    INSTANT,
    NEW_ID,
    NOW,
    ONE,
    TRUE,
    ZERO,
    are_texts,
    metadata,
)

fleet_event_head = Table(
    "fleet_event_head",
    metadata,
    Column("only_row", Boolean, primary_key=True, server_default=TRUE),
    Column("seq", BigInteger, nullable=False, server_default=ZERO),
    CheckConstraint("only_row", name="one_row"),
)

fleet_event_pending = Table(
    "fleet_event_pending",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("type", Text, nullable=False),
    Column("server_id", Uuid),
    Column("model_id", Uuid),
    Column("body", JSONB, nullable=False),
)

fleet_events = Table(
    "fleet_events",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("type", Text, nullable=False),
    Column("server_id", Uuid),
    Column("model_id", Uuid),
    Column("at", INSTANT, nullable=False),
    Column("body", JSONB, nullable=False),
    Index("ix_fleet_events_of_monitors", "seq", postgresql_where=text("type LIKE 'monitor.%'")),
    Index(
        "ix_fleet_events_of_verdicts",
        "server_id",
        "seq",
        postgresql_where=text("type IN ('server.up', 'server.degraded', 'server.down')"),
    ),
)

ollama_servers = Table(
    "ollama_servers",
    metadata,
    Column("id", Uuid, primary_key=True, server_default=NEW_ID),
    Column("name", Text, nullable=False),
    Column("url", Text, nullable=False),
    Column("api_version", Text, nullable=False, server_default=text("'v1'")),
    Column("auth_type", Text, nullable=False, server_default=text("'none'")),
    Column("auth_config", JSONB, nullable=False, server_default=EMPTY_OBJECT),
    Column("is_active", Boolean, nullable=False, server_default=TRUE),
    Column("is_default", Boolean, nullable=False, server_default=FALSE),
    Column("capabilities", JSONB, nullable=False, server_default=EMPTY_ARRAY),
    Column("max_concurrent", Integer, nullable=False, server_default=ONE),
    Column("priority", Integer, nullable=False, server_default=ZERO),
    Column("labels", JSONB, nullable=False, server_default=EMPTY_OBJECT),
    Column("check_interval_seconds", Double),
    Column("check_timeout_seconds", Double),
    Column("rise", Integer),
    Column("fall", Integer),
    Column("row_version", Integer, nullable=False, server_default=ONE),
    Column("created_at", INSTANT, nullable=False, server_default=NOW),
    Column("updated_at", INSTANT, nullable=False, server_default=NOW),
    Column("status", Text, nullable=False, server_default=text("'unknown'")),
    Column("status_reason", Text),
    Column("status_detail", Text),
    Column("status_changed_at", INSTANT),
    Column("is_available", Boolean, nullable=False, server_default=FALSE),
    Column("server_version", Text),
    Column("last_checked_at", INSTANT),
    Column("next_check_at", INSTANT),
    Column("latency_ms", Double),
    Column("models_listed_at", INSTANT),
    Column("check_requested_at", INSTANT),
    Column("check_answered_at", INSTANT),
    Column("check_result", JSONB),
    Column("discovery_requested_at", INSTANT),
    Column("discovery_answered_at", INSTANT),
    Column("discovery_result", JSONB),
    Column("flapping_since", INSTANT),
    Column("watch_state", Text),
    Column("connection_watch", Boolean, nullable=False, server_default=TRUE),
    Column("site", Text),
    Column("suspect_since", INSTANT),
    Column("suspect_reason", Text),
    # Whether the event log says that it is suspect.
    Column("suspicion_told", Boolean, nullable=False, server_default=FALSE),
    Column("api_seen", Text),
    Column("vram_seen", Boolean, nullable=False, server_default=FALSE),
    UniqueConstraint("name"),
    UniqueConstraint("url"),
    CheckConstraint("length(name) BETWEEN 1 AND 200 AND name !~ '[[:cntrl:]]'", name="name_is_usable"),
    CheckConstraint(
        "length(url) <= 2048 AND url ~ '^https?://[^[:space:]/?#@]+(/[^[:space:]?#]*)?$'", name="url_is_http"
    ),
    CheckConstraint("auth_type IN ('none', 'basic', 'bearer', 'api_key')", name="auth_type_is_known"),
    CheckConstraint("jsonb_typeof(auth_config) = 'object'", name="auth_config_is_object"),
    are_texts("capabilities", kind="array", elements="$[*]"),
    CheckConstraint("max_concurrent > 0", name="max_concurrent_is_positive"),
    are_texts("labels", kind="object", elements="$.*"),
    CheckConstraint("check_interval_seconds BETWEEN 0.1 AND 86400", name="check_interval_is_sane"),
    CheckConstraint("check_timeout_seconds BETWEEN 0.1 AND 300", name="check_timeout_is_sane"),
    CheckConstraint("rise BETWEEN 1 AND 100", name="rise_is_sane"),
    CheckConstraint("fall BETWEEN 1 AND 100", name="fall_is_sane"),
    CheckConstraint("status IN ('unknown', 'up', 'degraded', 'down')", name="status_is_known"),
    CheckConstraint("length(status_detail) <= 200", name="status_detail_is_short"),
    CheckConstraint("length(site) BETWEEN 1 AND 200 AND site !~ '[[:cntrl:]]'", name="site_is_usable"),
    CheckConstraint("api_seen IN ('native', 'openai')", name="api_seen_is_known"),
    CheckConstraint("is_available = (status IN ('up', 'degraded'))", name="is_available_follows_status"),
    Index("uq_ollama_servers_one_default", "is_default", unique=True, postgresql_where=text("is_default")),
    postgresql_with={"fillfactor": "50"},
)

ollama_models = Table(
    "ollama_models",
    metadata,
    Column("id", Uuid, primary_key=True, server_default=NEW_ID),
    Column("server_id", Uuid, ForeignKey("ollama_servers.id", ondelete="CASCADE"), nullable=False),
    Column("name", Text, nullable=False),
    Column("model_name", Text, nullable=False),
    Column("size_bytes", BigInteger),
    Column("digest", Text),
    Column("is_active", Boolean, nullable=False, server_default=TRUE),
    Column("capabilities", JSONB, nullable=False, server_default=EMPTY_ARRAY),
    Column("capabilities_source", Text, nullable=False, server_default=text("'none'")),
    Column("family", Text),
    Column("parameter_size", Text),
    Column("quantization", Text),
    Column("context_length", BigInteger),
    Column("remote_host", Text),
    Column("disabled_at", INSTANT),
    Column("removed_at", INSTANT),
    Column("first_seen_at", INSTANT, nullable=False, server_default=NOW),
    Column("last_seen_at", INSTANT, nullable=False, server_default=NOW),
    Column("loaded_size_bytes", BigInteger),
    Column("size_vram", BigInteger),
    Column("expires_at", INSTANT),
    UniqueConstraint("server_id", "model_name"),
    CheckConstraint("length(model_name) BETWEEN 1 AND 512", name="model_name_is_usable"),
    CheckConstraint("length(name) BETWEEN 1 AND 512", name="name_is_usable"),
    CheckConstraint("size_bytes > 0", name="size_is_positive"),
    are_texts("capabilities", kind="array", elements="$[*]"),
    CheckConstraint("capabilities_source IN ('none', 'tags', 'show', 'operator')", name="capabilities_source_is_known"),
    CheckConstraint("is_active = (removed_at IS NULL AND disabled_at IS NULL)", name="is_active_follows_marks"),
    Index(None, "model_name"),
)

monitor_leases = Table(
    "monitor_leases",
    metadata,
    Column("shard", SmallInteger, primary_key=True, autoincrement=False),
    Column("owner", Uuid),
    Column("owner_name", Text),
    Column("epoch", BigInteger, nullable=False, server_default=ZERO),
    Column("expires_at", INSTANT, nullable=False, server_default=text("'-infinity'")),
    Column("taken_at", INSTANT),
)

# What a monitor counts of its own work, for /metrics. Nothing is lost with it, so it is not logged.
monitor_stats = Table(
    "monitor_stats",
    metadata,
    Column("shard", SmallInteger, primary_key=True, autoincrement=False),
    Column("at", INSTANT, nullable=False),
    Column("body", JSONB, nullable=False),
    prefixes=["UNLOGGED"],
)


def _history(name: str, *between: Column[Any]) -> Table:
    return Table(
        name,
        metadata,
        Column("server_id", Uuid, ForeignKey("ollama_servers.id", ondelete="CASCADE"), primary_key=True),
        *between,
        Column("timeline", LargeBinary, nullable=False),
        Column("good", Integer, nullable=False),
        Column("bad", Integer, nullable=False),
        Column("latencies", LargeBinary, nullable=False),
        Column("medians", LargeBinary, nullable=False),
    )


# Five minutes a row, for an hour or two. Two monitors may each write the part of one that was theirs.
server_history_recent = _history(
    "server_history_recent",
    Column("start_at", INSTANT, primary_key=True),
    Column("epoch", BigInteger, primary_key=True, autoincrement=False),
)

# An hour or a day a row; `span` is seconds. How the bytes are read: monitor/domain/history.py.
server_history = _history(
    "server_history",
    Column("span", Integer, primary_key=True, autoincrement=False),
    Column("start_at", INSTANT, primary_key=True),
)

api_tokens = Table(
    "api_tokens",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("name", Text, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("scopes", JSONB, nullable=False),
    Column("created_at", INSTANT, nullable=False, server_default=NOW),
    Column("expires_at", INSTANT),
    Column("last_used_at", INSTANT),
    Column("revoked_at", INSTANT),
    CheckConstraint("name ~ '^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$'", name="name_is_usable"),
    CheckConstraint("octet_length(digest) = 32", name="digest_is_sha256"),
    CheckConstraint(
        "jsonb_typeof(scopes) = 'array' AND scopes <> '[]' "
        """AND scopes <@ '["read", "write", "credentials", "admin"]'""",
        name="scopes_are_known",
    ),
    Index("uq_api_tokens_name_in_use", "name", unique=True, postgresql_where=text("revoked_at IS NULL")),
)

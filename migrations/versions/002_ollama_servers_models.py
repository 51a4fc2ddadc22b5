"""Servers and their models, their history, the monitors that check them, and the tokens of the API."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from migrations import sql

revision = "002"
down_revision = "001"
branch_labels = None
depends_on = None

INSTANT = sa.TIMESTAMP(timezone=True)
TRUE, FALSE = sa.text("true"), sa.text("false")
NOW, NEW_ID, EMPTY_ARRAY = sa.text("now()"), sa.text("gen_random_uuid()"), sa.text("'[]'::jsonb")

# strict: a lax path would look into an array inside and take its texts for the elements.
SERVER_RULES = {
    "name_is_usable": "length(name) BETWEEN 1 AND 200 AND name !~ '[[:cntrl:]]'",
    "url_is_http": "length(url) <= 2048 AND url ~ '^https?://[^[:space:]/?#@]+(/[^[:space:]?#]*)?$'",
    "api_is_known": "api IN ('auto', 'native', 'openai')",
    "auth_type_is_known": "auth_type IN ('none', 'basic', 'bearer', 'api_key')",
    "auth_config_is_object": "jsonb_typeof(auth_config) = 'object'",
    "capabilities_are_texts": "jsonb_typeof(capabilities) = 'array' "
    "AND NOT jsonb_path_exists(capabilities, 'strict $[*] ? (@.type() <> \"string\")', '{}', true)",
    "max_concurrent_is_positive": "max_concurrent > 0",
    "labels_are_texts": "jsonb_typeof(labels) = 'object' "
    "AND NOT jsonb_path_exists(labels, 'strict $.* ? (@.type() <> \"string\")', '{}', true)",
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
}

MODEL_RULES = {
    "model_name_is_usable": "length(model_name) BETWEEN 1 AND 512",
    "name_is_usable": "length(name) BETWEEN 1 AND 512",
    "size_is_positive": "size_bytes > 0",
    "capabilities_are_texts": "jsonb_typeof(capabilities) = 'array' "
    "AND NOT jsonb_path_exists(capabilities, 'strict $[*] ? (@.type() <> \"string\")', '{}', true)",
    "capabilities_source_is_known": "capabilities_source IN ('none', 'tags', 'show', 'operator')",
    "is_active_follows_marks": "is_active = (removed_at IS NULL AND disabled_at IS NULL)",
}


TOKEN_RULES = {
    "name_is_usable": "name ~ '^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$'",
    "digest_is_sha256": "octet_length(digest) = 32",
    "scopes_are_known": "jsonb_typeof(scopes) = 'array' AND scopes <> '[]' "
    """AND scopes <@ '["read", "write", "credentials", "admin"]'""",
}

TOPICS = ("servers", "models", "truncation", "monitors", "history", "subscribers")


def upgrade() -> None:
    """Create the tables, their rules, indexes, functions and triggers."""
    _create_servers()
    _create_models()
    _create_monitors()
    _create_history(
        "server_history_recent",
        sa.Column("start_at", INSTANT, nullable=False),
        sa.Column("epoch", sa.BigInteger, nullable=False, autoincrement=False),
    )
    _create_history(
        "server_history",
        sa.Column("span", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("start_at", INSTANT, nullable=False),
    )
    op.create_table("fleet_locks", sa.Column("name", sa.Text), sa.PrimaryKeyConstraint("name", name="pk_fleet_locks"))
    op.execute("INSERT INTO fleet_locks VALUES ('sealing'), ('changing_keys')")
    _create_tokens()
    sql.run(*TOPICS)


def _create_servers() -> None:
    op.create_table(
        "ollama_servers",
        sa.Column("id", sa.Uuid, server_default=NEW_ID),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("api_version", sa.Text, nullable=False, server_default=sa.text("'v1'")),
        sa.Column("api", sa.Text, nullable=False, server_default=sa.text("'auto'")),
        sa.Column("auth_type", sa.Text, nullable=False, server_default=sa.text("'none'")),
        sa.Column("auth_config", JSONB, nullable=False, server_default=sa.text("'{}'::jsonb")),
        sa.Column("is_active", sa.Boolean, nullable=False, server_default=TRUE),
        sa.Column("is_default", sa.Boolean, nullable=False, server_default=FALSE),
        sa.Column("capabilities", JSONB, nullable=False, server_default=EMPTY_ARRAY),
        sa.Column("max_concurrent", sa.Integer, nullable=False, server_default=sa.text("1")),
        sa.Column("priority", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("labels", JSONB, nullable=False, server_default=sa.text("'{}'::jsonb")),
        sa.Column("check_interval_seconds", sa.Double),
        sa.Column("check_timeout_seconds", sa.Double),
        sa.Column("rise", sa.Integer),
        sa.Column("fall", sa.Integer),
        sa.Column("connection_watch", sa.Boolean, nullable=False, server_default=TRUE),
        sa.Column("site", sa.Text),
        sa.Column("ca_pem", sa.Text),
        sa.Column("client_cert", sa.Text),
        sa.Column("client_key", JSONB),
        sa.Column("tls_server_name", sa.Text),
        sa.Column("row_version", sa.Integer, nullable=False, server_default=sa.text("1")),
        sa.Column("created_at", INSTANT, nullable=False, server_default=NOW),
        sa.Column("updated_at", INSTANT, nullable=False, server_default=NOW),
        sa.Column("status", sa.Text, nullable=False, server_default=sa.text("'unknown'")),
        sa.Column("status_reason", sa.Text),
        sa.Column("status_detail", sa.Text),
        sa.Column("status_changed_at", INSTANT),
        sa.Column("is_available", sa.Boolean, nullable=False, server_default=FALSE),
        sa.Column("flapping_since", INSTANT),
        sa.Column("restarted_at", INSTANT),
        sa.Column("suspect_since", INSTANT),
        sa.Column("suspect_reason", sa.Text),
        sa.Column("api_seen", sa.Text),
        sa.Column("server_version", sa.Text),
        sa.Column("tls_expires_at", INSTANT),
        sa.Column("last_checked_at", INSTANT),
        sa.Column("next_check_at", INSTANT),
        sa.Column("latency_ms", sa.Double),
        sa.Column("models_listed_at", INSTANT),
        sa.Column("watch_state", sa.Text),
        sa.Column("check_requested_at", INSTANT),
        sa.Column("check_answered_at", INSTANT),
        sa.Column("check_result", JSONB),
        sa.Column("discovery_requested_at", INSTANT),
        sa.Column("discovery_answered_at", INSTANT),
        sa.Column("discovery_result", JSONB),
        sa.Column("suspicion_told", sa.Boolean, nullable=False, server_default=FALSE),
        sa.Column("vram_seen", sa.Boolean, nullable=False, server_default=FALSE),
        sa.PrimaryKeyConstraint("id", name="pk_ollama_servers"),
        sa.UniqueConstraint("name", name="uq_ollama_servers_name"),
        sa.UniqueConstraint("url", name="uq_ollama_servers_url"),
        *_checks("ollama_servers", SERVER_RULES),
        # Room on each page for the next version of its rows: checks then touch no index.
        postgresql_with={"fillfactor": "50"},
    )
    op.create_index(
        "uq_ollama_servers_one_default",
        "ollama_servers",
        ["is_default"],
        unique=True,
        postgresql_where=sa.text("is_default"),
    )


def _create_models() -> None:
    op.create_table(
        "ollama_models",
        sa.Column("id", sa.Uuid, server_default=NEW_ID),
        sa.Column("server_id", sa.Uuid, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("model_name", sa.Text, nullable=False),
        sa.Column("size_bytes", sa.BigInteger),
        sa.Column("digest", sa.Text),
        sa.Column("is_active", sa.Boolean, nullable=False, server_default=TRUE),
        sa.Column("capabilities", JSONB, nullable=False, server_default=EMPTY_ARRAY),
        sa.Column("capabilities_source", sa.Text, nullable=False, server_default=sa.text("'none'")),
        sa.Column("family", sa.Text),
        sa.Column("parameter_size", sa.Text),
        sa.Column("quantization", sa.Text),
        sa.Column("context_length", sa.BigInteger),
        sa.Column("remote_host", sa.Text),
        sa.Column("disabled_at", INSTANT),
        sa.Column("removed_at", INSTANT),
        sa.Column("first_seen_at", INSTANT, nullable=False, server_default=NOW),
        sa.Column("last_seen_at", INSTANT, nullable=False, server_default=NOW),
        sa.Column("loaded_size_bytes", sa.BigInteger),
        sa.Column("size_vram", sa.BigInteger),
        sa.Column("expires_at", INSTANT),
        sa.PrimaryKeyConstraint("id", name="pk_ollama_models"),
        sa.ForeignKeyConstraint(
            ["server_id"], ["ollama_servers.id"], name="fk_ollama_models_server_id", ondelete="CASCADE"
        ),
        sa.UniqueConstraint("server_id", "model_name", name="uq_ollama_models_server_id_model_name"),
        *_checks("ollama_models", MODEL_RULES),
    )
    op.create_index("ix_ollama_models_model_name", "ollama_models", ["model_name"])
    op.create_index(
        "ix_ollama_models_expires_at",
        "ollama_models",
        ["expires_at"],
        postgresql_where=sa.text("size_vram IS NOT NULL"),
    )


def _create_monitors() -> None:
    op.create_table(
        "monitor_leases",
        sa.Column("shard", sa.SmallInteger, autoincrement=False),
        sa.Column("owner", sa.Uuid),
        sa.Column("owner_name", sa.Text),
        sa.Column("epoch", sa.BigInteger, nullable=False, server_default=sa.text("0")),
        sa.Column("expires_at", INSTANT, nullable=False, server_default=sa.text("'-infinity'")),
        sa.Column("taken_at", INSTANT),
        sa.PrimaryKeyConstraint("shard", name="pk_monitor_leases"),
        sa.UniqueConstraint("shard", "epoch", name="uq_monitor_leases_shard_epoch"),
    )
    op.execute("INSERT INTO monitor_leases (shard) VALUES (0)")
    op.create_table(
        "monitor_stats",
        sa.Column("shard", sa.SmallInteger, autoincrement=False),
        sa.Column("at", INSTANT, nullable=False),
        sa.Column("body", JSONB, nullable=False),
        sa.PrimaryKeyConstraint("shard", name="pk_monitor_stats"),
        prefixes=["UNLOGGED"],
    )


def _create_history(name: str, *between: sa.Column[Any]) -> None:
    op.create_table(
        name,
        sa.Column("server_id", sa.Uuid, nullable=False),
        *between,
        sa.Column("timeline", sa.LargeBinary, nullable=False),
        sa.Column("good", sa.Integer, nullable=False),
        sa.Column("bad", sa.Integer, nullable=False),
        sa.Column("latencies", sa.LargeBinary, nullable=False),
        sa.Column("medians", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("server_id", *(column.name for column in between), name=f"pk_{name}"),
        sa.ForeignKeyConstraint(["server_id"], ["ollama_servers.id"], name=f"fk_{name}_server_id", ondelete="CASCADE"),
    )


def _create_tokens() -> None:
    op.create_table(
        "api_tokens",
        sa.Column("id", sa.Uuid),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("scopes", JSONB, nullable=False),
        sa.Column("created_at", INSTANT, nullable=False, server_default=NOW),
        sa.Column("expires_at", INSTANT),
        sa.Column("last_used_at", INSTANT),
        sa.Column("revoked_at", INSTANT),
        sa.PrimaryKeyConstraint("id", name="pk_api_tokens"),
        *_checks("api_tokens", TOKEN_RULES),
    )
    # A name may be given again once its token is revoked; the old row stays, and with it who that was.
    op.create_index(
        "uq_api_tokens_name_in_use",
        "api_tokens",
        ["name"],
        unique=True,
        postgresql_where=sa.text("revoked_at IS NULL"),
    )


def _checks(table: str, rules: dict[str, str]) -> list[sa.CheckConstraint]:
    return [sa.CheckConstraint(rule, name=op.f(f"ck_{table}_{name}")) for name, rule in rules.items()]


def downgrade() -> None:
    """Drop all of it."""
    sql.drop(*reversed(TOPICS))
    for table in (
        "api_tokens",
        "fleet_locks",
        "server_history",
        "server_history_recent",
        "monitor_stats",
        "monitor_leases",
    ):
        op.drop_table(table)
    op.drop_table("ollama_models")
    op.drop_table("ollama_servers")

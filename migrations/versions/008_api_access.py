"""Tokens of the API, and events that say who made the change."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from migrations import sql

revision = "008"
down_revision = "007"
branch_labels = None
depends_on = None

INSTANT = sa.TIMESTAMP(timezone=True)
RULES = {
    "name_is_usable": "name ~ '^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$'",
    "digest_is_sha256": "octet_length(digest) = 32",
    "scopes_are_known": "jsonb_typeof(scopes) = 'array' AND scopes <> '[]' "
    """AND scopes <@ '["read", "write", "credentials", "admin"]'""",
}


def upgrade() -> None:
    """Create the table, and have the staging of events add the actor."""
    op.create_table(
        "api_tokens",
        sa.Column("id", sa.Uuid),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("scopes", JSONB, nullable=False),
        sa.Column("created_at", INSTANT, nullable=False, server_default=sa.text("now()")),
        sa.Column("expires_at", INSTANT),
        sa.Column("last_used_at", INSTANT),
        sa.Column("revoked_at", INSTANT),
        sa.PrimaryKeyConstraint("id", name="pk_api_tokens"),
        *(sa.CheckConstraint(rule, name=op.f(f"ck_api_tokens_{name}")) for name, rule in RULES.items()),
    )
    # A name may be given again once its token is revoked; the old row stays, and with it who that was.
    op.create_index(
        "uq_api_tokens_name_in_use",
        "api_tokens",
        ["name"],
        unique=True,
        postgresql_where=sa.text("revoked_at IS NULL"),
    )
    for statement in sql.statements("008_api_access.sql"):
        op.execute(statement)


def downgrade() -> None:
    """Put the function of revision 001 back, and drop the rest."""
    for statement in sql.statements("001_fleet_events.sql"):
        if "CREATE FUNCTION fleet_event_stage" in statement:
            op.execute(statement.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION", 1))
    op.execute("DROP FUNCTION fleet_is_edit(text, jsonb)")
    op.execute("DROP FUNCTION fleet_actor()")
    op.drop_table("api_tokens")

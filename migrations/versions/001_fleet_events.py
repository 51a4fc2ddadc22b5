"""The event log: numbers without gaps in commit order, for every writer.

Whoever changes a table stages events in `fleet_event_pending`. At the very end of the transaction
a deferred trigger locks the one row of `fleet_event_head`, takes as many numbers as there are
staged events, moves them to `fleet_events` and sends the NOTIFYs. The lock is held until the
commit, so the order of the numbers is the order of the commits; a rollback takes its numbers back.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from migrations import sql

revision = "001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the log, its head row and the functions that number and announce events."""
    op.create_table(
        "fleet_event_head",
        sa.Column("only_row", sa.Boolean, server_default=sa.text("true")),
        sa.Column("seq", sa.BigInteger, nullable=False, server_default=sa.text("0")),
        sa.PrimaryKeyConstraint("only_row", name="pk_fleet_event_head"),
        sa.CheckConstraint("only_row", name=op.f("ck_fleet_event_head_one_row")),
    )
    op.create_table(
        "fleet_event_pending",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True)),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("server_id", sa.Uuid),
        sa.Column("model_id", sa.Uuid),
        sa.Column("body", JSONB, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_fleet_event_pending"),
    )
    op.create_table(
        "fleet_events",
        sa.Column("seq", sa.BigInteger, autoincrement=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("server_id", sa.Uuid),
        sa.Column("model_id", sa.Uuid),
        sa.Column("at", sa.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("body", JSONB, nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_fleet_events"),
    )
    op.create_index(
        "ix_fleet_events_of_monitors", "fleet_events", ["seq"], postgresql_where=sa.text("type LIKE 'monitor.%'")
    )
    op.create_index(
        "ix_fleet_events_of_verdicts",
        "fleet_events",
        ["server_id", "seq"],
        postgresql_where=sa.text("type IN ('server.up', 'server.degraded', 'server.down')"),
    )
    op.execute("INSERT INTO fleet_event_head DEFAULT VALUES")
    sql.run("event_log")


def downgrade() -> None:
    """Drop the log."""
    sql.drop("event_log")
    op.drop_table("fleet_events")
    op.drop_table("fleet_event_pending")
    op.drop_table("fleet_event_head")

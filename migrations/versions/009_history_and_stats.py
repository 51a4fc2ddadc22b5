"""History of servers in five minutes, hours and days; and what a monitor counts of its own work, for /metrics."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "009"
down_revision = "008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables, and note when a lease was taken."""
    op.add_column("monitor_leases", sa.Column("taken_at", sa.TIMESTAMP(timezone=True)))
    op.create_index(
        "ix_fleet_events_of_verdicts",
        "fleet_events",
        ["server_id", "seq"],
        postgresql_where=sa.text("type IN ('server.up', 'server.degraded', 'server.down')"),
    )
    op.create_table(
        "monitor_stats",
        sa.Column("shard", sa.SmallInteger, autoincrement=False),
        sa.Column("at", sa.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("body", JSONB, nullable=False),
        sa.PrimaryKeyConstraint("shard", name="pk_monitor_stats"),
        prefixes=["UNLOGGED"],
    )
    _create_history(
        "server_history_recent",
        sa.Column("start_at", sa.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("epoch", sa.BigInteger, nullable=False, autoincrement=False),
    )
    _create_history(
        "server_history",
        sa.Column("span", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("start_at", sa.TIMESTAMP(timezone=True), nullable=False),
    )


def downgrade() -> None:
    """Drop all of it."""
    for table in ("server_history", "server_history_recent", "monitor_stats"):
        op.drop_table(table)
    op.drop_index("ix_fleet_events_of_verdicts", "fleet_events")
    op.drop_column("monitor_leases", "taken_at")


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

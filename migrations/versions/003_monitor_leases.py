"""The lease: which monitor owns the fleet now, and the epoch that fences out a stale owner."""

import sqlalchemy as sa
from alembic import op

revision = "003"
down_revision = "002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the lease table with its one free lease."""
    op.create_table(
        "monitor_leases",
        sa.Column("shard", sa.SmallInteger, autoincrement=False),
        sa.Column("owner", sa.Uuid),
        sa.Column("owner_name", sa.Text),
        sa.Column("epoch", sa.BigInteger, nullable=False, server_default=sa.text("0")),
        sa.Column("expires_at", sa.TIMESTAMP(timezone=True), nullable=False, server_default=sa.text("'-infinity'")),
        sa.PrimaryKeyConstraint("shard", name="pk_monitor_leases"),
    )
    op.execute("INSERT INTO monitor_leases (shard) VALUES (0)")


def downgrade() -> None:
    """Drop the lease table."""
    op.drop_table("monitor_leases")

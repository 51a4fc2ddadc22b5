"""The operator can have single servers left unwatched; that is an edit like any other."""

import sqlalchemy as sa
from alembic import op

from migrations import sql

revision = "006"
down_revision = "005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column, and count a change of it as an edit."""
    op.add_column(
        "ollama_servers", sa.Column("connection_watch", sa.Boolean, nullable=False, server_default=sa.text("true"))
    )
    op.execute("DROP TRIGGER fleet_server_before_update ON ollama_servers")
    for statement in sql.statements("006_connection_watch_per_server.sql"):
        op.execute(statement)


def downgrade() -> None:
    """Put the function and the trigger of revision 004 back, and drop the column."""
    op.execute("DROP TRIGGER fleet_server_before_update ON ollama_servers")
    for statement in sql.statements("004_flapping_and_isolation.sql"):
        if "FUNCTION fleet_server_before()" in statement:
            op.execute(statement)
    op.drop_column("ollama_servers", "connection_watch")

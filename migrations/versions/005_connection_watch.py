"""Whether an idle connection to a server is held is shown in its row, and is no event."""

import sqlalchemy as sa
from alembic import op

from migrations import sql

revision = "005"
down_revision = "004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column, and leave it out of events."""
    op.add_column("ollama_servers", sa.Column("watch_state", sa.Text))
    for statement in sql.statements("005_connection_watch.sql"):
        op.execute(statement)


def downgrade() -> None:
    """Drop the column, and put the function of revision 002 back."""
    op.drop_column("ollama_servers", "watch_state")
    for statement in sql.statements("002_ollama_servers_models.sql"):
        if "CREATE FUNCTION fleet_public_server" in statement:
            op.execute(statement.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION", 1))

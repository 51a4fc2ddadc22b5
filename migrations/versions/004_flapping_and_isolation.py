"""Servers that flap are marked, and the monitor can say in the event log that it is cut off itself."""

import sqlalchemy as sa
from alembic import op

from migrations import sql

revision = "004"
down_revision = "003"
branch_labels = None
depends_on = None

# Made in revision 002 and made anew here; what begins like this is put back on the way down.
REPLACED = (
    "CREATE FUNCTION fleet_server_before()",
    "CREATE FUNCTION fleet_server_capture()",
    "CREATE TRIGGER fleet_server_before_update",
    "CREATE TRIGGER fleet_server_capture_update",
)


def upgrade() -> None:
    """Add the mark, the events about it, and the function that a monitor announces its own state with."""
    op.add_column("ollama_servers", sa.Column("flapping_since", sa.TIMESTAMP(timezone=True)))
    op.create_index(
        "ix_fleet_events_of_monitors", "fleet_events", ["seq"], postgresql_where=sa.text("type LIKE 'monitor.%'")
    )
    _drop_triggers()
    for statement in sql.statements("004_flapping_and_isolation.sql"):
        op.execute(statement)


def downgrade() -> None:
    """Put the functions and triggers of revision 002 back, and drop the mark."""
    op.execute("DROP FUNCTION fleet_monitor_event(text, jsonb, interval, uuid, bigint)")
    op.drop_index("ix_fleet_events_of_monitors", "fleet_events")
    _drop_triggers()
    for statement in sql.statements("002_ollama_servers_models.sql"):
        made = statement[statement.find("CREATE ") :]
        if statement.startswith("-- What runs") or made.startswith(REPLACED):
            op.execute(statement.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION", 1))
    op.drop_column("ollama_servers", "flapping_since")


def _drop_triggers() -> None:
    for trigger in ("fleet_server_before_update", "fleet_server_capture_update"):
        op.execute(f"DROP TRIGGER {trigger} ON ollama_servers")

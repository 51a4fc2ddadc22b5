"""One fence for all that a monitor writes: a function that says whether it still holds its lease."""

from alembic import op

from migrations import sql

revision = "011"
down_revision = "010"
branch_labels = None
depends_on = None

# By the file in which the revisions before have them.
REPLACED = {
    "010_suspicion_and_choice.sql": ("-- What runs with", "FUNCTION fleet_monitor_event("),
    "004_flapping_and_isolation.sql": ("REVOKE ALL ON FUNCTION fleet_monitor_event(",),
}


def upgrade() -> None:
    """Create the fence, and have what a monitor says of itself ask it, too."""
    for statement in sql.statements("fence.sql"):
        op.execute(statement)


def downgrade() -> None:
    """Put back the function that looked at the lease by itself."""
    op.execute("DROP FUNCTION fleet_monitor_event(text, jsonb, interval, smallint, uuid, bigint)")
    op.execute("DROP FUNCTION fleet_lease_held(smallint, uuid, bigint)")
    for name, made in REPLACED.items():
        for statement in sql.statements(name):
            if any(each in statement for each in made):
                op.execute(statement)

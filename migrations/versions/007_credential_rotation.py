"""Sealing credentials anew with another key is no edit: no row version, no event, and the verdict stands."""

from alembic import op

from migrations import sql

revision = "007"
down_revision = "006"
branch_labels = None
depends_on = None

# The newest files with the two functions before this revision.
REPLACED = {
    "006_connection_watch_per_server.sql": "FUNCTION fleet_server_before() RETURNS",
    "004_flapping_and_isolation.sql": "FUNCTION fleet_server_capture() RETURNS",
}


def upgrade() -> None:
    """Teach the triggers' functions to tell a rotation from an edit."""
    for statement in sql.statements("007_credential_rotation.sql"):
        op.execute(statement)


def downgrade() -> None:
    """Put the functions of the revisions before back."""
    for name, function in REPLACED.items():
        for statement in sql.statements(name):
            if statement.startswith("-- What runs") or function in statement:
                op.execute(statement)
    op.execute("DROP FUNCTION fleet_is_rotation(ollama_servers, ollama_servers)")

"""Servers can be suspect before there is a verdict, and the order of choice knows their site, API and memory."""

import sqlalchemy as sa
from alembic import op

from migrations import sql

revision = "010"
down_revision = "009"
branch_labels = None
depends_on = None

FALSE = sa.text("false")
RULES = {
    "site_is_usable": "length(site) BETWEEN 1 AND 200 AND site !~ '[[:cntrl:]]'",
    "api_seen_is_known": "api_seen IN ('native', 'openai')",
}
# By the file in which the revision before has them.
REPLACED = {
    "005_connection_watch.sql": ("FUNCTION fleet_public_server(",),
    "007_credential_rotation.sql": ("FUNCTION fleet_server_before()", "FUNCTION fleet_server_capture()"),
    "006_connection_watch_per_server.sql": ("CREATE TRIGGER fleet_server_before_update",),
    "004_flapping_and_isolation.sql": (
        "CREATE TRIGGER fleet_server_capture_update",
        "CREATE FUNCTION fleet_monitor_event(",
    ),
}


def upgrade() -> None:
    """Add the columns, the events about suspicion, and what wakes those who choose servers."""
    op.add_column("ollama_servers", sa.Column("site", sa.Text))
    op.add_column("ollama_servers", sa.Column("suspect_since", sa.TIMESTAMP(timezone=True)))
    op.add_column("ollama_servers", sa.Column("suspect_reason", sa.Text))
    op.add_column("ollama_servers", sa.Column("suspicion_told", sa.Boolean, nullable=False, server_default=FALSE))
    op.add_column("ollama_servers", sa.Column("api_seen", sa.Text))
    op.add_column("ollama_servers", sa.Column("vram_seen", sa.Boolean, nullable=False, server_default=FALSE))
    for name, rule in RULES.items():
        op.create_check_constraint(op.f(f"ck_ollama_servers_{name}"), "ollama_servers", rule)
    op.execute(
        "UPDATE ollama_servers AS server SET vram_seen = true WHERE EXISTS (SELECT 1 FROM ollama_models AS model "
        "WHERE model.server_id = server.id AND model.removed_at IS NULL AND model.size_vram > 0)"
    )
    _drop_triggers()
    for statement in sql.statements("010_suspicion_and_choice.sql"):
        op.execute(statement)


def downgrade() -> None:
    """Put the functions and triggers of the revisions before back, and drop the columns."""
    _drop_triggers()
    for trigger in ("fleet_suspicion_announce", "fleet_suspicion_announce_insert"):
        op.execute(f"DROP TRIGGER {trigger} ON ollama_servers")
    op.execute("DROP FUNCTION fleet_suspicion_announce()")
    for trigger in ("fleet_note_vram_insert", "fleet_note_vram_update"):
        op.execute(f"DROP TRIGGER {trigger} ON ollama_models")
    op.execute("DROP FUNCTION fleet_note_vram()")
    for name, made in REPLACED.items():
        for statement in sql.statements(name):
            if statement.startswith("-- What runs") or any(each in statement for each in made):
                op.execute(statement.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION", 1))
    for name in RULES:
        op.drop_constraint(op.f(f"ck_ollama_servers_{name}"), "ollama_servers")
    for column in ("site", "suspect_since", "suspect_reason", "suspicion_told", "api_seen", "vram_seen"):
        op.drop_column("ollama_servers", column)


def _drop_triggers() -> None:
    for trigger in ("fleet_server_before_update", "fleet_server_capture_update"):
        op.execute(f"DROP TRIGGER {trigger} ON ollama_servers")

"""Who may make events: every role that may write the two tables, by writing them, and in no other way."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from monitor.embedded.postgres import EmbeddedServer
from monitor.postgres.database import Connection
from tests import fold

ROLE = "only_a_writer"
ADD = "INSERT INTO ollama_servers (name, url) VALUES ('a', 'http://a')"


@pytest.fixture
async def writer(dsn: str, connection: Connection, postgres: EmbeddedServer) -> AsyncIterator[Connection]:
    """A session of a role that may do nothing but write the two tables."""
    await connection.execute(
        f"CREATE ROLE {ROLE} LOGIN; GRANT INSERT, UPDATE, DELETE ON ollama_servers, ollama_models TO {ROLE}"
    )
    session: Connection = await asyncpg.connect(dsn, user=ROLE)
    yield session
    await session.close()
    await connection.execute(f"DROP OWNED BY {ROLE} CASCADE; DROP ROLE {ROLE}")


async def test_a_role_that_may_only_write_the_tables_makes_events(writer: Connection, connection: Connection) -> None:
    await writer.execute(ADD)
    await writer.execute("UPDATE ollama_servers SET priority = 1")
    await writer.execute("UPDATE ollama_servers SET status = 'up'")
    server_id = await connection.fetchval("SELECT id FROM ollama_servers")
    await writer.execute("INSERT INTO ollama_models (server_id, name, model_name) VALUES ($1, 'm', 'm')", server_id)
    await writer.execute("UPDATE ollama_models SET is_active = false")
    await writer.execute("DELETE FROM ollama_models")
    await writer.execute("DELETE FROM ollama_servers")

    events = await fold.read_events(connection)
    assert [str(event.type) for event in events] == [
        "server.created",
        "server.updated",
        "server.up",
        "model.added",
        "model.changed",
        "model.removed",
        "server.deleted",
    ]


REFUSED = [
    "SELECT fleet_event_stage('server.down', gen_random_uuid(), NULL, '{}')",
    "INSERT INTO fleet_events (seq, type, at, body) VALUES (1, 'server.down', now(), '{}')",
    "INSERT INTO fleet_event_pending (type, body) VALUES ('server.down', '{}')",
    "UPDATE fleet_event_head SET seq = 0",
    "DELETE FROM fleet_events",
    "UPDATE fleet_events SET type = 'server.up'",
    "SELECT body FROM fleet_events",
    "SELECT auth_config FROM ollama_servers",
    # A table of one's own under the triggers would make events of things that never were.
    "CREATE TRIGGER forge AFTER DELETE ON own FOR EACH ROW EXECUTE FUNCTION fleet_server_capture()",
    "CREATE TRIGGER forge AFTER DELETE ON own FOR EACH ROW EXECUTE FUNCTION fleet_model_capture()",
    "CREATE TRIGGER forge AFTER DELETE ON own FOR EACH ROW EXECUTE FUNCTION fleet_event_publish()",
    "ALTER TABLE ollama_servers DISABLE TRIGGER ALL",
    "SET session_replication_role = 'replica'",
]


async def test_it_can_make_them_in_no_other_way(writer: Connection) -> None:
    await writer.execute("CREATE TEMPORARY TABLE own (id uuid, name text, url text)")

    for statement in REFUSED:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await writer.execute(statement)


async def test_tables_in_its_own_temporary_schema_do_not_swallow_events(
    writer: Connection, connection: Connection
) -> None:
    for table in ("fleet_event_pending", "fleet_event_head", "fleet_events"):
        await writer.execute(
            f"CREATE TEMPORARY TABLE {table} (id int, seq int, type text, server_id uuid, model_id uuid, body jsonb);"
            f"GRANT ALL ON {table} TO PUBLIC"
        )
    await writer.execute(ADD)

    assert [str(event.type) for event in await fold.read_events(connection)] == ["server.created"]


async def test_a_schema_of_its_own_name_does_not_swallow_events(writer: Connection, connection: Connection) -> None:
    owner = await connection.fetchval("SELECT current_user")
    await connection.execute(f"CREATE SCHEMA {owner}; GRANT ALL ON SCHEMA {owner} TO {ROLE}")
    await writer.execute(f"CREATE TABLE {owner}.fleet_event_pending (type text, server_id uuid)")
    await writer.execute(ADD)

    assert [str(event.type) for event in await fold.read_events(connection)] == ["server.created"]


async def test_functions_with_the_owners_rights_name_where_they_look(connection: Connection) -> None:
    rows = await connection.fetch(
        "SELECT proname, proconfig FROM pg_proc WHERE prosecdef AND pronamespace = 'public'::regnamespace"
    )

    assert {tuple(row["proconfig"]) for row in rows} == {("search_path=public, pg_temp",)}
    assert {row["proname"] for row in rows} == {
        "fleet_event_publish",
        "fleet_server_capture",
        "fleet_model_capture",
        "fleet_monitor_event",
        "fleet_note_vram",
    }

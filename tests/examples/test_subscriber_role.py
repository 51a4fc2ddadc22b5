"""The read-only role of deploy/sql: all that a subscriber needs, no secret, and no way to write anything."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from urllib.parse import quote

import asyncpg
import pytest

from monitor.embedded.postgres import EmbeddedServer
from monitor.postgres import tables
from monitor.postgres.database import Connection
from tests.events import consumer
from tests.events.consumer import Store
from tests.examples import subscriber

ADD = "INSERT INTO ollama_servers (name, url) VALUES ($1, 'http://' || $1)"
SECRET = "planted-secret"
GRANTS = """
SELECT table_name::text, privilege_type::text FROM information_schema.role_table_grants WHERE grantee = $1
"""
COLUMNS = """
SELECT column_name::text FROM information_schema.column_privileges
WHERE grantee = $1 AND table_name = 'ollama_servers' AND privilege_type = 'SELECT'
"""
FORBIDDEN = [
    "SELECT auth_config FROM ollama_servers",
    "SELECT * FROM ollama_servers",
    "SELECT to_jsonb(server) FROM ollama_servers AS server",
    "SELECT fleet_public_server(server) FROM ollama_servers AS server",
    "SELECT name FROM ollama_servers WHERE auth_config::text LIKE '%secret%'",
    "COPY ollama_servers TO STDOUT",
    "SELECT * FROM fleet_event_pending",
    "SELECT * FROM monitor_leases",
    "SELECT * FROM server_history",
    "SELECT name FROM api_tokens",
    "SELECT name FROM fleet_locks FOR SHARE",
    "DO 'BEGIN LOCK TABLE fleet_locks IN ACCESS SHARE MODE; END'",
    "DO 'BEGIN LOCK TABLE ollama_fleet_alembic_version IN ACCESS SHARE MODE; END'",
    "INSERT INTO ollama_servers (name, url) VALUES ('x', 'http://x')",
    "UPDATE ollama_servers SET priority = 1",
    "DELETE FROM ollama_servers",
    "UPDATE ollama_models SET is_active = false",
    "INSERT INTO fleet_events (seq, type, at, body) VALUES (9, 'server.down', now(), '{}')",
    "DELETE FROM fleet_events",
    "UPDATE fleet_event_head SET seq = 0",
    "SELECT seq FROM fleet_event_head FOR UPDATE",
    "DO 'BEGIN LOCK TABLE fleet_event_head IN EXCLUSIVE MODE; END'",
    "TRUNCATE fleet_events",
    "SELECT fleet_event_stage('server.down', NULL, NULL, '{}')",
    "CREATE TABLE public.own (id int)",
    "CREATE FUNCTION public.own() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE SCHEMA own",
    "CREATE ROLE own",
]
Eventually = Callable[..., Awaitable[None]]


@pytest.fixture
async def session(dsn: str, role: str) -> AsyncIterator[Connection]:
    """A session of the subscriber role, rid of the defaults that only well-meaning programs keep."""
    opened: Connection = await asyncpg.connect(dsn, user=role)
    await opened.execute("SET default_transaction_read_only = off")
    yield opened
    await opened.close()


async def test_it_hears_of_events_and_reads_log_and_tables(session: Connection, connection: Connection) -> None:
    heard = asyncio.Event()
    await session.add_listener("ollama_servers", lambda *_: heard.set())
    await connection.execute(ADD, "a")
    await connection.execute(
        "INSERT INTO ollama_models (server_id, name, model_name) SELECT id, 'm', 'm' FROM ollama_servers"
    )

    await asyncio.wait_for(heard.wait(), 30)

    types = [kind for (kind,) in await session.fetch("SELECT type FROM fleet_events ORDER BY seq")]
    assert types == ["server.created", "model.added"]
    assert await session.fetchval("SELECT seq FROM fleet_event_head") == 2
    assert await session.fetchval("SELECT model_name FROM ollama_models") == "m"
    assert await session.fetchval("SELECT name FROM ollama_servers WHERE is_active") == "a"
    assert await session.fetch("SELECT * FROM fleet_server_history") == []


async def test_of_a_server_it_reads_every_column_but_the_secrets(connection: Connection, role: str) -> None:
    granted = {column for (column,) in await connection.fetch(COLUMNS, role)}

    # A new column is read by subscribers unless its role in tables.py is `secret`.
    assert granted == {column.name for column in tables.ollama_servers.columns} - {"auth_config", "client_key"}


async def test_it_can_do_nothing_else(session: Connection, connection: Connection, role: str) -> None:
    await connection.execute(
        "INSERT INTO ollama_servers (name, url, auth_type, auth_config) VALUES ('a', 'http://a', 'bearer', $1)",
        f'{{"token": "{SECRET}"}}',
    )

    for statement in FORBIDDEN:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await session.execute(statement)
    granted = {tuple(row) for row in await connection.fetch(GRANTS, role)}
    readable = ("fleet_events", "fleet_event_head", "ollama_models", "fleet_server_history")
    assert granted == {(table, "SELECT") for table in readable}


async def test_a_second_run_changes_nothing_and_takes_back_what_was_too_much(
    dsn: str, connection: Connection, postgres: EmbeddedServer, role: str
) -> None:
    columns = await connection.fetch(f"{COLUMNS} ORDER BY 1", role)
    await connection.execute(f'GRANT ALL ON ollama_servers, fleet_events, fleet_event_pending TO "{role}"')
    await connection.execute(f'GRANT SELECT (auth_config) ON ollama_servers TO "{role}"')

    database = await connection.fetchval("SELECT current_database()")
    said = await subscriber.grant(postgres, postgres.dsn("postgres"), role=role, database=database)

    assert said == ""
    assert await connection.fetch(f"{COLUMNS} ORDER BY 1", role) == columns
    assert len(await connection.fetch(GRANTS, role)) == 4


async def test_its_sessions_do_not_hold_the_database_up(dsn: str, role: str) -> None:
    fresh: Connection = await asyncpg.connect(dsn, user=role)

    assert await fresh.fetchval("SHOW default_transaction_read_only") == "on"
    assert await fresh.fetchval("SHOW idle_in_transaction_session_timeout") == "1min"
    assert await fresh.fetchval("SHOW statement_timeout") == "1min"
    await fresh.close()


async def test_the_python_example_needs_no_more(
    dsn: str, connection: Connection, role: str, tmp_path: Path, eventually: Eventually
) -> None:
    store = Store(tmp_path / "consumed.db")
    await connection.execute(ADD, "a")
    async with consumer.running(dsn.replace("fleet@", f"{quote(role)}@", 1), store) as reader:
        await eventually(lambda: store.has(1), what="the event from before the start")
        await connection.execute(ADD, "b")
        await eventually(lambda: store.has(2), what="the new event")
        await reader.terminate()

    await consumer.check(store, connection)

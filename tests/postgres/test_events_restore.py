"""The event log in another home: an older PostgreSQL, and a database restored from a dump."""

import os
from collections.abc import AsyncIterator

import asyncpg
import pytest

from monitor.embedded.postgres import EmbeddedServer
from monitor.postgres import schema_version
from monitor.postgres.database import Connection
from tests import fold
from tests.postgres import programs

LIFE = """
INSERT INTO ollama_servers (name, url, capabilities, labels) VALUES ('{0}', 'http://{0}', '["chat"]', '{{"a": "b"}}');
UPDATE ollama_servers SET status = 'up', status_reason = 'ok', server_version = '1';
UPDATE ollama_servers SET last_checked_at = now(), latency_ms = 1;
INSERT INTO ollama_models (server_id, name, model_name) SELECT id, 'm', 'm' FROM ollama_servers WHERE name = '{0}';
UPDATE ollama_models SET size_vram = 1, capabilities = '["vision"]';
UPDATE ollama_models SET is_active = false;
UPDATE ollama_servers SET is_available = false;
INSERT INTO ollama_servers (name, url) VALUES ('{0}-gone', 'http://{0}-gone');
DELETE FROM ollama_servers WHERE name = '{0}-gone';
"""
FACTS = ("ollama_servers", "ollama_models", "fleet_events", "fleet_event_head", "fleet_event_pending")


@pytest.fixture(params=["postgres", "postgres_15"])
async def server(request: pytest.FixtureRequest) -> EmbeddedServer:
    """The session's server, and Debian's older one."""
    found: EmbeddedServer = request.getfixturevalue(request.param)
    return found


@pytest.fixture
async def two_databases(server: EmbeddedServer) -> AsyncIterator[list[str]]:
    """The names of two empty databases."""
    owner: Connection = await asyncpg.connect(server.dsn("postgres"))
    names = [f"restore_{os.getpid()}_{number}" for number in (1, 2)]
    for name in names:
        await owner.execute(f"CREATE DATABASE {name}")
    yield names
    for name in names:
        await owner.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await owner.close()


async def live(session: Connection, name: str) -> None:
    """Make events of all usual kinds, a transaction each."""
    for statement in LIFE.format(name).strip().splitlines():
        await session.execute(statement)


async def check(session: Connection) -> int:
    """Look at the whole history and at what its fold makes of it; return how many events it has."""
    events = await fold.read_events(session)
    fold.check_invariants(events)
    assert fold.fold(events) == await fold.table_state(session)
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    return len(events)


async def test_numbering_goes_on_after_dump_and_restore(server: EmbeddedServer, two_databases: list[str]) -> None:
    before_dsn, after_dsn = (server.dsn(name) for name in two_databases)
    assert await schema_version.upgrade(before_dsn)
    before: Connection = await asyncpg.connect(before_dsn)
    await live(before, "before")
    told = await check(before)
    assert told == 10

    dump = await programs.run(server.binaries.folder / "pg_dump", ["--dbname", before_dsn])
    await programs.run(
        server.binaries.psql, ["--dbname", after_dsn, "--quiet", "--no-psqlrc", "--set", "ON_ERROR_STOP=1"], dump
    )

    after: Connection = await asyncpg.connect(after_dsn)
    await schema_version.verify(after)
    for table in FACTS:
        everything = f"SELECT * FROM {table} AS t ORDER BY t::text"
        assert await after.fetch(everything) == await before.fetch(everything), table
    await live(after, "after")
    assert await check(after) >= 2 * told
    await after.close()
    await before.close()

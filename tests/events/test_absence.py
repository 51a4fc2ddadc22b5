"""A consumer that was away: it catches up, also in a restored database, and is told when it cannot any more."""

import asyncio
import signal
import subprocess
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import asyncpg
import pytest

from monitor.embedded.binaries import environment
from monitor.embedded.postgres import EmbeddedServer
from monitor.postgres.database import Connection, Database
from monitor.postgres.event_log import PostgresEventLog
from tests.events import consumer
from tests.events.consumer import Store

ADD_MANY = "INSERT INTO ollama_servers (name, url) SELECT n, 'http://' || n FROM generate_series(1, $1::int) AS n"
EDIT_ALL = "UPDATE ollama_servers SET priority = priority + 1"
HEAD = "SELECT seq FROM fleet_event_head"
HAS_READ = """
SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle' AND query LIKE 'SELECT head%'
"""
Eventually = Callable[..., Awaitable[None]]


async def take_all(dsn: str, store: Store, connection: Connection, eventually: Eventually) -> None:
    """Let a consumer come up to the newest event, and end it in good order."""
    newest = await connection.fetchval(HEAD)
    async with consumer.running(dsn, store) as reader:
        await eventually(lambda: connection.fetchval(HAS_READ), what="a consumer that has read")
        await eventually(lambda: store.has(newest), within=30, what="the newest event")
        await reader.terminate()


async def expire(dsn: str, connection: Connection, *, up_to: int) -> None:
    """Let retention pass: the monitor's own housekeeping deletes the events up to a number."""
    await connection.execute("UPDATE fleet_events SET at = at - interval '8 days' WHERE seq <= $1", up_to)
    database = Database(dsn, name="housekeeping")
    await database.open()
    assert await PostgresEventLog(database).delete_older(timedelta(days=7), limit=5000) > 0
    await database.close()


async def test_5000_events_are_replayed_in_order_and_complete(
    dsn: str, connection: Connection, store: Store, eventually: Eventually
) -> None:
    await connection.execute(ADD_MANY, 50)
    await take_all(dsn, store, connection, eventually)
    assert store.cursor() == 50

    for _ in range(100):
        await connection.execute(EDIT_ALL)
    await take_all(dsn, store, connection, eventually)

    assert store.cursor() == 5050
    await consumer.check(store, connection)


@pytest.mark.parametrize("expired", [6, 10])
async def test_a_cursor_that_retention_has_passed_is_refused(
    dsn: str, connection: Connection, store: Store, eventually: Eventually, expired: int
) -> None:
    await connection.execute(ADD_MANY, 5)
    await take_all(dsn, store, connection, eventually)
    taken = store.effects()
    await connection.execute(EDIT_ALL)
    await expire(dsn, connection, up_to=expired)

    async with consumer.running(dsn, store) as late:
        code, said = await late.end()

    assert code == 3
    assert said == "The log ends at 10 and does not go on after 5: read the tables anew.\n"
    assert (store.cursor(), store.effects()) == (5, taken)

    store.set_cursor(10)
    await connection.execute(EDIT_ALL)
    await take_all(dsn, store, connection, eventually)
    assert [seq for seq, _ in store.effects()] == [1, 2, 3, 4, 5, 11, 12, 13, 14, 15]


async def test_a_cursor_at_the_edge_of_what_is_held_goes_on(
    dsn: str, connection: Connection, store: Store, eventually: Eventually
) -> None:
    await connection.execute(ADD_MANY, 5)
    await take_all(dsn, store, connection, eventually)
    await expire(dsn, connection, up_to=5)
    await take_all(dsn, store, connection, eventually)

    await connection.execute(EDIT_ALL)
    await take_all(dsn, store, connection, eventually)

    assert [seq for seq, _ in store.effects()] == list(range(1, 11))


async def test_retention_that_passes_a_running_consumer_ends_it(
    dsn: str, connection: Connection, store: Store, eventually: Eventually
) -> None:
    await connection.execute(ADD_MANY, 5)
    async with consumer.running(dsn, store) as slow:
        await eventually(lambda: store.has(5), what="the first events")
        slow.process.send_signal(signal.SIGSTOP)
        await connection.execute(EDIT_ALL)
        await connection.execute(EDIT_ALL)
        await expire(dsn, connection, up_to=12)
        slow.process.send_signal(signal.SIGCONT)
        code, _ = await slow.end()

    assert code == 3
    assert store.cursor() in {5, 10}


async def test_a_cursor_from_the_future_is_refused(
    dsn: str, connection: Connection, store: Store, eventually: Eventually
) -> None:
    await take_all(dsn, store, connection, eventually)
    store.set_cursor(99)

    async with consumer.running(dsn, store) as lost:
        code, said = await lost.end()

    assert code == 4
    assert said == "The log ends at 0 and does not go on after 99: read the tables anew.\n"


async def run(program: Path, arguments: list[str], given: bytes = b"") -> bytes:
    """One of PostgreSQL's own programs."""
    process = await asyncio.create_subprocess_exec(
        program, *arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
    )
    said, complaints = await process.communicate(given)
    assert process.returncode == 0, complaints.decode()
    return said


async def test_a_cursor_is_valid_in_a_new_cluster_after_dump_and_restore(
    postgres: EmbeddedServer,
    mortal: EmbeddedServer,
    dsn: str,
    connection: Connection,
    store: Store,
    eventually: Eventually,
) -> None:
    await connection.execute(ADD_MANY, 20)
    await take_all(dsn, store, connection, eventually)
    await connection.execute(EDIT_ALL)
    dump = await run(postgres.binaries.folder / "pg_dump", ["--dbname", dsn])
    owner: Connection = await asyncpg.connect(mortal.dsn("postgres"))
    await owner.execute("CREATE DATABASE restored")
    new_dsn = mortal.dsn("restored")
    try:
        await run(mortal.binaries.psql, ["--dbname", new_dsn, "-q", "--no-psqlrc", "--set", "ON_ERROR_STOP=1"], dump)
        restored: Connection = await asyncpg.connect(new_dsn)
        await restored.execute(EDIT_ALL)

        await take_all(new_dsn, store, restored, eventually)

        assert store.cursor() == 60
        await consumer.check(store, restored)
        await restored.close()
    finally:
        await owner.execute("DROP DATABASE restored WITH (FORCE)")
        await owner.close()

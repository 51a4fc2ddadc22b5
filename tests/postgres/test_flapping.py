"""The mark of a server that flaps: told once when it is set, told as gone, kept over restarts, reset by edits."""

import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from monitor.domain.availability import Status
from monitor.domain.probe import Reason
from monitor.domain.record import ServerRecord
from monitor.domain.server import ServerId
from monitor.postgres.database import Connection
from monitor.postgres.result_store import PostgresResultStore
from monitor.postgres.server_store import PostgresServerStore
from tests import fold
from tests.postgres import history
from tests.postgres.conftest import AddServer

SINCE = datetime(2030, 1, 1, tzinfo=UTC)
BEGUN: tuple[str, dict[str, Any]] = ("server.flapping", {"flapping_since": "2030-01-01T00:00:00+00:00"})
ENDED: tuple[str, dict[str, Any]] = ("server.updated", {"flapping_since": None})
MARK = "UPDATE ollama_servers SET flapping_since = $1"


@pytest.fixture
async def undone_in_utc(undone: Connection) -> Connection:
    """A session whose bodies have their times in UTC."""
    await undone.execute("SET LOCAL TIME ZONE 'UTC'")
    return undone


async def test_the_mark_is_told_once_and_so_is_its_end(undone_in_utc: Connection) -> None:
    connection = undone_in_utc
    await connection.execute("INSERT INTO ollama_servers (name, url) VALUES ('a', 'http://a')")
    seq = await history.last_seq(connection)
    await connection.execute(MARK, SINCE)
    await connection.execute(MARK, SINCE)
    await connection.execute(MARK, None)
    await connection.execute(MARK, None)
    assert await history.told(connection, seq) == [BEGUN, ENDED]
    await history.check(connection)


async def test_a_mark_that_comes_with_a_verdict_is_told_after_it(undone_in_utc: Connection) -> None:
    connection = undone_in_utc
    await connection.execute(
        f"INSERT INTO ollama_servers (name, url) VALUES ('a', 'http://a'); UPDATE ollama_servers SET {history.UP}"
    )
    seq = await history.last_seq(connection)
    await connection.execute(f"{MARK}, {history.DOWN}, server_version = '0.9.6'", SINCE)
    told = await history.told(connection, seq)
    assert [kind for kind, _ in told] == ["server.updated", "server.down", "server.flapping"]
    assert (told[0][1], told[2]) == ({"server_version": "0.9.6"}, BEGUN)
    await connection.execute(f"{MARK}, {history.UP}", None)
    assert [kind for kind, _ in await history.told(connection, seq + 3)] == ["server.updated", "server.up"]
    await history.check(connection)


@pytest.mark.parametrize("edit", ["url = 'http://b'", "is_active = false", "auth_type = 'basic'"])
async def test_an_edit_that_ends_the_verdict_ends_the_mark(undone_in_utc: Connection, edit: str) -> None:
    connection = undone_in_utc
    await connection.execute("INSERT INTO ollama_servers (name, url) VALUES ('a', 'http://a')")
    await connection.execute(MARK, SINCE)
    seq = await history.last_seq(connection)
    await connection.execute(f"UPDATE ollama_servers SET {edit}")
    assert await connection.fetchval("SELECT flapping_since IS NULL FROM ollama_servers")
    ((_, body),) = await history.told(connection, seq)
    assert body["flapping_since"] is None
    await history.check(connection)


async def test_the_monitor_sets_keeps_and_clears_the_mark(
    store: PostgresServerStore, results: PostgresResultStore, connection: Connection, add_server: AddServer
) -> None:
    server_id = ServerId(await add_server())
    record = ServerRecord(server_id=server_id, row_version=1, status=Status.UP, reason=Reason.OK, detail="")

    async def mark() -> Any:
        return await connection.fetchval("SELECT flapping_since FROM ollama_servers")

    async def flaps() -> bool:
        (watched,) = await store.read([server_id])
        return watched.availability.flapping

    await results.write([record])
    assert (await mark(), await flaps()) == (None, False)
    await results.write([replace(record, flapping=True)])
    since = await mark()
    assert await flaps()
    for kept in (True, None):
        await results.write([replace(record, flapping=kept)])
        assert await mark() == since
    await results.write([replace(record, flapping=False)])
    assert (await mark(), await flaps()) == (None, False)
    kinds = [str(event.type) for event in await fold.read_events(connection)]
    assert kinds == ["server.created", "server.up", "server.flapping", "server.updated"]


async def test_a_monitor_that_starts_knows_for_how_long_a_server_has_flapped(
    store: PostgresServerStore, connection: Connection, add_server: AddServer
) -> None:
    await add_server()
    await connection.execute("UPDATE ollama_servers SET flapping_since = clock_timestamp() - interval '1 hour'")
    ((watched,), _) = await store.snapshot()
    assert watched.availability.flap.since == pytest.approx(time.monotonic() - 3600, abs=60)

"""The example that follows events with psql alone, as a role that may only subscribe."""

import os
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from urllib.parse import quote

import pytest

from monitor.embedded.postgres import EmbeddedServer
from monitor.postgres.database import Connection
from tests.examples.follower import EXAMPLES, Cursor, Follower, following
from tests.fakes import database_proxy
from tests.fakes.database_proxy import through

ADD = "INSERT INTO ollama_servers (name, url) VALUES ($1, 'http://' || $1)"
END_ITS_SESSION = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE datname = current_database() AND application_name = 'psql'
"""
Eventually = Callable[..., Awaitable[None]]
Start = Callable[..., AbstractAsyncContextManager[Follower]]


@pytest.fixture
def start(postgres: EmbeddedServer, dsn: str, role: str, cursor: Cursor) -> Start:
    """Starts the example as the subscriber role, with the psql of the server's own version."""

    def run(address: str = dsn, **environment: str) -> AbstractAsyncContextManager[Follower]:
        address = address.replace("fleet@", f"{quote(role)}@", 1)
        path = f"{postgres.binaries.folder}{os.pathsep}{os.environ['PATH']}"
        return following("bash", EXAMPLES / "consumer_psql.sh", address, cursor.path, PATH=path, **environment)

    return run


async def test_it_prints_events_in_order_keeps_its_cursor_and_ends_on_sigterm(
    start: Start, connection: Connection, cursor: Cursor, eventually: Eventually
) -> None:
    await connection.execute(ADD, "a")
    async with start() as follower:
        await eventually(lambda: follower.has(1), what="the event from before the start")
        await connection.execute('UPDATE ollama_servers SET labels = \'{"|": "a|b\\nc"}\'')
        await connection.execute(ADD, "b|é")
        await eventually(lambda: cursor.is_at(3), what="the cursor of the newest event")
        await follower.terminate()
        assert follower.seqs == [1, 2, 3]


async def test_it_goes_on_where_it_was_killed_and_after_its_session_was_ended(
    start: Start, connection: Connection, cursor: Cursor, eventually: Eventually
) -> None:
    await connection.execute(ADD, "a")
    async with start() as first:
        await eventually(lambda: cursor.is_at(1), what="the first cursor")
        await first.kill()
    await connection.execute(ADD, "b")
    async with start() as second:
        await eventually(lambda: cursor.is_at(2), what="the event that was missed")
        assert await connection.fetchval(END_ITS_SESSION) >= 1
        await connection.execute(ADD, "c")
        await eventually(lambda: cursor.is_at(3), what="the event after the loss")
        await second.terminate()
        assert second.seqs == [2, 3]


async def test_it_leaves_a_session_that_says_nothing(
    start: Start, dsn: str, postgres: EmbeddedServer, connection: Connection, cursor: Cursor, eventually: Eventually
) -> None:
    await connection.execute(ADD, "a")
    async with (
        database_proxy.between(postgres) as proxy,
        start(through(proxy, dsn), PATIENCE_SECONDS="2") as follower,
    ):
        await eventually(lambda: cursor.is_at(1), what="the first cursor")
        accepted = proxy.accepted
        proxy.freeze()

        async def given_up() -> bool:
            return proxy.accepted > accepted

        await eventually(given_up, within=30, what="a new session")
        await connection.execute(ADD, "b")
        proxy.thaw()
        await eventually(lambda: cursor.is_at(2), within=30, what="the event of the silence")
        await eventually(lambda: follower.has(2), what="the printed events")
        assert follower.seqs == [1, 2]


@pytest.mark.parametrize(("stored", "code"), [(1, 3), (99, 4)])
async def test_it_refuses_a_cursor_that_does_not_fit_the_log(
    start: Start, connection: Connection, cursor: Cursor, stored: int, code: int
) -> None:
    for name in ("a", "b", "c"):
        await connection.execute(ADD, name)
    await connection.execute("DELETE FROM fleet_events WHERE seq <= 2")
    cursor.set(stored)

    async with start() as follower:
        ended, said = await follower.end()

    assert ended == code
    assert said == f"The log ends at 3 and does not go on after {stored}: read the tables anew.\n"
    assert (follower.lines, cursor.text()) == ([], f"{stored}\n")

"""The examples that follow events over HTTP, against a real API: curl and Node on the stream, and the long poll."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from yarl import URL

from monitor.postgres import database
from monitor.postgres.database import Connection
from monitor.settings import Settings
from tests.api.client import serving
from tests.api.token_maker import make
from tests.examples.follower import EXAMPLES, Cursor, following
from tests.fakes.tcp_proxy import TcpProxy

ADD = "INSERT INTO ollama_servers (name, url) VALUES ($1, 'http://' || $1)"
SHORT_SILENCE = {"SILENCE_SECONDS": "1", "SILENCE_MS": "500", "WAIT_SECONDS": "1"}
Eventually = Callable[..., Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Example:
    """One of the programs, and what has to be installed for it."""

    command: tuple[str, ...]
    needs: str


ALL = {
    "curl": Example(("bash", str(EXAMPLES / "consumer.sh")), "curl"),
    "long-poll": Example(("sh", str(EXAMPLES / "long_poll.sh")), "curl"),
    "node": Example(("node", str(EXAMPLES / "consumer.mjs")), "node"),
}


@pytest.fixture(params=ALL)
def command(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """How one of the examples is started."""
    return start(request.param)


def start(name: str) -> tuple[str, ...]:
    """Return how an example is started; the test is skipped where the program for it is missing."""
    example = ALL[name]
    if shutil.which(example.needs) is None:
        pytest.skip(f"{example.needs} is not installed")
    return example.command


@asynccontextmanager
async def api(dsn: str, port: int = 0) -> AsyncIterator[URL]:
    """An API on a port that stays the same over its restarts."""
    settings = Settings.model_validate({"api_port": str(port)})
    async with serving(settings, dsn) as (client, _):
        yield URL(client.base_url)


async def test_it_prints_events_in_order_keeps_its_cursor_and_ends_on_sigterm(
    command: tuple[str, ...], dsn: str, connection: Connection, cursor: Cursor, eventually: Eventually
) -> None:
    await connection.execute(ADD, "a")
    async with api(dsn) as url, following(*command, str(url), cursor.path) as follower:
        await eventually(lambda: follower.has(1), what="the event from before the start")
        await connection.execute(ADD, 'quote-"-and-é-and-\'last_seq":7')
        await connection.execute("UPDATE ollama_servers SET labels = '{\"last_seq\": \"9\"}' WHERE name = 'a'")
        await eventually(lambda: cursor.is_at(3), what="the cursor of the newest event")
        await eventually(lambda: follower.has(3), what="the printed events")
        assert follower.seqs == [1, 2, 3]
        await follower.terminate()


async def test_it_sends_the_token_it_is_given_and_shows_it_to_nobody(
    command: tuple[str, ...], dsn: str, connection: Connection, cursor: Cursor, eventually: Eventually
) -> None:
    psql = await database.connect(dsn, name="psql")
    token = await make(psql, "reader", "read")
    await psql.close()
    await connection.execute(ADD, "a")
    async with api(dsn) as url, following(*command, str(url), cursor.path, OLLAMA_FLEET_API_TOKEN=token) as follower:
        await eventually(lambda: cursor.is_at(1), what="the event")
        listed = await asyncio.create_subprocess_exec("ps", "-ww", "-eo", "args", stdout=asyncio.subprocess.PIPE)
        assert token.encode() not in (await listed.communicate())[0]
        await follower.terminate()


async def test_it_goes_on_where_it_was_killed(
    command: tuple[str, ...], dsn: str, connection: Connection, cursor: Cursor, eventually: Eventually
) -> None:
    await connection.execute(ADD, "a")
    async with api(dsn) as url:
        async with following(*command, str(url), cursor.path) as first:
            await eventually(lambda: cursor.is_at(1), what="the first cursor")
            await first.kill()
        await connection.execute(ADD, "b")
        await connection.execute(ADD, "c")
        async with following(*command, str(url), cursor.path) as second:
            await eventually(lambda: cursor.is_at(3), what="the cursor of what was missed")
            await second.terminate()
            assert second.seqs == [2, 3]


async def test_it_outlives_a_restart_of_the_api(
    command: tuple[str, ...], dsn: str, connection: Connection, cursor: Cursor, eventually: Eventually
) -> None:
    await connection.execute(ADD, "a")
    async with api(dsn) as url:
        follower_of = following(*command, str(url), cursor.path)
        follower = await follower_of.__aenter__()
        await eventually(lambda: cursor.is_at(1), what="the first cursor")
    try:
        await connection.execute(ADD, "b")
        assert url.port is not None
        async with api(dsn, url.port):
            await eventually(lambda: cursor.is_at(2), what="the event from the time without an API")
            await connection.execute(ADD, "c")
            await eventually(lambda: cursor.is_at(3), what="a new event")
        await eventually(lambda: follower.has(3), what="the printed events")
        assert follower.seqs == [1, 2, 3]
        await follower.terminate()
    finally:
        await follower_of.__aexit__(None, None, None)


async def test_it_leaves_a_connection_that_says_nothing(
    command: tuple[str, ...], dsn: str, connection: Connection, cursor: Cursor, eventually: Eventually
) -> None:
    await connection.execute(ADD, "a")
    async with (
        api(dsn) as url,
        TcpProxy(("127.0.0.1", url.port or 0)) as proxy,
        following(*command, proxy.url, cursor.path, **SHORT_SILENCE) as follower,
    ):
        await eventually(lambda: cursor.is_at(1), what="the first cursor")
        accepted = proxy.accepted
        proxy.freeze()

        async def given_up() -> bool:
            # One may have been under way; the next comes only when that one was given up.
            return proxy.accepted > accepted + 1

        await eventually(given_up, within=30, what="a new connection")
        await connection.execute(ADD, "b")
        proxy.thaw()
        await eventually(lambda: cursor.is_at(2), within=30, what="the event of the silence")
        await eventually(lambda: follower.has(2), what="the printed events")
        assert follower.seqs == [1, 2]


@pytest.mark.parametrize(("stored", "code"), [(1, 3), (99, 4)])
async def test_it_refuses_a_cursor_that_does_not_fit_the_log(
    command: tuple[str, ...], dsn: str, connection: Connection, cursor: Cursor, stored: int, code: int
) -> None:
    for name in ("a", "b", "c"):
        await connection.execute(ADD, name)
    await connection.execute("DELETE FROM fleet_events WHERE seq <= 2")
    cursor.set(stored)

    async with api(dsn) as url, following(*command, str(url), cursor.path) as follower:
        ended, said = await follower.end()

    assert ended == code
    assert len(said.splitlines()) == 1
    assert follower.lines == []
    assert cursor.text() == f"{stored}\n"


@pytest.mark.parametrize("status", [200, 502])
async def test_the_long_poll_tells_of_an_answer_that_is_no_fleets_and_keeps_its_cursor(
    status: int, cursor: Cursor, eventually: Eventually
) -> None:
    asked = 0

    async def answer(_: web.Request) -> web.Response:
        nonlocal asked
        asked += 1
        return web.Response(status=status, text="<html>\n<h1>Sign in</h1>\n</html>\n", content_type="text/html")

    async def asked_again() -> bool:
        return asked > 1

    app = web.Application()
    app.add_routes([web.get("/api/events", answer)])
    cursor.set(7)
    async with TestServer(app) as other:
        url = str(other.make_url("")).rstrip("/")
        async with following(*start("long-poll"), url, cursor.path) as follower:
            await eventually(asked_again, what="another try")
            said = await follower.terminate()
    assert (len(said.splitlines()), cursor.text(), follower.lines) == (1, "7\n", []), said
    assert ("HTTP 502" if status == 502 else "not as a fleet's API does") in said


async def test_it_ends_on_sigterm_while_there_is_no_api(
    command: tuple[str, ...], cursor: Cursor, eventually: Eventually
) -> None:
    asked = asyncio.Event()

    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        writer.transport.abort()

    refusing = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    port = refusing.sockets[0].getsockname()[1]
    async with refusing, following(*command, f"http://127.0.0.1:{port}", cursor.path) as follower:
        await asyncio.wait_for(asked.wait(), 30)
        await follower.terminate()

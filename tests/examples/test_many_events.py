"""A fleet with a thousand events before each example: they print all in order, in time that grows with the number."""

import resource
from collections.abc import Awaitable, Callable

import pytest

from monitor.embedded.postgres import EmbeddedServer
from monitor.postgres.database import Connection
from monitor.settings import Settings
from tests import boxes
from tests.api.client import serving
from tests.boxes import UP, Box, Has
from tests.examples.follower import Cursor, following
from tests.examples.test_first_use import OF_THE_API, OF_THE_DATABASE, command, ended, with_psql
from tests.fakes.ollama import FakeOllama

MANY = 1000
# One event each; the labels make it as long as those of servers in use, and hard to search.
ADD = """
INSERT INTO ollama_servers (name, url, labels)
SELECT 'gpu-' || number, 'http://gpu-' || number, jsonb_build_object('place', repeat('é"last_seq":7 ', 20))
FROM generate_series(1, $1::int) AS number
"""
SPEAKS_OPENAI = "UPDATE ollama_servers SET api_seen = 'openai', status = 'up', is_available = true WHERE name = 'gpu-1'"
# Of the processor, for all of them: several times what the slowest takes; a quadratic one takes more than 100.
MOST_SECONDS = 40.0
# Two of them start programs for each event, which takes long beside other work.
PATIENCE = 240
Eventually = Callable[..., Awaitable[None]]


@pytest.mark.timeout(2 * PATIENCE)
@pytest.mark.parametrize("name", [*OF_THE_DATABASE, *OF_THE_API])
async def test_each_that_follows_prints_them_all_and_what_comes_after(
    name: str,
    settings: Settings,
    dsn: str,
    connection: Connection,
    postgres: EmbeddedServer,
    cursor: Cursor,
    eventually: Eventually,
) -> None:
    await connection.execute(ADD, MANY)
    began = _processor_seconds()

    async with serving(settings, dsn) as (api, _):
        where = dsn if name in OF_THE_DATABASE else str(api.base_url)
        async with following(*command(name), where, cursor.path, PATH=with_psql(postgres)) as follower:
            await eventually(lambda: follower.has(MANY), within=PATIENCE, what="the last of them")
            await connection.execute(SPEAKS_OPENAI)
            newest = await connection.fetchval("SELECT seq FROM fleet_event_head")
            await eventually(lambda: follower.has(newest), what="what was found of an OpenAI-style server")
            await follower.terminate()
    assert follower.seqs == list(range(1, newest + 1))
    assert any('"openai"' in line for line in follower.lines)
    assert _processor_seconds() - began < MOST_SECONDS


@pytest.mark.parametrize("name", ["resolve.py", "resolve.sh"])
async def test_each_that_asks_for_a_server_has_it_all_the_same(
    name: str, settings: Settings, dsn: str, connection: Connection
) -> None:
    await connection.execute(ADD, MANY)
    async with FakeOllama() as fake:
        await boxes.write(connection, (Box("anna", {"url": fake.url, **UP}, (Has("m:latest"),)),))
        async with serving(settings, dsn) as (api, _):
            code, said = await ended(*command(name), str(api.base_url).rstrip("/"), "m", "hello")
    assert (code, said) == (0, "")


def _processor_seconds() -> float:
    """Return what all processes have taken that this one has waited for."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime

"""Many streams and slow ones: nobody waits for a client that does not read, and nobody misses anything."""

import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import pytest
import structlog

from api.web.stream import outlet, streams
from api.web.stream.frames import Shared
from monitor.postgres.database import Connection
from monitor.settings import Settings
from tests.api.client import ApiClient, serving
from tests.api.event_source import EventSource, listening, narrow

Eventually = Callable[..., Awaitable[None]]

# One transaction with many events of some 4 kB each: more than all buffers on the way can hold.
ADD_BIG = """
INSERT INTO ollama_servers (name, url, labels) SELECT 'big' || n, 'http://big' || n,
    (SELECT jsonb_object_agg('label' || m, repeat('x', 240)) FROM generate_series(1, 15) AS m)
FROM generate_series($1::int, $2::int) AS n
"""
ADD = "INSERT INTO ollama_servers (name, url) SELECT 's' || n, 'http://s' || n FROM generate_series(1, $1::int) AS n"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch, pytestconfig: pytest.Config) -> None:
    """A client that takes nothing is given up soon, but not one whose process is busy with all the others."""
    monkeypatch.setattr(outlet, "STALL_SECONDS", 20.0 if pytestconfig.getoption("--long") else 4.0)


async def read_until_cut(source: EventSource) -> list[int]:
    """Return the numbers of what still comes from a connection that was cut."""
    found: list[int] = []
    try:
        while True:
            found.append(int((await source.next()).id))
    except (EOFError, aiohttp.ClientError):
        return found


async def dropped(logs: list[Any], count: int) -> bool:
    """Whether so many clients were given up."""
    return len([entry for entry in logs if entry["event"] == "stream_dropped"]) == count


async def test_five_thousand_events_while_away_are_replayed_in_order(api: ApiClient, psql: Connection) -> None:
    await api.add("anna")
    async with listening(api) as source:
        await source.quiet_block()
    await psql.execute(ADD, 5000)
    async with listening(api, last_id=source.last_id) as source:
        assert await source.seqs(5001) == list(range(2, 5002))
        await api.add("berta")
        assert await source.seqs(5002) == [5002]


async def test_a_burst_bigger_than_any_buffer_drops_nobody_who_reads(api: ApiClient, psql: Connection) -> None:
    async with listening(api) as one, listening(api, "type=server.created") as other:
        await psql.execute(ADD_BIG, 1, 1500)
        both = await asyncio.gather(one.seqs(1500), other.seqs(1500))
    assert list(both) == [list(range(1, 1501))] * 2


@pytest.mark.usefixtures("impatient")
async def test_a_client_that_does_not_read_is_dropped_and_goes_on_later(
    api: ApiClient, psql: Connection, eventually: Eventually
) -> None:
    with structlog.testing.capture_logs() as logs:
        async with narrow(api) as client, listening(client) as slow, listening(api) as fast:
            reading = asyncio.create_task(fast.seqs(600))
            await psql.execute(ADD_BIG, 1, 600)
            assert await reading == list(range(1, 601))
            await eventually(lambda: dropped(logs, 1), within=60, what="the end of the slow one")
            before = await read_until_cut(slow)
            assert before[-1] < 600
            async with listening(api, last_id=slow.last_id) as again:
                assert before + await again.seqs(600) == list(range(1, 601))


@pytest.mark.usefixtures("impatient")
async def test_many_streams_of_which_a_tenth_never_reads(
    api: ApiClient, psql: Connection, eventually: Eventually, request: pytest.FixtureRequest
) -> None:
    count = 500 if request.config.getoption("--long") else 100
    with structlog.testing.capture_logs() as logs:
        async with narrow(api) as client, AsyncExitStack() as stack:
            sources = [await stack.enter_async_context(listening(client)) for _ in range(count)]
            deaf, readers = sources[: count // 10], sources[count // 10 :]
            reading = [asyncio.create_task(source.seqs(400)) for source in readers]
            for first in range(1, 400, 40):
                await psql.execute(ADD_BIG, first, first + 39)
            for seqs in await asyncio.gather(*reading):
                assert seqs == list(range(1, 401))
            assert (await api.ask("GET", "/api/servers?limit=1")).status == 200
            await eventually(lambda: dropped(logs, len(deaf)), within=60, what="the end of those who do not read")
            for source in deaf:
                seqs = await read_until_cut(source)
                assert seqs == list(range(1, len(seqs) + 1))
                assert len(seqs) < 400


async def test_all_streams_end_at_once_when_the_api_stops(settings: Settings, dsn: str, psql: Connection) -> None:
    async with serving(settings, dsn) as (api, stop), AsyncExitStack() as stack:
        sources = [await stack.enter_async_context(listening(api)) for _ in range(50)]
        await psql.execute(ADD_BIG, 1, 400)
        assert await sources[0].seqs(400) == list(range(1, 401))
        stop.set()
        began = time.monotonic()
        await sources[0].end()
        # Within 1 s it shall be; the rest is for a machine that is busy with other things. Waiting
        # for a client that does not read would take 5 s, or 30 s.
        assert time.monotonic() - began < 4
        for source in sources[1:]:
            seqs = await read_until_cut(source)
            assert seqs == list(range(1, len(seqs) + 1))


async def test_the_process_ends_its_streams_on_sigterm(dsn: str, psql: Connection, eventually: Eventually) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    variables = {"OLLAMA_FLEET_DATABASE_URL": dsn, "OLLAMA_FLEET_API_PORT": str(port)}
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "api", env=os.environ | variables)
    async with aiohttp.ClientSession() as session, AsyncExitStack() as stack:
        api = ApiClient(session, f"http://127.0.0.1:{port}")

        async def answers() -> bool:
            try:
                return (await api.ask("GET", "/livez")).status == 200
            except aiohttp.ClientError:
                return False

        await eventually(answers, within=30, what="the start of the process")
        sources = [await stack.enter_async_context(listening(api)) for _ in range(20)]
        await psql.execute(ADD_BIG, 1, 300)
        assert await sources[0].seqs(300) == list(range(1, 301))
        process.send_signal(signal.SIGTERM)
        await sources[0].end()
        assert await asyncio.wait_for(process.wait(), 10) == 0


async def test_a_client_that_has_gone_is_forgotten(
    api: ApiClient, monkeypatch: pytest.MonkeyPatch, psql: Connection
) -> None:
    ended = asyncio.Event()
    run = streams.Stream.run

    async def run_and_tell(self: streams.Stream, opening: list[Shared]) -> None:
        try:
            await run(self, opening)
        finally:
            ended.set()

    monkeypatch.setattr(streams.Stream, "run", run_and_tell)
    async with listening(api):
        assert not ended.is_set()
    await asyncio.wait_for(ended.wait(), 15)
    await psql.execute(ADD, 1)

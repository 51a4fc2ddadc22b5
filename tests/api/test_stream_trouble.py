"""Streams when the database, its listener or its log is not as it should be: no gap, no doubling, no silence."""

import asyncio
import time
from contextlib import AsyncExitStack

import aiohttp
import pytest

from api.web.stream import fan_out, outlet, streams
from monitor.postgres import listener
from monitor.postgres.database import Connection
from monitor.settings import Settings
from tests.api.client import ApiClient, serving
from tests.api.event_source import EventSource, listening, narrow
from tests.fakes.database_proxy import through
from tests.fakes.tcp_proxy import TcpProxy

ADD = "INSERT INTO ollama_servers (name, url) VALUES ($1, 'http://' || $1)"
ADD_MANY = """
INSERT INTO ollama_servers (name, url, labels) SELECT 's' || n, 'http://s' || n,
    (SELECT jsonb_object_agg('label' || m, repeat('x', 240)) FROM generate_series(1, 15) AS m)
FROM generate_series($1::int, $2::int) AS n
"""
TERMINATE = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE $1"


async def test_a_listener_that_is_killed_again_and_again_loses_nothing(
    api: ApiClient, psql: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "FIRST_RETRY", 0.02)
    async with listening(api) as source:
        for number in range(40):
            await psql.execute(ADD, f"s{number}")
            if number % 4 == 0:
                await psql.execute(TERMINATE, "%api listener")
        assert await source.seqs(40) == list(range(1, 41))


async def test_streams_outlive_a_database_that_goes_away_and_comes_back(
    settings: Settings, dsn: str, psql: Connection, proxy: TcpProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "HEARTBEAT_SECONDS", 0.1)
    async with serving(settings, through(proxy, dsn)) as (api, _):
        await api.add("anna")
        async with listening(api, "after=0") as source:
            assert await source.seqs(1) == [1]
            await proxy.refuse()
            proxy.cut()
            await psql.execute(ADD_MANY, 1, 700)
            alive = source.comments
            while source.comments < alive + 3:
                await source.quiet_block()
            await proxy.accept()
            assert await source.seqs(701) == list(range(2, 702))


async def test_streams_outlive_a_database_that_freezes(
    settings: Settings, dsn: str, psql: Connection, proxy: TcpProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "PING_INTERVAL", 0.2)
    monkeypatch.setattr(listener, "PING_TIMEOUT", 0.3)
    async with serving(settings, through(proxy, dsn)) as (api, _), listening(api) as source:
        await psql.execute(ADD, "anna")
        assert await source.seqs(1) == [1]
        proxy.freeze()
        await psql.execute(ADD, "berta")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(source.next(), 1)
        proxy.thaw()
        assert await source.seqs(2) == [2]


async def test_a_frozen_database_does_not_keep_streams_from_ending(
    settings: Settings, dsn: str, psql: Connection, proxy: TcpProxy
) -> None:
    await psql.execute(ADD_MANY, 1, 2000)
    async with AsyncExitStack() as stack:
        api, stop = await stack.enter_async_context(serving(settings, through(proxy, dsn)))
        client = await stack.enter_async_context(narrow(api))
        sources = [await stack.enter_async_context(listening(client, "after=0")) for _ in range(8)]
        assert [await source.seqs(1) for source in sources] == [[1]] * 8
        proxy.freeze()
        # The rest of the page that is read already; for the next one the database is asked.
        await asyncio.gather(*(source.seqs(fan_out.PAGE) for source in sources))
        stop.set()
        began = time.monotonic()
        for source in sources:
            while await is_open(source):
                pass
        # It takes no time but that of a busy machine; waiting for the database would take 15 s.
        assert time.monotonic() - began < 4
        proxy.thaw()


async def is_open(source: EventSource) -> bool:
    """Read a message, or the end."""
    try:
        await source.next()
    except (EOFError, aiohttp.ClientError):
        return False
    return True


async def test_junk_and_a_storm_of_notifications_change_nothing(api: ApiClient, psql: Connection) -> None:
    async with listening(api) as source:
        for payload in ("", "null", "[" * 7000, '{"seq": 1e999}', '{"seq": 99999}', "\x01"):
            await psql.execute("SELECT pg_notify('ollama_servers', $1)", payload)
        await psql.execute("SELECT pg_notify('ollama_models', n::text) FROM generate_series(1, 20000) AS n")
        await psql.execute(ADD, "anna")
        message = await source.next()
        assert (message.id, message.name) == ("1", "server.created")


async def test_a_log_that_is_replaced_under_a_stream_ends_it_with_the_reason(api: ApiClient, psql: Connection) -> None:
    async with listening(api) as source:
        await psql.execute(ADD_MANY, 1, 9)
        assert await source.seqs(9) == list(range(1, 10))
        await psql.execute("DELETE FROM fleet_events WHERE seq > 5")
        await psql.execute("UPDATE fleet_event_head SET seq = 5")
        await psql.execute("NOTIFY ollama_servers")
        error = await source.next()
        assert (error.name, error.id, error.data["code"]) == ("error", "9", "cursor_unknown")
        await source.end()


async def test_retention_that_overtakes_a_slow_stream_ends_it_with_the_reason(
    api: ApiClient, psql: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Hardly any event is at hand any more when the slow one reads on.
    monkeypatch.setattr(fan_out, "MOST_BYTES", 10_000)
    monkeypatch.setattr(outlet, "STALL_SECONDS", 60.0)
    async with narrow(api) as client, listening(client) as slow, listening(api) as fast:
        await psql.execute(ADD_MANY, 1, 2000)
        assert len(await fast.seqs(2000)) == 2000
        await psql.execute("DELETE FROM fleet_events")
        seqs: list[int] = []
        while (message := await slow.next()).name == "server.created":
            seqs.append(int(message.id))
        assert seqs == list(range(1, len(seqs) + 1))
        assert len(seqs) < 2000
        assert (message.name, message.data["code"], message.data["first_seq"]) == ("error", "cursor_expired", 2001)
        assert message.data["status"] == 410
        await slow.end()

"""Wake-ups that lie, that come in a storm, or that cannot come any more: the consumer reads the truth all the same."""

from collections.abc import Awaitable, Callable

import pytest

from monitor.embedded.postgres import EmbeddedServer
from monitor.postgres.database import Connection
from tests.events import consumer
from tests.events.consumer import Store
from tests.fakes import database_proxy
from tests.fakes.database_proxy import through
from tests.fakes.tcp_proxy import TcpProxy

ADD = "INSERT INTO ollama_servers (name, url) VALUES ($1, 'http://' || $1)"
JUNK = ["", "null", "[" * 7000, '{"seq": -1}', '{"seq": 1e999}', '{"seq": 9223372036854775807}', "\x01\x7f", "é" * 3000]
# Each read of the consumer looks the one row of the head up once; its session tells of it when it ends.
READS = "SELECT seq_scan + idx_scan FROM pg_stat_user_tables WHERE relname = 'fleet_event_head'"
SESSIONS = """
SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend'
"""
Eventually = Callable[..., Awaitable[None]]


async def test_junk_and_a_storm_of_wakeups_cost_few_reads_and_change_nothing(
    dsn: str, connection: Connection, store: Store, eventually: Eventually, pytestconfig: pytest.Config
) -> None:
    storm = 100_000 if pytestconfig.getoption("--long") else 10_000
    async with consumer.running(dsn, store) as reader:
        await connection.execute(ADD, "before")
        await eventually(lambda: store.has(1), what="the first event")
        for channel in ("ollama_servers", "ollama_models"):
            for payload in JUNK:
                await connection.execute("SELECT pg_notify($1, $2)", channel, payload)
            await connection.execute(
                "SELECT pg_notify($1, json_build_object('seq', n)::text) FROM generate_series(1, $2::int) AS n",
                channel,
                storm // 2,
            )
        await connection.execute(ADD, "after")
        await eventually(lambda: store.has(2), what="the event after the storm")
        assert reader.process.returncode is None
        await reader.terminate()

    async def alone() -> bool:
        return bool(await connection.fetchval(SESSIONS) == 1)

    await eventually(alone, what="the end of the consumer's session")
    assert 3 <= await connection.fetchval(READS) < storm / 20
    await consumer.check(store, connection)


@pytest.fixture
async def proxy(postgres: EmbeddedServer) -> TcpProxy:
    """Between a consumer and the server; to be entered by the test."""
    return database_proxy.between(postgres)


async def test_a_half_open_session_is_found_and_replaced_and_nothing_is_missed(
    dsn: str, proxy: TcpProxy, connection: Connection, store: Store, eventually: Eventually
) -> None:
    await connection.execute(ADD, "before")
    async with proxy, consumer.running(through(proxy, dsn), store, patience=0.5) as reader:
        await eventually(lambda: store.has(1), what="the first event")
        accepted = proxy.accepted
        proxy.freeze()
        for number in range(20):
            await connection.execute(ADD, f"unheard-{number}")

        async def given_up() -> bool:
            return proxy.accepted > accepted

        await eventually(given_up, what="the end of a session that says nothing")
        assert store.cursor() == 1
        proxy.thaw()
        await eventually(lambda: store.has(21), what="the events of the silence")
        await reader.terminate()

    await consumer.check(store, connection)


async def test_a_wakeup_on_either_channel_is_enough(
    dsn: str, connection: Connection, store: Store, eventually: Eventually
) -> None:
    async with consumer.running(dsn, store, patience=300) as reader:
        await connection.execute(ADD, "server")
        await eventually(lambda: store.has(1), what="the first event")
        await connection.execute(
            "INSERT INTO ollama_models (server_id, name, model_name) SELECT id, 'm', 'm' FROM ollama_servers"
        )
        await eventually(lambda: store.has(2), what="an event of a model")
        await connection.execute("UPDATE ollama_servers SET priority = 1")
        await eventually(lambda: store.has(3), what="an event of a server")
        await reader.terminate()

    await consumer.check(store, connection)


async def test_events_without_any_wakeup_are_found(
    dsn: str, connection: Connection, store: Store, eventually: Eventually
) -> None:
    async with consumer.running(dsn, store, patience=0.2) as reader:
        await connection.execute(ADD, "heard")
        await eventually(lambda: store.has(1), what="the first event")
        # As a restore does it: rows come without their triggers, and so without a NOTIFY.
        await connection.execute(
            "INSERT INTO fleet_events (seq, type, at, body) VALUES (2, 'monitor.isolated', now(), '{}');"
            "UPDATE fleet_event_head SET seq = 2"
        )
        await eventually(lambda: store.has(2), what="the event that nobody announced")
        await reader.terminate()

    await consumer.check(store, connection)

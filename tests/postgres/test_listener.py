"""The listener: wakes for every hint, and for every reconnection, and finds out when it hears nothing any more."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

import pytest

from monitor.postgres import listener as listening
from monitor.postgres.database import Connection
from monitor.postgres.listener import Listener
from tests.fakes.database_proxy import through
from tests.fakes.tcp_proxy import TcpProxy

CHANNELS = ("ollama_servers", "ollama_models")
PID = "SELECT pid FROM pg_stat_activity WHERE application_name = 'ears' AND datname = current_database()"
Eventually = Callable[..., Awaitable[None]]


class Ears:
    """A running listener that counts how often it was woken."""

    def __init__(self) -> None:
        self.woken = 0
        self.listener: Listener | None = None
        self.task: asyncio.Task[None] | None = None

    def start(self, dsn: str) -> None:
        """Begin to listen."""
        self.listener = Listener(dsn, name="ears", channels=CHANNELS, wake=self._wake)
        self.task = asyncio.create_task(self.listener.run())

    def _wake(self) -> None:
        self.woken += 1

    async def more_than(self, count: int) -> bool:
        """Whether it was woken again since."""
        assert self.task is not None
        assert not self.task.done(), "the listener has ended"
        return self.woken > count


@pytest.fixture
async def ears(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Ears]:
    """Not started yet; it pings so seldom that a wake-up in a test is none of the regular ones."""
    monkeypatch.setattr(listening, "PING_INTERVAL", 60.0)
    monkeypatch.setattr(listening, "FIRST_RETRY", 0.02)
    listener = Ears()
    yield listener
    if listener.task is not None:
        listener.task.cancel()
        with suppress(asyncio.CancelledError):
            await listener.task


async def test_it_wakes_on_connecting_and_on_every_channel(
    ears: Ears, dsn: str, connection: Connection, eventually: Eventually
) -> None:
    ears.start(dsn)
    await eventually(lambda: ears.more_than(0), what="the wake-up on connecting")

    for channel in CHANNELS:
        before = ears.woken
        await connection.execute("SELECT pg_notify($1, 'x')", channel)
        await eventually(lambda before=before: ears.more_than(before), what=channel)

    before = ears.woken
    await connection.execute("NOTIFY something_else; NOTIFY ollama_servers")
    await eventually(lambda: ears.more_than(before))
    assert ears.woken == before + 1


async def test_an_event_is_in_the_log_when_it_wakes(
    ears: Ears, dsn: str, connection: Connection, eventually: Eventually
) -> None:
    ears.start(dsn)
    await eventually(lambda: ears.more_than(0))
    before = ears.woken
    await connection.execute("INSERT INTO ollama_servers (name, url) VALUES ('a', 'http://a')")
    await eventually(lambda: ears.more_than(before))
    assert await connection.fetchval("SELECT max(seq) FROM fleet_events") == 1


async def test_it_wakes_without_any_hint(
    ears: Ears, dsn: str, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "PING_INTERVAL", 0.02)
    ears.start(dsn)
    await eventually(lambda: ears.more_than(3))


async def test_a_killed_session_is_opened_again_and_wakes(
    ears: Ears, dsn: str, connection: Connection, eventually: Eventually
) -> None:
    ears.start(dsn)
    await eventually(lambda: ears.more_than(0))
    before = ears.woken

    await connection.execute(f"SELECT pg_terminate_backend(({PID}))")

    await eventually(lambda: ears.more_than(before), what="the wake-up after the loss")
    assert ears.listener is not None
    assert ears.listener.reconnects == 1
    before = ears.woken
    await connection.execute("NOTIFY ollama_models")
    await eventually(lambda: ears.more_than(before), what="a hint on the new session")


async def test_it_waits_for_a_server_that_is_away(
    ears: Ears, dsn: str, proxy: TcpProxy, eventually: Eventually
) -> None:
    await proxy.refuse()
    ears.start(through(proxy, dsn))
    await asyncio.sleep(0)
    assert ears.woken == 0

    await proxy.accept()
    await eventually(lambda: ears.more_than(0))
    proxy.cut()
    await eventually(lambda: ears.more_than(1), what="the wake-up after the cut")


async def test_a_half_open_session_is_found_and_replaced(
    ears: Ears,
    dsn: str,
    proxy: TcpProxy,
    connection: Connection,
    eventually: Eventually,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(listening, "PING_INTERVAL", 0.1)
    monkeypatch.setattr(listening, "PING_TIMEOUT", 0.3)
    ears.start(through(proxy, dsn))
    await eventually(lambda: ears.more_than(0))
    assert ears.listener is not None

    proxy.freeze()
    await connection.execute("INSERT INTO ollama_servers (name, url) VALUES ('a', 'http://a')")

    async def noticed() -> bool:
        assert ears.listener is not None
        return ears.listener.reconnects > 0

    await eventually(noticed, what="the loss")
    before = ears.woken
    proxy.thaw()
    await eventually(lambda: ears.more_than(before), what="the wake-up to catch up")


async def test_junk_and_a_storm_of_notifications_do_no_harm(
    ears: Ears, dsn: str, connection: Connection, eventually: Eventually
) -> None:
    ears.start(dsn)
    await eventually(lambda: ears.more_than(0))
    before = ears.woken
    junk = ["", "null", "[" * 7000, '{"seq": -1}', '{"seq": 1e999}', "\x01\x7f", "é" * 3000, "{'"]
    for payload in junk:
        await connection.execute("SELECT pg_notify('ollama_servers', $1)", payload)
    await connection.execute("SELECT pg_notify('ollama_servers', n::text) FROM generate_series(1, 20000) AS n")

    await eventually(lambda: ears.more_than(before + len(junk) + 19_999), what="the last of the storm")
    assert ears.listener is not None
    assert ears.listener.reconnects == 0
    assert await connection.fetchval("SELECT count(*) FROM fleet_events") == 0


async def test_a_refused_login_is_tried_again(
    ears: Ears, dsn: str, connection: Connection, eventually: Eventually
) -> None:
    role = "comes_later"
    ears.start(dsn.replace("fleet@", f"{role}@"))
    await connection.execute("SELECT 1")
    await connection.execute(f"CREATE ROLE {role} LOGIN")
    try:
        await eventually(lambda: ears.more_than(0))
    finally:
        await connection.execute(f"DROP ROLE {role}")


async def test_cancelling_ends_the_session(
    ears: Ears, dsn: str, connection: Connection, eventually: Eventually
) -> None:
    ears.start(dsn)
    await eventually(lambda: ears.more_than(0))
    assert ears.task is not None

    ears.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await ears.task

    async def gone() -> bool:
        return await connection.fetchval(PID) is None

    await eventually(gone, what="the end of the session")

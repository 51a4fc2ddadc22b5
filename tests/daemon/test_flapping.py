"""A server that comes and goes in front of a real daemon: marked once, damped, and true in the end."""

from datetime import timedelta

from tests import fold
from tests.daemon.conftest import Daemon
from tests.daemon.observer import Observer
from tests.fakes.ollama import FakeOllama

FLAPS = "SELECT flapping_since IS NOT NULL FROM ollama_servers"
REASON = "SELECT status_reason FROM ollama_servers"
CALM = "SELECT flapping_since IS NULL FROM ollama_servers"


async def test_a_server_that_comes_and_goes_is_marked_and_has_to_earn_its_way_back(
    observer: Observer, daemon: Daemon
) -> None:
    async with FakeOllama() as fake, daemon(rise=1, fall=1):
        server_id = await observer.add(fake.url)
        await observer.until_status(server_id, "up")
        for _ in range(2):
            await fake.stop()
            await observer.until_status(server_id, "down")
            await fake.start()
            await observer.until_status(server_id, "up")
        await fake.stop()
        await observer.until(FLAPS)
        assert await observer.value(REASON) == "flapping"
        await fake.start()
        # It answers, and is not said to refuse.
        await observer.until("SELECT latency_ms IS NOT NULL FROM ollama_servers")
        assert await observer.value(f"SELECT is_available OR ({REASON}) = 'flapping' FROM ollama_servers")
        await observer.until_status(server_id, "up")
        assert await observer.value(CALM)
    kinds = [kind.removeprefix("server.") for kind in await observer.types(server_id)]
    told = [kind for kind in kinds if kind not in {"created", "updated"}]
    assert told == ["up", "down", "up", "down", "up", "down", "flapping", "up"]
    assert kinds[-2:] == ["updated", "up"]
    await observer.check_history()


async def test_a_daemon_that_starts_goes_on_with_the_damping(observer: Observer, daemon: Daemon) -> None:
    async with FakeOllama() as fake:
        server_id = await observer.add(fake.url)
        await observer.connection.execute(
            "UPDATE ollama_servers SET status = 'down', status_reason = 'refused', flapping_since = clock_timestamp()"
        )
        started = await observer.value("SELECT clock_timestamp()")
        async with daemon(rise=1):
            await observer.until_status(server_id, "up")
    up = [event for event in await fold.read_events(observer.connection) if event.type == "server.up"]
    assert len(up) == 1
    # Four intervals of good answers, less what the rounding of timers may take.
    assert up[0].at - started > timedelta(seconds=3.9)
    assert await observer.value(CALM)
    await observer.check_history()

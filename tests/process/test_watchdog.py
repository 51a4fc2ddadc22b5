"""The watchdog is fed while every part moves, and goes hungry as soon as one stands still."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import pytest
from structlog.testing import capture_logs

from monitor import watchdog
from tests.process.conftest import Heard

Eventually = Callable[..., Awaitable[None]]
FED = "WATCHDOG=1"


class Daemon:
    """Two counters, each of which may stand still, and how often they were looked at."""

    def __init__(self) -> None:
        self.looks = 0
        self.counters = [0, 0]
        self.stuck: set[int] = set()

    def progress(self) -> tuple[int, ...]:
        """Go on and say how far."""
        self.looks += 1
        for part in range(2):
            self.counters[part] += part not in self.stuck
        return tuple(self.counters)


@pytest.fixture
def every_few_milliseconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """systemd wants to hear from this process very often."""
    monkeypatch.setenv("WATCHDOG_USEC", "9000")
    monkeypatch.delenv("WATCHDOG_PID", raising=False)


@contextmanager
def feeding(daemon: Daemon) -> Iterator[asyncio.Task[None]]:
    """Feed the watchdog for as long as the test needs it."""
    task = asyncio.create_task(watchdog.feed(daemon.progress))
    yield task
    task.cancel()


@pytest.mark.usefixtures("every_few_milliseconds")
@pytest.mark.parametrize("part", [0, 1])
async def test_it_is_fed_while_all_parts_move_and_not_while_one_stands_still(
    heard: Heard, eventually: Eventually, part: int
) -> None:
    daemon = Daemon()
    fed: list[str] = []

    async def was_fed_again() -> bool:
        fed[:] = heard()
        return bool(fed)

    async def was_looked_at_often() -> bool:
        return daemon.looks > looks + 3

    with capture_logs() as logs, feeding(daemon):
        await eventually(was_fed_again, what="food")
        assert set(fed) == {FED}
        assert logs == []
        daemon.stuck = {part}
        heard()
        looks = daemon.looks
        await eventually(was_looked_at_often, what="a few looks")
        assert heard() == []
        assert {line["event"] for line in logs} == {"not_moving"}
        daemon.stuck = set()
        await eventually(was_fed_again, what="food again")


@pytest.mark.usefixtures("every_few_milliseconds")
async def test_it_is_fed_during_a_wait_and_not_after_it(heard: Heard, eventually: Eventually) -> None:
    async def was_fed() -> bool:
        return FED in heard()

    async with watchdog.fed_while_waiting():
        for _ in range(3):
            await eventually(was_fed, what="food")
    await asyncio.sleep(0)
    assert [task for task in asyncio.all_tasks() if task.get_name() == "watchdog"] == []


async def test_a_process_that_is_not_watched_feeds_nobody(heard: Heard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WATCHDOG_USEC", raising=False)
    daemon = Daemon()
    with feeding(daemon) as task:
        for _ in range(5):
            await asyncio.sleep(0)
        assert not task.done()
    assert daemon.looks == 0
    assert heard() == []

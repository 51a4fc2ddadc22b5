"""What is due is handed over at the beat, and in between what is to be punctual."""

import asyncio
import time
from datetime import timedelta
from typing import Any

import pytest

from monitor.domain.schedule import Schedule
from monitor.domain.server import ServerId
from monitor.services import sweep
from monitor.services.sweep import Sweep
from tests.services.conftest import until, watched

ONE, TWO, THREE = (watched(number).server.id for number in range(1, 4))
LONG = timedelta(seconds=30)


class Bench:
    """A sweep and a note of what it handed over."""

    def __init__(self) -> None:
        self.agenda = Schedule()
        self.handed: list[ServerId] = []
        self.sweep = Sweep(self.agenda, self.handed.append, every=LONG)


async def test_what_is_due_at_the_beat_is_handed_over_at_once() -> None:
    bench = Bench()
    bench.agenda.set(ONE, time.monotonic() - 1)
    await bench.sweep.look()
    assert bench.handed == [ONE]


async def test_what_is_to_be_punctual_does_not_wait_for_the_next_beat() -> None:
    bench = Bench()
    now = time.monotonic()
    for number, server_id in enumerate((ONE, TWO, THREE)):
        bench.agenda.set(server_id, now + 0.05 * (1 + number), punctual=True)
    await bench.sweep.look()
    assert bench.handed == []
    await until(lambda: bench.handed == [ONE, TWO, THREE])
    assert time.monotonic() >= now + 0.15


async def test_what_is_due_later_or_need_not_be_punctual_arms_no_timer() -> None:
    bench = Bench()
    bench.agenda.set(ONE, time.monotonic() + 2 * LONG.total_seconds(), punctual=True)
    bench.agenda.set(TWO, time.monotonic() + 1)
    await bench.sweep.look()
    assert bench.sweep._timer is None


async def test_few_timers_are_enough_for_many_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    loop = asyncio.get_running_loop()
    armed: list[float] = []
    call_later = loop.call_later

    def counted(delay: float, callback: Any, *rest: Any) -> asyncio.TimerHandle:
        if callback == bench.sweep._hand_over:
            armed.append(delay)
        return call_later(delay, callback, *rest)

    ids = [watched(number).server.id for number in range(1, 1001)]
    start = time.monotonic() + 0.1
    for number, server_id in enumerate(ids):
        bench.agenda.set(server_id, start + number / 100_000, punctual=True)
    monkeypatch.setattr(loop, "call_later", counted)
    for _ in range(3):
        await bench.sweep.look()
    await until(lambda: len(bench.handed) == 1000)
    assert 1 <= len(armed) < 10
    assert min(armed) >= sweep.FINEST
    assert len(set(bench.handed)) == 1000

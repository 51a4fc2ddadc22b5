"""Virtual time jumps, stands still when it is told to, and is seen by the services alone."""

import asyncio
import time
from collections.abc import Coroutine
from typing import Any

import pytest

from monitor.services import own_health
from tests.virtual import clock
from tests.virtual.clock import BEGINNING, ShownTime, VirtualLoop


def test_an_hour_passes_at_once_and_the_services_see_it() -> None:
    async def main(_: VirtualLoop, shows: ShownTime) -> tuple[float, float]:
        wall = shows.time()
        await asyncio.sleep(3600)
        assert vars(own_health)["time"] is shows
        return shows.monotonic() - BEGINNING, shows.time() - wall

    began = time.monotonic()
    assert clock.run(main, seed="") == pytest.approx((3600, 3600))
    assert time.monotonic() - began < 60
    assert vars(own_health)["time"] is time


def test_what_was_due_while_the_loop_stood_still_comes_all_at_once() -> None:
    async def main(loop: VirtualLoop, _: ShownTime) -> list[float]:
        loop.call_later(1, loop.stand_still, BEGINNING + 10)
        times: list[float] = []
        for delay in (0.5, 2, 5, 11):
            loop.call_later(delay, lambda: times.append(loop.time() - BEGINNING))
        await asyncio.sleep(12)
        return times

    assert clock.run(main, seed="") == pytest.approx([0.5, 10, 10, 11])


def test_to_wait_for_nothing_is_an_error_and_no_hang() -> None:
    def main(loop: VirtualLoop, _: ShownTime) -> Coroutine[Any, Any, None]:
        async def wait() -> None:
            await loop.create_future()

        return wait()

    with pytest.raises(RuntimeError, match="nothing would ever happen"):
        clock.run(main, seed="")

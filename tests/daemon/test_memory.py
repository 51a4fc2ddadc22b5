"""A daemon that has been through storm after storm of hostile servers needs no more memory than after the first."""

import gc
import tracemalloc
from datetime import timedelta

from tests.daemon.conftest import Daemon
from tests.daemon.hostility import HOSTILE
from tests.daemon.observer import Observer
from tests.fakes.fleet import FakeFleet

QUICK = timedelta(seconds=0.25)
QUESTIONS = 2
STORMS = 3
# How many connections are open at the end of a storm is a matter of chance, and worth some 50 kB. A leak of
# 3 kB with each hostile answer would come to more than this, and those that are cut off have brought 64 at least.
NEGLIGIBLE = 3000 * (STORMS - 1) * QUESTIONS * 2 * len(HOSTILE)
ALL_UP = "SELECT count(*) = $1 FROM ollama_servers WHERE status = 'up'"


class Storm:
    """Half of the fleet answers nothing well, the other half all but its lists."""

    def __init__(self, fleet: FakeFleet, observer: Observer) -> None:
        self._fleet = fleet
        self._observer = observer
        self._paths = ["/api/version"] * len(HOSTILE) + ["/api/tags"] * len(HOSTILE)

    async def rage(self) -> None:
        """Be hostile until every server has been asked some more times; then be good until that is known."""
        before = self._asked()
        for index, fake in enumerate(self._fleet):
            fake.behave(HOSTILE[index % len(HOSTILE)], path=None if index < len(HOSTILE) else "/api/tags")

        async def all_were_asked() -> bool:
            return all(now >= then + QUESTIONS for now, then in zip(self._asked(), before, strict=True))

        await self._observer.until_true(all_were_asked, within=60)
        for fake in self._fleet:
            fake.behave_well()
        await self._observer.until(ALL_UP, len(self._fleet), within=60)

    def _asked(self) -> list[int]:
        return [fake.requests[path] for fake, path in zip(self._fleet, self._paths, strict=True)]


def memory() -> int:
    """Return the bytes that Python holds once all that is waste has been thrown away."""
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


async def test_storms_of_hostile_servers_leave_the_memory_as_it_was(observer: Observer, daemon: Daemon) -> None:
    async with (
        FakeFleet(2 * len(HOSTILE)) as fleet,
        daemon(check_interval=QUICK, check_timeout=QUICK, discovery_interval=4 * QUICK, connection_watch=False),
    ):
        for fake in fleet:
            await observer.add(fake.url, fake.host)
        await observer.until(ALL_UP, len(fleet), within=60)
        storm = Storm(fleet, observer)
        await storm.rage()
        tracemalloc.start()
        try:
            found = []
            for _ in range(STORMS):
                await storm.rage()
                found.append(memory())
        finally:
            tracemalloc.stop()
    assert found[-1] - found[0] < NEGLIGIBLE

"""A host that answers the kernel's keep-alive no more: what its checks are like until it is known what that meant."""

from dataclasses import replace

import pytest

from monitor.domain import watching
from monitor.domain.availability import Status
from monitor.domain.counters import Counters
from monitor.domain.fleet import Fleet
from monitor.domain.probe import ProbeResult, Reason
from monitor.domain.schedule import Schedule
from monitor.domain.watching import AFTER_SILENCE, Ending
from monitor.services.check import Check
from tests.services.conftest import POLICY, watched
from tests.services.holds import Bench
from tests.services.told import KeepingRecorder, NoDoubt, ToldProber

ONE = watched(1).server.id
WITHIN = watching.connect_within(POLICY, vanished=True)
UNANSWERED = [Reason.CONNECT_TIMEOUT, Reason.UNREACHABLE, Reason.DNS, Reason.LOCAL]
ANSWERED = [Reason.OK, Reason.BUSY, Reason.REFUSED, Reason.RESET, Reason.TIMEOUT, Reason.SERVER_ERROR]


class Probing:
    """Checks of a server whose host has vanished."""

    def __init__(self) -> None:
        self.entry = watched(1, status=Status.UP)
        self.entry.vanished = True
        fleet = Fleet()
        fleet.put(self.entry)
        self._prober = ToldProber()
        self._check = Check(
            fleet=fleet,
            agenda=Schedule(),
            prober=self._prober,
            recorder=KeepingRecorder(),
            doubt=NoDoubt(),
            discover=lambda _: None,
            suspect=lambda _: None,
            counters=Counters(),
        )

    async def is_hurried(self, reason: Reason) -> bool:
        """Check once, with that answer; return whether there was little time to connect."""
        self._prober.answer = ProbeResult(reason=reason)
        await self._check.run(ONE)
        assert self._prober.connect_within in {None, WITHIN}
        return self._prober.connect_within is not None


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    """A sentry with nothing to watch yet."""
    return Bench(monkeypatch)


async def test_silence_restarts_the_check_under_way_and_is_no_verdict(bench: Bench) -> None:
    entry = bench.put()
    before = entry.availability
    await bench.sweep()
    bench.holder.holds[0].end(Ending.SILENT)
    assert (bench.restarted, bench.woken) == ([ONE], [])
    assert (entry.availability, entry.vanished) == (before, True)


async def test_a_server_that_closes_its_connection_has_not_vanished(bench: Bench) -> None:
    entry = bench.put()
    await bench.sweep()
    bench.holder.holds[0].end()
    assert (bench.restarted, bench.woken, entry.vanished) == ([], [ONE], False)


async def test_silence_of_a_healthy_server_is_never_a_strike_and_it_is_watched_again_after_a_while(
    bench: Bench,
) -> None:
    entry = bench.put()
    for _ in range(2 * watching.STRIKES):
        assert await bench.sweep() == 1
        bench.holder.holds[-1].end(Ending.SILENT)
        entry.availability = replace(entry.availability, good=entry.availability.good + 1)
        assert await bench.sweep(later=AFTER_SILENCE / 2) == 0
        bench.now += 2 * AFTER_SILENCE
    assert await bench.sweep() == 1
    assert bench.shown() == ["watched"]


@pytest.mark.parametrize("reason", UNANSWERED)
async def test_as_long_as_the_host_does_not_answer_there_is_little_time_to_connect(reason: Reason) -> None:
    probing = Probing()
    assert await probing.is_hurried(reason)
    assert await probing.is_hurried(reason)


@pytest.mark.parametrize("reason", ANSWERED)
async def test_once_the_host_has_answered_there_is_as_much_time_as_ever(reason: Reason) -> None:
    probing = Probing()
    assert await probing.is_hurried(Reason.CONNECT_TIMEOUT)
    assert await probing.is_hurried(reason)
    assert not await probing.is_hurried(reason)


async def test_a_server_that_is_down_has_as_much_time_as_ever_to_come_back() -> None:
    probing = Probing()
    for _ in range(POLICY.fall):
        assert await probing.is_hurried(Reason.CONNECT_TIMEOUT)
    assert probing.entry.availability.status is Status.DOWN
    assert not await probing.is_hurried(Reason.CONNECT_TIMEOUT)

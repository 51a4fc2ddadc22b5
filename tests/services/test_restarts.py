"""A server that ends its watch and answers again: when that is a restart, and how often it is told."""

import itertools
import math
from dataclasses import replace

import pytest

from monitor.domain import watching
from monitor.domain.availability import Availability, Status
from monitor.domain.fleet import Watched
from monitor.domain.probe import Lost
from monitor.domain.watching import RESTARTS_APART, End, Ending
from tests.services.conftest import watched
from tests.services.holds import UP, Bench

ONE = watched(1).server.id
END = End(at=100.0, lasted=60.0)


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    """A sentry with nothing to watch yet."""
    return Bench(monkeypatch)


def answers(entry: Watched, *, at: float, lost_at: float | None = None, idle: float = 3.0, is_new: bool = True) -> None:
    """Have a check that began at a time come to a good answer; the connection before had been idle for so long."""
    entry.availability = replace(entry.availability, good=entry.availability.good + 1)
    entry.watch_ended_at = None
    if is_new:
        entry.connected_at, entry.lost = at, None if lost_at is None else Lost(lost_at, idle)


def fails(entry: Watched) -> None:
    """Have a check come to a bad answer."""
    entry.availability = replace(entry.availability, good=0, bad=entry.availability.bad + 1)
    entry.watch_ended_at = None


async def told(bench: Bench) -> list[float]:
    """Sweep, and connect where it is time; return the restarts that are told, in order."""
    for server_id in bench.sentry.sweep():
        await bench.sentry.connect(server_id)
    return [record.restarted_at for record, at_once in bench.recorder.taken if at_once and record.restarted_at]


@pytest.mark.parametrize(
    ("end", "connected_at", "lost", "restarted"),
    [
        (END, 100.1, Lost(100.0, 3.0), True),
        (END, 100.1, Lost(99.5, 3.0), True),
        (END, 100.1, Lost(100.0, 60.0), False),
        (END, 100.1, Lost(100.0, 59.2), False),
        (END, 100.1, Lost(60.0, 3.0), False),
        (END, 100.1, None, False),
        (END, 99.9, Lost(100.0, 3.0), False),
        (replace(END, confirmed=True), 100.1, Lost(60.0, 60.0), True),
        (replace(END, confirmed=True), 130.0, None, True),
        (replace(END, confirmed=True), -math.inf, None, False),
    ],
)
def test_a_restart_shows_by_a_new_connection_and_by_what_ended_with_the_watch(
    end: End, connected_at: float, lost: Lost | None, restarted: bool
) -> None:
    assert watching.has_restarted(end, connected_at=connected_at, lost=lost) is restarted


async def test_an_instant_restart_is_told_and_is_no_strike(bench: Bench) -> None:
    entry = bench.put()
    for number in range(2 * watching.STRIKES):
        await bench.sweep()
        assert bench.holder.open == 1
        bench.now += RESTARTS_APART
        bench.holder.holds[-1].end()
        assert len(await told(bench)) == number
        answers(entry, at=bench.now, lost_at=bench.now)
        assert (await told(bench))[number:] == [bench.now]
    assert entry.availability.status is Status.UP
    assert bench.looked == [ONE] * 2 * watching.STRIKES


async def test_a_proxy_that_closes_the_idle_connection_alone_has_not_restarted(bench: Bench) -> None:
    entry = bench.put()
    for _ in range(watching.STRIKES):
        await bench.sweep()
        bench.now += 60
        bench.holder.holds[-1].end()
        answers(entry, at=bench.now, is_new=False)
    assert await told(bench) == []
    await bench.sweep()
    assert bench.holder.open == 0


async def test_a_proxy_that_closes_all_that_is_idle_has_not_restarted(bench: Bench) -> None:
    entry = bench.put()
    for _ in range(watching.STRIKES):
        await bench.sweep()
        began = bench.now
        bench.now += 5
        bench.holder.holds[-1].end()
        answers(entry, at=bench.now, lost_at=bench.now, idle=bench.now - began + 0.5)
    assert await told(bench) == []
    await bench.sweep()
    assert bench.holder.open == 0


async def test_a_silent_end_is_no_restart_whatever_answers_after_it_and_has_its_memory_looked_at(bench: Bench) -> None:
    entry = bench.put()
    await bench.sweep()
    bench.holder.holds[-1].end(Ending.SILENT)
    answers(entry, at=bench.now, lost_at=bench.now)
    assert await told(bench) == []
    assert bench.looked == [ONE]


async def test_a_refusal_or_a_bad_answer_in_between_confirms_a_restart_also_through_a_verdict(bench: Bench) -> None:
    entry = bench.put()
    for is_verdict in (False, True):
        await bench.sweep()
        bench.now += RESTARTS_APART
        bench.refuses = not is_verdict
        bench.holder.holds[-1].end()
        fails(entry)
        if is_verdict:
            entry.availability = Availability(status=Status.DOWN, bad=3, changed_at=bench.now)
        before = await told(bench)
        bench.now += 1
        entry.availability = replace(UP, good=0, changed_at=bench.now if is_verdict else -math.inf)
        answers(entry, at=bench.now)
        assert await told(bench) == [*before, bench.now]
    # Of the one that was down all is listed anyway.
    assert bench.looked == [ONE]


async def test_a_blip_that_leaves_as_many_good_answers_as_there_were_is_over(bench: Bench) -> None:
    entry = bench.put(availability=replace(UP, good=1))
    await bench.sweep()
    bench.holder.holds[-1].end()
    fails(entry)
    entry.availability = replace(entry.availability, bad=0)
    answers(entry, at=bench.now)
    assert await told(bench) == [bench.now]
    assert bench.holder.open == 1


async def test_of_many_restarts_few_are_told_and_the_last_one_always(bench: Bench) -> None:
    entry = bench.put()
    restarts = []
    for _ in range(6):
        await bench.sweep(later=1)
        bench.now += 5
        bench.holder.holds[-1].end()
        answers(entry, at=bench.now, lost_at=bench.now)
        await told(bench)
        restarts.append(bench.now)
    bench.now += RESTARTS_APART
    found = await told(bench)
    assert found[0] == restarts[0]
    assert found[-1] == restarts[-1]
    assert set(found) <= set(restarts)
    bench.now += RESTARTS_APART
    assert await told(bench) == found
    assert all(later - earlier >= 6 for earlier, later in itertools.pairwise(found))
    assert len(found) <= 4


async def test_what_is_not_told_yet_is_told_after_an_edit_and_when_all_stops(bench: Bench) -> None:
    entry = bench.put()
    for _ in range(2):
        await bench.sweep(later=1)
        bench.holder.holds[-1].end()
        answers(entry, at=bench.now, lost_at=bench.now)
        await told(bench)
    last = bench.now
    assert len(await told(bench)) == 1
    bench.put(row_version=2)
    bench.sentry.sweep()
    await bench.sentry.stop()
    assert [record.restarted_at for record, _ in bench.recorder.taken if record.restarted_at][1:] == [last]
    assert bench.recorder.taken[-1][0].row_version == 2

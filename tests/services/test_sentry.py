"""Which servers are watched, and what the end of a watch leads to."""

import asyncio
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from monitor.domain import watching
from monitor.domain.availability import Availability, Status
from monitor.domain.watching import Ending
from tests.services.conftest import settled, watched
from tests.services.holds import UP, Bench

ONE = watched(1).server.id


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    """A sentry with nothing to watch yet."""
    return Bench(monkeypatch)


async def test_only_available_servers_are_watched_and_each_once(bench: Bench) -> None:
    bench.put(1)
    bench.put(2, availability=Availability(status=Status.DEGRADED, good=1))
    for number, status in ((3, Status.UNKNOWN), (4, Status.DOWN)):
        bench.put(number, availability=Availability(status=status))
    bench.put(5, availability=Availability(status=Status.UP, bad=1))
    assert await bench.sweep() == 2
    assert {server.name for server in bench.holder.asked} == {"gpu-1", "gpu-2"}
    assert await bench.sweep() == 0
    assert bench.sentry.held == 2


async def test_what_people_see_of_a_watch_is_recorded_when_it_changes_and_in_no_hurry(bench: Bench) -> None:
    bench.put()
    assert bench.shown() == []
    await bench.sweep()
    assert bench.shown() == ["watched"]
    bench.holder.holds[0].end()
    assert bench.shown() == ["watched"]
    ((record, at_once),) = bench.recorder.taken
    assert (record.server_id, record.status, at_once) == (ONE, Status.UP, False)


async def test_with_the_watch_off_nothing_is_held_and_that_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch, on=False)
    bench.put()
    bench.put(2, availability=Availability(status=Status.DOWN, bad=3))
    assert await bench.sweep() == 0
    assert bench.shown() == ["off"]


async def test_a_server_whose_watch_is_off_is_not_held_and_an_edit_switches_it(bench: Bench) -> None:
    bench.put(1, on=False)
    bench.put(2)
    assert await bench.sweep() == 1
    assert [server.name for server in bench.holder.asked] == ["gpu-2"]
    assert bench.shown() == ["off", "watched"]
    bench.put(2, row_version=2, on=False)
    assert await bench.sweep() == 0
    assert (bench.holder.open, bench.sentry.held) == (0, 0)
    assert bench.woken == []
    bench.put(1, row_version=2)
    assert await bench.sweep() == 1
    assert bench.shown() == ["off", "watched", "off", "watched"]


async def test_the_end_of_a_watch_wakes_a_check_and_is_no_verdict(bench: Bench) -> None:
    entry = bench.put()
    await bench.sweep()
    bench.holder.holds[0].end()
    assert bench.woken == [ONE]
    assert entry.availability is UP
    # What the end meant is open until a check has been done.
    assert await bench.sweep(later=100) == 0


async def test_a_server_that_is_found_down_is_watched_again_when_it_is_back(bench: Bench) -> None:
    entry = bench.put()
    await bench.sweep()
    bench.holder.holds[0].end()
    entry.availability = Availability(status=Status.UP, bad=1)
    assert await bench.sweep() == 0
    entry.availability = Availability(status=Status.DOWN, bad=3)
    assert await bench.sweep() == 0
    entry.availability = Availability(status=Status.UP, good=2)
    due_at_once = bench.sentry.sweep()
    assert due_at_once == []
    assert await bench.sweep() == 1
    assert bench.shown() == ["watched"]


async def test_a_server_found_down_by_its_checks_is_let_go(bench: Bench) -> None:
    entry = bench.put()
    await bench.sweep()
    entry.availability = Availability(status=Status.UP, bad=2)
    await bench.sweep()
    assert bench.holder.open == 1
    entry.availability = Availability(status=Status.DOWN, bad=3)
    await bench.sweep()
    assert bench.holder.open == 0
    assert bench.woken == []


async def test_a_server_that_ends_idle_connections_while_healthy_is_left_alone_and_tried_rarely(bench: Bench) -> None:
    entry = bench.put()
    with capture_logs() as logs:
        for strike in range(watching.STRIKES):
            assert await bench.sweep() == 1
            bench.now += 60
            bench.holder.holds[-1].end()
            assert len(bench.woken) == strike + 1
            entry.availability = replace(entry.availability, good=entry.availability.good + 1)
        assert await bench.sweep(later=watching.REST / 2) == 0
        assert bench.shown() == ["not_held"]
        assert await bench.sweep(later=watching.REST) == 1
        assert bench.shown() == ["not_held", "watched"]
        bench.holder.holds[-1].end()
        entry.availability = replace(entry.availability, good=entry.availability.good + 1)
        assert await bench.sweep() == 0
        assert bench.shown() == ["not_held", "watched", "not_held"]
    told = [line for line in logs if line["event"] == "connection_not_held"]
    assert [line["server"] for line in told] == ["gpu-1"]


async def test_an_edit_makes_a_server_that_was_left_alone_be_watched_again(bench: Bench) -> None:
    bench.put()
    await bench.sweep()
    bench.holder.holds[-1].end(Ending.SPOKE)
    assert await bench.sweep() == 0
    bench.put(row_version=2)
    assert await bench.sweep() == 1


@pytest.mark.parametrize("greets", [True, False])
async def test_a_server_that_speaks_is_left_alone_and_wakes_nobody(bench: Bench, greets: bool) -> None:
    bench.put()
    bench.holder.greeting = Ending.SPOKE if greets else None
    await bench.sweep()
    if not greets:
        bench.holder.holds[-1].end(Ending.SPOKE)
    assert bench.woken == []
    assert await bench.sweep() == 0
    assert bench.shown() == ["not_held"]


async def test_a_connection_that_ends_while_it_is_made_counts_as_one_that_ended(bench: Bench) -> None:
    entry = bench.put()
    bench.holder.greeting = Ending.CLOSED
    await bench.sweep()
    assert bench.woken == [ONE]
    assert bench.sentry.held == 0
    entry.availability = replace(UP, good=6)
    assert await bench.sweep() == 1


async def test_attempts_that_fail_wake_nobody_and_come_ever_more_rarely(bench: Bench) -> None:
    bench.put()
    bench.holder.answers = False
    for _ in range(100):
        await bench.sweep(later=10)
    assert 5 <= len(bench.holder.asked) <= 12
    assert bench.woken == []
    bench.holder.answers = True
    await bench.sweep(later=2 * watching.LAST_RETRY)
    assert bench.sentry.sweep() == []
    assert bench.sentry.held == 1


@pytest.mark.parametrize("how", ["removed", "edited", "all removed"])
async def test_what_is_not_watched_any_more_is_let_go(bench: Bench, how: str) -> None:
    bench.put(1)
    bench.put(2)
    await bench.sweep()
    assert bench.holder.open == 2
    if how == "removed":
        bench.fleet.remove(ONE)
        bench.put(3, availability=Availability())
    elif how == "edited":
        bench.put(1, row_version=2)
    else:
        for entry in bench.fleet:
            bench.fleet.remove(entry.server.id)
    bench.sentry.sweep()
    assert bench.holder.open == (0 if how == "all removed" else 1)
    assert bench.woken == []


@pytest.mark.parametrize("how", ["removed", "edited", "down", "stopped"])
async def test_a_connection_that_comes_too_late_is_closed(bench: Bench, how: str) -> None:
    entry = bench.put()
    bench.sentry.sweep()
    bench.now += 2
    bench.holder.gate.clear()
    assert bench.sentry.sweep() == [ONE]
    connecting = asyncio.create_task(bench.sentry.connect(ONE))
    await settled()
    if how == "removed":
        bench.fleet.remove(ONE)
    elif how == "edited":
        bench.put(row_version=2)
    elif how == "down":
        entry.availability = Availability(status=Status.DOWN, bad=3)
    else:
        await bench.sentry.stop()
    bench.now += 2
    assert bench.sentry.sweep() == []
    bench.holder.gate.set()
    await connecting
    assert bench.holder.open == 0
    assert len(bench.holder.holds) == 1


async def test_an_end_after_an_edit_says_nothing_about_the_new_address(bench: Bench) -> None:
    bench.put()
    await bench.sweep()
    bench.put(row_version=2)
    bench.holder.holds[0].end()
    assert bench.woken == []
    assert await bench.sweep() == 1


async def test_a_stop_lets_go_of_everything(bench: Bench) -> None:
    for number in range(1, 6):
        bench.put(number)
    await bench.sweep()
    await bench.sentry.stop()
    assert bench.holder.open == 0
    assert bench.woken == []

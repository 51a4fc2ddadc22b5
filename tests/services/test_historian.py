"""History is written rarely and in parts, waits for a database that is away, and is never somebody else's."""

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from monitor.domain import timeline
from monitor.domain.availability import Status
from monitor.domain.counters import Counters
from monitor.domain.fleet import Fleet
from monitor.domain.history import DAY, HOUR
from monitor.domain.probe import Reason
from monitor.domain.record import ServerRecord
from monitor.domain.timeline import TICKS
from monitor.services import historian, history_keeper
from monitor.services.historian import Historian
from monitor.services.history_keeper import HistoryKeeper
from tests.services.conftest import Running, until, watched
from tests.services.fakes import MemoryDatabase, MemoryHistory

YEAR = timedelta(days=400)


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(historian, "LOOK", 0.001)
    monkeypatch.setattr(history_keeper, "PAUSE", 0)


@pytest.fixture
def store(database: MemoryDatabase) -> MemoryHistory:
    """Where the pages go."""
    return MemoryHistory(database)


@pytest.fixture
def fleet() -> Fleet:
    """Three servers."""
    fleet = Fleet()
    for number in (1, 2, 3):
        fleet.put(watched(number))
    return fleet


@pytest.fixture
def counters() -> Counters:
    """What the historian counts."""
    return Counters()


@pytest.fixture
def keeper(store: MemoryHistory, fleet: Fleet, counters: Counters) -> Historian:
    """Writes to the store."""
    return Historian(store, fleet=fleet, counters=counters)


def check(number: int = 1, *, ago: float, good: bool = True) -> ServerRecord:
    """A check of a server some seconds ago."""
    return ServerRecord(
        server_id=watched(number).server.id,
        row_version=1,
        status=Status.UP,
        reason=Reason.OK,
        detail="",
        checked_at=time.monotonic() - ago,
        latency=timedelta(milliseconds=3),
        good=good,
    )


def note_two(keeper: Historian, number: int = 1) -> None:
    """Note a check in one five minutes and one in the next, which fills the first page."""
    keeper.note(check(number, ago=400))
    keeper.note(check(number, ago=1))


async def knows_the_time(keeper: Historian, running: Running) -> None:
    """Let it ask the database for the time."""
    noted: Callable[[], bool] = lambda: keeper._offset is not None  # noqa: E731
    async with running(keeper.run()):
        await until(noted)


async def test_full_pages_are_written_in_parts_and_open_ones_at_the_end(
    keeper: Historian, store: MemoryHistory, running: Running, monkeypatch: pytest.MonkeyPatch, counters: Counters
) -> None:
    monkeypatch.setattr(historian, "MOST_PAGES", 2)
    await knows_the_time(keeper, running)
    for number in (1, 2, 3):
        note_two(keeper, number)
    async with running(keeper.run()):
        await until(lambda: len(store.written) == 3)
    assert store.batches == [2, 1]
    # For so long as until they read as stale.
    assert [sum(timeline.totals(page.runs, 0, 2**60)) for page in store.written] == [50 * TICKS] * 3
    await keeper.flush()
    assert counters.history_pages == len(store.written) == 6
    open_page = store.written[3]
    assert sum(timeline.totals(open_page.runs, 0, 2**60)) >= 9
    assert (open_page.good, open_page.bad) == (1, 0)


async def test_pages_wait_for_the_database(
    keeper: Historian, store: MemoryHistory, database: MemoryDatabase, running: Running, counters: Counters
) -> None:
    await knows_the_time(keeper, running)
    database.away = True
    note_two(keeper)
    with capture_logs() as logs:
        async with running(keeper.run()):
            await until(lambda: any(line["event"] == "history_waits" and line["pages"] for line in logs))
            assert store.written == []
            database.away = False
            await until(lambda: store.written)
    assert counters.history_pages_lost == 0


async def test_stopping_without_the_database_says_what_is_lost(
    keeper: Historian, store: MemoryHistory, database: MemoryDatabase, running: Running
) -> None:
    await knows_the_time(keeper, running)
    database.away = True
    note_two(keeper)
    with capture_logs() as logs:
        await keeper.flush()
    assert [(line["event"], line["pages"]) for line in logs] == [("history_lost", 2)]
    assert store.written == []


async def test_before_the_time_is_known_and_of_servers_that_are_gone_nothing_is_noted(
    keeper: Historian, store: MemoryHistory, running: Running
) -> None:
    keeper.note(check(ago=1))
    await knows_the_time(keeper, running)
    keeper.note(check(99, ago=1))
    keeper.note(replace(check(ago=0), checked_at=None, good=None))
    await keeper.flush()
    assert store.written == []


async def test_a_clock_that_is_set_begins_a_new_count(
    keeper: Historian, store: MemoryHistory, running: Running
) -> None:
    await knows_the_time(keeper, running)
    note_two(keeper)
    store.ahead += 7200
    with capture_logs() as logs:
        async with running(keeper.run()):
            await until(lambda: store.written)
        await keeper.flush()
    assert [line["event"] for line in logs] == ["database_clock_stepped"]
    # What was open is forgotten.
    assert len(store.written) == 1


async def test_hours_and_days_are_rolled_up_once_in_steps(
    database: MemoryDatabase, store: MemoryHistory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history_keeper, "STEP", 2)
    store.due = {HOUR: [watched(number).server.id for number in (1, 2, 3)]}
    keeper = HistoryKeeper(store, retention=YEAR)
    await keeper.roll_up()
    now = int(await store.clock())
    hour, day = now // HOUR * HOUR - HOUR, now // DAY * DAY - DAY
    assert store.steps == [(HOUR, hour), (HOUR, hour), (DAY, day)]
    assert store.expired == 1
    await keeper.roll_up()
    assert len(store.steps) == 3
    store.ahead += HOUR
    await keeper.roll_up()
    assert store.steps[3] == (HOUR, hour + HOUR)


async def test_rolling_up_is_put_off_without_the_database(database: MemoryDatabase, store: MemoryHistory) -> None:
    keeper = HistoryKeeper(store, retention=YEAR)
    database.away = True
    await keeper.roll_up()
    assert store.steps == []
    database.away = False
    await keeper.roll_up()
    assert len(store.steps) == 2


async def test_history_that_cannot_be_read_is_told_and_harms_nothing_else(
    database: MemoryDatabase, store: MemoryHistory
) -> None:
    store.is_broken = True
    keeper = HistoryKeeper(store, retention=YEAR)
    with capture_logs() as logs:
        await keeper.roll_up()
        await keeper.roll_up()
    assert [line["event"] for line in logs] == ["history_not_rolled_up"] * 2
    assert [span for span, _ in store.steps] == [HOUR, DAY]

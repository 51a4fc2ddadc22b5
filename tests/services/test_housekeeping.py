"""The event log is kept bounded in small steps."""

from datetime import timedelta

from structlog.testing import capture_logs

from monitor.services.housekeeping import Housekeeping
from tests.services.fakes import MemoryDatabase, MemoryEvents

WEEK = timedelta(days=7)
MOST = 1_000_000


async def test_what_is_too_old_goes_in_steps(database: MemoryDatabase) -> None:
    events = MemoryEvents(database, old=12_000)
    with capture_logs() as logs:
        await Housekeeping(events, retention=WEEK, most_bytes=MOST).delete_old()
    assert events.steps == [5000, 5000, 2000]
    assert [(line["event"], line["deleted"]) for line in logs] == [("events_expired", 12_000)]


async def test_at_most_100_000_events_go_at_a_time(database: MemoryDatabase) -> None:
    events = MemoryEvents(database, old=250_000)
    housekeeping = Housekeeping(events, retention=WEEK, most_bytes=MOST)
    await housekeeping.delete_old()
    assert events.old == 150_000
    await housekeeping.delete_old()
    await housekeeping.delete_old()
    assert events.old == 0


async def test_nothing_to_delete_is_nothing_to_say(database: MemoryDatabase) -> None:
    events = MemoryEvents(database, old=0)
    with capture_logs() as logs:
        await Housekeeping(events, retention=WEEK, most_bytes=MOST).delete_old()
    assert (events.steps, logs) == ([0], [])


async def test_with_the_database_away_it_is_put_off(database: MemoryDatabase) -> None:
    events = MemoryEvents(database, old=10)
    housekeeping = Housekeeping(events, retention=WEEK, most_bytes=MOST)
    database.away = True
    await housekeeping.delete_old()
    database.away = False
    await housekeeping.delete_old()
    assert events.old == 0


async def test_what_is_too_much_goes_in_steps_and_is_told_once_until_it_is_over(database: MemoryDatabase) -> None:
    events = MemoryEvents(database, old=0)
    housekeeping = Housekeeping(events, retention=WEEK, most_bytes=MOST)
    with capture_logs() as logs:
        for too_many in (112_000, 10, 0, 7):
            events.held = MOST + too_many
            await housekeeping.delete_old()
    assert events.steps_of_size == [5000] * 20 + [10, 0, 7]
    assert [(line["event"], line["deleted"]) for line in logs] == [("event_log_full", 100_000), ("event_log_full", 7)]


async def test_the_size_is_bounded_even_where_the_oldest_are_young(database: MemoryDatabase) -> None:
    events = MemoryEvents(database, old=3)
    events.held = MOST + 4
    with capture_logs() as logs:
        await Housekeeping(events, retention=WEEK, most_bytes=MOST).delete_old()
    assert [line["event"] for line in logs] == ["events_expired", "event_log_full"]
    assert events.held == MOST

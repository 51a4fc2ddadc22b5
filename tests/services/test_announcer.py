"""What the monitor says of itself reaches the log, later if need be, and alternates whatever happens."""

import asyncio

import pytest
from structlog.testing import capture_logs

from monitor.domain.event import Announcement, EventType
from monitor.services import announcer
from monitor.services.announcer import Announcer
from tests.services.conftest import Running, settled, until
from tests.services.fakes import MemoryAnnouncements, MemoryDatabase


@pytest.fixture
def told(database: MemoryDatabase) -> MemoryAnnouncements:
    """An empty log."""
    return MemoryAnnouncements(database)


@pytest.fixture
def announcing(told: MemoryAnnouncements) -> Announcer:
    """Announces to the log."""
    return Announcer(told)


def say(announcing: Announcer, *news: str) -> None:
    """Announce isolations and recoveries, each with its number."""
    for each in news:
        kind, since = each.split()
        announcing.announce(Announcement(type=EventType(f"monitor.{kind}"), since=float(since), body={}))


async def test_news_is_written_at_once(announcing: Announcer, told: MemoryAnnouncements, running: Running) -> None:
    async with running(announcing.run()):
        say(announcing, "isolated 1")
        await until(lambda: told.log == ["isolated 1"])
        say(announcing, "recovered 1")
        await until(lambda: told.log == ["isolated 1", "recovered 1"])


async def test_news_waits_for_the_database(
    announcing: Announcer,
    told: MemoryAnnouncements,
    database: MemoryDatabase,
    running: Running,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(announcer, "RETRY", 0.001)
    database.away = True
    async with running(announcing.run()):
        say(announcing, "isolated 1", "recovered 1")
        await announcing.flush()
        assert told.log == []
        database.away = False
        await until(lambda: told.log == ["isolated 1", "recovered 1"])


async def test_of_many_isolations_without_a_database_the_newest_is_told(
    announcing: Announcer, told: MemoryAnnouncements, database: MemoryDatabase
) -> None:
    say(announcing, "isolated 1")
    await announcing.flush()
    database.away = True
    say(announcing, "recovered 1")
    await announcing.flush()
    for number in range(2, 9):
        say(announcing, f"isolated {number}", f"recovered {number}")
    say(announcing, "isolated 9")
    database.away = False
    await announcing.flush()
    assert told.log == ["isolated 1", "recovered 1", "isolated 9"]


async def test_news_that_the_database_refuses_ends_nothing(announcing: Announcer, told: MemoryAnnouncements) -> None:
    told.refuses = True
    say(announcing, "isolated 1")
    with capture_logs() as logs:
        await announcing.flush()
    assert [line["event"] for line in logs] == ["announcement_refused"]
    told.refuses = False
    say(announcing, "recovered 1")
    await announcing.flush()
    assert told.log == ["recovered 1"]


async def test_what_the_last_monitor_left_open_is_closed_first_and_once(
    announcing: Announcer,
    told: MemoryAnnouncements,
    database: MemoryDatabase,
    running: Running,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(announcer, "RETRY", 0.001)
    told.left_open = True
    database.away = True
    async with running(announcing.run()):
        say(announcing, "isolated 1")
        await announcing.flush()
        database.away = False
        await until(lambda: len(told.log) > 1)
        say(announcing, "recovered 1")
        await until(lambda: len(told.log) > 2)
    assert told.log == ["recovered, inherited", "isolated 1", "recovered 1"]


async def test_news_that_is_just_being_written_does_not_give_way(
    announcing: Announcer, told: MemoryAnnouncements
) -> None:
    told.gate.clear()
    say(announcing, "isolated 1", "recovered 1")
    writing = asyncio.create_task(announcing.flush())
    await settled()
    say(announcing, "isolated 2")
    told.gate.set()
    await writing
    assert told.log == ["isolated 1", "recovered 1", "isolated 2"]

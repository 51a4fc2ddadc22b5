"""What the stores of history, of announcements and of events keep to."""

import time
from datetime import timedelta

from monitor.domain import history
from monitor.domain.event import Announcement, EventType
from monitor.domain.history import FIVE_MINUTES, HOUR, Page
from monitor.domain.latency import Counts
from monitor.domain.lease import Lease
from monitor.domain.server import Server
from monitor.domain.timeline import TICKS
from tests.ports.worlds import TTL, World

START = 1_800_000_000 // HOUR * HOUR


def page(server: Server) -> Page:
    """Five minutes of being up."""
    runs = [(START * TICKS, (START + FIVE_MINUTES) * TICKS, 0)]
    return history.page(server.id, START, runs=runs, good=5, bad=0, latencies=Counts({40: 5}))


def news(kind: EventType) -> Announcement:
    """Something that a monitor says of itself."""
    return Announcement(type=kind, since=time.monotonic(), body={"servers": 3, "of": 4})


async def test_time_goes_on_and_each_write_tells_it(world: World, lease: Lease) -> None:
    store = world.history(lease)
    before = await store.clock()
    written = await store.write([page(await world.add(1))])
    assert before <= written <= await store.clock() < before + 60


async def test_pages_are_rolled_up_step_by_step_in_the_order_of_servers(world: World, lease: Lease) -> None:
    store = world.history(lease)
    servers = sorted([await world.add(number) for number in (1, 2, 3)], key=lambda server: server.id)
    await store.write([page(server) for server in servers])
    ids = [server.id for server in servers]
    assert await store.roll_up(HOUR, before=START, after=None, limit=10) == []
    assert await store.roll_up(HOUR, before=START + HOUR, after=None, limit=2) == ids[:2]
    assert await store.roll_up(HOUR, before=START + HOUR, after=ids[1], limit=2) == ids[2:]
    assert await store.roll_up(HOUR, before=START + HOUR, after=ids[2], limit=2) == []


async def test_history_under_a_stale_lease_comes_to_nothing(world: World, lease: Lease, stale: Lease) -> None:
    server = await world.add(1)
    await world.history(stale).write([page(server)])
    assert await world.history(stale).roll_up(HOUR, before=START + HOUR, after=None, limit=10) == []
    await world.history(stale).delete_older(timedelta(0))


async def test_news_is_told_once_and_under_a_stale_lease_not_at_all(world: World, lease: Lease) -> None:
    store = world.announcements(lease)
    for _ in range(2):
        assert await store.announce(news(EventType.MONITOR_ISOLATED))
    assert await store.announce(news(EventType.MONITOR_RECOVERED))
    assert await world.said() == ["isolated", "recovered"]
    await world.end_lease()
    assert await world.leases().take(TTL) is not None
    assert not await store.announce(news(EventType.MONITOR_ISOLATED))
    assert await world.said() == ["isolated", "recovered"]


async def test_an_isolation_that_was_left_open_is_closed_once(world: World, lease: Lease) -> None:
    await world.announcements(lease).close_open()
    assert await world.said() == []
    await world.announcements(lease).announce(news(EventType.MONITOR_ISOLATED))
    await world.end_lease()
    fresh = await world.leases().take(TTL)
    assert fresh is not None
    await world.announcements(lease).close_open()
    assert await world.said() == ["isolated"]
    for _ in range(2):
        await world.announcements(fresh).close_open()
    assert await world.said() == ["isolated", "recovered"]


async def test_old_events_go_a_few_at_a_time(world: World) -> None:
    events = await world.event_log(old=5)
    steps = [await events.delete_older(timedelta(days=7), limit=2) for _ in range(4)]
    assert steps == [2, 2, 1, 0]


async def test_of_a_log_that_is_too_big_the_oldest_go_a_few_at_a_time(world: World) -> None:
    events = await world.event_log(old=5)
    assert await events.delete_beyond(1_000_000, limit=2) == 0
    assert [await events.delete_beyond(0, limit=2) for _ in range(4)] == [2, 2, 1, 0]

"""What a monitor says of itself in the event log: timed by the database, fenced by the lease, and by nobody else."""

import time
import uuid
from dataclasses import replace
from datetime import datetime, timedelta

import asyncpg
import pytest

from monitor.domain.event import Announcement, EventType
from monitor.domain.lease import Lease
from monitor.postgres.database import Connection, Database
from monitor.postgres.event_log import PostgresAnnouncementStore
from tests import fold

CALL = "SELECT fleet_monitor_event($1, '{}', '0', $2, $3, $4)"


@pytest.fixture
def announcements(fleet_database: Database, lease: Lease) -> PostgresAnnouncementStore:
    """On the test's database, for the lease."""
    return PostgresAnnouncementStore(fleet_database, lease)


def isolated(seconds_ago: float = 0.0) -> Announcement:
    """Something to announce."""
    since = time.monotonic() - seconds_ago
    return Announcement(type=EventType.MONITOR_ISOLATED, since=since, body={"servers": 3, "of": 4})


async def test_an_announcement_is_an_event_of_no_server(
    announcements: PostgresAnnouncementStore, lease: Lease, connection: Connection
) -> None:
    assert await announcements.announce(isolated(60))
    (event,) = await fold.read_events(connection)
    assert (event.seq, event.type, event.server_id, event.model_id) == (1, EventType.MONITOR_ISOLATED, None, None)
    since = datetime.fromisoformat(event.body.pop("since"))
    assert timedelta(seconds=59) < event.at - since < timedelta(seconds=120)
    assert event.body == {"servers": 3, "of": 4}
    fold.check_invariants([event])
    assert fold.fold([event]) == fold.State()


@pytest.mark.parametrize("stale", ["epoch", "owner"])
async def test_without_the_lease_nothing_is_announced(
    announcements: PostgresAnnouncementStore, lease: Lease, connection: Connection, stale: str, fleet_database: Database
) -> None:
    changed = replace(lease, epoch=lease.epoch - 1) if stale == "epoch" else replace(lease, owner=uuid.uuid4())
    assert not await PostgresAnnouncementStore(fleet_database, changed).announce(isolated())
    assert await fold.read_events(connection) == []


async def test_no_other_event_can_be_made_that_way(lease: Lease, connection: Connection) -> None:
    with pytest.raises(asyncpg.RaiseError, match=r"no event server\.down"):
        await connection.execute(CALL, "server.down", *lease.fence)


async def test_another_role_needs_the_right_to_announce_and_no_other(
    dsn: str, lease: Lease, connection: Connection
) -> None:
    await connection.execute("CREATE ROLE announcing LOGIN")
    other: Connection = await asyncpg.connect(dsn, user="announcing")
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await other.execute(CALL, "monitor.isolated", *lease.fence)
        await connection.execute(
            "GRANT EXECUTE ON FUNCTION fleet_monitor_event(text, jsonb, interval, smallint, uuid, bigint) TO announcing"
        )
        assert await other.fetchval(CALL, "monitor.isolated", *lease.fence)
    finally:
        await other.close()
        await connection.execute("DROP OWNED BY announcing CASCADE; DROP ROLE announcing")
    assert len(await fold.read_events(connection)) == 1


async def test_an_isolation_left_open_is_closed_and_one_that_is_over_stays_over(
    announcements: PostgresAnnouncementStore, lease: Lease, connection: Connection, fleet_database: Database
) -> None:
    await announcements.close_open()
    assert await fold.read_events(connection) == []
    await announcements.announce(isolated(60))
    stale = PostgresAnnouncementStore(fleet_database, replace(lease, epoch=lease.epoch - 1))
    for _ in range(2):
        await stale.close_open()
    assert len(await fold.read_events(connection)) == 1
    for _ in range(2):
        await announcements.close_open()
    begun, ended = await fold.read_events(connection)
    assert ended.type is EventType.MONITOR_RECOVERED
    assert ended.body == {**begun.body, "outage": None}


async def test_what_was_said_already_is_not_said_again(
    announcements: PostgresAnnouncementStore, lease: Lease, connection: Connection
) -> None:
    for _ in range(2):
        assert await announcements.announce(isolated())
    assert len(await fold.read_events(connection)) == 1

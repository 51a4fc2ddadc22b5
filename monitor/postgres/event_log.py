"""`fleet_events`, the truth that a NOTIFY only points to: reading it, keeping it bounded, and what the monitor adds.

What the monitor says of itself is fenced like its results, so that a stale one says nothing.
"""

import math
import time
from datetime import timedelta
from uuid import UUID

import asyncpg

from monitor.domain.event import Announcement, Event, EventType
from monitor.domain.lease import Lease
from monitor.postgres.database import Connection, Database

READ_AFTER = """
SELECT seq, type, server_id, model_id, at, body FROM fleet_events
WHERE seq > $1 AND ($3::text[] IS NULL OR type = ANY ($3)) AND ($4::uuid IS NULL OR server_id = $4)
ORDER BY seq LIMIT $2
"""
# The head row is written by every event's transaction, so it is never behind the log.
EXTENT = """
SELECT head.seq AS last, coalesce((SELECT min(seq) FROM fleet_events), head.seq + 1) AS first
FROM fleet_event_head AS head
"""
# Oldest first, at most $2 rows, and never one behind an event that stays: after a clock that was set
# back, age does not follow the numbers, and a hole would be passed over without a word.
DELETE_OLD = """
DELETE FROM fleet_events WHERE seq IN (
    SELECT seq FROM fleet_events
    WHERE seq < coalesce((SELECT min(seq) FROM fleet_events WHERE at >= clock_timestamp() - $1::interval),
                         (SELECT seq + 1 FROM fleet_event_head))
    ORDER BY seq LIMIT $2)
"""
ANNOUNCE = "SELECT fleet_monitor_event($1, $2::jsonb, $3::interval, $4, $5, $6)"
# What became of it is not known: whoever was isolated is gone, and a monitor that is not goes on.
CLOSE_OPEN = """
SELECT fleet_monitor_event('monitor.recovered', last.body || '{"outage": null}', '0', $1, $2, $3)
FROM (SELECT type, body FROM fleet_events WHERE type LIKE 'monitor.%'
      ORDER BY seq DESC LIMIT 1) AS last
WHERE last.type = 'monitor.isolated'
"""

# What the rows take, told by at most $1 of them, spread evenly over the log, which has no gaps. A row has 24 bytes of
# head, 4 for its place, 48 for numbers, ids and time, and about 24 in the index by number.
SIZE = """
WITH held AS (SELECT (SELECT min(seq) FROM fleet_events) AS first, seq AS last FROM fleet_event_head)
SELECT held.last - held.first + 1 AS events,
       (SELECT avg(100 + octet_length(event.type) + pg_column_size(event.body))
        FROM generate_series(held.first, held.last, greatest(1, (held.last - held.first + 1) / $1)) AS sample (seq)
        JOIN fleet_events AS event USING (seq)) AS bytes_each
FROM held WHERE held.first IS NOT NULL
"""
DELETE_FIRST = """
DELETE FROM fleet_events WHERE seq IN (SELECT seq FROM fleet_events ORDER BY seq LIMIT $1)
"""
SAMPLE = 1000


async def read_after(
    connection: Connection,
    after: int,
    *,
    limit: int,
    types: list[str] | None = None,
    server_id: UUID | None = None,
) -> list[Event]:
    """Return at most `limit` events with a number above `after`, in order."""
    rows = await connection.fetch(READ_AFTER, after, limit, types, server_id)
    return [event(row) for row in rows]


def event(row: asyncpg.Record) -> Event:
    """Return what a row of `fleet_events` tells."""
    return Event(
        seq=row["seq"],
        type=EventType(row["type"]),
        server_id=row["server_id"],
        model_id=row["model_id"],
        at=row["at"],
        body=row["body"],
    )


async def extent(connection: Connection) -> tuple[int, int]:
    """Return the first number still held and the last one given; first is last + 1 when none is held."""
    row = await connection.fetchrow(EXTENT)
    if row is None:
        return 1, 0
    return row["first"], row["last"]


class PostgresEventLog:
    """Implements `ports.EventLog`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def delete_older(self, age: timedelta, /, *, limit: int) -> int:
        """Delete at most `limit` of the oldest events beyond an age; return how many went."""
        async with self._database.session() as connection:
            status = await connection.execute(DELETE_OLD, age, limit)
        return int(status.rpartition(" ")[2])

    async def delete_beyond(self, most_bytes: int, /, *, limit: int) -> int:
        """Delete at most `limit` of the oldest events, so that the rest has about so many bytes; return how many."""
        async with self._database.session() as connection:
            held = await connection.fetchrow(SIZE, SAMPLE)
            if held is None:
                return 0
            beyond = held["events"] - math.floor(most_bytes / held["bytes_each"])
            if beyond <= 0:
                return 0
            status = await connection.execute(DELETE_FIRST, min(beyond, limit))
        return int(status.rpartition(" ")[2])


class PostgresAnnouncementStore:
    """Implements `ports.AnnouncementStore`."""

    def __init__(self, database: Database, lease: Lease) -> None:
        """Nothing is written once the lease is somebody else's."""
        self._database = database
        self._lease = lease

    async def announce(self, announcement: Announcement, /) -> bool:
        """Write the event, unless the last one says the same; False when the lease is not ours any more."""
        age = timedelta(seconds=max(0.0, time.monotonic() - announcement.since))
        async with self._database.session() as connection:
            written: bool = await connection.fetchval(
                ANNOUNCE, announcement.type.value, announcement.body, age, *self._lease.fence
            )
        return written

    async def close_open(self) -> None:
        """Write the end of an isolation that a monitor before this one left open."""
        async with self._database.session() as connection:
            await connection.execute(CLOSE_OPEN, *self._lease.fence)

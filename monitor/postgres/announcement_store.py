"""What the monitor says of itself, as events; fenced like its results, so that a stale one says nothing."""

import time
from datetime import timedelta

from monitor.domain.event import Announcement
from monitor.domain.lease import Lease
from monitor.postgres.database import Database

ANNOUNCE = "SELECT fleet_monitor_event($1, $2::jsonb, $3::interval, $4, $5, $6)"
# What became of it is not known: whoever was isolated is gone, and a monitor that is not goes on.
CLOSE_OPEN = """
SELECT fleet_monitor_event('monitor.recovered', last.body || '{"outage": null}', '0', $1, $2, $3)
FROM (SELECT type, body FROM fleet_events WHERE type LIKE 'monitor.%'
      ORDER BY seq DESC LIMIT 1) AS last
WHERE last.type = 'monitor.isolated'
"""


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

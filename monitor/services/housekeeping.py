"""Keeps the event log bounded: old events go, a few at a time, so that nobody waits for it."""

from datetime import timedelta

import structlog

from monitor.domain.errors import DatabaseUnavailableError
from monitor.ports import EventLog

STEP = 5_000
MOST_STEPS = 20

log = structlog.get_logger(__name__)


class Housekeeping:
    """Once a minute it deletes at most 100,000 events each time."""

    def __init__(self, events: EventLog, *, retention: timedelta) -> None:
        """Events older than `retention` go."""
        self._events = events
        self._retention = retention

    async def delete_old(self) -> None:
        """Delete what is too old; with the database away, next minute is early enough."""
        deleted = 0
        try:
            for _ in range(MOST_STEPS):
                step = await self._events.delete_older(self._retention, limit=STEP)
                deleted += step
                if step < STEP:
                    break
        except DatabaseUnavailableError as error:
            log.debug("housekeeping_put_off", error=str(error))
        if deleted:
            log.info("events_expired", deleted=deleted)

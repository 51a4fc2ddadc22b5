"""Keeps the event log bounded, in age and in size: the oldest go, a few at a time, so that nobody waits for it."""

from collections.abc import Callable, Coroutine
from datetime import timedelta
from functools import partial
from typing import Any

import structlog

from monitor.domain.errors import DatabaseUnavailableError
from monitor.ports import EventLog

STEP = 5_000
MOST_STEPS = 20

log = structlog.get_logger(__name__)


class Housekeeping:
    """Once a minute it deletes at most 100,000 events for their age, and as many for the size of the log."""

    def __init__(self, events: EventLog, *, retention: timedelta, most_bytes: int) -> None:
        """Events older than `retention` go, and the oldest of a log of more than `most_bytes`."""
        self._too_old = partial(events.delete_older, retention)
        self._too_many = partial(events.delete_beyond, most_bytes)
        self._most_bytes = most_bytes
        self._is_full = False

    async def delete_old(self) -> None:
        """Delete what is too old or too much; with the database away, next minute is early enough."""
        expired = await self._delete(self._too_old)
        if expired:
            log.info("events_expired", deleted=expired)
        crowded_out = await self._delete(self._too_many)
        if crowded_out and not self._is_full:
            # Who follows the log by the age that is promised may have missed some.
            log.warning("event_log_full", deleted=crowded_out, most_bytes=self._most_bytes)
        self._is_full = crowded_out > 0

    async def _delete(self, step: Callable[..., Coroutine[Any, Any, int]]) -> int:
        """Delete in steps; return how many went."""
        deleted = 0
        try:
            for _ in range(MOST_STEPS):
                went = await step(limit=STEP)
                deleted += went
                if went < STEP:
                    break
        except DatabaseUnavailableError as error:
            log.debug("housekeeping_put_off", error=str(error))
        return deleted

"""What the resolver could not find may have been pulled a moment ago: has the servers listed anew, but not often."""

import asyncio
import time
from collections.abc import Callable
from datetime import timedelta

import structlog

from api.fleet.queries import requests
from monitor import lifecycle
from monitor.domain.errors import DatabaseUnavailableError
from monitor.domain.resolver import Code
from monitor.postgres.database import Database

# Of those that could have the model, listed longest ago first.
MOST_SERVERS = 100
# The answers of the resolver that a listing might change.
CODES = frozenset({Code.MODEL_NOT_FOUND, Code.NO_SERVER_AVAILABLE})

log = structlog.get_logger(__name__)


class Rediscovery:
    """Asks the monitor for discoveries, at most once per discovery interval, and waits for none of them."""

    def __init__(self, database: Database, interval: timedelta, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._interval = interval
        self._clock = clock
        self._not_before = float("-inf")
        self._asking: asyncio.Task[None] | None = None

    def note(self) -> None:
        """Hear that a model was not found, or only where it cannot be used."""
        now = self._clock()
        if now >= self._not_before:
            self._not_before = now + self._interval.total_seconds()
            self._asking = asyncio.create_task(self._ask(), name="miss_discovery")

    async def close(self) -> None:
        """Give up what is under way."""
        if self._asking is not None:
            await lifecycle.cancel(self._asking)

    async def _ask(self) -> None:
        try:
            asked = await ask(self._database, self._interval)
        except DatabaseUnavailableError as error:
            log.debug("miss_discovery_not_asked", error=str(error))
        else:
            log.info("miss_discovery_asked", servers=asked)


async def ask(database: Database, interval: timedelta) -> int:
    """Ask for discoveries now, of servers that nobody asked for one within the interval; return of how many."""
    async with database.session() as connection:
        return await requests.ask_all(connection, interval=interval, limit=MOST_SERVERS)

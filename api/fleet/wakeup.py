"""Tells every waiter of this process that the event log has grown: one listener and one look for all.

A waiter names the number it has seen, so a wake-up that comes before it waits is not lost.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from api.fleet.queries import events
from monitor.domain.errors import DatabaseUnavailableError
from monitor.domain.event import MODEL_CHANNEL, SERVER_CHANNEL, SUSPICION_CHANNEL
from monitor.postgres.database import Database
from monitor.postgres.listener import Listener

LOOK_SECONDS = 5.0
# Between two looks, so that under a storm one look serves several changes; the first one is looked at at once.
REST_SECONDS = 0.02


class Wakeup:
    """The newest event number that this process knows of, for many to wait on."""

    def __init__(
        self,
        database: Database,
        *,
        look: Callable[[], Awaitable[int]] | None = None,
        suspicions_changed: Callable[[], None] = lambda: None,
    ) -> None:
        """`look` reads the log on, for whoever needs more than the newest number, which it returns.

        `suspicions_changed` is called when a server has become suspect or is not any more, which not every event tells.
        """
        self._database = database
        self._look = look or (lambda: events.head(database))
        self._suspicions_changed = suspicions_changed
        self._hint = asyncio.Event()
        self._change = asyncio.Event()
        self._head = 0
        self.is_closed = False
        self.listener: Listener | None = None

    async def run(self, dsn: str) -> None:
        """Listen on a session of its own at `dsn` until cancelled."""
        self.listener = Listener(
            dsn,
            name="ollama-fleet api listener",
            channels=(SERVER_CHANNEL, MODEL_CHANNEL),
            wake=self._hint.set,
            wakes={SUSPICION_CHANNEL: self._suspicions_changed},
            sender=self._database,
        )
        async with asyncio.TaskGroup() as group:
            group.create_task(self.listener.run(), name="api_listener")
            group.create_task(self._follow(), name="api_wakeup")

    async def wait_past(self, seq: int, *, seconds: float) -> None:
        """Return when there is an event after `seq`, when the API stops, or after some seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._head <= seq and not self.is_closed:
                    await self._change.wait()

    async def sleep(self, seconds: float) -> None:
        """Sleep, but not past the end of the API."""
        await self.wait_past(events.NO_SEQ, seconds=seconds)

    def close(self) -> None:
        """Let all waiters go, those that come later too."""
        self.is_closed = True
        self._tell()

    async def _follow(self) -> None:
        while True:
            # The listener's session may be away while the others are not, so we look without a hint too.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._hint.wait()
            self._hint.clear()
            # The listener says that the database is away, and hints again when it is back.
            with contextlib.suppress(DatabaseUnavailableError):
                head = await self._look()
                if head != self._head:
                    self._head = head
                    self._tell()
            await asyncio.sleep(REST_SECONDS)

    def _tell(self) -> None:
        self._change.set()
        self._change = asyncio.Event()

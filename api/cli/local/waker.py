"""Waking a command that follows events of the database: a listener's hint, or a look every few seconds."""

import asyncio
import contextlib

from monitor import logs
from monitor.domain.event import MODEL_CHANNEL, SERVER_CHANNEL
from monitor.postgres.listener import Listener
from monitor.settings import LogFormat, LogLevel

NAME = "ollama-fleet events"
# A listener that is connected wakes up more often; this is for one that is not.
PATIENCE = 5.0


class ListenerWaker:
    """Implements `reach.Waker` on a session of its own; a wake-up that got lost costs a delay, never an event."""

    def __init__(self, dsn: str) -> None:
        self._woken = asyncio.Event()
        self._listener = Listener(dsn, name=NAME, channels=(SERVER_CHANNEL, MODEL_CHANNEL), wake=self._woken.set)

    async def run(self) -> None:
        """Listen until cancelled; the trouble it has is told by whoever reads, in words for a person."""
        logs.configure(LogFormat.TEXT, LogLevel.ERROR)
        await self._listener.run()

    async def wait(self, cursor: int) -> None:
        """Return on a hint that has come since the last wait."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                await self._woken.wait()
        self._woken.clear()

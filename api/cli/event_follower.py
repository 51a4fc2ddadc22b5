"""`events --follow`: shows what happens until Ctrl-C or until nobody reads on, whatever the database does."""

import asyncio
import contextlib
import os
import signal
import stat
import sys
from collections.abc import Callable, Sequence

from api.cli import output
from api.cli.event_feed import EventFeed
from monitor import logs
from monitor.domain.errors import DatabaseUnavailableError
from monitor.domain.event import MODEL_CHANNEL, SERVER_CHANNEL, Event
from monitor.postgres.listener import Listener
from monitor.settings import LogFormat, LogLevel

NAME = "ollama-fleet events"
# A listener that is connected wakes up more often; this is for one that is not.
PATIENCE = 5.0


class EventFollower:
    """Reads after a cursor on each wake-up; a wake-up that got lost costs a delay, never an event."""

    def __init__(self, feed: EventFeed, *, listen_dsn: str, show: Callable[[Sequence[Event]], None]) -> None:
        self._feed = feed
        self._show = show
        self._woken = asyncio.Event()
        self._listener = Listener(listen_dsn, name=NAME, channels=(SERVER_CHANNEL, MODEL_CHANNEL), wake=self._woken.set)

    async def run(self, cursor: int) -> None:
        """Show all events above the cursor; return on SIGINT, SIGTERM, or when the pipe's reader is gone."""
        # What the listener has to say is said here, in words for whoever typed the command.
        logs.configure(LogFormat.TEXT, LogLevel.ERROR)
        stop = asyncio.Event()
        _set_on_end(stop)
        tasks = [
            asyncio.create_task(stop.wait(), name="stop"),
            asyncio.create_task(self._listener.run(), name="listener"),
            asyncio.create_task(self._read_on(cursor), name="reader"),
        ]
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for task in done:
            task.result()

    async def _read_on(self, cursor: int) -> None:
        away = False
        while True:
            self._woken.clear()
            try:
                async for page in self._feed.pages(cursor):
                    self._show(page.events)
                    cursor = page.cursor
                if away:
                    output.note("ollama-fleet: the database is back; nothing was missed.")
                away = False
            except DatabaseUnavailableError as error:
                if not away:
                    output.note(f"ollama-fleet: {error}")
                away = True
            # Not wait_for: in Python 3.11 it may swallow a cancellation that comes together with a wake-up.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PATIENCE):
                    await self._woken.wait()


def _set_on_end(stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    try:
        is_pipe = stat.S_ISFIFO(os.fstat(sys.stdout.fileno()).st_mode)
    except (OSError, ValueError):
        return
    if is_pipe:
        # The writing end of a pipe becomes "readable" only when its reading end is closed.
        loop.add_reader(sys.stdout.fileno(), stop.set)

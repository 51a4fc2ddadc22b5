"""`events --follow`: shows what happens until Ctrl-C or until nobody reads on, whatever database and API do."""

import asyncio
import os
import signal
import stat
import sys
from collections.abc import Callable, Sequence

from api.cli.events.feed import EventFeed
from api.cli.reach import Waker
from api.cli.screen import output
from monitor.domain.errors import UnavailableError
from monitor.domain.event import Event


class EventFollower:
    """Reads after a cursor on each wake-up."""

    def __init__(self, feed: EventFeed, *, waker: Waker, show: Callable[[Sequence[Event]], None]) -> None:
        self._feed = feed
        self._waker = waker
        self._show = show

    async def run(self, cursor: int) -> None:
        """Show all events above the cursor; return on SIGINT, SIGTERM, or when the pipe's reader is gone."""
        stop = asyncio.Event()
        _set_on_end(stop)
        tasks = [
            asyncio.create_task(stop.wait(), name="stop"),
            asyncio.create_task(self._waker.run(), name="waker"),
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
            try:
                async for page in self._feed.pages(cursor):
                    self._show(page.events)
                    cursor = page.cursor
                if away:
                    output.note("ollama-fleet: it is back; nothing was missed.")
                away = False
            except UnavailableError as error:
                if not away:
                    output.note(f"ollama-fleet: {error}")
                away = True
            await self._waker.wait(cursor)


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

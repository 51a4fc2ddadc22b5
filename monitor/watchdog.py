"""Feeds systemd's watchdog, but only while the daemon really moves."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import structlog

from monitor import systemd

log = structlog.get_logger(__name__)


async def feed(progress: Callable[[], tuple[int, ...]]) -> None:
    """Send `WATCHDOG=1` three times per interval as long as every counter of `progress` has moved.

    Idle when systemd does not watch this process. That this coroutine runs proves that
    the event loop moves; the counters prove it of the parts. The database has no say in it.
    """
    interval = systemd.watchdog_interval()
    if interval is None:
        await asyncio.Event().wait()
        return
    seen = progress()
    while True:
        await asyncio.sleep(interval.total_seconds() / 3)
        now = progress()
        # A part that was not there before, or is not any more, has nothing to be compared with.
        if all(new != old for new, old in zip(now, seen, strict=False)):
            systemd.notify("WATCHDOG=1")
        else:
            log.error("not_moving", progress=now)
        seen = now


@asynccontextmanager
async def fed_while_waiting() -> AsyncIterator[None]:
    """Feed it during a wait in which no part moves yet, and that the event loop does is all there is to prove."""
    feeding = asyncio.create_task(feed(tuple), name="watchdog")
    try:
        yield
    finally:
        feeding.cancel()

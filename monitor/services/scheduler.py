"""The metronome: APScheduler beats, and what is due is handed over; it runs no work of its own.

APScheduler reads the wall clock. When that is set back, its next beat would be hours away, so a
guard re-arms all beats as soon as wall and monotonic time part.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.base import BaseTrigger

GUARD_INTERVAL = 1.0
LARGEST_DRIFT = 2.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """Something to do every so often; the next time counts from the end of the last one's start."""

    name: str
    every: timedelta
    act: Callable[[], Awaitable[None]]


class Every(BaseTrigger):  # type: ignore[misc]
    """Fires an interval from now: beats that were missed, by a suspended machine, are never made up for."""

    def __init__(self, interval: timedelta) -> None:
        self._interval = interval

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime:
        """Return the time of the next beat."""
        return now if previous_fire_time is None else now + self._interval


class Metronome:
    """Keeps all beats going until cancelled; a beat that raises ends it, and with it the process."""

    def __init__(self, beats: list[Beat]) -> None:
        self._scheduler = AsyncIOScheduler(timezone=UTC)
        self._failed: asyncio.Queue[Exception] = asyncio.Queue()
        self._stopping = False
        self.beats = 0
        for beat in beats:
            self._scheduler.add_job(
                self._guarded(beat),
                Every(beat.every),
                id=beat.name,
                max_instances=1,
                coalesce=True,
                misfire_grace_time=None,
            )

    def _guarded(self, beat: Beat) -> Callable[[], Awaitable[None]]:
        async def act() -> None:
            self.beats += 1
            try:
                await beat.act()
            except asyncio.CancelledError:
                # APScheduler would take what it has cancelled itself for an error.
                if not self._stopping:
                    raise
            except Exception as error:
                self._failed.put_nowait(error)

        return act

    async def run(self) -> None:
        """Beat until cancelled."""
        self._scheduler.start()
        wall, monotonic = time.time(), time.monotonic()
        try:
            while True:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(GUARD_INTERVAL):
                        failure = await self._failed.get()
                    break
                drift = (time.time() - wall) - (time.monotonic() - monotonic)
                if abs(drift) > LARGEST_DRIFT:
                    log.warning("wall_clock_stepped", seconds=round(drift, 1))
                    wall, monotonic = time.time(), time.monotonic()
                    self._rearm()
            raise failure
        finally:
            await self._stop()

    async def _stop(self) -> None:
        self._scheduler.pause()
        # What has been called but not begun gets as far as to where its cancellation is understood.
        await asyncio.sleep(0)
        self._stopping = True
        self._scheduler.shutdown(wait=False)

    def _rearm(self) -> None:
        for job in self._scheduler.get_jobs():
            job.modify(next_run_time=datetime.now(UTC))

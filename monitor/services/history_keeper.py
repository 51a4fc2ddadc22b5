"""Keeps history small: five minutes become hours, hours become days, and days go when they are too old."""

import asyncio
import time
from datetime import timedelta

import structlog

from monitor.domain.errors import DatabaseUnavailableError
from monitor.domain.history import DAY, HOUR
from monitor.domain.server import ServerId
from monitor.ports import HistoryStore

# Of so many servers at once, which takes some 10 ms of ours.
STEP = 50
PAUSE = 0.1

log = structlog.get_logger(__name__)


class HistoryKeeper:
    """Looks once a minute. The pages of the current and the last hour, or day, stay as they are, so that the
    shorter windows are cut at five minutes, or an hour. Each span is gone through once per span."""

    def __init__(self, store: HistoryStore, *, retention: timedelta) -> None:
        """Days older than `retention` go."""
        self._store = store
        self._retention = retention
        self._rolled_up: dict[int, int] = {}

    async def roll_up(self) -> None:
        """Roll up what is due; with the database away, next minute is early enough."""
        try:
            now = int(await self._store.clock())
            for span in (HOUR, DAY):
                before = now // span * span - span
                if self._rolled_up.get(span) != before:
                    await self._try_to_roll_up(span, before)
                    self._rolled_up[span] = before
        except DatabaseUnavailableError as error:
            log.debug("history_put_off", error=str(error))

    async def _try_to_roll_up(self, span: int, before: int) -> None:
        try:
            await self._roll_up_span(span, before)
        except DatabaseUnavailableError:
            raise
        except Exception:
            # A row that somebody wrote by hand, perhaps: history is not worth an end of all checks.
            log.exception("history_not_rolled_up", span_s=span)

    async def _roll_up_span(self, span: int, before: int) -> None:
        began = time.monotonic()
        after: ServerId | None = None
        servers = 0
        while True:
            done = await self._store.roll_up(span, before=before, after=after, limit=STEP)
            servers += len(done)
            if len(done) < STEP:
                if span == DAY:
                    await self._store.delete_older(self._retention)
                if servers:
                    log.info("history_rolled_up", span_s=span, servers=servers, s=round(time.monotonic() - began, 1))
                return
            after = done[-1]
            await asyncio.sleep(PAUSE)

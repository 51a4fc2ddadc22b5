"""The use cases of history: one server in full, and the strips of many, which are kept for a moment."""

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

from api.fleet import edits
from api.fleet.history import strips
from api.fleet.history.views import HistoryView, LatencyView, SlotView, StripsView, TransitionView, WindowView
from api.fleet.queries import history as queries
from monitor.domain import uptime
from monitor.domain.server import Policy
from monitor.domain.uptime import Slot, Summary, Window
from monitor.postgres.database import Database, Row

MOST_TRANSITIONS = 100
# A strip changes slowly: it may be as old as a hundredth of a slot, but for the shortest window a second.
SLOT_SHARE, LEAST_AGE = 0.01, 1.0


class Histories:
    """History, on an open database."""

    def __init__(self, database: Database, policy: Policy) -> None:
        """`policy` holds for what a server does not override."""
        self._database = database
        self._policy = policy
        self._kept: dict[Window, tuple[float, StripsView]] = {}
        self._turns = {window: asyncio.Lock() for window in Window}

    async def of_server(self, server_id: UUID, *, window: Window) -> HistoryView:
        """Return the history of one server."""
        async with self._database.session() as connection:
            row = await queries.present(connection, self._policy, server_id)
            if row is None:
                raise edits.server_not_found(server_id)
            pages = await queries.pages(connection, server_id)
            transitions = await queries.transitions(connection, server_id, limit=MOST_TRANSITIONS)
        known = uptime.runs(pages, strips.present(row))
        now = row["now"]
        return HistoryView(
            window=window.value,
            windows={each.value: _window(uptime.summary(pages, known, window=each, now=now)) for each in Window},
            slots=[_slot(each) for each in uptime.slots(pages, known, window=window, now=now)],
            transitions=[_transition(each) for each in transitions],
        )

    async def of_many(self, server_ids: Sequence[UUID], *, window: Window) -> StripsView:
        """Return the strips of some servers, of all when none are named; those of all are worked out once for
        everybody who asks at the same time."""
        if server_ids:
            return await self._read(server_ids, window)
        async with self._turns[window]:
            read_at, found = self._kept.get(window, (float("-inf"), None))
            if found is None or time.monotonic() > read_at + max(LEAST_AGE, SLOT_SHARE * window.slot):
                found = await self._read(None, window)
                self._kept[window] = (time.monotonic(), found)
            return found

    async def _read(self, server_ids: Sequence[UUID] | None, window: Window) -> StripsView:
        back = window.seconds + window.slot
        async with self._database.session() as connection:
            rows = await queries.many(connection, self._policy, server_ids, back=back)
        return await strips.view(rows, window)


def _window(found: Summary) -> WindowView:
    latency_ms = None
    if found.p50_ms is not None and found.p95_ms is not None and found.p99_ms is not None:
        latency_ms = LatencyView(p50=found.p50_ms, p95=found.p95_ms, p99=found.p99_ms)
    return WindowView(
        uptime=None if found.uptime is None else round(found.uptime, 6),
        unknown_seconds=round(found.unknown_seconds, 1),
        checks=found.checks,
        latency_ms=latency_ms,
    )


def _slot(slot: Slot) -> SlotView:
    return SlotView(
        start=datetime.fromtimestamp(slot.start, UTC),
        seconds=round(slot.up + slot.degraded + slot.down + slot.unknown, 1),
        up=slot.up,
        degraded=slot.degraded,
        down=slot.down,
        unknown=slot.unknown,
        latency_p50_ms=slot.p50_ms,
    )


def _transition(row: Row) -> TransitionView:
    told = {name: row["body"].get(name) for name in ("from", "to", "reason", "detail")}
    return TransitionView.model_validate({"seq": row["seq"], "at": row["at"], **told})

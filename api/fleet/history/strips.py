"""Rows of history turned into strips of letters, a few servers at a time, so that no other request waits for it."""

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime

from api.fleet.history.views import StripsView, StripView
from monitor.domain import latency, timeline, uptime
from monitor.domain.availability import Status
from monitor.domain.timeline import TICKS
from monitor.domain.uptime import Present, Window
from monitor.postgres.database import Row

# So many servers take a few milliseconds.
STEP = 50


def present(row: Row) -> Present | None:
    """Return what is believed of a server now, None when nothing is."""
    if row["since"] is None or row["until"] is None:
        return None
    return Present(status=Status(row["status"]), since=row["since"], until=row["until"])


async def view(rows: Sequence[Row], window: Window) -> StripsView:
    """Return the strips of all servers in rows of `queries.history.many`."""
    now = rows[0]["now"] if rows else time.time()
    first = uptime.starts(window, now)[0]
    items: dict[str, StripView] = {}
    for number, row in enumerate(rows):
        if number % STEP == STEP - 1:
            await asyncio.sleep(0)
        items[str(row["id"])] = _strip(row, window, first=first, now=now)
    start = datetime.fromtimestamp(first, UTC)
    # Everything is known to fit: to have it validated would take as long again.
    return StripsView.model_construct(window=window.value, start=start, slot_seconds=window.slot, items=items)


def _strip(row: Row, window: Window, *, first: int, now: float) -> StripView:
    starts = row["starts"] or ()
    pages = sorted(zip((start * TICKS for start in starts), row["timelines"] or (), strict=True))
    known = uptime.with_present(timeline.joined(pages), present(row))
    cells = zip(starts, row["spans"] or (), row["medians"] or (), strict=True)
    medians = uptime.slot_medians(cells, first=first, width=window.slot)
    share, unknown = uptime.shares(known, window=window, now=now)
    return StripView.model_construct(
        slots=uptime.letters(known, first=first, width=window.slot),
        latency_ms=[latency.milliseconds(median) for median in medians],
        uptime=None if share is None else round(share, 6),
        unknown_seconds=round(unknown, 1),
    )

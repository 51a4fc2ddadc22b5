"""How it was: one server in full, and the strips of many, which are kept for a moment."""

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from api.fleet import edits
from api.fleet.queries import history as queries
from monitor.domain import latency, timeline, uptime
from monitor.domain.availability import Status
from monitor.domain.server import Policy
from monitor.domain.timeline import TICKS
from monitor.domain.uptime import Present, Slot, Summary, Window
from monitor.postgres.database import Database, Row

MOST_TRANSITIONS = 100
# A strip changes slowly: it may be as old as a hundredth of a slot, but for the shortest window a second.
SLOT_SHARE, LEAST_AGE = 0.01, 1.0
# So many servers take a few milliseconds.
STEP = 50


class LatencyView(BaseModel):
    """Percentiles in milliseconds, each at most 5 % off."""

    p50: float
    p95: float
    p99: float


class WindowView(BaseModel):
    """The time up to now. `uptime` is the share of the known time, None when none is known."""

    uptime: float | None
    unknown_seconds: float
    checks: int
    latency_ms: LatencyView | None


class SlotView(BaseModel):
    """A part of the window: `seconds` of it have passed, and how many of them in which status."""

    start: datetime
    seconds: float
    up: float
    degraded: float
    down: float
    unknown: float
    latency_p50_ms: float | None


class TransitionView(BaseModel):
    """A change of status, as the event with the number `seq` tells of it."""

    model_config = ConfigDict(serialize_by_alias=True)

    seq: int
    at: datetime
    # The name that is shown is a keyword of Python.
    from_: str | None = Field(alias="from")
    to: str | None
    reason: str | None
    detail: str | None


class HistoryView(BaseModel):
    """One server: the windows that end now, one of them in 90 slots, and its latest transitions, newest first."""

    window: str
    windows: dict[str, WindowView]
    slots: list[SlotView]
    transitions: list[TransitionView]


class StripView(BaseModel):
    """One server's 90 slots: a letter for the worst of each (u up, g degraded, d down, n unknown), and latencies.

    `uptime` and `unknown_seconds` are those of the whole window, as in `WindowView`.
    """

    slots: str
    latency_ms: list[float | None]
    uptime: float | None
    unknown_seconds: float


class StripsView(BaseModel):
    """Many servers by id; slot number i begins at `start` + i × `slot_seconds`."""

    window: str
    start: datetime
    slot_seconds: int
    items: dict[str, StripView]


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
        known = uptime.runs(pages, _present(row))
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
        return await _strips(rows, window)


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


def _present(row: Row) -> Present | None:
    """Return what is believed of a server now, None when nothing is."""
    if row["since"] is None or row["until"] is None:
        return None
    return Present(status=Status(row["status"]), since=row["since"], until=row["until"])


async def _strips(rows: Sequence[Row], window: Window) -> StripsView:
    """Return the strips of all servers in rows of `queries.many`, a few at a time, so that no other request waits."""
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
    known = uptime.with_present(timeline.joined(pages), _present(row))
    cells = zip(starts, row["spans"] or (), row["medians"] or (), strict=True)
    medians = uptime.slot_medians(cells, first=first, width=window.slot)
    share, unknown = uptime.shares(known, window=window, now=now)
    return StripView.model_construct(
        slots=uptime.letters(known, first=first, width=window.slot),
        latency_ms=[latency.milliseconds(median) for median in medians],
        uptime=None if share is None else round(share, 6),
        unknown_seconds=round(unknown, 1),
    )

"""What history answers: shares of time, percentiles, and a window cut into slots; from pages of any size.

A page's checks and latencies cannot be cut in two: they count in whatever the middle of the page lies in.
Where time is known it is exact, and known and unknown time always add up to the whole.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from monitor.domain import latency, timeline
from monitor.domain.availability import Status
from monitor.domain.history import Page
from monitor.domain.latency import Counts
from monitor.domain.timeline import CODES, TICKS, Run

SLOTS = 90
# From the best to the worst status; unknown is told only where there is nothing else.
LETTERS = "ugd"
UNKNOWN = "n"


class Window(StrEnum):
    """How far back one looks."""

    HOUR = "1h"
    DAY = "24h"
    WEEK = "7d"
    MONTH = "30d"

    @property
    def seconds(self) -> int:
        """Its length."""
        return {"1h": 3600, "24h": 86_400, "7d": 604_800, "30d": 2_592_000}[self.value]

    @property
    def slot(self) -> int:
        """The length of a slot in seconds."""
        return self.seconds // SLOTS


LONGEST = Window.MONTH.seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Present:
    """What is believed right now, to go on from the last page; seconds since 1970.

    It holds since `since`, as far as the monitor that is at work can know, and for `until` at the most.
    """

    status: Status
    since: float
    until: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """One window. `uptime` is the share (0 to 1) of the known time in which the server could be used."""

    uptime: float | None
    unknown_seconds: float
    checks: int
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """One of the parts that a window is cut into; seconds."""

    start: int
    up: float
    degraded: float
    down: float
    unknown: float
    p50_ms: float | None


def runs(pages: Iterable[Page], present: Present | None) -> list[Run]:
    """Return all that is known, up to the present."""
    return with_present(timeline.merged([each.runs for each in pages]), present)


def with_present(known: list[Run], present: Present | None) -> list[Run]:
    """Return a timeline, prolonged up to the present."""
    code = None if present is None else timeline.code(present.status)
    if present is not None and code is not None:
        timeline.append(known, (int(present.since * TICKS), int(present.until * TICKS), code))
    return known


def summary(pages: Sequence[Page], known: Sequence[Run], *, window: Window, now: float) -> Summary:
    """Return what one window was like."""
    start = now - window.seconds
    share, unknown = shares(known, window=window, now=now)
    inside = [each for each in pages if start <= each.start + each.span / 2]
    counts = Counts()
    for each in inside:
        counts.update(latency.decode(each.latencies))
    p50, p95, p99 = (latency.milliseconds(latency.percentile(counts, share)) for share in (0.5, 0.95, 0.99))
    return Summary(
        uptime=share,
        unknown_seconds=unknown,
        checks=sum(each.good + each.bad for each in inside),
        p50_ms=p50,
        p95_ms=p95,
        p99_ms=p99,
    )


def shares(known: Iterable[Run], *, window: Window, now: float) -> tuple[float | None, float]:
    """Return the uptime of a window, as in `Summary`, and for how many seconds of it nothing is known."""
    up, degraded, down = timeline.totals(known, int((now - window.seconds) * TICKS), int(now * TICKS))
    seen = up + degraded + down
    return (up + degraded) / seen if seen else None, max(0.0, window.seconds - seen / TICKS)


def starts(window: Window, now: float) -> list[int]:
    """Return where the slots begin: at multiples of their length, so that they stand still; now is in the last."""
    last = int(now) // window.slot * window.slot
    return [last - number * window.slot for number in reversed(range(SLOTS))]


def slots(pages: Iterable[Page], known: Iterable[Run], *, window: Window, now: float) -> list[Slot]:
    """Return a window cut into slots, oldest first."""
    begins = starts(window, now)
    width = window.slot * TICKS
    times = _ticks(known, first=begins[0] * TICKS, width=width)
    medians = slot_medians(
        ((each.start, each.span, each.medians) for each in pages), first=begins[0], width=window.slot
    )
    found = []
    for begin, ticks, median in zip(begins, times, medians, strict=True):
        whole = min(window.slot, now - begin)
        up, degraded, down = (each / TICKS for each in ticks)
        found.append(
            Slot(
                start=begin,
                up=up,
                degraded=degraded,
                down=down,
                unknown=round(max(0.0, whole - up - degraded - down), 1),
                p50_ms=latency.milliseconds(median),
            )
        )
    return found


def letters(known: Iterable[Run], *, first: int, width: int) -> str:
    """Return the worst of each slot as a letter: u up, g degraded, d down, n unknown; seconds."""
    marks = bytearray([0] * SLOTS)
    begin, length = first * TICKS, width * TICKS
    for start, end, status in known:
        low, high = max(0, (start - begin) // length), min(SLOTS, (end - 1 - begin) // length + 1)
        if low < high:
            marks[low:high] = (
                bytes([status + 1]) * (high - low)
                if max(marks[low:high]) <= status
                else bytes(max(mark, status + 1) for mark in marks[low:high])
            )
    return "".join((UNKNOWN + LETTERS)[mark] for mark in marks)


def slot_medians(pages: Iterable[tuple[int, int, bytes]], *, first: int, width: int) -> list[int]:
    """Return a bucket of latency per slot: the worst median of the cells that touch it.

    Of each page only its start and span, in seconds, and its medians are needed.
    """
    found = [latency.NONE] * SLOTS
    for begin, span, medians in pages:
        for place, low, high in _places(begin - first, span // len(medians), len(medians), width):
            worst = max(medians[low:high])
            found[place] = max(found[place], worst)
    return found


# All servers have pages of the same times, so their places are worked out once.
@lru_cache(maxsize=2000)
def _places(start: int, cell: int, cells: int, width: int) -> list[tuple[int, int, int]]:
    """Return the slots that some cells touch, of each its number and from which to before which cell."""
    places = []
    for place in range(max(0, start // width), min(SLOTS, (start + cells * cell - 1) // width + 1)):
        low = max(0, (place * width - start) // cell)
        high = min(cells, -(-((place + 1) * width - start) // cell))
        places.append((place, low, high))
    return places


def _ticks(known: Iterable[Run], *, first: int, width: int) -> list[list[int]]:
    """Return the ticks of each status in each slot."""
    sums = [[0] * len(CODES) for _ in range(SLOTS)]
    for start, end, status in known:
        for place in range(max(0, (start - first) // width), min(SLOTS, (end - 1 - first) // width + 1)):
            begin = first + place * width
            sums[place][status] += min(end, begin + width) - max(start, begin)
    return sums

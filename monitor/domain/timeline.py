"""When a server had which status: runs of time that is known; what lies between them is unknown.

Times are whole ticks, tenths of a second since 1970. Invariant: runs are in order, none is empty, none overlaps
another. Only boundaries are ever rounded, never lengths, so that all parts of a time add up to the whole of it.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import TypeAlias

from monitor.domain import varint
from monitor.domain.availability import Status

TICKS = 10
CODES = (Status.UP, Status.DEGRADED, Status.DOWN)
# From when to when, and which one: the place of the status in CODES, so that a greater one is a worse one.
Run: TypeAlias = tuple[int, int, int]
Totals: TypeAlias = tuple[int, int, int]


def code(status: Status) -> int | None:
    """Return the number of a status, None for `unknown`."""
    return None if status is Status.UNKNOWN else CODES.index(status)


def append(runs: list[Run], run: Run) -> None:
    """Add a run after the others; one that goes on with the last status prolongs it."""
    start, end, status = run
    if runs:
        last = runs[-1]
        start = max(start, last[1])
        if last[2] == status and last[1] == start and end > start:
            runs[-1] = (last[0], end, status)
            return
    if end > start:
        runs.append((start, end, status))


def joined(pages: Sequence[tuple[int, bytes]]) -> list[Run]:
    """Return what encoded timelines hold together; of each its start in ticks and its bytes, in order of starts.

    Nearly all pages say "up all the time", and those of one span then have the same bytes: these are read once.
    """
    runs: list[Run] = []
    for start, data in pages:
        for begin, end, status in _decoded(data):
            if runs and start + begin < runs[-1][1]:
                return merged(decode(other, at) for at, other in pages)
            append(runs, (start + begin, start + end, status))
    return runs


@lru_cache(maxsize=1000)
def _decoded(data: bytes) -> tuple[Run, ...]:
    return tuple(decode(data, 0))


def merged(parts: Iterable[Sequence[Run]]) -> list[Run]:
    """Return all runs of several timelines; where two overlap, the one that began first counts."""
    runs: list[Run] = []
    for run in sorted(run for part in parts for run in part):
        append(runs, run)
    return runs


def totals(runs: Iterable[Run], start: int, end: int) -> Totals:
    """Return the ticks of each status between two times."""
    sums = [0, 0, 0]
    for begin, until, status in runs:
        length = min(until, end) - max(begin, start)
        if length > 0:
            sums[status] += length
    return sums[0], sums[1], sums[2]


def coarsened(runs: list[Run], *, start: int, span: int, cells: int) -> list[Run]:
    """Return a timeline of at most three runs per cell.

    When there are more, then within each cell the order is given up, and what was unknown comes last; the time
    in each status stays what it was.
    """
    if len(runs) <= 3 * cells:
        return runs
    coarse: list[Run] = []
    width = span // cells
    for begin in range(start, start + span, width):
        at = begin
        for status, length in enumerate(totals(runs, begin, begin + width)):
            append(coarse, (at, at + length, status))
            at += length
    return coarse


def encode(runs: Iterable[Run], start: int) -> bytes:
    """Return runs as bytes: of each the gap before it with its status, and its length."""
    out = bytearray()
    at = start
    for begin, end, status in runs:
        varint.put((begin - at) << 2 | status, out)
        varint.put(end - begin, out)
        at = end
    return bytes(out)


def decode(data: bytes, start: int) -> list[Run]:
    """Return what `encode` was given."""
    runs: list[Run] = []
    at, place = start, 0
    while place < len(data):
        head, place = varint.take(data, place)
        length, place = varint.take(data, place)
        begin = at + (head >> 2)
        at = begin + length
        runs.append((begin, at, head & 3))
    return runs

"""What a server was like over time: pages of five minutes, an hour or a day, and how small ones make a big one.

Every check belongs to exactly one page, and every moment is known to at most one, so whatever is asked is
answered by adding pages up, whichever sizes they have. Hours and days keep the exact timeline of the pages they
were made from (`timeline.coarsened` bounds it) and the median latency of each of their twelfths or hours.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from monitor.domain import latency, timeline
from monitor.domain.latency import Counts
from monitor.domain.server import ServerId
from monitor.domain.timeline import TICKS, Run

FIVE_MINUTES, HOUR, DAY = 300, 3600, 86_400
CELLS = {FIVE_MINUTES: 1, HOUR: 12, DAY: 24}


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One stretch of one server's time, as it is stored.

    `start` and `span` are seconds, `start` a multiple of `span` since 1970. `medians` has one bucket per cell.
    """

    server_id: ServerId
    start: int
    span: int
    timeline: bytes
    good: int
    bad: int
    latencies: bytes
    medians: bytes

    @property
    def runs(self) -> list[Run]:
        """When it had which status, in ticks since 1970."""
        return timeline.decode(self.timeline, self.start * TICKS)


def page(server_id: ServerId, start: int, *, runs: list[Run], good: int, bad: int, latencies: Counts) -> Page:
    """Return the page of five minutes."""
    begin = start * TICKS
    kept = timeline.coarsened(runs, start=begin, span=FIVE_MINUTES * TICKS, cells=CELLS[FIVE_MINUTES])
    return Page(
        server_id=server_id,
        start=start,
        span=FIVE_MINUTES,
        timeline=timeline.encode(kept, begin),
        good=good,
        bad=bad,
        latencies=latency.encode(latencies),
        medians=bytes([latency.percentile(latencies, 0.5)]),
    )


def rolled_up(pages: Iterable[Page], span: int) -> list[Page]:
    """Return the pages of a bigger span that hold all of these; some may have that span already."""
    groups: dict[tuple[ServerId, int], list[Page]] = {}
    for each in pages:
        groups.setdefault((each.server_id, each.start // span * span), []).append(each)
    return [_united(group, server_id, start, span) for (server_id, start), group in groups.items()]


def _united(pages: list[Page], server_id: ServerId, start: int, span: int) -> Page:
    if len(pages) == 1 and pages[0].span == span:
        return pages[0]
    begin = start * TICKS
    runs = timeline.merged([each.runs for each in pages])
    kept = timeline.coarsened(runs, start=begin, span=span * TICKS, cells=CELLS[span])
    counts = Counts()
    for each in pages:
        counts.update(latency.decode(each.latencies))
    return Page(
        server_id=server_id,
        start=start,
        span=span,
        timeline=timeline.encode(kept, begin),
        good=sum(each.good for each in pages),
        bad=sum(each.bad for each in pages),
        latencies=latency.encode(counts),
        medians=_medians(pages, start, span),
    )


def _medians(pages: list[Page], start: int, span: int) -> bytes:
    """Return the median of each cell: of the small pages in it, else as a page of this span had it."""
    medians = bytearray([latency.NONE] * CELLS[span])
    cells: dict[int, Counts] = {}
    for each in pages:
        if each.span == span:
            medians[:] = each.medians
        else:
            cell = (each.start - start) * CELLS[span] // span
            cells.setdefault(cell, Counts()).update(latency.decode(each.latencies))
    for cell, counts in cells.items():
        if counts:
            medians[cell] = latency.percentile(counts, 0.5)
    return bytes(medians)

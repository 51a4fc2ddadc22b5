"""Adds up in memory what checks find, five minutes per server at a time, until a page of history is full.

A status counts from the check that found it until the next one; but for no longer than `patience`, after which
a server reads as stale: time that nobody can vouch for is unknown. So is everything before the first check, and
with it all the time that no monitor, or another one, was at work. Times are seconds since 1970.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from monitor.domain import history, latency, timeline
from monitor.domain.availability import Status
from monitor.domain.history import FIVE_MINUTES, Page
from monitor.domain.latency import Counts
from monitor.domain.server import ServerId
from monitor.domain.timeline import TICKS, Run

BLOCK = FIVE_MINUTES * TICKS
# So many pages per server wait for a database that is away; the oldest go first.
MOST_WAITING = 12


@dataclass(slots=True, kw_only=True)
class Open:
    """The page of one server that is being written; times are ticks. `known_until` is where evidence ends."""

    block: int
    at: int
    status: int | None = None
    known_until: int = 0
    good: int = 0
    bad: int = 0
    runs: list[Run] = field(default_factory=list)
    latencies: Counts = field(default_factory=Counts)


class Ledger:
    """The open page of each server, and the full ones that nobody has taken yet."""

    def __init__(self) -> None:
        self._open: dict[ServerId, Open] = {}
        self._full: deque[Page] = deque()
        self._to_close: deque[ServerId] = deque()
        self._closed_until = 0

    def __len__(self) -> int:
        return len(self._full)

    def checked(
        self, server_id: ServerId, status: Status, *, at: float, good: bool, milliseconds: float | None, patience: float
    ) -> None:
        """Note a check: what is believed after it, whether it was good, and how long its answer took."""
        entry = self._brought_to(server_id, at)
        entry.status = timeline.code(status)
        entry.known_until = entry.at + int(patience * TICKS)
        if good:
            entry.good += 1
        else:
            entry.bad += 1
        if milliseconds is not None:
            entry.latencies[latency.bucket(milliseconds)] += 1

    def believed(self, server_id: ServerId, status: Status, *, at: float) -> None:
        """Note a status that came of something else than a check, which vouches for no time by itself."""
        if server_id in self._open:
            self._brought_to(server_id, at).status = timeline.code(status)

    def close(self, at: float, *, most: int) -> bool:
        """Fill pages whose time is over, those of at most so many servers; return whether there are more."""
        boundary = int(at * TICKS) // BLOCK * BLOCK
        if boundary > self._closed_until and not self._to_close:
            self._closed_until = boundary
            self._to_close = deque(self._open)
        for _ in range(min(most, len(self._to_close))):
            server_id = self._to_close.popleft()
            entry = self._open.get(server_id)
            if entry is None:
                continue
            self._advance(server_id, entry, self._closed_until)
            if entry.known_until + BLOCK < self._closed_until:
                # Deleted, or not checked any more.
                del self._open[server_id]
        return bool(self._to_close)

    def close_all(self, at: float) -> None:
        """Fill all pages as far as time has come; whoever goes on begins new ones."""
        for server_id, entry in self._open.items():
            self._advance(server_id, entry, int(at * TICKS))
            self._turn(server_id, entry)
        self._open.clear()

    def take(self, most: int) -> list[Page]:
        """Take out at most so many of the oldest full pages."""
        return [self._full.popleft() for _ in range(min(most, len(self._full)))]

    def put_back(self, pages: Iterable[Page]) -> int:
        """Keep pages that could not be written, as far as there is room; return how many found none."""
        self._full.extendleft(reversed(list(pages)))
        lost = max(0, len(self._full) - MOST_WAITING * max(1, len(self._open)))
        for _ in range(lost):
            self._full.popleft()
        return lost

    def clear(self) -> None:
        """Forget everything."""
        self._open.clear()
        self._full.clear()
        self._to_close.clear()

    def _brought_to(self, server_id: ServerId, at: float) -> Open:
        ticks = int(at * TICKS)
        entry = self._open.get(server_id)
        if entry is None:
            entry = self._open[server_id] = Open(block=ticks // BLOCK * BLOCK, at=ticks)
        else:
            self._advance(server_id, entry, ticks)
        return entry

    def _advance(self, server_id: ServerId, entry: Open, to: int) -> None:
        while to >= entry.block + BLOCK:
            self._fill(entry, entry.block + BLOCK)
            self._turn(server_id, entry)
            # What nobody vouches for makes no pages.
            entry.block = entry.at if entry.at < entry.known_until else to // BLOCK * BLOCK
        self._fill(entry, to)

    def _fill(self, entry: Open, to: int) -> None:
        if entry.status is not None:
            timeline.append(entry.runs, (entry.at, min(to, entry.known_until), entry.status))
        entry.at = max(entry.at, to)

    def _turn(self, server_id: ServerId, entry: Open) -> None:
        if entry.runs or entry.good or entry.bad:
            start = entry.block // TICKS
            self._full.append(
                history.page(
                    server_id, start, runs=entry.runs, good=entry.good, bad=entry.bad, latencies=entry.latencies
                )
            )
        entry.runs, entry.good, entry.bad, entry.latencies = [], 0, 0, Counts()

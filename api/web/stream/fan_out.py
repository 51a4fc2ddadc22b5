"""Hands the event log to all who follow it in this process: read once, written down once, nobody is waited for.

Invariant: every live stream has been handed all events up to `position`, or is itself ahead of it. A stream
that cannot take more is let go, catches up by itself and joins again; a log that does not go on where it
was begins a new generation, and then every stream must ask the database whether its cursor still holds.
"""

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from api.fleet.queries import events
from api.fleet.queries.events import Extract
from api.web.stream import frames
from api.web.stream.frames import Filter, Frame
from monitor.domain.distribution import SECONDS, Distribution
from monitor.domain.event import Event
from monitor.postgres.database import Database

PAGE = 500
# Of the newest events, so many are kept as bytes.
MOST_EVENTS = 10_000
MOST_BYTES = 4 * 1024 * 1024
# What a write to one client costs, about. After each round we rest as long as the round took, so that under
# load events go out several at once and the streams leave half of a core to everything else.
SECONDS_PER_WRITE = 10e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What comes next in a stream, and the number up to which that is everything."""

    data: bytes
    cursor: int


class Recent:
    """Consecutive events up to the newest one that was handed out; the oldest ones go when it is full.

    So streams that fell behind a little need not ask the database.
    """

    def __init__(self) -> None:
        self._frames: list[Frame] = []
        self._bytes = 0

    def add(self, newer: list[Frame]) -> None:
        """Append the events that follow."""
        self._frames += newer
        self._bytes += sum(len(frame.data) for frame in newer)
        surplus = 0
        while len(self._frames) - surplus > MOST_EVENTS or self._bytes > MOST_BYTES:
            self._bytes -= len(self._frames[surplus].data)
            surplus += 1
        del self._frames[:surplus]

    def clear(self) -> None:
        """Forget all: what is added next need not follow."""
        self._frames = []
        self._bytes = 0

    def holds(self, cursor: int) -> bool:
        """Whether everything after a number is here, up to the newest."""
        return bool(self._frames) and self._frames[0].seq - 1 <= cursor <= self._frames[-1].seq

    def after(self, cursor: int, wanted: Filter) -> Page | None:
        """Look through some events after a number; None when they are not all here, or none is."""
        if not self.holds(cursor) or cursor == self._frames[-1].seq:
            return None
        start = cursor + 1 - self._frames[0].seq
        found = next(frames.slices(self._frames[start : start + PAGE]))
        return Page(data=frames.joined(found, wanted), cursor=found[-1].seq)


class Follower(Protocol):
    """A stream, as far as the fan-out knows it."""

    cursor: int
    generation: int
    wanted: Filter

    def push(self, data: bytes, /) -> bool:
        """Take bytes without waiting, or refuse because too many wait already."""
        ...

    def let_go(self) -> None:
        """Hear that it is not live any more."""
        ...


class Observer(Protocol):
    """Who wants every event as it is, from the beginning of the process on."""

    def take(self, extract: Extract, *, asked_at: float) -> None:
        """Take in what was read next of the log; it was asked for at a monotonic time."""
        ...

    def break_off(self) -> None:
        """Hear that the log does not go on where it was."""
        ...


class FanOut:
    """One reader for all; `advance` is called whenever the log may have grown, never twice at once."""

    def __init__(self, database: Database, observer: Observer) -> None:
        self._database = database
        self._observer = observer
        self._position: int | None = None
        self._recent = Recent()
        self._followers: set[Follower] = set()
        self._live: set[Follower] = set()
        self.generation = 0
        # From an event's own time, by the database's clock, until it was handed to all streams, by ours.
        self.delivery = Distribution(SECONDS)

    async def advance(self) -> int:
        """Read on and hand out what is new; return the number of the newest event."""
        if self._position is None:
            head = await events.head(self._database)
            # A stream may have come meanwhile, and joined at where it was.
            if self._position is None:
                self._position = head
        while True:
            asked_at = time.monotonic()
            extract = await events.extract(self._database, self._position, limit=PAGE, types=[], server_id=None)
            if not extract.is_held:
                self._break_off(extract.last)
            else:
                self._observer.take(extract, asked_at=asked_at)
                await self._pass_on(extract)
            if len(extract.events) < PAGE:
                return extract.last

    def add(self, follower: Follower) -> None:
        """Read for this stream from now on."""
        self._followers.add(follower)

    def remove(self, follower: Follower) -> None:
        """Forget a stream that has ended."""
        self._followers.discard(follower)
        self._live.discard(follower)

    def join(self, follower: Follower) -> bool:
        """Make a stream live if it has all that was handed out; else it must read on by itself first."""
        if follower.generation != self.generation:
            return False
        if self._position is None:
            self._position = follower.cursor
        if self._position > follower.cursor:
            return False
        self._live.add(follower)
        return True

    def holds(self, cursor: int) -> bool:
        """Whether one can go on after this number without asking the database."""
        return self._recent.holds(cursor)

    def recent(self, follower: Follower) -> Page | None:
        """Return what comes next for a stream, if it is still at hand."""
        if follower.generation != self.generation:
            return None
        return self._recent.after(follower.cursor, follower.wanted)

    async def _pass_on(self, extract: Extract) -> None:
        if extract.events and not self._followers:
            # Nobody wants these, so they are not written down.
            self._recent.clear()
            self._position = extract.events[-1].seq
            return
        for new in frames.slices(map(frames.frame, extract.events)):
            self._hand_out(new)
            await asyncio.sleep(len(self._live) * SECONDS_PER_WRITE)
        self._measure(extract.events)

    def _hand_out(self, new: list[Frame]) -> None:
        start, last = self._position, new[-1].seq
        shared: dict[Filter, bytes] = {}
        for follower in list(self._live):
            if follower.cursor == start:
                if follower.wanted not in shared:
                    shared[follower.wanted] = frames.joined(new, follower.wanted)
                data = shared[follower.wanted]
            else:
                data = frames.joined([frame for frame in new if frame.seq > follower.cursor], follower.wanted)
            if data and not follower.push(data):
                self._let_go(follower)
            else:
                follower.cursor = max(follower.cursor, last)
        self._recent.add(new)
        self._position = last

    def _measure(self, handed_out: list[Event]) -> None:
        now = datetime.now(UTC)
        for event in handed_out:
            self.delivery.observe(max(0.0, (now - event.at).total_seconds()))

    def _break_off(self, head: int) -> None:
        self.generation += 1
        self._recent.clear()
        self._position = head
        self._observer.break_off()
        for follower in list(self._live):
            self._let_go(follower)

    def _let_go(self, follower: Follower) -> None:
        self._live.discard(follower)
        follower.let_go()

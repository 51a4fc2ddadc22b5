"""The newest events as bytes, so that streams which fell behind a little need not ask the database."""

from dataclasses import dataclass

from api.web.stream import frames
from api.web.stream.frames import Filter, Frame

PAGE = 500
MOST_EVENTS = 10_000
MOST_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What comes next in a stream, and the number up to which that is everything."""

    data: bytes
    cursor: int


class Recent:
    """Consecutive events up to the newest one that was handed out; the oldest ones go when it is full."""

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

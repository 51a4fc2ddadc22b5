"""How late the monitor itself was: a time-out that fired meanwhile says nothing about a server."""

from collections import deque

KEPT = 200
LEAST_LAG = 0.05


class Lateness:
    """Learns from beats that are meant to come `every` so many seconds; times are monotonic seconds."""

    def __init__(self, every: float, *, at: float) -> None:
        self._every = every
        self._expected = at + every
        self._late: deque[tuple[float, float]] = deque(maxlen=KEPT)

    def beat(self, at: float) -> float:
        """Take in a beat; return by how much it was late."""
        lag = max(0.0, at - self._expected)
        if lag >= LEAST_LAG:
            self._late.append((self._expected, at))
        self._expected = at + self._every
        return lag

    def longest_since(self, began: float, *, at: float) -> float:
        """Return for how long at a stretch, between `began` and `at`, nothing could be done.

        A beat that is overdue counts: what was kept waiting may come to its turn before the beat does.
        """
        spans = [*self._late, (self._expected, at)]
        return max(0.0, *(end - max(start, began) for start, end in spans))

"""How often a value was how big: counts between fixed bounds, for a histogram of /metrics."""

from bisect import bisect_left
from typing import Any

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
RECORDS = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0, 10_000.0)


class Distribution:
    """Values from 0 on; whatever is above the last bound is counted, too."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Count a value; one that is exactly a bound is not above it."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def document(self) -> dict[str, Any]:
        """Return the bounds, how many values are between each two of them, and the sum of all."""
        return {"bounds": list(self._bounds), "counts": list(self._counts), "sum": round(self._sum, 6)}

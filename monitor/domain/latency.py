"""Latencies as a histogram that can be added to another one: fixed buckets, each a tenth wider than the last.

A percentile is told by the middle of its bucket, so it is at most 4.9 % off (the root of 1.1, less 1), however
many histograms were added up. The first bucket holds all up to 0.05 ms; the last one is beyond any time-out.
"""

import math
from collections import Counter
from collections.abc import Mapping

from monitor.domain import varint

RATIO = 1.1
LEAST_MS = 0.05
LAST = 254
# The place of a bucket where there is none.
NONE = 255
_LOG_RATIO = math.log(RATIO)

Counts = Counter[int]


def bucket(milliseconds: float) -> int:
    """Return the number of the bucket, 0 to 254."""
    if milliseconds <= LEAST_MS:
        return 0
    return min(LAST, math.ceil(math.log(milliseconds / LEAST_MS) / _LOG_RATIO))


MIDDLES = tuple(LEAST_MS * RATIO ** (number - 0.5) for number in range(LAST + 1))


def milliseconds(number: int) -> float | None:
    """Return the latency that a bucket stands for, None for `NONE`."""
    return None if number == NONE else round(MIDDLES[number], 3)


def percentile(counts: Mapping[int, int], share: float) -> int:
    """Return the bucket that holds the given share (0 to 1) of all, `NONE` when nothing was counted."""
    wanted = max(1, math.ceil(share * sum(counts.values())))
    for number in sorted(counts):
        wanted -= counts[number]
        if wanted <= 0:
            return number
    return NONE


def encode(counts: Mapping[int, int]) -> bytes:
    """Return the buckets that are not empty, as bytes."""
    out = bytearray()
    for number in sorted(counts):
        out.append(number)
        varint.put(counts[number], out)
    return bytes(out)


def decode(data: bytes) -> Counts:
    """Return what `encode` was given."""
    counts = Counts()
    at = 0
    while at < len(data):
        number = data[at]
        counts[number], at = varint.take(data, at + 1)
    return counts

"""Latencies as a histogram that can be added to another one: fixed buckets, each a tenth wider than the last.

A percentile is told by the middle of its bucket, so it is at most 4.9 % off (the root of 1.1, less 1), however
many histograms were added up. Bucket 1 holds all up to 0.05 ms; the last one is beyond any time-out.
"""

import math
from collections import Counter
from collections.abc import Mapping

from monitor.domain import varint

RATIO = 1.1
LEAST_MS = 0.05
LAST = 255
# Where there is no latency; less than every bucket.
NONE = 0
_LOG_RATIO = math.log(RATIO)

Counts = Counter[int]


def bucket(milliseconds: float) -> int:
    """Return the number of the bucket, 1 to 255."""
    if milliseconds <= LEAST_MS:
        return 1
    return min(LAST, 1 + math.ceil(math.log(milliseconds / LEAST_MS) / _LOG_RATIO))


MIDDLES: tuple[float | None, ...] = (
    None,
    *(round(LEAST_MS * RATIO ** (number - 1.5), 3) for number in range(1, LAST + 1)),
)


def milliseconds(number: int) -> float | None:
    """Return the latency that a bucket stands for, None for `NONE`."""
    return MIDDLES[number]


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

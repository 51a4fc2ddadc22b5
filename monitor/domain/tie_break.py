"""Which of several equal servers: rendezvous hashing, so that a session keeps its server and the load is shared.

A number stands for a session, or for one request that belongs to none. Each number gives every server a score, and
the highest one wins: when a server leaves, only the numbers that it had won go elsewhere.
Scores are the same in every process, so that all APIs send a session to the same server.
"""

import hashlib
import random
from collections.abc import Iterable, Mapping
from heapq import nlargest
from itertools import repeat
from operator import attrgetter
from typing import TypeVar

from monitor.domain.entry import Entry

# Numbers that fall into one bucket go along. Enough of them to share among a thousand servers evenly by a quarter.
BUCKETS = 1 << 14
# Of those that score best of a whole fleet one most often is among the equal ones.
REMEMBERED = 8

T = TypeVar("T")
_seed = attrgetter("seed")


def number(session: str | None) -> int:
    """Return the number of a session, without one a fresh number."""
    return random.getrandbits(64) if session is None else of_session(session)


def of_session(session: str) -> int:
    """Return the number of a session."""
    return int.from_bytes(hashlib.blake2b(session.encode("utf-8", "surrogatepass"), digest_size=8).digest())


def score(number: int, entry: Entry) -> int:
    """Return how much a number speaks for a server. The hash of a tuple of numbers is the same in each process."""
    return hash((number % BUCKETS, entry.seed))


class Rendezvous:
    """Picks among servers of one fleet, and remembers which of them all each bucket likes best."""

    def __init__(self) -> None:
        self._best: dict[int, tuple[Entry, ...]] = {}

    def forget(self) -> None:
        """Forget what was worked out: the fleet has other servers now."""
        self._best.clear()

    def pick(self, number: int, equal: Mapping[Entry, T], fleet: Iterable[Entry]) -> T:
        """Return what belongs to the equal server with the highest score; `fleet` is all servers there are."""
        if len(equal) == 1:
            return next(iter(equal.values()))
        bucket = number % BUCKETS
        best = self._best.get(bucket)
        if best is None:
            best = self._best[bucket] = _highest(bucket, list(fleet))
        for entry in best:
            found = equal.get(entry)
            if found is not None:
                return found
        return equal[_highest(bucket, list(equal))[0]]


def _highest(bucket: int, entries: list[Entry]) -> tuple[Entry, ...]:
    scores = map(hash, zip(repeat(bucket), map(_seed, entries)))
    best = nlargest(REMEMBERED, zip(scores, range(len(entries)), strict=False))
    return tuple(entries[place] for _, place in best)

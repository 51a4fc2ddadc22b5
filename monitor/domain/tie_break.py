"""Which of several equal servers: a session keeps its own, and requests without one share them evenly.

Sessions use rendezvous hashing: each gives every server a score, and the highest one wins, so that only the sessions
of a server that leaves go elsewhere. Scores are the same in every process: all APIs send a session to the same server.
Servers are told apart by their seeds, numbers made from their ids (`entry.Entry.seed`). A score is seed times number
of the session modulo the prime 2^61 - 1, which shares as evenly as chance and is the cheapest thing that does.
"""

import hashlib
import heapq
import random
import sys
from collections.abc import Collection, Sequence
from itertools import repeat
from operator import mul
from typing import NamedTuple

# Sessions of one bucket go along. So many share a thousand servers evenly to a third, and a dozen to a thirtieth.
BUCKETS = 1 << 13
PRIME = 2**61 - 1
# With an eighth of the servers equal one of them is among so many for nine buckets in ten.
MOST_FAVOURITES = 16


class TieBreak(NamedTuple):
    """What decides between equal servers: the number of a session, or a fresh one for a request without."""

    number: int
    is_session: bool

    @property
    def bucket(self) -> int:
        """What it is scored by."""
        return self.number % BUCKETS

    def arranged(self, seeds: Sequence[int]) -> list[int]:
        """Return the places of equal servers, given by their seeds in order, as they are to be taken."""
        scores = _scores(self.bucket, seeds)
        places = sorted(range(len(seeds)), key=lambda place: -scores[place])
        if not self.is_session:
            first = self.number % len(seeds)
            places.remove(first)
            places.insert(0, first)
        return places


def of_session(session: str | None) -> TieBreak:
    """Return what decides for a session; without one for this request alone."""
    if session is None:
        # By position: this is made for every request.
        return TieBreak(random.getrandbits(63), False)
    digest = hashlib.blake2b(session.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return TieBreak(int.from_bytes(digest), is_session=True)


class Rendezvous:
    """Finds the first of equal servers as `TieBreak.arranged` does, but most often without a look at each of them."""

    def __init__(self) -> None:
        # Of all servers, and those among them that each bucket likes best, in order.
        self._seeds: list[int] = []
        self._favourites: dict[int, list[int]] = {}

    def add(self, seed: int) -> None:
        """Take in a server."""
        self._seeds.append(seed)
        self._favourites.clear()

    def remove(self, seed: int) -> None:
        """Forget a server."""
        self._seeds.remove(seed)
        self._favourites.clear()

    def first(self, bucket: int, equal: Collection[int]) -> int:
        """Return which of the equal servers, given by their seeds, a bucket takes; a set or a dictionary is fastest."""
        favourites = self._favourites.get(bucket)
        if favourites is None:
            favourites = self._favourites[bucket] = _highest(bucket, self._seeds, most=MOST_FAVOURITES)
        for favourite in favourites:
            if favourite in equal:
                return favourite
        return _highest(bucket, list(equal), most=1)[0]


def _scores(bucket: int, seeds: Sequence[int]) -> list[int]:
    # Python's hash of a number is that number modulo this very prime, wherever `sys.hash_info` says so.
    reduced = hash if sys.hash_info.modulus == PRIME else PRIME.__rmod__
    return list(map(reduced, map(mul, seeds, repeat(_multiplier(bucket)))))


def _multiplier(bucket: int) -> int:
    return int.from_bytes(hashlib.blake2b(bucket.to_bytes(4), digest_size=8).digest()) % PRIME


def _highest(bucket: int, seeds: Sequence[int], *, most: int) -> list[int]:
    return [seed for _, seed in heapq.nlargest(most, zip(_scores(bucket, seeds), seeds, strict=True))]

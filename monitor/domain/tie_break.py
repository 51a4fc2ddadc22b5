"""Which of several equal servers: a session keeps its own, and requests without one share them evenly.

Sessions use rendezvous hashing: each gives every server a score, and the highest one wins, so that only the sessions
of a server that leaves go elsewhere. Scores are the same in every process: all APIs send a session to the same server.
Servers are told apart by their seeds, numbers made from their ids (`entry.Entry.seed`). A score is seed times number
of the session modulo the prime 2^61 - 1, which shares as evenly as chance and is the cheapest thing that does.
"""

import hashlib
import random
import sys
from bisect import bisect_left
from collections.abc import Sequence
from itertools import repeat
from operator import mul
from typing import NamedTuple

# Sessions of one bucket go along. So many share a thousand servers evenly to a third, and a dozen to a thirtieth.
BUCKETS = 1 << 13
PRIME = 2**61 - 1


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
        return TieBreak(random.getrandbits(63), is_session=False)
    digest = hashlib.blake2b(session.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return TieBreak(int.from_bytes(digest), is_session=True)


class Rendezvous:
    """Finds the first of equal servers as `TieBreak.arranged` does, but without a look at each of them."""

    def __init__(self) -> None:
        # Of all servers, and which of them each bucket likes best: most often that is one of the equal ones.
        self._seeds: list[int] = []
        self._favourites: dict[int, int] = {}

    def add(self, seed: int) -> None:
        """Take in a server."""
        self._seeds.append(seed)
        self._favourites.clear()

    def remove(self, seed: int) -> None:
        """Forget a server."""
        self._seeds.remove(seed)
        self._favourites.clear()

    def first(self, tie_break: TieBreak, seeds: Sequence[int]) -> int:
        """Return the place of the server to take; `seeds` are those of the equal servers, in order."""
        if not tie_break.is_session:
            return tie_break.number % len(seeds)
        bucket = tie_break.bucket
        favourite = self._favourites.get(bucket)
        if favourite is None:
            favourite = self._favourites[bucket] = self._seeds[_highest(bucket, self._seeds)]
        place = bisect_left(seeds, favourite)
        if place < len(seeds) and seeds[place] == favourite:
            return place
        return _highest(bucket, seeds)


def _scores(bucket: int, seeds: Sequence[int]) -> list[int]:
    # Python's hash of a number is that number modulo this very prime, wherever `sys.hash_info` says so.
    reduced = hash if sys.hash_info.modulus == PRIME else PRIME.__rmod__
    return list(map(reduced, map(mul, seeds, repeat(_multiplier(bucket)))))


def _multiplier(bucket: int) -> int:
    return int.from_bytes(hashlib.blake2b(bucket.to_bytes(4), digest_size=8).digest()) % PRIME


def _highest(bucket: int, seeds: Sequence[int]) -> int:
    scores = _scores(bucket, seeds)
    return scores.index(max(scores))

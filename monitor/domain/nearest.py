"""The model names nearest to one that nobody has: other tags of the same model first, then what is spelt alike.

Looks at a bounded neighbourhood, so that a miss costs the same however many models there are, and at the beginning
of each name in linear time: names are a client's and the servers' to choose.
"""

import bisect
import heapq
from collections import Counter
from collections.abc import Iterator
from itertools import islice

from monitor.domain.directory import Directory
from monitor.domain.entry import Standing

MOST = 5
# Some of them may not be usable.
MOST_ALIKE = 20
# Names beside the wanted one in the order of the alphabet, so with the longest beginning in common.
NEIGHBOURS = 200
# What of a name is compared. Of the names of registries hardly one is longer without its tag.
MOST_COMPARED = 64
# Of 0 to 1, for letters and pairs of letters in common.
ALIKE = 0.52


def names(fleet: Directory, key: str, *, cloud: bool) -> tuple[str, ...]:
    """Return at most five names that can be asked for, as their servers spell them; `cloud` lets stubs count."""
    least = Standing.CLOUD if cloud else Standing.LOCAL
    found = (fleet.best(near) for near in _nearest(fleet.keys, key))
    usable = (min(each.model_names) for each in found if each is not None and each.rank[0] <= least)
    return tuple(islice(usable, MOST))


def _nearest(keys: list[str], key: str) -> Iterator[str]:
    stem = _stem(key)
    others = [near for near in _neighbours(keys, key) if near != key]
    yield from (near for near in others if _stem(near) == stem)
    yield from _alike(key, [near for near in others if _stem(near) != stem])


def _neighbours(keys: list[str], key: str) -> list[str]:
    place = bisect.bisect_left(keys, _stem(key))
    return keys[max(0, place - NEIGHBOURS) : place + NEIGHBOURS]


def _alike(key: str, others: list[str]) -> Iterator[str]:
    """Yield those whose name, without the tag, is spelt alike; the nearest first."""
    by_stem: dict[str, list[str]] = {}
    for other in others:
        by_stem.setdefault(_last(_stem(other)), []).append(other)
    wanted = _pieces(_last(_stem(key)))
    scores = ((_likeness(wanted, _pieces(stem)), stem) for stem in by_stem)
    near = heapq.nlargest(MOST_ALIKE, (scored for scored in scores if scored[0] >= ALIKE))
    for _, stem in near:
        yield from by_stem[stem]


def _pieces(word: str) -> Counter[str]:
    """Count the letters of a word, its pairs of letters, and how it begins and ends."""
    word = word[:MOST_COMPARED]
    marked = f" {word} "
    return Counter([*word, *(marked[place : place + 2] for place in range(len(word) + 1))])


def _likeness(one: Counter[str], other: Counter[str]) -> float:
    """Return how much of two words is the same, from 0 to 1 (Sørensen and Dice)."""
    return 2 * (one & other).total() / (one.total() + other.total())


def _stem(key: str) -> str:
    place, slash, last = key.rpartition("/")
    return f"{place}{slash}{last.partition(':')[0]}"


def _last(stem: str) -> str:
    return stem.rpartition("/")[2]

"""The model names nearest to one that nobody has: other tags of the same model first, then what is spelt alike.

Looks at a bounded neighbourhood, so that a miss costs the same however many models there are.
"""

import bisect
import difflib
from collections.abc import Iterator
from itertools import islice

from monitor.domain.directory import Directory
from monitor.domain.entry import Standing

MOST = 5
# Some of them may not be usable.
MOST_ALIKE = 20
# Names beside the wanted one in the order of the alphabet, so with the longest beginning in common.
NEIGHBOURS = 200


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
    for stem in difflib.get_close_matches(_last(_stem(key)), by_stem, n=MOST_ALIKE):
        yield from by_stem[stem]


def _stem(key: str) -> str:
    place, slash, last = key.rpartition("/")
    return f"{place}{slash}{last.partition(':')[0]}"


def _last(stem: str) -> str:
    return stem.rpartition("/")[2]

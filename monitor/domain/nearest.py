"""The model names nearest to one that nobody has: other tags of the same model first, then what is spelt alike.

Looks at a bounded neighbourhood, so that a miss costs the same however many models there are.
"""

import bisect
import difflib
from collections.abc import Iterator

from monitor.domain.directory import Directory, Standing

MOST = 5
# Names beside the wanted one in the order of the alphabet, so with the longest beginning in common.
NEIGHBOURS = 200


def names(fleet: Directory, key: str, *, cloud: bool) -> tuple[str, ...]:
    """Return at most five names that can be asked for, as their servers spell them; `cloud` lets stubs count."""
    least = Standing.CLOUD if cloud else Standing.LOCAL
    keys = [near for near in _neighbours(fleet.keys, key) if fleet.holders(near)[0].standing <= least]
    stem = _stem(key)
    found = [near for near in keys if near != key and _stem(near) == stem]
    found += _alike(key, [near for near in keys if near != key and _stem(near) != stem])
    return tuple(fleet.holders(near)[0].model_name for near in found[:MOST])


def _neighbours(keys: list[str], key: str) -> list[str]:
    place = bisect.bisect_left(keys, _stem(key))
    return keys[max(0, place - NEIGHBOURS) : place + NEIGHBOURS]


def _alike(key: str, others: list[str]) -> Iterator[str]:
    """Yield those whose name, without the tag, is spelt alike; the nearest first."""
    by_stem: dict[str, list[str]] = {}
    for other in others:
        by_stem.setdefault(_last(_stem(other)), []).append(other)
    for stem in difflib.get_close_matches(_last(_stem(key)), by_stem, n=MOST):
        yield from by_stem[stem]


def _stem(key: str) -> str:
    place, slash, last = key.rpartition("/")
    return f"{place}{slash}{last.partition(':')[0]}"


def _last(stem: str) -> str:
    return stem.rpartition("/")[2]

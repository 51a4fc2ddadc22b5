"""The fleet as the resolver looks at it: servers and their models, indexed so that a question is answered at once.

Invariant: the copies remembered as the best ones of a model still are. Who changes an entry or a copy does it
through the directory, which sees to that; only where the last of the best falls behind has it to be looked for again.
"""

import bisect
import sys
from collections.abc import Iterable, Iterator, Mapping
from itertools import takewhile
from operator import attrgetter, itemgetter
from typing import Any
from uuid import UUID

from monitor.domain import model_name as model_names
from monitor.domain import url as urls
from monitor.domain.entry import LOCAL, Copy, Entry, Flaw, Rank, ServerRank
from monitor.domain.errors import InvalidUrlError
from monitor.domain.tie_break import Rendezvous, TieBreak

_seed, _seed_of_server = attrgetter("seed"), attrgetter("server.seed")
# Of an entry, what its place among all depends on, and what an index does besides.
_RANKING = frozenset(
    {
        "is_active",
        "is_available",
        "suspect_reason",
        "status",
        "is_flapping",
        "slots_in_use",
        "max_concurrent",
        "api",
        "vram_seen",
        "priority",
    }
)
_INDEXED = _RANKING | {"name", "url", "is_default"}


class Best:
    """The copies of a model that no step of the order tells apart, one of each server, in the order of their seeds."""

    __slots__ = ("by_seed", "copies", "is_usable", "rank")

    def __init__(self, rank: Rank, copies: Iterable[Copy] = ()) -> None:
        self.rank = rank
        # Whether one may be named to who asks for nothing special: no stub, and available.
        self.is_usable = rank[0] == LOCAL and not rank[1] & Flaw.UNAVAILABLE
        self.copies: list[Copy] = []
        self.by_seed: dict[int, Copy] = {}
        for copy in copies:
            self.put(copy)

    def put(self, copy: Copy) -> None:
        """Take a copy in; of two that only differ in how their server spells them the first by name."""
        seed = copy.server.seed
        known = self.by_seed.get(seed)
        if known is None:
            bisect.insort(self.copies, copy, key=_seed_of_server)
        elif copy.model_name < known.model_name:
            self.copies[self.copies.index(known)] = copy
        else:
            return
        self.by_seed[seed] = copy

    def discard(self, copy: Copy) -> bool:
        """Take a copy out; return whether it was there."""
        if self.by_seed.get(copy.server.seed) is not copy:
            return False
        del self.by_seed[copy.server.seed]
        self.copies.remove(copy)
        return True

    @property
    def model_names(self) -> Iterator[str]:
        """The model as each of the servers spells it."""
        return (copy.model_name for copy in self.copies)


class Directory:
    """All servers and their models that are not removed."""

    def __init__(self) -> None:
        self.servers: dict[UUID, Entry] = {}
        self._by_url: dict[str, list[Entry]] = {}
        # By rank, then name.
        self._active: list[Entry] = []
        # Those of the first rank, in the order of their seeds and by their seeds.
        self._best_active: tuple[list[Entry], dict[int, Entry]] | None = None
        self._defaults: dict[UUID, Entry] = {}
        # As they were read last, in whatever order the servers come.
        self._suspects: dict[UUID, str] = {}
        # The models whose time in memory has passed, with their servers; as they were read last, too.
        self._expired: dict[UUID, UUID] = {}
        # In no order; most models are never asked for.
        self._holders: dict[str, list[Copy]] = {}
        self._best: dict[str, Best] = {}
        self._keys: list[str] | None = None
        self._rendezvous = Rendezvous()

    def at(self, url: str) -> Entry | None:
        """Return the server at a normalised URL; of several that only differ in spelling an active one first."""
        found = self._by_url.get(url, ())
        return min(found, key=lambda entry: (not entry.is_active, entry.url != url, entry.name), default=None)

    def best(self, key: str) -> Best | None:
        """Return the copies of a model that come first in the order of choice; None if nobody has it."""
        best = self._best.get(key)
        if best is None and key in self._holders:
            best = self._best[key] = _best_of(self._holders[key])
        return best

    def usable(self, key: str) -> Best | None:
        """Return the copies to choose from for a plain request; None where a closer look is due.

        So it is for any refusal: a stub is never named unasked, and nothing that is not available.
        """
        best = self._best.get(key) or self.best(key)
        return best if best is not None and best.is_usable else None

    def pick(self, best: Best, tie_break: TieBreak) -> Copy:
        """Return the one of the best copies that is to be taken."""
        if tie_break.is_session and len(best.copies) > 1:
            return best.by_seed[self._rendezvous.first(tie_break.bucket, best.by_seed)]
        return best.copies[tie_break.number % len(best.copies)]

    def pick_active(self, tie_break: TieBreak) -> Entry | None:
        """Return the active server that comes first when no model is asked for."""
        if not self._active:
            return None
        if self._best_active is None:
            rank = self._active[0].rank
            best = sorted(takewhile(lambda entry: entry.rank == rank, self._active), key=_seed)
            self._best_active = best, {entry.seed: entry for entry in best}
        equal, by_seed = self._best_active
        if tie_break.is_session:
            return by_seed[self._rendezvous.first(tie_break.bucket, by_seed)]
        return equal[tie_break.number % len(equal)]

    def holders(self, key: str) -> list[Copy]:
        """Return the copies of a model in the order of choice: local ones, cloud stubs, then what does not count.

        Equal ones are in the order of their names.
        """
        return sorted(self._holders.get(key, ()), key=lambda copy: (copy.rank, copy.server.name, copy.model_name))

    @property
    def default(self) -> Entry | None:
        """The server that is marked as the default."""
        return min(self._defaults.values(), key=attrgetter("name"), default=None)

    @property
    def active(self) -> list[Entry]:
        """The active servers in the order of choice when no model is asked for, equal ones by name."""
        return self._active

    @property
    def keys(self) -> list[str]:
        """The keys of all models, sorted."""
        if self._keys is None:
            self._keys = sorted(self._holders)
        return self._keys

    def put(self, entry: Entry) -> None:
        """Take a server in, in the place of one with the same id."""
        self.remove(entry.id)
        self.servers[entry.id] = entry
        self._rendezvous.add(entry.seed)
        if entry.suspect_reason is not None:
            self._suspects[entry.id] = entry.suspect_reason
        elif entry.id in self._suspects:
            entry.suspect_reason = self._suspects[entry.id]
            entry.weigh()
        entry.base_url = _normalized(entry.url)
        self._index(entry)

    def change(self, entry: Entry, changes: Mapping[str, Any]) -> None:
        """Set some fields of a server, of which those that stay as they are cost nothing."""
        entry.revision += 1
        moved = {name for name, value in changes.items() if getattr(entry, name) != value}
        is_indexed = not _INDEXED.isdisjoint(moved)
        if is_indexed:
            self._unindex(entry)
        for name in moved:
            setattr(entry, name, changes[name])
        entry.weigh()
        if "url" in moved:
            entry.base_url = _normalized(entry.url)
        if is_indexed:
            self._index(entry)
        if not _RANKING.isdisjoint(moved):
            for copy in entry.copies.values():
                self._moved(copy)

    @property
    def suspects(self) -> dict[UUID, str]:
        """Which servers are suspect, and of what, as far as is known."""
        return self._suspects

    def suspect(self, reasons: Mapping[UUID, str]) -> None:
        """Take in which servers are suspect, and of what; the others are not. Some may become known later."""
        before, self._suspects = self._suspects, dict(reasons)
        for server_id in before.keys() | reasons.keys():
            entry = self.servers.get(server_id)
            if entry is not None and entry.suspect_reason != reasons.get(server_id):
                self.change(entry, {"suspect_reason": reasons.get(server_id)})

    def expire(self, expired: Mapping[UUID, UUID]) -> None:
        """Take in of which models the time in memory has passed, by their ids, and on which servers; no others'."""
        before, self._expired = self._expired, dict(expired)
        for copy_id, server_id in {**before, **expired}.items():
            entry = self.servers.get(server_id)
            copy = None if entry is None else entry.copies.get(copy_id)
            if copy is not None and copy.has_expired is not (copy_id in expired):
                self.change_copy(copy, {"has_expired": copy_id in expired})

    def remove(self, server_id: UUID) -> None:
        """Forget a server and its models."""
        entry = self.servers.pop(server_id, None)
        if entry is not None:
            self._rendezvous.remove(entry.seed)
            self._unindex(entry)
            for copy in entry.copies.values():
                self._take_out(copy)

    def put_copy(self, copy: Copy) -> None:
        """Take a model of a server in, in the place of one with the same id."""
        self.remove_copy(copy.server, copy.id)
        copy.server.revision += 1
        copy.server.copies[copy.id] = copy
        self._insert(copy)

    def change_copy(self, copy: Copy, changes: Mapping[str, Any]) -> None:
        """Set some fields of a model."""
        copy.server.revision += 1
        is_renamed = "model_name" in changes and changes["model_name"] != copy.model_name
        if is_renamed:
            self._take_out(copy)
        for name, value in changes.items():
            setattr(copy, name, value)
        if is_renamed:
            self._insert(copy)
        else:
            self._moved(copy)

    def remove_copy(self, server: Entry, copy_id: UUID) -> None:
        """Forget a model of a server."""
        copy = server.copies.pop(copy_id, None)
        if copy is not None:
            server.revision += 1
            self._take_out(copy)

    def _index(self, entry: Entry) -> None:
        self._by_url.setdefault(entry.base_url, []).append(entry)
        if entry.is_default:
            self._defaults[entry.id] = entry
        if entry.is_active:
            bisect.insort(self._active, entry, key=_place)
            self._best_active = None

    def _unindex(self, entry: Entry) -> None:
        self._by_url[entry.base_url].remove(entry)
        if not self._by_url[entry.base_url]:
            del self._by_url[entry.base_url]
        self._defaults.pop(entry.id, None)
        if entry.is_active:
            del self._active[bisect.bisect_left(self._active, _place(entry), key=_place)]
            self._best_active = None

    def _insert(self, copy: Copy) -> None:
        copy.key = sys.intern(model_names.key(copy.model_name))
        holders = self._holders.get(copy.key)
        if holders is None:
            self._holders[copy.key] = [copy]
            self._keys = None
        else:
            holders.append(copy)
            self._moved(copy)

    def _take_out(self, copy: Copy) -> None:
        holders = self._holders[copy.key]
        holders.remove(copy)
        self._not_best(copy)
        if not holders:
            del self._holders[copy.key]
            self._keys = None

    def _moved(self, copy: Copy) -> None:
        """See to it that the best copies of a model are right after the rank of one may have changed."""
        best = self._best.get(copy.key)
        if best is None:
            return
        rank = copy.rank
        if rank < best.rank:
            self._best[copy.key] = Best(rank, [copy])
        elif rank > best.rank:
            self._not_best(copy)
        else:
            best.put(copy)

    def _not_best(self, copy: Copy) -> None:
        """Take a copy out of the best ones; they are looked for again if it was the last, or hid another spelling."""
        best = self._best.get(copy.key)
        if best is None or not best.discard(copy):
            return
        if not best.copies or any(other.key == copy.key and other is not copy for other in copy.server.copies.values()):
            del self._best[copy.key]


def _best_of(holders: Iterable[Copy]) -> Best:
    ranked = [(copy.rank, copy) for copy in holders]
    rank = min(ranked, key=itemgetter(0))[0]
    return Best(rank, (copy for its, copy in ranked if its == rank))


def _place(entry: Entry) -> tuple[ServerRank, str]:
    return entry.rank, entry.name


def _normalized(url: str) -> str:
    try:
        return urls.normalize(url)
    except InvalidUrlError:
        # Written by hand into the table; nobody can ask for it, so it only has to be told apart.
        return url

"""The fleet as the resolver looks at it: servers and their models, indexed so that a question is answered at once.

Invariant: what is remembered as the first choice for a model still is. Who changes an entry or a copy does it
through the directory, which sees to that; only where the first itself falls behind has it to be looked for again.
"""

import bisect
import sys
from collections.abc import Mapping
from operator import attrgetter
from typing import Any
from uuid import UUID

from monitor.domain import model_name as model_names
from monitor.domain import url as urls
from monitor.domain.entry import Copy, Entry
from monitor.domain.errors import InvalidUrlError

_rank = attrgetter("rank")
# Of an entry, what an index depends on, and what the rank of its models does.
_INDEXED = frozenset({"name", "url", "is_active", "is_default", "is_available", "priority"})
_RANKING = frozenset({"name", "is_active", "is_default", "is_available", "is_flapping", "priority"})


class Directory:
    """All servers and their models that are not removed."""

    def __init__(self) -> None:
        self.servers: dict[UUID, Entry] = {}
        self._by_url: dict[str, list[Entry]] = {}
        self._active: list[Entry] = []
        self._defaults: dict[UUID, Entry] = {}
        # In no order; most models are never asked for.
        self._holders: dict[str, list[Copy]] = {}
        self._first: dict[str, Copy] = {}
        self._keys: list[str] | None = None

    def at(self, url: str) -> Entry | None:
        """Return the server at a normalised URL; of several that only differ in spelling an active one first."""
        found = self._by_url.get(url, ())
        return min(found, key=lambda entry: (not entry.is_active, entry.url != url, entry.name), default=None)

    def first(self, key: str) -> Copy | None:
        """Return the copy of a model that comes first in the order of choice."""
        first = self._first.get(key)
        if first is None and key in self._holders:
            first = self._first[key] = min(self._holders[key], key=_rank)
        return first

    def holders(self, key: str) -> list[Copy]:
        """Return the copies of a model in the order of choice: local ones, cloud stubs, then what does not count."""
        return sorted(self._holders.get(key, ()), key=_rank)

    @property
    def default(self) -> Entry | None:
        """The server that is marked as the default."""
        return min(self._defaults.values(), key=attrgetter("name"), default=None)

    @property
    def active(self) -> list[Entry]:
        """The active servers in the order of choice when no model is asked for."""
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
            # One that falls behind must not pass its place on to another one of its server.
            for copy in entry.copies.values():
                self._not_first(copy)
            for copy in entry.copies.values():
                self._moved(copy)

    def remove(self, server_id: UUID) -> None:
        """Forget a server and its models."""
        entry = self.servers.pop(server_id, None)
        if entry is not None:
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
            bisect.insort(self._active, entry, key=_rank)

    def _unindex(self, entry: Entry) -> None:
        self._by_url[entry.base_url].remove(entry)
        if not self._by_url[entry.base_url]:
            del self._by_url[entry.base_url]
        self._defaults.pop(entry.id, None)
        if entry.is_active:
            del self._active[bisect.bisect_left(self._active, entry.rank, key=_rank)]

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
        self._not_first(copy)
        if not holders:
            del self._holders[copy.key]
            self._keys = None

    def _moved(self, copy: Copy) -> None:
        """See to it that the first choice for a model is right after the rank of a copy may have changed."""
        self._not_first(copy)
        first = self._first.get(copy.key)
        if first is not None and copy.rank < first.rank:
            self._first[copy.key] = copy

    def _not_first(self, copy: Copy) -> None:
        """Have the first choice looked for again if it was this one."""
        if self._first.get(copy.key) is copy:
            del self._first[copy.key]


def _normalized(url: str) -> str:
    try:
        return urls.normalize(url)
    except InvalidUrlError:
        # Written by hand into the table; nobody can ask for it, so it only has to be told apart.
        return url

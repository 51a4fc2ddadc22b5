"""The fleet as the resolver looks at it: servers and their models, indexed so that a question is answered at once.

Invariant: what is remembered as the first choice for a model still is. Who changes an entry or a copy does it
through the directory, which sees to that; only where the first itself falls behind has it to be looked for again.
"""

import bisect
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum
from functools import lru_cache
from operator import attrgetter
from typing import Any
from uuid import UUID

from monitor.domain import model_name as model_names
from monitor.domain import url as urls
from monitor.domain.errors import InvalidUrlError

# Whole lists of capabilities that differ; those of fifty thousand models are a few dozen.
MOST_SHARED = 4096


class Standing(IntEnum):
    """How a copy of a model counts: on its server, as a pointer into a cloud, or not at all for now."""

    LOCAL = 0
    CLOUD = 1
    IDLE = 2


@dataclass(slots=True, kw_only=True, eq=False)
class Entry:
    """A registered server. `fresh_from` is the database's time of its last check, or of its last edit before one.

    `interval` and `timeout` are its own seconds, None where the settings hold. `copies` are its models by id.
    `base_url` is its URL in the one spelling, also where a hand wrote another one into the table.
    """

    id: UUID
    name: str
    url: str
    api_version: str
    auth_type: str
    is_active: bool
    is_default: bool
    is_available: bool
    status: str
    status_reason: str | None
    status_detail: str | None
    is_flapping: bool
    priority: int
    max_concurrent: int
    capabilities: tuple[str, ...]
    interval: float | None
    timeout: float | None
    fresh_from: datetime
    copies: dict[UUID, "Copy"] = field(default_factory=dict)
    base_url: str = ""

    @property
    def rank(self) -> tuple[object, ...]:
        """The order in which active servers are taken when no model is asked for; the smallest is first."""
        return not self.is_available, -self.priority, self.name


@dataclass(slots=True, kw_only=True, eq=False)
class Copy:
    """A model of one server. `size_vram` is None unless it is in memory; `remote_host` marks a cloud stub."""

    id: UUID
    server: Entry
    model_name: str
    is_active: bool
    capabilities: tuple[str, ...]
    size_bytes: int | None
    digest: str | None
    remote_host: str | None
    size_vram: int | None
    key: str = ""

    @property
    def standing(self) -> Standing:
        """How it counts now."""
        if not (self.is_active and self.server.is_active):
            return Standing.IDLE
        return Standing.LOCAL if self.remote_host is None else Standing.CLOUD

    @property
    def rank(self) -> tuple[object, ...]:
        """The order of choice among the copies of one model, step by step; the smallest is first.

        The last step only tells apart what one server spells in two ways.
        """
        server = self.server
        return (
            self.standing.value,
            not server.is_available,
            server.is_flapping,
            self.size_vram is None,
            -server.priority,
            not server.is_default,
            server.name,
            self.model_name,
        )

    @property
    def is_loaded(self) -> bool:
        """Whether it is in the memory of its server."""
        return self.size_vram is not None


_rank = attrgetter("rank")
# Of an entry, what an index or an order depends on.
INDEXED = frozenset({"name", "url", "is_active", "is_default", "is_available", "is_flapping", "priority"})


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
        self._index(entry)

    def change(self, entry: Entry, changes: Mapping[str, Any]) -> None:
        """Set some fields of a server."""
        moves = not INDEXED.isdisjoint(changes)
        if moves:
            self._unindex(entry)
        for name, value in changes.items():
            setattr(entry, name, value)
        if moves:
            self._index(entry)
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
        copy.server.copies[copy.id] = copy
        self._insert(copy)

    def change_copy(self, copy: Copy, changes: Mapping[str, Any]) -> None:
        """Set some fields of a model."""
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
            self._take_out(copy)

    def _index(self, entry: Entry) -> None:
        entry.base_url = _normalized(entry.url)
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
        if self._first.get(copy.key) is copy:
            del self._first[copy.key]
        if not holders:
            del self._holders[copy.key]
            self._keys = None

    def _moved(self, copy: Copy) -> None:
        """See to it that the first choice for a model is right after the rank of a copy may have changed."""
        first = self._first.get(copy.key)
        if first is copy:
            del self._first[copy.key]
        elif first is not None and copy.rank < first.rank:
            self._first[copy.key] = copy


@lru_cache(MOST_SHARED)
def shared(texts: tuple[str, ...]) -> tuple[str, ...]:
    """Return an equal tuple, the same one for many models."""
    return texts


def _normalized(url: str) -> str:
    try:
        return urls.normalize(url)
    except InvalidUrlError:
        # Written by hand into the table; nobody can ask for it, so it only has to be told apart.
        return url

"""A server and a model of it as the resolver knows them, and what puts one of them before another."""

from dataclasses import dataclass, field
from enum import IntEnum
from functools import lru_cache
from uuid import UUID

# Whole lists of capabilities that differ; those of fifty thousand models are a few dozen.
MOST_SHARED = 4096

Weight = tuple[tuple[bool, bool], tuple[int, bool, str]]


class Standing(IntEnum):
    """How a copy of a model counts: on its server, as a pointer into a cloud, or not at all for now."""

    LOCAL = 0
    CLOUD = 1
    IDLE = 2


# An enumeration looks its members up slowly, and a rank is worked out for each model of a server that changes.
LOCAL, CLOUD, IDLE = Standing


@dataclass(slots=True, weakref_slot=True, kw_only=True, eq=False)
class Entry:
    """A registered server. `fresh_from` is the database's time of its last check, or of its last edit before one, in
    seconds since 1970.

    `interval` and `timeout` are its own seconds, None where the settings hold. `copies` are its models by id.
    `base_url` is its URL in the one spelling, also where a hand wrote another one into the table.
    `weight` is what the ranks of its copies have from it: what comes before that a copy is in memory, and after it.
    `revision` tells, as long as it is the same entry, whether anything of it or of its copies has changed.
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
    fresh_from: float
    copies: dict[UUID, "Copy"] = field(default_factory=dict)
    base_url: str = ""
    weight: Weight = field(init=False)
    revision: int = 0

    def __post_init__(self) -> None:
        """Weigh it as it is made."""
        self.weigh()

    def weigh(self) -> None:
        """Work out its part of the ranks of its copies; due whenever one of its fields was set."""
        self.weight = (not self.is_available, self.is_flapping), (-self.priority, not self.is_default, self.name)

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
            return IDLE
        return LOCAL if self.remote_host is None else CLOUD

    @property
    def rank(self) -> tuple[object, ...]:
        """The order of choice among the copies of one model, step by step; the smallest is first.

        The last step only tells apart what one server spells in two ways.
        """
        before, after = self.server.weight
        return self.standing, before, self.size_vram is None, after, self.model_name

    @property
    def is_loaded(self) -> bool:
        """Whether it is in the memory of its server."""
        return self.size_vram is not None


@lru_cache(MOST_SHARED)
def shared(texts: tuple[str, ...]) -> tuple[str, ...]:
    """Return an equal tuple, the same one for many models."""
    return texts

"""A server and a model of it as the resolver knows them, and what puts one of them before another.

The order of choice (contract section 4), step by step: a local copy before a cloud stub; available; not suspect;
`up` before `degraded`; not flapping; a free slot; the native API before the OpenAI-style one; residency; priority;
the smaller share of slots in use. What is equal after that shares the load (`tie_break`).
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from functools import lru_cache
from uuid import UUID

# Whole lists of capabilities that differ; those of fifty thousand models are a few dozen.
MOST_SHARED = 4096
SEED_BYTES = 8
UP, DOWN, OPENAI = "up", "down", "openai"

Rank = tuple[int, int, int, tuple[int, float]]
ServerRank = tuple[int, tuple[int, float]]


class Standing(IntEnum):
    """How a copy of a model counts: on its server, as a pointer into a cloud, or not at all for now."""

    LOCAL = 0
    CLOUD = 1
    IDLE = 2


class Residency(IntEnum):
    """Where a model would run if it were asked now; the smaller is the sooner to answer."""

    VRAM = 0
    COLD = 1
    PARTLY_VRAM = 2
    CPU = 3


class Flaw(IntEnum):
    """What sets a server back, whatever the model; the higher bit weighs more."""

    OPENAI_API = 1 << 0
    NO_FREE_SLOT = 1 << 1
    FLAPPING = 1 << 2
    NOT_UP = 1 << 3
    SUSPECT = 1 << 4
    UNAVAILABLE = 1 << 5


# An enumeration looks its members up slowly, and a rank is worked out for each model of a server that changes.
LOCAL, CLOUD, IDLE = Standing
VRAM, COLD, PARTLY_VRAM, CPU = map(int, Residency)
_OPENAI_API, _NO_FREE_SLOT, _FLAPPING, _NOT_UP, _SUSPECT, _UNAVAILABLE = map(int, Flaw)


@dataclass(slots=True, weakref_slot=True, kw_only=True, eq=False)
class Entry:
    """A registered server. `fresh_from` is the database's time of its last check, or of its last edit before one, in
    seconds since 1970.

    `interval` and `timeout` are its own seconds, None where the settings hold. `copies` are its models by id.
    `base_url` is its URL in the one spelling, also where a hand wrote another one into the table.
    `api` is `native` or `openai`, None until it has answered. `vram_seen`: a model of it has been in VRAM.
    `slots_in_use` stays 0 as long as slots are kept by nobody.
    `flaws` and `rest` are what the ranks of its copies have from it: what comes before residency, and after it.
    `seed` is what a tie is broken by. `revision` tells, as long as it is the same entry, whether anything of it or
    of its copies has changed.
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
    labels: Mapping[str, str]
    site: str | None
    api: str | None
    interval: float | None
    timeout: float | None
    fresh_from: float
    suspect_reason: str | None = None
    vram_seen: bool = False
    slots_in_use: int = 0
    copies: dict[UUID, "Copy"] = field(default_factory=dict)
    base_url: str = ""
    flaws: int = field(init=False)
    rest: tuple[int, float] = field(init=False)
    seed: int = field(init=False)
    revision: int = 0

    def __post_init__(self) -> None:
        """Weigh it as it is made."""
        self.seed = int.from_bytes(hashlib.blake2b(self.id.bytes, digest_size=SEED_BYTES).digest())
        self.weigh()

    def weigh(self) -> None:
        """Work out its part of the ranks of its copies; due whenever one of its fields was set."""
        self.flaws = (
            (not self.is_available) * _UNAVAILABLE
            | (self.suspect_reason is not None) * _SUSPECT
            | (self.status != UP) * _NOT_UP
            | self.is_flapping * _FLAPPING
            | (self.slots_in_use >= self.max_concurrent) * _NO_FREE_SLOT
            | (self.api == OPENAI) * _OPENAI_API
        )
        self.rest = -self.priority, self.slots_in_use / self.max_concurrent

    @property
    def is_suspect(self) -> bool:
        """Whether bad answers were seen of it, and no verdict yet."""
        return self.suspect_reason is not None

    @property
    def rank(self) -> ServerRank:
        """The order in which active servers are taken when no model is asked for; the smallest is first."""
        return self.flaws, self.rest


@dataclass(slots=True, kw_only=True, eq=False)
class Copy:
    """A model of one server. `remote_host` marks a cloud stub.

    `loaded_size_bytes` and `size_vram` are None unless it is in memory. `has_expired`: its time there has passed, and
    nobody has looked since.
    """

    id: UUID
    server: Entry
    model_name: str
    is_active: bool
    capabilities: tuple[str, ...]
    size_bytes: int | None
    digest: str | None
    remote_host: str | None
    loaded_size_bytes: int | None
    size_vram: int | None
    key: str = ""
    has_expired: bool = False

    @property
    def standing(self) -> Standing:
        """How it counts now."""
        if not (self.is_active and self.server.is_active):
            return IDLE
        return LOCAL if self.remote_host is None else CLOUD

    @property
    def residency(self) -> int:
        """Where it would run, as a number of `Residency`; that a server never used VRAM is taken for a CPU alone."""
        if self.size_vram is None or self.has_expired:
            return COLD if self.server.vram_seen else CPU
        if self.size_vram <= 0:
            return CPU
        return PARTLY_VRAM if self.loaded_size_bytes is not None and self.size_vram < self.loaded_size_bytes else VRAM

    @property
    def rank(self) -> Rank:
        """The order of choice among the copies of one model, step by step; the smallest is first."""
        return self.standing, self.server.flaws, self.residency, self.server.rest

    @property
    def is_loaded(self) -> bool:
        """Whether it is in the memory of its server, which has nothing in it while it is down."""
        return self.size_vram is not None and not self.has_expired and self.server.status != DOWN


@lru_cache(MOST_SHARED)
def shared(texts: tuple[str, ...]) -> tuple[str, ...]:
    """Return an equal tuple, the same one for many models."""
    return texts

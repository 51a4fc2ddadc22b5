"""The mass-failure guard: before silence takes servers down, the monitor asks whether anything answers at all.

The rule. What a server sends back, be it a refusal or a fault, proves that the way to it works, so it counts for
nothing here and is never held. Silence (`SILENT`) may be the monitor's own: it counts as long as nothing has
answered since the question was asked, and any answer from elsewhere ends it, for all. An answer from this very host
proves nothing about the way out of it. When 3 servers at least are silent and nothing answers for half a second,
the monitor takes itself to be isolated, and so it does when a resolver must be sick: 3 names, and a twentieth of the
servers, that cannot be looked up while no other name can. Verdicts by silence wait meanwhile, for two intervals at
most. Then either something has answered, and the evidence from before is forgiven; or nothing has, and the outage
was real. Silence by faults of our own (`local`) never takes a server down, so isolation by it lasts as long as it.

Invariants: a verdict is held only while 3 servers at least are silent, and never for longer than two intervals and
the half second; a fleet of fewer than 3 is never held. A server that is down counts no more.
"""

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

from monitor.domain.probe import Reason
from monitor.domain.server import ServerId

LEAST = 3
HOLD_INTERVALS = 2
RESOLVER_SHARE = 20
# Seconds. Those that are asked for their opinion answer within it if they do at all.
GRACE = 0.5
SILENT = frozenset({Reason.TIMEOUT, Reason.CONNECT_TIMEOUT, Reason.UNREACHABLE, Reason.DNS, Reason.LOCAL})


class Turn(Enum):
    """What has become of the monitor's trust in itself."""

    ISOLATED = auto()
    HEALED = auto()
    REAL = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Isolation:
    """One isolation: `cause` is what most silent servers had, `servers` how many those were, `of` how many.

    Times are monotonic seconds; verdicts are held `until` one. `of_names`: only look-ups of names fail.
    """

    since: float
    until: float
    cause: Reason
    servers: int
    of: int
    of_names: bool


@dataclass(frozen=True, slots=True)
class Silence:
    """A question to one server that brought nothing; `host` is that of its URL, `is_here` whether on this machine."""

    reason: Reason
    host: str
    is_here: bool


class MassFailure:
    """Decides for the whole fleet, from what is heard of each server; times are monotonic seconds.

    `of` is everywhere how many servers are not down, silent ones included.
    """

    def __init__(self, *, interval: float) -> None:
        """`interval` is that of the default policy."""
        self.hold_time = HOLD_INTERVALS * interval
        # Those that nothing has answered for since they were asked; and those whose names no look-up has.
        self._silent: dict[ServerId, Silence] = {}
        self._unnamed: dict[ServerId, Silence] = {}
        # Since when they are enough to doubt.
        self._silent_since: float | None = None
        self._unnamed_since: float | None = None
        self._heard_at = {True: float("-inf"), False: float("-inf")}
        self._looked_up_at = float("-inf")
        # The outage was found to be real, and nothing has answered since; it may be of this machine alone.
        self._is_real = self._is_real_here = False
        self.isolation: Isolation | None = None

    @property
    def is_calm(self) -> bool:
        """Whether there is nothing to decide."""
        return self.isolation is None and not self._silent and not self._unnamed

    def is_silent(self, server_id: ServerId) -> bool:
        """Whether a server is known to be silent."""
        return server_id in self._silent or server_id in self._unnamed

    def heard(self, server_id: ServerId, *, is_here: bool, at: float) -> None:
        """Take in an answer of whatever kind: the way works. `is_here`: the server is on this very machine."""
        self._heard_at[is_here] = at
        if not is_here or self._is_real_here:
            self._is_real = False
        if not is_here:
            self._silent.clear()
        elif self._silent:
            self._silent = {each: silence for each, silence in self._silent.items() if not silence.is_here}
        self._unnamed.pop(server_id, None)
        self._count()

    def looked_up(self, at: float) -> None:
        """Take in when a name was last looked up with success: the resolver works."""
        if at > self._looked_up_at:
            self._looked_up_at = at
            self._unnamed.clear()
            self._count()

    def silent(self, server_id: ServerId, silence: Silence, *, began: float) -> bool:
        """Take in that a server, which is not down, was silent when asked at `began`; return whether that is new."""
        new = not self.is_silent(server_id)
        counts = False
        if began > max(self._heard_at[False], self._heard_at[True] if silence.is_here else float("-inf")):
            self._silent[server_id] = silence
            counts = True
        if silence.reason is Reason.DNS and began > self._looked_up_at:
            self._unnamed[server_id] = silence
            counts = True
        return new and counts

    def forget(self, server_id: ServerId) -> None:
        """Forget a server: it is down, or not watched any more."""
        self._silent.pop(server_id, None)
        self._unnamed.pop(server_id, None)
        self._count()

    def keep(self, is_watched: Callable[[ServerId], bool]) -> None:
        """Forget the servers that are not watched any more."""
        for server_id in {*self._silent, *self._unnamed}:
            if not is_watched(server_id):
                self.forget(server_id)

    def holds(self, reason: Reason, *, of: int, at: float) -> bool:
        """Whether a verdict for this reason has to wait."""
        if reason not in SILENT or self._is_real or (self.isolation is not None and at >= self.isolation.until):
            return False
        return self._are_silent() or (reason is Reason.DNS and self._are_unnamed(of))

    def decide(self, *, of: int, at: float) -> Turn | None:
        """Return what changes now."""
        if self.isolation is None:
            self.isolation = self._begin(of, at)
            return None if self.isolation is None else Turn.ISOLATED
        of_names = self.isolation.of_names
        if not (self._are_unnamed(of) if of_names else self._are_silent()):
            self.isolation = self._silent_since = self._unnamed_since = None
            return Turn.HEALED
        if at < self.isolation.until:
            return None
        silences = self._unnamed if of_names else self._silent
        if sum(each.reason is not Reason.LOCAL for each in silences.values()) < LEAST:
            return None
        is_here = all(each.is_here for each in silences.values())
        # From now on they are known to be down, and no news any more.
        self._silent.clear()
        self._unnamed.clear()
        self._silent_since = self._unnamed_since = self.isolation = None
        self._is_real, self._is_real_here = True, is_here
        return Turn.REAL

    def _begin(self, of: int, at: float) -> Isolation | None:
        self._silent_since = _since(self._silent_since, self._are_silent(), at)
        self._unnamed_since = _since(self._unnamed_since, self._are_unnamed(of), at)
        if self._is_real:
            return None
        if self._silent_since is not None and at >= self._silent_since + GRACE:
            silences, of_names = self._silent, False
        elif self._unnamed_since is not None and at >= self._unnamed_since + GRACE:
            silences, of_names = self._unnamed, True
        else:
            return None
        reasons = Counter(each.reason for each in silences.values())
        cause = max(reasons, key=lambda reason: reasons[reason])
        until = at + self.hold_time
        return Isolation(since=at, until=until, cause=cause, servers=len(silences), of=of, of_names=of_names)

    def _count(self) -> None:
        """Begin to count the half second anew once they are too few."""
        if len(self._silent) < LEAST:
            self._silent_since = None
        if len(self._unnamed) < LEAST:
            self._unnamed_since = None

    def _are_silent(self) -> bool:
        return len(self._silent) >= LEAST

    def _are_unnamed(self, of: int) -> bool:
        if len(self._unnamed) < max(LEAST, math.ceil(of / RESOLVER_SHARE)):
            return False
        hosts: set[str] = set()
        for silence in self._unnamed.values():
            hosts.add(silence.host)
            if len(hosts) == LEAST:
                return True
        return False


def _since(before: float | None, holds: bool, at: float) -> float | None:
    """Return since when something holds that held, or not, before."""
    if not holds:
        return None
    return at if before is None else before

"""The mass-failure guard: when much of the fleet fails at once, the monitor doubts itself first.

The rule. A server is in trouble when its answers turn bad, or when the monitor's own faults keep it from asking
(`local`). When half of the servers that are not down, and 3 at least, get into trouble within the time that one
round of checks takes, the monitor takes itself to be isolated. So it does when a resolver must be sick: 3 names,
and a twentieth of the servers, that cannot be looked up any more. While isolated no server is taken down, be it
one of those or another that dies just now, for at most two intervals. Then either the servers have answered
again, and nothing was the matter with them; or they have not, and the outage was real: each is taken down by its
next bad probe. Local faults never take a server down, so isolation by them lasts for as long as they do.

Invariant: down verdicts are held only while isolated, and never for longer than two intervals in one isolation.
A fleet of fewer than 3 is never held.
"""

import math
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum, auto

from monitor.domain.probe import Reason
from monitor.domain.server import ServerId

LEAST = 3
HOLD_INTERVALS = 2
RESOLVER_SHARE = 20


class Turn(Enum):
    """What has become of the monitor's trust in itself."""

    ISOLATED = auto()
    HEALED = auto()
    REAL = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Isolation:
    """One isolation: `cause` is what most servers in trouble had, `servers` how many those were, `of` how many.

    Times are monotonic seconds. It is over when fewer than `enough` servers are in trouble; only those whose
    names cannot be looked up count if `of_names`.
    """

    since: float
    cause: Reason
    servers: int
    of: int
    enough: int
    of_names: bool


@dataclass(frozen=True, slots=True)
class Trouble:
    """What is the matter with one server."""

    since: float
    reason: Reason
    host: str


class MassFailure:
    """Decides for the whole fleet, from what is heard of each server; times are monotonic seconds."""

    def __init__(self, *, interval: float, round_time: float) -> None:
        """`interval` is that of the default policy; `round_time` is how long all servers' next answers can take."""
        self._hold_time = HOLD_INTERVALS * interval
        self._round_time = round_time
        # Ordered by their beginning.
        self._troubles: OrderedDict[ServerId, Trouble] = OrderedDict()
        self._reasons: Counter[Reason] = Counter()
        self.isolation: Isolation | None = None

    def holds(self, at: float) -> bool:
        """Whether no server is to be taken down now."""
        return self.isolation is not None and at < self.isolation.since + self._hold_time

    def is_troubled(self, server_id: ServerId) -> bool:
        """Whether a server is known to be in trouble."""
        return server_id in self._troubles

    def suspects(self, at: float) -> bool:
        """Whether enough servers are in trouble to look closer."""
        self._forget_old(at)
        return len(self._troubles) >= LEAST

    def failed(self, server_id: ServerId, reason: Reason, *, host: str, at: float) -> bool:
        """Take in a failure; return whether the trouble is new."""
        before = self._troubles.get(server_id)
        if before is not None:
            self._reasons[before.reason] -= 1
        since = at if before is None else before.since
        self._troubles[server_id] = Trouble(since, reason, host)
        self._reasons[reason] += 1
        return before is None

    def answered(self, server_id: ServerId) -> None:
        """Take in a good answer, or that the server is not watched any more."""
        trouble = self._troubles.pop(server_id, None)
        if trouble is not None:
            self._reasons[trouble.reason] -= 1

    def keep(self, is_watched: Callable[[ServerId], bool]) -> None:
        """Forget the servers that are not watched any more."""
        for server_id in [each for each in self._troubles if not is_watched(each)]:
            self.answered(server_id)

    def clear(self) -> None:
        """Forget everything: the fleet is somebody else's now."""
        self._troubles.clear()
        self._reasons.clear()
        self.isolation = None

    def decide(self, *, of: int, at: float) -> Turn | None:
        """Return what changes now; `of` is how many servers are not down, those in trouble included."""
        if self.isolation is None:
            self._forget_old(at)
            self.isolation = self._begin(of, at)
            return None if self.isolation is None else Turn.ISOLATED
        if self._count(of_names=self.isolation.of_names) < self.isolation.enough:
            self.isolation = None
            return Turn.HEALED
        own = self._reasons[Reason.LOCAL]
        if self.holds(at) or self._count(of_names=self.isolation.of_names) - own < self.isolation.enough:
            return None
        # From now on they are known to be down, and no news any more.
        self.clear()
        return Turn.REAL

    def _begin(self, of: int, at: float) -> Isolation | None:
        enough = max(LEAST, math.ceil(of / 2))
        cause = max(self._reasons, key=lambda reason: self._reasons[reason], default=Reason.LOCAL)
        found = Isolation(since=at, cause=cause, servers=len(self._troubles), of=of, enough=enough, of_names=False)
        if len(self._troubles) >= enough:
            return found
        unnamed = self._reasons[Reason.DNS]
        enough = max(LEAST, math.ceil(of / RESOLVER_SHARE))
        if unnamed < enough:
            return None
        names = {trouble.host for trouble in self._troubles.values() if trouble.reason is Reason.DNS}
        if len(names) < LEAST:
            return None
        return replace(found, cause=Reason.DNS, servers=unnamed, enough=enough, of_names=True)

    def _count(self, *, of_names: bool) -> int:
        return self._reasons[Reason.DNS] if of_names else len(self._troubles)

    def _forget_old(self, at: float) -> None:
        while self.isolation is None and self._troubles:
            server_id, oldest = next(iter(self._troubles.items()))
            if oldest.since > at - self._round_time:
                return
            self.answered(server_id)

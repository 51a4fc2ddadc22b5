"""Suspicion before verdict: from its first bad answer a server is suspect, until it answers well or is called down.

It never is a verdict: it only moves a server back in the order of choice. Invariants: what is told of it is told of
one that has lasted for a while, so a blip makes no events; and two tellings of one server lie 10 s apart at least,
so that one that fails every other time makes no storm of them.
"""

from dataclasses import dataclass, replace

from monitor.domain.availability import Availability, Status
from monitor.domain.probe import QUICK, Reason

# Seconds.
LASTS = 0.3
# A refusal is followed by a verdict, or a good answer, so soon that it is worth waiting for: also under load.
LASTS_WHILE_QUICK = 1.0
APART = 10.0
NEVER = float("-inf")


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspicion:
    """What a server is suspected of; times are monotonic seconds, `since` is None if of nothing.

    `told` is whether the event log says so, and `told_at` when it last came to say so.
    """

    since: float | None = None
    reason: Reason | None = None
    told: bool = False
    told_at: float = NEVER

    @property
    def is_due_at(self) -> float | None:
        """When it is to be told, None if it is not."""
        if self.since is None or self.told:
            return None
        lasts = LASTS_WHILE_QUICK if self.reason in QUICK else LASTS
        return max(self.since + lasts, self.told_at + APART)


NONE = Suspicion()


def after_check(
    before: Suspicion, after: Availability, reason: Reason, *, good: bool, at: float, watch_ended_at: float | None
) -> Suspicion:
    """Return the suspicion after a check that said something about the server.

    `after` is what is believed now. The end of the connection watch is the first sign, if this check confirms it.
    """
    if good or after.status is Status.DOWN:
        return ended(before)
    since = before.since
    if since is None:
        since = at if watch_ended_at is None else min(at, watch_ended_at)
    return replace(before, since=since, reason=reason)


def ended(suspicion: Suspicion) -> Suspicion:
    """Return the suspicion once nothing is left of it but when it was told."""
    return Suspicion(told_at=suspicion.told_at)


def tell(suspicion: Suspicion, *, at: float) -> Suspicion:
    """Return the suspicion once the event log tells of it."""
    return replace(suspicion, told=True, told_at=at)

"""Flap damping: a server that comes and goes is said to flap, once, and has to earn its way back up.

The rule, in units of the server's check interval, so at 15 s: a server whose verdict changed 5 times between
available and down within 20 intervals (5 min) flaps. It may still go down, but comes up only when it flaps no
more, and that is when its answers have all been good, or all bad, for 4 intervals (1 min). Who begins to flap
again within 20 intervals has to be steady for twice as long as the last time, up to 20 intervals.

Invariant: while a server flaps its verdict changes at most once, to down. So one bout of flapping brings at most
one change more, and one when it ends, however often the server comes and goes; and every bout ends within
20 intervals after the server has become steady.
"""

from dataclasses import dataclass, replace
from datetime import timedelta

CHANGES = 5
WINDOW = 20
QUIET = 4
A_MINUTE = 60.0
# From here on minutes say enough.
TWO_MINUTES = 2 * A_MINUTE


@dataclass(frozen=True, slots=True, kw_only=True)
class Flap:
    """How restless a server is; times are monotonic seconds.

    `changes` are the times of the newest changes of its verdict between available and down, as many as it
    takes to flap. `since` is None when it does not flap. `quiet` is how many intervals the server has, or
    last had, to be steady for to end a bout. Its answers have been `good` or not since `steady_since`.
    """

    changes: tuple[float, ...] = ()
    since: float | None = None
    ended_at: float = float("-inf")
    quiet: int = QUIET
    good: bool | None = None
    steady_since: float = float("-inf")


CALM = Flap()


def after_answer(flap: Flap, *, good: bool, interval: timedelta, at: float) -> Flap:
    """Return what one more answer makes of it: it may end a bout."""
    if flap.good is not good:
        return replace(flap, good=good, steady_since=at)
    if flap.since is not None and at - flap.steady_since >= flap.quiet * interval.total_seconds():
        return replace(flap, since=None, ended_at=at)
    return flap


def after_change(flap: Flap, *, interval: timedelta, at: float) -> Flap:
    """Return what a change of the verdict between available and down makes of it: it may begin a bout.

    The change that the end of a bout lets through is no news of the server and does not count.
    """
    if flap.ended_at == at:
        return flap
    window = WINDOW * interval.total_seconds()
    changes = (*flap.changes, at)[-CHANGES:]
    if flap.since is not None or len(changes) < CHANGES or at - changes[0] > window:
        return replace(flap, changes=changes)
    again = at - flap.ended_at <= window
    quiet = min(2 * flap.quiet, WINDOW) if again else QUIET
    return replace(flap, changes=changes, since=at, quiet=quiet)


def facts(flap: Flap) -> str:
    """Return how restless a server is, in a few words that stay the same for a bout."""
    if len(flap.changes) < CHANGES:
        # After a restart of the monitor.
        return "It comes and goes."
    seconds = flap.changes[-1] - flap.changes[0]
    span = f"{seconds:.0f} s" if seconds < TWO_MINUTES else f"{seconds / A_MINUTE:.0f} min"
    return f"{len(flap.changes)} changes in {span}"

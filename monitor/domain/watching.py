"""Which servers hold an idle connection, and when to try again: pure rules that are handed the time.

A watch that ends while its server checks healthy is a strike, unless it had been held for an hour, which
clears them. After three strikes in a row the server or a proxy before it is taken to close idle connections:
it is left alone, and tried once an hour. One more watch held for an hour, or an edit, clears its name. A
server that sends bytes which nobody asked for does not hold either, and gets all three strikes at once.

Whether a server has restarted shows by what ended with the watch. A proxy that closes idle connections closes that
one alone, or each after the same time; when the process dies, those that are in use between two checks end at the
same moment, whatever the time since, or the next attempt to connect is refused. Then the first good answer on a new
connection comes from another process. That is no strike, and no verdict.

A watch that ends because the kernel's keep-alive had no answer is no strike: nobody closed it. It takes seven
seconds, so a short trouble of the network does it, too.
"""

from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum

from monitor.domain.availability import Availability
from monitor.domain.probe import Lost
from monitor.domain.server import Policy

STRIKES = 3
HELD_WELL = 3600.0
REST = 3600.0
SPREAD = 1.0
# Where packets are lost by the dozen, ends in silence have not even twice as many checks made as the interval does.
AFTER_SILENCE = 10.0
# The least time, and the share of the time-out, for a connection to a host that has vanished.
LEAST_TO_CONNECT = timedelta(seconds=1.5)
SHARE_TO_CONNECT = 0.3
FIRST_RETRY = 1.0
LAST_RETRY = 300.0
MOST_DOUBLINGS = 10
# What one process held ends within this time, also on a machine that is busy.
TOGETHER = 1.0
RESTARTS_APART = 10.0
NEVER = float("-inf")


class Ending(StrEnum):
    """How a watch ended: the other side ended the connection, fell silent, or sent something on it."""

    CLOSED = "closed"
    SILENT = "silent"
    SPOKE = "spoke"


class WatchState(StrEnum):
    """Whether a connection to an available server is held, cannot be, or is not to be."""

    WATCHED = "watched"
    NOT_HELD = "not_held"
    OFF = "off"


class Meaning(StrEnum):
    """What the checks after the end of a watch say: nothing yet, that all is well, or that something is not."""

    OPEN = "open"
    HEALTHY = "healthy"
    SICK = "sick"


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """That the server ended its watch, at a monotonic time, when that had `lasted` so many seconds.

    `confirmed`: a refusal or a bad check has shown the server gone.
    """

    at: float
    lasted: float = 0.0
    confirmed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Restarts:
    """The newest restart of a server that is not told yet, None if it is, and when one was told last; monotonic."""

    at: float | None = None
    told_at: float = NEVER

    def is_due(self, now: float) -> bool:
        """Whether there is one to be told, and the last one was told long enough ago."""
        return self.at is not None and now >= self.told_at + RESTARTS_APART


@dataclass(frozen=True, slots=True, kw_only=True)
class Habit:
    """What is known of a server's idle connections; `not_before` is monotonic seconds.

    `failures` are attempts in a row that brought no connection.
    """

    not_before: float
    strikes: int = 0
    failures: int = 0

    @property
    def holds(self) -> bool:
        """Whether the server is taken to hold idle connections."""
        return self.strikes < STRIKES


def may_hold(availability: Availability) -> bool:
    """Whether there is a server to hold a connection to."""
    return availability.available


def may_begin(availability: Availability) -> bool:
    """Whether there is a server to connect to, and no doubt about it."""
    return may_hold(availability) and not availability.in_transition


def begin(*, at: float, chance: float) -> Habit:
    """Return the habit of a server nothing is known of; `chance`, from 0 to 1, spreads those that come at once."""
    return Habit(not_before=at + SPREAD * chance)


def after_return(habit: Habit, *, at: float, chance: float) -> Habit:
    """Return the habit once a server is available again."""
    return replace(habit, failures=0, not_before=max(habit.not_before, at + SPREAD * chance))


def after_connect(habit: Habit) -> Habit:
    """Return the habit once there is a connection."""
    return replace(habit, failures=0)


def after_failure(habit: Habit, *, at: float, chance: float) -> Habit:
    """Return the habit after an attempt that brought no connection: the next one is ever later."""
    delay = min(LAST_RETRY, FIRST_RETRY * 2.0 ** min(habit.failures, MOST_DOUBLINGS))
    return replace(habit, failures=habit.failures + 1, not_before=at + delay * (1 + chance))


def after_end(habit: Habit, *, at: float, lasted: float, chance: float) -> Habit:
    """Return the habit after a watch of `lasted` seconds ended although its server is healthy."""
    strikes = 1 if lasted >= HELD_WELL else min(STRIKES, habit.strikes + 1)
    delay = REST if strikes == STRIKES else 0.0
    return Habit(strikes=strikes, not_before=at + delay + SPREAD * chance)


def after_silence(habit: Habit, *, at: float, chance: float) -> Habit:
    """Return the habit after the other side of a watch fell silent although its server is healthy."""
    return replace(habit, not_before=at + AFTER_SILENCE * (1 + chance))


def connect_within(policy: Policy, *, vanished: bool) -> timedelta | None:
    """Return how long a new connection may take, None for as long as the whole check.

    The kernel of a host that has vanished has not answered the keep-alive for seconds already. It, and not
    Ollama, would answer an attempt to connect, so that has not to be waited for as for an answer of Ollama.
    """
    return min(policy.timeout, max(LEAST_TO_CONNECT, SHARE_TO_CONNECT * policy.timeout)) if vanished else None


def after_speech(*, at: float) -> Habit:
    """Return the habit of a server that sent bytes on its own."""
    return Habit(strikes=STRIKES, not_before=at + REST)


def has_restarted(end: End, *, connected_at: float, lost: Lost | None) -> bool:
    """Whether a server that answers again is another process than the one that ended its watch.

    `connected_at` and `lost` are those of `fleet.Watched`. Two connections that ended together after they had been idle
    for the same time say nothing: a proxy closes each of them after that time.
    """
    if connected_at < end.at:
        return False
    if end.confirmed:
        return True
    return lost is not None and abs(lost.at - end.at) <= TOGETHER < abs(lost.idle - end.lasted)


def meaning(at_end: Availability, now: Availability, *, is_checked: bool = False) -> Meaning:
    """Compare what was believed when a watch ended with what the checks have found since.

    The good probes in a row tell: more of them, and the first check after the end was good; fewer or
    bad ones, and it was not. As many may be the same ones, unless it `is_checked` that they are not. Our own
    faults leave the question open.
    """
    if now.bad > 0 or now.good < at_end.good or (is_checked and now.good == at_end.good):
        return Meaning.SICK
    return Meaning.HEALTHY if now.good > at_end.good else Meaning.OPEN

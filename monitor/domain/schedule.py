"""When a server is checked next: pure delays, and a queue that hands out what is due."""

import heapq
from datetime import timedelta

from monitor.domain.availability import Availability, Status
from monitor.domain.probe import QUICK, Listing, Reason
from monitor.domain.server import Policy, ServerId

# What somebody has to change. Asked fast, a proxy that wants a credential would take us for an attacker.
STUBBORN = frozenset({Reason.AUTH, Reason.HOST_RULE, Reason.NOT_OLLAMA, Reason.TLS, Reason.CREDENTIAL, Reason.BLOCKED})
QUICK_RECHECK = 0.1
RECHECK = 1.0
FRESHLY_DOWN = 30.0
JITTER = 0.1
FLAPPING_CHECKS = 5
FLAPPING_JITTER = 0.5
MAX_RETRY_AFTER_INTERVALS = 2
RETRY_LIST = 10.0
LONGEST_RETRY = 150.0
MAX_RETRY_AFTER_OF_LIST = 600.0


def delay_after(
    availability: Availability,
    policy: Policy,
    *,
    at: float,
    jitter: float,
    retry_after: timedelta | None = None,
    late: float = 0.0,
) -> float:
    """Return the seconds from `at` (monotonic) to the next check.

    In transition the server is asked again fast: 0.1 s after a refusal, 1 s after anything else. A fast check that
    was `late` does not make the next one late, too, which follows 0.05 s later at the soonest.
    A server that is down is asked every second for 30 s, then ever more rarely up to its interval; one that is down
    for what no asking mends has its regular interval at once.
    One that flaps is asked five times as often as others, and out of step with whatever it does: that
    it looks steady must not be an accident.
    `jitter` is a random number from -1 to 1 and moves a regular check by up to 10 %, and
    one of a server that flaps by up to half.
    """
    interval = policy.interval.total_seconds()
    if availability.in_transition:
        delay = RECHECK
        if availability.suspect in QUICK:
            delay = QUICK_RECHECK - min(late, QUICK_RECHECK / 2)
    elif availability.status is Status.DOWN and availability.reason not in STUBBORN:
        delay = RECHECK * max(1.0, (at - availability.changed_at) / FRESHLY_DOWN)
    else:
        delay = interval
    if availability.flapping:
        delay = min(delay, max(RECHECK, interval / FLAPPING_CHECKS)) * (1 + FLAPPING_JITTER * jitter)
    delay = min(delay, interval)
    if delay == interval:
        delay *= 1 + JITTER * jitter
    if retry_after is not None:
        asked = min(retry_after.total_seconds(), MAX_RETRY_AFTER_INTERVALS * interval)
        delay = max(delay, asked)
    return delay


def list_delay_after(
    listing: Listing, availability: Availability, *, interval: float, at: float, jitter: float
) -> float | None:
    """Return the seconds from `at` (monotonic) to the next listing after one that failed, None to leave it at that.

    `interval` is that of listings, in seconds; `jitter` is a random number from 0.5 to 1. What may heal by itself is
    tried again within 10 s, what somebody has to change at its regular time. A list that is refused because it is asked
    for too often is asked for ever more rarely, up to every 5 minutes, and not before the server wants it, which it may
    put off by 10.
    """
    if listing.reason in STUBBORN:
        return None
    if listing.reason is not Reason.BUSY:
        return min(RETRY_LIST * jitter, interval)
    refused_for = 0.0 if availability.list_refused_since is None else at - availability.list_refused_since
    delay = min(max(refused_for, RETRY_LIST), LONGEST_RETRY) * (2 * jitter)
    wanted = 0.0 if listing.retry_after is None else listing.retry_after.total_seconds()
    return max(delay, min(wanted, MAX_RETRY_AFTER_OF_LIST))


def phase(server_id: ServerId, interval: timedelta) -> float:
    """Return where in the interval, in seconds, this server's regular checks begin: a fixed spread by id."""
    return (server_id.int % 65_536) / 65_536 * interval.total_seconds()


class Schedule:
    """Servers ordered by when they are due; times are monotonic seconds handed in by the caller."""

    def __init__(self) -> None:
        self._due: dict[ServerId, float] = {}
        self._queue: list[tuple[float, ServerId]] = []
        self._punctual: list[tuple[float, ServerId]] = []

    def __len__(self) -> int:
        return len(self._due)

    def set(self, server_id: ServerId, due: float, *, punctual: bool = False) -> None:
        """Make the server due at a time, which is not to be missed if `punctual`; an earlier entry is forgotten."""
        self._due[server_id] = due
        heapq.heappush(self._queue, (due, server_id))
        if punctual:
            heapq.heappush(self._punctual, (due, server_id))

    def remove(self, server_id: ServerId) -> None:
        """Forget the server."""
        self._due.pop(server_id, None)

    def soonest_punctual(self) -> float | None:
        """Return when the next server is due whose time is not to be missed, None when there is none."""
        while self._punctual and self._due.get(self._punctual[0][1]) != self._punctual[0][0]:
            heapq.heappop(self._punctual)
        return self._punctual[0][0] if self._punctual else None

    def due(self, now: float) -> list[tuple[ServerId, float]]:
        """Take out every server that is due, oldest first, with the time at which it was due."""
        ready: list[tuple[ServerId, float]] = []
        while self._queue and self._queue[0][0] <= now:
            due, server_id = heapq.heappop(self._queue)
            if self._due.get(server_id) == due:
                del self._due[server_id]
                ready.append((server_id, due))
        return ready

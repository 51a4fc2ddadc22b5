"""The monitor's doubts about itself: is it late, is it cut off, before a server is said to be down."""

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import lru_cache
from urllib.parse import urlsplit

import structlog

from monitor.domain import evaluation
from monitor.domain.availability import Availability, Status
from monitor.domain.counters import Counters
from monitor.domain.event import Announcement, EventType
from monitor.domain.fleet import Fleet, Watched
from monitor.domain.mass_failure import SILENT, Isolation, MassFailure, Silence, Turn
from monitor.domain.probe import ProbeResult, Reason
from monitor.domain.server import Policy, ServerId

BEAT = 0.1
WORTH_TELLING = 1.0
# A time-out is our own when for a fifth of it we did nothing at all.
OWN_SHARE = 0.2
TIMED = frozenset({Reason.TIMEOUT, Reason.CONNECT_TIMEOUT, Reason.TLS, Reason.DNS})
# A server that was not asked, because of what is known here, says nothing about the way to it.
UNASKED = evaluation.CERTAIN | {Reason.BLOCKED}
OPINIONS = 8
CENSUS_LASTS = 1.0
MOST_HOSTS = 65_536
LAGS_KEPT = 200
LEAST_LAG = 0.05

log = structlog.get_logger(__name__)


class Lateness:
    """How late we were ourselves: a time-out that fired meanwhile says nothing about a server.

    Learns from beats that are meant to come `every` so many seconds; times are monotonic seconds.
    """

    def __init__(self, every: float, *, at: float) -> None:
        self._every = every
        self._expected = at + every
        self._late: deque[tuple[float, float]] = deque(maxlen=LAGS_KEPT)

    def beat(self, at: float) -> float:
        """Take in a beat; return by how much it was late."""
        lag = max(0.0, at - self._expected)
        if lag >= LEAST_LAG:
            self._late.append((self._expected, at))
        self._expected = at + self._every
        return lag

    def longest_since(self, began: float, *, at: float) -> float:
        """Return for how long at a stretch, between `began` and `at`, nothing could be done.

        A beat that is overdue counts: what was kept waiting may come to its turn before the beat does.
        """
        spans = [*self._late, (self._expected, at)]
        return max(0.0, *(end - max(start, began) for start, end in spans))


class OwnHealth:
    """Judges results and verdicts; implements `ports.Doubt`.

    A server that falls silent has a few others asked at once. If one of those answers, the way works; if none
    does, each has others asked in turn, so that a silence of the whole fleet is known for what it is long before
    the first verdict, although regular checks would take an interval to find it.
    """

    def __init__(
        self,
        *,
        fleet: Fleet,
        policy: Policy,
        ask: Callable[[ServerId], None],
        publish: Callable[[Watched, Availability], None],
        announce: Callable[[Announcement], None],
        counters: Counters,
        is_here: Callable[[str], bool] = lambda _host: False,
        looked_up_at: Callable[[], float] = lambda: float("-inf"),
    ) -> None:
        """`ask` has a server checked now, unless that is under way; `publish` gives out a verdict that was held.

        `is_here` tells of a host whether it is this machine; `looked_up_at` when a look-up of a name last succeeded.
        """
        self._fleet = fleet
        self._ask = ask
        self._publish = publish
        self._announce = announce
        self._is_here = is_here
        self._last_look_up = looked_up_at
        self._guard = MassFailure(interval=policy.interval.total_seconds())
        self._lateness = Lateness(BEAT, at=time.monotonic())
        self._healed_at = float("-inf")
        # The servers that are not down, and those of them that answered when they were last asked.
        self._standing: list[ServerId] = []
        self._trusted: list[ServerId] = []
        self._counted_at = float("-inf")
        # The verdicts that wait, each with what was watched when it was given.
        self._held: dict[ServerId, tuple[Watched, Availability, Reason]] = {}
        self._counters = counters

    @property
    def is_isolated(self) -> bool:
        """Whether the monitor takes itself to be cut off now."""
        return self._guard.isolation is not None

    async def run(self) -> None:
        """Feel the loop's pulse, and end an isolation in time, until cancelled."""
        self._lateness.beat(time.monotonic())
        while True:
            await asyncio.sleep(BEAT)
            at = time.monotonic()
            lag = self._lateness.beat(at)
            self._counters.loop_lag.observe(lag)
            if lag >= WORTH_TELLING:
                log.warning("loop_late", seconds=round(lag, 1))
            if not self._guard.is_calm:
                self._guard.keep(self._is_watched)
                self._decide(at)

    def own_fault(self, result: ProbeResult, /, *, began: float, at: float, timeout: timedelta) -> ProbeResult:
        """Return the result, as `local` where what it says may well be our own doing."""
        if result.reason in evaluation.ALIVE or result.reason is Reason.LOCAL:
            return result
        if began < self._healed_at and result.reason in SILENT:
            detail = "This monitor was cut off when it asked."
        elif result.reason in TIMED and (
            self._lateness.longest_since(began, at=at) >= OWN_SHARE * timeout.total_seconds()
        ):
            detail = "This monitor was too busy to see an answer in time."
        else:
            return result
        return replace(result, reason=Reason.LOCAL, detail=detail)

    def weigh(
        self, watched: Watched, result: ProbeResult, after: Availability, /, *, began: float, at: float
    ) -> Availability:
        """Return what is to be believed of a server, given what a probe alone makes of it."""
        server, host = watched.server, _host(watched.server.url)
        if result.reason in UNASKED:
            # Nothing was asked, so nothing can be said about our network; nor is there a verdict to doubt.
            self._guard.forget(server.id)
            return after
        if result.reason not in SILENT:
            self._hear(server.id, is_here=self._is_here(host), at=at)
            if self._healed_at == at:
                # With what was pardoned just now; the silence from before stands against nobody.
                return evaluation.evaluate(watched.availability, result, server.policy, at=at)
            return after
        silence = Silence(result.reason, host, is_here=self._is_here(host))
        return self._weigh_silence(watched, silence, after, began=began, at=at)

    def _weigh_silence(
        self, watched: Watched, silence: Silence, after: Availability, *, began: float, at: float
    ) -> Availability:
        before, server_id = watched.availability, watched.server.id
        if before.available or (silence.reason is Reason.LOCAL and before.status is not Status.DOWN):
            self._held.pop(server_id, None)
            if self._guard.silent(server_id, silence, began=began) and silence.reason is not Reason.LOCAL:
                self._ask_others()
            self._decide(at)
            if self._healed_at == at:
                # What ended the isolation pardons this silence, too.
                return evaluation.pardon(evaluation.hold(before, after))
        if after.status is not Status.DOWN or before.status is Status.DOWN:
            return after
        if self._guard.holds(silence.reason, of=self._census(at), at=at):
            self._counters.verdicts_held += 1
            self._held[server_id] = watched, after, silence.reason
            return evaluation.hold(before, after)
        self._guard.forget(server_id)
        return after

    def _hear(self, server_id: ServerId, *, is_here: bool, at: float) -> None:
        self._held.pop(server_id, None)
        self._guard.heard(server_id, is_here=is_here, at=at)
        if self._guard.isolation is not None or self._held:
            self._decide(at)

    def _decide(self, at: float) -> None:
        isolation, of = self._guard.isolation, self._census(at)
        self._guard.looked_up(self._last_look_up())
        turn = self._guard.decide(of=of, at=at)
        if turn is Turn.ISOLATED and self._guard.isolation is not None:
            self._tell(EventType.MONITOR_ISOLATED, self._guard.isolation, hold_seconds=self._guard.hold_time)
        elif turn is not None and isolation is not None:
            if turn is Turn.HEALED:
                self._pardon(at)
            self._tell(EventType.MONITOR_RECOVERED, isolation, outage=turn is Turn.REAL)
        self._release(of, at)

    def _release(self, of: int, at: float) -> None:
        """Give out the verdicts that need not wait any longer: something has answered, or the time is over."""
        if not self._held:
            return
        waiting = {reason for reason in SILENT if self._guard.holds(reason, of=of, at=at)}
        for server_id, (watched, verdict, reason) in list(self._held.items()):
            if reason in waiting:
                continue
            del self._held[server_id]
            self._guard.forget(server_id)
            if self._fleet.is_current(watched) and watched.availability.status is not Status.DOWN:
                self._publish(watched, replace(verdict, changed_at=at))

    def _census(self, at: float) -> int:
        """Count the servers that are not down, at most once a second: the fleet may be large."""
        if at >= self._counted_at + CENSUS_LASTS:
            self._counted_at = at
            self._standing = [
                each.server.id
                for each in self._fleet
                if each.availability.available or self._guard.is_silent(each.server.id)
            ]
            self._trusted = [
                each.server.id
                for each in self._fleet
                if each.availability.available and each.availability.suspect is None
            ]
        return len(self._standing)

    def _ask_others(self) -> None:
        """Ask a few others, and first of all those that answered when they were last asked."""
        self._census(time.monotonic())
        asked = set(random.sample(self._trusted, min(OPINIONS, len(self._trusted))))
        asked.update(random.sample(self._standing, min(OPINIONS - len(asked), len(self._standing))))
        for server_id in asked:
            if not self._guard.is_silent(server_id):
                self._ask(server_id)

    def _pardon(self, at: float) -> None:
        """Forget the silences from before: they were our own. Whose they were is asked again at once."""
        self._healed_at = at
        self._held.clear()
        for watched in self._fleet:
            if watched.availability.suspect in SILENT:
                self._ask(watched.server.id)
                watched.availability = evaluation.pardon(watched.availability)
            elif watched.availability.list_failure is not None:
                watched.availability = evaluation.pardon_listing(watched.availability)

    def _is_watched(self, server_id: ServerId) -> bool:
        return self._fleet.get(server_id) is not None

    def _tell(self, type_: EventType, isolation: Isolation, **more: float) -> None:
        facts = {"cause": isolation.cause.value, "servers": isolation.servers, "of": isolation.of, **more}
        log.warning(type_.value.replace(".", "_"), **facts)
        self._announce(Announcement(type=type_, since=isolation.since, body=facts))


@lru_cache(MOST_HOSTS)
def _host(url: str) -> str:
    return urlsplit(url).hostname or ""

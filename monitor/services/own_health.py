"""The monitor's doubts about itself: is it late, is it cut off, before a server is said to be down."""

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from urllib.parse import urlsplit

import structlog

from monitor.domain import evaluation
from monitor.domain.availability import Availability, Status
from monitor.domain.distribution import SECONDS, Distribution
from monitor.domain.event import Announcement, EventType
from monitor.domain.fleet import Fleet, Watched
from monitor.domain.lateness import Lateness
from monitor.domain.mass_failure import Isolation, MassFailure, Turn
from monitor.domain.probe import ProbeResult, Reason
from monitor.domain.schedule import JITTER
from monitor.domain.server import Policy, ServerId

BEAT = 0.1
WORTH_TELLING = 1.0
# A time-out is our own when for a fifth of it we did nothing at all.
OWN_SHARE = 0.2
TIMED = frozenset({Reason.TIMEOUT, Reason.CONNECT_TIMEOUT, Reason.TLS, Reason.DNS})
OPINIONS = 8
CENSUS_LASTS = 1.0

log = structlog.get_logger(__name__)


class OwnHealth:
    """Judges results and verdicts; implements `ports.Doubt`.

    A server whose answers turn bad has a few others asked at once. If those answer, that was all; if
    they do not, each has others asked in turn, so that a failure of the whole fleet is known for what
    it is long before the first verdict, although regular checks would take an interval to find it.
    """

    def __init__(
        self,
        *,
        fleet: Fleet,
        policy: Policy,
        ask: Callable[[ServerId], None],
        announce: Callable[[Announcement], None],
    ) -> None:
        """`ask` has a server checked now, unless that is under way."""
        self._fleet = fleet
        self._ask = ask
        self._announce = announce
        interval, timeout = policy.interval.total_seconds(), policy.timeout.total_seconds()
        self._guard = MassFailure(interval=interval, round_time=interval * (1 + JITTER) + timeout)
        self._lateness = Lateness(BEAT, at=time.monotonic())
        self._healed_at = float("-inf")
        self._standing: list[ServerId] = []
        self._counted_at = float("-inf")
        self.lag = Distribution(SECONDS)
        # How often a verdict was held back, once for each check that would have given it.
        self.held = 0

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
            self.lag.observe(lag)
            if lag >= WORTH_TELLING:
                log.warning("loop_late", seconds=round(lag, 1))
            if self._guard.isolation is not None:
                self._guard.keep(lambda server_id: self._fleet.get(server_id) is not None)
                self._decide(at)

    def clear(self) -> None:
        """Forget the fleet: it is somebody else's now."""
        self._guard.clear()
        self._standing, self._counted_at = [], float("-inf")

    def own_fault(self, result: ProbeResult, /, *, began: float, at: float, timeout: timedelta) -> ProbeResult:
        """Return the result, as `local` where what it says may well be our own doing."""
        if result.reason in evaluation.ALIVE or result.reason is Reason.LOCAL:
            return result
        if began < self._healed_at:
            detail = "This monitor was cut off when it asked."
        elif result.reason in TIMED and (
            self._lateness.longest_since(began, at=at) >= OWN_SHARE * timeout.total_seconds()
        ):
            detail = "This monitor was too busy to see an answer in time."
        else:
            return result
        return replace(result, reason=Reason.LOCAL, detail=detail)

    def weigh(self, watched: Watched, result: ProbeResult, after: Availability, /, *, at: float) -> Availability:
        """Return what is to be believed of a server, given what a probe alone makes of it."""
        before, server = watched.availability, watched.server
        if result.reason in evaluation.ALIVE:
            self._guard.answered(server.id)
            if self._guard.isolation is not None:
                self._decide(at)
        elif result.reason in evaluation.CERTAIN:
            # Nothing was asked, so nothing can be said about our network; nor is there a verdict to doubt.
            self._guard.answered(server.id)
            return after
        elif self._is_trouble(before, result.reason, server.id):
            host = urlsplit(server.url).hostname or ""
            new = self._guard.failed(server.id, result.reason, host=host, at=at)
            if new and result.reason is not Reason.LOCAL:
                self._ask_others()
            if self._guard.suspects(at):
                self._decide(at)
        if after.status is Status.DOWN and before.status is not Status.DOWN and self._guard.holds(at):
            self.held += 1
            return evaluation.hold(before, after)
        return after

    def _is_trouble(self, before: Availability, reason: Reason, server_id: ServerId) -> bool:
        if reason is Reason.LOCAL:
            return before.status is not Status.DOWN
        return self._guard.is_troubled(server_id) or (before.available and before.bad == 0)

    def _decide(self, at: float) -> None:
        isolation = self._guard.isolation
        turn = self._guard.decide(of=self._census(at), at=at)
        if turn is Turn.ISOLATED and self._guard.isolation is not None:
            self._tell(EventType.MONITOR_ISOLATED, self._guard.isolation)
        elif turn is not None and isolation is not None:
            if turn is Turn.HEALED:
                self._pardon(at)
            self._tell(EventType.MONITOR_RECOVERED, isolation, outage=turn is Turn.REAL)

    def _census(self, at: float) -> int:
        """Count the servers that are not down, at most once a second: the fleet may be large."""
        if at >= self._counted_at + CENSUS_LASTS:
            self._counted_at = at
            self._standing = [
                each.server.id
                for each in self._fleet
                if each.availability.available or self._guard.is_troubled(each.server.id)
            ]
        return len(self._standing)

    def _ask_others(self) -> None:
        self._census(time.monotonic())
        for server_id in random.sample(self._standing, min(OPINIONS, len(self._standing))):
            if not self._guard.is_troubled(server_id):
                self._ask(server_id)

    def _pardon(self, at: float) -> None:
        self._healed_at = at
        for watched in self._fleet:
            watched.availability = evaluation.pardon(watched.availability)

    def _tell(self, type_: EventType, isolation: Isolation, **more: bool) -> None:
        facts = {"cause": isolation.cause.value, "servers": isolation.servers, "of": isolation.of, **more}
        log.warning(type_.value.replace(".", "_"), **facts)
        self._announce(Announcement(type=type_, since=isolation.since, body=facts))

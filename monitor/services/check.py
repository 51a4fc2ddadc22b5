"""A check, in a straight line: probe, evaluate, record, and say when the next one is due."""

import random
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

import structlog

from monitor.domain import evaluation, schedule, suspicion, watching
from monitor.domain.availability import Availability, Status
from monitor.domain.counters import Counters
from monitor.domain.fleet import Fleet, Watched
from monitor.domain.mass_failure import SILENT
from monitor.domain.probe import ProbeResult, Reason
from monitor.domain.schedule import Schedule
from monitor.domain.server import ServerId
from monitor.ports import Doubt, Prober, Recorder

# Of a host that has vanished a new connection is asked for, so that a `timeout` is a sign of life.
NO_SIGN_OF_LIFE = SILENT - {Reason.TIMEOUT}

log = structlog.get_logger(__name__)


class Check:
    """Checks servers, one at a time with each call."""

    def __init__(
        self,
        *,
        fleet: Fleet,
        agenda: Schedule,
        prober: Prober,
        recorder: Recorder,
        doubt: Doubt,
        discover: Callable[[ServerId], None],
        suspect: Callable[[Watched], None],
        counters: Counters,
        gone: Callable[[ServerId], None] = lambda _: None,
    ) -> None:
        """`discover` is told of servers whose models may be other ones now, `suspect` of those that became suspect,
        `gone` of those that went down.
        """
        self._fleet = fleet
        self._agenda = agenda
        self._prober = prober
        self._recorder = recorder
        self._doubt = doubt
        self._discover = discover
        self._suspect = suspect
        self._counters = counters
        self._gone = gone

    async def run(self, server_id: ServerId) -> None:
        """Check the server once; a result that comes after its server was edited or deleted is dropped."""
        watched = self._fleet.get(server_id)
        if watched is None:
            return
        requested = watched.check_requested_at
        self._agenda.remove(server_id)
        began = time.monotonic()
        policy = watched.server.policy
        within = watching.connect_within(policy, vanished=watched.vanished)
        try:
            result = await self._prober.probe(watched.server, connect_within=within)
        except Exception:
            # The prober promises not to raise; should it, this server must not fall off the schedule.
            self._agenda.set(server_id, time.monotonic() + policy.interval.total_seconds())
            raise
        if self._fleet.is_current(watched):
            at = time.monotonic()
            waited = within if within and result.reason is Reason.CONNECT_TIMEOUT else policy.timeout
            result = self._doubt.own_fault(result, began=began, at=at, timeout=waited)
            self._counters.answers[result.reason] += 1
            self._judge(watched, result, requested, began=began, at=at)

    def suspect(self, watched: Watched, reason: Reason) -> None:
        """Suspect a server before a check says more; that is no evidence for a verdict."""
        if watched.suspicion.since is None and watched.availability.status is not Status.DOWN:
            now = time.monotonic()
            watched.suspicion = suspicion.after_check(
                watched.suspicion, watched.availability, reason, good=False, at=now, watch_ended_at=now
            )
            self._suspect(watched)
            self._recorder.record(watched.record(suspicion=watched.suspicion), at_once=True)

    def publish(self, watched: Watched, verdict: Availability) -> None:
        """Give out a verdict that was held back until now."""
        before, watched.availability = watched.availability, verdict
        watched.suspicion = suspicion.ended(watched.suspicion)
        self._recorder.record(watched.record(suspicion=watched.suspicion, flapping=verdict.flapping), at_once=True)
        log.info("server_status", **watched.verdict_after(before.status))
        if verdict.status is Status.DOWN:
            self._gone(watched.server.id)

    def _judge(
        self, watched: Watched, result: ProbeResult, requested: datetime | None, *, began: float, at: float
    ) -> None:
        server, before = watched.server, watched.availability
        after = evaluation.evaluate(before, result, server.policy, at=at)
        after = self._doubt.weigh(watched, result, after, began=began, at=at)
        delay = schedule.delay_after(
            after,
            server.policy,
            at=at,
            jitter=random.uniform(-1, 1),
            retry_after=result.retry_after,
            late=_lateness(watched, at=at),
        )
        if result.reason is Reason.LOCAL and watched.suspicion.since is not None:
            # It has to be cleared, or not, all the same.
            delay = min(delay, schedule.RECHECK)
        watched.due_at = at + delay
        self._agenda.set(server.id, watched.due_at, punctual=after.in_transition)
        came_up = before.status in {Status.UNKNOWN, Status.DOWN} and after.status in {Status.UP, Status.DEGRADED}
        new_version = result.server_version not in {None, watched.server_version}
        watched.availability = after
        watched.server_version = result.server_version or watched.server_version
        if watched.check_requested_at == requested:
            watched.check_requested_at = None
        if result.is_new_connection:
            watched.connected_at, watched.lost = began, result.lost
        is_news = self._take_suspicion(watched, result, began=began, at=at)
        changed = is_news or (after.status, after.flapping) != (before.status, before.flapping)
        self._record(watched, result, at=at, requested=requested, changed=changed)
        if after.status is not before.status:
            log.info("server_status", **watched.verdict_after(before.status))
        if after.flapping is not before.flapping:
            log.info("server_flapping", flapping=after.flapping, server=server.name, server_id=str(server.id))
        if came_up or (new_version and _may_list(watched, at=at)):
            self._discover(server.id)
        elif after.status is Status.DOWN and before.status is not Status.DOWN:
            self._gone(server.id)

    def _take_suspicion(self, watched: Watched, result: ProbeResult, *, began: float, at: float) -> bool:
        """Suspect the server, or not any more; return whether that is news for those who choose one."""
        before, ended_at = watched.suspicion, watched.watch_ended_at
        if result.reason is Reason.LOCAL:
            return False
        if ended_at is not None and began >= ended_at:
            watched.watch_ended_at = None
        if watched.availability.status is Status.DOWN or result.reason not in NO_SIGN_OF_LIFE:
            watched.vanished = False
        good = result.reason in evaluation.ALIVE
        if good and before.since is None:
            return False
        after = watched.suspicion = suspicion.after_check(
            before, watched.availability, result.reason, good=good, at=at, watch_ended_at=ended_at
        )
        # Also where it was read from the table before it was told.
        if after.is_due_at is not None:
            self._suspect(watched)
        return (before.since is None) is not (after.since is None)

    def _record(
        self, watched: Watched, result: ProbeResult, *, at: float, requested: datetime | None, changed: bool
    ) -> None:
        ours = result.reason is Reason.LOCAL
        if ours and requested is None:
            return
        record = watched.record(
            server_version=result.server_version,
            checked_at=None if ours else at,
            next_check_at=watched.due_at,
            latency=result.latency,
            answered_at=requested,
            answer=None if requested is None else _answer(result),
            flapping=watched.availability.flapping,
            suspicion=watched.suspicion,
            api=result.api,
            tls_expires_at=result.tls_expires_at,
            good=None if ours else result.reason in evaluation.ALIVE,
        )
        self._recorder.record(record, at_once=changed or requested is not None)


def _may_list(watched: Watched, *, at: float) -> bool:
    """Whether a new version may have the server listed ahead of time; if so, that is taken from its allowance."""
    if watched.new_versions.available(at) < 1:
        return False
    watched.new_versions = watched.new_versions.less(1, at=at)
    return True


def _lateness(watched: Watched, *, at: float) -> float:
    """Return how many seconds after its time a fast check was made; the first one is due when the watch ends."""
    due_at = watched.due_at if watched.availability.in_transition else watched.watch_ended_at
    return 0.0 if due_at is None else max(0.0, at - due_at)


def _answer(result: ProbeResult) -> dict[str, Any]:
    latency = None if result.latency is None else round(result.latency.total_seconds() * 1000, 3)
    return {"reason": result.reason.value, "detail": result.detail or None, "latency_ms": latency}

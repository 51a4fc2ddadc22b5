"""The monitor's doubts about itself, in the middle of checks: what is held, told, asked and forgiven."""

import time
from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest

from monitor.domain.availability import Availability, Status
from monitor.domain.event import Announcement, EventType
from monitor.domain.fleet import Fleet
from monitor.domain.probe import ProbeResult, Reason
from monitor.domain.schedule import Schedule
from monitor.domain.server import Policy, ServerId
from monitor.services import own_health
from monitor.services.check import Check
from monitor.services.own_health import OwnHealth
from tests.services.conftest import Running, until, watched
from tests.services.told import KeepingRecorder, ToldProber

POLICY = Policy(interval=timedelta(seconds=15), timeout=timedelta(seconds=5), rise=2, fall=3)
GOOD = ProbeResult(reason=Reason.OK, server_version="0.9.6")
REFUSED = ProbeResult(reason=Reason.REFUSED, detail="Nothing listens on the port.")
TIMEOUT = ProbeResult(reason=Reason.TIMEOUT)
LOCAL = ProbeResult(reason=Reason.LOCAL, detail="no file descriptors")
UP = Availability(status=Status.UP, reason=Reason.OK, good=5)


class Bench:
    """A fleet whose servers are all up, checked by hand."""

    def __init__(self, count: int, *, policy: Policy = POLICY) -> None:
        self.fleet = Fleet()
        for number in range(1, count + 1):
            entry = watched(number)
            entry.availability = UP
            self.fleet.put(entry)
        self.asked: list[ServerId] = []
        self.told: list[Announcement] = []
        self.prober, self.recorder = ToldProber(), KeepingRecorder()
        self.health = OwnHealth(fleet=self.fleet, policy=policy, ask=self.asked.append, announce=self.told.append)
        self.check = Check(
            fleet=self.fleet,
            agenda=Schedule(),
            prober=self.prober,
            recorder=self.recorder,
            doubt=self.health,
            discover=lambda _: None,
        )

    async def answer(self, result: ProbeResult, *numbers: int, times: int = 1) -> None:
        """Check servers by their numbers, each so many times."""
        self.prober.answer = result
        for number in numbers:
            for _ in range(times):
                await self.check(watched(number).server.id)

    @property
    def statuses(self) -> Counter[Status]:
        """How many servers are believed to be what."""
        return Counter(each.availability.status for each in self.fleet)

    @property
    def types(self) -> list[EventType]:
        """What was told of the monitor."""
        return [each.type for each in self.told]


async def test_a_fleet_that_fails_and_answers_again_was_never_down() -> None:
    bench = Bench(4)
    await bench.answer(REFUSED, 1, 2, 3, 4)
    await bench.answer(REFUSED, 1, 2, 3, 4, times=5)
    assert bench.statuses == {Status.UP: 4}
    await bench.answer(GOOD, 1, 2, 3, 4)
    assert bench.statuses == {Status.UP: 4}
    assert bench.types == [EventType.MONITOR_ISOLATED, EventType.MONITOR_RECOVERED]
    facts = {"cause": "refused", "servers": 3, "of": 4}
    assert [each.body for each in bench.told] == [facts, {**facts, "outage": False}]
    assert {record.status for record, _ in bench.recorder.taken} == {Status.UP}


async def test_an_outage_that_lasts_is_believed_after_the_hold(running: Running) -> None:
    quick = replace(POLICY, interval=timedelta(seconds=0.1), timeout=timedelta(seconds=1))
    bench = Bench(5, policy=quick)
    await bench.answer(REFUSED, 1, 2, 3)
    await bench.answer(REFUSED, 1, 2, 3, times=3)
    held = [each.availability for each in bench.fleet if each.availability.bad]
    assert [(each.status, each.reason, each.bad) for each in held] == [(Status.UP, Reason.OK, 4)] * 3
    async with running(bench.health.run()):
        await until(lambda: len(bench.told) == 2)
    assert bench.told[-1].body["outage"] is True
    await bench.answer(REFUSED, 1, 2, 3)
    assert bench.statuses == {Status.UP: 2, Status.DOWN: 3}


async def test_one_that_really_died_meanwhile_is_told_after_fresh_evidence() -> None:
    bench = Bench(6)
    await bench.answer(REFUSED, 1, 2, 3)
    await bench.answer(REFUSED, 1, 2, 3, times=4)
    await bench.answer(GOOD, 2)
    entry = bench.fleet.get(watched(1).server.id)
    assert entry is not None
    assert (entry.availability.status, entry.availability.bad) == (Status.UP, 0)
    await bench.answer(REFUSED, 1, times=2)
    assert bench.statuses == {Status.UP: 6}
    await bench.answer(REFUSED, 1)
    assert bench.statuses == {Status.UP: 5, Status.DOWN: 1}


async def test_a_probe_from_before_the_end_of_an_isolation_says_nothing() -> None:
    bench = Bench(3)
    before = time.monotonic()
    await bench.answer(REFUSED, 1, 2, 3)
    await bench.answer(GOOD, 1)
    timeout = POLICY.timeout
    late = bench.health.own_fault(TIMEOUT, began=before, at=time.monotonic(), timeout=timeout)
    assert late.reason is Reason.LOCAL
    assert bench.health.own_fault(GOOD, began=before, at=time.monotonic(), timeout=timeout) is GOOD
    now = time.monotonic()
    assert bench.health.own_fault(REFUSED, began=now, at=now, timeout=timeout) is REFUSED


async def test_faults_of_our_own_isolate_and_take_nobody_down() -> None:
    bench = Bench(4)
    await bench.answer(LOCAL, 1, 2, 3, 4, times=3)
    assert bench.statuses == {Status.UP: 4}
    assert [(each.type, each.body["cause"]) for each in bench.told] == [(EventType.MONITOR_ISOLATED, "local")]
    await bench.answer(GOOD, 1, 2, 3)
    assert bench.types == [EventType.MONITOR_ISOLATED, EventType.MONITOR_RECOVERED]


async def test_a_single_death_is_told_at_once_and_a_few_others_are_asked() -> None:
    bench = Bench(20)
    await bench.answer(REFUSED, 1, times=3)
    assert bench.statuses == {Status.UP: 19, Status.DOWN: 1}
    assert bench.told == []
    assert 1 <= len(bench.asked) <= own_health.OPINIONS
    assert watched(1).server.id not in bench.asked


async def test_credentials_that_cannot_be_opened_are_no_sign_of_a_sick_network() -> None:
    bench = Bench(4)
    await bench.answer(ProbeResult(reason=Reason.CREDENTIAL, detail="No key opens it."), 1, 2, 3, 4)
    assert bench.statuses == {Status.DOWN: 4}
    assert (bench.told, bench.asked) == ([], [])


async def test_servers_that_are_down_or_new_are_no_part_of_a_mass_failure() -> None:
    bench = Bench(10)
    for number, status in enumerate([Status.DOWN] * 3 + [Status.UNKNOWN] * 4, 1):
        entry = bench.fleet.get(watched(number).server.id)
        assert entry is not None
        entry.availability = Availability(status=status)
    await bench.answer(REFUSED, *range(1, 8), times=3)
    assert bench.statuses == {Status.UP: 3, Status.DOWN: 7}
    assert (bench.told, bench.asked) == ([], [])
    # The three that are left are the fleet now.
    await bench.answer(REFUSED, 8, 9, 10)
    assert bench.types == [EventType.MONITOR_ISOLATED]
    assert bench.told[0].body["of"] == 3


async def test_servers_deleted_during_an_isolation_do_not_keep_it_going(running: Running) -> None:
    bench = Bench(3)
    await bench.answer(REFUSED, 1, 2, 3)
    bench.fleet.clear()
    async with running(bench.health.run()):
        await until(lambda: len(bench.told) == 2)
    assert bench.told[-1].body["outage"] is False


async def test_a_fleet_that_is_somebody_elses_is_forgotten() -> None:
    bench = Bench(3)
    await bench.answer(REFUSED, 1, 2, 3)
    bench.health.clear()
    await bench.answer(REFUSED, 1, 2, 3, times=3)
    assert bench.statuses == {Status.DOWN: 3}


@pytest.mark.parametrize("reason", sorted(own_health.TIMED))
async def test_a_time_out_while_the_loop_stood_still_is_our_own(reason: Reason) -> None:
    bench = Bench(1)
    began = time.monotonic()
    result = ProbeResult(reason=reason, detail="no answer")
    stood_still = bench.health.own_fault(result, began=began, at=began + 5, timeout=POLICY.timeout)
    assert stood_still.reason is Reason.LOCAL
    assert bench.health.own_fault(result, began=began, at=began + 0.5, timeout=POLICY.timeout) is result
    assert bench.health.own_fault(REFUSED, began=began, at=began + 5, timeout=POLICY.timeout) is REFUSED

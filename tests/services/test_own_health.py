"""The monitor's doubts about itself, in the middle of checks: what is held, told, asked and forgiven."""

import time
from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest

from monitor.domain import evaluation, mass_failure
from monitor.domain.availability import Availability, Status
from monitor.domain.counters import Counters
from monitor.domain.event import Announcement, EventType
from monitor.domain.flap import Flap
from monitor.domain.fleet import Fleet
from monitor.domain.probe import Listing, ProbeResult, Reason
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
UNREACHABLE = ProbeResult(reason=Reason.UNREACHABLE, detail="There is no route to the network of the host.")
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
        self.here: set[str] = set()
        self.counters = Counters()
        self.looked_up_at = float("-inf")
        self.health = OwnHealth(
            fleet=self.fleet,
            policy=policy,
            ask=self.asked.append,
            publish=lambda watched, verdict: self.check.publish(watched, verdict),  # noqa: PLW0108  (made below)
            announce=self.told.append,
            counters=self.counters,
            is_here=lambda host: host in self.here,
            looked_up_at=lambda: self.looked_up_at,
        )
        self.check = Check(
            fleet=self.fleet,
            agenda=Schedule(),
            prober=self.prober,
            recorder=self.recorder,
            doubt=self.health,
            discover=lambda _: None,
            suspect=lambda _: None,
            counters=self.counters,
        )

    async def answer(self, result: ProbeResult, *numbers: int, times: int = 1) -> None:
        """Check servers by their numbers, each so many times."""
        self.prober.answer = result
        for number in numbers:
            for _ in range(times):
                await self.check.run(watched(number).server.id)

    @property
    def statuses(self) -> Counter[Status]:
        """How many servers are believed to be what."""
        return Counter(each.availability.status for each in self.fleet)

    @property
    def types(self) -> list[EventType]:
        """What was told of the monitor."""
        return [each.type for each in self.told]


@pytest.fixture(autouse=True)
def _no_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Isolation is taken for what it is at once, not after half a second."""
    monkeypatch.setattr(mass_failure, "GRACE", 0.0)


async def test_a_fleet_that_is_silent_and_answers_again_was_never_down() -> None:
    bench = Bench(4)
    await bench.answer(UNREACHABLE, 1, 2, 3, 4)
    await bench.answer(UNREACHABLE, 1, 2, 3, 4, times=5)
    assert bench.statuses == {Status.UP: 4}
    await bench.answer(GOOD, 1, 2, 3, 4)
    assert bench.statuses == {Status.UP: 4}
    assert bench.types == [EventType.MONITOR_ISOLATED, EventType.MONITOR_RECOVERED]
    facts = {"cause": "unreachable", "servers": 3, "of": 4}
    assert [each.body for each in bench.told] == [{**facts, "hold_seconds": 30.0}, {**facts, "outage": False}]
    assert {record.status for record, _ in bench.recorder.taken} == {Status.UP}


@pytest.mark.parametrize("reason", [Reason.REFUSED, Reason.RESET, Reason.SERVER_ERROR, Reason.AUTH, Reason.PROTOCOL])
async def test_what_a_whole_fleet_sends_back_is_believed_at_once(reason: Reason) -> None:
    bench = Bench(10)
    await bench.answer(ProbeResult(reason=reason), *range(1, 11), times=3)
    assert bench.statuses == {Status.DOWN: 10}
    assert (bench.told, bench.counters.verdicts_held) == ([], 0)


async def test_a_rack_that_falls_silent_is_believed_as_soon_as_one_server_while_another_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(mass_failure, "GRACE", 3600.0)
    bench = Bench(10)
    for _ in range(3):
        await bench.answer(UNREACHABLE, *range(1, 10))
        await bench.answer(GOOD, 10)
    assert bench.statuses == {Status.UP: 1, Status.DOWN: 9}
    assert bench.told == []
    down = [record for record, at_once in bench.recorder.taken if record.status is Status.DOWN and at_once]
    assert {record.server_id for record in down} == {watched(number).server.id for number in range(1, 10)}


async def test_a_verdict_that_waits_for_the_others_is_given_when_one_of_them_refuses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(mass_failure, "GRACE", 3600.0)
    bench = Bench(4)
    for _ in range(3):
        await bench.answer(UNREACHABLE, 1, 2, 3)
    assert (bench.statuses, bench.counters.verdicts_held) == ({Status.UP: 4}, 3)
    await bench.answer(REFUSED, 4)
    assert bench.statuses == {Status.UP: 1, Status.DOWN: 3}
    assert bench.told == []


async def test_servers_of_this_machine_prove_nothing_about_the_way_out() -> None:
    bench = Bench(4)
    bench.here.add("gpu-4")
    for _ in range(3):
        await bench.answer(UNREACHABLE, 1, 2, 3)
        await bench.answer(GOOD, 4)
    assert bench.statuses == {Status.UP: 4}
    assert bench.types == [EventType.MONITOR_ISOLATED]


async def test_names_that_nobody_can_look_up_are_held_and_not_beyond_the_next_one_that_is_found() -> None:
    bench = Bench(20)
    lost = ProbeResult(reason=Reason.DNS, detail="The name is not known.")
    for number in (1, 2, 3) * 3:
        await bench.answer(lost, number)
        # Reached over a connection that stands.
        await bench.answer(GOOD, 4)
    assert bench.statuses == {Status.UP: 20}
    assert [(each.type, each.body["cause"]) for each in bench.told] == [(EventType.MONITOR_ISOLATED, "dns")]
    bench.looked_up_at = time.monotonic()
    await bench.answer(GOOD, 4)
    assert bench.types == [EventType.MONITOR_ISOLATED, EventType.MONITOR_RECOVERED]
    await bench.answer(lost, 1, times=3)
    assert bench.statuses == {Status.UP: 19, Status.DOWN: 1}


async def test_an_outage_that_lasts_is_published_when_the_hold_is_over_without_another_question(
    running: Running,
) -> None:
    quick = replace(POLICY, interval=timedelta(seconds=0.1), timeout=timedelta(seconds=1))
    bench = Bench(5, policy=quick)
    await bench.answer(UNREACHABLE, 1, 2, 3)
    await bench.answer(UNREACHABLE, 1, 2, 3, times=3)
    held = [each.availability for each in bench.fleet if each.availability.bad]
    assert [(each.status, each.reason, each.bad) for each in held] == [(Status.UP, Reason.OK, 4)] * 3
    async with running(bench.health.run()):
        await until(lambda: len(bench.told) == 2)
    assert bench.told[-1].body["outage"] is True
    assert bench.statuses == {Status.UP: 2, Status.DOWN: 3}
    assert [record.status for record, at_once in bench.recorder.taken[-3:] if at_once] == [Status.DOWN] * 3


async def test_the_verdict_on_a_server_that_flaps_is_held_for_its_silence_like_any_other() -> None:
    bench = Bench(4)
    for entry in bench.fleet:
        entry.availability = replace(UP, flap=Flap(since=time.monotonic()))
    await bench.answer(UNREACHABLE, 1, 2, 3, 4)
    await bench.answer(UNREACHABLE, 1, 2, 3, 4, times=4)
    assert bench.statuses == {Status.UP: 4}
    await bench.answer(GOOD, 1, 2, 3, 4)
    assert {record.status for record, _ in bench.recorder.taken} == {Status.UP}


async def test_one_that_really_died_meanwhile_is_told_after_fresh_evidence() -> None:
    bench = Bench(6)
    await bench.answer(UNREACHABLE, 1, 2, 3)
    await bench.answer(UNREACHABLE, 1, 2, 3, times=4)
    await bench.answer(GOOD, 2)
    entry = bench.fleet.get(watched(1).server.id)
    assert entry is not None
    assert (entry.availability.status, entry.availability.bad) == (Status.UP, 0)
    # What it was suspected of it still is.
    assert entry.suspicion.reason is Reason.UNREACHABLE
    await bench.answer(UNREACHABLE, 1, times=2)
    assert bench.statuses == {Status.UP: 6}
    await bench.answer(UNREACHABLE, 1)
    assert bench.statuses == {Status.UP: 5, Status.DOWN: 1}


async def test_the_bad_answer_that_ends_an_isolation_is_the_first_one_against_its_server() -> None:
    bench = Bench(4)
    await bench.answer(UNREACHABLE, 1, 2, 3, 4)
    await bench.answer(UNREACHABLE, 1, 2, 3, 4, times=4)
    await bench.answer(REFUSED, 1)
    assert bench.types == [EventType.MONITOR_ISOLATED, EventType.MONITOR_RECOVERED]
    assert bench.statuses == {Status.UP: 4}
    entry = bench.fleet.get(watched(1).server.id)
    assert entry is not None
    assert (entry.availability.bad, entry.availability.suspect) == (1, Reason.REFUSED)
    # Whose silence was pardoned is asked at once, not an interval later.
    assert {watched(number).server.id for number in (2, 3, 4)} <= set(bench.asked)


async def test_a_listing_that_failed_meanwhile_degrades_nobody() -> None:
    bench = Bench(4)
    await bench.answer(UNREACHABLE, 1, 2, 3)
    entry = bench.fleet.get(watched(4).server.id)
    assert entry is not None
    failed = Listing(reason=Reason.UNREACHABLE, detail="no route")
    entry.availability = evaluation.evaluate_listing(entry.availability, failed, at=time.monotonic())
    await bench.answer(GOOD, 1)
    await bench.answer(GOOD, 4)
    assert bench.statuses == {Status.UP: 4}


async def test_a_silence_from_before_the_end_of_an_isolation_says_nothing() -> None:
    bench = Bench(3)
    before = time.monotonic()
    await bench.answer(UNREACHABLE, 1, 2, 3)
    await bench.answer(GOOD, 1)
    timeout = POLICY.timeout
    late = bench.health.own_fault(TIMEOUT, began=before, at=time.monotonic(), timeout=timeout)
    assert late.reason is Reason.LOCAL
    assert bench.health.own_fault(GOOD, began=before, at=time.monotonic(), timeout=timeout) is GOOD
    assert bench.health.own_fault(REFUSED, began=before, at=time.monotonic(), timeout=timeout) is REFUSED
    now = time.monotonic()
    assert bench.health.own_fault(UNREACHABLE, began=now, at=now, timeout=timeout) is UNREACHABLE


async def test_faults_of_our_own_isolate_and_take_nobody_down() -> None:
    bench = Bench(4)
    await bench.answer(LOCAL, 1, 2, 3, 4, times=3)
    assert bench.statuses == {Status.UP: 4}
    assert [(each.type, each.body["cause"]) for each in bench.told] == [(EventType.MONITOR_ISOLATED, "local")]
    await bench.answer(GOOD, 1, 2, 3)
    assert bench.types == [EventType.MONITOR_ISOLATED, EventType.MONITOR_RECOVERED]


async def test_a_single_silence_is_believed_and_a_few_others_are_asked() -> None:
    bench = Bench(20)
    await bench.answer(UNREACHABLE, 1, times=3)
    assert bench.statuses == {Status.UP: 19, Status.DOWN: 1}
    assert bench.told == []
    assert 1 <= len(bench.asked) <= own_health.OPINIONS
    assert watched(1).server.id not in bench.asked


async def test_those_that_answered_when_they_were_last_asked_are_asked_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_health, "CENSUS_LASTS", 0.0)
    monkeypatch.setattr(mass_failure, "GRACE", 3600.0)
    bench = Bench(200)
    await bench.answer(UNREACHABLE, *range(1, 200))
    await bench.answer(GOOD, 200)
    bench.asked.clear()
    await bench.answer(UNREACHABLE, 1)
    assert watched(200).server.id in bench.asked
    assert len(bench.asked) <= own_health.OPINIONS


async def test_a_death_that_the_host_itself_tells_of_needs_no_opinion() -> None:
    bench = Bench(20)
    await bench.answer(REFUSED, 1, times=3)
    assert bench.statuses == {Status.UP: 19, Status.DOWN: 1}
    assert (bench.told, bench.asked) == ([], [])


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
    await bench.answer(UNREACHABLE, *range(1, 8), times=3)
    assert bench.statuses == {Status.UP: 3, Status.DOWN: 7}
    assert (bench.told, bench.asked) == ([], [])
    # The three that are left are the fleet now.
    await bench.answer(UNREACHABLE, 8, 9, 10)
    assert bench.types == [EventType.MONITOR_ISOLATED]
    assert bench.told[0].body["of"] == 3


async def test_servers_deleted_during_an_isolation_do_not_keep_it_going(running: Running) -> None:
    bench = Bench(3)
    await bench.answer(UNREACHABLE, 1, 2, 3)
    for entry in bench.fleet:
        bench.fleet.remove(entry.server.id)
    async with running(bench.health.run()):
        await until(lambda: len(bench.told) == 2)
    assert bench.told[-1].body["outage"] is False


@pytest.mark.parametrize("reason", sorted(own_health.TIMED))
async def test_a_time_out_while_the_loop_stood_still_is_our_own(reason: Reason) -> None:
    bench = Bench(1)
    began = time.monotonic()
    result = ProbeResult(reason=reason, detail="no answer")
    stood_still = bench.health.own_fault(result, began=began, at=began + 5, timeout=POLICY.timeout)
    assert stood_still.reason is Reason.LOCAL
    assert bench.health.own_fault(result, began=began, at=began + 0.5, timeout=POLICY.timeout) is result
    assert bench.health.own_fault(REFUSED, began=began, at=began + 5, timeout=POLICY.timeout) is REFUSED

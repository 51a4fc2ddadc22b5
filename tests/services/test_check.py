"""A check in a straight line: what is recorded, what is dropped, when the next one is due, who is told."""

import asyncio
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from monitor.domain.availability import Availability, Status
from monitor.domain.counters import Counters
from monitor.domain.fleet import Fleet, Watched
from monitor.domain.noise import NEW_VERSIONS
from monitor.domain.probe import Lost, ProbeResult, Reason
from monitor.domain.record import ServerRecord
from monitor.domain.schedule import Schedule
from monitor.domain.server import ServerId
from monitor.domain.suspicion import Suspicion
from monitor.services.check import Check
from tests.services.conftest import settled, watched
from tests.services.told import KeepingRecorder, NoDoubt, ToldProber

REQUESTED = datetime(2030, 1, 1, tzinfo=UTC)
GOOD = ProbeResult(reason=Reason.OK, server_version="0.9.6", latency=timedelta(milliseconds=1.5))
REFUSED = ProbeResult(reason=Reason.REFUSED, detail="connection refused")
LOCAL = ProbeResult(reason=Reason.LOCAL, detail="no file descriptors")


class Bench:
    """A check of one server with all that it touches."""

    def __init__(self, entry: Watched | None = None) -> None:
        self.fleet, self.agenda = Fleet(), Schedule()
        self.prober, self.recorder = ToldProber(), KeepingRecorder()
        self.discovered: list[ServerId] = []
        self.gone: list[ServerId] = []
        self.counters = Counters()
        self.suspected: list[Watched] = []
        self.check = Check(
            fleet=self.fleet,
            agenda=self.agenda,
            prober=self.prober,
            recorder=self.recorder,
            doubt=NoDoubt(),
            discover=self.discovered.append,
            suspect=self.suspected.append,
            counters=self.counters,
            gone=self.gone.append,
        )
        self.entry = entry or watched()
        self.id = self.entry.server.id
        self.fleet.put(self.entry)

    async def answers(self, *results: ProbeResult) -> None:
        """Check once for each answer."""
        for result in results:
            self.prober.answer = result
            await self.check.run(self.id)

    def due_in(self) -> float:
        """Return the seconds until the next check."""
        ((server_id, due),) = self.agenda.due(float("inf"))
        assert server_id == self.id
        return due - time.monotonic()

    @property
    def records(self) -> list[ServerRecord]:
        """All records so far."""
        return [record for record, _ in self.recorder.taken]


async def test_the_first_good_answer_is_a_transition_and_starts_a_discovery() -> None:
    bench = Bench()
    before = time.monotonic()
    await bench.answers(GOOD)
    ((record, at_once),) = bench.recorder.taken
    assert at_once
    assert (record.status, record.reason, record.server_version) == (Status.UP, Reason.OK, "0.9.6")
    assert record.latency == GOOD.latency
    assert record.row_version == bench.entry.server.row_version
    assert record.checked_at is not None
    assert record.next_check_at is not None
    assert before <= record.checked_at <= time.monotonic()
    assert 13.5 <= record.next_check_at - record.checked_at <= 16.5
    assert bench.discovered == [bench.id]
    assert bench.counters.answers == {Reason.OK: 1}
    assert (bench.entry.availability.status, bench.entry.server_version) == (Status.UP, "0.9.6")
    assert bench.due_in() == pytest.approx(record.next_check_at - time.monotonic(), abs=1)


async def test_more_of_the_same_is_no_transition_and_no_discovery() -> None:
    bench = Bench()
    await bench.answers(GOOD, GOOD)
    assert [at_once for _, at_once in bench.recorder.taken] == [True, False]
    assert bench.discovered == [bench.id]


async def test_in_transition_a_server_is_asked_again_soon() -> None:
    bench = Bench()
    await bench.answers(GOOD, REFUSED)
    assert bench.due_in() <= 0.1
    await bench.answers(REFUSED, REFUSED)
    assert [record.status for record in bench.records] == [Status.UP, Status.UP, Status.UP, Status.DOWN]
    assert bench.records[-1].detail == "connection refused"
    assert [at_once for _, at_once in bench.recorder.taken] == [True, True, False, True]


async def test_fast_checks_make_up_for_a_late_one_from_the_end_of_the_watch_on() -> None:
    bench = Bench(watched(status=Status.UP))
    bench.entry.watch_ended_at = time.monotonic() - 0.03
    await bench.answers(REFUSED)
    bench.entry.due_at = time.monotonic() - 10
    await bench.answers(REFUSED)
    first, second = ((record.next_check_at or 0.0) - (record.checked_at or 0.0) for record in bench.records)
    assert 0.05 <= round(first, 6) <= 0.07
    assert second == pytest.approx(0.05)


async def test_a_server_that_comes_up_or_has_a_new_version_is_discovered() -> None:
    bench = Bench()
    await bench.answers(GOOD)
    await bench.answers(*[REFUSED] * 3, GOOD)
    assert len(bench.discovered) == 1
    await bench.answers(GOOD)
    assert len(bench.discovered) == 2
    await bench.answers(replace(GOOD, server_version=None))
    assert len(bench.discovered) == 2
    await bench.answers(replace(GOOD, server_version="0.30.0"))
    assert len(bench.discovered) == 3


async def test_a_version_that_alternates_has_a_server_listed_ahead_of_time_a_few_times_only() -> None:
    bench = Bench()
    versions = [replace(GOOD, server_version=f"0.9.{number % 2}") for number in range(100)]
    await bench.answers(*versions)
    # The first is that of a server that came up, which is no matter of its version.
    assert len(bench.discovered) == 1 + NEW_VERSIONS.most
    bench.entry.new_versions = replace(bench.entry.new_versions, at=bench.entry.new_versions.at - 601)
    await bench.answers(*versions)
    assert len(bench.discovered) == 2 + NEW_VERSIONS.most


async def test_a_server_that_is_down_is_not_discovered() -> None:
    bench = Bench()
    await bench.answers(*[REFUSED] * 4)
    assert bench.discovered == []


async def test_a_server_that_asks_for_patience_gets_it() -> None:
    bench = Bench()
    await bench.answers(ProbeResult(reason=Reason.BUSY, retry_after=timedelta(seconds=25)))
    assert 20 < bench.due_in() <= 25


@pytest.mark.parametrize("known", [Availability(), Availability(status=Status.UP, reason=Reason.OK, good=4)])
async def test_a_local_fault_says_nothing_but_the_next_check_is_due(known: Availability) -> None:
    bench = Bench()
    bench.entry.availability = known
    await bench.answers(LOCAL)
    assert bench.recorder.taken == []
    assert bench.entry.availability is known
    assert bench.due_in() > 10


async def test_a_request_is_answered_at_once_with_what_was_found() -> None:
    bench = Bench(watched(check_requested_at=REQUESTED))
    await bench.answers(GOOD)
    ((record, at_once),) = bench.recorder.taken
    assert at_once
    assert record.answered_at == REQUESTED
    assert record.answer == {"reason": "ok", "detail": None, "latency_ms": 1.5}
    assert bench.entry.check_requested_at is None
    await bench.answers(GOOD)
    assert bench.records[-1].answer is None
    assert bench.records[-1].answered_at is None


async def test_a_request_is_answered_even_if_the_fault_is_ours() -> None:
    bench = Bench(watched(check_requested_at=REQUESTED))
    await bench.answers(LOCAL)
    ((record, at_once),) = bench.recorder.taken
    assert at_once
    assert record.answer == {"reason": "local", "detail": "no file descriptors", "latency_ms": None}
    assert (record.status, record.checked_at) == (Status.UNKNOWN, None)


async def test_a_request_that_comes_during_a_check_is_left_for_the_next_one() -> None:
    bench = Bench()
    bench.prober.gate.clear()
    checking = asyncio.create_task(bench.check.run(bench.id))
    await settled()
    bench.entry.check_requested_at = REQUESTED
    bench.prober.gate.set()
    await checking
    assert bench.records[-1].answered_at is None
    assert bench.entry.check_requested_at == REQUESTED
    await bench.answers(GOOD)
    assert bench.records[-1].answered_at == REQUESTED


@pytest.mark.parametrize("edited", [True, False])
async def test_a_result_that_comes_after_an_edit_or_a_delete_is_dropped(edited: bool) -> None:
    bench = Bench()
    bench.prober.gate.clear()
    checking = asyncio.create_task(bench.check.run(bench.id))
    await settled()
    if edited:
        bench.fleet.put(watched(row_version=2))
    else:
        bench.fleet.remove(bench.id)
    bench.prober.gate.set()
    await checking
    assert bench.recorder.taken == []
    assert bench.discovered == []
    assert bench.agenda.due(float("inf")) == []


async def test_a_server_that_is_not_watched_is_not_asked() -> None:
    bench = Bench()
    await bench.check.run(watched(2).server.id)
    assert bench.prober.asked == []


async def test_a_prober_that_raises_does_not_take_the_server_off_the_schedule() -> None:
    bench = Bench()
    bench.prober.answer = RuntimeError("a bug")
    with pytest.raises(RuntimeError, match="a bug"):
        await bench.check.run(bench.id)
    assert 10 < bench.due_in() <= 15
    assert bench.recorder.taken == []


async def test_while_a_check_is_under_way_the_server_is_not_due_again() -> None:
    bench = Bench()
    bench.agenda.set(bench.id, 0.0)
    bench.prober.gate.clear()
    checking = asyncio.create_task(bench.check.run(bench.id))
    await settled()
    assert bench.agenda.due(float("inf")) == []
    bench.prober.gate.set()
    await checking
    assert len(bench.agenda) == 1


async def test_the_first_bad_answer_makes_a_server_suspect_and_is_written_at_once() -> None:
    bench = Bench(watched(status=Status.UP))
    await bench.answers(GOOD, REFUSED)
    record, at_once = bench.recorder.taken[-1]
    assert record.suspicion is not None
    assert (record.status, record.suspicion.reason, record.suspicion.told) == (Status.UP, Reason.REFUSED, False)
    assert at_once
    assert bench.suspected == [bench.entry]
    await bench.answers(REFUSED)
    assert not bench.recorder.taken[-1][1]
    assert all(each is bench.entry for each in bench.suspected)


async def test_a_good_answer_or_a_verdict_ends_the_suspicion_at_once() -> None:
    bench = Bench(watched(status=Status.UP))
    await bench.answers(REFUSED, GOOD)
    assert [(record.suspicion and record.suspicion.since, at_once) for record, at_once in bench.recorder.taken[1:]] == [
        (None, True)
    ]
    await bench.answers(REFUSED, REFUSED, REFUSED)
    record, _ = bench.recorder.taken[-1]
    assert record.suspicion is not None
    assert (record.status, record.suspicion.since) == (Status.DOWN, None)


async def test_our_own_fault_makes_nobody_suspect() -> None:
    bench = Bench(watched(status=Status.UP))
    await bench.answers(LOCAL)
    assert (bench.suspected, bench.entry.suspicion.since) == ([], None)


async def test_the_end_of_the_watch_dates_a_suspicion_that_the_check_confirms() -> None:
    bench = Bench(watched(status=Status.UP))
    bench.entry.watch_ended_at = ended_at = time.monotonic() - 1
    await bench.answers(REFUSED)
    assert bench.entry.suspicion.since == ended_at
    assert bench.entry.watch_ended_at is None


async def test_a_verdict_that_was_held_is_given_out_as_it_is() -> None:
    bench = Bench(watched(status=Status.UP))
    await bench.answers(REFUSED)
    down = replace(bench.entry.availability, status=Status.DOWN, reason=Reason.TIMEOUT)
    bench.check.publish(bench.entry, down)
    record, at_once = bench.recorder.taken[-1]
    assert record.suspicion is not None
    assert (record.status, record.reason, record.suspicion.since, at_once) == (Status.DOWN, Reason.TIMEOUT, None, True)
    assert bench.entry.availability is down


async def test_a_suspicion_that_was_read_before_it_was_told_is_told_after_all() -> None:
    bench = Bench(watched(status=Status.UP))
    bench.entry.suspicion = Suspicion(since=time.monotonic() - 5, reason=Reason.REFUSED)
    await bench.answers(REFUSED)
    assert bench.suspected == [bench.entry]


async def test_a_suspect_is_asked_again_soon_when_the_question_failed_by_our_own_fault() -> None:
    bench = Bench(watched(status=Status.UP))
    bench.entry.suspicion = Suspicion(since=time.monotonic(), reason=Reason.TIMEOUT)
    await bench.answers(LOCAL)
    assert bench.due_in() <= 1


async def test_a_good_answer_on_a_new_connection_is_noted_with_when_the_one_before_was_lost() -> None:
    bench = Bench()
    await bench.answers(GOOD)
    assert bench.entry.lost is None
    before = time.monotonic()
    await bench.answers(replace(GOOD, is_new_connection=True, lost=Lost(7.0, 1.0)))
    assert before <= bench.entry.connected_at <= time.monotonic()
    noted = bench.entry.connected_at
    await bench.answers(GOOD)
    assert bench.entry.connected_at == noted
    assert [bench.entry.lost] == [Lost(7.0, 1.0)]


async def test_a_check_that_began_before_the_watch_ended_does_not_say_what_its_end_meant() -> None:
    bench = Bench(watched(status=Status.UP))
    bench.prober.gate.clear()
    check = asyncio.create_task(bench.check.run(bench.id))
    await settled()
    bench.entry.watch_ended_at = time.monotonic()
    bench.prober.gate.set()
    await check
    assert bench.entry.watch_ended_at is not None
    await bench.answers(GOOD)
    assert bench.entry.watch_ended_at is None


async def test_of_a_server_that_goes_down_it_is_told_once_also_when_the_verdict_was_held() -> None:
    bench = Bench(watched(status=Status.UP))
    await bench.answers(*[REFUSED] * 2)
    assert bench.gone == []
    await bench.answers(*[REFUSED] * 3)
    assert bench.gone == [bench.id]
    bench.check.publish(bench.entry, Availability(status=Status.DOWN))
    assert bench.gone == [bench.id] * 2

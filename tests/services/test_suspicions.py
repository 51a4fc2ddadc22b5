"""Suspicions are told once they have lasted, many in one go, and not when they are over or nobody's any more."""

import time

import pytest

from monitor.domain import suspicion
from monitor.domain.availability import Status
from monitor.domain.fleet import Fleet, Watched
from monitor.domain.probe import Reason
from monitor.domain.suspicion import Suspicion
from monitor.services.suspicions import Suspicions
from tests.services.conftest import watched
from tests.services.told import KeepingRecorder


class Bench:
    """Servers that are suspect since some seconds ago."""

    def __init__(self, *since: float) -> None:
        self.fleet, self.recorder = Fleet(), KeepingRecorder()
        self.suspicions = Suspicions(fleet=self.fleet, recorder=self.recorder)
        self.entries = [self._suspect(number, age) for number, age in enumerate(since, 1)]

    def _suspect(self, number: int, age: float) -> Watched:
        entry = watched(number, status=Status.UP)
        entry.suspicion = Suspicion(since=time.monotonic() - age, reason=Reason.TIMEOUT)
        self.fleet.put(entry)
        self.suspicions.add(entry)
        return entry


def test_those_that_have_lasted_are_told_in_one_go_and_once() -> None:
    bench = Bench(0.4, 5, 0)
    bench.suspicions.sweep()
    bench.suspicions.sweep()
    told = [(record.server_id, record.suspicion and record.suspicion.told) for record, _ in bench.recorder.taken]
    assert told == [(entry.server.id, True) for entry in bench.entries[:2]]
    assert all(at_once for _, at_once in bench.recorder.taken)
    assert [entry.suspicion.told for entry in bench.entries] == [True, True, False]


@pytest.mark.parametrize("end", ["good", "edited"])
def test_what_is_over_is_not_told(end: str) -> None:
    bench = Bench(5)
    if end == "good":
        bench.entries[0].suspicion = suspicion.ended(bench.entries[0].suspicion)
    else:
        bench.fleet.put(watched(1, row_version=2))
    bench.suspicions.sweep()
    assert bench.recorder.taken == []


def test_a_second_one_within_ten_seconds_waits() -> None:
    bench = Bench(5)
    bench.suspicions.sweep()
    (entry,) = bench.entries
    entry.suspicion = Suspicion(since=time.monotonic() - 5, reason=Reason.TIMEOUT, told_at=entry.suspicion.told_at)
    bench.suspicions.add(entry)
    bench.suspicions.sweep()
    assert len(bench.recorder.taken) == 1
    assert not entry.suspicion.told

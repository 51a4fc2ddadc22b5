"""Writing what checks found: transitions at once, the rest together, and nothing lost while the database is away."""

import asyncio
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from monitor.domain.availability import Status
from monitor.domain.counters import Counters
from monitor.domain.probe import Reason
from monitor.domain.record import ServerRecord
from monitor.services import recorder
from monitor.services.recorder import BatchRecorder
from tests.services.conftest import Running, settled, until, watched
from tests.services.fakes import MemoryDatabase, MemoryServers

NEVER = 3600.0


@pytest.fixture
def store(database: MemoryDatabase) -> MemoryServers:
    """Where the records of a hundred servers go."""
    for number in range(101):
        database.save(watched(number))
    return MemoryServers(database)


@pytest.fixture
def counters() -> Counters:
    """What the recorder counts."""
    return Counters()


@pytest.fixture
def records(store: MemoryServers, counters: Counters) -> BatchRecorder:
    """Writes to the store."""
    return BatchRecorder(store, counters=counters)


def found(number: int = 1, *, at: float = 1.0, status: Status = Status.UP) -> ServerRecord:
    """What a check of a server found."""
    return ServerRecord(
        server_id=watched(number).server.id,
        row_version=1,
        status=status,
        reason=Reason.OK,
        detail="",
        checked_at=at,
    )


async def two_turns(records: BatchRecorder) -> None:
    """Wait until whatever is to be written now has been tried at least once."""
    turns = records.turns
    await until(lambda: records.turns > turns + 1)


async def test_a_transition_is_written_at_once_and_takes_the_others_along(
    records: BatchRecorder, store: MemoryServers, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "LONGEST_WAIT", NEVER)
    async with running(records.run()):
        records.record(found(1), at_once=False)
        await settled()
        assert store.batches == []
        records.record(found(2), at_once=True)
        await until(lambda: store.batches)
    assert store.batches == [[found(1), found(2)]]


async def test_what_can_wait_goes_together_in_one_write(
    records: BatchRecorder, store: MemoryServers, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "LONGEST_WAIT", 0.05)
    async with running(records.run()):
        for number in range(50):
            records.record(found(number), at_once=False)
        await until(lambda: store.batches)
        turns = records.turns
        await until(lambda: records.turns > turns + 1)
    assert [len(batch) for batch in store.batches] == [50]


async def test_of_one_server_only_the_newest_record_is_written(records: BatchRecorder, store: MemoryServers) -> None:
    records.record(replace(found(at=1.0), server_version="0.9.6"), at_once=False)
    records.record(found(at=2.0, status=Status.DOWN), at_once=False)
    await records.flush()
    await records.flush()
    assert store.batches == [[replace(found(at=2.0, status=Status.DOWN), server_version="0.9.6")]]


async def test_every_record_is_noted_also_those_that_are_never_written(
    store: MemoryServers, database: MemoryDatabase, counters: Counters
) -> None:
    noted: list[ServerRecord] = []
    records = BatchRecorder(store, counters=counters, note=noted.append)
    told = [found(at=1.0), found(at=2.0)]
    for each in told:
        records.record(each, at_once=False)
    assert (noted, records.waiting) == (told, 1)
    await records.flush()
    assert records.waiting == 0
    assert counters.batch_records.document()["sum"] == 1


async def test_with_the_database_away_the_newest_records_wait_and_are_written_once(
    records: BatchRecorder,
    store: MemoryServers,
    database: MemoryDatabase,
    running: Running,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(recorder, "LONGEST_WAIT", 0.005)
    monkeypatch.setattr(recorder, "RETRY", 0.005)
    database.away = True
    with capture_logs() as logs:
        async with running(records.run()):
            for at in range(3):
                for number in (1, 2):
                    records.record(found(number, at=at), at_once=True)
                await two_turns(records)
            database.away = False
            await until(lambda: store.batches)
            await two_turns(records)
    assert [sorted(batch, key=lambda each: each.server_id) for batch in store.batches] == [
        [found(1, at=2), found(2, at=2)]
    ]
    assert [line["event"] for line in logs] == ["results_wait", "results_written_again"]


async def test_a_record_that_came_during_a_failed_write_is_the_one_that_is_kept(
    records: BatchRecorder, store: MemoryServers, database: MemoryDatabase
) -> None:
    database.away = True
    store.gate.clear()
    records.record(replace(found(at=1.0), server_version="0.9.6"), at_once=False)
    writing = asyncio.create_task(records.flush())
    await settled()
    records.record(found(at=2.0), at_once=False)
    store.gate.set()
    await writing
    database.away = False
    await records.flush()
    assert store.batches == [[replace(found(at=2.0), server_version="0.9.6")]]


async def test_a_poisoned_record_does_no_harm_to_the_others(
    records: BatchRecorder, store: MemoryServers, counters: Counters
) -> None:
    bad = found(3)
    store.poisoned = {bad.server_id}
    for number in range(7):
        records.record(found(number), at_once=False)
    with capture_logs() as logs:
        await records.flush()
    assert set(store.written) == {found(number).server_id for number in range(7)} - {bad.server_id}
    assert counters.results_dropped == 1
    assert [(line["event"], line["server_id"]) for line in logs] == [("result_refused", str(bad.server_id))]
    store.batches.clear()
    await records.flush()
    assert store.batches == []


async def test_what_is_locked_for_a_moment_is_written_later_without_a_word(
    records: BatchRecorder, store: MemoryServers
) -> None:
    store.locked = {found(1).server_id}
    records.record(found(1), at_once=True)
    with capture_logs() as logs:
        await records.flush()
        store.locked = set()
        await records.flush()
    assert (store.batches, logs) == ([[found(1)]], [])


async def test_what_stays_locked_is_written_later_and_told_once(
    records: BatchRecorder, store: MemoryServers, counters: Counters, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "LOCK_WORTH_TELLING", 0.0)
    held, other = found(1), found(2)
    store.locked = {held.server_id}
    with capture_logs() as logs:
        for record in (held, other):
            records.record(record, at_once=True)
        await records.flush()
        await records.flush()
        # A batch without it says nothing about it.
        records.record(replace(held, detail="newer"), at_once=True)
        await records.flush()
        assert (store.batches, records.waiting) == ([[other]], 1)
        store.locked = set()
        await records.flush()
    assert store.batches[1:] == [[replace(held, detail="newer")]]
    assert counters.results_dropped == 0
    told = [(line["event"], line["servers"], line["holder"]) for line in logs]
    assert told == [("server_rows_locked", 1, "pid 1, psql")]


async def test_what_the_database_does_not_want_is_counted(
    records: BatchRecorder, store: MemoryServers, database: MemoryDatabase, counters: Counters
) -> None:
    assert database.lease is not None
    database.lease = replace(database.lease, epoch=2)
    records.record(found(1), at_once=False)
    records.record(found(2), at_once=False)
    await records.flush()
    assert (store.batches, counters.results_dropped) == ([], 2)


async def test_a_write_that_hangs_does_not_stop_the_turns_and_is_saved_when_it_is_cancelled(
    records: BatchRecorder, store: MemoryServers, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "LONGEST_WAIT", 0.005)
    store.gate.clear()
    records.record(found(1), at_once=True)
    async with running(records.run()):
        await until(lambda: records.turns > 3)
        assert store.batches == []
    store.gate.set()
    await records.flush()
    assert store.batches == [[found(1)]]


async def test_a_transition_does_not_wait_for_many_others_that_can(
    records: BatchRecorder, store: MemoryServers, running: Running
) -> None:
    async with running(records.run()):
        records.record(found(1), at_once=True)
        await until(lambda: store.batches)
        for number in range(2, 100):
            records.record(found(number), at_once=False)
        records.record(found(100, status=Status.DOWN), at_once=True)
        await until(lambda: len(store.batches) == 2)
        assert store.batches[1] == [found(100, status=Status.DOWN)]
        # Those that can wait have their turn, however many transitions there are.
        while len(store.written) < 100:
            records.record(found(100, status=Status.DOWN), at_once=True)
            await asyncio.sleep(0)

"""A server whose models change without end: little is told, asked and written of it, and in the end the truth is."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from monitor.domain.availability import Status
from monitor.domain.noise import Allowance
from monitor.domain.probe import ListedModel, LoadedModel, Reason, Residency, ShownModel
from tests.services.conftest import watched
from tests.services.fakes import MemoryDatabase
from tests.services.test_discovery import BIG, TINY, Bench

NO_MORE = Allowance(most=4, each_second=0)


@pytest.fixture
def bench(database: MemoryDatabase) -> Bench:
    """A discovery of a server that may change four things in all."""
    bench = Bench(database)
    bench.entry.list_noise = replace(bench.entry.list_noise, allowance=NO_MORE)
    bench.entry.memory_noise = replace(bench.entry.memory_noise, allowance=NO_MORE)
    return bench


def models(mark: str, *, count: int = 4) -> tuple[ListedModel, ...]:
    """Models whose digests are other ones for each mark."""
    return tuple(replace(TINY, model_name=f"m{number}:1b", digest=mark * 64) for number in range(count))


def let_time_pass(bench: Bench) -> None:
    """Let it have said the same for long enough."""
    bench.entry.list_noise = replace(bench.entry.list_noise, quiet=0.0)
    bench.entry.memory_noise = replace(bench.entry.memory_noise, quiet=0.0)


def digests(bench: Bench) -> set[str | None]:
    """The digests on record."""
    return {model.facts.digest for model in bench.store.models if not model.removed}


async def test_changes_beyond_the_allowance_are_neither_read_nor_written_and_show_as_degraded(bench: Bench) -> None:
    await bench.lists(*models("a"))
    await bench.lists(*models("b"))
    reads, writes = bench.store.reads, len(bench.store.writes)
    for mark in "cdefab":
        await bench.lists(*models(mark))
    assert (bench.store.reads, len(bench.store.writes), digests(bench)) == (reads, writes, {"a" * 64})
    ((record, at_once),) = [taken for taken in bench.recorder.taken if taken[0].reason is Reason.NOISY]
    assert (record.status, at_once) == (Status.DEGRADED, True)


async def test_once_it_is_quiet_the_whole_truth_is_told_at_once(bench: Bench) -> None:
    await bench.lists(*models("a"))
    await bench.lists(*models("b"))
    await bench.lists(*models("c", count=3), BIG)
    assert digests(bench) == {"a" * 64}
    let_time_pass(bench)
    await bench.lists(*models("c", count=3), BIG)
    assert bench.store.active == {"m0:1b", "m1:1b", "m2:1b", "big:70b"}
    assert digests(bench) == {"c" * 64, BIG.digest}
    assert bench.entry.availability.status is Status.UP
    writes = len(bench.store.writes)
    await bench.lists(*models("c", count=3), BIG)
    assert len(bench.store.writes) == writes


async def test_it_ends_also_where_all_is_as_it_was_before(bench: Bench) -> None:
    await bench.lists(*models("a"))
    await bench.lists(*models("b"))
    let_time_pass(bench)
    await bench.lists(*models("a"))
    assert bench.entry.availability.status is Status.UP
    assert not bench.entry.list_noise.is_noisy


async def test_a_request_is_told_that_nobody_follows(bench: Bench) -> None:
    await bench.lists(*models("a"))
    answer = await bench.asked_for(*models("b"))
    assert answer is not None
    assert (answer["reason"], answer["changed"]) == ("noisy", [])
    assert answer["detail"]
    assert bench.entry.discovery_requested_at is None
    assert digests(bench) == {"a" * 64}


async def test_what_comes_and_goes_in_memory_is_bounded_in_the_same_way(bench: Bench) -> None:
    many = models("a")
    loaded = Residency(reason=Reason.OK, models=tuple(LoadedModel(model_name=each.model_name) for each in many))
    nothing = Residency(reason=Reason.OK, models=())
    bench.lister.residency = loaded
    await bench.lists(*many)
    writes = bench.store.residency_writes
    for residency in (nothing, loaded, nothing, loaded, nothing):
        bench.lister.residency = residency
        await bench.lists(*many)
    assert bench.store.residency_writes == writes
    assert bench.entry.availability.reason is Reason.NOISY
    let_time_pass(bench)
    await bench.lists(*many)
    assert all(model.loaded is None for model in bench.store.models)
    assert bench.entry.availability.status is Status.UP


async def test_when_a_model_is_to_be_unloaded_is_no_change_that_counts(bench: Bench) -> None:
    moments = [datetime(2030, 1, 1, tzinfo=UTC) + timedelta(minutes=minute) for minute in range(10)]
    for moment in moments:
        bench.lister.residency = Residency(
            reason=Reason.OK, models=(LoadedModel(model_name=TINY.model_name, expires_at=moment),)
        )
        await bench.lists(TINY)
    assert bench.store.models[0].loaded is not None
    assert bench.store.models[0].loaded.expires_at == moments[-1]
    assert not bench.entry.memory_noise.is_noisy


async def test_a_server_is_asked_for_particulars_of_few_models_at_a_time_and_of_all_in_the_end(bench: Bench) -> None:
    bench.entry.list_noise = replace(bench.entry.list_noise, allowance=Allowance(most=100, each_second=0))
    bench.entry.shows = Allowance(most=3, each_second=0)
    old = [ListedModel(model_name=f"m{number}:1b", digest=f"{number}" * 64, capabilities=None) for number in range(5)]
    await bench.lists(*old)
    assert bench.lister.shows == ["m0:1b", "m1:1b", "m2:1b"]
    assert len(bench.store.active) == 5
    bench.entry.shows = Allowance(most=3, each_second=0)
    await bench.lists(*old)
    assert bench.lister.shows == [f"m{number}:1b" for number in range(5)]
    assert all(model.facts.capabilities == ("completion",) for model in bench.store.models)
    writes = len(bench.store.writes)
    await bench.lists(*old)
    assert (len(bench.store.writes), len(bench.lister.shows)) == (writes, 5)


async def test_no_server_is_believed_about_the_files_of_another_one(bench: Bench, database: MemoryDatabase) -> None:
    bare = replace(TINY, capabilities=None)
    bench.lister.shown = ShownModel(reason=Reason.OK, capabilities=("completion", "lies"))
    await bench.lists(bare)
    other = watched(2, status=Status.UP)
    bench.fleet.put(other)
    database.save(other)
    bench.store.models.clear()
    bench.lister.shown = ShownModel(reason=Reason.OK, capabilities=("completion",))
    await bench.discovery.run(other.server.id)
    assert [model.facts.capabilities for model in bench.store.models] == [("completion",)]

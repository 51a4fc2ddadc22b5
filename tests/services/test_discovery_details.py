"""What a list does not tell: capabilities asked for once per file, and the models in memory."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from monitor.domain import inventory
from monitor.domain.availability import Availability, Status
from monitor.domain.inventory import CapabilitySource
from monitor.domain.probe import LoadedModel, Reason, Residency, ShownModel
from monitor.services import discovery
from tests.services.fakes import MemoryDatabase
from tests.services.test_discovery import BIG, TINY, Bench

BARE = replace(TINY, capabilities=None)
FAR = datetime(2100, 1, 1, tzinfo=UTC)
LOADED = LoadedModel(model_name="tiny:1b", size_bytes=9, size_vram=9, expires_at=FAR)
HUGE = replace(LOADED, model_name="big:70b")


@pytest.fixture
def bench(database: MemoryDatabase) -> Bench:
    """A discovery whose store was made for the lease."""
    return Bench(database)


async def test_show_is_asked_once_for_each_file_and_not_where_the_list_tells(bench: Bench) -> None:
    twin = replace(BARE, model_name="twin:1b")
    await bench.lists(BARE, BIG)
    await bench.lists(BARE, BIG, twin)
    assert bench.lister.shows == ["tiny:1b"]
    told = {model.facts.model_name: (model.facts.capabilities, model.source) for model in bench.store.models}
    assert told == {
        "tiny:1b": (("completion",), CapabilitySource.SHOW),
        "twin:1b": (("completion",), CapabilitySource.SHOW),
        "big:70b": (("completion", "tools"), CapabilitySource.TAGS),
    }
    assert {model.facts.context_length for model in bench.store.models} == {4096, None}
    await bench.lists(replace(BARE, digest="c" * 64), BIG, twin)
    assert bench.lister.shows == ["tiny:1b", "tiny:1b"]


async def test_a_new_version_of_ollama_is_asked_anew_although_the_list_is_the_same(bench: Bench) -> None:
    bench.entry.server_version = "0.8.0"
    await bench.lists(BARE)
    bench.lister.shown = replace(bench.lister.shown, capabilities=("completion", "thinking"))
    await bench.lists(BARE)
    assert bench.lister.shows == ["tiny:1b"]
    bench.entry.server_version = "0.9.6"
    await bench.lists(BARE)
    await bench.lists(BARE)
    assert bench.lister.shows == ["tiny:1b", "tiny:1b"]
    assert [model.facts.capabilities for model in bench.store.models] == [("completion", "thinking")]


async def test_on_request_the_version_is_asked_for_where_the_list_tells_too_little(bench: Bench) -> None:
    bench.entry.server_version = "0.8.0"
    await bench.lists(BARE)
    bench.lister.shown = replace(bench.lister.shown, capabilities=("completion", "thinking"))
    answer = await bench.asked_for(BARE)
    assert answer is not None
    assert answer["changed"] == ["tiny:1b"]
    # That check finds the new version, too, and what was learnt stands.
    bench.entry.server_version = "0.9.6"
    reads = bench.store.reads
    await bench.lists(BARE)
    assert (bench.store.reads, bench.lister.shows) == (reads, ["tiny:1b", "tiny:1b"])
    await bench.asked_for(TINY)
    assert len(bench.prober.asked) == 1


async def test_a_show_that_failed_is_tried_again_with_the_next_listing(bench: Bench) -> None:
    good, bench.lister.shown = bench.lister.shown, ShownModel(reason=Reason.TIMEOUT)
    await bench.lists(BARE)
    assert [model.source for model in bench.store.models] == [CapabilitySource.NONE]
    bench.lister.shown = good
    await bench.lists(BARE)
    await bench.lists(BARE)
    assert [model.source for model in bench.store.models] == [CapabilitySource.SHOW]
    assert bench.lister.shows == ["tiny:1b", "tiny:1b"]


async def test_a_show_that_tells_no_capabilities_is_an_answer(bench: Bench) -> None:
    bench.lister.shown = ShownModel(reason=Reason.OK, context_length=2048)
    await bench.lists(BARE)
    await bench.lists(BARE)
    (model,) = bench.store.models
    assert (model.facts.capabilities, model.facts.context_length) == (None, 2048)
    assert model.source is CapabilitySource.NONE
    assert bench.lister.shows == ["tiny:1b"]


async def test_a_model_without_a_digest_is_asked_about_each_time_its_list_changes(bench: Bench) -> None:
    nameless = replace(BARE, digest=None)
    await bench.lists(nameless)
    await bench.lists(nameless, BIG)
    assert bench.lister.shows == ["tiny:1b", "tiny:1b"]


async def test_only_so_many_files_are_remembered(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery, "MOST_SHOWN", 1)
    other = replace(BIG, capabilities=None)
    await bench.lists(BARE, other)
    await bench.lists(replace(BARE, size_bytes=1), other)
    assert bench.lister.shows == ["tiny:1b", "big:70b", "tiny:1b", "big:70b"]


async def test_what_is_in_memory_is_written_once_per_change(bench: Bench) -> None:
    bench.lister.residency = Residency(reason=Reason.OK, models=(LOADED,))
    await bench.lists(TINY)
    await bench.lists(TINY)
    assert [model.loaded for model in bench.store.models] == [LOADED]
    assert bench.store.residency_writes == 1
    bench.lister.residency = Residency(reason=Reason.OK, models=())
    await bench.lists(TINY)
    assert [model.loaded for model in bench.store.models] == [None]
    assert bench.store.residency_writes == 2


@pytest.mark.parametrize("answer", [Residency(reason=Reason.TIMEOUT), Residency(reason=Reason.OK, models=None)])
async def test_a_server_that_cannot_tell_what_is_in_memory_changes_nothing(bench: Bench, answer: Residency) -> None:
    bench.lister.residency = Residency(reason=Reason.OK, models=(LOADED,))
    await bench.lists(TINY)
    bench.lister.residency = answer
    await bench.lists(TINY)
    assert [model.loaded for model in bench.store.models] == [LOADED]


async def test_a_model_that_was_in_memory_before_it_was_listed_counts_as_loaded_once_it_is(bench: Bench) -> None:
    bench.lister.residency = Residency(reason=Reason.OK, models=(LOADED,))
    await bench.lists(BIG)
    await bench.lists(BIG, TINY)
    assert {model.facts.model_name: model.loaded for model in bench.store.models} == {
        "big:70b": None,
        "tiny:1b": LOADED,
    }


async def test_of_a_server_that_is_down_nothing_is_in_memory_and_that_is_written_once(bench: Bench) -> None:
    bench.lister.residency = Residency(reason=Reason.OK, models=(LOADED,))
    await bench.lists(TINY)
    bench.entry.availability = Availability(status=Status.DOWN, reason=Reason.REFUSED)
    bench.discovery.gone(bench.id)
    assert 1 <= bench.due_in() <= 3
    for _ in range(3):
        await bench.discovery.run(bench.id)
    assert [model.loaded for model in bench.store.models] == [None]
    assert bench.store.residency_writes == 2
    # What it has in memory on its return is news again.
    bench.entry.availability = Availability(status=Status.UP, reason=Reason.OK)
    assert 9 <= await bench.looks(LOADED) <= 11
    assert [model.loaded for model in bench.store.models] == [LOADED]


async def test_what_could_not_be_written_of_an_empty_memory_is_written_later(
    bench: Bench, database: MemoryDatabase
) -> None:
    bench.lister.residency = Residency(reason=Reason.OK, models=(LOADED,))
    await bench.lists(TINY)
    bench.entry.availability = Availability(status=Status.DOWN, reason=Reason.REFUSED)
    database.away = True
    await bench.discovery.run(bench.id)
    assert bench.due_in() <= 10
    database.away = False
    await bench.discovery.run(bench.id)
    assert [model.loaded for model in bench.store.models] == [None]


async def test_while_the_memory_changes_it_is_looked_at_every_ten_seconds_without_another_listing(bench: Bench) -> None:
    await bench.lists(TINY, BIG)
    assert bench.due_in() > 50
    for loaded in ((LOADED,), (replace(LOADED, size_vram=5),), (replace(LOADED, size_vram=5), HUGE)):
        assert await bench.looks(*loaded) == pytest.approx(inventory.WHILE_MOVING, abs=1)
    assert await bench.looks(replace(LOADED, size_vram=5), HUGE) > 40
    # That requests move the time at which a model is to leave is no change.
    assert await bench.looks(replace(LOADED, size_vram=5), replace(HUGE, expires_at=None)) > 40
    assert bench.lister.lists == 1


async def test_a_model_whose_time_ends_is_looked_at_right_after_that(bench: Bench) -> None:
    soon = replace(LOADED, expires_at=datetime.now(UTC) + timedelta(seconds=25))
    bench.lister.residency = Residency(reason=Reason.OK, models=(soon,))
    await bench.lists(TINY)
    assert 22 < bench.due_in() <= 26
    assert [model.loaded for model in bench.store.models] == [soon]
    # Listed after its time it is in use, and when it will leave is not known.
    late = replace(LOADED, expires_at=datetime.now(UTC) - timedelta(seconds=1))
    assert await bench.looks(late) > 40
    assert [model.loaded for model in bench.store.models] == [replace(LOADED, expires_at=None)]


async def test_what_a_stale_lease_could_not_write_of_memory_is_written_later(
    bench: Bench, database: MemoryDatabase
) -> None:
    await bench.lists(TINY)
    held = database.lease
    assert held is not None
    bench.lister.residency = Residency(reason=Reason.OK, models=(LOADED,))
    database.lease = replace(held, epoch=2)
    await bench.lists(TINY)
    assert [model.loaded for model in bench.store.models] == [None]
    database.lease = held
    await bench.lists(TINY)
    assert [model.loaded for model in bench.store.models] == [LOADED]

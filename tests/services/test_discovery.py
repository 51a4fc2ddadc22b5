"""Discovery: what is written and what is not, grace before a removal, requests, and what is in memory."""

import asyncio
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from monitor.domain.availability import Availability, Status
from monitor.domain.fleet import Fleet, Watched
from monitor.domain.probe import ListedModel, Listing, LoadedModel, Reason, Residency
from monitor.domain.schedule import Schedule
from monitor.services.discovery import Discovery
from tests.services.conftest import settled, watched
from tests.services.fakes import MemoryDatabase
from tests.services.memory_inventory import MemoryInventory
from tests.services.told import KeepingRecorder, NoDoubt, ToldLister, ToldProber

REQUESTED = datetime(2030, 1, 1, tzinfo=UTC)
TINY = ListedModel(model_name="tiny:1b", digest="a" * 64, capabilities=("completion",))
BIG = ListedModel(model_name="big:70b", digest="b" * 64, capabilities=("completion", "tools"))
FAILED = Listing(reason=Reason.SERVER_ERROR, detail="500")


class Bench:
    """A discovery of one server with all that it touches."""

    def __init__(self, database: MemoryDatabase, entry: Watched | None = None) -> None:
        self.fleet, self.agenda = Fleet(), Schedule()
        self.lister, self.prober, self.recorder = ToldLister(), ToldProber(), KeepingRecorder()
        self.store = MemoryInventory(database)
        self.discovery = Discovery(
            fleet=self.fleet,
            agenda=self.agenda,
            lister=self.lister,
            prober=self.prober,
            store=self.store,
            recorder=self.recorder,
            doubt=NoDoubt(),
            interval=timedelta(seconds=60),
        )
        self.entry = entry or watched(status=Status.UP)
        self.id = self.entry.server.id
        self.fleet.put(self.entry)
        database.save(self.entry)

    async def lists(self, *models: ListedModel) -> None:
        """Discover the server while it has these models."""
        self.lister.models = models
        self.discovery.want(self.id)
        await self.discovery.run(self.id)

    async def looks(self, *loaded: LoadedModel) -> float:
        """Have its turn while no listing is due and these are in memory; return the seconds until the next turn."""
        self.lister.residency = Residency(reason=Reason.OK, models=loaded)
        await self.discovery.run(self.id)
        return self.due_in()

    def due_in(self) -> float:
        """Return the seconds until the server's next turn."""
        ((server_id, due),) = self.agenda.due(float("inf"))
        assert server_id == self.id
        return due - time.monotonic()

    async def asked_for(self, *models: ListedModel) -> dict[str, Any] | None:
        """Discover the server on request; return the answer."""
        self.entry.discovery_requested_at = REQUESTED
        await self.lists(*models)
        return self.store.writes[-1][2]


@pytest.fixture
def bench(database: MemoryDatabase) -> Bench:
    """A discovery whose store was made for the lease."""
    return Bench(database)


async def test_new_models_are_written_and_the_next_listing_is_due(bench: Bench) -> None:
    await bench.lists(TINY, BIG)
    assert bench.store.active == {"tiny:1b", "big:70b"}
    ((server_id, due),) = bench.agenda.due(float("inf"))
    assert server_id == bench.id
    assert 53 < due - time.monotonic() <= 66


async def test_an_unchanged_list_costs_neither_a_read_nor_a_write(bench: Bench) -> None:
    await bench.lists(TINY, BIG)
    reads, writes = bench.store.reads, len(bench.store.writes)
    await bench.lists(BIG, TINY)
    await bench.lists(TINY, BIG)
    assert (bench.store.reads, len(bench.store.writes)) == (reads, writes)
    ((first, first_at_once), (second, _)) = bench.recorder.taken
    assert not first_at_once
    assert first.listed_at is not None
    assert second.listed_at is not None
    assert second.listed_at >= first.listed_at
    assert first.checked_at is None


async def test_after_a_model_was_deleted_on_record_the_same_list_is_compared_again(bench: Bench) -> None:
    await bench.lists(TINY)
    bench.store.models.clear()
    bench.entry.known_list = None
    await bench.lists(TINY)
    assert bench.store.active == {"tiny:1b"}


async def test_a_failed_listing_removes_nothing_and_shows_as_degraded(bench: Bench) -> None:
    await bench.lists(TINY)
    for _ in range(3):
        bench.lister.listings = [FAILED]
        await bench.lists()
    assert bench.store.active == {"tiny:1b"}
    assert len(bench.store.writes) == 1
    ((record, at_once),) = bench.recorder.taken
    assert at_once
    assert (record.status, record.reason) == (Status.DEGRADED, Reason.LIST_FAILED)
    assert record.listed_at is None
    await bench.lists(TINY)
    statuses = [record.status for record, _ in bench.recorder.taken]
    assert statuses[:2] == [Status.DEGRADED, Status.UP]


async def test_a_list_that_is_refused_for_now_is_asked_for_when_the_server_wants_it_and_shows_nothing(
    bench: Bench,
) -> None:
    await bench.lists(TINY)
    for _ in range(3):
        bench.lister.listings = [Listing(reason=Reason.BUSY, detail="429", retry_after=timedelta(seconds=200))]
        await bench.lists()
        ((_, due),) = bench.agenda.due(float("inf"))
        assert 190 < due - time.monotonic() <= 200
    assert bench.recorder.taken == []
    assert bench.entry.availability.status is Status.UP


async def test_a_list_that_wants_a_credential_is_asked_for_no_more_often_than_a_good_one(bench: Bench) -> None:
    bench.lister.listings = [Listing(reason=Reason.AUTH, detail="401")]
    await bench.lists()
    ((_, due),) = bench.agenda.due(float("inf"))
    assert 50 < due - time.monotonic() <= 66
    assert bench.entry.availability.reason is Reason.LIST_FAILED


async def test_a_model_goes_only_after_two_listings_without_it(bench: Bench) -> None:
    await bench.lists(TINY, BIG)
    await bench.lists(TINY)
    assert bench.store.active == {"tiny:1b", "big:70b"}
    bench.lister.listings = [FAILED]
    await bench.lists()
    assert bench.store.active == {"tiny:1b", "big:70b"}
    await bench.lists(TINY)
    assert bench.store.active == {"tiny:1b"}
    await bench.lists(TINY, BIG)
    assert bench.store.active == {"tiny:1b", "big:70b"}
    assert len(bench.store.models) == 2


async def test_a_model_that_is_back_in_the_next_listing_stays(bench: Bench) -> None:
    for models in [(TINY, BIG), (TINY,), (TINY, BIG), (TINY,)]:
        await bench.lists(*models)
    assert bench.store.active == {"tiny:1b", "big:70b"}


async def test_a_listing_that_lacks_a_model_is_repeated_after_ten_seconds_and_not_again(bench: Bench) -> None:
    await bench.lists(TINY, BIG)
    await bench.lists(TINY)
    assert 9 <= bench.due_in() <= 11
    await bench.lists(TINY)
    assert bench.store.active == {"tiny:1b"}
    assert bench.due_in() > 50


async def test_an_absence_before_the_database_was_away_does_not_count_with_one_after_it(
    bench: Bench, database: MemoryDatabase
) -> None:
    await bench.lists(TINY, BIG)
    await bench.lists(TINY)
    database.away = True
    await bench.lists(TINY, BIG)
    database.away = False
    await bench.lists(TINY)
    assert bench.store.active == {"tiny:1b", "big:70b"}
    await bench.lists(TINY)
    assert bench.store.active == {"tiny:1b"}


async def test_on_request_a_second_listing_that_contradicts_the_first_counts(bench: Bench) -> None:
    await bench.lists(TINY, BIG)
    bench.lister.listings = [Listing(reason=Reason.OK, models=(TINY,)), Listing(reason=Reason.OK, models=(TINY, BIG))]
    await bench.asked_for()
    await bench.lists(TINY)
    assert bench.store.active == {"tiny:1b", "big:70b"}
    await bench.lists(TINY)
    assert bench.store.active == {"tiny:1b"}


async def test_on_request_what_only_the_second_listing_lacks_is_not_gone_yet(bench: Bench) -> None:
    small = replace(BIG, model_name="small:1b")
    await bench.lists(TINY, BIG, small)
    bench.lister.listings = [
        Listing(reason=Reason.OK, models=(TINY, small)),
        Listing(reason=Reason.OK, models=(TINY, replace(BIG, model_name="new:1b"))),
    ]
    answer = await bench.asked_for()
    assert answer is not None
    assert (answer["added"], answer["removed"]) == (["new:1b"], ["big:70b"])
    assert bench.store.active == {"tiny:1b", "small:1b", "new:1b"}


async def test_on_request_a_missing_model_is_made_certain_by_a_second_look(bench: Bench) -> None:
    await bench.lists(TINY, BIG)
    answer = await bench.asked_for(TINY)
    assert bench.store.active == {"tiny:1b"}
    assert answer == {
        "reason": "ok",
        "detail": None,
        "added": [],
        "changed": [],
        "removed": ["big:70b"],
        "unchanged": 1,
        "dropped": 0,
    }
    assert bench.entry.discovery_requested_at is None
    assert bench.lister.lists == 3


@pytest.mark.parametrize("second", [FAILED, Listing(reason=Reason.OK, models=(TINY, BIG))])
async def test_on_request_a_model_stays_when_the_second_look_does_not_agree(bench: Bench, second: Listing) -> None:
    await bench.lists(TINY, BIG)
    bench.lister.listings = [Listing(reason=Reason.OK, models=(TINY,)), second]
    answer = await bench.asked_for()
    assert bench.store.active == {"tiny:1b", "big:70b"}
    assert answer is not None
    assert answer["removed"] == []


async def test_a_request_is_answered_even_if_nothing_changed(bench: Bench) -> None:
    await bench.lists(TINY)
    answer = await bench.asked_for(TINY)
    assert answer is not None
    assert (answer["reason"], answer["unchanged"]) == ("ok", 1)
    assert bench.store.writes[-1][1]


async def test_a_request_is_answered_even_if_the_listing_failed_or_the_server_is_down(bench: Bench) -> None:
    bench.entry.availability = Availability(status=Status.DOWN, reason=Reason.REFUSED)
    bench.lister.listings = [FAILED]
    answer = await bench.asked_for()
    assert answer is not None
    assert (answer["reason"], answer["detail"]) == ("server_error", "500")
    _, listed, _ = bench.store.writes[-1]
    assert not listed
    assert bench.entry.discovery_requested_at is None


async def test_a_server_that_is_down_is_not_listed_but_stays_on_the_schedule(bench: Bench) -> None:
    bench.entry.availability = Availability(status=Status.DOWN, reason=Reason.REFUSED)
    await bench.lists(TINY)
    assert bench.lister.lists == 0
    assert len(bench.agenda) == 1


async def test_a_server_that_is_not_watched_is_not_listed(bench: Bench) -> None:
    await bench.discovery.run(watched(2).server.id)
    assert (bench.lister.lists, len(bench.agenda)) == (0, 0)


async def test_a_listing_that_comes_after_an_edit_is_dropped(bench: Bench) -> None:
    bench.lister.gate.clear()
    bench.lister.models = (TINY,)
    listing = asyncio.create_task(bench.discovery.run(bench.id))
    await settled()
    bench.fleet.put(watched(row_version=2))
    bench.lister.gate.set()
    await listing
    assert (bench.store.writes, bench.recorder.taken, bench.store.residency_writes) == ([], [], 0)


async def test_what_a_stale_lease_could_not_write_is_not_taken_for_written(
    bench: Bench, database: MemoryDatabase
) -> None:
    held = database.lease
    assert held is not None
    database.lease = replace(held, epoch=2)
    await bench.lists(TINY)
    assert bench.entry.known_list is None
    database.lease = held
    await bench.lists(TINY)
    assert bench.store.active == {"tiny:1b"}


async def test_with_the_database_away_the_listing_is_compared_again_later(
    bench: Bench, database: MemoryDatabase
) -> None:
    await bench.lists(TINY)
    database.away = True
    await bench.lists(TINY, BIG)
    database.away = False
    await bench.lists(TINY, BIG)
    assert bench.store.active == {"tiny:1b", "big:70b"}

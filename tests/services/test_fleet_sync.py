"""The fleet in memory follows the one in the database: snapshot, events, requests."""

import time
from datetime import UTC, datetime, timedelta

import pytest
from structlog.testing import capture_logs

from monitor.domain.availability import Availability, Status
from monitor.domain.event import EventType
from monitor.domain.fleet import Fleet, Watched
from monitor.domain.schedule import Schedule
from monitor.domain.server import ServerId
from monitor.services import fleet_sync
from monitor.services.fleet_sync import FleetSync
from tests.services.conftest import Running, settled, until, watched
from tests.services.fakes import MemoryDatabase, MemoryServers

REQUESTED = datetime(2030, 1, 1, tzinfo=UTC)
NOW, LATER = 1.0, 30.0


class Bench:
    """A sync with all that it keeps, and a note of the work it started."""

    def __init__(self, database: MemoryDatabase) -> None:
        self.database = database
        self.fleet, self.checks, self.listings = Fleet(), Schedule(), Schedule()
        self.store = MemoryServers(database)
        self.checked: list[ServerId] = []
        self.discovered: list[ServerId] = []
        self.sync = FleetSync(
            store=self.store,
            fleet=self.fleet,
            checks=self.checks,
            listings=self.listings,
            listing_interval=timedelta(seconds=60),
            check=self.checked.append,
            discover=self.discovered.append,
            rest=0.0,
        )

    @property
    def names(self) -> set[str]:
        """The names of the servers that are watched."""
        return {entry.server.name for entry in self.fleet}

    async def look(self) -> None:
        """Wake the sync and let it do all that there is to do."""
        self.sync.wake()
        await settled()

    def entry(self, number: int) -> Watched:
        """Return what is kept of a server."""
        entry = self.fleet.get(watched(number).server.id)
        assert entry is not None
        return entry

    def due(self, within: float) -> set[ServerId]:
        """Take out the servers whose check is due soon."""
        return {server_id for server_id, _ in self.checks.due(time.monotonic() + within)}


@pytest.fixture
async def bench(database: MemoryDatabase) -> Bench:
    """The sync of an empty fleet."""
    return Bench(database)


async def test_it_begins_with_all_servers_and_follows_from_there(bench: Bench, running: Running) -> None:
    bench.database.save(watched(1))
    bench.database.save(watched(2))
    async with running(bench.sync.run()):
        bench.sync.wake()
        await until(lambda: bench.names == {"gpu-1", "gpu-2"})
        bench.database.save(watched(3))
        bench.sync.wake()
        await until(lambda: bench.names == {"gpu-1", "gpu-2", "gpu-3"})
        bench.database.delete(watched(1).server.id)
        bench.sync.wake()
        await until(lambda: bench.names == {"gpu-2", "gpu-3"})
    assert bench.store.snapshots == 1
    assert (len(bench.checks), len(bench.listings)) == (2, 2)


async def test_a_new_server_is_checked_now_and_a_known_one_in_its_phase(bench: Bench, running: Running) -> None:
    bench.database.save(watched(1, status=Status.UP))
    bench.database.save(watched(2, status=Status.UNKNOWN))
    async with running(bench.sync.run()):
        await bench.look()
        assert bench.due(NOW) == {watched(2).server.id}
        assert bench.due(LATER) == {watched(1).server.id}
        bench.database.save(watched(3))
        await bench.look()
        assert bench.due(NOW) == {watched(3).server.id}
    assert (bench.checked, bench.discovered) == ([], [])


async def test_an_edited_server_gets_a_new_entry_and_is_checked_now(bench: Bench, running: Running) -> None:
    bench.database.save(watched(1, status=Status.UP))
    async with running(bench.sync.run()):
        await bench.look()
        before = bench.entry(1)
        bench.database.save(watched(1, row_version=2, status=Status.UP))
        await bench.look()
        assert not bench.fleet.is_current(before)
        assert bench.entry(1).server.row_version == 2
        assert bench.due(NOW) == {before.server.id}


async def test_what_is_known_of_a_server_that_was_not_edited_stays(bench: Bench, running: Running) -> None:
    bench.database.save(watched(1))
    async with running(bench.sync.run()):
        await bench.look()
        entry = bench.entry(1)
        entry.availability, entry.known_list = Availability(status=Status.UP, good=7), 42
        bench.due(LATER)
        bench.database.emit(EventType.SERVER_UPDATED, entry.server.id)
        bench.database.emit(EventType.SERVER_UP, entry.server.id)
        await bench.look()
        assert bench.entry(1) is entry
        assert (entry.availability.good, entry.known_list) == (7, 42)
        assert bench.due(LATER) == set()


async def test_a_model_that_was_removed_makes_its_servers_list_be_compared_again(
    bench: Bench, running: Running
) -> None:
    bench.database.save(watched(1))
    bench.database.save(watched(2))
    async with running(bench.sync.run()):
        await bench.look()
        bench.entry(1).known_list = bench.entry(2).known_list = 42
        bench.database.emit(EventType.MODEL_REMOVED, watched(1).server.id)
        bench.database.emit(EventType.MODEL_REMOVED, watched(9).server.id)
        bench.database.emit(EventType.MODEL_ADDED, watched(2).server.id)
        await bench.look()
        assert (bench.entry(1).known_list, bench.entry(2).known_list) == (None, 42)


async def test_a_request_starts_its_work_once(bench: Bench, running: Running) -> None:
    bench.database.save(watched(1))
    bench.database.save(watched(2))
    async with running(bench.sync.run()):
        await bench.look()
        bench.database.servers[watched(1).server.id].check_requested_at = REQUESTED
        bench.database.servers[watched(2).server.id].discovery_requested_at = REQUESTED
        for _ in range(3):
            await bench.look()
        assert bench.checked == [watched(1).server.id]
        assert bench.discovered == [watched(2).server.id]
        assert bench.entry(1).check_requested_at == REQUESTED
        assert bench.entry(2).discovery_requested_at == REQUESTED
        bench.database.servers[watched(1).server.id].check_requested_at = REQUESTED + timedelta(seconds=1)
        await bench.look()
        assert bench.checked == [watched(1).server.id] * 2


async def test_a_request_from_before_the_start_is_answered_too(bench: Bench, running: Running) -> None:
    bench.database.save(watched(1, check_requested_at=REQUESTED, discovery_requested_at=REQUESTED))
    async with running(bench.sync.run()):
        await bench.look()
        await bench.look()
    assert bench.checked == bench.discovered == [watched(1).server.id]


async def test_missed_events_make_it_read_everything_again(bench: Bench, running: Running) -> None:
    for number in (1, 2):
        bench.database.save(watched(number))
    async with running(bench.sync.run()):
        await bench.look()
        kept = bench.entry(2)
        kept.availability, kept.known_list = Availability(status=Status.UP, good=7), 42
        bench.database.delete(watched(1).server.id)
        bench.database.save(watched(3))
        del bench.database.events[2]
        with capture_logs() as logs:
            await bench.look()
        assert bench.names == {"gpu-2", "gpu-3"}
        assert bench.store.snapshots == 2
        assert [line["event"] for line in logs] == ["events_missed", "fleet_read"]
        assert bench.entry(2) is kept
        assert kept.availability.good == 7
        # The event that was missed may have been about one of its models.
        assert kept.known_list is None
        await bench.look()
        assert bench.store.snapshots == 2


async def test_more_events_than_fit_on_a_page_are_followed_to_the_end(
    bench: Bench, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet_sync, "PAGE", 2)
    async with running(bench.sync.run()):
        await bench.look()
        for number in range(1, 6):
            bench.database.save(watched(number))
        bench.sync.wake()
        await until(lambda: len(bench.fleet) == 5)


async def test_with_the_database_away_it_catches_up_when_it_is_back(bench: Bench, running: Running) -> None:
    bench.database.away = True
    bench.database.save(watched(1))
    async with running(bench.sync.run()):
        await bench.look()
        assert len(bench.fleet) == 0
        bench.database.away = False
        await bench.look()
        assert bench.names == {"gpu-1"}
        bench.database.away = True
        bench.database.save(watched(2))
        await bench.look()
        assert bench.names == {"gpu-1"}
        bench.database.away = False
        await bench.look()
        assert bench.names == {"gpu-1", "gpu-2"}
        assert bench.store.snapshots == 1

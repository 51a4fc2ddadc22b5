"""Models on record: what a listing changes is written, what an operator said stays, and a stale owner bounces."""

import uuid
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from monitor.domain import inventory
from monitor.domain.inventory import CapabilitySource, Difference, KnownModel, Sighting
from monitor.domain.lease import Lease
from monitor.domain.probe import ListedModel, LoadedModel
from monitor.domain.server import Server, ServerId
from monitor.postgres import inventory_store
from monitor.postgres.database import Connection, Database
from monitor.postgres.inventory_store import PostgresInventoryStore
from tests import fold
from tests.postgres.conftest import POLICY, AddServer

BIG = LoadedModel(model_name="a:latest", size_bytes=2**40, size_vram=2**39, expires_at=datetime(2030, 1, 1, tzinfo=UTC))


def seen(name: str, **facts: Any) -> Sighting:
    """A model as a server lists it."""
    given: dict[str, Any] = {"digest": "d1", "size_bytes": 2**33, "capabilities": ("completion",)} | facts
    source = CapabilitySource.NONE if given["capabilities"] is None else CapabilitySource.TAGS
    return Sighting(facts=ListedModel(model_name=name, **given), source=source)


class Inventory:
    """One server's inventory, and the listings it is given."""

    def __init__(self, store: PostgresInventoryStore, server: Server) -> None:
        self.store = store
        self.server = server

    async def list(self, *sightings: Sighting, **more: Any) -> bool:
        """Write what a listing changes; what it lacks has been missing before."""
        known = await self.known()
        missed = frozenset(inventory.diff(list(known.values()), [], missed_before=frozenset()).missing)
        difference = inventory.diff(list(known.values()), sightings, missed_before=missed)
        return await self.store.write(self.server, difference, listed=True, **more)

    async def known(self) -> dict[str, KnownModel]:
        """What is on record, by name."""
        return {record.facts.model_name: record for record in await self.store.known(self.server.id)}


@pytest.fixture
async def stock(fleet_database: Database, add_server: AddServer, lease: Lease) -> Inventory:
    """The empty inventory of a server."""
    server = Server(
        id=ServerId(await add_server()), name="s", url="http://s", api_version="v1", row_version=1, policy=POLICY
    )
    return Inventory(PostgresInventoryStore(fleet_database, lease), server)


async def types(connection: Connection, after: int = 1) -> list[str]:
    """The types of the events after a number, with a look at the whole history."""
    events = await fold.read_events(connection)
    fold.check_invariants(events)
    assert fold.fold(events) == await fold.table_state(connection)
    return [str(event.type) for event in events[after:]]


async def test_models_are_added_changed_removed_and_come_back(stock: Inventory, connection: Connection) -> None:
    full = seen(
        "hf.co/é/a:q4",
        family="llama",
        parameter_size="8B",
        quantization="Q4_0",
        context_length=131072,
        remote_host="https://ollama.com",
    )
    assert await stock.list(full, seen("b:latest", capabilities=None, digest=None, size_bytes=None))
    known = await stock.known()
    assert known["hf.co/é/a:q4"].facts == full.facts
    assert known["b:latest"].facts.capabilities is None
    assert await types(connection) == ["model.added", "model.added"]

    assert await stock.list(full, seen("b:latest", digest="d2"))
    assert (await stock.known())["b:latest"].facts == seen("b:latest", digest="d2").facts
    assert await types(connection, 3) == ["model.changed"]

    assert await stock.list(full)
    assert (await stock.known())["b:latest"].removed
    assert await types(connection, 4) == ["model.removed"]

    assert await stock.list(full, seen("b:latest", digest="d3"))
    back = (await stock.known())["b:latest"]
    assert not back.removed
    assert back.id == known["b:latest"].id
    assert back.facts.digest == "d3"
    assert await types(connection, 5) == ["model.added"]


async def test_an_unchanged_listing_is_noted_without_an_event(stock: Inventory, connection: Connection) -> None:
    await stock.list(seen("a:latest"))
    listed_at = await connection.fetchval("SELECT models_listed_at FROM ollama_servers")

    assert await stock.list(seen("a:latest"))

    assert await connection.fetchval("SELECT models_listed_at FROM ollama_servers") > listed_at
    assert await types(connection) == ["model.added"]


async def test_what_an_operator_said_outlives_every_listing(stock: Inventory, connection: Connection) -> None:
    await stock.list(seen("a:latest"), seen("b:latest"))
    await connection.execute(
        "UPDATE ollama_models SET is_active = false, name = 'mine', capabilities = '[\"vision\"]' "
        "WHERE model_name = 'a:latest'"
    )
    said = (
        "SELECT is_active, name, capabilities, capabilities_source, disabled_at FROM ollama_models WHERE name = 'mine'"
    )
    before = await connection.fetchrow(said)
    assert before is not None
    assert (before["is_active"], before["capabilities_source"]) == (False, "operator")

    for listing in (
        [seen("a:latest", digest="d2", capabilities=("tools",)), seen("b:latest")],
        [seen("b:latest")],
        [seen("a:latest", digest="d3"), seen("b:latest")],
    ):
        assert await stock.list(*listing)
        assert await connection.fetchrow(said) == before

    assert (await stock.known())["a:latest"].facts.digest == "d3"
    await types(connection)


async def test_an_operators_word_between_reading_and_writing_stands(stock: Inventory, connection: Connection) -> None:
    await stock.list(seen("a:latest"))
    (record,) = (await stock.known()).values()
    await connection.execute("UPDATE ollama_models SET capabilities = '[\"vision\"]', is_active = false")
    late = Difference(changed=((record, seen("a:latest", digest="d2", capabilities=("tools",))),))

    assert await stock.store.write(stock.server, late, listed=True)

    stored = await connection.fetchrow("SELECT digest, capabilities, capabilities_source, is_active FROM ollama_models")
    assert stored is not None
    assert tuple(stored) == ("d2", '["vision"]', "operator", False)


async def test_a_model_that_somebody_else_added_meanwhile_is_left_alone(
    stock: Inventory, connection: Connection
) -> None:
    twice = Difference(added=(seen("a:latest"),))
    for _ in range(2):
        assert await stock.store.write(stock.server, twice, listed=True)

    assert await types(connection) == ["model.added"]


async def test_an_answer_is_written_with_the_difference(stock: Inventory, connection: Connection) -> None:
    asked = datetime(2026, 1, 1, tzinfo=UTC)
    await stock.list(seen("a:latest"), answered_at=asked, answer={"added": ["a:latest"]})
    await stock.list(seen("a:latest"))

    row = await connection.fetchrow("SELECT discovery_answered_at, discovery_result FROM ollama_servers")
    assert row is not None
    assert tuple(row) == (asked, '{"added": ["a:latest"]}')


async def test_residency_comes_changes_and_goes(stock: Inventory, connection: Connection) -> None:
    await stock.list(seen("a:latest"), seen("b:latest"))
    known = await stock.known()
    model_id = known["a:latest"].id
    for state in (BIG, replace(BIG, size_vram=0), replace(BIG, size_vram=0, expires_at=None, size_bytes=None), None):
        assert await stock.store.write_loaded(stock.server, {model_id: state})
        assert (await stock.known())["a:latest"].loaded == state

    assert await types(connection, 3) == ["model.loaded", "model.changed", "model.changed", "model.unloaded"]
    assert (await stock.known())["b:latest"].loaded is None


async def test_a_removed_model_is_not_loaded_any_more(stock: Inventory, connection: Connection) -> None:
    await stock.list(seen("a:latest"))
    (record,) = (await stock.known()).values()
    await stock.store.write_loaded(stock.server, {record.id: BIG})

    await stock.list()

    assert (await stock.known())["a:latest"].loaded is None
    assert await types(connection, 2) == ["model.loaded", "model.removed"]


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE monitor_leases SET epoch = epoch + 1",
        "UPDATE monitor_leases SET owner = gen_random_uuid()",
        "UPDATE ollama_servers SET priority = 7",
        "UPDATE ollama_servers SET url = 'http://elsewhere'",
        "UPDATE ollama_servers SET is_active = false",
    ],
)
async def test_a_late_listing_is_dropped(stock: Inventory, connection: Connection, change: str) -> None:
    await stock.list(seen("a:latest"), seen("b:latest"))
    before = await stock.known()
    await connection.execute(change)
    listed = "SELECT models_listed_at, discovery_answered_at FROM ollama_servers"
    noted = await connection.fetchrow(listed)
    head = await connection.fetchval("SELECT seq FROM fleet_event_head")

    assert not await stock.list(seen("a:latest", digest="d2"), seen("c:latest"), answered_at=datetime.now(UTC))
    assert not await stock.store.write_loaded(stock.server, {before["a:latest"].id: BIG})

    assert await stock.known() == before
    assert await connection.fetchrow(listed) == noted
    assert await connection.fetchval("SELECT seq FROM fleet_event_head") == head


async def test_a_listing_of_a_deleted_server_resurrects_nothing(stock: Inventory, connection: Connection) -> None:
    await stock.list(seen("a:latest"))
    await connection.execute("DELETE FROM ollama_servers")

    assert not await stock.list(seen("a:latest"))

    assert await connection.fetchval("SELECT count(*) FROM ollama_models") == 0
    assert await stock.store.known(ServerId(uuid.uuid4())) == []
    assert "model.removed" in await types(connection)


async def test_a_difference_that_cannot_be_stored_leaves_nothing(stock: Inventory, connection: Connection) -> None:
    with pytest.raises(Exception, match="check constraint"):
        await stock.list(seen("a:latest"), seen("x" * 513))

    assert await stock.known() == {}
    assert await connection.fetchval("SELECT models_listed_at FROM ollama_servers") is None


async def test_of_models_long_gone_the_last_are_kept_and_those_of_which_an_operator_said_something(
    stock: Inventory, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inventory_store, "MOST_TOMBSTONES", 2)
    await stock.list(*(seen(f"{name}:latest") for name in "abcdefg"))
    await connection.execute("UPDATE ollama_models SET capabilities = '[\"vision\"]' WHERE model_name = 'a:latest'")
    await connection.execute("UPDATE ollama_models SET is_active = false WHERE model_name = 'b:latest'")
    await connection.execute("UPDATE ollama_models SET name = 'mine' WHERE model_name = 'c:latest'")
    for left in ("bcdefg", "cdefg", "defg", "efg", "fg", "g", ""):
        assert await stock.list(*(seen(f"{name}:latest") for name in left))
    assert set(await stock.known()) == {f"{name}:latest" for name in "abcfg"}
    assert await stock.list(seen("d:latest"))
    assert not (await stock.known())["d:latest"].removed
    assert (await types(connection))[-1] == "model.added"

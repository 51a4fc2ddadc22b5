"""What every inventory store keeps to: differences are applied whole, and only what is still wanted is taken."""

from monitor.domain.inventory import CapabilitySource, Difference, KnownModel, Sighting
from monitor.domain.lease import Lease
from monitor.domain.probe import ListedModel, LoadedModel
from monitor.domain.server import Server
from monitor.ports import InventoryStore
from tests.ports.worlds import World

LOADED = LoadedModel(model_name="a:latest", size_bytes=2**33, size_vram=2**32, expires_at=None)


def seen(name: str, digest: str = "d1") -> Sighting:
    """A model as a server lists it."""
    facts = ListedModel(model_name=name, digest=digest, size_bytes=2**33, capabilities=("completion",))
    return Sighting(facts=facts, source=CapabilitySource.TAGS)


async def known(store: InventoryStore, server: Server) -> dict[str, KnownModel]:
    """What is on record, by name."""
    return {record.facts.model_name: record for record in await store.known(server.id)}


async def test_models_are_added_changed_removed_and_come_back(world: World, lease: Lease) -> None:
    store, server = world.inventory(lease), await world.add(1)
    assert await store.known(server.id) == []
    added = Difference(added=(seen("a:latest"), seen("b:latest")))
    assert await store.write(server, added, listed=True)
    first = await known(store, server)
    assert {name: record.facts for name, record in first.items()} == {
        "a:latest": seen("a:latest").facts,
        "b:latest": seen("b:latest").facts,
    }
    changed = Difference(changed=((first["a:latest"], seen("a:latest", "d2")),), removed=(first["b:latest"],))
    assert await store.write(server, changed, listed=True)
    second = await known(store, server)
    assert second["a:latest"].facts.digest == "d2"
    assert [name for name, record in second.items() if record.removed] == ["b:latest"]
    back = Difference(changed=((second["b:latest"], seen("b:latest")),))
    assert await store.write(server, back, listed=True)
    third = await known(store, server)
    assert not third["b:latest"].removed
    assert third["b:latest"].id == first["b:latest"].id


async def test_a_model_that_is_there_already_is_not_added_again(world: World, lease: Lease) -> None:
    store, server = world.inventory(lease), await world.add(1)
    for _ in range(2):
        assert await store.write(server, Difference(added=(seen("a:latest"),)), listed=True)
    assert len(await store.known(server.id)) == 1


async def test_a_model_comes_into_memory_and_leaves_it_also_when_it_is_removed(world: World, lease: Lease) -> None:
    store, server = world.inventory(lease), await world.add(1)
    await store.write(server, Difference(added=(seen("a:latest"),)), listed=True)
    model = (await known(store, server))["a:latest"]
    for state in (LOADED, None, LOADED):
        assert await store.write_loaded(server, {model.id: state})
        assert (await known(store, server))["a:latest"].loaded == state
    await store.write(server, Difference(removed=(model,)), listed=True)
    assert (await known(store, server))["a:latest"].loaded is None


async def test_all_that_is_in_memory_is_forgotten_at_once(world: World, lease: Lease) -> None:
    store, server = world.inventory(lease), await world.add(1)
    await store.write(server, Difference(added=(seen("a:latest"), seen("b:latest"))), listed=True)
    model = (await known(store, server))["a:latest"]
    await store.write_loaded(server, {model.id: LOADED})
    assert await store.forget_loaded(server)
    assert {record.loaded for record in (await known(store, server)).values()} == {None}
    await world.edit(server)
    assert not await store.forget_loaded(server)


async def test_what_is_late_is_dropped(world: World, lease: Lease) -> None:
    store, server = world.inventory(lease), await world.add(1)
    await store.write(server, Difference(added=(seen("a:latest"),)), listed=True)
    before = await known(store, server)
    await world.edit(server)
    assert not await store.write(server, Difference(added=(seen("b:latest"),)), listed=True)
    assert not await store.write_loaded(server, {before["a:latest"].id: LOADED})
    assert await known(store, server) == before
    await world.delete(server)
    assert not await store.write(server, Difference(added=(seen("b:latest"),)), listed=True)


async def test_what_comes_under_a_stale_lease_is_dropped(world: World, stale: Lease) -> None:
    store, server = world.inventory(stale), await world.add(1)
    assert not await store.write(server, Difference(added=(seen("a:latest"),)), listed=True)
    assert await store.known(server.id) == []

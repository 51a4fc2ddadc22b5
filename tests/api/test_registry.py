"""The use cases that only the command line has: find a server by what people call it, list all models."""

from collections.abc import AsyncIterator

import pytest

from api.fleet.refusals import Refused
from api.fleet.registry import Registry
from api.fleet.schemas import ModelPatch, ServerCreate
from monitor.postgres.database import Connection, Database
from monitor.settings import Settings


@pytest.fixture
async def registry(settings: Settings, dsn: str) -> AsyncIterator[Registry]:
    """A registry without any HTTP around it."""
    database = Database(dsn, name="ollama-fleet servers")
    await database.open()
    yield Registry(database, settings)
    await database.close()


async def test_a_server_is_found_by_name_id_and_any_spelling_of_its_url(registry: Registry) -> None:
    server = await registry.create_server(ServerCreate(name="anna", url="http://gpu-1.example:11434"))
    for reference in ("anna", str(server.id), "HTTP://GPU-1.example:11434/v1/"):
        assert (await registry.find_server(reference)).id == server.id


async def test_a_name_wins_over_a_url_that_reads_the_same(registry: Registry) -> None:
    await registry.create_server(ServerCreate(name="anna", url="http://gpu-1.example"))
    misnamed = await registry.create_server(ServerCreate(name="http://gpu-1.example", url="http://gpu-2.example"))
    assert (await registry.find_server("http://gpu-1.example")).id == misnamed.id


@pytest.mark.parametrize(
    "reference", ["berta", "", "a\0b", "\udcff", "http://", "3fa85f64-5717-4562-b3fc-2c963f66afa6"]
)
async def test_what_names_no_server_is_not_found(registry: Registry, reference: str) -> None:
    with pytest.raises(Refused) as caught:
        await registry.find_server(reference)
    assert caught.value.code == "server_not_found"


async def test_all_models_are_listed_with_the_names_of_their_servers(
    registry: Registry, connection: Connection
) -> None:
    for name in ("berta", "anna"):
        server = await registry.create_server(ServerCreate(name=name, url=f"http://{name}.example"))
        await connection.execute(
            "INSERT INTO ollama_models (server_id, name, model_name) VALUES ($1, 'm', 'm:latest')", server.id
        )
    models = (await registry.all_models()).items
    assert [(model.model_name, model.server_name) for model in models] == [("m:latest", "anna"), ("m:latest", "berta")]
    switched = await registry.patch_model(models[0].server_id, "m", ModelPatch(is_active=False))
    assert switched.is_active is False


async def test_events_can_be_read_without_a_listener(registry: Registry) -> None:
    assert (await registry.events()).items == []
    await registry.create_server(ServerCreate(name="anna", url="http://anna.example"))
    assert (await registry.events()).head == 1
    assert [event.type for event in (await registry.events(0, wait=5)).items] == ["server.created"]

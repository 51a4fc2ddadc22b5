"""The contract of `api.cli.fleet.Fleet`, run over both ways to have one: a database at hand, and an API elsewhere."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from uuid import uuid4

import pytest

from api.cli import local, remote
from api.cli.fleet import Fleet
from api.fleet.filters import NO_FILTERS, ServerFilters
from api.fleet.refusals import Refused
from api.fleet.schemas import ModelPatch, ServerCreate, ServerPatch
from api.fleet.views import ServerView
from monitor.domain.event import EventType
from monitor.domain.selection import Request
from monitor.domain.uptime import Window
from monitor.postgres import database
from monitor.postgres.database import Connection
from monitor.settings import Settings
from tests.api.serving import serving_beside
from tests.api.token_maker import make

LIMIT = 15.0
MODEL = """
INSERT INTO ollama_models (server_id, name, model_name, size_bytes, digest, capabilities)
    VALUES ($1, $2, $2, 2000000000, 'sha256:abcdef', '["completion"]')
"""
REMOVED = "INSERT INTO ollama_models (server_id, name, model_name, removed_at) VALUES ($1, 'old', 'old:latest', now())"

Eventually = Callable[..., Awaitable[None]]


@pytest.fixture(params=["database", "api"])
async def fleet(request: pytest.FixtureRequest, dsn: str) -> AsyncIterator[Fleet]:
    """A fleet without a server, by each of the ways."""
    settings = Settings.model_validate({"database_url": dsn, "api_port": "0", "check_timeout": "1s"})
    if request.param == "database":
        async with local.opened(settings, dsn=dsn) as opened:
            yield local.fleet(opened, settings)
        return
    # The command line may read credentials, and so is an API elsewhere asked with a token that may.
    session = await database.connect(dsn, name="tests")
    token = await make(session, "admin", "admin")
    await session.close()
    with serving_beside(settings, dsn) as address:
        async with remote.opened(address, token=token) as elsewhere:
            yield elsewhere


async def added(fleet: Fleet, name: str, **fields: object) -> ServerView:
    return await fleet.registry.create_server(
        ServerCreate.model_validate({"name": name, "url": f"http://{name}:11434", **fields})
    )


async def refusal(asked: Awaitable[object]) -> str:
    with pytest.raises(Refused) as caught:
        await asked
    return caught.value.code


async def test_a_server_is_found_by_its_name_its_id_and_its_url(fleet: Fleet) -> None:
    anna = await added(fleet, "anna", priority=3, labels={"room": "attic"}, check_interval_seconds=20)
    assert (anna.priority, anna.labels, anna.check_interval_seconds) == (3, {"room": "attic"}, 20)
    for reference in ("anna", str(anna.id), "http://anna:11434"):
        assert (await fleet.registry.find_server(reference)).id == anna.id


async def test_a_server_that_is_not_there_is_refused_everywhere_alike(fleet: Fleet) -> None:
    registry, nobody = fleet.registry, uuid4()
    asked: list[Awaitable[object]] = [
        registry.find_server("berta"),
        registry.patch_server(nobody, ServerPatch(priority=1)),
        registry.delete_server(nobody),
        registry.list_models(nobody),
        registry.patch_model(nobody, "llama3:8b", ModelPatch(is_active=False)),
        registry.request_check(nobody),
        registry.request_discovery(nobody),
        registry.history(nobody, window=Window.DAY),
    ]
    assert {await refusal(each) for each in asked} == {"server_not_found"}


async def test_a_name_and_a_url_are_given_once(fleet: Fleet) -> None:
    await added(fleet, "anna")
    assert await refusal(added(fleet, "anna", url="http://other:11434")) == "name_taken"
    assert await refusal(added(fleet, "berta", url="http://anna:11434")) == "url_taken"


async def test_servers_come_in_pages_by_name(fleet: Fleet) -> None:
    for name in ("cara", "anna", "berta"):
        await added(fleet, name)
    names: list[str] = []
    cursor = None
    while True:
        page = await fleet.registry.list_servers(NO_FILTERS, limit=2, cursor=cursor)
        names += [server.name for server in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert names == ["anna", "berta", "cara"]


@pytest.mark.parametrize(
    "filters",
    [
        {"is_active": False},
        {"capability": ["chat"]},
        {"label": ["room=attic"]},
        {"is_active": False, "status": ["unknown"], "is_available": False},
    ],
)
async def test_filters_let_the_same_servers_through(fleet: Fleet, filters: dict[str, object]) -> None:
    await added(fleet, "anna", is_active=False, capabilities=["chat"], labels={"room": "attic"})
    await added(fleet, "berta")
    page = await fleet.registry.list_servers(ServerFilters.model_validate(filters))
    assert [server.name for server in page.items] == ["anna"]


async def test_an_edit_changes_what_is_given_and_keeps_the_rest(fleet: Fleet) -> None:
    anna = await added(fleet, "anna", priority=3, site="berlin", labels={"room": "attic", "rack": "1"})
    patch = ServerPatch.model_validate({"site": None, "labels": {"rack": None}})
    edited = await fleet.registry.patch_server(anna.id, patch)
    assert (edited.priority, edited.site, edited.labels, edited.notices) == (3, None, {"room": "attic"}, [])
    assert (await fleet.registry.find_server("anna")).row_version == edited.row_version


async def test_a_removed_server_is_gone(fleet: Fleet) -> None:
    anna = await added(fleet, "anna")
    await fleet.registry.delete_server(anna.id)
    assert await refusal(fleet.registry.find_server("anna")) == "server_not_found"


async def test_models_are_listed_by_server_and_all_together(fleet: Fleet, connection: Connection) -> None:
    for name in ("berta", "anna"):
        server = await added(fleet, name)
        await connection.execute(MODEL, server.id, "llama3:8b")
        await connection.execute(REMOVED, server.id)
    of_anna = await fleet.registry.list_models((await fleet.registry.find_server("anna")).id)
    assert [(model.server_name, model.model_name) for model in of_anna.items] == [("anna", "llama3:8b")]
    every = await fleet.registry.all_models(include_removed=True)
    assert [(model.model_name, model.server_name) for model in every.items] == [
        ("llama3:8b", "anna"),
        ("llama3:8b", "berta"),
        ("old:latest", "anna"),
        ("old:latest", "berta"),
    ]


async def test_a_model_is_deactivated_by_any_spelling_of_its_name(fleet: Fleet, connection: Connection) -> None:
    anna = await added(fleet, "anna")
    await connection.execute(MODEL, anna.id, "hf.co/a/b:q4")
    model = await fleet.registry.patch_model(anna.id, "HF.co/a/b:Q4", ModelPatch(is_active=False))
    assert (model.model_name, model.is_active) == ("hf.co/a/b:q4", False)
    assert await refusal(fleet.registry.patch_model(anna.id, "none", ModelPatch(is_active=True))) == "model_not_found"


async def test_history_and_readiness_are_told_without_a_monitor(fleet: Fleet) -> None:
    anna = await added(fleet, "anna")
    history = await fleet.registry.history(anna.id, window=Window.DAY)
    assert (history.window, history.windows["24h"].uptime) == ("24h", None)
    report = await fleet.registry.readiness()
    assert (report.checks["database"], report.checks["schema"]) == ("ok", "ok")
    assert any("monitor" in reason for reason in report.reasons)


async def test_a_request_is_resolved_to_a_server_that_nobody_registered(fleet: Fleet) -> None:
    answer = await fleet.resolver.resolve(Request(server_url="http://10.0.0.5:11434"), with_headers=True)
    assert (answer["base_url"], answer["server"], answer["rule"]) == ("http://10.0.0.5:11434", None, 1)
    assert answer["headers"] == {}


async def test_what_cannot_be_resolved_is_refused_with_an_explanation(fleet: Fleet) -> None:
    with pytest.raises(Refused) as caught:
        await fleet.resolver.resolve(Request(model="llama3:8b", explain=True))
    assert caught.value.facts["explanation"]["passed_over"] == []
    assert await refusal(fleet.resolver.model("llama3:8b")) == "model_not_found"


async def test_the_catalogue_comes_in_pages_by_name(
    fleet: Fleet, connection: Connection, eventually: Eventually
) -> None:
    anna = await added(fleet, "anna")
    for name in ("phi4:14b", "gemma3:4b", "llama3:8b"):
        await connection.execute(MODEL, anna.id, name)

    async def is_known() -> bool:
        # An API answers from its memory, which follows the log.
        return len((await fleet.resolver.models(limit=3, cursor=None))["items"]) == 3

    await eventually(is_known)
    first = await fleet.resolver.models(limit=2, cursor=None)
    second = await fleet.resolver.models(limit=2, cursor=first["next_cursor"])
    names = [entry["model_name"] for page in (first, second) for entry in page["items"]]
    assert (names, second["next_cursor"]) == (["gemma3:4b", "llama3:8b", "phi4:14b"], None)
    entry = await fleet.resolver.model("phi4:14b")
    assert [place["server_name"] for place in entry["servers"]] == ["anna"]


async def test_events_are_read_after_a_number_and_by_type_and_server(fleet: Fleet) -> None:
    anna = await added(fleet, "anna")
    berta = await added(fleet, "berta")
    await fleet.registry.delete_server(anna.id)
    every = await fleet.events.read(None, limit=10, types=(), server_id=None)
    assert [(event.type, event.server_id) for event in every.events] == [
        (EventType.SERVER_CREATED, anna.id),
        (EventType.SERVER_CREATED, berta.id),
        (EventType.SERVER_DELETED, anna.id),
    ]
    assert (every.after, every.first, every.last) == (0, 1, 3)
    after = await fleet.events.read(1, limit=1, types=(), server_id=None)
    assert [event.seq for event in after.events] == [2]
    of_anna = await fleet.events.read(0, limit=10, types=["server.deleted"], server_id=anna.id)
    assert ([event.seq for event in of_anna.events], of_anna.last) == ([3], 3)


async def test_a_number_that_the_log_does_not_have_is_told_by_how_far_the_log_goes(fleet: Fleet) -> None:
    await added(fleet, "anna")
    found = await fleet.events.read(7, limit=10, types=(), server_id=None)
    assert (found.events, found.first, found.last, found.is_held) == ([], 1, 1, False)


async def test_a_reader_is_woken_by_an_event(fleet: Fleet) -> None:
    await added(fleet, "anna")
    waker = fleet.events.waker()
    listening = asyncio.create_task(waker.run())
    try:
        async with asyncio.timeout(LIMIT):
            waiting = asyncio.create_task(waker.wait(1))
            await added(fleet, "berta")
            await waiting
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
    found = await fleet.events.read(1, limit=10, types=(), server_id=None)
    assert [event.body["name"] for event in found.events] == ["berta"]

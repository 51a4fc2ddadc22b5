"""Resolution over HTTP: the owner's table, the shape of answers and refusals, and what is asked of the monitor."""

import ipaddress
import uuid
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import quote

import pytest

from monitor.postgres.database import Connection
from monitor.settings import Settings
from tests import boxes, rules
from tests.api.client import ApiClient, serving
from tests.api.resolving import PATH, body, get, make, query
from tests.boxes import DOWN, UP, Box, Has

Eventually = Callable[..., Awaitable[None]]


async def test_the_rules_row_by_row_with_get_and_post(api: ApiClient, psql: Connection) -> None:
    for row in rules.TABLE:
        await make(api, psql, *row.boxes)
        answers = [await get(api, **query(row.request)), await api.ask("POST", PATH, json=body(row.request))]
        for answer in answers:
            rules.check(row, answer.body)


async def test_an_answer_has_all_that_a_program_needs(api: ApiClient, psql: Connection) -> None:
    fields = {**UP, "priority": 3, "capabilities": ["chat"], "max_concurrent": 2}
    fields |= {"labels": {"room": "attic"}, "site": "berlin", "api_seen": "native"}
    await make(api, psql, Box("anna", fields, (Has("m:latest", boxes.LOADED),)))
    answer = await get(api, model="M")
    assert answer.headers["Cache-Control"] == "no-store"
    body = answer.body
    snapshot = body.pop("snapshot")
    assert snapshot["seq"] == await psql.fetchval("SELECT seq FROM fleet_event_head")
    assert (snapshot["stale"], 0 <= snapshot["age_seconds"] < 8) == (False, True)
    assert uuid.UUID(body["server"].pop("id")) == await psql.fetchval("SELECT id FROM ollama_servers")
    assert body == {
        "source": "registered",
        "rule": 2,
        "server": {
            "name": "anna",
            "url": "http://anna:11434",
            "api_version": "v1",
            "api": "native",
            "is_default": False,
            "priority": 3,
            "capabilities": ["chat"],
            "labels": {"room": "attic"},
            "site": "berlin",
            "status": "up",
            "status_reason": None,
            "status_detail": None,
        },
        "base_url": "http://anna:11434",
        "model_name": "m:latest",
        "available": True,
        "suspect": False,
        "model_known": True,
        "loaded": True,
        "remote_host": None,
        "max_concurrent": 2,
        "flapping": False,
        "stale": False,
        "candidates": [],
        "explanation": None,
    }


async def test_an_explanation_comes_with_answers_and_with_refusals(api: ApiClient, psql: Connection) -> None:
    await make(api, psql, Box("anna", UP, (Has("m:latest"),)), Box("berta", DOWN, (Has("m:latest"), Has("n:latest"))))
    explained = (await get(api, model="m", explain="true")).body["explanation"]
    assert (explained["rule"], explained["more"]) == (2, 0)
    assert [(one["name"], one["reason"]) for one in explained["passed_over"]] == [("berta", "is down (refused)")]
    refused = await get(api, model="n", explain="true")
    assert (refused.status, refused.body["code"]) == (503, "no_server_available")
    assert int(refused.headers["Retry-After"]) > 0
    assert [(one["name"], one["reason"]) for one in refused.body["servers"]] == [("berta", "is down (refused)")]
    assert {one["name"] for one in refused.body["explanation"]["passed_over"]} == {"anna", "berta"}


async def test_refusals_have_their_status_and_name_what_is_near(api: ApiClient, psql: Connection) -> None:
    await make(api, psql, Box("anna", boxes.OFF), Box("berta", UP, (Has("llama3:8b"),)))
    inactive = await get(api, server_url="http://anna:11434")
    assert inactive.status == 409
    assert inactive.body["server_id"] == str(await psql.fetchval("SELECT id FROM ollama_servers WHERE name = 'anna'"))
    missing = await get(api, model="lama3")
    assert (missing.status, missing.body["nearest"]) == (404, ["llama3:8b"])
    await make(api, psql)
    assert (await get(api)).status == 503


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("server_url=", "server_url"),
        ("model=", "model"),
        (f"model={'x' * 2000}", "model"),
        ("model=a%20b", "model"),
        ("model=%00", "model"),
        ("server_url=http%3A%2F%2F169.254.169.254", "server_url"),
        ("server_url=http%3A%2F%2F%5B%3A%3Affff%3A169.254.169.254%5D%2F", "server_url"),
        ("server_url=http%3A%2F%2Fu%3Ap%40a.example", "server_url"),
        ("model=a&model=b", "model"),
        ("explain=yes", "explain"),
        ("cloud=1", "cloud"),
        ("url=http%3A%2F%2Fa", "url"),
    ],
)
async def test_what_cannot_be_understood_is_refused_and_named(api: ApiClient, query: str, field: str) -> None:
    answer = await api.ask("GET", f"{PATH}?{query}")
    assert (answer.status, answer.body["errors"][0]["field"]) == (422, field)


@pytest.mark.parametrize("body", [[], {"model": 1}, {"explain": "true"}, {"server": "x"}, {"cloud": None}])
async def test_a_body_of_another_shape_is_refused(api: ApiClient, body: Any) -> None:
    assert (await api.ask("POST", PATH, json=body)).status == 422


async def test_a_dynamic_url_outside_the_allowed_networks_is_refused(settings: Settings, dsn: str) -> None:
    narrow = settings.model_copy(update={"allowed_networks": (ipaddress.ip_network("10.0.0.0/8"),)})
    async with serving(narrow, dsn) as (api, _):
        assert (await get(api, server_url="http://192.168.1.1:11434")).status == 422
        assert (await get(api, server_url="http://10.1.1.1:11434")).body["source"] == "dynamic"


async def test_a_dynamic_answer_stores_nothing(api: ApiClient, psql: Connection) -> None:
    before = await psql.fetchval("SELECT seq FROM fleet_event_head")
    assert (await get(api, server_url="http://new.example:11434", model="m")).status == 200
    assert await psql.fetchval("SELECT count(*) FROM ollama_servers") == 0
    assert await psql.fetchval("SELECT seq FROM fleet_event_head") == before


async def test_a_server_that_nobody_checks_is_stale(api: ApiClient, psql: Connection, eventually: Eventually) -> None:
    await make(api, psql, Box("anna", {**UP, "check_interval_seconds": 0.1, "check_timeout_seconds": 0.1}))

    async def is_stale() -> bool:
        return bool((await get(api)).body["stale"])

    await eventually(is_stale, what="stale")


REQUESTED = "SELECT name FROM ollama_servers WHERE discovery_requested_at IS NOT NULL ORDER BY name"


async def test_a_miss_has_the_servers_that_may_have_it_listed_but_not_again_within_the_interval(
    api: ApiClient, psql: Connection, eventually: Eventually
) -> None:
    await make(api, psql, Box("anna", UP), Box("berta", DOWN), Box("carla", boxes.OFF), Box("dora", UP))
    assert (await get(api, model="m")).status == 404

    async def requested() -> bool:
        return [row["name"] for row in await psql.fetch(REQUESTED)] == ["anna", "dora"]

    await eventually(requested, what="the requests")
    await psql.execute("UPDATE ollama_servers SET discovery_requested_at = NULL")
    for _ in range(3):
        assert (await get(api, model="m")).status == 404
    # Whatever they might have set going has been written once a statement after them is through.
    await api.add("later")
    assert await psql.fetch(REQUESTED) == []


DIGEST_A: dict[str, object] = {"digest": "a" * 64}


@pytest.fixture
async def catalogued(api: ApiClient, psql: Connection) -> ApiClient:
    """An API that knows some models."""
    await make(
        api,
        psql,
        Box("anna", UP, (Has("m:latest", DIGEST_A | {"size_bytes": 5} | boxes.LOADED), Has("c:cloud", boxes.CLOUD))),
        Box("berta", DOWN, (Has("M:latest", {"digest": "b" * 64}), Has(rules.HF, {"capabilities": ["vision"]}))),
        Box("carla", boxes.OFF, (Has("off:1b"), Has("m:latest", DIGEST_A))),
    )
    return api


async def test_the_catalogue_tells_of_each_model_where_it_is(catalogued: ApiClient) -> None:
    page = (await catalogued.ask("GET", "/api/models")).body
    assert [entry["model_name"] for entry in page["items"]] == ["c:cloud", rules.HF, "m:latest", "off:1b"]
    assert page["next_cursor"] is None
    cloud, _, model, off = page["items"]
    assert (cloud["cloud"], cloud["is_available"], off["is_active"]) == (True, True, False)
    assert (model["digest_drift"], model["digests"]) == (True, ["a" * 64, "b" * 64])
    assert (model["loaded_on"], model["servers_total"], model["size_bytes"]) == (["anna"], 3, 5)
    places = [(one["server_name"], one["model_name"], one["is_active"], one["loaded"]) for one in model["servers"]]
    assert places == [
        ("anna", "m:latest", True, True),
        ("berta", "M:latest", True, False),
        ("carla", "m:latest", False, False),
    ]


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("is_active=false", ["off:1b"]),
        ("is_available=true", ["c:cloud", "m:latest"]),
        ("loaded=true", ["m:latest"]),
        ("cloud=true", ["c:cloud"]),
        ("digest_drift=true", ["m:latest"]),
        ("capability=vision", [rules.HF]),
        ("is_active=true&is_available=false", [rules.HF]),
    ],
)
async def test_the_catalogue_is_filtered(catalogued: ApiClient, query: str, names: list[str]) -> None:
    items = (await catalogued.ask("GET", f"/api/models?{query}")).body["items"]
    assert [entry["model_name"] for entry in items] == names


async def test_the_catalogue_is_read_page_by_page(catalogued: ApiClient) -> None:
    seen: list[str] = []
    cursor = ""
    while cursor is not None:
        page = (await catalogued.ask("GET", f"/api/models?limit=1{cursor and '&cursor=' + cursor}")).body
        seen += [entry["model_name"] for entry in page["items"]]
        cursor = page["next_cursor"]
    assert seen == ["c:cloud", rules.HF, "m:latest", "off:1b"]
    assert (await catalogued.ask("GET", "/api/models?cursor=nonsense")).body["code"] == "invalid_cursor"


async def test_one_model_is_found_by_each_spelling_of_its_name(catalogued: ApiClient) -> None:
    for spelling in (rules.HF, quote(rules.HF, safe=""), rules.HF.upper()):
        assert (await catalogued.ask("GET", f"/api/models/{spelling}")).body["model_name"] == rules.HF
    assert (await catalogued.ask("GET", "/api/models/M")).body["servers_total"] == 3
    for missing in ("mm", "%00", "a%20b", "x" * 2000):
        answer = await catalogued.ask("GET", f"/api/models/{missing}")
        assert (answer.status, answer.body["code"]) == (404, "model_not_found")
    assert (await catalogued.ask("GET", "/api/models/of:1b")).body["nearest"] == []

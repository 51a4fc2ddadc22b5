"""Random bodies and paths: whatever is sent, the API never answers 5xx, and stores only what it can show."""

import json
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies

from api.schemas import ServerCreate
from monitor.postgres.database import Connection
from monitor.settings import Settings
from tests.api.client import ApiClient, serving

TEXTS = strategies.text(max_size=20) | strategies.sampled_from(["http://a.example", "none", "\0", "\ud800", "llama3"])
VALUES = strategies.recursive(
    strategies.none() | strategies.booleans() | strategies.integers() | strategies.floats() | TEXTS,
    lambda inner: strategies.lists(inner, max_size=3) | strategies.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=5,
)
FIELDS = strategies.sampled_from([*ServerCreate.model_fields, "status", "id"])
BODIES = strategies.dictionaries(FIELDS, VALUES, max_size=5) | VALUES
ROUTES = strategies.sampled_from(["POST servers", "PUT one", "PATCH one", "PATCH model"])
RUNS = 400


def cases(number: int) -> list[tuple[str, Any]]:
    """Return random requests. Drawn at once, so that all meet one running API."""
    found: list[tuple[str, Any]] = []

    @hypothesis.settings(max_examples=number, deadline=None, database=None, phases=[hypothesis.Phase.generate])
    @hypothesis.given(strategies.tuples(ROUTES, BODIES))
    def draw(case: tuple[str, Any]) -> None:
        found.append(case)

    draw()
    return found


async def send(api: ApiClient, server_id: str, route: str, body: Any) -> int:
    """Send one case; what is required is added, so that the rest of it counts."""
    method, where = route.split()
    path = "/api/servers" if where == "servers" else f"/api/servers/{server_id}"
    if where == "model":
        path += "/models/m"
    if isinstance(body, dict) and method != "PATCH":
        body = {"name": "anna", "url": "http://b.example"} | body
    data = json.dumps(body).encode()
    return (await api.ask(method, path, data=data, headers={"Content-Type": "application/json"})).status


async def test_random_bodies_never_make_the_api_fail(
    settings: Settings, dsn: str, psql: Connection, request: pytest.FixtureRequest
) -> None:
    number = 10_000 if request.config.getoption("--long") else RUNS
    async with serving(settings, dsn) as (api, _):
        server = await api.add("fuzzed")
        await psql.execute(
            "INSERT INTO ollama_models (server_id, name, model_name) SELECT id, 'm', 'm:latest' FROM ollama_servers"
        )
        statuses: set[int] = set()
        for route, body in cases(number):
            status = await send(api, server["id"], route, body)
            assert status < 500, (route, body)
            statuses.add(status)
            assert (await api.ask("GET", f"/api/servers/{server['id']}")).status == 200
    assert {200, 422} <= statuses

"""Random bodies, tokens and origins: whatever is sent, the API never answers 5xx, and stores only what it can show."""

import json
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

import hypothesis
import pytest
from hypothesis import strategies

from api.fleet.schemas import ServerCreate
from monitor.postgres.database import Connection
from monitor.settings import Settings
from tests.api.client import ApiClient, serving
from tests.api.token_maker import make

T = TypeVar("T")

TEXTS = strategies.text(max_size=20) | strategies.sampled_from(["http://a.example", "none", "\0", "\ud800", "llama3"])
VALUES = strategies.recursive(
    strategies.none() | strategies.booleans() | strategies.integers() | strategies.floats() | TEXTS,
    lambda inner: strategies.lists(inner, max_size=3) | strategies.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=5,
)
FIELDS = strategies.sampled_from([*ServerCreate.model_fields, "status", "id"])
BODIES = strategies.dictionaries(FIELDS, VALUES, max_size=5) | VALUES
ROUTES = strategies.sampled_from(["POST servers", "PUT one", "PATCH one", "PATCH model"])
QUERIES = strategies.dictionaries(
    strategies.sampled_from(["server_url", "model", "explain", "cloud", "limit", "cursor", "loaded", "zzz"]),
    TEXTS | strategies.sampled_from(["true", "http://a.example:11434/v1", "hf.co/a/b:c", "m", "http://[::1]", "1"]),
    max_size=3,
)
RUNS = 400
# What a client can send at all; the right token and its parts are put in by the test.
HEADER_TEXTS = strategies.text(strategies.characters(exclude_categories=["Cc", "Cs"]), max_size=60)
TOKENS = strategies.sampled_from(
    ["{token}", "{token}x", "{half}", "olf_", "olf_" + "0" * 32 + "_" + "A" * 43, "", "a b"]
)
AUTHORIZATIONS = (
    strategies.none()
    | HEADER_TEXTS
    | strategies.tuples(
        strategies.sampled_from(["Bearer ", "bearer  ", "Basic ", "Bearer", ""]), TOKENS | HEADER_TEXTS
    ).map("".join)
)
ORIGINS = (
    strategies.none()
    | HEADER_TEXTS
    | strategies.sampled_from(["null", "http://localhost", "http://[::1", "http://a:99999", "https://a@b", "{own}"])
)
PATHS = strategies.sampled_from(
    ["/api/servers", "/api/events", "/livez", "/nothing", "/api/servers?include=credentials"]
)
VISITS = strategies.tuples(
    strategies.sampled_from(["GET", "POST", "OPTIONS", "DELETE"]), PATHS, AUTHORIZATIONS, ORIGINS
)


def cases(number: int, kind: strategies.SearchStrategy[T]) -> list[T]:
    """Return random requests. Drawn at once, so that all meet one running API."""
    found: list[T] = []

    @hypothesis.settings(max_examples=number, deadline=None, database=None, phases=[hypothesis.Phase.generate])
    @hypothesis.given(kind)
    def draw(case: T) -> None:
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
        for route, body in cases(number, strategies.tuples(ROUTES, BODIES)):
            status = await send(api, server["id"], route, body)
            assert status < 500, (route, body)
            statuses.add(status)
            assert (await api.ask("GET", f"/api/servers/{server['id']}")).status == 200
    assert {200, 422} <= statuses


async def test_random_tokens_and_origins_never_make_the_api_fail_and_let_nobody_in(
    settings: Settings, dsn: str, psql: Connection, request: pytest.FixtureRequest
) -> None:
    number = 10_000 if request.config.getoption("--long") else RUNS
    token = await make(psql, "right", "read")
    async with serving(settings, dsn) as (api, _):
        statuses: set[int] = set()
        for method, path, authorization, origin in cases(number, VISITS):
            headers = {
                name: value.replace("{token}", token).replace("{half}", token[:40]).replace("{own}", api.base_url)
                for name, value in (("Authorization", authorization), ("Origin", origin))
                if value is not None
            }
            status = (await api.ask(method, path, headers=headers)).status
            assert status < 500 or status == 503, (method, path, headers)
            is_right = headers.get("Authorization", "").split() in (["Bearer", token], ["bearer", token])
            assert is_right or path == "/livez" or status in {400, 401, 403, 415, 429}, (method, path, headers)
            statuses.add(status)
    assert {200, 401, 403} <= statuses


async def test_random_questions_get_an_answer_or_a_refusal(
    settings: Settings, dsn: str, psql: Connection, request: pytest.FixtureRequest
) -> None:
    number = 10_000 if request.config.getoption("--long") else RUNS
    routes = strategies.sampled_from(["GET /api/resolve", "POST /api/resolve", "GET /api/models", "GET /api/models/"])
    async with serving(settings, dsn) as (api, _):
        await api.add("fuzzed")
        statuses: set[int] = set()
        for route, query in cases(number, strategies.tuples(routes, QUERIES)):
            method, path = route.split()
            if path.endswith("/"):
                path += quote("".join(query.values()), safe="", errors="surrogatepass") or "m"
            asked = f"{path}?{urlencode(query, errors='surrogatepass')}" if path.count("/") == 2 else path
            answer = await (api.ask("GET", asked) if method == "GET" else api.ask("POST", path, json=query))
            assert answer.status < 500 or answer.status == 503, (route, query)
            statuses.add(answer.status)
    assert {200, 404, 422} <= statuses
    assert await psql.fetchval("SELECT count(*) FROM ollama_servers") == 1

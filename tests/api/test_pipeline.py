"""What every request goes through, in process: the gate, refusals as problems, the count, and what is not there."""

from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from prometheus_client.metrics_core import Metric

from api.fleet.refusals import Next, Refused
from api.web.gate.gate import Gate
from api.web.http import responses
from api.web.http.connections import Connections
from api.web.metrics.traffic import Traffic
from api.web.pipeline import RequestPipeline
from api.web.problems import HttpRefused
from monitor.domain.errors import DatabaseUnavailableError, KeyRingError

Client = TestClient[web.Request, web.Application]
MakeClient = Callable[[web.Application], Awaitable[Client]]


class OpenGate:
    """Lets everybody in, or refuses as it is told."""

    def __init__(self) -> None:
        self.refusal: Refused | None = None

    def recall(self, _request: web.Request) -> bool:
        """Remember nobody."""
        return False

    async def examine(self, _request: web.Request) -> None:
        """Raise what it was told to."""
        if self.refusal is not None:
            raise self.refusal


class Bench:
    """An application of one route, which does what it is told."""

    def __init__(self) -> None:
        self.gate, self.traffic = OpenGate(), Traffic()
        self.does: Exception | web.Response = responses.data({"a": 1})
        self.app = web.Application()
        pipeline = RequestPipeline(cast("Gate", self.gate), self.traffic, Connections(10))
        self.app.add_routes(pipeline.wrap([web.get("/api/thing", self._handle), web.post("/api/thing", self._handle)]))

    async def _handle(self, _request: web.Request) -> web.Response:
        if isinstance(self.does, Exception):
            raise self.does
        return self.does

    def counted(self) -> set[tuple[str, str, str]]:
        """Method, route and status of what was counted."""
        requests: Metric = next(iter(self.traffic.families()))
        return {
            (sample.labels["method"], sample.labels["route"], sample.labels["status"]) for sample in requests.samples
        }


@pytest.fixture
def bench() -> Bench:
    """An application that answers well."""
    return Bench()


@pytest.fixture
async def client(bench: Bench, aiohttp_client: MakeClient) -> Client:
    """A client of it."""
    return await aiohttp_client(bench.app)


async def problem(client: Client, path: str = "/api/thing", *, method: str = "GET") -> tuple[int, dict[str, Any], Any]:
    """Ask, and return status, document and headers of the problem."""
    async with client.request(method, path) as answer:
        assert answer.content_type == "application/problem+json"
        return answer.status, await answer.json(content_type=None), answer.headers


@pytest.mark.parametrize(
    ("error", "status", "code", "headers"),
    [
        (Refused("server_not_found", "No."), 404, "server_not_found", {}),
        (Refused("no_active_server", "No."), 503, "no_active_server", {"Retry-After": "2"}),
        (Refused("too_many_failures", "No.", retry_after=7), 429, "too_many_failures", {"Retry-After": "7"}),
        (Refused("token_missing", "No."), 401, "token_missing", {"WWW-Authenticate": "Bearer"}),
        (
            Refused("scope_missing", "No.", scope="write"),
            403,
            "scope_missing",
            {"WWW-Authenticate": 'Bearer error="insufficient_scope", scope="write"'},
        ),
        (HttpRefused("bad_request", "No.", headers={"X-A": "b"}), 400, "bad_request", {"X-A": "b"}),
        (DatabaseUnavailableError("Away."), 503, "database_unavailable", {"Retry-After": "2"}),
        (KeyRingError("Gone."), 503, "key_ring_unavailable", {}),
        (RuntimeError("the inside"), 500, "internal", {}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_what_goes_wrong_is_a_problem_with_its_status_and_headers(
    bench: Bench, client: Client, error: Exception, status: int, code: str, headers: dict[str, str]
) -> None:
    bench.does = error
    found, document, sent = await problem(client)
    assert (found, document["code"], document["status"]) == (status, code, status)
    assert document["type"] == f"urn:ollama-fleet:problem:{code}"
    assert {name: sent.get(name) for name in headers} == headers
    assert ("Retry-After" in sent) == ("Retry-After" in headers)
    assert "inside" not in str(document)
    assert "retry_after" not in document
    assert bench.counted() == {("GET", "/api/thing", str(status))}


async def test_what_to_do_next_is_said_as_http_has_it_and_named_for_others(bench: Bench, client: Client) -> None:
    bench.does = Refused("server_not_found", "There is no server 'a'.", next=Next.LIST_SERVERS, reference="a")
    _, document, _ = await problem(client)
    assert document["detail"] == "There is no server 'a'. GET /api/servers lists those there are."
    assert (document["why"], document["next"]) == ("There is no server 'a'.", "list_servers")
    assert document["reference"] == "a"


async def test_whom_the_gate_refuses_reaches_no_handler(bench: Bench, client: Client) -> None:
    bench.gate.refusal = Refused("token_unknown", "No.")
    bench.does = RuntimeError("reached")
    status, document, _ = await problem(client)
    assert (status, document["code"]) == (401, "token_unknown")


async def test_what_is_not_there_says_what_is(bench: Bench, client: Client) -> None:
    status, document, headers = await problem(client, method="DELETE")
    assert (status, document["code"], headers["Allow"]) == (
        405,
        "method_not_allowed",
        "GET,HEAD,POST".replace(",", ", "),
    )
    for path, said in (("/api/chat", "This is not Ollama"), ("/api/thing/", "leave out the /"), ("/x", "/docs")):
        status, document, _ = await problem(client, path)
        assert (status, document["code"]) == (404, "not_found")
        assert said in document["detail"]
    assert bench.counted() == {("DELETE", "unknown", "405"), ("GET", "unknown", "404")}


async def test_only_a_get_has_a_tag_and_a_fleeting_answer_has_none(bench: Bench, client: Client) -> None:
    async with client.get("/api/thing") as answer:
        tag = answer.headers["ETag"]
    bench.does = responses.data({"a": 1})
    async with client.get("/api/thing", headers={"If-None-Match": tag}) as answer:
        assert (answer.status, await answer.read()) == (304, b"")
    bench.does = responses.data({"a": 1})
    async with client.post("/api/thing") as answer:
        assert "ETag" not in answer.headers
    bench.does = responses.fleeting(b"{}")
    async with client.get("/api/thing", headers={"If-None-Match": "*"}) as answer:
        assert (answer.status, "ETag" in answer.headers) == (200, False)

"""The client of a fleet elsewhere, and every odd thing that something at its address may answer."""

from collections.abc import Iterator
from typing import Any
from unittest.mock import Mock

import aiohttp
import pytest
from aioresponses import aioresponses

from api.cli.api_connection import ApiConnection
from api.fleet.refusals import Next, Refused
from monitor.domain.errors import ApiUnavailableError, FleetError

BASE = "http://fleet.example"
PATH = "/api/servers"
PROBLEM = "application/problem+json"


class Response(aiohttp.ClientResponse):
    """A response whose request was sent long ago: aioresponses does not know yet that aiohttp asks for its writer."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings, stream_writer=Mock(output_size=0))


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Iterator[aioresponses]:
    """What is answered, request by request, without a socket."""
    monkeypatch.setattr("aioresponses.core.ClientResponse", Response)
    with aioresponses() as told:
        yield told


async def ask(token: str | None = None) -> object:
    """Ask for the servers."""
    async with ApiConnection(BASE, token=token) as connection:
        return await connection.ask("GET", PATH)


async def test_a_document_is_returned_and_the_token_sent(answers: aioresponses) -> None:
    answers.get(BASE + PATH, payload={"items": []})
    assert await ask("secret") == {"items": []}
    ((_, calls),) = answers.requests.items()
    assert len(calls) == 1
    assert calls[0].kwargs["allow_redirects"] is False


async def test_an_answer_without_a_body_is_nothing(answers: aioresponses) -> None:
    answers.get(BASE + PATH, status=204, body=b"")
    assert await ask() is None


@pytest.mark.parametrize(
    ("document", "code", "said", "then"),
    [
        ({"code": "invalid", "detail": "Wrong."}, "invalid", "Wrong.", None),
        (
            {"code": "server_not_found", "detail": "No. GET it.", "why": "No.", "next": "list_servers"},
            "server_not_found",
            "No.",
            Next.LIST_SERVERS,
        ),
        ({"code": "x", "detail": "No. GET it.", "why": "No.", "next": "of a later version"}, "x", "No. GET it.", None),
        ({"code": "x", "detail": "No.", "self": 1}, "x", "No.", None),
        ({"code": None, "detail": ""}, "unknown", f"The API at {BASE} answered 404.", None),
        ([], "unknown", f"The API at {BASE} answered 404.", None),
    ],
    ids=["plain", "next", "unknown next", "self", "empty", "no object"],
)
async def test_a_refusal_keeps_its_code_and_what_is_next(
    answers: aioresponses, document: object, code: str, said: str, then: Next | None
) -> None:
    answers.get(BASE + PATH, status=404, payload=document, content_type=PROBLEM)
    with pytest.raises(Refused) as caught:
        await ask()
    assert (caught.value.code, caught.value.detail, caught.value.next) == (code, said, then)
    assert not caught.value.facts.keys() & {"detail", "why", "next", "status", "type", "title"}


async def test_an_api_without_its_database_is_away(answers: aioresponses) -> None:
    answers.get(
        BASE + PATH, status=503, payload={"code": "database_unavailable", "detail": "Away."}, content_type=PROBLEM
    )
    with pytest.raises(ApiUnavailableError, match=r"^Away\.$"):
        await ask()


@pytest.mark.parametrize(
    ("body", "content_type"), [("<html>", "text/html"), ("{", "application/json"), ('{"a": 1}', "text/plain")]
)
@pytest.mark.parametrize("status", [200, 302, 502])
async def test_what_is_no_json_comes_from_another_program(
    answers: aioresponses, status: int, body: str, content_type: str
) -> None:
    answers.get(BASE + PATH, status=status, body=body, content_type=content_type)
    with pytest.raises(FleetError, match=f"is not the API of ollama-fleet: status {status}, {content_type}"):
        await ask()


@pytest.mark.parametrize(
    "error",
    [
        aiohttp.ServerDisconnectedError(),
        aiohttp.ClientPayloadError("cut"),
        TimeoutError(),
        ConnectionResetError(104, "reset"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_whatever_ends_the_connection_is_an_api_that_cannot_be_reached(
    answers: aioresponses, error: Exception
) -> None:
    answers.get(BASE + PATH, exception=error)
    with pytest.raises(ApiUnavailableError, match=r"^The API at http://fleet\.example cannot be reached: .+\. Check "):
        await ask()

"""Commands on a fleet elsewhere: every way in which an API can fail them ends in one clear line."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.cli.conftest import Outcome, Typed

PROBLEM = "application/problem+json"


class OtherProgram:
    """Answers everything with what it is told, and keeps what it was asked."""

    def __init__(self) -> None:
        self.answer = web.Response()
        self.asked: list[web.BaseRequest] = []

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer with a copy, since an answer can be sent only once."""
        self.asked.append(request)
        told = self.answer
        return web.Response(body=told.body, status=told.status, headers=told.headers)


@pytest.fixture
async def other(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[OtherProgram]:
    program = OtherProgram()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", program.handle)
    async with TestServer(app) as server:
        monkeypatch.setenv("OLLAMA_FLEET_API_URL", str(server.make_url("/")))
        yield program


async def typed_later(typed: Typed, *arguments: str) -> Outcome:
    return await asyncio.to_thread(typed, *arguments)


async def test_a_problem_that_only_a_later_version_knows_is_told_in_its_words(
    other: OtherProgram, typed: Typed
) -> None:
    document = {"code": "no_room", "status": 403, "detail": "A later version says so."}
    other.answer = web.Response(body=json.dumps(document), status=403, content_type=PROBLEM)
    outcome = await typed_later(typed, "servers", "list")
    assert (outcome.code, outcome.err) == (1, "ollama-fleet: A later version says so.\n")


@pytest.mark.parametrize("errors", [None, "no", [], ["no"], {"field": "name"}])
async def test_a_refusal_whose_fields_are_no_list_is_told_as_it_is(
    other: OtherProgram, typed: Typed, errors: object
) -> None:
    document = {"code": "invalid", "status": 422, "detail": "Something is wrong.", "errors": errors}
    other.answer = web.Response(body=json.dumps(document), status=422, content_type=PROBLEM)
    outcome = await typed_later(typed, "servers", "list")
    assert (outcome.code, outcome.err) == (1, "ollama-fleet: Something is wrong.\n")


@pytest.mark.parametrize("content_type", ["text/html", "application/json"])
async def test_another_program_at_the_address_is_recognised(
    other: OtherProgram, typed: Typed, content_type: str
) -> None:
    other.answer = web.Response(body="<html>", content_type=content_type)
    outcome = await typed_later(typed, "servers", "list")
    assert outcome.code == 1
    assert "is not the API of ollama-fleet: status 200" in outcome.err
    assert "Correct OLLAMA_FLEET_API_URL." in outcome.err


async def test_a_redirect_is_not_followed_with_the_token(
    other: OtherProgram, typed: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OLLAMA_FLEET_API_TOKEN", "secret-word")
    other.answer = web.Response(status=302, headers={"Location": "http://127.0.0.1:1/"}, content_type="text/plain")
    outcome = await typed_later(typed, "servers", "list")
    assert outcome.code == 1
    assert [request.headers["Authorization"] for request in other.asked] == ["Bearer secret-word"]
    assert "secret-word" not in outcome.err


def test_an_address_that_is_none_is_a_wrong_setting(typed: Typed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_FLEET_API_URL", "fleet.example")
    outcome = typed("servers", "list")
    assert outcome.code == 78
    assert "OLLAMA_FLEET_API_URL cannot be used: The URL must begin with http://" in outcome.err


def test_an_api_that_is_away_ends_with_1(typed: Typed, monkeypatch: pytest.MonkeyPatch, unused_tcp_port: int) -> None:
    monkeypatch.setenv("OLLAMA_FLEET_API_URL", f"http://127.0.0.1:{unused_tcp_port}")
    outcome = typed("servers", "list")
    assert (outcome.code, outcome.out) == (1, "")
    assert "cannot be reached: Connection refused. Check OLLAMA_FLEET_API_URL" in outcome.err


async def test_an_api_of_another_version_is_not_taken_for_broken(other: OtherProgram, typed: Typed) -> None:
    other.answer = web.Response(body='{"elements": []}', content_type="application/json")
    outcome = await typed_later(typed, "servers", "list")
    assert (outcome.code, "Install the version of ollama-fleet that runs there." in outcome.err) == (1, True)

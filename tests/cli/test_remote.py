"""Commands on a fleet elsewhere: every way in which an API can fail them ends in one clear line."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from api.cli import api_connection, listing
from tests.cli.conftest import Outcome, Typed

PROBLEM = "application/problem+json"


class OtherProgram:
    """Answers everything with what it is told, and keeps what it was asked."""

    def __init__(self) -> None:
        self.answer = web.Response()
        self.asked: list[web.BaseRequest] = []
        # What is sent again and again, and of which content type.
        self.endless: tuple[bytes, str] | None = None
        self.sent = 0

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer with a copy, since an answer can be sent only once."""
        self.asked.append(request)
        if self.endless is not None:
            return await self._pour(request, self.endless)
        told = self.answer
        return web.Response(body=told.body, status=told.status, headers=told.headers)

    async def _pour(self, request: web.BaseRequest, what: tuple[bytes, str]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": what[1]})
        await response.prepare(request)
        # Until the command hangs up.
        with contextlib.suppress(ConnectionError):
            while True:
                await response.write(what[0])
                self.sent += len(what[0])
        return response


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


@pytest.mark.parametrize("status", [299, 206, 302, 308, 399])
@pytest.mark.parametrize(
    "command", [("servers", "list"), ("servers", "remove", "a", "--yes")], ids=lambda words: words[1]
)
async def test_a_status_that_the_api_never_has_is_another_program(
    other: OtherProgram, typed: Typed, status: int, command: tuple[str, ...]
) -> None:
    other.answer = web.Response(body="{}", status=status, content_type="application/json")
    outcome = await typed_later(typed, *command)
    assert outcome.code == 1
    assert outcome.err.startswith("ollama-fleet: What answers at http://127.0.0.1:")
    assert outcome.err.endswith(f" is not the API of ollama-fleet: status {status}. Correct OLLAMA_FLEET_API_URL.\n")


@pytest.mark.parametrize("status", [499, 599, 999])
async def test_a_refusal_with_a_status_that_nobody_knows_is_one_sentence(
    other: OtherProgram, typed: Typed, status: int
) -> None:
    other.answer = web.Response(body="[]", status=status, content_type="application/json")
    outcome = await typed_later(typed, "servers", "list")
    assert (outcome.code, outcome.err.count("\n")) == (1, 1)
    assert f" answered {status}." in outcome.err


DEEP = "[" * 200_000 + "]" * 200_000
NOT_SO_DEEP = "[" * 200 + "]" * 200


@pytest.mark.parametrize("status", [200, 422])
@pytest.mark.parametrize(
    ("document", "seen"),
    [
        (DEEP, "application/json that cannot be read"),
        (f'{{"detail": {NOT_SO_DEEP}}}', "JSON that is more than 64 levels deep"),
        ("9" * 5000, "application/json that cannot be read"),
    ],
    ids=["deep", "rather deep", "long number"],
)
async def test_json_that_nobody_writes_is_another_program(
    other: OtherProgram, typed: Typed, *, status: int, document: str, seen: str
) -> None:
    other.answer = web.Response(body=document, status=status, content_type="application/json")
    for command in (("servers", "list"), ("events",), ("resolve", "m"), ("status",)):
        outcome = await typed_later(typed, *command)
        assert (outcome.code, outcome.err.count("\n")) == (1, 1)
        assert f"is not the API of ollama-fleet: status {status}, " in outcome.err
        assert seen in outcome.err


@pytest.mark.parametrize(
    ("content_type", "seen"), [("application/json", "and more than 1 MiB"), ("text/html", "text/html")]
)
async def test_an_answer_without_an_end_is_not_read_to_it(
    other: OtherProgram, typed: Typed, monkeypatch: pytest.MonkeyPatch, content_type: str, seen: str
) -> None:
    monkeypatch.setattr(api_connection, "MOST_BYTES", 1024 * 1024)
    other.endless = b" " * 65_536, content_type
    outcome = await typed_later(typed, "servers", "list")
    assert (outcome.code, outcome.err.count("\n")) == (1, 1)
    assert f"is not the API of ollama-fleet: status 200, {seen}. Correct" in outcome.err
    # What lies in the buffers between us comes on top.
    assert other.sent < 64 * 1024 * 1024


@pytest.mark.parametrize("command", [("servers", "list"), ("models",)])
async def test_a_list_whose_pages_have_no_end_is_given_up(
    other: OtherProgram, typed: Typed, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    monkeypatch.setattr(listing, "MOST_PAGES", 3)
    other.answer = web.Response(body='{"items": [], "next_cursor": "more"}', content_type="application/json")
    outcome = await typed_later(typed, *command)
    assert (outcome.code, len(other.asked)) == (1, 3)
    assert "The list has no end" in outcome.err


@pytest.mark.parametrize("said", [[["x"]], {"a": 1}, 7, "", "  ", None])
async def test_a_detail_that_is_no_text_is_not_told(other: OtherProgram, typed: Typed, said: object) -> None:
    document = {"code": ["x"], "detail": said, "next": {}, "errors": [{"field": []}, 1]}
    other.answer = web.Response(body=json.dumps(document), status=500, content_type=PROBLEM)
    outcome = await typed_later(typed, "events")
    assert (outcome.code, outcome.err.count("\n")) == (1, 1)


async def test_a_detail_as_long_as_a_book_is_cut(other: OtherProgram, typed: Typed) -> None:
    document = {"code": "x", "detail": "word \n\x1b[2J" * 50_000}
    other.answer = web.Response(body=json.dumps(document), status=500, content_type=PROBLEM)
    outcome = await typed_later(typed, "servers", "list")
    assert (outcome.code, outcome.err.count("\n"), "\x1b" in outcome.err) == (1, 1, False)
    assert len(outcome.err) < 3000


async def test_an_event_that_only_a_later_version_knows_is_told_as_one(other: OtherProgram, typed: Typed) -> None:
    event = {"seq": 1, "type": "server.sang", "server_id": None, "model_id": None, "at": "2026-01-01T00:00:00Z"}
    page = {"items": [event | {"body": {}}], "last_seq": 1, "first_seq": 1, "head": 1}
    other.answer = web.Response(body=json.dumps(page), content_type="application/json")
    outcome = await typed_later(typed, "events")
    assert (outcome.code, "Install the version of ollama-fleet that runs there." in outcome.err) == (1, True)

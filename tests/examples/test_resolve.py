"""The examples that ask which server to take, with the clients that people use: ollama's own, OpenAI's, and curl."""

import asyncio
import json
import os
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from monitor.postgres.database import Connection
from monitor.settings import Settings
from tests import boxes
from tests.api.client import serving
from tests.boxes import LOADED, UP, Box, Has
from tests.examples.follower import EXAMPLES
from tests.fakes import behaviours, chat
from tests.fakes.exchange import Behaviour
from tests.fakes.ollama import FakeOllama

PYTHON = (sys.executable, str(EXAMPLES / "resolve.py"))
SHELL = ("sh", str(EXAMPLES / "resolve.sh"))
SAID: dict[tuple[str, ...], str] = {
    PYTHON: "ollama: m:latest says: hello\nopenai: m:latest says: hello\n",
    SHELL: "m:latest says: hello\n",
}
NONE_LEFT = "No server that the fleet named can be reached. Ask the fleet again in a moment."
HOT = (Has("m:latest", LOADED),)
COLD = (Has("m:latest"),)


@pytest.fixture(params=[PYTHON, SHELL], ids=["python", "curl"])
def command(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """How one of them is started."""
    if request.param is SHELL and not all(map(shutil.which, ("curl", "jq"))):
        pytest.skip("curl or jq is not installed")
    found: tuple[str, ...] = request.param
    return found


@pytest.fixture
async def fake() -> AsyncIterator[FakeOllama]:
    """A server to talk to."""
    async with FakeOllama() as server:
        yield server


@pytest.fixture
async def dead() -> FakeOllama:
    """A server that was there a moment ago: its port refuses."""
    async with FakeOllama() as server:
        return server


async def ended(*command: str, **settings: str) -> tuple[int | None, str, str]:
    """Run a program to its end; return exit code, output and errors."""
    # A proxy of this machine has no business here, and neither has a key of ollama.com.
    environment = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    environment.pop("OLLAMA_API_KEY", None)
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, env=environment | settings, stdout=pipe, stderr=pipe)
    async with asyncio.timeout(60):
        out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


@asynccontextmanager
async def answering(answer: dict[str, Any], asked: list[dict[str, str]] | None = None) -> AsyncIterator[str]:
    """Be a fleet that always gives one answer, and notes what it is asked; give its URL."""

    async def resolve(request: web.Request) -> web.Response:
        if asked is not None:
            asked.append(dict(request.query))
        return web.Response(text=json.dumps(answer), content_type="application/json")

    app = web.Application()
    app.add_routes([web.get("/api/resolve", resolve)])
    async with TestServer(app) as fleet:
        yield str(fleet.make_url("")).rstrip("/")


async def test_it_talks_to_the_server_that_the_fleet_names(
    command: tuple[str, ...], settings: Settings, dsn: str, connection: Connection, fake: FakeOllama
) -> None:
    await boxes.write(connection, (Box("anna", {"url": fake.url, **UP}, (Has("m:latest"),)),))
    async with serving(settings, dsn) as (api, _):
        assert await ended(*command, api.base_url, "M", "hello") == (0, SAID[command], "")
        code, said, why = await ended(*command, api.base_url, "mm", "hello")
    assert (code, said) == (1, "")
    assert why == "model_not_found: No active server has the model mm. Nearest: m:latest.\n"


async def test_it_goes_on_to_the_next_candidate_when_the_first_has_just_died(
    command: tuple[str, ...], settings: Settings, dsn: str, connection: Connection, fake: FakeOllama, dead: FakeOllama
) -> None:
    # The tables still have it up: no check has seen its death yet.
    await boxes.write(connection, (Box("anna", {"url": dead.url, **UP}, HOT), Box("b", {"url": fake.url, **UP}, COLD)))
    async with serving(settings, dsn) as (api, _):
        code, said, why = await ended(*command, api.base_url, "m", "hello")
    assert (code, said) == (0, SAID[command])
    assert f"{dead.url} cannot be reached" in why
    assert fake.requests[chat.NATIVE_PATH] == 1


async def test_a_server_that_has_only_an_openai_style_api_is_talked_to_by_that_alone(
    command: tuple[str, ...], settings: Settings, dsn: str, connection: Connection, dead: FakeOllama
) -> None:
    async with FakeOllama(native=False) as plain:
        openai = Box("b", {"url": plain.url, "api_seen": "openai", **UP}, COLD)
        await boxes.write(connection, (Box("anna", {"url": dead.url, "api_seen": "native", **UP}, HOT), openai))
        async with serving(settings, dsn) as (api, _):
            code, said, why = await ended(*command, api.base_url, "m", "hello")
        assert (code, said) == (0, SAID[command].removeprefix("ollama: m:latest says: hello\n")), why
        assert f"{dead.url} cannot be reached" in why
        assert plain.requests == {chat.OPENAI_PATH: 1}
        plain.behave(behaviours.status(500, b'{"error": {"message": "out of memory"}}'))
        async with serving(settings, dsn) as (api, _):
            code, said, why = await ended(*command, api.base_url, "m", "hello")
        assert (code != 0, said) == (True, "")
        assert "out of memory" in why


async def test_the_prefix_of_an_openai_style_api_is_the_servers(command: tuple[str, ...], fake: FakeOllama) -> None:
    answer = {"model_name": "m:latest", "base_url": fake.url, "server": {"api": "openai", "api_version": "v2"}}
    async with answering({**answer, "candidates": []}) as fleet:
        await ended(*command, fleet, "m", "hello")
    assert fake.requests == {"/v2/chat/completions": 1}


async def test_it_ends_with_one_sentence_when_no_candidate_is_left(
    command: tuple[str, ...], settings: Settings, dsn: str, connection: Connection, dead: FakeOllama
) -> None:
    also_dead = dead.url.replace("127.0.0.1", "127.0.0.2")
    await boxes.write(connection, (Box("anna", {"url": dead.url, **UP}, HOT), Box("b", {"url": also_dead, **UP}, COLD)))
    async with serving(settings, dsn) as (api, _):
        code, said, why = await ended(*command, api.base_url, "m", "hello")
    assert (code, said) == (1, "")
    assert f"{dead.url} cannot be reached" in why
    assert why.splitlines()[-1] == NONE_LEFT


@pytest.mark.parametrize("lost", [behaviours.hang_up(), behaviours.reset()], ids=["closed", "reset"])
async def test_a_connection_that_is_lost_before_a_word_is_printed_leads_on_as_well(
    command: tuple[str, ...], lost: Behaviour, fake: FakeOllama
) -> None:
    async with FakeOllama() as dying:
        dying.behave(lost)
        answer = {"model_name": "m:latest", "base_url": dying.url}
        candidate = {"model_name": "m:latest", "base_url": fake.url}
        async with answering({**answer, "candidates": [candidate]}) as fleet:
            code, said, why = await ended(*command, fleet, "m", "hello")
    assert (code, said) == (0, SAID[command]), why
    assert f"{dying.url} cannot be reached" in why


async def test_what_a_server_answers_is_the_answer_and_no_other_one_is_asked(
    command: tuple[str, ...], fake: FakeOllama
) -> None:
    async with FakeOllama() as broken:
        broken.behave(behaviours.status(500, b'{"error": "out of memory"}'))
        answer = {"model_name": "m:latest", "base_url": broken.url}
        candidate = {"model_name": "m:latest", "base_url": fake.url}
        async with answering({**answer, "candidates": [candidate]}) as fleet:
            code, said, why = await ended(*command, fleet, "m", "hello")
    assert code != 0
    assert said == ""
    assert "out of memory" in why
    assert not fake.received


async def test_an_answer_that_is_no_models_is_told_in_a_sentence(command: tuple[str, ...], fake: FakeOllama) -> None:
    fake.behave(behaviours.status(404, b"404 page not found", {"Content-Type": "text/plain"}))
    answer = {"model_name": "m:latest", "base_url": fake.url, "server": {"api": "native", "api_version": "v1"}}
    async with answering({**answer, "candidates": []}) as fleet:
        code, said, why = await ended(*command, fleet, "m", "hello")
    assert (code, said, len(why.splitlines())) == (1, "", 1), why
    assert fake.url in why


async def test_a_url_that_nobody_registered_may_be_an_openai_style_server(settings: Settings, dsn: str) -> None:
    async with FakeOllama(native=False) as openai, serving(settings, dsn) as (api, _):
        code, said, why = await ended(*PYTHON, api.base_url, "m:latest", "hello", openai.url)
    assert (code, said, why) == (0, "openai: m:latest says: hello\n", "")


async def test_it_takes_a_url_that_nobody_registered(settings: Settings, dsn: str, fake: FakeOllama) -> None:
    async with serving(settings, dsn) as (api, _):
        code, said, _ = await ended(*PYTHON, api.base_url, "m:latest", "hello", fake.url)
    assert (code, said) == (0, SAID[PYTHON])


async def test_each_server_is_sent_its_own_headers_on_every_request(
    command: tuple[str, ...], fake: FakeOllama, dead: FakeOllama
) -> None:
    headers = {"Authorization": "Bearer se\"cr\\et", "X-API-Key": "k"}  # fmt: skip
    answer = {"base_url": dead.url, "model_name": "m:latest", "headers": {"X-First": "another secret"}}
    candidate = {"base_url": fake.url, "model_name": "m:latest", "headers": headers}
    async with answering({**answer, "candidates": [candidate]}) as fleet:
        code, said, why = await ended(*command, fleet, "m", "hello")
    assert (code, said) == (0, SAID[command]), why
    assert fake.received
    for request in fake.received:
        assert request.headers["authorization"] == headers["Authorization"]
        assert request.headers["x-api-key"] == "k"
        assert "x-first" not in request.headers


async def test_credentials_are_asked_for_with_a_token_only(command: tuple[str, ...], fake: FakeOllama) -> None:
    asked: list[dict[str, str]] = []
    answer = {"base_url": fake.url, "model_name": "m:latest", "candidates": []}
    async with answering(answer, asked) as fleet:
        await ended(*command, fleet, "m", "hello", OLLAMA_FLEET_API_TOKEN="")
        await ended(*command, fleet, "m", "hello", OLLAMA_FLEET_API_TOKEN="olf_t")
    assert asked == [{"model": "m", "candidates": "3"}, {"model": "m", "candidates": "3", "include": "credentials"}]

"""The examples that ask which server to take, with the clients that people use: ollama's own, OpenAI's, and curl."""

import asyncio
import json
import os
import shutil
import sys
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from monitor.postgres.database import Connection
from monitor.settings import Settings
from tests import boxes
from tests.api.client import serving
from tests.boxes import UP, Box, Has
from tests.examples.follower import EXAMPLES
from tests.fakes.ollama import FakeOllama

PYTHON = (sys.executable, str(EXAMPLES / "resolve.py"))
SHELL = ("sh", str(EXAMPLES / "resolve.sh"))
SAID: dict[tuple[str, ...], str] = {
    PYTHON: "ollama: m:latest says: hello\nopenai: m:latest says: hello\n",
    SHELL: "m:latest says: hello\n",
}


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


async def ended(*command: str) -> tuple[int | None, str, str]:
    """Run a program to its end; return exit code, output and errors."""
    # A proxy of this machine has no business here, and neither has a key of ollama.com.
    environment = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    environment.pop("OLLAMA_API_KEY", None)
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, env=environment, stdout=pipe, stderr=pipe)
    async with asyncio.timeout(60):
        out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


async def test_it_talks_to_the_server_that_the_fleet_names(
    command: tuple[str, ...], settings: Settings, dsn: str, connection: Connection, fake: FakeOllama
) -> None:
    await boxes.write(connection, (Box("anna", {"url": fake.url, **UP}, (Has("m:latest"),)),))
    async with serving(settings, dsn) as (api, _):
        assert await ended(*command, api.base_url, "M", "hello") == (0, SAID[command], "")
        code, said, why = await ended(*command, api.base_url, "mm", "hello")
    assert (code, said) == (1, "")
    assert why == "model_not_found: No active server has the model mm. Nearest: m:latest.\n"


async def test_it_takes_a_url_that_nobody_registered(settings: Settings, dsn: str, fake: FakeOllama) -> None:
    async with serving(settings, dsn) as (api, _):
        code, said, _ = await ended(*PYTHON, api.base_url, "m:latest", "hello", fake.url)
    assert (code, said) == (0, SAID[PYTHON])


async def test_it_sends_the_headers_of_the_answer_on_every_request(command: tuple[str, ...], fake: FakeOllama) -> None:
    headers = {"Authorization": "Bearer se\"cr\\et", "X-API-Key": "k"}  # fmt: skip
    answer = {"base_url": fake.url, "model_name": "m:latest", "headers": headers}

    async def resolve(_: web.Request) -> web.Response:
        return web.Response(text=json.dumps(answer), content_type="application/json")

    app = web.Application()
    app.add_routes([web.get("/api/resolve", resolve)])
    async with TestServer(app) as fleet:
        code, said, why = await ended(*command, str(fleet.make_url("")).rstrip("/"), "m", "hello")
    assert (code, said) == (0, SAID[command]), why
    assert fake.received
    for request in fake.received:
        assert request.headers["authorization"] == headers["Authorization"]
        assert request.headers["x-api-key"] == "k"

"""The examples in the hands of somebody who starts them for the first time: every mistake is one clear sentence."""

import asyncio
import os
import re
import shutil
import sys
from collections.abc import Awaitable, Callable
from urllib.parse import quote

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from monitor.embedded.postgres import EmbeddedServer
from monitor.postgres import database
from monitor.postgres.database import Connection
from monitor.settings import Settings
from tests.api import token_maker
from tests.api.client import serving
from tests.examples.follower import EXAMPLES, Cursor, following

COMMANDS = {
    "consumer.py": (sys.executable,),
    "consumer_psql.sh": ("bash",),
    "consumer.sh": ("bash",),
    "long_poll.sh": ("sh",),
    "consumer.mjs": ("node",),
    "resolve.py": (sys.executable,),
    "resolve.sh": ("sh",),
}
OF_THE_DATABASE = ("consumer.py", "consumer_psql.sh")
OF_THE_API = ("consumer.sh", "long_poll.sh", "consumer.mjs")
Eventually = Callable[..., Awaitable[None]]


def command(name: str) -> tuple[str, ...]:
    """How an example is started; the test is skipped where the program for it is missing."""
    if shutil.which(COMMANDS[name][0]) is None:
        pytest.skip(f"{COMMANDS[name][0]} is not installed")
    return (*COMMANDS[name], str(EXAMPLES / name))


async def ended(*words: str, **environment: str) -> tuple[int, str]:
    """Run an example to its own end; return the exit code and what it said on standard error."""
    async with following(*words, **environment) as follower:
        code, said = await follower.end()
        return code, said


@pytest.mark.parametrize("name", COMMANDS)
async def test_without_arguments_it_says_how_it_is_used(name: str) -> None:
    code, said = await ended(*command(name))
    assert code == 2
    assert said.startswith("usage: ")
    assert name in said


def test_the_page_starts_each_of_them() -> None:
    rows = re.findall(r"^\| `(\S+)` \| .*? \| `(.+)` \|$", (EXAMPLES / "README.md").read_text(), re.MULTILINE)
    assert [name for name, _ in rows] == list(COMMANDS)
    assert all(f" deploy/examples/{name} " in line for name, line in rows)


@pytest.mark.parametrize("name", OF_THE_DATABASE)
async def test_a_role_that_may_not_read_ends_it_with_a_sentence(
    name: str, dsn: str, connection: Connection, postgres: EmbeddedServer, role: str, cursor: Cursor
) -> None:
    await connection.execute(f'REVOKE SELECT ON fleet_events, fleet_event_head FROM "{role}"')
    address = dsn.replace("fleet@", f"{quote(role)}@", 1)
    code, said = await ended(*command(name), address, str(cursor.path), PATH=with_psql(postgres))
    assert (code, len(said.splitlines())) == (1, 1), said
    assert "permission denied for table fleet_event_head" in said


@pytest.mark.parametrize("name", OF_THE_DATABASE)
async def test_a_database_without_a_fleet_ends_it_with_a_sentence(
    name: str, postgres: EmbeddedServer, cursor: Cursor
) -> None:
    code, said = await ended(*command(name), postgres.dsn("postgres"), str(cursor.path), PATH=with_psql(postgres))
    assert (code, len(said.splitlines())) == (1, 1), said
    assert "fleet_event_head" in said


@pytest.mark.parametrize("address", ["nonsense", "postgresql://nobody-of-that-name@"])
async def test_what_is_no_way_to_the_database_ends_the_python_one(
    address: str, postgres: EmbeddedServer, cursor: Cursor
) -> None:
    dsn = postgres.dsn("postgres").replace("postgresql://fleet@", address) if "@" in address else address
    code, said = await ended(*command("consumer.py"), dsn, str(cursor.path))
    assert (code, len(said.splitlines())) == (1, 1), said
    assert said.startswith("The database cannot be read with this DSN: ")


async def test_a_file_that_cannot_be_made_is_told(cursor: Cursor) -> None:
    code, said = await ended(
        *command("consumer.py"), "postgresql://127.0.0.1:9/x", str(cursor.path / "missing" / "file")
    )
    assert (code, said) == (1, f"Events cannot be kept in {cursor.path}/missing/file: unable to open database file.\n")


@pytest.mark.parametrize("name", [*OF_THE_DATABASE, *OF_THE_API])
async def test_what_is_away_is_told_once_and_tried_again(
    name: str, postgres: EmbeddedServer, cursor: Cursor, eventually: Eventually
) -> None:
    tries = 0

    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal tries
        tries += 1
        writer.transport.abort()

    async def tried_again() -> bool:
        return tries >= 3

    refusing = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    place = f"127.0.0.1:{refusing.sockets[0].getsockname()[1]}"
    address = f"postgresql://fleet@{place}/fleet?sslmode=disable" if name in OF_THE_DATABASE else f"http://{place}"
    # Node's fetch may not hear of a connection that is reset before it has sent anything.
    environment = {"PATH": with_psql(postgres), "SILENCE_MS": "500"}
    async with refusing, following(*command(name), address, cursor.path, **environment) as follower:
        await eventually(tried_again, within=30, what="three attempts")
        said = await follower.terminate()
    told = said.splitlines()
    # psql says it in lines of its own, none of them twice.
    assert len(told) == (len(set(told)) if name == "consumer_psql.sh" else 1), said


@pytest.mark.parametrize("name", OF_THE_API)
async def test_an_api_that_wants_a_token_ends_it_with_what_the_api_says(
    name: str, settings: Settings, dsn: str, cursor: Cursor
) -> None:
    session = await database.connect(dsn, name="token")
    await token_maker.make(session, "reader", "read")
    await session.close()
    async with serving(settings, dsn) as (api, _):
        code, said = await ended(*command(name), str(api.base_url), str(cursor.path), OLLAMA_FLEET_API_TOKEN="wrong")
    assert (code, len(said.splitlines())) == (1, 1), said
    assert said.startswith(f"{api.base_url} refuses: ")
    assert "token" in said


@pytest.mark.parametrize("name", ["resolve.py", "resolve.sh"])
async def test_what_is_no_fleet_is_told_by_who_asks_for_a_server(name: str) -> None:
    app = web.Application()  # It answers 404, in plain text.
    async with TestServer(app) as other:
        code, said = await ended(*command(name), str(other.make_url("")).rstrip("/"), "m", "hello")
    assert code != 0
    assert len(said.splitlines()) == 1, said


def with_psql(postgres: EmbeddedServer) -> str:
    """Return a PATH with the psql of the server's own version."""
    return f"{postgres.binaries.folder}{os.pathsep}{os.environ['PATH']}"

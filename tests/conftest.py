"""What every test can have: a real PostgreSQL of the session's own, and a fresh database in it."""

import asyncio
import itertools
import logging
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import asyncpg
import pytest
import structlog

from monitor.embedded import postgres as embedded
from monitor.embedded.postgres import EmbeddedServer
from monitor.postgres import schema_version
from monitor.postgres.database import Connection
from tests import roomy
from tests.fakes import database_guest, database_proxy
from tests.fakes.database_guest import DatabaseGuest
from tests.fakes.tcp_proxy import TcpProxy

TEMPLATE = "migrated"
LONG_TIMEOUT = 1800
# For the databases and the write-ahead log of one worker, and of those beside it.
ROOM = 4 * 1024**3
_numbers = itertools.count(1)


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--long`: the same tests with bigger numbers, and those that are long in any case; `--picture`: see its help."""
    parser.addoption("--long", action="store_true", help="run long tests, and others with bigger numbers")
    parser.addoption("--picture", metavar="FILE", help="where the dashboard's picture is kept")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave long tests out unless they are asked for."""
    if config.getoption("--long"):
        for item in items:
            item.add_marker(pytest.mark.timeout(LONG_TIMEOUT))
        return
    long = [item for item in items if item.get_closest_marker("long")]
    config.hook.pytest_deselected(items=long)
    items[:] = [item for item in items if item not in long]


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests are configured by what they say, not by the environment of whoever runs them."""
    for name in list(os.environ):
        if name.startswith("OLLAMA_FLEET_"):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _logs_as_they_were() -> Iterator[None]:
    """A test that runs a command in this process configures logging, on a stream that ends with the test."""
    yield
    structlog.reset_defaults()
    root = logging.getLogger()
    for handler in root.handlers[:]:
        # pytest's own ones are of classes of its own.
        if type(handler) is logging.StreamHandler:
            root.removeHandler(handler)


@pytest.fixture(scope="session")
def folder() -> Iterator[Path]:
    """A folder that PostgreSQL's unprivileged user can reach, unlike pytest's own ones."""
    path = Path(tempfile.mkdtemp(prefix="ollama-fleet-tests-", dir=roomy.folder(ROOM)))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres(folder: Path) -> Iterator[EmbeddedServer]:
    """The session's PostgreSQL, with a migrated database to copy from."""
    with embedded.running(folder / "postgres-of-tests", fast_and_unsafe=True) as server:
        # In a thread: an event loop may be running already, when an asynchronous fixture asks for this one first.
        with ThreadPoolExecutor(max_workers=1) as pool:
            pool.submit(lambda: asyncio.run(_make_template(server))).result()
        yield server


async def _make_template(server: EmbeddedServer) -> None:
    await _execute(server, f"CREATE DATABASE {TEMPLATE}")
    await schema_version.upgrade(server.dsn(TEMPLATE))


async def _execute(server: EmbeddedServer, statement: str) -> None:
    connection = await asyncpg.connect(server.dsn("postgres"))
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def _fresh_database(server: EmbeddedServer, *, template: str) -> AsyncIterator[str]:
    name = f"test_{os.getpid()}_{next(_numbers)}"
    await _execute(server, f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
    yield server.dsn(name)
    await _execute(server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def dsn(postgres: EmbeddedServer) -> AsyncIterator[str]:
    """The address of a migrated database that only this test uses."""
    async for address in _fresh_database(postgres, template=TEMPLATE):
        yield address


@pytest.fixture
async def empty_dsn(postgres: EmbeddedServer) -> AsyncIterator[str]:
    """The address of a database without any schema that only this test uses."""
    async for address in _fresh_database(postgres, template="template1"):
        yield address


@pytest.fixture
async def connection(dsn: str) -> AsyncIterator[Connection]:
    """A session with the test's database, as a `psql` of the test's own."""
    session: Connection = await asyncpg.connect(dsn)
    yield session
    await session.close()


Condition = Callable[[], Awaitable[object]]


@pytest.fixture
def eventually() -> Callable[..., Awaitable[None]]:
    """Waits until a condition holds; fails the test when it does not within the limit."""

    async def wait(condition: Condition, *, within: float = 15.0, what: str = "the condition") -> None:
        deadline = asyncio.get_running_loop().time() + within
        while not await condition():
            if asyncio.get_running_loop().time() > deadline:
                pytest.fail(f"{what} did not come true within {within} s")
            await asyncio.sleep(0.02)

    return wait


@pytest.fixture
async def guest(postgres: EmbeddedServer, dsn: str) -> AsyncIterator[DatabaseGuest]:
    """A role that the test can lock out."""
    async with database_guest.staying(postgres, dsn) as role:
        yield role


@pytest.fixture
async def proxy(postgres: EmbeddedServer) -> AsyncIterator[TcpProxy]:
    """Stands between whoever takes `database_proxy.through` and PostgreSQL."""
    async with database_proxy.between(postgres) as standing:
        yield standing

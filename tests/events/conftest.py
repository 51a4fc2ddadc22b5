"""What the fault tests of the event log share: a place for a consumer's file, and a PostgreSQL to be killed."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest

from monitor.embedded import postgres as embedded
from monitor.embedded.postgres import EmbeddedServer
from monitor.postgres import schema_version
from monitor.postgres.database import Connection
from tests.embedded import embedded_user
from tests.events.consumer import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Where the consumer of the test keeps effects and cursor."""
    return Store(tmp_path / "consumed.db")


@pytest.fixture(scope="session")
def mortal() -> Iterator[EmbeddedServer]:
    """A cluster of its own, as durable as a real one."""
    with embedded_user.state_dir() as path, embedded.running(path) as server:
        yield server


@pytest.fixture
async def mortal_dsn(mortal: EmbeddedServer) -> AsyncIterator[str]:
    """A migrated database in the cluster that may be killed."""
    owner: Connection = await asyncpg.connect(mortal.dsn("postgres"))
    await owner.execute("CREATE DATABASE doomed")
    await owner.close()
    await schema_version.upgrade(mortal.dsn("doomed"))
    yield mortal.dsn("doomed")
    owner = await asyncpg.connect(mortal.dsn("postgres"))
    await owner.execute("DROP DATABASE doomed WITH (FORCE)")
    await owner.close()

"""Each test of a port runs over both worlds."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from monitor.credentials.key_ring_file import KeyRingFile
from monitor.credentials.vault import Vault
from monitor.domain.lease import Lease
from monitor.postgres.database import Database
from tests.ports.worlds import TTL, MemoryWorld, PostgresWorld, World


@pytest.fixture
def memory_world() -> MemoryWorld:
    """The fakes."""
    return MemoryWorld()


@pytest.fixture
async def postgres_world(dsn: str, tmp_path: Path) -> AsyncIterator[PostgresWorld]:
    """The real stores."""
    database = Database(dsn, name="tests")
    await database.open()
    yield PostgresWorld(database, Vault(KeyRingFile(tmp_path / "keyring"), makes_ring=True, must_exist=False))
    await database.close()


@pytest.fixture(params=["memory", "postgres"])
def world(request: pytest.FixtureRequest) -> World:
    """An empty database with a free lease."""
    made: World = request.getfixturevalue(f"{request.param}_world")
    return made


@pytest.fixture
async def lease(world: World) -> Lease:
    """The lease, held by a monitor."""
    taken = await world.leases().take(TTL)
    assert taken is not None
    return taken


@pytest.fixture
async def stale(world: World, lease: Lease) -> Lease:
    """The lease of a monitor whose time was over and that another one followed."""
    await world.end_lease()
    assert await world.leases().take(TTL) is not None
    return lease

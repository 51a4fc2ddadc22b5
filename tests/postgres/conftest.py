"""What the tests of stores, listener and schema share: open databases, and PostgreSQL in its other makes."""

import asyncio
import itertools
import os
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import asyncpg
import pytest

from monitor.credentials.key_ring_file import KeyRingFile
from monitor.credentials.vault import Vault
from monitor.domain.lease import Lease
from monitor.domain.server import Policy
from monitor.embedded import binaries
from monitor.embedded import postgres as embedded
from monitor.embedded.postgres import EmbeddedServer
from monitor.postgres import database
from monitor.postgres.database import Connection, Database
from monitor.postgres.lease_store import PostgresLeaseStore
from monitor.postgres.result_store import PostgresResultStore
from monitor.postgres.server_store import PostgresServerStore
from tests.conftest import TEMPLATE

DEBIAN_15 = Path("/usr/lib/postgresql/15/bin")
STRANGE_ROLE, STRANGE_PASSWORD = "us@er%:1", "100% p@ss:w/ord?#[]"

POLICY = Policy(interval=timedelta(seconds=15), timeout=timedelta(seconds=5), rise=2, fall=3)

AddServer = Callable[..., Awaitable[uuid.UUID]]


@pytest.fixture
async def add_server(connection: Connection) -> AddServer:
    """Inserts a server as `psql` would, and returns its id: `await add_server(priority=3)`."""
    numbers = itertools.count(1)

    async def add(**columns: Any) -> uuid.UUID:
        number = next(numbers)
        values = {"name": f"server-{number}", "url": f"http://server-{number}:11434"} | columns
        names = ", ".join(values)
        places = ", ".join(f"${place}" for place in range(1, len(values) + 1))
        server_id: uuid.UUID = await connection.fetchval(
            f"INSERT INTO ollama_servers ({names}) VALUES ({places}) RETURNING id", *values.values()
        )
        return server_id

    return add


@pytest.fixture(scope="session")
def shared_dsn(postgres: EmbeddedServer) -> Iterator[str]:
    """A migrated database for tests that take back what they did."""

    async def execute(statement: str) -> None:
        owner: Connection = await asyncpg.connect(postgres.dsn("postgres"))
        await owner.execute(statement)
        await owner.close()

    asyncio.run(execute(f"CREATE DATABASE shared TEMPLATE {TEMPLATE}"))
    yield postgres.dsn("shared")
    asyncio.run(execute("DROP DATABASE shared WITH (FORCE)"))


@pytest.fixture
async def undone(shared_dsn: str) -> AsyncIterator[Connection]:
    """A session inside a transaction that is rolled back: quicker than a database of the test's own."""
    session: Connection = await asyncpg.connect(shared_dsn)
    transaction = session.transaction()
    await transaction.start()
    yield session
    await transaction.rollback()
    await session.close()


@pytest.fixture
async def fleet_database(dsn: str) -> AsyncIterator[Database]:
    """A pool on the test's database."""
    opened = Database(dsn, name="tests")
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    """Makes its key ring in a folder of the test's own when a credential is first sealed."""
    return Vault(KeyRingFile(tmp_path / "keyring"), makes_ring=True, must_exist=False)


@pytest.fixture
def store(fleet_database: Database, vault: Vault) -> PostgresServerStore:
    """On the test's database, with the policy of these tests for what a server leaves open."""
    return PostgresServerStore(fleet_database, policy=POLICY, vault=vault)


@pytest.fixture
async def lease(fleet_database: Database) -> Lease:
    """The right to write results, held for the whole test."""
    store = PostgresLeaseStore(fleet_database, owner=uuid.uuid4(), owner_name="the test")
    taken = await store.take(timedelta(hours=1))
    assert taken is not None
    return taken


@pytest.fixture
def results(fleet_database: Database, lease: Lease) -> PostgresResultStore:
    """On the test's database, for the lease."""
    return PostgresResultStore(fleet_database, lease)


@pytest.fixture
async def observer(dsn: str) -> AsyncIterator[Connection]:
    """A second session, which reads jsonb as Python values."""
    session = await database.connect(dsn, name="observer")
    yield session
    await session.close()


@pytest.fixture(scope="session")
def postgres_15(folder: Path) -> Iterator[EmbeddedServer]:
    """A server of Debian's PostgreSQL 15, the oldest that is easy to have."""
    if not (DEBIAN_15 / "postgres").exists():
        pytest.skip("Debian's PostgreSQL 15 is not installed: apt-get install postgresql-15")
    with ExitStack() as stack:
        # Only while it starts: the fixture outlives the test, and other tests start servers of their own.
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(binaries, "candidates", lambda: iter([DEBIAN_15]))
            server = stack.enter_context(embedded.running(folder / "postgres-15", fast_and_unsafe=True))
        yield server


@pytest.fixture
async def strange_dsn(postgres: EmbeddedServer) -> AsyncIterator[str]:
    """An empty database with `%` and `@` in its name, and a role that must give a password with them, too."""
    rules = postgres.data_dir / "pg_hba.conf"
    before = rules.read_text()
    name = f"strange @%/{os.getpid()}"
    owner: Connection = await asyncpg.connect(postgres.dsn("postgres"))
    try:
        rules.write_text(f'local all "{STRANGE_ROLE}" scram-sha-256\n{before}')
        await owner.execute("SELECT pg_reload_conf()")
        password = STRANGE_PASSWORD.replace("'", "''")
        await owner.execute(f"""CREATE ROLE "{STRANGE_ROLE}" LOGIN PASSWORD '{password}'""")
        await owner.execute(f'CREATE DATABASE "{name}" OWNER "{STRANGE_ROLE}"')
        user, secret = quote(STRANGE_ROLE, safe=""), quote(STRANGE_PASSWORD, safe="")
        yield postgres.dsn(name).replace("fleet@", f"{user}:{secret}@", 1)
    finally:
        await owner.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        await owner.execute(f'DROP ROLE IF EXISTS "{STRANGE_ROLE}"')
        rules.write_text(before)
        await owner.execute("SELECT pg_reload_conf()")
        await owner.close()

"""Transactions that become true together: one that fails is undone alone, and a bad end undoes them all."""

from collections.abc import AsyncIterator

import pytest

from api.fleet.queries.transactions import Attempts, TakenError
from monitor.postgres import savepoints
from monitor.postgres.database import Connection, Database

INSERT = "INSERT INTO ollama_servers (name, url) VALUES ($1, $2)"


@pytest.fixture
async def database(dsn: str) -> AsyncIterator[Database]:
    """A database with a single session, so that whoever wants a second one waits in vain."""
    database = Database(dsn, name="savepoints", size=1)
    await database.open()
    yield database
    await database.close()


async def add(database: Database, name: str) -> None:
    async for attempt in Attempts(database, actor="tests"):
        async with attempt as connection:
            await connection.execute(INSERT, name, f"http://{name}")


async def names(connection: Connection) -> list[str]:
    return [row["name"] for row in await connection.fetch("SELECT name FROM ollama_servers ORDER BY name")]


async def test_all_become_true_at_the_end_but_for_the_one_that_was_refused(
    database: Database, connection: Connection
) -> None:
    async with savepoints.transaction(database) as together:
        await add(together, "a")
        with pytest.raises(TakenError):
            await add(together, "a")
        await add(together, "b")
        async with together.session() as session:
            assert await names(session) == ["a", "b"]
        assert await names(connection) == []
    assert await names(connection) == ["a", "b"]


async def test_a_bad_end_undoes_all(database: Database, connection: Connection) -> None:
    with pytest.raises(RuntimeError, match="enough"):
        await end_badly(database)
    assert await names(connection) == []


async def end_badly(database: Database) -> None:
    async with savepoints.transaction(database) as together:
        await add(together, "a")
        raise RuntimeError("enough")

"""Transactions of the API: which refusals of the database are tried again, and which are told on."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Self

import asyncpg

from monitor.domain.errors import DatabaseUnavailableError, FleetError
from monitor.postgres.database import Connection, Database

ATTEMPTS = 5
ONE_DEFAULT = "uq_ollama_servers_one_default"
UNIQUE = {"uq_ollama_servers_name": "name", "uq_ollama_servers_url": "url"}
# Until the end of the transaction; the triggers that make events read it.
SIGN = "SELECT set_config('ollama_fleet.actor', $1, true)"


class TakenError(FleetError):
    """Another server has this name or URL; `field` says which."""

    def __init__(self, field: str) -> None:
        super().__init__(f"Another server has this {field}.")
        self.field = field


class RefusedError(FleetError):
    """A value got past the API's own rules but not past the database's."""


class Attempts:
    """A transaction, begun anew when another writer got in the way:

        async for attempt in Attempts(database, actor=actor):
            async with attempt as connection:
                ...

    `actor` is who makes the change, as its events will say. Raises `TakenError`, `RefusedError` or
    `DatabaseUnavailableError`; then nothing was written.
    """

    def __init__(self, database: Database, *, actor: str) -> None:
        self._database = database
        self._actor = actor
        self._left = ATTEMPTS
        self._is_done = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> AbstractAsyncContextManager[Connection]:
        if self._is_done:
            raise StopAsyncIteration
        if not self._left:
            raise DatabaseUnavailableError(
                "Other writers changed the same servers all the time; ask again in a moment."
            )
        self._left -= 1
        return self._attempt()

    @asynccontextmanager
    async def _attempt(self) -> AsyncIterator[Connection]:
        try:
            async with self._database.transaction() as connection:
                await connection.execute(SIGN, self._actor)
                yield connection
            self._is_done = True
        except asyncpg.UniqueViolationError as error:
            # Two moves of the default mark at once: the one that is late sees the other's next time.
            if error.constraint_name != ONE_DEFAULT:
                raise TakenError(UNIQUE.get(error.constraint_name or "", "key")) from error
        except (asyncpg.DeadlockDetectedError, asyncpg.SerializationError):
            pass
        except (asyncpg.IntegrityConstraintViolationError, asyncpg.DataError) as error:
            raise RefusedError(f"The database refuses a value: {error.args[0]}.") from error

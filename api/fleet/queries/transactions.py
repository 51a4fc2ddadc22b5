"""Transactions of the API: which refusals of the database are tried again, and which are told on."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import asyncpg

from monitor.domain.errors import DatabaseUnavailableError, FleetError
from monitor.postgres.database import Connection, Database

ATTEMPTS = 5
ONE_DEFAULT = "uq_ollama_servers_one_default"
UNIQUE = {"uq_ollama_servers_name": "name", "uq_ollama_servers_url": "url"}
# Until the end of the transaction; the triggers that make events read it.
SIGN = "SELECT set_config('ollama_fleet.actor', $1, true)"

T = TypeVar("T")


class TakenError(FleetError):
    """Another server has this name or URL; `field` says which."""

    def __init__(self, field: str) -> None:
        super().__init__(f"Another server has this {field}.")
        self.field = field


class RefusedError(FleetError):
    """A value got past the API's own rules but not past the database's."""


async def run(database: Database, work: Callable[[Connection], Awaitable[T]], *, actor: str) -> T:
    """Do some work in one transaction, and do it anew when another writer got in the way.

    `actor` is who makes the change, as its events will say. Raises `TakenError`, `RefusedError` or
    `DatabaseUnavailableError`; then nothing was written.
    """
    for _ in range(ATTEMPTS):
        try:
            async with database.transaction() as connection:
                await connection.execute(SIGN, actor)
                return await work(connection)
        except asyncpg.UniqueViolationError as error:
            # Two moves of the default mark at once: the one that is late sees the other's next time.
            if error.constraint_name != ONE_DEFAULT:
                raise TakenError(UNIQUE.get(error.constraint_name or "", "key")) from error
        except (asyncpg.DeadlockDetectedError, asyncpg.SerializationError):
            continue
        except (asyncpg.IntegrityConstraintViolationError, asyncpg.DataError) as error:
            raise RefusedError(f"The database refuses a value: {error.args[0]}.") from error
    raise DatabaseUnavailableError("Other writers changed the same servers all the time; ask again in a moment.")

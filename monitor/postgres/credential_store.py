"""Credentials as they lie in the database: sealed, each with the id of its key."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from monitor.credentials.sealing import Sealed
from monitor.credentials.vault import MOST_NAMED, Vault
from monitor.domain.errors import FleetError
from monitor.postgres import database
from monitor.postgres.database import Connection, Database

BATCH = 100
# "keys" and "seal" in ASCII: any numbers will do, as long as all programs use the same.
CHANGING_LOCK, SEALING_LOCK = 0x6B657973, 0x7365616C

COLUMNS = "id, url, auth_type, auth_config"
KEYS_IN_USE = """
SELECT auth_config->>'key' AS key_id, count(*) AS credentials FROM ollama_servers
WHERE auth_type <> 'none' AND auth_config ? 'key' GROUP BY auth_config->>'key'
"""
# One more than a sentence names, so that it can say that there are others.
SOME_SERVERS = f"""
SELECT name FROM ollama_servers WHERE auth_type <> 'none' AND auth_config ? 'key' ORDER BY name LIMIT {MOST_NAMED + 1}
"""
READ_ONE = f"SELECT {COLUMNS} FROM ollama_servers WHERE id = $1"
# In the order of ids, and locked against an edit until the commit.
READ_OTHERS = f"""
SELECT {COLUMNS} FROM ollama_servers
WHERE auth_type <> 'none' AND auth_config ? 'key' AND auth_config->>'key' <> $1 AND ($2::uuid IS NULL OR id > $2)
ORDER BY id LIMIT $3 FOR NO KEY UPDATE
"""
# The triggers take it for what it is, no edit: no new row version, no event, and the verdict stands.
NO_EDIT = "SELECT set_config('ollama_fleet.writer', 'rotation', true)"
REPLACE = """
UPDATE ollama_servers AS server SET auth_config = fresh.auth_config
FROM unnest($1::uuid[], $2::jsonb[], $3::jsonb[]) AS fresh (id, old_config, auth_config)
WHERE server.id = fresh.id AND server.auth_config = fresh.old_config
RETURNING server.id
"""
# While somebody seals, nobody takes keys out of the ring: the key that he uses is not in any row yet.
SEALING = f"SELECT pg_advisory_xact_lock_shared({SEALING_LOCK})"
NO_SEALING = f"SELECT pg_advisory_xact_lock({SEALING_LOCK})"
# Held by an open transaction, not by a session, which a pooler might lend to somebody else.
CHANGING = f"SELECT pg_try_advisory_xact_lock({CHANGING_LOCK})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What one step of a rotation did: how many rows it sealed anew, which it could not open, where it ended."""

    resealed: int
    unopened: Sequence[UUID]
    last: UUID


def sealed(row: Any) -> Sealed:
    """Return the credential of a row that has the columns `id`, `url`, `auth_type` and `auth_config`."""
    return Sealed(server_id=row["id"], url=row["url"], auth_type=row["auth_type"], auth_config=row["auth_config"])


async def keys_in_use(connection: Connection) -> dict[str, int]:
    """Return how many credentials each key has sealed."""
    return {row["key_id"]: row["credentials"] for row in await connection.fetch(KEYS_IN_USE)}


async def require_key_ring(connection: Connection, vault: Vault) -> None:
    """Raise `KeyRingError` unless the ring goes with what is stored."""
    keys = await keys_in_use(connection)
    names = [row["name"] for row in await connection.fetch(SOME_SERVERS)] if keys else []
    vault.require(keys.keys(), servers=names)


async def prepare_sealing(connection: Connection, vault: Vault) -> None:
    """Make sure, in the transaction that is to store a credential, that it can be opened again later."""
    await connection.execute(SEALING)
    await require_key_ring(connection, vault)


async def read(connection: Connection, server_id: UUID) -> Sealed | None:
    """Read the credential of a server; None when there is no such server."""
    row = await connection.fetchrow(READ_ONE, server_id)
    return None if row is None else sealed(row)


@asynccontextmanager
async def changing_keys(dsn: str) -> AsyncIterator[Connection]:
    """Hold the right to change the key ring of a database, on a session of its own; only one process has it."""
    connection = await database.connect(dsn, name="ollama-fleet keys", statement_cache_size=0)
    try:
        async with connection.transaction():
            if not await connection.fetchval(CHANGING):
                raise FleetError("Another process is changing the key ring of this database; wait until it is done.")
            yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def nobody_sealing(opened: Database) -> AsyncIterator[dict[str, int]]:
    """Keep everybody from storing credentials while the block runs; give the keys in use, which stay so."""
    async with opened.transaction() as connection:
        await connection.execute(NO_SEALING)
        yield await keys_in_use(connection)


async def reseal_some(
    opened: Database, *, key_id: str, after: UUID | None, reseal: Callable[[Sealed], Sealed | None]
) -> Step | None:
    """Seal at most 100 credentials anew, those after a server's id that another key than the given one has sealed.

    `reseal` returns None for what it cannot open, which then stays as it is. None: there are no more.
    """
    async with opened.transaction() as connection:
        await connection.execute(NO_EDIT)
        found = [sealed(row) for row in await connection.fetch(READ_OTHERS, key_id, after, BATCH)]
        if not found:
            return None
        pairs = [(old, reseal(old)) for old in found]
        changes = [(old.server_id, old.auth_config, new.auth_config) for old, new in pairs if new is not None]
        columns = zip(*changes, strict=True) if changes else ([], [], [])
        resealed = await connection.fetch(REPLACE, *columns)
    return Step(
        resealed=len(resealed),
        unopened=[old.server_id for old, new in pairs if new is None],
        last=found[-1].server_id,
    )

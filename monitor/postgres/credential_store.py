"""Credentials and client keys as they lie in the database: sealed, each with the id of its key."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from monitor.credentials.sealing import CLIENT_KEY, Sealed
from monitor.credentials.vault import MOST_NAMED, Vault
from monitor.domain.credential import AuthType
from monitor.domain.errors import ConfigurationError, FleetError
from monitor.postgres import database
from monitor.postgres.database import Connection, Database

BATCH = 100

SEALED_IN = ("auth_config", "client_key")
COLUMNS = "id, url, auth_type, auth_config, client_key"
# All that is sealed: a server has up to two of them.
SECRETS = """
FROM ollama_servers, LATERAL (VALUES (CASE WHEN auth_type <> 'none' THEN auth_config END), (client_key))
    AS secret (sealed) WHERE sealed ? 'key'
"""
KEYS_IN_USE = f"SELECT sealed->>'key' AS key_id, count(*) AS credentials {SECRETS} GROUP BY sealed->>'key'"
# One more than a sentence names, so that it can say that there are others.
SOME_SERVERS = f"SELECT DISTINCT name {SECRETS} ORDER BY name LIMIT {MOST_NAMED + 1}"
READ_ONE = f"SELECT {COLUMNS} FROM ollama_servers WHERE id = $1"
# In the order of ids, and locked against an edit until the commit.
READ_OTHERS = f"""
SELECT {COLUMNS} FROM ollama_servers
WHERE (auth_type <> 'none' AND auth_config ? 'key' AND auth_config->>'key' <> $1
       OR client_key ? 'key' AND client_key->>'key' <> $1)
    AND ($2::uuid IS NULL OR id > $2)
ORDER BY id LIMIT $3 FOR NO KEY UPDATE
"""
# The triggers take it for what it is, no edit: no new row version, no event, and the verdict stands.
NO_EDIT = "SELECT set_config('ollama_fleet.writer', 'rotation', true)"
REPLACE = """
UPDATE ollama_servers AS server SET auth_config = fresh.auth_config, client_key = fresh.client_key
FROM unnest($1::uuid[], $2::jsonb[], $3::jsonb[]) AS fresh (id, auth_config, client_key)
WHERE server.id = fresh.id
"""
# Rows and not advisory locks, which everybody who can connect can take. While somebody seals, nobody takes keys out of
# the ring: the key that is used is not in any row yet.
SEALING = "SELECT true FROM fleet_locks WHERE name = 'sealing' FOR SHARE"
NO_SEALING = "SELECT true FROM fleet_locks WHERE name = 'sealing' FOR UPDATE"
# Held by an open transaction, not by a session, which a pooler might lend to somebody else.
CHANGING = "SELECT true FROM fleet_locks WHERE name = 'changing_keys' FOR UPDATE SKIP LOCKED"
LOCKS_THERE = "SELECT count(*) = 2 FROM fleet_locks"
ADD_LOCKS = "INSERT INTO fleet_locks VALUES ('sealing'), ('changing_keys') ON CONFLICT DO NOTHING"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What one step of a rotation did: how many secrets it sealed anew, whose it could not open, where it ended."""

    resealed: int
    unopened: Sequence[UUID]
    last: UUID


def sealed(row: Any) -> Sealed:
    """Return the credential of a row that has the columns `id`, `url`, `auth_type` and `auth_config`."""
    return Sealed(server_id=row["id"], url=row["url"], auth_type=row["auth_type"], auth_config=row["auth_config"])


def sealed_client_key(row: Any) -> Sealed | None:
    """Return the client key of a row that has the columns `id`, `url` and `client_key`; None where there is none."""
    if row["client_key"] is None:
        return None
    return Sealed(server_id=row["id"], url=row["url"], auth_type=CLIENT_KEY, auth_config=row["client_key"])


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
    await _lock(connection, SEALING)
    await require_key_ring(connection, vault)


async def read(connection: Connection, server_id: UUID) -> Sealed | None:
    """Read the credential of a server; None when there is no such server."""
    row = await connection.fetchrow(READ_ONE, server_id)
    return None if row is None else sealed(row)


async def read_client_key(connection: Connection, server_id: UUID) -> Sealed | None:
    """Read the client key of a server; None when it has none, or there is no such server."""
    row = await connection.fetchrow(READ_ONE, server_id)
    return None if row is None else sealed_client_key(row)


@asynccontextmanager
async def changing_keys(dsn: str) -> AsyncIterator[Connection]:
    """Hold the right to change the key ring of a database, on a session of its own; only one process has it."""
    connection = await database.connect(dsn, name="ollama-fleet keys", statement_cache_size=0)
    try:
        async with connection.transaction():
            if not await _lock(connection, CHANGING):
                raise FleetError("Another process is changing the key ring of this database; wait until it is done.")
            yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def nobody_sealing(opened: Database) -> AsyncIterator[dict[str, int]]:
    """Keep everybody from storing credentials while the block runs; give the keys in use, which stay so."""
    async with opened.transaction() as connection:
        await _lock(connection, NO_SEALING)
        yield await keys_in_use(connection)


async def _lock(connection: Connection, statement: str) -> bool:
    """Take a lock that is a row; False when another has it. Raises `ConfigurationError` where the row is missing."""
    if await connection.fetchval(statement):
        return True
    if not await connection.fetchval(LOCKS_THERE):
        raise ConfigurationError(
            f"The table fleet_locks has lost rows, which are locks: as the owner of the database run `{ADD_LOCKS}`."
        )
    return False


async def reseal_some(
    opened: Database, *, key_id: str, after: UUID | None, reseal: Callable[[Sealed], Sealed | None]
) -> Step | None:
    """Seal the secrets of at most 100 servers anew, of those after a server's id with one that another key has sealed.

    `reseal` returns None for what it cannot open, which then stays as it is. None: there are no more.
    """
    async with opened.transaction() as connection:
        await connection.execute(NO_EDIT)
        rows = await connection.fetch(READ_OTHERS, key_id, after, BATCH)
        if not rows:
            return None
        done = [_reseal_row(row, key_id, reseal) for row in rows]
        # The rows are locked, so they are still what was read.
        await connection.execute(REPLACE, *zip(*(each.columns for each in done), strict=True))
    return Step(
        resealed=sum(each.resealed for each in done),
        unopened=[row["id"] for row, each in zip(rows, done, strict=True) if each.is_unopened],
        last=rows[-1]["id"],
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Resealed:
    columns: tuple[Any, ...]
    resealed: int
    is_unopened: bool


def _reseal_row(row: Any, key_id: str, reseal: Callable[[Sealed], Sealed | None]) -> _Resealed:
    """Seal what another key than the given one has sealed; what cannot be opened stays as it is."""
    columns, resealed, is_unopened = {name: row[name] for name in ("id", *SEALED_IN)}, 0, False
    for column, old in zip(SEALED_IN, (sealed(row), sealed_client_key(row)), strict=True):
        # What is left of a credential that was taken away by hand is none.
        if old is None or old.auth_type == AuthType.NONE or old.key_id in {None, key_id}:
            continue
        new = reseal(old)
        if new is None:
            is_unopened = True
        else:
            columns[column] = new.auth_config
            resealed += 1
    return _Resealed(columns=tuple(columns.values()), resealed=resealed, is_unopened=is_unopened)

"""Statements about the tokens of the API; what is stored of one does not give it away."""

from collections.abc import Mapping
from datetime import timedelta
from uuid import UUID

import asyncpg

from monitor.domain.errors import DatabaseUnavailableError, FleetError
from monitor.postgres.database import Connection, Row

# The time left is by the database's clock, which also wrote the end: that of this machine may be wrong.
# A person may have written infinity for never, with which PostgreSQL before 17 does not calculate, nor do we.
READ_ALL = """
SELECT id, name, digest, scopes, created_at, ends.at AS expires_at, last_used_at, revoked_at,
    extract(epoch FROM ends.at - clock_timestamp())::float8 AS seconds_left
FROM api_tokens, LATERAL (
    SELECT CASE WHEN isfinite(expires_at) THEN expires_at WHEN expires_at = '-infinity' THEN 'epoch' END AS at
) AS ends ORDER BY created_at, id
"""
INSERT = """
INSERT INTO api_tokens (id, name, digest, scopes, expires_at)
VALUES ($1, $2, $3, $4, clock_timestamp() + $5::interval)
"""
REVOKE = "UPDATE api_tokens SET revoked_at = clock_timestamp() WHERE name = $1 AND revoked_at IS NULL"
# Several processes may write, each what it has seen; the latest use counts.
NOTE_USES = """
UPDATE api_tokens AS token SET last_used_at = greatest(last_used_at, clock_timestamp() - make_interval(secs => use.age))
FROM unnest($1::uuid[], $2::float8[]) AS use (id, age) WHERE token.id = use.id
"""


class NameTakenError(FleetError):
    """A token that is not revoked has this name."""


async def read_all(connection: Connection) -> list[Row]:
    """Read all tokens, also those that are revoked or expired, the oldest first."""
    try:
        return await connection.fetch(READ_ALL)
    except asyncpg.UndefinedTableError as error:
        raise DatabaseUnavailableError(
            "The database holds no table of API tokens, so nobody can be let in: run `ollama-fleet migrate`."
        ) from error


async def insert(
    connection: Connection, token_id: UUID, *, name: str, digest: bytes, scopes: list[str], lifetime: timedelta | None
) -> None:
    """Add a token, which ends after `lifetime`, never if that is None; raises `NameTakenError`."""
    try:
        await connection.execute(INSERT, token_id, name, digest, scopes, lifetime)
    except asyncpg.UniqueViolationError as error:
        raise NameTakenError(
            f"There is a token {name} already. Choose another name, or take that one back first: "
            f"`ollama-fleet token revoke {name}`."
        ) from error


async def revoke(connection: Connection, name: str) -> bool:
    """Take the token of this name back; False when there is none to take back."""
    status: str = await connection.execute(REVOKE, name)
    return status == "UPDATE 1"


async def note_uses(connection: Connection, ages: Mapping[UUID, float]) -> None:
    """Note when tokens were used last, each that many seconds ago."""
    await connection.execute(NOTE_USES, list(ages), list(ages.values()))

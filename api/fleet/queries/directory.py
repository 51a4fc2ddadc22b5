"""The fleet as the resolver needs it, read at one moment; and what changes without an event: times and suspicions."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

import asyncpg

from api.fleet.queries import servers
from monitor.domain import folding
from monitor.domain.directory import Directory
from monitor.domain.errors import FleetError
from monitor.postgres import event_log
from monitor.postgres.database import Database

BATCH = 1000
FRESH_FROM = f"extract(epoch FROM {servers.FRESH_FROM})::float8 AS fresh_from"
# A hand may have set the time alone.
SUSPECT = "CASE WHEN suspect_since IS NOT NULL THEN coalesce(suspect_reason, 'unknown') END AS suspect_reason"
SERVERS = f"SELECT id, {', '.join(folding.SERVER_COLUMNS)}, {SUSPECT}, vram_seen, {FRESH_FROM} FROM ollama_servers"
SILENT = ("suspect_reason", "vram_seen", "fresh_from")
MODELS = f"SELECT id, server_id, {', '.join(folding.MODEL_COLUMNS)} FROM ollama_models WHERE removed_at IS NULL"
# In one look with the number of the newest event; one row without a server if none is suspect.
SUSPECTS = f"""
SELECT head.seq, id, {SUSPECT} FROM fleet_event_head AS head LEFT JOIN ollama_servers ON suspect_since IS NOT NULL
"""
TIMES = f"SELECT id, {FRESH_FROM} FROM ollama_servers"
NOW = "SELECT extract(epoch FROM clock_timestamp())::float8"


class FleetUnreadableError(FleetError):
    """The database answers, but not with the fleet: a table or a right is missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """The fleet as of event `seq`, read at `at`: seconds since 1970 by the clock of the database."""

    fleet: Directory
    seq: int
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """When each server was last known to be fresh, and the time by the same clock at which that was read."""

    fresh_from: dict[UUID, float]
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspects:
    """What each suspect server is suspected of, true after event `seq`."""

    reasons: dict[UUID, str]
    seq: int


async def read(database: Database) -> Reading:
    """Read the whole fleet in one transaction, some rows at a time so that other requests get their turn."""
    fleet = Directory()
    async with (
        _readable(),
        database.session() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        _, seq = await event_log.extent(connection)
        at: float = await connection.fetchval(NOW)
        servers = await connection.cursor(SERVERS)
        while rows := await servers.fetch(BATCH):
            for row in rows:
                others = {name: row[name] for name in SILENT}
                folding.add_server(fleet, row["id"], dict(row), **others)
        models = await connection.cursor(MODELS)
        while rows := await models.fetch(BATCH):
            for row in rows:
                folding.add_model(fleet, row["server_id"], row["id"], dict(row))
    return Reading(fleet=fleet, seq=seq, at=at)


async def times(database: Database) -> Times:
    """Read only the times."""
    async with _readable(), database.session() as connection:
        at: float = await connection.fetchval(NOW)
        rows = await connection.fetch(TIMES)
    return Times(fresh_from={row["id"]: row["fresh_from"] for row in rows}, at=at)


async def suspects(database: Database) -> Suspects:
    """Read which servers are suspect, and of what."""
    async with _readable(), database.session() as connection:
        rows = await connection.fetch(SUSPECTS)
    reasons = {row["id"]: row["suspect_reason"] for row in rows if row["id"] is not None}
    return Suspects(reasons=reasons, seq=rows[0]["seq"])


@asynccontextmanager
async def _readable() -> AsyncIterator[None]:
    try:
        yield
    except asyncpg.PostgresError as error:
        raise FleetUnreadableError(f"The fleet cannot be read from the database: {error}.") from error

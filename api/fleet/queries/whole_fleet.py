"""The whole fleet read at one moment: as the resolver needs it, and as REST shows it, some rows at a time.

What changes without an event, times and suspicions, can be read by itself.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

import asyncpg

from api.fleet.queries import models, servers
from monitor.domain import folding
from monitor.domain.directory import Directory
from monitor.domain.errors import FleetError
from monitor.domain.server import Policy
from monitor.postgres import event_log
from monitor.postgres.database import Connection, Database, Row

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
# What no monitor has looked at since; an index has those in memory alone.
EXPIRED = "SELECT id, server_id FROM ollama_models WHERE size_vram IS NOT NULL AND expires_at <= clock_timestamp()"
TIMES = f"SELECT id, {FRESH_FROM} FROM ollama_servers"
NOW = "SELECT extract(epoch FROM clock_timestamp())::float8"
SHOWN_BATCH = 200
SHOWN_SERVERS = f"{servers.VIEW} WHERE $3::uuid IS NULL OR id = $3 ORDER BY name, id"
SHOWN_MODELS = f"""{models.VIEW} WHERE removed_at IS NULL AND ($1::uuid IS NULL OR server_id = $1)
ORDER BY model_name, server.name"""


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
    """When each server was last known to be fresh, and the time by the same clock at which that was read.

    `expired` are the models whose time in memory has passed, with their servers.
    """

    fresh_from: dict[UUID, float]
    expired: dict[UUID, UUID]
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
        server_rows = await connection.cursor(SERVERS)
        while rows := await server_rows.fetch(BATCH):
            for row in rows:
                others = {name: row[name] for name in SILENT}
                folding.add_server(fleet, row["id"], dict(row), **others)
        model_rows = await connection.cursor(MODELS)
        while rows := await model_rows.fetch(BATCH):
            for row in rows:
                folding.add_model(fleet, row["server_id"], row["id"], dict(row))
        fleet.expire(await _expired(connection))
    return Reading(fleet=fleet, seq=seq, at=at)


async def times(database: Database) -> Times:
    """Read only the times."""
    async with _readable(), database.session() as connection:
        at: float = await connection.fetchval(NOW)
        rows = await connection.fetch(TIMES)
        expired = await _expired(connection)
    return Times(fresh_from={row["id"]: row["fresh_from"] for row in rows}, expired=expired, at=at)


async def suspects(database: Database) -> Suspects:
    """Read which servers are suspect, and of what."""
    async with _readable(), database.session() as connection:
        rows = await connection.fetch(SUSPECTS)
    reasons = {row["id"]: row["suspect_reason"] for row in rows if row["id"] is not None}
    return Suspects(reasons=reasons, seq=rows[0]["seq"])


async def _expired(connection: Connection) -> dict[UUID, UUID]:
    return {row["id"]: row["server_id"] for row in await connection.fetch(EXPIRED)}


@asynccontextmanager
async def _readable() -> AsyncIterator[None]:
    try:
        yield
    except asyncpg.PostgresError as error:
        raise FleetUnreadableError(f"The fleet cannot be read from the database: {error}.") from error


class FleetReader:
    """What is shown of the fleet, in one transaction; `seq` is the last event that it shows the outcome of."""

    def __init__(self, connection: Connection, policy: Policy, *, seq: int, server_id: UUID | None) -> None:
        self._connection = connection
        self._defaults = (policy.interval.total_seconds(), policy.timeout.total_seconds())
        self._server_id = server_id
        self.seq = seq

    def servers(self) -> AsyncIterator[list[Row]]:
        """Read the servers, by name."""
        return self._batches(SHOWN_SERVERS, *self._defaults, self._server_id)

    def models(self) -> AsyncIterator[list[Row]]:
        """Read the models that are not removed."""
        return self._batches(SHOWN_MODELS, self._server_id)

    async def _batches(self, query: str, *arguments: object) -> AsyncIterator[list[Row]]:
        cursor = await self._connection.cursor(query, *arguments)
        while rows := await cursor.fetch(SHOWN_BATCH):
            yield rows


@asynccontextmanager
async def shown(database: Database, policy: Policy, *, server_id: UUID | None) -> AsyncIterator[FleetReader]:
    """Begin to read the fleet, or one server of it, at one moment, as it is shown."""
    async with (
        database.session() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        _, seq = await event_log.extent(connection)
        yield FleetReader(connection, policy, seq=seq, server_id=server_id)

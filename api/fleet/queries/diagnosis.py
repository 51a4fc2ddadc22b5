"""Statements for finding out what ails an installation: PostgreSQL, its clock, who monitors, what is sealed."""

from dataclasses import dataclass
from datetime import datetime

from monitor.postgres.database import Connection, Row

SERVER = "SELECT current_setting('server_version') AS version, clock_timestamp() AS now"
MONITORS = "SELECT owner_name FROM monitor_leases WHERE expires_at > clock_timestamp() ORDER BY shard"
DESCRIPTORS_ALLOWED = """
SELECT min((body->>'descriptors_allowed')::bigint) FROM monitor_stats AS stats
WHERE EXISTS (SELECT 1 FROM monitor_leases WHERE shard = stats.shard AND expires_at > clock_timestamp())
"""
WITH_CREDENTIALS = """
SELECT name, id, url, auth_type, auth_config FROM ollama_servers WHERE auth_type <> 'none' ORDER BY name
"""
NOTIFY = "SELECT pg_notify($1, $2)"


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseServer:
    """The version of PostgreSQL as it names it, and what its clock shows."""

    version: str
    now: datetime


async def database_server(connection: Connection) -> DatabaseServer:
    """Ask PostgreSQL who it is and what time it is."""
    row = await connection.fetchrow(SERVER)
    assert row is not None  # Such a statement always has one row.
    return DatabaseServer(version=row["version"].split()[0], now=row["now"])


async def monitors(connection: Connection) -> list[str]:
    """Return the names of the monitors at work, as host and process id."""
    return [row["owner_name"] or "one without a name" for row in await connection.fetch(MONITORS)]


async def descriptors_allowed(connection: Connection) -> int | None:
    """Return how many files the monitor at work may open; None when none is, or it has not told yet."""
    allowed: int | None = await connection.fetchval(DESCRIPTORS_ALLOWED)
    return allowed


async def with_credentials(connection: Connection) -> list[Row]:
    """Return the name and the sealed credential of each server that has one, also of inactive ones."""
    return await connection.fetch(WITH_CREDENTIALS)


async def notify(connection: Connection, channel: str, *, payload: str) -> None:
    """Send one notification."""
    await connection.execute(NOTIFY, channel, payload)

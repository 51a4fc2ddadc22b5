"""Statements for finding out what ails an installation: PostgreSQL, its clock, who monitors, what is sealed.

Also whether the monitor at work takes itself to be cut off from the servers, as the event log tells.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from monitor.postgres.database import Connection, Row

SERVER = """
SELECT current_setting('server_version') AS version, clock_timestamp() AS now, pg_is_in_recovery() AS is_standby,
       current_setting('transaction_read_only')::boolean AS is_read_only, pg_notification_queue_usage() AS queue_usage
"""
MONITORS = "SELECT owner_name FROM monitor_leases WHERE expires_at > clock_timestamp() ORDER BY shard"
DESCRIPTORS_ALLOWED = """
SELECT min((body->>'descriptors_allowed')::bigint) FROM monitor_stats AS stats
WHERE EXISTS (SELECT 1 FROM monitor_leases WHERE shard = stats.shard AND expires_at > clock_timestamp())
"""
WITH_CREDENTIALS = """
SELECT name, id, url, auth_type, auth_config FROM ollama_servers WHERE auth_type <> 'none' ORDER BY name
"""
NOTIFY = "SELECT pg_notify($1, $2)"
# The newest word of a monitor about itself, by the index of just these events. What a monitor that is gone has left
# open says nothing: the next one closes it.
ISOLATED = """
SELECT body, clock_timestamp() AS now
FROM (SELECT type, body FROM fleet_events WHERE type LIKE 'monitor.%' ORDER BY seq DESC LIMIT 1) AS newest
WHERE type = 'monitor.isolated' AND EXISTS (SELECT 1 FROM monitor_leases WHERE expires_at > clock_timestamp())
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseServer:
    """The version of PostgreSQL as it names it, what its clock shows, and whether it takes what is written.

    `queue_usage` is the share of its queue of notifications that is full, from 0 to 1: when it is, no write succeeds.
    """

    version: str
    now: datetime
    is_standby: bool = False
    is_read_only: bool = False
    queue_usage: float = 0.0


async def database_server(connection: Connection) -> DatabaseServer:
    """Ask PostgreSQL who it is and what time it is."""
    row = await connection.fetchrow(SERVER)
    assert row is not None  # Such a statement always has one row.
    return DatabaseServer(**{**row, "version": row["version"].split()[0]})


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Isolation:
    """An isolation that is not over: `servers` of `of` fell silent, most by `cause`.

    Verdicts are held `until` a time, None in an event of before version 010; `now` is the database's clock.
    """

    since: datetime | None
    until: datetime | None
    cause: str
    servers: int
    of: int
    now: datetime

    @property
    def is_holding(self) -> bool:
        """Whether verdicts are held now."""
        return self.until is None or self.now < self.until


async def isolation(connection: Connection) -> Isolation | None:
    """Read the isolation that the monitor at work is in; None while it is in none, or none is at work."""
    row = await connection.fetchrow(ISOLATED)
    if row is None:
        return None
    body = row["body"]
    return Isolation(
        since=_moment(body.get("since")),
        until=_moment(body.get("until")),
        cause=str(body.get("cause")),
        servers=_number(body.get("servers")),
        of=_number(body.get("of")),
        now=row["now"],
    )


def _moment(text: Any) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
    return moment if moment.tzinfo else None


def _number(value: Any) -> int:
    return value if isinstance(value, int) else 0

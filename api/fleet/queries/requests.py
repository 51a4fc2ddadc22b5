"""Statements for work on demand: a request is a time in a column, done means a later time beside it."""

from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from monitor.postgres.database import Connection, Row


class Demand(StrEnum):
    """What can be asked of the monitor; the names are the prefixes of the columns."""

    CHECK = "check"
    DISCOVERY = "discovery"


# A trigger wakes the monitor. Also tells whether one is at work, by the clock that wrote its lease.
ASK = {
    demand: f"""
        UPDATE ollama_servers SET {demand}_requested_at = clock_timestamp() WHERE id = $1 AND is_active
        RETURNING {demand}_requested_at AS requested_at, check_timeout_seconds,
            EXISTS (SELECT 1 FROM monitor_leases WHERE expires_at > clock_timestamp()) AS monitor_at_work
        """
    for demand in Demand
}
# Of the servers that answer now, those listed longest ago, and none twice within $1 whoever asks. A row that somebody
# else writes at the moment is left out: to wait for it while others are locked could become a deadlock.
ASK_ALL = """
UPDATE ollama_servers SET discovery_requested_at = clock_timestamp() WHERE id IN (
    SELECT id FROM ollama_servers
    WHERE is_active AND is_available
        AND coalesce(discovery_requested_at, '-infinity') < clock_timestamp() - $1::interval
    ORDER BY models_listed_at NULLS FIRST, id LIMIT $2 FOR NO KEY UPDATE SKIP LOCKED)
"""
ANSWER = {
    demand: f"""
        SELECT coalesce({demand}_answered_at >= $2, false) AS is_answered, {demand}_result AS result
        FROM ollama_servers WHERE id = $1
        """
    for demand in Demand
}
IS_MONITOR_AT_WORK = "SELECT EXISTS (SELECT 1 FROM monitor_leases WHERE expires_at > clock_timestamp())"
EXISTS = "SELECT EXISTS (SELECT 1 FROM ollama_servers WHERE id = $1)"


async def ask(connection: Connection, demand: Demand, server_id: UUID) -> Row | None:
    """Write a request; None when there is no such active server."""
    return await connection.fetchrow(ASK[demand], server_id)


async def ask_all(connection: Connection, *, interval: timedelta, limit: int) -> int:
    """Ask for discoveries of servers that are up, and were not asked within an interval; return of how many."""
    status = await connection.execute(ASK_ALL, interval, limit)
    return int(status.rpartition(" ")[2])


async def answer(connection: Connection, demand: Demand, *, server_id: UUID, requested_at: datetime) -> Row | None:
    """Read whether the request of that time is answered, and the newest answer; None when the server is gone."""
    return await connection.fetchrow(ANSWER[demand], server_id, requested_at)


async def exists(connection: Connection, server_id: UUID) -> bool:
    """Whether there is such a server."""
    found: bool = await connection.fetchval(EXISTS, server_id)
    return found


async def is_monitor_at_work(connection: Connection) -> bool:
    """Whether a monitor holds the lease now."""
    at_work: bool = await connection.fetchval(IS_MONITOR_AT_WORK)
    return at_work

"""History in two tables: five minutes as they are written, side by side; hours and days server by server.

Every page is in exactly one row: rolling up takes rows out and puts bigger ones in, in one transaction.
"""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

import asyncpg

from monitor.domain import history
from monitor.domain.history import DAY, FIVE_MINUTES, HOUR, Page
from monitor.domain.lease import Lease
from monitor.domain.server import ServerId
from monitor.postgres.database import Connection, Database

FINER = {HOUR: FIVE_MINUTES, DAY: HOUR}
CLOCK = "SELECT extract(epoch FROM clock_timestamp())::float8"
IS_HELD = "SELECT fleet_lease_held($1, $2, $3)"
LEASE = "lease AS MATERIALIZED (SELECT WHERE fleet_lease_held($1, $2, $3))"
# A server that is deleted meanwhile takes its page along: the lock, which the foreign key takes in any case, is
# waited for here, where it is no error. A page that was written already, by a statement whose answer was lost, has
# the same epoch.
WRITE = f"""
WITH {LEASE},
server AS MATERIALIZED (SELECT id FROM ollama_servers WHERE id = ANY ($4) ORDER BY id FOR KEY SHARE),
written AS (
    INSERT INTO server_history_recent (server_id, start_at, epoch, timeline, good, bad, latencies, medians)
    SELECT id, to_timestamp(start), $3, timeline, good, bad, latencies, medians
    FROM lease, unnest($4::uuid[], $5::float8[], $6::bytea[], $7::int[], $8::int[], $9::bytea[], $10::bytea[])
        AS page (id, start, timeline, good, bad, latencies, medians)
    JOIN server USING (id)
    ON CONFLICT DO NOTHING)
{CLOCK}
"""
DUE = {
    HOUR: """
SELECT DISTINCT server_id FROM server_history_recent
WHERE ($1::uuid IS NULL OR server_id > $1) AND start_at < to_timestamp($2) ORDER BY server_id LIMIT $3
""",
    DAY: f"""
SELECT DISTINCT server_id FROM server_history
WHERE ($1::uuid IS NULL OR server_id > $1) AND span = {HOUR} AND start_at < to_timestamp($2)
ORDER BY server_id LIMIT $3
""",
}
# Locked as the foreign key will, and before their pages: a server that is being deleted goes the same way.
SERVERS = "SELECT id FROM ollama_servers WHERE id = ANY ($1) ORDER BY id FOR KEY SHARE"
COLUMNS = """
server_id, extract(epoch FROM start_at)::bigint AS start, {span} AS span, timeline, good, bad, latencies, medians
"""
TAKE_RECENT = f"""
DELETE FROM server_history_recent WHERE server_id = ANY ($1) AND start_at < to_timestamp($2)
RETURNING {COLUMNS.format(span=FIVE_MINUTES)}
"""
# From $3 on, which is where the finer pages begin: bigger ones that they belong to may be there already.
TAKE = f"""
DELETE FROM server_history WHERE server_id = ANY ($1) AND span = $4
    AND start_at < to_timestamp($2) AND start_at >= to_timestamp($3)
RETURNING {COLUMNS.format(span="span")}
"""
PUT = """
INSERT INTO server_history (server_id, span, start_at, timeline, good, bad, latencies, medians)
SELECT id, $3, to_timestamp(start), timeline, good, bad, latencies, medians
FROM unnest($1::uuid[], $2::float8[], $4::bytea[], $5::int[], $6::int[], $7::bytea[], $8::bytea[])
    AS page (id, start, timeline, good, bad, latencies, medians)
ORDER BY id, start
"""
DELETE_OLD = f"""
WITH {LEASE}
DELETE FROM server_history USING lease WHERE span = {DAY} AND start_at < clock_timestamp() - $4::interval
"""


class PostgresHistoryStore:
    """Implements `ports.HistoryStore`."""

    def __init__(self, database: Database, lease: Lease) -> None:
        """Nothing is written once the lease is somebody else's."""
        self._database = database
        self._lease = lease

    async def clock(self) -> float:
        """Return the database's time, in seconds since 1970."""
        async with self._database.session() as connection:
            now: float = await connection.fetchval(CLOCK)
        return now

    async def write(self, pages: Sequence[Page], /) -> float:
        """Write pages of five minutes; return the database's time."""
        starts, *columns = _columns(pages)
        ids = [page.server_id for page in pages]
        async with self._database.session() as connection:
            now: float = await connection.fetchval(WRITE, *self._lease.fence, ids, starts, *columns)
        return now

    async def roll_up(self, span: int, /, *, before: int, after: ServerId | None, limit: int) -> list[ServerId]:
        """Make pages of `span` of the finer ones that begin before a time; return whose they were, in order."""
        async with self._database.transaction() as connection:
            if not await connection.fetchval(IS_HELD, *self._lease.fence):
                return []
            due = [server_id for (server_id,) in await connection.fetch(DUE[span], after, before, limit)]
            servers = [server_id for (server_id,) in await connection.fetch(SERVERS, due)]
            await _roll_up(connection, servers, span, before)
        return due

    async def delete_older(self, age: timedelta, /) -> None:
        """Delete days beyond an age."""
        async with self._database.session() as connection:
            await connection.execute(DELETE_OLD, *self._lease.fence, age)


async def _roll_up(connection: Connection, servers: list[ServerId], span: int, before: int) -> None:
    if FINER[span] == FIVE_MINUTES:
        taken = pages(await connection.fetch(TAKE_RECENT, servers, before))
    else:
        taken = pages(await connection.fetch(TAKE, servers, before, 0, FINER[span]))
    if not taken:
        return
    first = min(page.start for page in taken) // span * span
    there = pages(await connection.fetch(TAKE, servers, before, first, span))
    united = history.rolled_up([*taken, *there], span)
    starts, *columns = _columns(united)
    await connection.execute(PUT, [page.server_id for page in united], starts, span, *columns)


def pages(rows: Iterable[asyncpg.Record]) -> list[Page]:
    """Return what rows with `COLUMNS` hold."""
    return [Page(**row) for row in rows]


def _columns(written: Sequence[Page]) -> list[list[Any]]:
    return [
        [page.start for page in written],
        [page.timeline for page in written],
        [page.good for page in written],
        [page.bad for page in written],
        [page.latencies for page in written],
        [page.medians for page in written],
    ]

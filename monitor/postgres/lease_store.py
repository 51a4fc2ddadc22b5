"""The lease in `monitor_leases`: taken, renewed and given up by the database's clock.

The whole fleet is one shard for now. A monitor that is to hold several has one of these stores for each.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

import structlog

from monitor import lifecycle
from monitor.domain.errors import DatabaseUnavailableError
from monitor.domain.lease import Lease
from monitor.postgres.database import Database

TAKE = """
UPDATE monitor_leases SET owner = $1, owner_name = $2, epoch = epoch + 1,
    expires_at = clock_timestamp() + $3::interval, taken_at = clock_timestamp()
WHERE shard = $4 AND (owner IS NULL OR expires_at < clock_timestamp())
RETURNING epoch
"""
# Whoever still locks the row of a lease that has ended is frozen or cut off from us in mid-transaction. PostgreSQL
# takes it for one at work, whatever its time limits, if it was about to prepare a statement.
CUT_OFF = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE pid = ANY (pg_blocking_pids($1)) AND xact_start < clock_timestamp() - $2::interval
"""
# Longer than `IDLE_IN_TRANSACTION_MS`, so that what ends by itself does, and less than the time-out of locks.
PATIENCE = timedelta(seconds=3.5)
# What the monitor counts goes along. Its table is not logged, so that this costs no more than the renewal alone.
RENEW = """
WITH renewed AS (
    UPDATE monitor_leases SET expires_at = clock_timestamp() + $4::interval
    WHERE shard = $1 AND owner = $2 AND epoch = $3
    RETURNING epoch),
told AS (
    INSERT INTO monitor_stats (shard, at, body) SELECT $1, clock_timestamp(), $5 FROM renewed
    ON CONFLICT (shard) DO UPDATE SET at = excluded.at, body = excluded.body)
SELECT epoch FROM renewed
"""
# The notification lets a monitor that stands by take over at once.
GIVE_UP = """
WITH released AS (
    UPDATE monitor_leases SET owner = NULL, owner_name = NULL, expires_at = '-infinity'
    WHERE shard = $1 AND owner = $2 AND epoch = $3 RETURNING epoch)
SELECT pg_notify('ollama_fleet_requests', 'lease') FROM released
"""
WHOLE_FLEET = 0

log = structlog.get_logger(__name__)


class PostgresLeaseStore:
    """Implements `ports.LeaseStore`."""

    def __init__(
        self,
        database: Database,
        *,
        owner: UUID,
        owner_name: str,
        stats: Callable[[], dict[str, Any]] = dict,
        shard: int = WHOLE_FLEET,
    ) -> None:
        """`owner` names this process, `owner_name` says it to people (host and pid), `stats` is what it has counted."""
        self._database = database
        self._owner = owner
        self._owner_name = owner_name
        self._stats = stats
        self._shard = shard

    async def take(self, ttl: timedelta) -> Lease | None:
        """Take the lease if nobody holds it; return it, or None. A dead owner's transaction is ended for it."""
        async with self._database.session() as connection, connection.transaction():
            # Asked for, since a pooler has another one for us than PostgreSQL.
            pid = await connection.fetchval("SELECT pg_backend_pid()")
            async with self._unblocked(pid):
                epoch = await connection.fetchval(TAKE, self._owner, self._owner_name, ttl, self._shard)
        return None if epoch is None else Lease(shard=self._shard, owner=self._owner, epoch=epoch)

    async def renew(self, lease: Lease, ttl: timedelta) -> bool:
        """Prolong the lease; False means that another monitor has it now."""
        async with self._database.session() as connection:
            return await connection.fetchval(RENEW, *lease.fence, ttl, self._stats()) is not None

    async def give_up(self, lease: Lease) -> None:
        """Free the lease, so that another monitor need not wait for its end."""
        async with self._database.session() as connection:
            await connection.execute(GIVE_UP, *lease.fence)

    @asynccontextmanager
    async def _unblocked(self, pid: int) -> AsyncIterator[None]:
        """Run a statement of this session, and end the sessions for which it waits too long."""
        cutting = asyncio.create_task(self._cut_off(pid), name="lease_cut_off")
        try:
            yield
        finally:
            await lifecycle.cancel(cutting)

    async def _cut_off(self, pid: int) -> None:
        await asyncio.sleep(PATIENCE.total_seconds())
        with contextlib.suppress(DatabaseUnavailableError):
            async with self._database.session() as connection:
                ended = await connection.fetch(CUT_OFF, pid, PATIENCE)
            if ended:
                log.warning("lease_holder_cut_off", sessions=len(ended))

"""Writes what checks found: the newest state of many servers in one statement."""

import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from monitor.domain.lease import Lease
from monitor.domain.record import ServerRecord, Written
from monitor.domain.server import ServerId
from monitor.domain.suspicion import Suspicion
from monitor.postgres.database import Database

# The lease first: a monitor that has lost it changes nothing.
# An older row version means that the operator edited the server meanwhile: that result is dropped.
WRITE = """
WITH lease AS MATERIALIZED (SELECT WHERE fleet_lease_held($1, $2, $3)),
-- A row that another session has locked is left for later: nobody's psql keeps the results of all others waiting.
free AS MATERIALIZED (
    SELECT id FROM ollama_servers, lease WHERE id = ANY ($4::uuid[]) ORDER BY id
    FOR NO KEY UPDATE OF ollama_servers SKIP LOCKED),
record (id, row_version, status, reason, detail, server_version, checked_ago, next_check_in, latency_ms, listed_ago,
        answered_at, answer, flapping, watch_state, suspect, suspect_ago, suspect_reason, suspicion_told, api,
        tls_expires_at, restarted_ago)
AS MATERIALIZED (
    SELECT * FROM unnest($4::uuid[], $5::int[], $6::text[], $7::text[], $8::text[], $9::text[], $10::interval[],
                         $11::interval[], $12::float8[], $13::interval[], $14::timestamptz[], $15::jsonb[], $16::bool[],
                         $17::text[], $18::bool[], $19::interval[], $20::text[], $21::bool[], $22::text[],
                         $23::timestamptz[], $24::interval[])),
written AS (
UPDATE ollama_servers AS server SET
    status = record.status,
    status_reason = record.reason,
    status_detail = record.detail,
    server_version = coalesce(record.server_version, server.server_version),
    last_checked_at = coalesce(clock_timestamp() - record.checked_ago, server.last_checked_at),
    next_check_at = coalesce(clock_timestamp() + record.next_check_in, server.next_check_at),
    latency_ms = CASE WHEN record.checked_ago IS NULL THEN server.latency_ms ELSE record.latency_ms END,
    models_listed_at = coalesce(clock_timestamp() - record.listed_ago, server.models_listed_at),
    check_answered_at = coalesce(record.answered_at, server.check_answered_at),
    check_result = coalesce(record.answer, server.check_result),
    flapping_since = CASE record.flapping WHEN true THEN coalesce(server.flapping_since, clock_timestamp())
                                          WHEN false THEN NULL ELSE server.flapping_since END,
    watch_state = coalesce(record.watch_state, server.watch_state),
    suspect_since = CASE WHEN NOT record.suspect THEN NULL
                         -- The one that is on record was told and is over: this is the next one.
                         WHEN server.suspicion_told AND NOT record.suspicion_told
                             THEN clock_timestamp() - record.suspect_ago
                         ELSE coalesce(server.suspect_since, clock_timestamp() - record.suspect_ago) END,
    suspect_reason = CASE record.suspect WHEN true THEN record.suspect_reason
                                         WHEN false THEN NULL ELSE server.suspect_reason END,
    suspicion_told = coalesce(record.suspicion_told, server.suspicion_told),
    api_seen = coalesce(record.api, server.api_seen),
    tls_expires_at = coalesce(record.tls_expires_at, server.tls_expires_at),
    restarted_at = coalesce(clock_timestamp() - record.restarted_ago, server.restarted_at)
FROM free, record
WHERE server.id = free.id AND server.id = record.id AND server.row_version = record.row_version AND server.is_active
RETURNING server.id)
SELECT id, true AS is_written FROM written
UNION ALL
SELECT server.id, false FROM lease, record, ollama_servers AS server
WHERE server.id = record.id AND server.row_version = record.row_version AND server.is_active
    AND NOT EXISTS (SELECT FROM free WHERE free.id = server.id)
"""
# Who has locked a row is the transaction that it names as the one to change it.
HOLDER = """
SELECT format('pid %s%s, in a transaction since %s', lock.pid, ', ' || nullif(activity.application_name, ''),
              to_char(activity.xact_start AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS "UTC"'))
FROM ollama_servers AS server
JOIN pg_locks AS lock ON lock.locktype = 'transactionid' AND lock.transactionid = server.xmax AND lock.granted
JOIN pg_stat_activity AS activity ON activity.pid = lock.pid
WHERE server.id = ANY ($1) LIMIT 1
"""


class PostgresResultStore:
    """Implements `ports.ResultStore`."""

    def __init__(self, database: Database, lease: Lease) -> None:
        """Nothing is written once the lease is somebody else's."""
        self._database = database
        self._lease = lease

    async def write(self, records: Sequence[ServerRecord]) -> Written:
        """Write the newest state of many servers in one statement; return what became of it.

        Records of servers that were edited or deleted meanwhile are dropped, and all of them when
        the lease is not ours any more.
        """
        if not records:
            return Written()
        now = time.monotonic()
        ordered = sorted(records, key=lambda record: record.server_id)
        columns = zip(*(_row(record, now) for record in ordered), strict=True)
        async with self._database.session() as connection:
            rows = await connection.fetch(WRITE, *self._lease.fence, *columns)
            locked = frozenset(ServerId(row["id"]) for row in rows if not row["is_written"])
            holder = await connection.fetchval(HOLDER, locked) if locked else None
        return Written(count=len(rows) - len(locked), locked=locked, holder=holder)


def _row(record: ServerRecord, now: float) -> tuple[Any, ...]:
    return (
        record.server_id,
        record.row_version,
        record.status.value,
        None if record.reason is None else record.reason.value,
        record.detail or None,
        record.server_version,
        None if record.checked_at is None else timedelta(seconds=max(0.0, now - record.checked_at)),
        None if record.next_check_at is None else timedelta(seconds=max(0.0, record.next_check_at - now)),
        None if record.latency is None else round(record.latency.total_seconds() * 1000, 3),
        None if record.listed_at is None else timedelta(seconds=max(0.0, now - record.listed_at)),
        record.answered_at,
        record.answer,
        record.flapping,
        None if record.watch_state is None else record.watch_state.value,
        *_suspicion_columns(record.suspicion, now),
        None if record.api is None else record.api.value,
        record.tls_expires_at,
        None if record.restarted_at is None else timedelta(seconds=max(0.0, now - record.restarted_at)),
    )


def _suspicion_columns(found: Suspicion | None, now: float) -> tuple[Any, ...]:
    if found is None:
        return None, None, None, None
    if found.since is None:
        return False, None, None, False
    reason = None if found.reason is None else found.reason.value
    return True, timedelta(seconds=max(0.0, now - found.since)), reason, found.told

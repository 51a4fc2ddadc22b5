"""Servers as the monitor reads them, and the results it writes."""

import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import asyncpg

from monitor.credentials.vault import Vault
from monitor.domain import reasons, suspicion
from monitor.domain.availability import Availability, Status
from monitor.domain.credential import Unreadable
from monitor.domain.event import Event
from monitor.domain.flap import Flap
from monitor.domain.fleet import Watched
from monitor.domain.lease import Lease
from monitor.domain.record import ServerRecord
from monitor.domain.server import Policy, Server, ServerId
from monitor.domain.suspicion import Suspicion
from monitor.postgres import credential_store, event_log
from monitor.postgres.database import Database

COLUMNS = """
    id, name, url, api_version, auth_type, auth_config, row_version, check_interval_seconds, check_timeout_seconds,
    rise, fall, connection_watch, status, status_reason, status_detail, server_version,
    extract(epoch FROM clock_timestamp() - flapping_since)::float8 AS flapping_for,
    extract(epoch FROM clock_timestamp() - suspect_since)::float8 AS suspect_for, suspect_reason, suspicion_told,
    CASE WHEN check_requested_at > coalesce(check_answered_at, '-infinity')
         THEN check_requested_at END AS check_requested_at,
    CASE WHEN discovery_requested_at > coalesce(discovery_answered_at, '-infinity')
         THEN discovery_requested_at END AS discovery_requested_at
"""
READ_ALL = f"SELECT {COLUMNS} FROM ollama_servers WHERE is_active"
READ_SOME = f"SELECT {COLUMNS} FROM ollama_servers WHERE is_active AND id = ANY ($1)"
HEAD = "SELECT seq FROM fleet_event_head"
REQUESTS = """
SELECT id FROM ollama_servers
WHERE is_active AND (check_requested_at > coalesce(check_answered_at, '-infinity')
                     OR discovery_requested_at > coalesce(discovery_answered_at, '-infinity'))
"""
# FOR SHARE: nobody takes the lease over between this look and the commit.
# An older row version means that the operator edited the server meanwhile: that result is dropped.
WRITE = """
WITH lease AS MATERIALIZED (
    SELECT 1 FROM monitor_leases WHERE shard = 0 AND owner = $1 AND epoch = $2 FOR SHARE)
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
    api_seen = coalesce(record.api, server.api_seen)
FROM lease, unnest($3::uuid[], $4::int[], $5::text[], $6::text[], $7::text[], $8::text[], $9::interval[],
                   $10::interval[], $11::float8[], $12::interval[], $13::timestamptz[], $14::jsonb[], $15::bool[],
                   $16::text[], $17::bool[], $18::interval[], $19::text[], $20::bool[], $21::text[])
    AS record (id, row_version, status, reason, detail, server_version, checked_ago,
               next_check_in, latency_ms, listed_ago, answered_at, answer, flapping, watch_state,
               suspect, suspect_ago, suspect_reason, suspicion_told, api)
WHERE server.id = record.id AND server.row_version = record.row_version AND server.is_active
RETURNING server.id
"""


class PostgresServerStore:
    """Implements `ports.ServerStore` and `ports.ResultStore`."""

    def __init__(self, database: Database, *, policy: Policy, vault: Vault) -> None:
        """`policy` holds for what a server does not override; `vault` opens the servers' credentials."""
        self._database = database
        self._policy = policy
        self._vault = vault
        self._unreadable: set[ServerId] = set()

    async def snapshot(self) -> tuple[list[Watched], int]:
        """Read all active servers, and the number of the last event that they show the effect of."""
        async with (
            self._database.session() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            seq = await connection.fetchval(HEAD)
            rows = await connection.fetch(READ_ALL)
        return [self._watched(row) for row in rows], seq

    async def read(self, server_ids: Sequence[ServerId]) -> list[Watched]:
        """Read those of the given servers that are there and active."""
        async with self._database.session() as connection:
            rows = await connection.fetch(READ_SOME, server_ids)
        return [self._watched(row) for row in rows]

    async def changes_after(self, seq: int, *, limit: int) -> tuple[list[Event], list[ServerId]]:
        """Read the events after a number, and the servers that are to be read again.

        Those are the ones with a request that has no answer yet and, once the key ring is another one, the
        ones whose credentials could not be opened.
        """
        async with self._database.session() as connection:
            events = await event_log.read_after(connection, seq, limit=limit)
            requests = await connection.fetch(REQUESTS)
        again = self._unreadable if self._unreadable and self._vault.has_changed() else ()
        return events, [*(ServerId(row["id"]) for row in requests), *again]

    async def write(self, records: Sequence[ServerRecord], lease: Lease) -> int:
        """Write the newest state of many servers in one statement; return how many took it.

        Records of servers that were edited or deleted meanwhile are dropped, and all of them when
        the lease is not ours any more.
        """
        if not records:
            return 0
        now = time.monotonic()
        ordered = sorted(records, key=lambda record: record.server_id)
        columns = zip(*(_row(record, now) for record in ordered), strict=True)
        async with self._database.session() as connection:
            written = await connection.fetch(WRITE, lease.owner, lease.epoch, *columns)
        return len(written)

    def _watched(self, row: asyncpg.Record) -> Watched:
        default = self._policy
        policy = Policy(
            interval=_seconds(row["check_interval_seconds"]) or default.interval,
            timeout=_seconds(row["check_timeout_seconds"]) or default.timeout,
            rise=row["rise"] or default.rise,
            fall=row["fall"] or default.fall,
        )
        server_id = ServerId(row["id"])
        credential = self._vault.open(credential_store.sealed(row))
        if isinstance(credential, Unreadable):
            self._unreadable.add(server_id)
        else:
            self._unreadable.discard(server_id)
        server = Server(
            id=server_id,
            name=row["name"],
            url=row["url"],
            api_version=row["api_version"],
            row_version=row["row_version"],
            policy=policy,
            connection_watch=row["connection_watch"],
            credential=credential,
        )
        return Watched(
            server=server,
            availability=_availability(row),
            suspicion=_suspicion(row),
            server_version=row["server_version"],
            check_requested_at=row["check_requested_at"],
            discovery_requested_at=row["discovery_requested_at"],
        )


def _availability(row: asyncpg.Record) -> Availability:
    return Availability(
        status=Status(row["status"]),
        reason=reasons.known(row["status_reason"]),
        detail=row["status_detail"] or "",
        flap=Flap(since=None if row["flapping_for"] is None else time.monotonic() - row["flapping_for"]),
    )


def _suspicion(row: asyncpg.Record) -> Suspicion:
    now, told = time.monotonic(), row["suspicion_told"]
    since = None if row["suspect_for"] is None else now - row["suspect_for"]
    return Suspicion(
        since=since,
        reason=reasons.known(row["suspect_reason"]),
        told=told,
        # When exactly is not stored; taken for now, it keeps the next telling away for long enough.
        told_at=now if told else suspicion.NEVER,
    )


def _seconds(number: float | None) -> timedelta | None:
    return None if number is None else timedelta(seconds=number)


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
    )


def _suspicion_columns(found: Suspicion | None, now: float) -> tuple[Any, ...]:
    if found is None:
        return None, None, None, None
    if found.since is None:
        return False, None, None, False
    reason = None if found.reason is None else found.reason.value
    return True, timedelta(seconds=max(0.0, now - found.since)), reason, found.told

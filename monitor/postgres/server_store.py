"""Servers as the monitor reads them."""

import time
from collections.abc import Sequence
from datetime import timedelta

import asyncpg

from monitor.credentials.vault import Vault
from monitor.domain import reasons, suspicion
from monitor.domain.availability import Availability, Status
from monitor.domain.event import Event
from monitor.domain.flap import Flap
from monitor.domain.fleet import Watched
from monitor.domain.server import AUTO, Api, Policy, Server, ServerId, Tls
from monitor.domain.suspicion import Suspicion
from monitor.postgres import credential_store, event_log
from monitor.postgres.database import Database

COLUMNS = """
    id, name, url, api_version, api, auth_type, auth_config, row_version, check_interval_seconds,
    check_timeout_seconds, rise, fall, connection_watch, ca_pem, client_cert, client_key, tls_server_name,
    status, status_reason, status_detail, server_version,
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


class PostgresServerStore:
    """Implements `ports.ServerStore`."""

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

    def _watched(self, row: asyncpg.Record) -> Watched:
        default = self._policy
        policy = Policy(
            interval=_seconds(row["check_interval_seconds"]) or default.interval,
            timeout=_seconds(row["check_timeout_seconds"]) or default.timeout,
            rise=row["rise"] or default.rise,
            fall=row["fall"] or default.fall,
        )
        server_id = ServerId(row["id"])
        server = Server(
            id=server_id,
            name=row["name"],
            url=row["url"],
            api_version=row["api_version"],
            row_version=row["row_version"],
            policy=policy,
            connection_watch=row["connection_watch"],
            credential=self._vault.open(credential_store.sealed(row)),
            tls=Tls(
                ca_pem=row["ca_pem"],
                client_cert=row["client_cert"],
                client_key=self._vault.open_client_key(credential_store.sealed_client_key(row)),
                server_name=row["tls_server_name"],
            ),
            pinned=None if row["api"] == AUTO else Api(row["api"]),
        )
        if server.unreadable is None:
            self._unreadable.discard(server_id)
        else:
            self._unreadable.add(server_id)
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

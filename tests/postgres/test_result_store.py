"""Results of checks: written in one statement, only for servers as they were, and only by the fleet's owner."""

import time
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from monitor.domain.availability import Status
from monitor.domain.lease import Lease
from monitor.domain.probe import Reason
from monitor.domain.record import ServerRecord
from monitor.domain.server import ServerId
from monitor.postgres.database import Connection, Database
from monitor.postgres.result_store import PostgresResultStore
from monitor.postgres.server_store import PostgresServerStore
from tests import fold
from tests.postgres.conftest import AddServer

SERVER = "SELECT * FROM ollama_servers WHERE id = $1"


def up(server_id: uuid.UUID, **changes: Any) -> ServerRecord:
    """A good check of a server that nobody has edited."""
    now = time.monotonic()
    record = ServerRecord(
        server_id=ServerId(server_id),
        row_version=1,
        status=Status.UP,
        reason=Reason.OK,
        detail="",
        server_version="0.9.6",
        checked_at=now,
        next_check_at=now + 15,
        latency=timedelta(milliseconds=2.5),
    )
    return replace(record, **changes)


async def row(connection: Connection, server_id: uuid.UUID) -> asyncpg.Record:
    """The server as it is stored."""
    found = await connection.fetchrow(SERVER, server_id)
    assert found is not None
    return found


async def test_the_end_of_a_certificate_stays_until_another_is_seen_and_makes_no_event(
    results: PostgresResultStore, connection: Connection, add_server: AddServer
) -> None:
    server_id, ends = await add_server(), datetime(2030, 1, 1, tzinfo=UTC)
    for seen, stored in ((ends, ends), (None, ends), (ends + timedelta(days=1), ends + timedelta(days=1))):
        assert (await results.write([up(server_id, tls_expires_at=seen)])).count == 1
        assert (await row(connection, server_id))["tls_expires_at"] == stored
    assert [event.type for event in await fold.read_events(connection)] == [
        "server.created",
        "server.updated",
        "server.up",
    ]
    await connection.execute("UPDATE ollama_servers SET url = 'http://elsewhere'")
    assert (await row(connection, server_id))["tls_expires_at"] is None


async def test_a_result_is_written_with_its_event(
    results: PostgresResultStore, connection: Connection, add_server: AddServer
) -> None:
    server_id = await add_server()

    assert (await results.write([up(server_id)])).count == 1

    stored = await row(connection, server_id)
    assert (stored["status"], stored["is_available"], stored["status_reason"]) == ("up", True, "ok")
    assert (stored["status_detail"], stored["server_version"], stored["latency_ms"]) == (None, "0.9.6", 2.5)
    ahead = stored["next_check_at"] - stored["last_checked_at"]
    assert timedelta(seconds=14) < ahead < timedelta(seconds=16)
    assert stored["row_version"] == 1
    events = await fold.read_events(connection)
    assert [str(event.type) for event in events] == ["server.created", "server.updated", "server.up"]
    fold.check_invariants(events)
    assert fold.fold(events) == await fold.table_state(connection)


async def test_a_restart_is_told_and_no_verdict_and_stays_until_the_address_is_edited(
    results: PostgresResultStore, connection: Connection, add_server: AddServer
) -> None:
    server_id = await add_server()
    await results.write([up(server_id)])
    before = await connection.fetchval("SELECT clock_timestamp()")
    await results.write([up(server_id, checked_at=None, restarted_at=time.monotonic() - 5)])
    await results.write([up(server_id)])
    restarted_at = (await row(connection, server_id))["restarted_at"]
    assert timedelta(seconds=4) < before - restarted_at < timedelta(seconds=6)
    last = (await fold.read_events(connection))[-1]
    assert (last.type, set(last.body)) == ("server.updated", {"restarted_at"})
    await connection.execute("UPDATE ollama_servers SET url = 'http://elsewhere' WHERE id = $1", server_id)
    assert (await row(connection, server_id))["restarted_at"] is None
    assert fold.fold(await fold.read_events(connection)) == await fold.table_state(connection)


async def test_an_unchanged_result_makes_no_event(
    results: PostgresResultStore, connection: Connection, add_server: AddServer
) -> None:
    server_id = await add_server()
    await results.write([up(server_id)])
    head = await connection.fetchval("SELECT seq FROM fleet_event_head")

    for _ in range(3):
        assert (await results.write([up(server_id, latency=timedelta(seconds=1))])).count == 1

    assert await connection.fetchval("SELECT seq FROM fleet_event_head") == head
    assert (await row(connection, server_id))["latency_ms"] == 1000


async def test_what_a_record_does_not_say_is_kept(
    results: PostgresResultStore, connection: Connection, add_server: AddServer
) -> None:
    server_id = await add_server()
    await results.write([up(server_id, listed_at=time.monotonic())])
    before = await row(connection, server_id)
    silent: dict[str, Any] = dict.fromkeys(("server_version", "checked_at", "next_check_at", "latency"))

    assert (await results.write([up(server_id, **silent)])).count == 1
    assert await row(connection, server_id) == before

    await results.write([up(server_id, latency=None)])
    assert (await row(connection, server_id))["latency_ms"] is None


async def test_a_batch_holds_records_of_all_kinds(
    results: PostgresResultStore, connection: Connection, add_server: AddServer
) -> None:
    good, bad, edited, inactive, asked = [await add_server() for _ in range(5)]
    gone = uuid.uuid4()
    await connection.execute("UPDATE ollama_servers SET priority = 1 WHERE id = $1", edited)
    await connection.execute("UPDATE ollama_servers SET is_active = false WHERE id = $1", inactive)
    asked_at = await connection.fetchval(
        "UPDATE ollama_servers SET check_requested_at = now() WHERE id = $1 RETURNING check_requested_at", asked
    )
    records = [
        up(good),
        up(bad, status=Status.DOWN, reason=Reason.REFUSED, detail="é" * 200, latency=None, server_version=None),
        up(edited),
        up(inactive, row_version=2),
        up(gone),
        up(asked, answered_at=asked_at, answer={"status": "up", "latency": None}),
    ]

    assert (await results.write(records)).count == 3

    assert [(await row(connection, each))["status"] for each in (good, bad, edited, inactive, asked)] == [
        "up",
        "down",
        "unknown",
        "unknown",
        "up",
    ]
    assert (await row(connection, bad))["status_detail"] == "é" * 200
    answered = await row(connection, asked)
    assert answered["check_answered_at"] == asked_at
    assert answered["check_result"] == '{"status": "up", "latency": null}'
    assert (await row(connection, good))["check_result"] is None


async def test_nothing_is_a_batch_too(results: PostgresResultStore) -> None:
    assert (await results.write([])).count == 0


@pytest.mark.parametrize("stale", ["epoch", "owner", "given up"])
async def test_without_the_lease_nothing_is_written(
    results: PostgresResultStore,
    connection: Connection,
    add_server: AddServer,
    fleet_database: Database,
    lease: Lease,
    stale: str,
) -> None:
    server_id = await add_server()
    before = await row(connection, server_id)
    if stale == "epoch":
        await connection.execute("UPDATE monitor_leases SET epoch = epoch + 1")
    elif stale == "owner":
        results = PostgresResultStore(fleet_database, replace(lease, owner=uuid.uuid4()))
    else:
        await connection.execute("UPDATE monitor_leases SET owner = NULL")

    assert (await results.write([up(server_id)])).count == 0

    assert await row(connection, server_id) == before
    assert len(await fold.read_events(connection)) == 1


@pytest.mark.parametrize(
    "broken",
    [{"detail": "a\0b"}, {"detail": "\ud800"}, {"detail": "x" * 201}, {"answer": {"a": "\0"}}],
    ids=str,
)
async def test_a_record_that_cannot_be_stored_spoils_its_batch_and_says_so(
    results: PostgresResultStore,
    connection: Connection,
    add_server: AddServer,
    broken: dict[str, Any],
) -> None:
    good, bad = await add_server(), await add_server()

    # Not a database that is away: whoever writes the batch can then halve it.
    with pytest.raises((asyncpg.DataError, asyncpg.CheckViolationError)):
        await results.write([up(good), up(bad, **broken)])

    assert await connection.fetchval("SELECT count(*) FROM ollama_servers WHERE status <> 'unknown'") == 0
    assert (await results.write([up(good)])).count == 1


async def test_a_stored_verdict_is_read_back(
    results: PostgresResultStore, store: PostgresServerStore, connection: Connection, add_server: AddServer
) -> None:
    server_id = await add_server()
    await results.write([up(server_id, status=Status.DOWN, reason=Reason.TLS, detail="expired")])

    ((watched,), _) = await store.snapshot()
    assert watched.availability.status is Status.DOWN
    assert (watched.availability.reason, watched.availability.detail) == (Reason.TLS, "expired")
    assert watched.server_version == "0.9.6"

    await connection.execute("UPDATE ollama_servers SET status_reason = 'of a later release'")
    ((watched,), _) = await store.snapshot()
    assert watched.availability.reason is None

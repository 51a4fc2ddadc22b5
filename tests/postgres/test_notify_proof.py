"""A NOTIFY that does not arrive is found out and told once, and one that arrives is no news."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
import structlog

from monitor.postgres import listener as listening
from monitor.postgres import notify_proof
from monitor.postgres.database import Connection, Database
from monitor.postgres.listener import Listener

Eventually = Callable[..., Awaitable[None]]
TERMINATE = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'proven'"


async def sender(dsn: str) -> Database:
    """What the other end sends through."""
    opened = Database(dsn, name="sender")
    await opened.open()
    return opened


async def test_a_listener_on_another_database_is_told_of_once_and_looks_on(
    dsn: str, empty_dsn: str, connection: Connection, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notify_proof, "SECONDS", 0.2)
    monkeypatch.setattr(listening, "PING_INTERVAL", 0.5)
    monkeypatch.setattr(listening, "FIRST_RETRY", 0.02)
    database, woken = await sender(empty_dsn), asyncio.Event()
    with structlog.testing.capture_logs() as logs:
        listener = Listener(dsn, name="proven", channels=["ollama_servers"], wake=woken.set, sender=database)
        task = asyncio.create_task(listener.run())

        def count(event: str) -> int:
            return len([entry for entry in logs if entry["event"] == event])

        async def warned() -> bool:
            return count("notify_not_arriving") > 0

        await eventually(warned, what="the warning")
        woken.clear()
        await asyncio.wait_for(woken.wait(), 15)
        connects = count("listener_connected")
        await connection.execute(TERMINATE)

        async def connected_again() -> bool:
            return count("listener_connected") > connects

        await eventually(connected_again, what="the new session")
        woken.clear()
        await asyncio.wait_for(woken.wait(), 15)
    task.cancel()
    await asyncio.wait({task})
    await database.close()
    warnings = [entry for entry in logs if entry["event"] == "notify_not_arriving"]
    assert len(warnings) == 1
    assert warnings[0]["log_level"] == "warning"
    assert "OLLAMA_FLEET_LISTEN_DATABASE_URL" in warnings[0]["hint"]


async def test_a_word_that_arrives_or_cannot_be_sent_is_no_news(dsn: str, connection: Connection) -> None:
    database = await sender(dsn)
    nowhere = await sender("postgresql://fleet@127.0.0.1:1/fleet")
    with structlog.testing.capture_logs() as logs:
        for through in (database, nowhere):
            proof = notify_proof.NotifyProof(through)
            await proof.listen(connection)
            await connection.execute("SELECT pg_notify('ollama_fleet_proofs', 'junk')")
            await asyncio.wait_for(proof.run(), 4)
    await database.close()
    await nowhere.close()
    assert logs == []

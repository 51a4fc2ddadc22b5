"""Events of every change of a server, whoever makes it: right types and bodies, none for an unchanged check."""

from typing import Any

import pytest

from monitor.postgres.database import Connection
from tests.postgres import history
from tests.postgres.conftest import AddServer
from tests.postgres.history import DOWN, UP, Told


@pytest.fixture
async def connection(undone: Connection) -> Connection:
    """Events are published at commit, or when the transaction asks for it, as `last_seq` does."""
    return undone


def verdict(before: str, after: str, reason: str | None, *, detail: str | None = None, latency: Any = None) -> Any:
    """A status event as it should be."""
    body = {"from": before, "to": after, "reason": reason, "detail": detail, "latency_ms": latency}
    return (f"server.{after}", body)


RESET = {"status": "unknown", "status_reason": None, "is_available": False, "server_version": None, "row_version": 2}


@pytest.mark.parametrize(
    ("given", "change", "expected"),
    [
        ("", "priority = 3", [("server.updated", {"priority": 3, "row_version": 2})]),
        ("", "name = 'new'", [("server.updated", {"name": "new", "row_version": 2})]),
        ("", 'labels = \'{"a": "b"}\'', [("server.updated", {"labels": {"a": "b"}, "row_version": 2})]),
        ("", "is_default = true", [("server.updated", {"is_default": True, "row_version": 2})]),
        ("", "fall = 9, rise = 8", [("server.updated", {"fall": 9, "rise": 8, "row_version": 2})]),
        ("", "priority = priority, name = name, url = url", []),
        ("", UP, [verdict("unknown", "up", "ok", latency=2.5)]),
        ("", DOWN, [verdict("unknown", "down", "refused", detail="no")]),
        (UP, DOWN, [verdict("up", "down", "refused", detail="no")]),
        (
            UP,
            "status = 'degraded', status_reason = 'list_failed'",
            [verdict("up", "degraded", "list_failed", latency=2.5)],
        ),
        (UP, "status = 'up', last_checked_at = now(), next_check_at = now(), latency_ms = 77", []),
        (UP, "models_listed_at = now(), check_answered_at = now(), check_result = '{}'", []),
        (UP, "check_requested_at = now(), discovery_requested_at = now()", []),
        (DOWN, "status_reason = 'timeout'", [("server.updated", {"status_reason": "timeout"})]),
        (DOWN, "status_detail = 'other'", [("server.updated", {"status_detail": "other"})]),
        (UP, "server_version = '0.9.6'", [("server.updated", {"server_version": "0.9.6"})]),
        (
            "",
            f"{UP}, server_version = '0.9.6'",
            [("server.updated", {"server_version": "0.9.6"}), verdict("unknown", "up", "ok", latency=2.5)],
        ),
        # An operator who writes only is_available means the status.
        ("", "is_available = true", [verdict("unknown", "up", None)]),
        (UP, "is_available = false", [verdict("up", "down", None, latency=2.5)]),
        (DOWN, "is_available = true", [verdict("down", "up", None)]),
        (UP, "is_available = false, status = 'degraded'", [verdict("up", "degraded", "ok", latency=2.5)]),
        (UP, "status = 'up', is_available = true", []),
        # A verdict does not outlive the address it was about.
        (
            f"{UP}, server_version = '1'",
            "url = 'http://new'",
            [("server.updated", {"url": "http://new", **RESET})],
        ),
        (
            f"{UP}, server_version = '1'",
            "is_active = false",
            [("server.updated", {"is_active": False, **RESET})],
        ),
        (
            f"{DOWN}, server_version = '1'",
            f"api_version = 'v2', {UP}",
            [
                (
                    "server.updated",
                    {k: v for k, v in RESET.items() if k != "is_available"}
                    | {"api_version": "v2", "status_detail": None},
                )
            ],
        ),
        ("", "is_active = false", [("server.updated", {"is_active": False, "row_version": 2})]),
        ("", "connection_watch = false", [("server.updated", {"connection_watch": False, "row_version": 2})]),
        # What is pinned is what it speaks.
        (
            f"{UP}, api_seen = 'native'",
            "api = 'openai'",
            [("server.updated", {"api": "openai", "api_seen": "openai", "row_version": 2})],
        ),
        ("api = 'native'", "api = 'auto'", [("server.updated", {"api": "auto", "row_version": 3})]),
        # Of a credential only whether there is one, and never its parts.
        (
            "",
            "auth_type = 'bearer', auth_config = '{\"token\": \"planted-secret\"}'",
            [("server.updated", {"auth_type": "bearer", "auth_configured": True, "row_version": 2})],
        ),
    ],
)
async def test_a_change_of_a_server_is_told(
    connection: Connection, add_server: AddServer, given: str, change: str, expected: Told
) -> None:
    await add_server()
    if given:
        await connection.execute(f"UPDATE ollama_servers SET {given}")
    before = await history.last_seq(connection)

    await connection.execute(f"UPDATE ollama_servers SET {change}")

    assert await history.told(connection, before) == expected
    await history.check(connection)


async def test_creation_and_deletion_of_a_server_are_told(connection: Connection, add_server: AddServer) -> None:
    server_id = await add_server(name="a", url="http://a", auth_type="basic", auth_config='{"password": "planted"}')
    await connection.execute("DELETE FROM ollama_servers")

    created, deleted = await history.check(connection)

    assert (created.type, created.server_id, created.model_id) == ("server.created", server_id, None)
    assert created.body["name"] == "a"
    assert created.body["status"] == "unknown"
    assert "planted" not in str(created.body)
    assert (deleted.type, deleted.server_id) == ("server.deleted", server_id)
    assert deleted.body == {"name": "a", "url": "http://a", "actor": "fleet"}


async def test_a_server_inserted_as_available_is_up(connection: Connection, add_server: AddServer) -> None:
    await add_server(is_available=True)
    await add_server(status="down", is_available=True)

    rows = await connection.fetch("SELECT status, is_available FROM ollama_servers ORDER BY name")

    assert [tuple(row) for row in rows] == [("up", True), ("down", False)]
    await history.check(connection)


async def test_a_new_address_forgets_the_times_of_the_old_one(connection: Connection, add_server: AddServer) -> None:
    await add_server()
    await connection.execute(f"UPDATE ollama_servers SET {UP}, last_checked_at = now(), next_check_at = now()")

    await connection.execute("UPDATE ollama_servers SET url = 'http://new'")

    row = await connection.fetchrow("SELECT last_checked_at, next_check_at, latency_ms FROM ollama_servers")
    assert row is not None
    assert tuple(row) == (None, None, None)


async def test_only_edits_count_in_the_row_version(connection: Connection, add_server: AddServer) -> None:
    await add_server()
    for change in (UP, DOWN, "last_checked_at = now()", "server_version = '1'", "check_requested_at = now()"):
        await connection.execute(f"UPDATE ollama_servers SET {change}")
    assert await connection.fetchval("SELECT row_version FROM ollama_servers") == 1

    await connection.execute("UPDATE ollama_servers SET priority = 1")
    assert await connection.fetchval("SELECT row_version FROM ollama_servers") == 2


async def test_a_changed_id_is_another_server(connection: Connection, add_server: AddServer) -> None:
    await add_server()
    await connection.execute(f"UPDATE ollama_servers SET {UP}")

    await connection.execute("UPDATE ollama_servers SET id = gen_random_uuid()")

    events = await history.check(connection)
    assert [str(event.type) for event in events[2:]] == ["server.deleted", "server.created"]


async def test_times_are_compared_and_not_spelt(connection: Connection, add_server: AddServer) -> None:
    await connection.execute("SET timezone = 'Asia/Tokyo'")
    await add_server()
    await connection.execute("SET timezone = 'America/Lima'")
    await connection.execute("UPDATE ollama_servers SET priority = 1")

    await history.check(connection)

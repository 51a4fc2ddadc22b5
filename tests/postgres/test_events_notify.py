"""The NOTIFY of an event: with its commit, on the channel of its kind, short, and for nobody after a rollback."""

import json
import uuid
from collections.abc import Awaitable, Callable

import pytest

from monitor.postgres.database import Connection
from tests.postgres.conftest import AddServer

ADD = "INSERT INTO ollama_servers (name, url) VALUES ($1, 'http://' || $1)"
Eventually = Callable[..., Awaitable[None]]


async def test_a_notification_comes_with_the_commit_on_the_channel_of_its_kind(
    connection: Connection, observer: Connection, eventually: Eventually
) -> None:
    heard: list[tuple[str, str]] = []
    for channel in ("ollama_servers", "ollama_models", "ollama_fleet_requests"):
        await observer.add_listener(channel, lambda _c, _p, channel, payload: heard.append((channel, payload)))
    server_id, model_id = uuid.uuid4(), uuid.uuid4()

    async with connection.transaction():
        await connection.execute(
            "INSERT INTO ollama_servers (id, name, url) VALUES ($1, repeat('é', 200), 'http://' || repeat('x', 2000))",
            server_id,
        )
        await connection.execute(
            "INSERT INTO ollama_models (id, server_id, name, model_name) VALUES ($1, $2, 'm', repeat('m', 512))",
            model_id,
            server_id,
        )
        await observer.execute("SELECT 1")
        assert heard == []
    await connection.execute("UPDATE ollama_servers SET check_requested_at = now()")

    async def all_heard() -> bool:
        await observer.execute("SELECT 1")
        return len(heard) == 3

    await eventually(all_heard)
    assert all(len(payload.encode()) < 400 for _, payload in heard)
    (_, first), (_, second), request = heard
    assert [channel for channel, _ in heard[:2]] == ["ollama_servers", "ollama_models"]
    about = {"server_id": str(server_id), "model_id": None}
    assert json.loads(first) == {"seq": 1, "type": "server.created", **about}
    assert json.loads(second) == {"seq": 2, "type": "model.added", **about, "model_id": str(model_id)}
    assert request == ("ollama_fleet_requests", str(server_id))


async def test_a_rollback_notifies_nobody(connection: Connection, observer: Connection) -> None:
    heard: list[object] = []
    await observer.add_listener("ollama_servers", lambda *_: heard.append(_))
    await connection.execute("BEGIN")
    await connection.execute(ADD, "undone")
    await connection.execute("ROLLBACK")
    await connection.execute(ADD, "kept")

    for _ in range(3):
        await observer.execute("SELECT 1")

    assert len(heard) == 1


@pytest.mark.parametrize("column", ["check_requested_at", "discovery_requested_at"])
async def test_only_a_request_wakes_the_monitor(connection: Connection, add_server: AddServer, column: str) -> None:
    heard: list[str] = []
    server_id = await add_server()
    await connection.add_listener("ollama_fleet_requests", lambda _c, _p, _n, payload: heard.append(payload))
    for change in ("priority = 1", "status = 'up'", "last_checked_at = now()", f"{column} = NULL"):
        await connection.execute(f"UPDATE ollama_servers SET {change}")
    assert heard == []

    await connection.execute(f"UPDATE ollama_servers SET {column} = now()")
    await connection.execute("SELECT 1")

    assert heard == [str(server_id)]

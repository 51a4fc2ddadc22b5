"""Events of every change of a model, and what an operator's word on a model is worth; last, the fold's own test."""

import uuid

import pytest

from monitor.postgres.database import Connection
from tests import fold
from tests.postgres import history
from tests.postgres.conftest import AddServer
from tests.postgres.history import DOWN, UP, Told

MONITOR = "SET ollama_fleet.writer = 'monitor'"


@pytest.fixture
async def connection(undone: Connection) -> Connection:
    """Events are published at commit, or when the transaction asks for it, as `last_seq` does."""
    return undone


@pytest.mark.parametrize(
    ("given", "change", "expected"),
    [
        ("", "name = 'nice'", [("model.changed", {"name": "nice"})]),
        ("", "digest = 'd2', size_bytes = 5", [("model.changed", {"digest": "d2", "size_bytes": 5})]),
        ("", "last_seen_at = now() + interval '1 h'", []),
        ("", "name = name", []),
        ("", "removed_at = now()", [("model.removed", {"digest": "d1"})]),
        ("removed_at = now()", "removed_at = now() + interval '1 h'", []),
        ("removed_at = now()", "digest = 'd2'", []),
        (
            "",
            "loaded_size_bytes = 9, size_vram = 8, expires_at = '2030-01-01Z'",
            [
                (
                    "model.loaded",
                    {"loaded_size_bytes": 9, "size_vram": 8, "expires_at": "2030-01-01T00:00:00+00:00"},
                )
            ],
        ),
        (
            "loaded_size_bytes = 9, size_vram = 8",
            "loaded_size_bytes = NULL, size_vram = NULL",
            [("model.unloaded", {"loaded_size_bytes": None, "size_vram": None, "expires_at": None})],
        ),
        ("size_vram = 8", "size_vram = 7", [("model.changed", {"size_vram": 7})]),
        ("size_vram = 8", "expires_at = now()", []),
        ("size_vram = 8", "removed_at = now(), size_vram = NULL", [("model.removed", {"digest": "d1"})]),
        (
            "",
            "size_vram = 0, digest = 'd2'",
            [
                ("model.loaded", {"loaded_size_bytes": None, "size_vram": 0, "expires_at": None}),
                ("model.changed", {"digest": "d2"}),
            ],
        ),
        (
            "",
            "capabilities = '[\"chat\"]'",
            [("model.changed", {"capabilities": ["chat"], "capabilities_source": "operator"})],
        ),
    ],
)
async def test_a_change_of_a_model_is_told(
    connection: Connection, add_server: AddServer, given: str, change: str, expected: Told
) -> None:
    await add_model(connection, await add_server())
    if given:
        await connection.execute(f"UPDATE ollama_models SET {given}")
    before = await history.last_seq(connection)

    await connection.execute(f"UPDATE ollama_models SET {change}")

    named = [(kind, {"model_name": "m", **body}) for kind, body in expected]
    assert await history.told(connection, before) == named
    await history.check(connection)


async def add_model(connection: Connection, server_id: uuid.UUID) -> uuid.UUID:
    """Insert a model as `psql` would."""
    model_id: uuid.UUID = await connection.fetchval(
        "INSERT INTO ollama_models (server_id, name, model_name, digest) VALUES ($1, 'm', 'm', 'd1') RETURNING id",
        server_id,
    )
    return model_id


async def test_a_model_is_added_removed_and_added_again(connection: Connection, add_server: AddServer) -> None:
    model_id = await add_model(connection, await add_server())
    await connection.execute("UPDATE ollama_models SET removed_at = now()")
    await connection.execute("UPDATE ollama_models SET removed_at = NULL, digest = 'd2'")
    await connection.execute("DELETE FROM ollama_models")

    events = (await history.check(connection))[1:]

    assert [str(event.type) for event in events] == ["model.added", "model.removed", "model.added", "model.removed"]
    assert {event.model_id for event in events} == {model_id}
    assert events[2].body["digest"] == "d2"


async def test_a_tombstone_comes_and_goes_without_a_word(connection: Connection, add_server: AddServer) -> None:
    await connection.execute(
        "INSERT INTO ollama_models (server_id, name, model_name, removed_at) VALUES ($1, 'm', 'm', now())",
        await add_server(),
    )
    await connection.execute("DELETE FROM ollama_models")

    assert len(await history.check(connection)) == 1


async def test_a_deleted_server_tells_of_each_of_its_models(connection: Connection, add_server: AddServer) -> None:
    model_id = await add_model(connection, await add_server())
    await connection.execute("DELETE FROM ollama_servers")

    events = await history.check(connection)

    assert {(str(event.type), event.model_id) for event in events[2:]} == {
        ("server.deleted", None),
        ("model.removed", model_id),
    }


async def test_a_model_moved_to_another_server_is_another_model(connection: Connection, add_server: AddServer) -> None:
    here, there = await add_server(), await add_server()
    await add_model(connection, here)
    await connection.execute("UPDATE ollama_models SET server_id = $1", there)
    await connection.execute("UPDATE ollama_models SET id = gen_random_uuid()")

    moved = (await history.check(connection))[3:]

    assert [(str(event.type), event.server_id) for event in moved] == [
        ("model.removed", here),
        ("model.added", there),
        ("model.removed", there),
        ("model.added", there),
    ]


@pytest.mark.parametrize(
    ("changes", "active", "disabled"),
    [
        (["is_active = false"], False, True),
        (["is_active = false", "is_active = true"], True, False),
        (["disabled_at = now()"], False, True),
        (["disabled_at = now()", "disabled_at = NULL"], True, False),
        (["removed_at = now()"], False, False),
        (["removed_at = now()", "is_active = true"], False, False),
        (["is_active = false", "removed_at = now()", "removed_at = NULL"], False, True),
        (["is_active = false", MONITOR, "is_active = true"], False, True),
        ([MONITOR, "is_active = false"], True, False),
    ],
)
async def test_a_model_is_active_when_it_is_listed_and_not_disabled(
    connection: Connection, add_server: AddServer, changes: list[str], active: bool, disabled: bool
) -> None:
    await add_model(connection, await add_server())

    for change in changes:
        await connection.execute(change if change == MONITOR else f"UPDATE ollama_models SET {change}")

    row = await connection.fetchrow("SELECT is_active, disabled_at IS NOT NULL FROM ollama_models")
    assert row is not None
    assert tuple(row) == (active, disabled)
    await history.check(connection)


@pytest.mark.parametrize(
    ("capabilities", "source", "stored"),
    [("[]", "none", "none"), ('["chat"]', "none", "operator"), ('["chat"]', "tags", "tags")],
)
async def test_capabilities_inserted_by_an_operator_are_the_operators_word(
    connection: Connection, add_server: AddServer, capabilities: str, source: str, stored: str
) -> None:
    assert stored == await connection.fetchval(
        "INSERT INTO ollama_models (server_id, name, model_name, capabilities, capabilities_source) "
        "VALUES ($1, 'm', 'm', $2, $3) RETURNING capabilities_source",
        await add_server(),
        capabilities,
        source,
    )


async def test_the_fold_can_tell_a_history_that_is_wrong(connection: Connection, add_server: AddServer) -> None:
    await add_model(connection, await add_server())
    await connection.execute(f"UPDATE ollama_servers SET {UP}")
    await connection.execute(f"UPDATE ollama_servers SET {DOWN}")
    events = await history.check(connection)

    for missing in (1, 2):
        with pytest.raises(AssertionError, match="follow"):
            fold.check_invariants(events[:missing] + events[missing + 1 :])
    assert fold.fold(events[:-1]) != await fold.table_state(connection)
    assert fold.fold(e for e in events if e.model_id is None) != await fold.table_state(connection)

"""Who made a change is in its event: the operator that is named, else the role; never the monitor."""

import asyncpg
import pytest

from monitor.postgres.database import Connection
from tests import fold
from tests.postgres import history
from tests.postgres.conftest import AddServer
from tests.postgres.history import DOWN, UP

NAME = "SELECT set_config('ollama_fleet.actor', $1, true)"


@pytest.fixture
async def connection(undone: Connection) -> Connection:
    """All in a transaction that is taken back."""
    return undone


async def actors(connection: Connection, after: int = 0) -> list[tuple[str, str | None]]:
    """Types of events, and who made the change."""
    await history.last_seq(connection)
    return [(str(event.type), event.body.get("actor")) for event in await fold.read_events(connection, after)]


async def test_an_edit_by_psql_is_the_roles(connection: Connection, add_server: AddServer) -> None:
    await add_server()
    await connection.execute("UPDATE ollama_servers SET priority = 1")
    await connection.execute("DELETE FROM ollama_servers")
    assert await actors(connection) == [(f"server.{what}", "fleet") for what in ("created", "updated", "deleted")]


async def test_whom_the_transaction_names_made_its_changes(connection: Connection, add_server: AddServer) -> None:
    await connection.execute(NAME, "anna")
    server_id = await add_server()
    await connection.execute("INSERT INTO ollama_models (server_id, name, model_name) VALUES ($1, 'm', 'm')", server_id)
    await connection.execute("UPDATE ollama_models SET is_active = false")
    await connection.execute("DELETE FROM ollama_servers")
    assert {actor for _, actor in await actors(connection)} == {"anna"}
    await history.check(connection)


async def test_a_name_that_is_too_long_is_cut(connection: Connection, add_server: AddServer) -> None:
    await connection.execute(NAME, "x" * 1000)
    await add_server()
    assert await actors(connection) == [("server.created", "x" * 200)]


@pytest.mark.parametrize("change", [UP, DOWN, "server_version = '1'", "flapping_since = now()"])
async def test_a_verdict_has_no_actor(connection: Connection, add_server: AddServer, change: str) -> None:
    await add_server()
    before = await history.last_seq(connection)
    await connection.execute(f"UPDATE ollama_servers SET {change}")
    made = await actors(connection, before)
    assert made
    assert {actor for _, actor in made} == {None}


async def test_models_that_the_monitor_lists_have_no_actor(connection: Connection, add_server: AddServer) -> None:
    server_id = await add_server()
    before = await history.last_seq(connection)
    await connection.execute("SET LOCAL ollama_fleet.writer = 'monitor'")
    await connection.execute("INSERT INTO ollama_models (server_id, name, model_name) VALUES ($1, 'm', 'm')", server_id)
    await connection.execute("UPDATE ollama_models SET digest = 'x', size_vram = 1")
    await connection.execute("UPDATE ollama_models SET removed_at = now(), size_vram = NULL")
    made = await actors(connection, before)
    assert [kind for kind, _ in made] == ["model.added", "model.loaded", "model.changed", "model.removed"]
    assert {actor for _, actor in made} == {None}


@pytest.mark.parametrize(
    ("change", "constraint"),
    [
        ("name = 'two words'", "ck_api_tokens_name_is_usable"),
        ("name = ''", "ck_api_tokens_name_is_usable"),
        ("digest = 'short'", "ck_api_tokens_digest_is_sha256"),
        ("scopes = '[]'", "ck_api_tokens_scopes_are_known"),
        ("scopes = '[\"root\"]'", "ck_api_tokens_scopes_are_known"),
        ("scopes = '\"read\"'", "ck_api_tokens_scopes_are_known"),
        ("name = 'taken'", "uq_api_tokens_name_in_use"),
    ],
)
async def test_the_database_refuses_a_bad_token(connection: Connection, change: str, constraint: str) -> None:
    for name in ("taken", "ci"):
        await connection.execute(
            "INSERT INTO api_tokens (id, name, digest, scopes) "
            "VALUES (gen_random_uuid(), $1, sha256($1::text::bytea), '[\"read\"]')",
            name,
        )
    with pytest.raises(asyncpg.IntegrityConstraintViolationError) as caught:
        await connection.execute(f"UPDATE api_tokens SET {change} WHERE name = 'ci'")
    assert caught.value.constraint_name == constraint

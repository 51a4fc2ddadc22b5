"""The tables: what SQLAlchemy states is what migrations build, and what the database refuses by itself."""

import uuid
from typing import Any

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import create_async_engine

from monitor.postgres import metadata
from monitor.postgres.database import Connection
from tests.postgres.conftest import AddServer


@pytest.fixture
async def connection(undone: Connection) -> Connection:
    """All of these tests are refused or take back what they did."""
    return undone


SHAPE = """
SELECT 'column', table_name, column_name, ordinal_position::text, data_type, is_nullable, column_default,
       is_identity, identity_generation
FROM information_schema.columns WHERE table_schema = 'public' AND table_name <> 'ollama_fleet_alembic_version'
                                  AND table_name NOT IN (SELECT viewname FROM pg_views WHERE schemaname = 'public')
UNION ALL
SELECT 'constraint', conrelid::regclass::text, conname, contype::text, pg_get_constraintdef(oid), '', '', '', ''
FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND contype IN ('c', 'f', 'p', 'u')
                     AND conrelid::regclass::text <> 'ollama_fleet_alembic_version'
UNION ALL
SELECT 'index', tablename, indexname, indexdef, '', '', '', '', ''
FROM pg_indexes WHERE schemaname = 'public' AND tablename <> 'ollama_fleet_alembic_version'
UNION ALL
SELECT 'option', relname, reloptions::text, '', '', '', '', '', ''
FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
                AND relname <> 'ollama_fleet_alembic_version'
ORDER BY 1, 2, 3
"""


async def test_tables_and_migrations_build_the_same(empty_dsn: str, connection: Connection) -> None:
    engine = create_async_engine("postgresql+asyncpg://", async_creator=lambda: asyncpg.connect(empty_dsn))
    async with engine.begin() as session:
        await session.run_sync(metadata.metadata.create_all)
    await engine.dispose()
    stated: Connection = await asyncpg.connect(empty_dsn)

    try:
        assert await stated.fetch(SHAPE) == await connection.fetch(SHAPE)
    finally:
        await stated.close()


UNIQUE, CHECK = asyncpg.UniqueViolationError, asyncpg.CheckViolationError
NULL = asyncpg.NotNullViolationError


@pytest.mark.parametrize(
    ("columns", "constraint"),
    [
        ("name = ''", "ck_ollama_servers_name_is_usable"),
        ("name = repeat('x', 201)", "ck_ollama_servers_name_is_usable"),
        (r"name = E'two\nlines'", "ck_ollama_servers_name_is_usable"),
        ("name = 'taken'", "uq_ollama_servers_name"),
        ("url = 'http://taken'", "uq_ollama_servers_url"),
        ("url = 'ftp://host'", "ck_ollama_servers_url_is_http"),
        ("url = 'http://'", "ck_ollama_servers_url_is_http"),
        ("url = 'http:///path'", "ck_ollama_servers_url_is_http"),
        ("url = 'http://user:secret@host'", "ck_ollama_servers_url_is_http"),
        ("url = 'http://host?key=secret'", "ck_ollama_servers_url_is_http"),
        ("url = 'http://host/path#part'", "ck_ollama_servers_url_is_http"),
        ("url = 'http://ho st'", "ck_ollama_servers_url_is_http"),
        (r"url = E'http://host\nhttp://other'", "ck_ollama_servers_url_is_http"),
        ("url = 'http://' || repeat('x', 2042)", "ck_ollama_servers_url_is_http"),
        ("auth_type = 'digest'", "ck_ollama_servers_auth_type_is_known"),
        ("auth_config = '[]'", "ck_ollama_servers_auth_config_is_object"),
        ("auth_config = 'null'", "ck_ollama_servers_auth_config_is_object"),
        ("capabilities = '{}'", "ck_ollama_servers_capabilities_are_texts"),
        ("capabilities = '\"chat\"'", "ck_ollama_servers_capabilities_are_texts"),
        ("capabilities = '[\"chat\", 1]'", "ck_ollama_servers_capabilities_are_texts"),
        ("capabilities = '[null]'", "ck_ollama_servers_capabilities_are_texts"),
        ("capabilities = '[[]]'", "ck_ollama_servers_capabilities_are_texts"),
        ("capabilities = '[[\"chat\"]]'", "ck_ollama_servers_capabilities_are_texts"),
        ("max_concurrent = 0", "ck_ollama_servers_max_concurrent_is_positive"),
        ("labels = '[]'", "ck_ollama_servers_labels_are_texts"),
        ("labels = '{\"a\": 1}'", "ck_ollama_servers_labels_are_texts"),
        ('labels = \'{"a": ["x"]}\'', "ck_ollama_servers_labels_are_texts"),
        ('labels = \'{"a": {"b": "x"}}\'', "ck_ollama_servers_labels_are_texts"),
        ("check_interval_seconds = 0", "ck_ollama_servers_check_interval_is_sane"),
        ("check_interval_seconds = 'NaN'", "ck_ollama_servers_check_interval_is_sane"),
        ("check_timeout_seconds = 301", "ck_ollama_servers_check_timeout_is_sane"),
        ("rise = 0", "ck_ollama_servers_rise_is_sane"),
        ("fall = 101", "ck_ollama_servers_fall_is_sane"),
        ("status = 'sick'", "ck_ollama_servers_status_is_known"),
        ("status = 'down', status_detail = repeat('x', 201)", "ck_ollama_servers_status_detail_is_short"),
        ("is_default = true", "uq_ollama_servers_one_default"),
    ],
)
async def test_the_database_refuses_a_bad_server(
    connection: Connection, add_server: AddServer, columns: str, constraint: str
) -> None:
    await add_server(name="taken", url="http://taken", is_default=True)
    server_id = await add_server()

    with pytest.raises((UNIQUE, CHECK)) as caught:
        await connection.execute(f"UPDATE ollama_servers SET {columns} WHERE id = $1", server_id)

    assert caught.value.constraint_name == constraint


@pytest.mark.parametrize(
    "columns",
    [
        {"url": "https://[2001:db8::1]:8443/prefix/@x"},
        {"url": "http://127.0.0.1:11434"},
        {"capabilities": '["chat", "embedding"]'},
        {"labels": '{"site": "north", "": "empty key"}'},
        {"check_interval_seconds": 0.1, "check_timeout_seconds": 300.0, "rise": 100, "fall": 1},
        {"name": "a" * 200},
    ],
    ids=str,
)
async def test_the_database_takes_a_good_server(add_server: AddServer, columns: dict[str, Any]) -> None:
    await add_server(**columns)


@pytest.mark.parametrize(
    "column",
    [
        "name",
        "url",
        "api_version",
        "api",
        "auth_type",
        "auth_config",
        "is_active",
        "is_default",
        "capabilities",
        "status",
        "max_concurrent",
        "priority",
        "labels",
        "connection_watch",
        "created_at",
    ],
)
async def test_a_servers_facts_are_never_null(connection: Connection, add_server: AddServer, column: str) -> None:
    server_id = await add_server()
    with pytest.raises(NULL):
        await connection.execute(f"UPDATE ollama_servers SET {column} = NULL WHERE id = $1", server_id)


@pytest.mark.parametrize(
    ("columns", "constraint"),
    [
        ("model_name = ''", "ck_ollama_models_model_name_is_usable"),
        ("model_name = repeat('x', 513)", "ck_ollama_models_model_name_is_usable"),
        ("model_name = 'taken'", "uq_ollama_models_server_id_model_name"),
        ("name = ''", "ck_ollama_models_name_is_usable"),
        ("size_bytes = 0", "ck_ollama_models_size_is_positive"),
        ("capabilities = '{}'", "ck_ollama_models_capabilities_are_texts"),
        ("capabilities = '[[\"chat\"]]'", "ck_ollama_models_capabilities_are_texts"),
        ("capabilities_source = 'guess'", "ck_ollama_models_capabilities_source_is_known"),
    ],
)
async def test_the_database_refuses_a_bad_model(
    connection: Connection, add_server: AddServer, columns: str, constraint: str
) -> None:
    add = "INSERT INTO ollama_models (server_id, name, model_name) VALUES ($1, $2, $2)"
    await connection.executemany(add, [(server := await add_server(), "taken"), (server, "m")])

    with pytest.raises((UNIQUE, CHECK)) as caught:
        await connection.execute(f"UPDATE ollama_models SET {columns} WHERE model_name = 'm'")

    assert caught.value.constraint_name == constraint


async def test_a_model_needs_its_server(connection: Connection) -> None:
    with pytest.raises(asyncpg.ForeignKeyViolationError):
        await connection.execute(
            "INSERT INTO ollama_models (server_id, name, model_name) VALUES ($1, 'm', 'm')", uuid.uuid4()
        )


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO fleet_event_head VALUES (false, 0)",
        "INSERT INTO fleet_event_head VALUES (true, 0)",
        "INSERT INTO fleet_event_head VALUES (NULL, 0)",
    ],
)
async def test_there_is_one_head(connection: Connection, statement: str) -> None:
    with pytest.raises((UNIQUE, CHECK, NULL)):
        await connection.execute(statement)


async def test_the_deletion_of_a_server_takes_its_models_along(connection: Connection, add_server: AddServer) -> None:
    server_id = await add_server()
    await connection.execute("INSERT INTO ollama_models (server_id, name, model_name) VALUES ($1, 'm', 'm')", server_id)

    await connection.execute("DELETE FROM ollama_servers")

    assert await connection.fetchval("SELECT count(*) FROM ollama_models") == 0


@pytest.mark.parametrize("table", ["ollama_servers", "ollama_models", "ollama_servers, ollama_models"])
async def test_truncate_is_refused_and_says_what_to_do_instead(connection: Connection, table: str) -> None:
    with pytest.raises(asyncpg.RaiseError, match="would leave no events") as caught:
        await connection.execute(f"TRUNCATE {table} CASCADE")

    assert "DELETE FROM" in (caught.value.hint or "")

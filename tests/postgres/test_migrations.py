"""The schema's history: up, down, at once from many programs, and by alembic's own command."""

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import asyncpg
import pytest
import sqlalchemy
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy.ext.asyncio import create_async_engine

import migrations
from migrations import sql
from monitor.domain.errors import DatabaseRefusesError, SchemaMismatchError
from monitor.embedded.postgres import EmbeddedServer
from monitor.postgres import database, schema_version
from monitor.postgres.database import Connection
from tests.postgres import programs

CHECKOUT = Path(migrations.__path__[0]).parent
SCRIPTS = str(CHECKOUT / "migrations").replace("%", "%%")
# Everything in the schema but alembic's own table: relations, functions, constraints, triggers and types.
CATALOGUE = """
SELECT relkind::text || ' ' || relname FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND relname !~ '^ollama_fleet_alembic_version'
UNION ALL SELECT pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = 'public'::regnamespace
UNION ALL SELECT conname || ' ' || pg_get_constraintdef(oid) FROM pg_constraint
          WHERE connamespace = 'public'::regnamespace AND conname !~ '^ollama_fleet_alembic_version'
UNION ALL SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
UNION ALL SELECT typname FROM pg_type
          WHERE typnamespace = 'public'::regnamespace AND typname !~ 'ollama_fleet_alembic_version'
ORDER BY 1
"""


async def alembic(dsn: str | None, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the real command in the checkout, as an operator would."""
    environment = {**os.environ, **({"OLLAMA_FLEET_DATABASE_URL": dsn} if dsn else {})}
    return await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "alembic", *arguments],
        cwd=CHECKOUT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


async def in_process(dsn: str, run: Callable[[Config, str], None], revision: str) -> None:
    """Run one of alembic's commands as the program does, which is quicker than a process each."""

    def on(connection: sqlalchemy.Connection) -> None:
        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", SCRIPTS)
        run(config, revision)

    engine = create_async_engine("postgresql+asyncpg://", async_creator=lambda: asyncpg.connect(dsn))
    async with engine.begin() as connection:
        await connection.run_sync(on)
    await engine.dispose()


async def catalogue(dsn: str) -> list[str]:
    """What the schema consists of."""
    connection = await database.connect(dsn, name="test")
    try:
        return [text for (text,) in await connection.fetch(CATALOGUE)]
    finally:
        await connection.close()


def test_the_known_version_is_the_newest_revision() -> None:
    config = Config()
    config.set_main_option("script_location", SCRIPTS)

    assert ScriptDirectory.from_config(config).get_current_head() == schema_version.KNOWN


async def test_down_leaves_nothing_behind_and_up_again_gives_the_same(empty_dsn: str) -> None:
    nothing = await catalogue(empty_dsn)
    await schema_version.upgrade(empty_dsn)
    first = await catalogue(empty_dsn)

    await in_process(empty_dsn, command.downgrade, "base")
    assert await catalogue(empty_dsn) == nothing

    await in_process(empty_dsn, command.upgrade, "head")
    assert await catalogue(empty_dsn) == first


async def test_each_revision_goes_down_and_up_by_itself(empty_dsn: str) -> None:
    states = [await catalogue(empty_dsn)]
    revisions = sorted(file.name.partition("_")[0] for file in (CHECKOUT / "migrations" / "versions").glob("[0-9]*.py"))
    for revision in revisions:
        await in_process(empty_dsn, command.upgrade, revision)
        states.append(await catalogue(empty_dsn))
    for _ in revisions:
        assert await catalogue(empty_dsn) == states.pop()
        await in_process(empty_dsn, command.downgrade, "-1")
    assert await catalogue(empty_dsn) == states.pop()


async def test_alembic_finds_no_difference_between_tables_and_migrations(dsn: str) -> None:
    checked = await alembic(dsn, "check")

    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "No new upgrade operations detected" in checked.stdout + checked.stderr


async def test_two_alembics_at_once_take_percent_and_at_in_user_password_and_database(strange_dsn: str) -> None:
    done = await asyncio.gather(*(alembic(strange_dsn, "upgrade", "head") for _ in range(2)))

    assert [each.returncode for each in done] == [0, 0], [each.stderr for each in done]
    assert not await schema_version.upgrade(strange_dsn)


async def test_upgrade_takes_percent_and_at_in_user_password_and_database(strange_dsn: str) -> None:
    assert await schema_version.upgrade(strange_dsn)
    assert not await schema_version.upgrade(strange_dsn)


async def test_a_wrong_password_is_named_without_being_repeated(strange_dsn: str) -> None:
    wrong = strange_dsn.replace("100%25", "planted-secret")

    with pytest.raises(DatabaseRefusesError, match="password authentication failed") as caught:
        await schema_version.upgrade(wrong)
    assert "planted-secret" not in str(caught.value)


async def test_alembic_without_an_address_says_which_variable_to_set() -> None:
    done = await alembic(None, "upgrade", "head")

    assert done.returncode != 0
    assert "OLLAMA_FLEET_DATABASE_URL is not set" in done.stderr


async def test_the_script_for_psql_builds_what_an_upgrade_builds(
    postgres: EmbeddedServer, dsn: str, empty_dsn: str
) -> None:
    script = await alembic(None, "upgrade", "head", "--sql")
    assert script.returncode == 0, script.stderr

    psql = ("--quiet", "--no-psqlrc", "--set", "ON_ERROR_STOP=1", "--dbname", empty_dsn)
    said = await programs.run(postgres.binaries.psql, psql, script.stdout.encode())

    assert not await schema_version.is_due(empty_dsn)
    assert await dumped(postgres, empty_dsn) == await dumped(postgres, dsn)
    assert b"ERROR" not in said


async def dumped(server: EmbeddedServer, dsn: str) -> list[str]:
    """The schema as pg_dump writes it, and what it is filled with from the start."""
    arguments = ("--schema-only", "--no-owner", dsn)
    schema = (await programs.run(server.binaries.folder / "pg_dump", arguments)).decode()
    rows = ("--data-only", "--no-owner", "--table=fleet_event_head", "--table=monitor_leases", dsn)
    filled = (await programs.run(server.binaries.folder / "pg_dump", rows)).decode()
    # These lines have a key that is new each time.
    return [line for line in (schema + filled).splitlines() if not line.startswith((r"\restrict", r"\unrestrict"))]


FOREIGN = """
CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY);
INSERT INTO alembic_version VALUES ('f0e1d2c3b4a5');
CREATE TABLE of_another_program (id int PRIMARY KEY);
"""


async def test_a_database_may_be_shared_with_another_program_that_uses_alembic(empty_dsn: str) -> None:
    connection: Connection = await asyncpg.connect(empty_dsn)
    await connection.execute(FOREIGN)
    with pytest.raises(SchemaMismatchError, match="holds no ollama-fleet schema"):
        await schema_version.verify(connection)

    upgraded = await alembic(empty_dsn, "upgrade", "head")
    checked = await alembic(empty_dsn, "check")

    assert [upgraded.returncode, checked.returncode] == [0, 0], upgraded.stderr + checked.stderr
    await schema_version.verify(connection)
    assert not await schema_version.upgrade(empty_dsn)
    assert await connection.fetchval("SELECT version_num FROM alembic_version") == "f0e1d2c3b4a5"

    await in_process(empty_dsn, command.downgrade, "base")
    assert await connection.fetchval("SELECT version_num FROM alembic_version") == "f0e1d2c3b4a5"
    assert await connection.fetchval("SELECT to_regclass('of_another_program') IS NOT NULL")
    await connection.close()


async def test_programs_that_start_at_once_migrate_once(empty_dsn: str) -> None:
    await asyncio.gather(*(schema_version.upgrade(empty_dsn) for _ in range(8)))

    connection = await database.connect(empty_dsn, name="test")
    await schema_version.verify(connection)
    assert await connection.fetchval("SELECT count(*) FROM ollama_fleet_alembic_version") == 1
    assert await connection.fetchval("SELECT count(*) FROM fleet_event_head") == 1
    await connection.close()


async def test_a_failing_revision_leaves_the_schema_as_it_was(empty_dsn: str) -> None:
    connection: Connection = await asyncpg.connect(empty_dsn)
    await connection.execute("CREATE TABLE monitor_leases (in_the_way int)")
    before = await catalogue(empty_dsn)

    with pytest.raises(Exception, match="already exists"):
        await schema_version.upgrade(empty_dsn)

    assert await catalogue(empty_dsn) == before
    assert await schema_version.current(connection) is None
    await connection.close()


@pytest.mark.parametrize(
    ("found", "advice"),
    [
        (None, "run `ollama-fleet migrate` once"),
        ("001", r"older .* run `ollama-fleet migrate`"),
        ("999", r"newer .* install the ollama-fleet version"),
    ],
)
async def test_verify_says_what_helps(undone: Connection, found: str | None, advice: str) -> None:
    await undone.execute("DELETE FROM ollama_fleet_alembic_version")
    if found is not None:
        await undone.execute("INSERT INTO ollama_fleet_alembic_version VALUES ($1)", found)

    with pytest.raises(SchemaMismatchError, match=advice):
        await schema_version.verify(undone)


async def test_verify_without_any_table_says_what_helps(empty_dsn: str) -> None:
    connection: Connection = await asyncpg.connect(empty_dsn)
    with pytest.raises(SchemaMismatchError, match="run `ollama-fleet migrate` once"):
        await schema_version.verify(connection)
    await connection.close()


async def test_verify_accepts_the_known_version(undone: Connection) -> None:
    await schema_version.verify(undone)


async def test_upgrade_changes_nothing_in_a_newer_schema(dsn: str, connection: Connection) -> None:
    await connection.execute("UPDATE ollama_fleet_alembic_version SET version_num = '999'")
    before = await catalogue(dsn)

    with pytest.raises(SchemaMismatchError, match=r"newer .* nothing was changed"):
        await schema_version.upgrade(dsn)

    assert await catalogue(dsn) == before
    assert await schema_version.current(connection) == "999"


async def test_upgrade_keeps_what_older_revisions_stored(empty_dsn: str) -> None:
    await in_process(empty_dsn, command.upgrade, "001")
    connection: Connection = await asyncpg.connect(empty_dsn)
    await connection.execute("SELECT fleet_event_stage('server.up', NULL, NULL, '{}')")

    assert await schema_version.upgrade(empty_dsn)

    await connection.execute("INSERT INTO ollama_servers (name, url) VALUES ('a', 'http://a')")
    told = await connection.fetch("SELECT seq, type FROM fleet_events ORDER BY seq")
    assert [tuple(row) for row in told] == [(1, "server.up"), (2, "server.created")]
    await connection.close()


def test_each_file_of_functions_is_run_by_one_revision() -> None:
    versions = (CHECKOUT / "migrations" / "versions").glob("[0-9]*.py")
    named = re.findall(r'"(\w+)"', "\n".join(_runs(file.read_text()) for file in versions))

    assert sorted(named) == sorted(sql.topics())


def _runs(revision: str) -> str:
    """The lines of a revision that name files of functions."""
    return "\n".join(re.findall(r"^(?:TOPICS = .*|    sql\.run\(\".*)$", revision, re.MULTILINE))

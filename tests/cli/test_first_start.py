"""`up` with IMPORT_ENV: the first start takes the servers of a file, and no later one so much as looks at it."""

import asyncio
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from api.cli import import_env
from monitor import settings
from monitor.domain.errors import ConfigurationError
from monitor.postgres.database import Connection
from tests.cli.conftest import PATIENCE, Typed

Started = Callable[..., subprocess.Popen[str]]

LAST_LINE = "  curl "


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that the setting names."""
    path = tmp_path / "program.env"
    monkeypatch.setenv("OLLAMA_FLEET_IMPORT_ENV", str(path))
    monkeypatch.setenv("OLLAMA_FLEET_API_PORT", "0")
    return path


def start_and_stop(started: Started) -> str:
    """Run `up` until all of it runs, end it, and return what it printed."""
    process = started("up")
    assert process.stdout is not None
    printed = ""
    for line in process.stdout:
        printed += line
        if line.startswith(LAST_LINE):
            break
    process.terminate()
    rest, log = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, log
    return printed + rest


def urls(typed: Typed) -> list[str]:
    return [server["url"] for server in json.loads(typed("servers", "list", "--json").out)]


@pytest.mark.usefixtures("on_database")
def test_the_first_start_imports_and_the_second_does_not_open_the_file(
    started: Started, typed: Typed, file: Path
) -> None:
    file.write_text("OLLAMA_HOST=http://127.0.0.1:9\n")
    first = start_and_stop(started)
    assert "1  OLLAMA_HOST  http://127.0.0.1:9  taken: server 127.0.0.1-9\n" in first
    assert first.index("taken: ") < first.index("ollama-fleet is running")
    file.unlink()
    # Whoever opens it waits for ever.
    os.mkfifo(file)
    assert "OLLAMA_HOST" not in start_and_stop(started)
    assert urls(typed) == ["http://127.0.0.1:9"]


@pytest.mark.usefixtures("on_database")
def test_a_file_that_cannot_be_read_at_the_first_start_ends_it_with_78(typed: Typed, file: Path) -> None:
    outcome = typed("up")
    assert (outcome.code, outcome.out) == (78, "")
    assert f"{file} cannot be read: No such file or directory. OLLAMA_FLEET_IMPORT_ENV names it" in outcome.err


def fill(file: Path, text: str) -> None:
    file.write_text(text)


async def import_at_start(dsn: str) -> None:
    await import_env.at_first_start(settings.load(), dsn=dsn)


async def test_servers_that_were_all_removed_do_not_come_back(
    on_database: str, file: Path, connection: Connection
) -> None:
    fill(file, "OLLAMA_HOST=gpu-1\n")
    await import_at_start(on_database)
    assert await connection.execute("DELETE FROM ollama_servers") == "DELETE 1"
    await connection.execute("DELETE FROM fleet_events")
    fill(file, "OLLAMA_HOST=gpu-2\n")
    await import_at_start(on_database)
    assert await connection.fetchval("SELECT count(*) FROM ollama_servers") == 0


@pytest.mark.usefixtures("file")
async def test_a_database_with_servers_is_no_first_start_and_needs_no_file(
    on_database: str, connection: Connection
) -> None:
    await connection.execute("INSERT INTO ollama_servers (name, url) VALUES ('mine', 'http://mine')")
    await import_at_start(on_database)
    assert await connection.fetchval("SELECT count(*) FROM ollama_servers") == 1


async def test_a_file_that_gave_nothing_may_be_corrected_and_is_read_at_the_next_start(
    on_database: str, file: Path, connection: Connection
) -> None:
    fill(file, "OLLAMA_HOST=http://169.254.169.254\n")
    await import_at_start(on_database)
    fill(file, "OLLAMA_HOST=gpu-1\n")
    await import_at_start(on_database)
    assert await connection.fetchval("SELECT array_agg(name) FROM ollama_servers") == ["gpu-1"]


async def test_an_import_that_cannot_end_has_written_nothing_and_is_begun_anew(
    on_database: str, file: Path, connection: Connection
) -> None:
    fill(file, "OLLAMA_BASE_URLS=http://a;http://b\n")
    await connection.execute("""
        CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NEW; END $$;
        CREATE TRIGGER fail BEFORE INSERT ON ollama_servers FOR EACH ROW WHEN (NEW.name = 'b')
            EXECUTE FUNCTION fail();
    """)
    with pytest.raises(Exception, match="cannot be used right now") as caught:
        await import_at_start(on_database)
    assert not isinstance(caught.value, ConfigurationError)
    assert await connection.fetchval("SELECT count(*) FROM ollama_servers") == 0
    await connection.execute("DROP TRIGGER fail ON ollama_servers")
    await import_at_start(on_database)
    assert await connection.fetchval("SELECT count(*) FROM ollama_servers") == 2


async def test_without_the_setting_nothing_is_asked() -> None:
    async with asyncio.timeout(PATIENCE):
        await import_at_start("postgresql://nobody@127.0.0.1:9/nothing")

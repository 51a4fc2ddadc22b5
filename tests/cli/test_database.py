"""The database under the commands: its address, psql, its schema, and what is said when it is away."""

import re
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from monitor.postgres import schema_version
from tests.cli.conftest import PATIENCE, Typed

SHOW_COMMAND_LINE = r"\! tr '\0' ' ' < /proc/$PPID/cmdline; echo; echo password $PGPASSWORD"


def test_the_address_is_printed_as_it_is_set(typed: Typed, on_database: str) -> None:
    outcome = typed("db", "uri")
    assert (outcome.code, outcome.out, outcome.err) == (0, f"{on_database}\n", "")


def test_the_address_of_an_embedded_database_that_does_not_run_comes_with_a_note(typed: Typed, tmp_path: Path) -> None:
    outcome = typed("db", "uri")
    assert outcome.code == 0
    assert outcome.out.startswith("postgresql://fleet@/ollama_fleet?host=")
    assert "`ollama-fleet up` starts it" in outcome.err
    assert not (tmp_path / "state").exists()


def test_stopping_what_does_not_run_is_no_failure_nor_told_like_one(typed: Typed, tmp_path: Path) -> None:
    outcome = typed("db", "stop")
    words = f"No PostgreSQL runs in {tmp_path / 'state'}, so there is nothing to stop.\n"
    assert (outcome.code, outcome.out) == (0, words)


@pytest.mark.usefixtures("on_database")
def test_psql_gets_its_arguments_and_gives_its_exit_code(typed: Typed) -> None:
    assert typed("db", "psql", "--", "-Atc", "SELECT 6 * 7").out == "42\n"
    assert typed("db", "psql", "--", "-c", "SELECT nonsense").code == 1


@pytest.mark.parametrize(
    ("user", "parameters"),
    [
        ("fleet:s%40cret@", ""),
        ("fleet@", "&password=s%40cret"),
        ("fleet:other-cret@", "&password=s%40cret"),
        ("", "&user=fleet&password=s%40cret"),
    ],
)
def test_psql_is_told_the_password_where_nobody_else_can_read_it(
    typed: Typed, dsn: str, monkeypatch: pytest.MonkeyPatch, user: str, parameters: str
) -> None:
    monkeypatch.setenv("OLLAMA_FLEET_DATABASE_URL", dsn.replace("fleet@", user) + parameters)
    command_line, password = typed("db", "psql", "--", "-c", SHOW_COMMAND_LINE).out.splitlines()
    assert re.search(r"--dbname postgresql://(fleet@)?/", command_line)
    assert "cret" not in command_line
    assert password == "password s@cret"


def test_migrate_fills_an_empty_database_once(typed: Typed, empty_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_FLEET_DATABASE_URL", empty_dsn)
    before = typed("servers", "list")
    assert before.code == 1
    assert "run `ollama-fleet migrate`" in before.err
    for _ in range(2):
        assert typed("migrate", "--dry-run").out == f"The schema would be brought to {schema_version.KNOWN}.\n"
    assert typed("migrate").out.endswith(" now.\n")
    assert typed("migrate").out.endswith(" already, nothing was to do.\n")
    assert typed("migrate", "--dry-run").out.endswith(" already, nothing would be done.\n")
    assert typed("servers", "list").code == 0


def test_a_rehearsal_makes_no_database(typed: Typed, tmp_path: Path) -> None:
    outcome = typed("migrate", "--dry-run")
    assert (outcome.code, outcome.out) == (0, "There is no database yet; one would be made.\n")
    assert not (tmp_path / "state").exists()


@pytest.mark.usefixtures("on_database")
@pytest.mark.parametrize("command", ["servers list", "events", "migrate", "migrate --dry-run", "up"])
def test_a_schema_from_the_future_is_left_alone(typed: Typed, command: str) -> None:
    typed("db", "psql", "--", "-qc", "UPDATE ollama_fleet_alembic_version SET version_num = '999'")
    outcome = typed(*command.split())
    assert (outcome.code, outcome.out) == (1, "")
    assert "The database schema is at 999, newer than" in outcome.err
    assert outcome.err.count("\n") == 1


@pytest.mark.parametrize("command", ["servers list", "events --follow", "migrate", "migrate --dry-run"])
def test_a_database_that_is_away_ends_with_1_and_one_line(
    typed: Typed, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
        monkeypatch.setenv("OLLAMA_FLEET_DATABASE_URL", f"postgresql://fleet:secret@127.0.0.1:{port}/fleet")
        outcome = typed(*command.split())
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err.startswith(f"ollama-fleet: PostgreSQL at 127.0.0.1:{port}/fleet cannot be used")
    assert outcome.err.count("\n") == 1
    assert "Errno" not in outcome.err
    assert "secret" not in outcome.err


def test_a_disk_that_is_full_is_said_in_one_line(started: Callable[..., subprocess.Popen[str]]) -> None:
    with open("/dev/full", "w", encoding="utf-8") as full:
        process = started("--help", stdout=full)
        _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert err == "ollama-fleet: [Errno 28] No space left on device\n"

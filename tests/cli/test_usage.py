"""What a person meets first: help, typing errors, wrong configuration, and the exit codes of all that."""

import os
import pwd
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest

from api.cli import groups
from api.cli.commands import ollama_fleet
from tests.cli.conftest import CHECKOUT, PATIENCE, Typed

HEAVY = {"aiohttp", "asyncio", "asyncpg", "pydantic", "rich", "sqlalchemy", "structlog"}


def all_commands() -> Iterator[tuple[str, ...]]:
    def below(group: click.Group, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        for name, command in group.commands.items():
            yield (*path, name)
            if isinstance(command, click.Group):
                yield from below(command, (*path, name))

    return below(ollama_fleet, ())


@pytest.mark.parametrize("path", list(all_commands()), ids=" ".join)
def test_every_command_has_a_help_with_an_example(typed: Typed, path: tuple[str, ...]) -> None:
    outcome = typed(*path, "--help")
    assert outcome.code == 0
    shown = " ".join(outcome.out.split())
    assert "Example: " in shown
    assert "ollama-fleet " + " ".join(path) in shown.split("Example: ")[1]


def test_the_first_help_is_a_page_that_says_how_to_begin_and_cuts_no_sentence(typed: Typed) -> None:
    outcome = typed("--help")
    assert "ollama-fleet up" in outcome.out
    assert "..." not in outcome.out.partition("Commands:")[2]
    assert "Ends with 0 when it is done, 1 " in outcome.out


@pytest.mark.parametrize("path", list(all_commands()), ids=" ".join)
def test_an_example_is_copied_in_one_piece_and_no_list_cuts_a_sentence(typed: Typed, path: tuple[str, ...]) -> None:
    shown = typed(*path, "--help").out
    *_, example = shown.splitlines()
    assert example.split()[0] in {"Example:", "ollama-fleet"}
    assert "ollama-fleet " + " ".join(path) in example
    assert "..." not in shown.partition("Commands:")[2]


def test_help_waits_for_no_library_that_only_the_work_needs() -> None:
    program = (
        f"import sys; from api.cli import entry; entry.run(['--help']);sys.exit(' '.join({HEAVY!r} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=CHECKOUT, capture_output=True, text=True, check=False, timeout=PATIENCE
    )
    assert done.stderr == "\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["evnts"], "Did you mean 'events'?"),
        (["servers", "discver"], "Did you mean 'discover'?"),
        (["sttaus"], "Did you mean 'status'?"),
        (["servers", "lits"], "Did you mean 'list'?"),
        (["models", "lits"], "`ollama-fleet models list lits`"),
        (["models", "dsable", "gpu-1", "llama3"], "Did you mean 'disable'?"),
        (["events", "--folow"], "Did you mean '--follow'?"),
        (["servers", "add", "gpu-1"], "Missing argument 'URL'"),
        (["servers", "add", "gpu-1", "http://gpu-1", "--interval", "soon"], "15s, 500ms or 7d, or none"),
        (["servers", "add", "gpu-1", "http://gpu-1", "--rise", "two"], "'two' is not a valid integer"),
        (["servers", "add", "gpu-1", "http://gpu-1", "--label", "attic"], "A label is written KEY=VALUE"),
        (["servers", "set", "gpu-1"], "Nothing to change is given"),
        (["events", "--after", "-1"], "--after"),
        (["events", "--type", "server.sad"], "server.sad"),
        (["events", "--follow", "--after", "1", "--limit", "1"], "would leave events out"),
        (["models", "gpu-1", "what"], "unexpected extra argument"),
        (["models", "find", "llama3"], "Did you mean 'ollama-fleet models where'?"),
        (["models", "show", "gpu-1"], "Did you mean 'ollama-fleet models list'?"),
        (["servers", "edit", "gpu-1"], "Did you mean 'ollama-fleet servers set'?"),
        (["token", "delete", "ci"], "Did you mean 'ollama-fleet token revoke'?"),
        (["list"], "Did you mean 'ollama-fleet servers list'?"),
        (["add", "gpu-1", "http://gpu-1"], "Did you mean 'ollama-fleet servers add'?"),
        (["rm", "gpu-1"], "Did you mean 'ollama-fleet servers remove'?"),
        (["start"], "Did you mean 'ollama-fleet up'?"),
        (["db", "psql", "SELECT 1"], "`ollama-fleet db psql -- -c 'SELECT 1'`"),
        (["status", "--config", "a.toml"], "`ollama-fleet --config FILE status`"),
        (["up", "--port", "8421"], "as in OLLAMA_FLEET_API_PORT=… before `ollama-fleet up`"),
        (["monitor", "--check-interval", "5s"], "as in OLLAMA_FLEET_CHECK_INTERVAL=… before"),
        (["servers", "add", "http://gpu-1", "gpu-1"], "The name comes first, then the URL: gpu-1 http://gpu-1."),
        (["servers", "add", "http://gpu-1"], "The name comes first, then the URL: NAME http://gpu-1."),
        (["servers", "set", "gpu-1", "--label", "site:berlin"], "not 'site:berlin': --label site=berlin."),
        (["servers", "list", "--watch", "soon"], "'soon': write a number with a unit"),
        (["servers", "list", "--watch", "100ms"], "x>=0.2"),
        (["token", "create", "ci", "--scope", "read", "--expires", "90"], "say of what, as in 90d or 90h"),
    ],
)
def test_wrong_usage_ends_with_2_and_says_what_is_wrong(typed: Typed, arguments: list[str], said: str) -> None:
    outcome = typed(*arguments)
    assert outcome.code == 2
    assert outcome.out == ""
    assert said in " ".join(outcome.err.split())


def test_an_option_that_is_like_no_other_is_taken_for_none(typed: Typed) -> None:
    assert "Did you mean" not in typed("events", "--since", "1h").err


def test_every_word_of_other_tools_stands_for_a_command_of_ours_and_is_none_itself() -> None:
    names = {path[-1] for path in all_commands()}
    for word, meant in groups.ALSO_CALLED.items():
        assert set(meant) <= names, word


def test_the_command_alone_shows_its_help_and_ends_with_2(typed: Typed) -> None:
    outcome = typed()
    assert outcome.code == 2
    assert "Usage: ollama-fleet" in outcome.err


def test_the_version_is_shown(typed: Typed) -> None:
    outcome = typed("--version")
    assert (outcome.code, outcome.out.split()[0]) == (0, "ollama-fleet")


def test_a_misspelt_setting_ends_a_real_process_with_78_and_the_right_name(
    started: Callable[..., subprocess.Popen[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OLLAMA_FLEET_API_PROT", "8421")
    process = started("up")
    out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out) == (78, "")
    assert err == "ollama-fleet: OLLAMA_FLEET_API_PROT is not a setting of ollama-fleet. " + (
        "Did you mean OLLAMA_FLEET_API_PORT?\n"
    )


@pytest.mark.parametrize(
    ("name", "value", "arguments"),
    [
        ("OLLAMA_FLEET_CHECK_INTERVAL", "soon", ["servers", "list"]),
        ("OLLAMA_FLEET_DATABASE_URL", "mysql://db/fleet", ["migrate"]),
        ("OLLAMA_FLEET_API_PORT", "99999", ["events"]),
        ("OLLAMA_FLEET_RISE", "0", ["monitor"]),
    ],
)
def test_a_setting_that_makes_no_sense_ends_with_78_and_one_line(
    typed: Typed, monkeypatch: pytest.MonkeyPatch, *, name: str, value: str, arguments: list[str]
) -> None:
    monkeypatch.setenv(name, value)
    outcome = typed(*arguments)
    assert outcome.code == 78
    assert outcome.err.startswith("ollama-fleet: ")
    assert name in outcome.err
    assert outcome.err.count("\n") == 1


def test_the_monitor_alone_wants_a_database(typed: Typed) -> None:
    outcome = typed("monitor")
    assert outcome.code == 78
    assert "OLLAMA_FLEET_DATABASE_URL is not set" in outcome.err


def test_settings_come_from_the_file_that_is_given(typed: Typed, dsn: str, tmp_path: Path) -> None:
    file = tmp_path / "fleet.toml"
    file.write_text(f'database_url = "{dsn}"\n')
    assert typed("--config", str(file), "db", "uri").out == f"{dsn}\n"


def test_a_file_of_settings_that_is_not_there_ends_with_78(typed: Typed, tmp_path: Path) -> None:
    outcome = typed("--config", str(tmp_path / "missing.toml"), "db", "uri")
    assert outcome.code == 78
    assert "missing.toml cannot be read: No such file or directory. Give --config the path" in outcome.err


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_file_of_settings_that_may_not_be_read_ends_with_78(typed: Typed) -> None:
    with tempfile.NamedTemporaryFile() as file:
        os.seteuid(pwd.getpwnam("nobody").pw_uid)
        try:
            outcome = typed("--config", file.name, "db", "uri")
        finally:
            os.seteuid(0)
    assert outcome.code == 78
    assert "belongs to root, and this runs as nobody: run it with `sudo`" in outcome.err

"""Where there is no fleet yet: a command that reads or edits says so, and makes none by looking."""

import shlex
from pathlib import Path

import pytest

from tests.cli.conftest import Typed

READING = (
    "status",
    "status --json",
    "servers list",
    "servers list --watch",
    "servers show gpu-1",
    "servers check gpu-1",
    "servers check gpu-1 --explain",
    "servers discover gpu-1",
    "servers history gpu-1",
    "servers set gpu-1 --priority 1",
    "servers remove gpu-1",
    "models",
    "models where",
    "models where llama3",
    "models disable gpu-1 llama3",
    "resolve",
    "resolve llama3",
    "events",
    "events --follow",
    "token list",
    "token revoke ci",
    "keys list",
    "keys rotate",
    "keys prune",
    "db psql",
    "db dump",
)


@pytest.mark.parametrize("words", READING)
def test_a_look_makes_no_database_and_says_what_to_do(typed: Typed, tmp_path: Path, words: str) -> None:
    outcome = typed(*shlex.split(words))
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err == (
        f"ollama-fleet: There is no fleet in {tmp_path / 'state'} yet. Start one with `ollama-fleet up`, or name the "
        "one that is meant: OLLAMA_FLEET_STATE_DIR is its folder, OLLAMA_FLEET_DATABASE_URL its database, "
        "OLLAMA_FLEET_API_URL its API.\n"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", ["status", "up"])
def test_a_folder_that_cannot_be_looked_into_is_told_with_the_ways_around_it(
    typed: Typed, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, words: str
) -> None:
    folder = tmp_path / ("x" * 300)
    monkeypatch.setenv("OLLAMA_FLEET_STATE_DIR", str(folder))
    outcome = typed(words)
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err == (
        f"ollama-fleet: The fleet in {folder} cannot be reached: File name too long. Do it as the user that runs it, "
        "with sudo perhaps, ask its API (OLLAMA_FLEET_API_URL), or name a folder of yours in OLLAMA_FLEET_STATE_DIR.\n"
    )


def test_an_address_is_told_without_a_database(typed: Typed, tmp_path: Path) -> None:
    outcome = typed("db", "uri")
    assert (outcome.code, outcome.err) == (0, "It does not run now; `ollama-fleet up` starts it.\n")
    assert list(tmp_path.iterdir()) == []

"""Completion as a shell asks for it, and the script that teaches the shell to ask."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.cli.conftest import CHECKOUT, COMMAND, Typed


def completed(words: str, **environment: str) -> list[str]:
    """What bash is offered for the last of the words."""
    asked = {
        "_OLLAMA_FLEET_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split(" ")) - 1),
    }
    answer = subprocess.run(
        COMMAND, cwd=CHECKOUT, env=os.environ | asked | environment, capture_output=True, text=True, check=True
    )
    assert answer.stderr == ""
    return [line.partition(",")[2] for line in answer.stdout.splitlines() if line]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_a_script(typed: Typed, shell: str) -> None:
    outcome = typed("completion", shell)
    assert (outcome.code, f"_OLLAMA_FLEET_COMPLETE={shell}_complete" in outcome.out) == (0, True)


def test_commands_and_options_are_completed() -> None:
    assert completed("ollama-fleet ser") == ["servers"]
    assert completed("ollama-fleet servers list --avai") == ["--available"]


@pytest.mark.usefixtures("on_database")
def test_names_of_servers_are_completed(typed: Typed) -> None:
    for name in ("gpu-1", "gpu-2", "vm"):
        assert typed("servers", "add", name, f"http://{name}").code == 0
    assert completed("ollama-fleet servers show gp") == ["gpu-1", "gpu-2"]


def test_without_a_database_no_name_is_offered_and_none_is_started(tmp_path: Path) -> None:
    assert completed("ollama-fleet servers show gp", OLLAMA_FLEET_STATE_DIR=str(tmp_path)) == []
    assert list(tmp_path.iterdir()) == []

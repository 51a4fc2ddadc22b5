"""`models`: which model is where, and an operator's word on one."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import OnTerminal, Typed

ROWS = """
INSERT INTO ollama_servers (name, url) VALUES ('anna', 'http://anna'), ('berta', 'http://berta');
INSERT INTO ollama_models (server_id, name, model_name, size_bytes, digest, capabilities, size_vram)
    SELECT id, 'Llama', 'llama3.2:3b', 2000000000, 'sha256:abcdefabcdefabcdef', '["completion", "tools"]', 2500000000
    FROM ollama_servers;
INSERT INTO ollama_models (server_id, name, model_name, removed_at)
    SELECT id, 'old', 'old:latest', now() FROM ollama_servers WHERE name = 'anna';
"""


@pytest.fixture(autouse=True)
def _two_servers_with_models(on_fleet: None, typed: Typed, tmp_path: Path) -> None:
    script = tmp_path / "rows.sql"
    script.write_text(ROWS)
    assert typed("db", "psql", "--", "-qv", "ON_ERROR_STOP=1", "-f", str(script)).code == 0


def test_the_models_of_all_servers_are_listed(typed: Typed) -> None:
    lines = [line.split() for line in typed("models").out.splitlines()]
    assert lines[0] == [
        "MODEL",
        "SERVER",
        "STATE",
        "LOADED",
        "SIZE",
        "PARAMETERS",
        "QUANTIZATION",
        "CAPABILITIES",
        "DIGEST",
    ]
    rest = ["active", "2.5", "GB", "2.0", "GB", "-", "-", "completion,", "tools", "sha256:abcdefabcdefabcdef"]
    assert lines[1:] == [["llama3.2:3b", "anna", *rest], ["llama3.2:3b", "berta", *rest]]


@pytest.mark.parametrize("words", ["models anna", "models list http://anna/"])
def test_the_models_of_one_server_are_listed_with_and_without_the_word_list(typed: Typed, words: str) -> None:
    models = json.loads(typed(*words.split(), "--json").out)
    assert [(model["server_name"], model["model_name"]) for model in models] == [("anna", "llama3.2:3b")]


def test_all_shows_those_that_are_gone_too(typed: Typed) -> None:
    lines = typed("models", "anna", "--all").out.splitlines()
    assert [line.split()[:3] for line in lines[1:]] == [
        ["llama3.2:3b", "anna", "active"],
        ["old:latest", "anna", "removed"],
    ]


def test_a_model_is_switched_off_and_on(typed: Typed) -> None:
    assert typed("models", "disable", "anna", "LLAMA3.2:3b").out == "llama3.2:3b on anna is disabled.\n"
    assert "disabled" in typed("models", "anna").out
    assert "disabled" not in typed("models", "berta").out
    assert typed("models", "enable", "anna", "llama3.2:3b").out == "llama3.2:3b on anna is active.\n"
    assert "disabled" not in typed("models", "anna").out


def test_a_model_that_is_not_there_ends_with_1(typed: Typed) -> None:
    outcome = typed("models", "disable", "anna", "llama4")
    assert outcome.code == 1
    assert "llama4" in outcome.err


def test_a_terminal_gets_the_beginning_of_the_digest(on_terminal: OnTerminal) -> None:
    code, written = on_terminal("models", "anna")
    assert code == 0
    assert "sha256:abcde" in written
    assert "abcdefabcdef" not in written

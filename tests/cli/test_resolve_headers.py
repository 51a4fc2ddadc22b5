"""`resolve --headers`: what has to be sent to the server, for a person or a script that is to call it."""

import json
from pathlib import Path

import pytest

from monitor.credentials.key_ring_file import KeyRingFile
from tests.cli.conftest import Typed
from tests.credentials.conftest import fresh_key

pytestmark = pytest.mark.usefixtures("on_database")


@pytest.fixture(autouse=True)
def _server_with_a_credential(on_database: str, typed: Typed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert on_database
    KeyRingFile(tmp_path / "keyring").create(fresh_key())
    monkeypatch.setenv("OLLAMA_FLEET_KEYRING_FILE", str(tmp_path / "keyring"))
    secret = tmp_path / "secret"
    secret.write_text("canary-token\n")
    words = f"servers add anna http://anna:11434 --default --auth-type bearer --secret-file {secret}"
    outcome = typed(*words.split())
    assert outcome.code == 0, outcome.err


def test_the_headers_are_shown_when_they_are_asked_for(typed: Typed) -> None:
    shown = typed("resolve", "--headers")
    assert "header          Authorization: Bearer canary-token\n" in shown.out
    document = json.loads(typed("resolve", "--headers", "--json").out)
    assert document["headers"] == {"Authorization": "Bearer canary-token"}


def test_unasked_they_are_not(typed: Typed) -> None:
    assert "canary" not in typed("resolve").out + typed("resolve", "--json").out

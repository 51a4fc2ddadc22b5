"""Credentials of a `.env` on their way into the registry: stored, never shown."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Typed

pytestmark = pytest.mark.usefixtures("on_database", "ring")

SECRET = "s3cr3t-c4n4ry"


def auth(typed: Typed, name: str) -> Any:
    shown = json.loads(typed("servers", "show", name, "--json").out)["auth"]
    return {"type": shown["type"], "configured": shown["configured"]}


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (f"OLLAMA_API_KEY={SECRET}", "bearer"),
        (f"OLLAMA_TOKEN={SECRET}", "bearer"),
        (f"OLLAMA_API_KEY={SECRET}\nOLLAMA_API_KEY_HEADER=X-Key", "api_key"),
        (f"OLLAMA_USERNAME=anna\nOLLAMA_PASSWORD={SECRET}", "basic"),
        (f"OLLAMA_URL=http://anna:{SECRET}@gpu-1:11434", "basic"),
    ],
)
def test_a_credential_is_stored_with_its_server(typed: Typed, tmp_path: Path, text: str, kind: str) -> None:
    path = tmp_path / "program.env"
    path.write_text(f"OLLAMA_HOST=gpu-1\n{text}\n")
    outcome = typed("import-env", str(path))
    assert (outcome.code, outcome.err) == (0, "")
    assert "•••" in outcome.out
    assert "taken: credential of server gpu-1" in outcome.out
    assert SECRET not in outcome.out
    assert auth(typed, "gpu-1") == {"type": kind, "configured": True}


def test_a_credential_is_kept_until_an_update_is_wanted(typed: Typed, tmp_path: Path) -> None:
    path = tmp_path / "program.env"
    path.write_text(f"OLLAMA_HOST=gpu-1\nOLLAMA_API_KEY={SECRET}\n")
    assert typed("servers", "add", "gpu-1", "http://gpu-1:11434").code == 0
    assert "server gpu-1 goes on without one; --update takes this one" in typed("import-env", str(path)).out
    assert auth(typed, "gpu-1") == {"type": "none", "configured": False}
    assert "updated: credential of server gpu-1" in typed("import-env", str(path), "--update").out
    assert auth(typed, "gpu-1") == {"type": "bearer", "configured": True}
    assert "server gpu-1 keeps its own; --update takes this one" in typed("import-env", str(path)).out

"""After the import the registry alone says which servers there are, whatever the environment still holds."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

COMMAND = Path(sys.executable).parent / "ollama-fleet"
LIMIT = 60.0


def test_neither_a_variable_nor_a_file_in_the_working_directory_names_a_server(dsn: str, tmp_path: Path) -> None:
    environment = {**os.environ, "OLLAMA_FLEET_DATABASE_URL": dsn}

    def say(*arguments: str, **variables: str) -> Any:
        printed = subprocess.run(
            [COMMAND, *arguments, "--json"],
            cwd=tmp_path,
            env=environment | variables,
            capture_output=True,
            check=True,
            timeout=LIMIT,
        ).stdout
        return json.loads(printed)

    file = tmp_path / ".env"
    file.write_text("OLLAMA_HOST=gpu-1.example\n")
    assert say("import-env", ".env")["complete"]
    elsewhere = {
        "OLLAMA_HOST": "http://elsewhere.example:11434",
        "OLLAMA_BASE_URL": "http://elsewhere.example:11434",
        "OLLAMA_FLEET_IMPORT_ENV": ".env",
    }
    file.write_text("OLLAMA_HOST=http://elsewhere.example\nOLLAMA_FLEET_API_PORT=1\nOLLAMA_FLEET_DATABASE_URL=no\n")
    shown = say("servers", "list", **elsewhere)
    assert [server["url"] for server in shown] == ["http://gpu-1.example:11434"]
    file.unlink()
    assert say("servers", "list", **elsewhere) == shown

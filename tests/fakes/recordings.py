"""Answers recorded from real Ollama servers, read from the folder `recorded`."""

import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "recorded"
LATEST = "0.33.0-rc2"
OLD = "0.9.6"
EMPTY = "0.33.0-rc2-empty"


@dataclass(frozen=True, slots=True)
class Recording:
    """One recorded answer; `document` is its JSON, None for plain text."""

    status: int
    content_type: str
    body: bytes
    document: Any


@functools.cache
def load(version: str, name: str) -> Recording:
    """Return the answer recorded under a name, for example `tags`, from a version of Ollama."""
    content = json.loads((FOLDER / version / f"{name}.json").read_text())
    document = content.get("json")
    body = content.get("text", "") if document is None else json.dumps(document)
    content_type = content["headers"].get("Content-Type", "")
    return Recording(content["status"], content_type, body.encode(), document)

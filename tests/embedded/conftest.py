"""What the tests of the embedded PostgreSQL share: where copies of its programs go."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.embedded import pretended_programs


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that each account can reach."""
    with pretended_programs.open_folder() as folder:
        yield folder


@pytest.fixture
def place(open_folder: Path) -> Path:
    """Where copies of PostgreSQL's programs go."""
    return open_folder / "cache" / "ollama-fleet"

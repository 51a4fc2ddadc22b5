"""Where an example keeps its cursor, and a role that may only subscribe."""

import itertools
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from monitor.embedded.postgres import EmbeddedServer
from monitor.postgres.database import Connection
from monitor.settings import Settings
from tests.examples import subscriber
from tests.examples.follower import Cursor

_numbers = itertools.count(1)


@pytest.fixture
def cursor(tmp_path: Path) -> Cursor:
    """The cursor of an example that was never started."""
    return Cursor(tmp_path / "cursor")


@pytest.fixture
def settings() -> Settings:
    """Settings of an API on any free port."""
    return Settings.model_validate({"api_port": "0"})


@pytest.fixture
async def role(dsn: str, connection: Connection, postgres: EmbeddedServer) -> AsyncIterator[str]:
    """The name of a subscriber role on the test's database, of the kind that must be quoted."""
    name = f"Sub scriber {os.getpid()}-{next(_numbers)}"
    await subscriber.grant(postgres, dsn, role=name)
    yield name
    await connection.execute(f'DROP OWNED BY "{name}"; DROP ROLE "{name}"')

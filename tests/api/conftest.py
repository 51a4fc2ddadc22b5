"""The API running on a database of each test's own."""

from collections.abc import AsyncIterator

import pytest

from api.fleet.access import tokens
from monitor.postgres import database
from monitor.postgres.database import Connection
from monitor.settings import Settings
from tests.api.client import ApiClient, serving
from tests.api.token_maker import make


@pytest.fixture
def settings() -> Settings:
    """Settings for a test: any free port, and a short patience with servers."""
    return Settings.model_validate({"api_port": "0", "check_timeout": "1s"})


@pytest.fixture
async def api(settings: Settings, dsn: str) -> AsyncIterator[ApiClient]:
    """A client of a running API."""
    async with serving(settings, dsn) as (client, _):
        yield client


@pytest.fixture
async def psql(dsn: str) -> AsyncIterator[Connection]:
    """A session of a person who writes to the tables by hand; jsonb is Python values."""
    connection = await database.connect(dsn, name="psql")
    yield connection
    await connection.close()


@pytest.fixture
def tokens_read_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """An API that hears of a changed token sooner than within a second."""
    monkeypatch.setattr(tokens, "RELOAD_SECONDS", 0.05)


@pytest.fixture
async def admin(psql: Connection) -> str:
    """A token that is there before the API starts, and may do everything."""
    return await make(psql, "admin", "admin")


@pytest.fixture
async def guarded(admin: str, api: ApiClient) -> ApiClient:
    """An API that wants a token; its client sends none by itself."""
    assert admin
    return api

"""What the tests of resolution have in common: a fleet in the tables that the API knows of, and a question."""

from urllib.parse import urlencode

from monitor.postgres.database import Connection
from tests import boxes
from tests.api.client import Answer, ApiClient
from tests.boxes import Box

PATH = "/api/resolve"


async def settle(api: ApiClient, psql: Connection) -> None:
    """Wait until the API has taken in all that is committed."""
    head = await psql.fetchval("SELECT seq FROM fleet_event_head")
    while (await api.ask("GET", "/api/models?limit=1")).body["snapshot"]["seq"] < head:
        pass


async def make(api: ApiClient, psql: Connection, *fleet: Box) -> None:
    """Write a fleet, and wait until the API knows it."""
    await boxes.write(psql, fleet)
    await settle(api, psql)


async def get(api: ApiClient, **query: str) -> Answer:
    """Ask with GET."""
    return await api.ask("GET", f"{PATH}?{urlencode(query)}")

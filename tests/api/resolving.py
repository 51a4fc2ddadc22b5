"""What the tests of resolution have in common: a fleet in the tables that the API knows of, and a question."""

from typing import Any
from urllib.parse import urlencode

from monitor.domain.selection import Request
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
    # That a server is suspect comes another way.
    for (url,) in await psql.fetch("SELECT url FROM ollama_servers WHERE suspect_since IS NOT NULL AND is_active"):
        while not (await get(api, server_url=url)).body["suspect"]:
            pass


async def make(api: ApiClient, psql: Connection, *fleet: Box) -> None:
    """Write a fleet, and wait until the API knows it."""
    await boxes.write(psql, fleet)
    await settle(api, psql)


async def get(api: ApiClient, /, **query: str | list[str]) -> Answer:
    """Ask with GET."""
    return await api.ask("GET", f"{PATH}?{urlencode(query, doseq=True)}")


def query(request: Request) -> dict[str, str | list[str]]:
    """Return a request as the parameters of GET, without those that say nothing."""
    told = {name: value for name, value in body(request).items() if value not in (None, False, [])}
    return {name: str(value).lower() if isinstance(value, bool | int) else value for name, value in told.items()}


def body(request: Request) -> dict[str, Any]:
    """Return a request as the body of POST."""
    told = request._asdict()
    labels, capabilities = told.pop("labels"), told.pop("capabilities")
    return {**told, "label": [f"{key}:{value}" for key, value in labels], "capability": list(capabilities)}

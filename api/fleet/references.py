"""Finds the server that a text means: a name, an id or a URL, looked for in this order."""

from uuid import UUID

from api.fleet import texts
from api.fleet.queries.rows import Row
from api.fleet.queries.servers import Servers
from monitor.domain import url
from monitor.domain.errors import InvalidUrlError


async def find(servers: Servers, reference: str) -> Row | None:
    """Return the row of the server, None when there is none."""
    if not texts.is_usable(reference):
        return None
    row = await servers.get_by_name(reference)
    if row is None and (server_id := _as_id(reference)) is not None:
        row = await servers.get(server_id)
    if row is None and (server_url := _as_url(reference)) is not None:
        row = await servers.get_by_url(server_url)
    return row


def _as_id(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _as_url(text: str) -> str | None:
    try:
        return url.normalize(text)
    except InvalidUrlError:
        return None

"""Servers for a command: all of them, and the one that a person means."""

import difflib
import re
from collections.abc import Sequence

from api.cli.fleet import FleetRegistry
from api.fleet.filters import NO_FILTERS, ServerFilters
from api.fleet.refusals import Refused
from api.fleet.views import ServerView
from monitor.domain.errors import FleetError

PAGE = 500
# What no fleet has; an API that always names a next page would else be read for ever.
MOST_PAGES = 1000
ENDLESS = (
    f"The list has no end: after {MOST_PAGES} pages there is one more. Look at what answers at OLLAMA_FLEET_API_URL."
)
SHORTEST_PREFIX = 8
MOST_SUGGESTIONS = 3
# Letters of a name or URL; what is longer nobody mistypes, and how alike two texts are takes quadratic time.
MOST_COMPARED = 200
# A name with a tag; what ends in digits alone may be a host with its port.
MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]*:(?![0-9]+\Z)[A-Za-z0-9._-]+")


async def all_servers(registry: FleetRegistry, filters: ServerFilters = NO_FILTERS) -> list[ServerView]:
    """Return all servers that the filters let through, by name."""
    found: list[ServerView] = []
    cursor: str | None = None
    for _ in range(MOST_PAGES):
        page = await registry.list_servers(filters, limit=PAGE, cursor=cursor)
        found += page.items
        cursor = page.next_cursor
        if cursor is None:
            return found
    raise FleetError(ENDLESS)


async def one_server(registry: FleetRegistry, reference: str) -> ServerView:
    """Return the server of a name, id, beginning of an id, or URL; FleetError names the nearest ones."""
    try:
        return await registry.find_server(reference)
    except Refused as problem:
        if problem.code != "server_not_found":
            raise
    # Only what is not there as it is written takes a look at all of them.
    return _by_beginning(await all_servers(registry), reference)


def _by_beginning(servers: Sequence[ServerView], reference: str) -> ServerView:
    """Return the one server whose id begins so."""
    folded = reference.lower()
    if len(folded) >= SHORTEST_PREFIX:
        meant = [server for server in servers if str(server.id).startswith(folded)]
        if len(meant) == 1:
            return meant[0]
        if meant:
            names = ", ".join(server.name for server in meant)
            raise FleetError(f"The beginning {reference} of an id fits several servers: {names}. Give more of it.")
    raise FleetError(_unknown(servers, reference))


def _unknown(servers: Sequence[ServerView], reference: str) -> str:
    if not servers:
        return f"There is no server {reference}, there is none at all yet: `ollama-fleet servers add NAME URL`."
    if MODEL.fullmatch(reference):
        where = f"`ollama-fleet models where {reference}` shows who has the model of that name"
        return f"There is no server {reference}; {where}."
    by_spelling = {
        spelling: server.name
        for server in servers
        for spelling in (server.name.lower(), server.url)
        if len(spelling) <= MOST_COMPARED
    }
    near = difflib.get_close_matches(reference.lower()[:MOST_COMPARED], by_spelling, n=MOST_SUGGESTIONS)
    names = list(dict.fromkeys(by_spelling[spelling] for spelling in near))
    hint = f"Did you mean {' or '.join(names)}?" if names else "`ollama-fleet servers list` shows those there are."
    return f"There is no server {reference}. {hint}"

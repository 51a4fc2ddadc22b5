"""What `ollama-fleet events` does once the fleet is reached: the right stretch of the log, printed."""

from collections.abc import Sequence
from uuid import UUID

from api.cli import listing
from api.cli.events.feed import EventFeed
from api.cli.events.follower import EventFollower
from api.cli.events.lines import EventPrinter
from api.cli.reach import Reach


async def show(
    reach: Reach,
    *,
    types: Sequence[str],
    server: str | None,
    after: int | None,
    limit: int | None,
    newest: int,
    follow: bool,
    as_json: bool,
) -> bool:
    """Print events, with `after` from there on, else the `newest` ones; return whether there were any."""
    server_id = None if server is None else await _id(reach, server)
    feed = EventFeed(reach.read_events, types=types, server_id=server_id)
    servers = [] if as_json else await listing.all_servers(reach.registry)
    printer = EventPrinter(as_json=as_json, names={server.id: server.name for server in servers})
    if after is None:
        page = await feed.newest(limit or newest)
        printer.show(page.events)
        cursor = page.cursor
    else:
        cursor = after
        async for page in feed.pages(after, limit=limit):
            printer.show(page.events)
            cursor = page.cursor
    if follow:
        await EventFollower(feed, waker=reach.make_waker(), show=printer.show).run(cursor)
    return printer.printed > 0


async def _id(reach: Reach, server: str) -> UUID:
    """Return the id of a server; one that is written out may be that of a server that was removed."""
    try:
        return UUID(server)
    except ValueError:
        return (await listing.one_server(reach.registry, server)).id

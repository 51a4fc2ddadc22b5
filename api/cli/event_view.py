"""What `ollama-fleet events` does once the database is open: the right stretch of the log, printed."""

from collections.abc import Sequence

from api.cli import listing
from api.cli.event_feed import EventFeed
from api.cli.event_follower import EventFollower
from api.cli.event_lines import EventPrinter
from api.registry import Registry
from monitor.postgres.database import Database
from monitor.settings import Settings


async def show(
    database: Database,
    settings: Settings,
    *,
    types: Sequence[str],
    after: int | None,
    limit: int | None,
    newest: int,
    follow: bool,
    as_json: bool,
) -> bool:
    """Print events, with `after` from there on, else the `newest` ones; return whether there were any."""
    feed = EventFeed(database, types=types)
    servers = [] if as_json else await listing.all_servers(Registry(database, settings))
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
        await EventFollower(feed, listen_dsn=settings.listen_database_url or database.dsn, show=printer.show).run(
            cursor
        )
    return printer.printed > 0

"""`ollama-fleet events`: what has happened in the fleet, and what happens; it tells what is no longer kept."""

import asyncio
import os
import signal
import stat
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

import click

from api.cli import listing, sessions
from api.cli.arguments import complete
from api.cli.event_lines import EventPrinter
from api.cli.fleet import EventLog, Fleet, Waker
from api.cli.groups import Manual
from api.cli.invocation import Invocation
from api.cli.screen import output
from api.fleet.queries.events import Extract
from monitor.domain.errors import FleetError, UnavailableError
from monitor.domain.event import Event, EventType

SHOWN = 20
PAGE = 500
# How much further back to look when a stretch of the log held too few events of the wanted types.
WIDER = 8


@click.command(cls=Manual, epilog="Example: ollama-fleet events --follow --type server.down --type server.up")
@click.option("--after", type=click.IntRange(min=0), metavar="SEQ", help="From the first event above this number on.")
@click.option("--follow", "-f", is_flag=True, help="Go on with what happens from now on, until Ctrl-C.")
@click.option(
    "--type",
    "types",
    multiple=True,
    type=click.Choice([one.value for one in EventType]),
    metavar="TYPE",
    help="Only events of this type, such as server.down; may be repeated.",
)
@click.option(
    "--server",
    metavar="SERVER",
    shell_complete=complete,
    help="Only events of this server and its models: a name, a URL, or an id, also of one that was removed.",
)
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    metavar="N",
    help=f"At most N events: the newest ones ({SHOWN} if not given), with --after the first ones (all if not given).",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
@sessions.coroutine
async def events(
    invocation: Invocation,
    *,
    after: int | None,
    follow: bool,
    types: tuple[str, ...],
    server: str | None,
    limit: int | None,
    as_json: bool,
) -> None:
    """Show what has happened, and what happens.

    Without options the last events, with --after those above a number, with --follow all from now on. Numbers
    are contiguous and in the order of commits: whoever remembers the last one seen and asks for what comes
    after it misses nothing.
    """
    if follow and after is not None and limit is not None:
        raise click.UsageError("--limit together with --after and --follow would leave events out; drop one of them.")

    async with sessions.fleet(invocation) as fleet:
        server_id = None if server is None else await _id(fleet, server)
        feed = EventFeed(fleet.events, types=types, server_id=server_id)
        servers = [] if as_json else await listing.all_servers(fleet.registry)
        printer = EventPrinter(as_json=as_json, names={each.id: each.name for each in servers})
        if after is None:
            page = await feed.newest(limit or SHOWN)
            printer.show(page.events)
            cursor = page.cursor
        else:
            cursor = after
            async for page in feed.pages(after, limit=limit):
                printer.show(page.events)
                cursor = page.cursor
        if follow:
            await EventFollower(feed, waker=fleet.events.waker(), show=printer.show).run(cursor)
    if not printer.printed and not follow:
        output.note(
            f"There is no {'such ' if types or server else ''}event yet."
            if after is None
            else f"Nothing of that has happened since {after}."
        )


async def _id(fleet: Fleet, server: str) -> UUID:
    """Return the id of a server; one that is written out may be that of a server that was removed."""
    try:
        return UUID(server)
    except ValueError:
        return (await listing.one_server(fleet.registry, server)).id


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Events in order; `cursor` is the number up to which there are no others, `more` whether others wait."""

    events: list[Event]
    cursor: int
    more: bool


class EventFeed:
    """Events of the wanted types and of one server, all of them when none are named."""

    def __init__(self, log: EventLog, *, types: Sequence[str] = (), server_id: UUID | None = None) -> None:
        self._log = log
        self._types = list(types)
        self._server_id = server_id

    async def newest(self, count: int) -> Page:
        """Return the last `count` events."""
        log = await self._extract(None, limit=1)
        width = count
        while True:
            found = await self._extract(max(log.first - 1, log.last - width), limit=width)
            if len(found.events) >= count or found.after < found.first:
                page = _page(found, limit=width)
                return Page(events=page.events[-count:], cursor=page.cursor, more=page.more)
            width *= WIDER

    async def pages(self, cursor: int, *, limit: int | None = None) -> AsyncIterator[Page]:
        """Yield all there is above the cursor now, or the first `limit`; at least one page, maybe an empty one.

        Raises FleetError when some of it is no longer kept, or when the log never was that far.
        """
        more, left = True, limit
        while more and left != 0:
            size = PAGE if left is None else min(PAGE, left)
            found = await self._extract(cursor, limit=size)
            require_kept(cursor, first=found.first, last=found.last)
            page = _page(found, limit=size)
            yield page
            cursor, more = page.cursor, page.more
            left = None if left is None else left - len(page.events)

    async def _extract(self, after: int | None, *, limit: int) -> Extract:
        return await self._log.read(after, limit=limit, types=self._types, server_id=self._server_id)


def require_kept(cursor: int, *, first: int, last: int) -> None:
    """Raise FleetError when reading on from the cursor would leave out events without a word."""
    if cursor > last:
        raise FleetError(
            f"There is no event {cursor} yet, the newest one is {last}: that number is of another database, or of "
            f"this one before it was restored. Read the state anew, then go on with --after {last}."
        )
    if cursor < first - 1:
        raise FleetError(
            f"The events after {cursor} are not all kept any more, the oldest one held is {first}. "
            f"Read the state anew, then go on with --after {first - 1}."
        )


def _page(found: Extract, *, limit: int) -> Page:
    # A page that is not full holds all there was when it was read, so the next one begins at the log's end.
    more = len(found.events) == limit
    return Page(events=found.events, cursor=found.events[-1].seq if more else found.last, more=more)


class EventFollower:
    """Reads after a cursor on each wake-up."""

    def __init__(self, feed: EventFeed, *, waker: Waker, show: Callable[[Sequence[Event]], None]) -> None:
        self._feed = feed
        self._waker = waker
        self._show = show

    async def run(self, cursor: int) -> None:
        """Show all events above the cursor; return on SIGINT, SIGTERM, or when the pipe's reader is gone."""
        stop = asyncio.Event()
        _set_on_end(stop)
        tasks = [
            asyncio.create_task(stop.wait(), name="stop"),
            asyncio.create_task(self._waker.run(), name="waker"),
            asyncio.create_task(self._read_on(cursor), name="reader"),
        ]
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for task in done:
            task.result()

    async def _read_on(self, cursor: int) -> None:
        away = False
        while True:
            try:
                async for page in self._feed.pages(cursor):
                    self._show(page.events)
                    cursor = page.cursor
                if away:
                    output.note("ollama-fleet: it is back; nothing was missed.")
                away = False
            except UnavailableError as error:
                if not away:
                    output.note(f"ollama-fleet: {error}")
                away = True
            await self._waker.wait(cursor)


def _set_on_end(stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    try:
        is_pipe = stat.S_ISFIFO(os.fstat(sys.stdout.fileno()).st_mode)
    except (OSError, ValueError):
        return
    if is_pipe:
        # The writing end of a pipe becomes "readable" only when its reading end is closed.
        loop.add_reader(sys.stdout.fileno(), stop.set)

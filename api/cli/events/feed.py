"""Reading the event log for a command, a page at a time; what is no longer kept is said, not skipped."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from uuid import UUID

from api.cli.reach import ReadEvents
from api.fleet.queries.events import Extract
from monitor.domain.errors import FleetError
from monitor.domain.event import Event

PAGE = 500
# How much further back to look when a stretch of the log held too few events of the wanted types.
WIDER = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Events in order; `cursor` is the number up to which there are no others, `more` whether others wait."""

    events: list[Event]
    cursor: int
    more: bool


class EventFeed:
    """Events of the wanted types and of one server, all of them when none are named."""

    def __init__(self, read: ReadEvents, *, types: Sequence[str] = (), server_id: UUID | None = None) -> None:
        self._read = read
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
        return await self._read(after, limit=limit, types=self._types, server_id=self._server_id)


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

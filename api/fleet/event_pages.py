"""Pages of the event log, with a wait where there is nothing yet; a cursor never skips in silence."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from api.fleet.queries import events
from api.fleet.queries.events import Extract
from api.fleet.refusals import Refused
from api.fleet.views import EventPage, EventView
from api.fleet.wakeup import Wakeup
from monitor.domain.event import Event, EventType
from monitor.postgres.database import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """The events of a stretch of the log that a filter lets through, and the number where the stretch ends."""

    events: list[Event]
    through: int


class EventPages:
    """Reads the log; `wakeup` tells when there may be more."""

    def __init__(self, database: Database, wakeup: Wakeup) -> None:
        self._database = database
        self._wakeup = wakeup

    async def read(
        self, after: int | None, *, limit: int, wait: float, types: Sequence[EventType], server_id: UUID | None
    ) -> EventPage:
        """Return the first page after a number, waiting at most `wait` seconds for its first event."""
        deadline = time.monotonic() + wait
        names = [type_.value for type_ in types]
        while True:
            extract = await events.extract(self._database, after, limit=limit, types=names, server_id=server_id)
            require_held(extract)
            remaining = deadline - time.monotonic()
            if extract.events or remaining <= 0 or self._wakeup.is_closed:
                return _page(extract, is_full=len(extract.events) == limit)
            # Everything up to here is looked through; going on from here keeps a later look short.
            after = extract.last
            await self._wakeup.wait_past(after, seconds=remaining)


def require_held(extract: Extract) -> None:
    """Raise the 409 or 410 `Refused` of a cursor from which nobody can go on without a gap."""
    if extract.after > extract.last:
        raise Refused(
            "cursor_unknown",
            f"No event has the number {extract.after} yet, the newest one is {extract.last}: the database was "
            "replaced or restored. Read the tables anew and go on from head.",
            head=extract.last,
        )
    if extract.after < extract.first - 1:
        raise Refused(
            "cursor_expired",
            f"The events after {extract.after} are not all held any more, the oldest one left is {extract.first}. "
            "Read the tables anew and go on from head.",
            first_seq=extract.first,
            head=extract.last,
        )


async def stretch(
    database: Database, after: int, *, limit: int, span: int, types: list[str], server_id: UUID | None
) -> Stretch:
    """Look through at most `span` numbers for at most `limit` events; raises the `Refused` of a cursor not held."""
    extract = await events.extract(database, after, limit=limit, types=types, server_id=server_id, through=after + span)
    require_held(extract)
    through = extract.events[-1].seq if len(extract.events) == limit else min(extract.last, after + span)
    return Stretch(events=extract.events, through=through)


def view(event: Event) -> EventView:
    """Return what is shown of an event, on a page and in a stream alike."""
    return EventView(
        seq=event.seq,
        type=event.type,
        server_id=event.server_id,
        model_id=event.model_id,
        at=event.at,
        body=event.body,
    )


def _page(extract: Extract, *, is_full: bool) -> EventPage:
    items = [view(event) for event in extract.events]
    last_seq = items[-1].seq if is_full else extract.last
    return EventPage(items=items, last_seq=last_seq, first_seq=extract.first, head=extract.last)

"""One page of the event log together with how far the log reaches, all true at the same moment."""

from dataclasses import dataclass
from uuid import UUID

from monitor.domain.event import Event
from monitor.postgres import event_log
from monitor.postgres.database import Database

# Above every number that will ever be given.
NO_SEQ = 2**63 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Extract:
    """Events after `after`; `first` is the oldest number held, `last` the newest one given."""

    after: int
    events: list[Event]
    first: int
    last: int


async def extract(
    database: Database, after: int | None, *, limit: int, types: list[str], server_id: UUID | None
) -> Extract:
    """Read at most `limit` events after a number, None for the oldest one held.

    One snapshot: an event that is committed between the two reads would be skipped by whoever goes on
    from `last`, and one that is deleted between them would be lost in silence.
    """
    async with (
        database.session() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        first, last = await event_log.extent(connection)
        start = first - 1 if after is None else after
        found = await event_log.read_after(connection, start, limit=limit, types=types or None, server_id=server_id)
    return Extract(after=start, events=found, first=first, last=last)


async def head(database: Database) -> int:
    """Return the number of the newest event."""
    async with database.session() as connection:
        _, last = await event_log.extent(connection)
    return last

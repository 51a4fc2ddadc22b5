"""One page of the event log together with how far the log reaches, all true at the same moment."""

from dataclasses import dataclass
from uuid import UUID

from monitor.domain.event import Event
from monitor.postgres import event_log
from monitor.postgres.database import Database

# Above every number that will ever be given.
NO_SEQ = 2**63 - 1
# One statement, so one snapshot: an event that is committed between two reads would be skipped by whoever
# goes on from `last`, and one that is deleted between them would be lost in silence.
EXTRACT = """
SELECT reach.first, reach.last, event.*
FROM (SELECT head.seq AS last, coalesce((SELECT min(seq) FROM fleet_events), head.seq + 1) AS first
      FROM fleet_event_head AS head) AS reach
LEFT JOIN LATERAL (
    SELECT seq, type, server_id, model_id, at, body FROM fleet_events
    WHERE seq > coalesce($1, reach.first - 1) AND seq <= $5
        AND ($3::text[] IS NULL OR type = ANY ($3)) AND ($4::uuid IS NULL OR server_id = $4)
    ORDER BY seq LIMIT $2) AS event ON true
ORDER BY event.seq
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Extract:
    """Events after `after`; `first` is the oldest number held, `last` the newest one given."""

    after: int
    events: list[Event]
    first: int
    last: int

    @property
    def is_held(self) -> bool:
        """Whether the log has all that came after `after`, and has given that number at all."""
        return self.first - 1 <= self.after <= self.last


async def extract(
    database: Database,
    after: int | None,
    *,
    limit: int,
    types: list[str],
    server_id: UUID | None,
    through: int = NO_SEQ,
) -> Extract:
    """Read at most `limit` events after a number, None for the oldest one held, and none after `through`."""
    async with database.session() as connection:
        rows = await connection.fetch(EXTRACT, after, limit, types or None, server_id, through)
    first, last = (rows[0]["first"], rows[0]["last"]) if rows else (1, 0)
    found = [event_log.event(row) for row in rows if row["seq"] is not None]
    return Extract(after=first - 1 if after is None else after, events=found, first=first, last=last)


async def head(database: Database) -> int:
    """Return the number of the newest event."""
    async with database.session() as connection:
        _, last = await event_log.extent(connection)
    return last

"""The isolation that the event log tells of: the monitor at work takes itself to be cut off from the servers."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from monitor.postgres.database import Connection

# The newest word of a monitor about itself, by the index of just these events. What a monitor that is gone has left
# open says nothing: the next one closes it.
NEWEST = """
SELECT body, clock_timestamp() AS now
FROM (SELECT type, body FROM fleet_events WHERE type LIKE 'monitor.%' ORDER BY seq DESC LIMIT 1) AS newest
WHERE type = 'monitor.isolated' AND EXISTS (SELECT 1 FROM monitor_leases WHERE expires_at > clock_timestamp())
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Isolation:
    """An isolation that is not over: `servers` of `of` fell silent, most by `cause`.

    Verdicts are held `until` a time, None in an event of before version 010; `now` is the database's clock.
    """

    since: datetime | None
    until: datetime | None
    cause: str
    servers: int
    of: int
    now: datetime

    @property
    def is_holding(self) -> bool:
        """Whether verdicts are held now."""
        return self.until is None or self.now < self.until


async def current(connection: Connection) -> Isolation | None:
    """Read the isolation that the monitor at work is in; None while it is in none, or none is at work."""
    row = await connection.fetchrow(NEWEST)
    if row is None:
        return None
    body = row["body"]
    return Isolation(
        since=_moment(body.get("since")),
        until=_moment(body.get("until")),
        cause=str(body.get("cause")),
        servers=_number(body.get("servers")),
        of=_number(body.get("of")),
        now=row["now"],
    )


def _moment(text: Any) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
    return moment if moment.tzinfo else None


def _number(value: Any) -> int:
    return value if isinstance(value, int) else 0

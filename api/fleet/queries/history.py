"""History as it is read: the pages of one server or of many, and what is believed at present, at one moment."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from api.fleet.queries.servers import FRESH_FOR
from monitor.domain.history import FIVE_MINUTES, HOUR, Page
from monitor.domain.server import Policy, ServerId
from monitor.domain.uptime import LONGEST
from monitor.postgres.database import Connection, Row
from monitor.postgres.lease_store import WHOLE_FLEET

# From when on the status of now is known to have held: not before the monitor at work took its lease, and not
# without a check by it. Until when: no longer than until the server reads as stale. $1 and $2 are the interval
# and the time-out of servers that override neither.
PRESENT = f"""
    extract(epoch FROM clock_timestamp())::float8 AS now, status,
    extract(epoch FROM CASE WHEN is_active AND last_checked_at >= lease.taken_at
        THEN greatest(status_changed_at, lease.taken_at) END)::float8 AS since,
    extract(epoch FROM least(clock_timestamp(), last_checked_at + {FRESH_FOR}))::float8 AS until
"""
READ_PRESENT = f"""
SELECT {PRESENT} FROM ollama_servers LEFT JOIN monitor_leases AS lease ON shard = {WHOLE_FLEET} WHERE id = $3
"""
PAGE = "extract(epoch FROM start_at)::bigint AS start"
READ_PAGES = f"""
SELECT server_id, {PAGE}, {FIVE_MINUTES} AS span, timeline, good, bad, latencies, medians
FROM server_history_recent WHERE server_id = $1
UNION ALL
SELECT server_id, {PAGE}, span, timeline, good, bad, latencies, medians
FROM server_history WHERE server_id = $1
    AND start_at > clock_timestamp() - make_interval(secs => {LONGEST}) - make_interval(secs => span)
ORDER BY start
"""
# An array for all pages of a server: a row for each would take three times as long to read.
READ_MANY = f"""
SELECT id, {PRESENT}, page.*
FROM ollama_servers LEFT JOIN monitor_leases AS lease ON shard = {WHOLE_FLEET}, LATERAL (
    SELECT array_agg(start) AS starts, array_agg(span) AS spans, array_agg(timeline) AS timelines,
        array_agg(medians) AS medians
    FROM (SELECT {PAGE}, {FIVE_MINUTES} AS span, timeline, medians
          FROM server_history_recent WHERE server_id = id
              AND start_at > clock_timestamp() - make_interval(secs => $3)
          UNION ALL
          SELECT {PAGE}, span, timeline, medians
          FROM server_history WHERE server_id = id AND span >= {HOUR}
              AND start_at > clock_timestamp() - make_interval(secs => $3) - make_interval(secs => span)) AS every
    ) AS page
WHERE $4::uuid[] IS NULL OR id = ANY ($4)
"""
# By the index that holds just these.
TRANSITIONS = """
SELECT seq, at, body FROM fleet_events
WHERE server_id = $1 AND type IN ('server.up', 'server.degraded', 'server.down')
ORDER BY seq DESC LIMIT $2
"""


async def present(connection: Connection, policy: Policy, server_id: UUID) -> Row | None:
    """Read what is believed of a server now, and the database's time; None when there is no such server."""
    return await connection.fetchrow(READ_PRESENT, *_defaults(policy), server_id)


async def pages(connection: Connection, server_id: UUID) -> list[Page]:
    """Read the pages of one server that the longest window touches."""
    return [_page(row) for row in await connection.fetch(READ_PAGES, server_id)]


async def transitions(connection: Connection, server_id: UUID, *, limit: int) -> list[Row]:
    """Read the newest changes of a server's status that the event log still holds."""
    return await connection.fetch(TRANSITIONS, server_id, limit)


async def many(connection: Connection, policy: Policy, server_ids: Sequence[UUID] | None, *, back: float) -> list[Row]:
    """Read the pages of some servers, or of all, as arrays; `back` is seconds."""
    return await connection.fetch(READ_MANY, *_defaults(policy), back, server_ids)


def _defaults(policy: Policy) -> tuple[float, float]:
    return policy.interval.total_seconds(), policy.timeout.total_seconds()


def _page(row: Any) -> Page:
    values = dict(row)
    return Page(**(values | {"server_id": ServerId(values["server_id"])}))

"""What a test can ask of the event log inside its own transaction, and the changes that several of them make."""

from typing import Any

from monitor.domain.event import Event
from monitor.postgres.database import Connection
from tests import fold

Told = list[tuple[str, dict[str, Any]]]

UP = "status = 'up', status_reason = 'ok', status_detail = NULL, latency_ms = 2.5"
DOWN = "status = 'down', status_reason = 'refused', status_detail = 'no', latency_ms = NULL"


async def told(connection: Connection, after: int) -> Told:
    """Types and bodies of the events after a number, less who made the change."""
    await last_seq(connection)
    events = await fold.read_events(connection, after)
    return [(str(event.type), {name: event.body[name] for name in event.body if name != "actor"}) for event in events]


async def last_seq(connection: Connection) -> int:
    """The number of the newest event, after all that is staged was published."""
    await connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
    await connection.execute("SET CONSTRAINTS ALL DEFERRED")
    seq: int = await connection.fetchval("SELECT seq FROM fleet_event_head")
    return seq


async def check(connection: Connection) -> list[Event]:
    """The whole history, after a look at its invariants and at what its fold makes of it."""
    await last_seq(connection)
    events = await fold.read_events(connection)
    fold.check_invariants(events)
    assert fold.fold(events) == await fold.table_state(connection)
    return events

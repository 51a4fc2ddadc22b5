"""The whole fleet as of one event number, read some rows at a time."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

from api.fleet.queries import models, servers
from monitor.domain.server import Policy
from monitor.postgres import event_log
from monitor.postgres.database import Connection, Database, Row

BATCH = 200
SERVERS = f"{servers.VIEW} WHERE $3::uuid IS NULL OR id = $3 ORDER BY name, id"
MODELS = f"""{models.VIEW} WHERE removed_at IS NULL AND ($1::uuid IS NULL OR server_id = $1)
ORDER BY model_name, server.name"""


class FleetReader:
    """What can be read inside the one transaction; `seq` is the last event that it shows the outcome of."""

    def __init__(self, connection: Connection, policy: Policy, *, seq: int, server_id: UUID | None) -> None:
        self._connection = connection
        self._defaults = (policy.interval.total_seconds(), policy.timeout.total_seconds())
        self._server_id = server_id
        self.seq = seq

    def servers(self) -> AsyncIterator[list[Row]]:
        """Read the servers, by name."""
        return self._batches(SERVERS, *self._defaults, self._server_id)

    def models(self) -> AsyncIterator[list[Row]]:
        """Read the models that are not removed."""
        return self._batches(MODELS, self._server_id)

    async def _batches(self, query: str, *arguments: object) -> AsyncIterator[list[Row]]:
        cursor = await self._connection.cursor(query, *arguments)
        while rows := await cursor.fetch(BATCH):
            yield rows


@asynccontextmanager
async def reading(database: Database, policy: Policy, *, server_id: UUID | None) -> AsyncIterator[FleetReader]:
    """Begin to read the fleet, or one server of it, at one moment."""
    async with (
        database.session() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        _, seq = await event_log.extent(connection)
        yield FleetReader(connection, policy, seq=seq, server_id=server_id)
